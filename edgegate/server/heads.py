"""Reply heads as bytes. Values come from httptools, from validated ids or from us: none holds a CR or LF."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

from edgegate.dialects.base import HeaderList


class HeadWriter:
    """Writes heads. The Date line is made once per second."""

    def __init__(self) -> None:
        self._lines = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
        self._second = -1
        self._date = b""

    def head(self, status: int, headers: HeaderList, now: int, framing: bytes, *, close: bool) -> bytes:
        """`now` is Unix seconds, `framing` the header line that frames the body, with its CRLF."""
        if now != self._second:
            self._second = now
            self._date = f"date: {formatdate(now, usegmt=True)}\r\n".encode()
        start = self._lines.get(status) or b"HTTP/1.1 %d \r\n" % status
        parts = [start, *[b"%b: %b\r\n" % line for line in headers], self._date, framing]
        parts.append(b"connection: close\r\n\r\n" if close else b"\r\n")
        return b"".join(parts)
