"""Reading along with a native stream: the bytes go on unchanged, a translating tap reads them for `progress` alone."""

from __future__ import annotations

from typing import Protocol

from edgegate.dialects.base import Progress
from edgegate.dialects.failure import bad_reply
from edgegate.taps import Outcome, Tap


class Whole(Protocol):
    """Cuts a stream into whole events without changing a byte: `sse.WholeEvents`, `ndjson.WholeLines`."""

    def feed(self, data: bytes) -> bytes: ...

    def rest(self) -> bytes: ...


class ReadAlong:
    """Passes whole events on; `reader`'s own output is thrown away."""

    __slots__ = ("_progress", "_reader", "_whole")

    def __init__(self, whole: Whole, reader: Tap, progress: Progress) -> None:
        self._whole = whole
        self._reader = reader
        self._progress = progress

    def feed(self, data: bytes) -> bytes:
        try:
            data = self._whole.feed(data)
        except ValueError as error:  # EventTooLarge, LineTooLarge
            self._progress.error = bad_reply(f"the provider's stream holds {error}")
            return b""
        if data:
            self._reader.feed(data)
        return data

    def end(self, outcome: Outcome) -> bytes:
        """The last event of a stream that ended well without its line end. Of an answer that is not whole nothing is passed on: an
        error follows, which must begin a line of its own."""
        rest = self._whole.rest()
        self._reader.feed(rest)
        self._reader.end(outcome)
        return rest if outcome is Outcome.OK and self._progress.finished else b""
