"""The tap for a native message stream: bytes go on unchanged, in whole events, and `Progress` is read out of them.

Once the answer has started, a read of nothing but content deltas is only counted (see `frames`). An event that is no JSON is
taken out, or breaks the stream (see `spoilt.py`). An `error` event is not passed on, nor anything after it: whoever ends the
stream writes the error, for the client's dialect. Nothing goes on behind `message_stop` either; a whole answer that lacks it gets
it, since clients wait for it.
"""

from __future__ import annotations

from edgegate.dialects.anthropic.errors import event_error
from edgegate.dialects.anthropic.frames import deltas_only, documents
from edgegate.dialects.anthropic.noting import OPENING, Malformed, Noting, Spoilt, delta_size, document, name_of, opening_size
from edgegate.dialects.base import Progress
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.spoilt import check_end, leave_out, sound_events, sound_size, start_of_event
from edgegate.taps import Outcome
from edgegate.wire.sse import Event, EventReader, EventTooLarge, WholeEvents

MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class Watch:
    """States: reading; over (`message_stop` has gone on, or `progress.error` is set: nothing more is passed on)."""

    __slots__ = ("_noting", "_over", "_owes_lf", "_progress", "_reader", "_whole")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._noting = Noting(progress)
        self._whole = WholeEvents()
        self._reader = EventReader()
        self._over = False
        self._owes_lf = False  # what went on last ended in CR: an LF may belong to it

    def feed(self, data: bytes) -> bytes:
        if self._over:
            owed = self._owes_lf and data.startswith(b"\n")
            self._owes_lf = self._owes_lf and not data
            return b"\n" if owed else b""
        try:
            data = self._whole.feed(data)
        except EventTooLarge as error:
            return self._fail(f"the provider's stream holds {error}")
        if not data:
            return data
        progress = self._progress
        if progress.started and (number := deltas_only(data)) and (size := sound_size(documents(data), delta_size)) >= 0:
            progress.events += number
            progress.text_bytes += size
            return data
        spoilt = progress.spoilt
        out = self._read(data, self._reader.feed(data))
        return out if progress.spoilt == spoilt else sound_events(out)

    def end(self, outcome: Outcome) -> bytes:
        """A last event without its blank line goes on if it is whole and the answer with it: then nothing can follow it. So
        does the LF of a last CRLF that was cut in two."""
        rest = self._whole.rest()
        if outcome is not Outcome.OK or self._over:
            return b""
        events = self._reader.feed(rest) + self._reader.end() if rest else []
        if events and all(parsed(event.data) is not None for event in events):
            rest = self._read(rest.rstrip(b"\r\n") + b"\n\n", events)
        elif rest.strip():
            rest = b""  # half an event
        check_end(self._progress)
        if not self._progress.finished or self._progress.error is not None:
            return b""
        return rest if self._over else rest + MESSAGE_STOP

    def _read(self, data: bytes, events: list[Event]) -> bytes:
        for at, event in enumerate(events):
            try:
                self._note(event)
            except Malformed as error:
                if isinstance(error, Spoilt) and event.name not in OPENING:
                    leave_out(event.data, self._progress)
                else:
                    self._fail(str(error))
            if self._progress.error is not None:
                self._over = True
                return data[: start_of_event(data, at)]
            if self._over:
                if at < len(events) - 1:
                    data = data[: start_of_event(data, at + 1)]
                self._owes_lf = data.endswith(b"\r")
                return data
        return data

    def _note(self, event: Event) -> None:
        name = name_of(event)
        progress = self._progress
        if name == "ping":
            return
        if name == "error":
            progress.error = event_error(parsed(event.data), event.data)
            return
        value = document(event.data)
        progress.events += 1
        if name == "content_block_delta":
            progress.text_bytes += delta_size(value)
            if not progress.started:
                self._noting.block_delta(value)
        elif name == "content_block_start":
            if not progress.started:
                self._noting.block_start(value)
            else:
                progress.text_bytes += opening_size(value.get("content_block"))
        elif name == "message_start":
            self._noting.message_start(value)
        elif name == "message_delta":
            self._noting.message_delta(value)
        elif name == "message_stop":
            if not progress.finished:
                raise Malformed("the provider ended its stream without a stop reason")
            self._over = True

    def _fail(self, message: str) -> bytes:
        self._over = True
        self._progress.error = bad_reply(message)
        return b""
