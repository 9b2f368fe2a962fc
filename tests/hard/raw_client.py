"""A client that sends exactly the bytes it is told to, and reads replies with a strict parser of its own.

No HTTP library: what a test sends is what stands on the wire, and a reply that is not framed to the letter (a header line
without a colon, a body longer than announced, two framings at once) fails the test that reads it.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

PATIENCE_S = 8.0
"""How long a test waits for something that should come at once: long, for the machine may be busy."""


class Gone(Exception):
    """The connection ended before the reply was whole. `reset`: by RST rather than FIN."""

    def __init__(self, got: bytes, *, reset: bool) -> None:
        super().__init__(f"connection {'reset' if reset else 'closed'} after {got[-300:]!r}")
        self.got = got
        self.reset = reset


@dataclass
class Reply:
    """One reply as it stood on the wire. `whole` is False when its framing was cut."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    whole: bool = True
    raw: bytes = field(default=b"", repr=False)
    old: bool = False  # HTTP/1.0

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} stands {len(values)} times in the reply"
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        option = (self.header("connection") or "").lower()
        return option != "keep-alive" if self.old else option == "close"


class RawClient:
    """One connection. Every wait has an end: `socket.timeout` fails the test."""

    def __init__(self, port: int, *, receive_buffer: int = 0, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", port))
        self.received = bytearray()  # everything, for searches
        self._buffer = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.socket.close()

    # -- sending

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def send_slowly(self, data: bytes, *, pause_s: float, size: int = 1) -> int:
        """Sends in pieces until the other side has closed. Returns how many bytes went out."""
        for at in range(0, len(data), size):
            try:
                self.socket.sendall(data[at : at + size])
            except OSError:
                return at
            self.socket.settimeout(pause_s)
            try:
                if self.socket.recv(1, socket.MSG_PEEK) == b"":
                    return at
            except TimeoutError:
                pass
            except OSError:
                return at
            finally:
                self.socket.settimeout(self.patience_s)
        return len(data)

    def end_of_input(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leaves with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # -- receiving

    def more(self) -> bytes:
        """The next piece that arrives. Raises `Gone` at the end of the connection."""
        try:
            piece = self.socket.recv(1 << 18)
        except ConnectionError:
            raise Gone(self._buffer, reset=True) from None
        if not piece:
            raise Gone(self._buffer, reset=False)
        self.received += piece
        return piece

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`; what follows it stays for the next read."""
        while mark not in self._buffer:
            self._buffer += self.more()
        at = self._buffer.index(mark) + len(mark)
        head, self._buffer = self._buffer[:at], self._buffer[at:]
        return head

    def wait_for(self, mark: bytes) -> None:
        """Until `mark` has come; all stays for the next read."""
        while mark not in self._buffer:
            self._buffer += self.more()

    def read_exactly(self, size: int) -> bytes:
        pieces = [self._buffer]
        have = len(self._buffer)
        while have < size:
            piece = self.more()
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self._buffer = data[size:]
        return data[:size]

    def reply(self, *, head_request: bool = False) -> Reply:
        """The next reply, informational ones passed over (use `interim` to see them)."""
        while True:
            reply = self.head()
            if not 100 <= reply.status < 200:
                break
        try:
            reply.body = b"".join(self.body(reply, head_request=head_request))
        except Gone as gone:
            reply.whole = False
            reply.body = self._partial + gone.got
            self._buffer = b""
        return reply

    def head(self) -> Reply:
        """The next head, informational or not."""
        raw = self.read_until(b"\r\n\r\n")
        lines = raw[:-4].split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), lines[0]
        assert len(rest) >= 4, lines[0]
        assert rest[:3].isdigit(), lines[0]
        assert rest[3:4] == b" ", lines[0]
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            assert colon, f"no colon in {line!r}"
            assert name, f"no name in {line!r}"
            assert name == name.strip(), f"blanks around the name in {line!r}"
            assert not any(byte in line for byte in b"\r\n\0"), f"control bytes in {line!r}"
            headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
        return Reply(int(rest[:3]), headers, raw=raw, old=version == b"HTTP/1.0")

    def body(self, reply: Reply, *, head_request: bool = False) -> Iterable[bytes]:
        """The body's pieces, by the reply's framing."""
        self._partial = b""
        coding, length = reply.header("transfer-encoding"), reply.header("content-length")
        assert coding is None or length is None, f"two framings at once: {coding}, {length}"
        if head_request or reply.status in (204, 304):
            assert coding is None, "a chunked body where none may be"
            return
        if coding is not None:
            assert coding == "chunked", coding
            yield from self._chunks()
        elif length is not None:
            assert length.isdigit(), length
            yield self.read_exactly(int(length))
        else:
            assert reply.closes, "neither a length nor chunks nor a close: the body has no end"
            while True:
                try:
                    piece = self.more() if not self._buffer else self._take()
                except Gone as gone:
                    if gone.reset:
                        raise
                    return
                self._partial += piece
                yield piece

    def _chunks(self) -> Iterable[bytes]:
        while True:
            line = self.read_until(b"\r\n")
            size = int(line[:-2], 16)
            assert line[:-2] == line[:-2].strip(), line
            if size == 0:
                end = self.read_exactly(2)
                assert end == b"\r\n", f"trailers or rubbish behind the last chunk: {end!r}"
                return
            data = self.read_exactly(size + 2)
            assert data[-2:] == b"\r\n", f"a chunk without its end: {data[-20:]!r}"
            if len(self._partial) < 1 << 20:  # for a cut reply's `body`; large ones are hashed, not looked at
                self._partial += data[:-2]
            yield data[:-2]

    def _take(self) -> bytes:
        data, self._buffer = self._buffer, b""
        return data

    def rest(self, patience_s: float | None = None) -> bytes:
        """Everything until the other side closes, which it must do in time."""
        until = time.monotonic() + (patience_s or self.patience_s)
        data = self._take()
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the connection is still open; got {data[-300:]!r}")
            self.socket.settimeout(left)
            try:
                data += self.more()
            except Gone:
                return data
            finally:
                self.socket.settimeout(self.patience_s)

    def assert_closed(self, within_s: float = 4.0) -> None:
        """The other side closes without a further byte. (aiohttp lingers up to 2 s over a body that it did not want.)"""
        rest = self.rest(within_s)
        assert rest == b"", f"bytes behind the reply on a connection that should close: {rest[:200]!r}"

    def assert_silent_and_open(self, for_s: float = 0.15) -> None:
        assert self._buffer == b"", self._buffer[:200]
        self.socket.settimeout(for_s)
        try:
            piece = self.socket.recv(1000)
        except TimeoutError:
            return
        finally:
            self.socket.settimeout(self.patience_s)
        raise AssertionError(f"expected silence, got {piece!r}")

    def assert_usable(self) -> None:
        """The connection carries another request."""
        self.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n")
        assert self.reply().status == 200


def request(path: str, body: bytes, *headers: str, method: str = "POST", host: str = "gateway") -> bytes:
    """A well-formed request, for the tests where framing is not the matter."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *headers]
    if body or method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
