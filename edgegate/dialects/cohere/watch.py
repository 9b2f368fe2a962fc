"""The tap for a native stream: bytes go on unchanged, in whole events, and `Progress` is read out of them.

Once the answer has started, a read of nothing but `content-delta` events is only counted. One that is no JSON is taken out, or
breaks the stream (see `spoilt.py`). The event that reports an error is not passed on, nor anything after it: whoever ends the
stream writes the error, for the client's dialect.
"""

from __future__ import annotations

import re

from edgegate.dialects.amount import size
from edgegate.dialects.base import Json, Progress
from edgegate.dialects.failure import bad_reply, ended_early
from edgegate.dialects.spoilt import check_end, sound_events, sound_size
from edgegate.taps import Outcome, Tap
from edgegate.wire.sse import EventTooLarge, WholeEvents

_DELTA = b"event: content-delta\ndata: "
_NEXT = b"\n\n" + _DELTA
_DONE = b"data: [DONE]"
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


class Watch:
    """`reader` translates; what it writes is thrown away."""

    __slots__ = ("_progress", "_reader", "_whole")

    def __init__(self, reader: Tap, progress: Progress) -> None:
        self._whole = WholeEvents()
        self._reader = reader
        self._progress = progress

    def feed(self, data: bytes) -> bytes:
        progress = self._progress
        if progress.error is not None:
            return b""
        try:
            data = self._whole.feed(data)
        except EventTooLarge as error:
            progress.error = bad_reply(f"the provider's stream holds {error}")
            return b""
        if progress.started and not progress.finished and (number := _deltas(data)):
            found = sound_size(data[len(_DELTA) : -2].split(_NEXT), _delta_size)
            if found >= 0:
                progress.events += number
                progress.text_bytes += found
                return data
        spoilt = progress.spoilt
        out = self._read(data)
        return out if progress.spoilt == spoilt else sound_events(out)

    def end(self, outcome: Outcome) -> bytes:
        """The last event of a stream that ended well without its blank line. Of an answer that is not whole nothing is passed on: an
        error follows, which must begin a line of its own."""
        if self._progress.error is not None:
            return b""
        rest = self._whole.rest()
        self._reader.feed(rest)
        self._reader.end(outcome)
        return rest if outcome is Outcome.OK and self._progress.error is None and self._progress.finished else b""

    def _read(self, data: bytes) -> bytes:
        """The events up to the one that reports an error."""
        at = 0
        for blank in _BLANK_LINE.finditer(data):
            event = data[at : blank.end()]
            if _DONE in event and not self._progress.finished and event.strip() == _DONE:
                check_end(self._progress)
                self._progress.error = self._progress.error or ended_early("Cohere")
            self._reader.feed(event)
            if self._progress.error is not None:
                return data[:at]
            at = blank.end()
        self._reader.feed(data[at:])
        return data


def _delta_size(event: Json) -> int:
    try:
        content = event["delta"]["message"]["content"]
        text = (content.get("text") or content.get("thinking") or "") if type(content) is dict else content
        return len(text) if text.isascii() else size(text)
    except (AttributeError, KeyError, TypeError):
        return 0


def _deltas(events: bytes) -> int:
    """How many events a run of whole ones holds if all are pieces of content, else 0. Each has three line ends, one behind its
    name and two behind its only line of data: a total of three times their number leaves no room for any other line."""
    if not events.startswith(_DELTA) or b"\r" in events or not events.endswith(b"\n\n"):
        return 0
    number = events.count(_NEXT) + 1
    return number if events.count(b"\n") == 3 * number else 0
