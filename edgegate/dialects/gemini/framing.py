"""How the documents of a stream follow each other: as events (`alt=sse`), or as the items of one JSON array.

An array that ends with an error stays valid JSON: the separator is written when the stream is known to have broken, by `end`,
and `error_event` of the client side adds the error and the bracket.
"""

from __future__ import annotations

from typing import Protocol

from edgegate.dialects.gemini.bare import Opening, is_bare
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge


class Framing(Protocol):
    """Frames one stream: `item` for each document in turn, `end` once."""

    def item(self, document: bytes) -> bytes: ...

    def end(self, outcome: Outcome) -> bytes: ...


class Events:
    """Server-sent events, as Google writes them. There is no terminal event."""

    __slots__ = ()

    def item(self, document: bytes) -> bytes:
        return b"data: " + document + b"\r\n\r\n"

    def end(self, outcome: Outcome) -> bytes:
        return b""


class Items:
    """One array."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = False

    def item(self, document: bytes) -> bytes:
        head = b",\r\n" if self._begun else b"["
        self._begun = True
        return head + document

    def end(self, outcome: Outcome) -> bytes:
        if outcome is Outcome.OK:
            return b"]" if self._begun else b"[]"
        return b",\r\n" if self._begun else b"["


class ArrayOfEvents:
    """Tap: a native stream of events -> the array that a client without `alt=sse` expects. What is an array already goes by.
    An event beyond the limit ends the stream without a bracket: it cannot be told as an error here, and must not look whole."""

    __slots__ = ("_bare", "_items", "_opening", "_over", "_reader")

    def __init__(self) -> None:
        self._items = Items()
        self._reader = EventReader()
        self._opening: Opening | None = Opening()
        self._bare = self._over = False

    def feed(self, data: bytes) -> bytes:
        if self._opening is not None:
            data = self._opening.feed(data)
            if not data:
                return b""
            self._opening = None
            self._bare = is_bare(data)
        if self._bare:
            return data
        if self._over:
            return b""
        try:
            events = self._reader.feed(data)
        except EventTooLarge:
            self._over = True
            return b""
        return b"".join([self._items.item(event.data) for event in events if is_bare(event.data)])

    def end(self, outcome: Outcome) -> bytes:
        if self._bare:
            return b"" if outcome is Outcome.OK else b",\r\n"
        rest = [event.data for event in self._reader.end()] if outcome is Outcome.OK and not self._over else []
        out = b"".join([self._items.item(data) for data in rest if is_bare(data)])
        return out if self._over else out + self._items.end(outcome)
