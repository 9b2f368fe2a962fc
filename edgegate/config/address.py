"""The address in `server.listen`: `host:port`, `[v6]:port`, `:port` for all interfaces, or `unix:/path`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

EXPECTED = "an address such as 127.0.0.1:8080, [::1]:8080, :8080 for all interfaces, or unix:/path"
_TCP = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([A-Za-z0-9._-]*)):(\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """`host` is empty for all interfaces. `path` is set for a Unix socket, and then nothing else is."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than `localhost` is not trusted to be."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Raises `ValueError` with what was expected."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > 107:  # sun_path has 108 bytes with its final NUL
            raise ValueError("unix: with an absolute path of at most 107 bytes")
        return Address(path=path)
    match = _TCP.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(EXPECTED)
    host = match[1] or match[2]
    if match[1] or re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            raise ValueError(EXPECTED) from None
    return Address(host=host, port=int(match[3]))
