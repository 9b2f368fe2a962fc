"""Sockets: TCP, Unix, TLS. Opened before the process becomes ready, closed when it stops accepting."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat
from pathlib import Path

from edgegate.config.address import Address
from edgegate.config.model import TlsOptions

BACKLOG = 4096


def open_sockets(address: Address, *, shared: bool) -> list[socket.socket]:
    """Listening sockets for an address. `shared` lets several workers bind the same port. Raises `OSError`."""
    if address.path:
        return [_unix(Path(address.path))]
    opened: list[socket.socket] = []
    host = address.host or None
    try:
        for family, kind, proto, _, sockaddr in _addresses(host, address.port):
            sock = socket.socket(family, kind, proto)
            opened.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            try:
                sock.bind(sockaddr)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL or host is None:
                    raise
                opened.pop().close()  # `localhost` also means ::1 where there is no IPv6
                continue
            sock.listen(BACKLOG)
        if not opened:
            raise OSError(errno.EADDRNOTAVAIL, "no address of this host to listen on")
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened


def _addresses(host: str | None, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    usable = [entry for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)]
    if host is None and not _has_ipv6():
        usable = [entry for entry in usable if entry[0] == socket.AF_INET]
    return list(dict.fromkeys(usable))


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _unix(path: Path) -> socket.socket:
    """A Unix socket that only this user and group can open. A stale one of an earlier process is replaced."""
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(f"{path} exists and is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink()
            else:
                raise OSError(f"{path} is in use")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    sock.setblocking(False)
    sock.listen(BACKLOG)
    return sock


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """TLS 1.2 or newer, HTTP/1.1 only. Raises `OSError` or `ssl.SSLError` for files that do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.cert, options.key or None)
    context.set_alpn_protocols(["http/1.1"])
    return context
