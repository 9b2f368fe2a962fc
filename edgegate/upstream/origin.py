"""A provider's address, and the way of one call to it: head, connection, second try on a stale connection.

`Origin` is what a base URL says; `Upstream` adds the pool and the parts of the request head that never change.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgegate.dialects.base import HeaderList
from edgegate.errors import GatewayError
from edgegate.upstream.call import Answer, Call
from edgegate.upstream.connection import Connection
from edgegate.upstream.pool import Pool


@dataclass(frozen=True, slots=True)
class Origin:
    """`https://host:port/base` in parts. `base` has no slash at its end."""

    tls: bool
    host: str
    port: int
    base: str

    @classmethod
    def parse(cls, url: str) -> Origin:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError(f"expected a URL such as https://api.example.com/v1, got {url!r}")
        tls = parts.scheme == "https"
        return cls(tls, parts.hostname, parts.port or (443 if tls else 80), parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Upstream:
    """Sends calls to one origin. `fixed` are the header lines that every request to it carries, such as credentials: a
    caller's header of the same name never replaces them; there is one set of them for each credential. `defaults` are added where
    the caller sent none of that name."""

    def __init__(
        self,
        origin: Origin,
        fixed: Sequence[HeaderList],
        defaults: HeaderList,
        max_connections: int,
        ca_file: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.origin = origin
        tls: ssl.SSLContext | None = None
        if origin.tls:
            tls = ssl.create_default_context(cafile=ca_file or None)
            tls.set_alpn_protocols(["http/1.1"])
        self.pool = Pool(origin.host, origin.port, tls, max_connections, loop)
        self._base = origin.base.encode()
        # Host first, as RFC 9112 asks
        self._fixed = [b" HTTP/1.1\r\nhost: " + origin.authority.encode() + b"\r\n" + lines(one) for one in fixed]
        names = [name for one in fixed for name, _ in one]
        self._fixed_names = frozenset([*names, b"host", b"content-length", b"transfer-encoding", b"connection"])
        self._defaults = [(name, b"%b: %b\r\n" % (name, value)) for name, value in defaults]

    def head(self, method: bytes, path: bytes, headers: HeaderList, length: int | None, key: int = 0) -> bytes:
        """A request head with the credential of this number. Names in `headers` are in lower case. `length` None announces a
        chunked body, -1 none at all."""
        fixed = self._fixed_names
        parts = [method, b" ", path, self._fixed[key]]
        parts += [b"%b: %b\r\n" % (name, value) for name, value in headers if name not in fixed]
        if self._defaults:
            given = {name for name, _ in headers}
            parts += [line for name, line in self._defaults if name not in given]
        if length is None:
            parts.append(b"transfer-encoding: chunked\r\n\r\n")
        elif length < 0:
            parts.append(b"\r\n")
        else:
            parts.append(b"content-length: %d\r\n\r\n" % length)
        return b"".join(parts)

    def path(self, below: str) -> bytes:
        """The origin-form of a path below the base path."""
        return self._base + below.encode("utf-8", "surrogateescape")

    async def fetch(self, call: Call, head: bytes, body: bytes, connect_s: float) -> Answer:
        """Sends the request and waits for the call to be ready. A reused connection that dies before the first byte of the
        reply was closed by the provider while idle: the request is sent once more, on a fresh one."""
        connection = self.pool.take_nowait() or await self.pool.take(connect_s)
        try:
            call.begin(connection)
            connection.send(head, body, call)
            return await call.ready
        except GatewayError:
            if not call.stale:
                raise
        except asyncio.CancelledError:
            call.abort()
            raise
        call.restart()
        connection = await self.pool.fresh(connect_s)
        try:
            call.begin(connection)
            connection.send(head, body, call)
            return await call.ready
        except asyncio.CancelledError:
            call.abort()
            raise

    async def open_upload(self, call: Call, head: bytes, connect_s: float) -> Connection:
        """Sends the head of a request whose body the caller streams. On a fresh connection: such a body cannot be sent twice."""
        connection = await self.pool.new(connect_s)
        call.begin(connection)
        call.uploading = True
        connection.send(head, b"", call)
        return connection

    def close(self) -> None:
        self.pool.close()


def lines(headers: HeaderList) -> bytes:
    """Header lines as they stand on the wire."""
    return b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])
