"""Reply heads: the lines that are ours, and heads as bytes. Values come from httptools, from validated ids or from us: none holds
a CR or LF."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

from edgegate.dialects.base import HeaderList
from edgegate.exchange import Exchange
from edgegate.routing.catalog import MAX_REMEMBERED, Target

UNBUFFERED = [(b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]
"""For whatever stands between us and the client: a stream is neither kept, changed nor gathered."""


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


class OwnHeaders:
    """Adds what the gateway says of an exchange: its id, who answered, how."""

    def __init__(self) -> None:
        self._lines: dict[str, HeaderList] = {}

    def lines(self, ex: Exchange, headers: HeaderList) -> HeaderList:
        """The reply's headers and ours."""
        target = ex.target
        lines = [*headers, (b"x-request-id", ex.id.encode())]
        if target is not None:
            lines += self._target_lines(target)
            lines.append((b"x-edgegate-attempts", b"%d" % len(ex.attempts)))
            if target.fallback:
                lines.append((b"x-edgegate-fallback", b"true"))
        if ex.cache:
            lines.append((b"x-edgegate-cache", ex.cache.encode()))
        if ex.coalesced:
            lines.append((b"x-edgegate-coalesced", b"true"))
        if ex.replayed:
            lines.append((b"x-edgegate-idempotent-replay", b"true"))
        if ex.dropped:
            lines.append((b"x-edgegate-dropped", _header_value(",".join(ex.dropped))))
        if ex.mapped:
            lines.append((b"x-edgegate-mapped", _header_value(",".join(ex.mapped))))
        return lines

    def _target_lines(self, target: Target) -> HeaderList:
        """The headers that name a target; remembered, since there are few and every reply has them."""
        lines = self._lines.get(target.label)
        if lines is None:
            lines = [(b"x-edgegate-provider", target.provider.name.encode())]
            if target.model:
                lines.append((b"x-edgegate-model", _header_value(target.model)))
            if target.provider.simulated:
                lines.append((b"x-edgegate-simulated", b"true"))
            if len(self._lines) >= MAX_REMEMBERED:
                self._lines.clear()
            self._lines[target.label] = lines
        return lines


def as_stream(headers: HeaderList, content_type: bytes) -> HeaderList:
    """Headers of a stream of this type, whatever the provider's stream was."""
    return [*[line for line in headers if line[0] != b"content-type"], (b"content-type", content_type), *UNBUFFERED]


def _header_value(text: str) -> bytes:
    """Foreign text as a header value: visible ASCII only."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:200]).encode()
