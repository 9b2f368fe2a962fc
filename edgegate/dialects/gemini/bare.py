"""A reply that should have been a stream of events and is one JSON document: an array (a stream without `alt=sse`), or an error."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.wire.sse import MAX_EVENT_BYTES, EventTooLarge

_EAGER_BYTES = 64 * 1024
"""Up to this size a bare document is tried whenever it looks complete, so that an error is known before the end."""


_MAX_BLANKS = 1024


class BareDocument:
    """Collects a reply that is JSON instead of events. `feed` gives the document once it parses."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Any:
        """The document, or None: more is needed. Raises `EventTooLarge` beyond the limit of one event."""
        self._held += data
        if len(self._held) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"a document of more than {MAX_EVENT_BYTES} bytes")
        return self.end() if len(self._held) <= _EAGER_BYTES and self._held.rstrip().endswith((b"]", b"}")) else None

    @property
    def body(self) -> bytes:
        """All of it so far, as it came."""
        return bytes(self._held)

    def end(self) -> Any:
        try:
            return orjson.loads(self._held)
        except orjson.JSONDecodeError:
            return None


class Opening:
    """Holds a reply's first bytes until one is not blank: from then on it is clear what the reply is."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """All bytes so far; b"" while there is nothing but a few blanks."""
        data = self._held + data if self._held else data
        if data.isspace() and len(data) < _MAX_BLANKS:
            self._held = data
            return b""
        return data


def is_bare(data: bytes) -> bool:
    """Whether a reply that begins so is JSON: no line of an event stream begins with a bracket."""
    return data.lstrip()[:1] in (b"[", b"{")
