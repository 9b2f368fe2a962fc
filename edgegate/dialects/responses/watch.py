"""The tap of a native response stream: bytes go on unchanged, in whole events, and are read along.

An event that cannot change what is known of a running answer (a delta, the wholes that follow it) is told by its name. One that
is no JSON is taken out or breaks the stream (see `spoilt.py`, and `signs.py` for those that only repeat). Before the answer has
started, an error is kept back: another attempt may be made. An `error` event is kept back at any time, with all that follows, for
whoever ends the reply writes it again; a response that fails after it has started goes on as it is, for its client knows how to
read it. A last event without its blank line gets it if it ends the response.
"""

from __future__ import annotations

import re

from edgegate.dialects.amount import answer_size, size
from edgegate.dialects.base import Json, Progress
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.openai.stray import EventStream
from edgegate.dialects.responses.faults import ended_early, event_failure
from edgegate.dialects.responses.output import CALLS, finish_of, kind_of
from edgegate.dialects.responses.signs import ENDS, PINGS, document, ended, kind_of_event, means_something, note_response, output_of
from edgegate.dialects.spoilt import check_end, sound_events, sound_size
from edgegate.taps import Outcome
from edgegate.wire.sse import Event, EventReader, WholeEvents

_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_USUAL = tuple(
    f"event: response.{name}\n".encode()
    for name in (
        "output_text.delta",
        "function_call_arguments.delta",
        "reasoning_summary_text.delta",
        "reasoning_text.delta",
        "custom_tool_call_input.delta",
        "output_text.done",
        "content_part.added",
        "content_part.done",
        "function_call_arguments.done",
    )
)
"""How events begin that say nothing new about an answer that has started."""


class ResponsesWatch(EventStream):
    """States: not begun (the body may prove to be no event stream, see `openai/stray.py`); running; over (an error was seen:
    nothing goes on). `_called`: an item that is a call has come."""

    __slots__ = ("_called", "_whole")

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self._whole = WholeEvents()
        self._called = False

    def _read(self, data: bytes) -> bytes:
        run = self._whole.feed(data)
        if not run:
            return run
        spoilt = self._progress.spoilt
        out = self._events(run)
        return out if self._progress.spoilt == spoilt else sound_events(out)

    def end(self, outcome: Outcome) -> bytes:
        if not self._begun():
            return b""
        rest = self._whole.rest()
        if outcome is Outcome.OK and not rest:
            check_end(self._progress)
        if not rest or outcome is not Outcome.OK or self._over:
            return b""
        if not rest.strip(b"\r\n"):
            return rest  # the LF of a last CRLF that was cut in two
        finished = self._progress.finished
        whole = all(event.data[:6] == b"[DONE]" or parsed(event.data) is not None for event in EventReader().feed(rest + b"\n\n"))
        whole = whole and self._event(rest)
        check_end(self._progress)
        if not whole or self._progress.finished == finished:
            return b""
        return rest.strip(b"\r\n") + b"\n\n"

    def _events(self, run: bytes) -> bytes:
        """What of a run of whole events goes on: all of it, or all before an error."""
        progress = self._progress
        if b"\r" not in run:
            start = 0
            while start < len(run):
                stop = run.find(b"\n\n", start)
                if stop < 0:
                    break
                found = -1
                if progress.started and run.startswith(_USUAL, start):
                    found = sound_size([run[run.find(b"\n", start) + 7 : stop]], _delta_size)
                if found >= 0:
                    progress.events += 1
                    progress.text_bytes += found
                elif not self._event(run[start:stop]):
                    return run[:start]
                start = stop + 2
            return run
        start = 0
        for blank in _BLANK_LINE.finditer(run):
            if not self._event(run[start : blank.start()]):
                return run[:start]
            start = blank.end()
        return run

    def _event(self, block: bytes) -> bool:
        """Whether this event, given without its blank line, goes on."""
        for event in EventReader().feed(block + b"\n\n"):
            if event.data.startswith(b"[DONE]"):
                if not self._progress.finished:
                    check_end(self._progress)
                    self._progress.error = self._progress.error or ended_early()
            else:
                self._note(event)
        self._over = self._over or self._progress.error is not None
        return not self._over

    def _note(self, event: Event) -> None:
        progress = self._progress
        value = document(event, progress)
        if value is None:
            return
        kind = kind_of_event(value, event)
        if kind in PINGS or progress.finished:
            return
        progress.events += 1
        if kind in ENDS:
            self._end(value)
        elif kind in ("error", "response.error"):
            progress.error = event_failure(value)
        else:
            if kind == "response.output_item.added" or kind == "response.output_item.done":
                self._called = self._called or kind_of(value.get("item")) in CALLS
            elif "response" in value:
                note_response(value["response"], progress)
            progress.text_bytes += _delta_size(value)
            if not progress.started and means_something(kind, value):
                progress.started = True

    def _end(self, value: Json) -> None:
        progress = self._progress
        note_response(value.get("response"), progress)
        response, error = ended(value)
        items = output_of(response)
        if error is None and not items and not progress.started and response.get("status") != "incomplete":
            error = bad_reply("The provider's answer has no output.")
        if error is not None and not progress.started:
            progress.error = error
            return
        if not progress.usage.reported:  # not every vendor writes deltas
            progress.text_bytes = max(progress.text_bytes, answer_size({"output": items}))
        called = self._called or any(kind_of(item) in CALLS for item in items)
        progress.started = progress.finished = True
        progress.finish_reason = "error" if error is not None else finish_of(response, called)


def _delta_size(value: Json) -> int:
    """Only deltas count: what else holds text says it again."""
    piece = value.get("delta")
    if type(piece) is not str:
        return 0
    return len(piece) if piece.isascii() else size(piece)
