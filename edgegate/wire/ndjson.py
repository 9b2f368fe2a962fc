"""Newline-delimited JSON, fed in arbitrary pieces: Ollama's streams.

`LineReader` gives the lines, `WholeLines` passes bytes on unchanged but never half a line. A line ends at LF and nowhere else
(a JSON text may hold any other separator); blanks and a CR around it are removed, blank lines are skipped. Both refuse a
line larger than their limit by raising `LineTooLarge`. Half a line is kept as the pieces it came in, so that a long line
that arrives in many small reads is not copied at each of them.
"""

from __future__ import annotations

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Limit of one line, the same as that of one server-sent event. Whole tool calls and embeddings are the largest, under 1 MB."""

_BLANK = b" \t\r"


class LineTooLarge(ValueError):
    """One line exceeded its limit."""


class LineReader:
    """Splits a stream into lines. After `end()` the reader is spent."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The lines completed by this piece, without their ends."""
        if b"\n" not in data:
            self._hold(data)
            return []
        lines = data.split(b"\n")
        if self._held:
            lines[0] = b"".join([*self._held, lines[0]])
            self._held = []
            self._size = 0
        last = lines.pop()
        if len(lines[0]) > self._limit or (len(data) > self._limit and max(map(len, lines)) > self._limit):
            raise LineTooLarge(f"a line of more than {self._limit} bytes")
        self._hold(last)
        return [line for line in (line.strip(_BLANK) for line in lines) if line]

    def end(self) -> list[bytes]:
        """The last line, if the stream ended without a line end after it. Half a JSON document does not parse."""
        line = b"".join(self._held).strip(_BLANK)
        self._held = []
        self._size = 0
        return [line] if line else []

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._size += len(data)
        if self._size > self._limit:
            raise LineTooLarge(f"a line of more than {self._limit} bytes")
        self._held.append(data)


class WholeLines:
    """Passes a stream on unchanged, in whole lines. What has no line end yet is held until it has."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._limit = limit

    def feed(self, data: bytes) -> bytes:
        """The longest run of whole lines; the same object as `data` when it is just that."""
        cut = data.rfind(b"\n") + 1
        if cut == len(data) and not self._held:
            return data
        whole, rest = data[:cut], data[cut:]
        if cut and self._held:
            whole = b"".join([*self._held, whole])
            self._held = []
            self._size = 0
        self._size += len(rest)
        if self._size > self._limit:
            raise LineTooLarge(f"a line of more than {self._limit} bytes")
        if rest:
            self._held.append(rest)
        return whole

    def rest(self) -> bytes:
        """What never got its line end: the last line of a stream that ended without one, or half a line."""
        held = b"".join(self._held)
        self._held = []
        self._size = 0
        return held
