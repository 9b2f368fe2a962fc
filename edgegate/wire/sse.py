"""Server-sent events as the WHATWG specification defines them, fed in arbitrary pieces.

`EventReader` gives parsed events; `WholeEvents` passes bytes on unchanged but never half an event, so that a stream that
breaks can still be ended with an error event. Both accept LF, CR and CRLF line ends, a byte order mark, comments, unknown
fields and multi-line data. An event is handed on with the read that completes it, never later. Both raise `EventTooLarge`
instead of collecting more than their limit: the one condition that more data cannot mend. The cost is linear in the bytes,
whatever the pieces: what is held is only ever appended to, and only the new piece is searched.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Limit of one event. The largest seen are base64 images in one Gemini event, a few MB."""

_BOM = b"\xef\xbb\xbf"
_LF = 10
_CR = 13


class EventTooLarge(ValueError):
    """One event exceeded its limit."""


class Event(NamedTuple):
    """One dispatched event. `name` is empty where the stream gave none (the specification then says "message")."""

    name: bytes
    data: bytes


def boundary(buffer: bytes) -> int:
    """Length of the part of `buffer` that consists of whole events (it ends in a blank line); 0 if there is none."""
    if buffer.endswith((b"\n\n", b"\r\n\r\n")):
        return len(buffer)
    at = buffer.rfind(b"\n\n")
    if b"\r" in buffer:
        # a blank line may also be CR: after CR, or after LF. Only what lies behind the best find so far is searched
        at = max(at, buffer.rfind(b"\n\r", at + 1))
        at = max(at, buffer.rfind(b"\r\r", at + 1))
        if at >= 0 and buffer[at + 1 : at + 3] == b"\r\n":
            at += 1
    return at + 2 if at >= 0 else 0


class WholeEvents:
    """Passes a stream on unchanged, in whole events. What has no blank line yet is held until it has.

    The limit is on what is held: a larger event that arrives in one piece passes, for it costs no memory here.
    """

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._held = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> bytes:
        """The longest run of whole events; the same object as `data` when it is just that."""
        held = self._held
        if not held:
            cut = boundary(data)
            if cut == len(data):
                return data
            whole = data[:cut]
        else:
            # a blank line may have begun in what is held, but no more of it than one byte: held is no whole event
            cut = len(data) if data.endswith(b"\n\n") else max(boundary(bytes(held[-1:]) + data) - 1, 0)
            whole = b""
            if cut:
                whole = b"".join((held, data[:cut]))
                held.clear()
        held += data[cut:] if cut else data
        if len(held) > self._limit:
            raise EventTooLarge(f"an event of more than {self._limit} bytes")
        return whole

    def rest(self) -> bytes:
        """What never got its blank line: the last event of a stream that ended without one, or half an event."""
        held = bytes(self._held)
        self._held.clear()
        return held


class EventReader:
    """Parses a stream. States: at the start (a byte order mark may come); between events; inside one (`_held` has what
    arrived of it, line ends already LF). After `end()` the reader is spent."""

    __slots__ = ("_held", "_limit", "_skip_lf", "_start")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._held = bytearray()
        self._limit = limit
        self._start = True
        self._skip_lf = False  # the last read ended in CR: an LF that follows belongs to it

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by this piece."""
        if self._start:
            data = self._without_bom(data)
        if not data:
            return []
        if self._skip_lf:
            self._skip_lf = False
            if data[0] == _LF:
                data = data[1:]
                if not data:
                    return []
        if b"\r" in data:
            self._skip_lf = data[-1] == _CR
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        held = self._held
        if held:
            if b"\n\n" not in data and not (data[0] == _LF and held[-1] == _LF):
                self._hold(data)
                return []
            data = b"".join((held, data))
            held.clear()
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._hold(rest)
        if len(data) > self._limit and any(len(block) > self._limit for block in blocks):
            raise EventTooLarge(f"an event of more than {self._limit} bytes")
        return [event for block in blocks if (event := _event(block)) is not None]

    def end(self) -> list[Event]:
        """The stream is over. The specification discards an event without its blank line; providers do leave it out after
        their last one, so it is given here and the caller decides (half a JSON document does not parse)."""
        event = _event(bytes(self._held))
        self._held.clear()
        return [] if event is None else [event]

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._limit:
            raise EventTooLarge(f"an event of more than {self._limit} bytes")

    def _without_bom(self, data: bytes) -> bytes:
        """What is left of the first bytes; nothing as long as they may still become a byte order mark."""
        if self._held:
            data = b"".join((self._held, data))
            self._held.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._held += data
            return b""
        self._start = False
        return data.removeprefix(_BOM)


def _event(block: bytes) -> Event | None:
    """The event that the lines of `block` dispatch; None for comments and for events without any data line."""
    if b"\n" not in block:
        if block.startswith(b"data: "):  # nearly every event of nearly every provider
            return Event(b"", block[6:])
    elif block.startswith(b"event: "):  # Anthropic, OpenAI's Responses, Cohere: a name and one line of data
        name, _, data = block[7:].partition(b"\ndata: ")
        if b"\n" not in data and b"\n" not in name:  # a name with a line break in it is further fields, or no data at all
            return Event(name, data)
    name = b""
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return Event(name, b"\n".join(lines)) if lines else None
