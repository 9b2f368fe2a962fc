"""Reading along with a native stream: the bytes go on unchanged, a translating tap reads them for `progress` alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from edgegate.dialects.base import Progress
from edgegate.dialects.failure import bad_reply
from edgegate.taps import Outcome, Tap


class Whole(Protocol):
    """Cuts a stream into whole events without changing a byte: `sse.WholeEvents`, `ndjson.WholeLines`."""

    def feed(self, data: bytes) -> bytes: ...

    def rest(self) -> bytes: ...


class ReadAlong:
    """Passes whole events on; `reader`'s own output is thrown away. `pieces` cuts a run of them into single ones: a spoilt one is
    taken out (see `spoilt.py`), one with an error is not passed on, nor anything after it."""

    __slots__ = ("_pieces", "_progress", "_reader", "_whole")

    def __init__(self, whole: Whole, reader: Tap, progress: Progress, pieces: Callable[[bytes], Iterable[bytes]]) -> None:
        self._pieces = pieces
        self._whole = whole
        self._reader = reader
        self._progress = progress

    def feed(self, data: bytes) -> bytes:
        progress = self._progress
        try:
            data = self._whole.feed(data)
        except ValueError as error:  # EventTooLarge, LineTooLarge
            progress.error = bad_reply(f"the provider's stream holds {error}")
            return b""
        kept: list[bytes] = []
        size = 0
        for piece in self._pieces(data):
            spoilt = progress.spoilt
            self._reader.feed(piece)
            if progress.error is not None:  # from now on, whatever else comes
                break
            if progress.spoilt == spoilt:
                kept.append(piece)
                size += len(piece)
        return data if size == len(data) else b"".join(kept)

    def end(self, outcome: Outcome) -> bytes:
        """The last event of a stream that ended well without its line end. Of an answer that is not whole nothing is passed on: an
        error follows, which must begin a line of its own."""
        rest = self._whole.rest()
        self._reader.feed(rest)
        self._reader.end(outcome)
        return rest if outcome is Outcome.OK and self._progress.finished else b""
