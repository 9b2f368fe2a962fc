"""The tap of a native stream: bytes go on unchanged, in whole events, and are read along.

Declared edits, and no others:
- the usage-only chunk is taken out when the client did not ask for it (edgegate asks upstream for its own books);
- an event whose data is not JSON is taken out, and the stream goes on unless it held a piece of the answer (see `spoilt.py`);
- an error event, and all after it, is taken out: `progress.error` has it, and whoever ends the reply writes it again;
- `[DONE]` without a finish reason is taken out, see `follow.py`;
- a last event without its blank line gets it, and a whole answer without `[DONE]` gets that: clients wait for it.

Every event is parsed: that costs 0.6 us, less than any sequence of byte searches that would prove as much.
"""

from __future__ import annotations

import re

import orjson

from edgegate.dialects.amount import choice_size, delta_size, size
from edgegate.dialects.base import Json, Progress
from edgegate.dialects.chat import DONE
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.openai.follow import Follower
from edgegate.dialects.openai.stray import StrayBody
from edgegate.dialects.spoilt import check_end, document
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge, WholeEvents

_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


_loads = orjson.loads


class PassThrough:
    """States: not begun (the body may yet prove to be no event stream, see `stray.py`); running; over (`[DONE]` or an error
    was seen: nothing goes on). `_clear` is set while running, with the answer begun and no half event held: `feed` then has a
    short way for a read that is one whole event, which must not differ from the long one in what it does."""

    __slots__ = ("_clear", "_follower", "_over", "_progress", "_running", "_show_usage", "_stray", "_whole")

    def __init__(self, progress: Progress, asked: int, show_usage: bool) -> None:
        self._progress = progress
        self._follower = Follower(progress, asked)
        self._running = self._follower.running
        self._show_usage = show_usage
        self._whole = WholeEvents()
        self._stray: StrayBody | None = StrayBody()  # None once the body has proved to be an event stream
        self._over = False
        self._clear = False

    def feed(self, data: bytes) -> bytes:
        if self._clear and data.find(b"\n") == len(data) - 2 and data[-1] == 10:  # one event: the rule
            size = _usual(data, self._running)
            if size >= 0:
                progress = self._progress
                progress.events += 1
                progress.text_bytes += size
                return data
        if self._stray is not None:
            data = self._first(data)
        if self._over:
            return b""
        try:
            run = self._whole.feed(data)
        except EventTooLarge as error:
            self._stop(bad_reply(f"The provider sent {error}."))
            return b""
        if run:
            run = self._events(run)
        self._clear = data.endswith(b"\n\n") and self._progress.started and not self._over
        return run

    def end(self, outcome: Outcome) -> bytes:
        if self._stray is not None:
            self._progress.error = self._progress.error or self._stray.verdict()
            return b""
        rest = b"" if self._over else self._whole.rest().strip(b"\r\n")
        if not rest or (outcome is not Outcome.OK and b"[DONE]" in rest) or not self._event(rest, last=True):
            rest = b""
        if rest:
            rest += b"\n\n"
        if outcome is Outcome.OK and self._progress.finished and self._progress.error is None and not self._over:
            self._over = True
            rest += DONE
        check_end(self._progress)
        return rest

    def _first(self, data: bytes) -> bytes:
        """The first bytes, once it is clear that they are events; b"" while it is not, or if they are something else."""
        assert self._stray is not None
        data = self._stray.feed(data)
        if data:
            self._stray = None
        elif self._stray.error is not None:
            self._progress.error = self._stray.error
        return data

    def _events(self, run: bytes) -> bytes:
        """Any number of events in any shape."""
        if b"\r" not in run:
            blocks = run.split(b"\n\n")
            blocks.pop()
            started = self._progress.started and not self._over
            kept = []
            for block in blocks:
                if started and b"\n" not in block and (size := _usual(block, self._running)) >= 0:
                    self._progress.events += 1
                    self._progress.text_bytes += size
                    kept.append(block)
                    continue
                if self._event(block):
                    kept.append(block)
                started = self._progress.started and not self._over
            if len(kept) == len(blocks):
                return run
            kept.append(b"")
            return b"\n\n".join(kept)
        kept = []
        start = 0
        for match in _BLANK_LINE.finditer(run):
            if self._event(run[start : match.start()]):
                kept.append(run[start : match.end()])
            start = match.end()
        out = b"".join(kept) + run[start:]  # behind the last blank line there may be an LF that a CR has left over
        return run if len(out) == len(run) else out

    def _event(self, block: bytes, last: bool = False) -> bool:
        """Whether this event, given without its blank line, goes on."""
        if self._over:
            return False
        if block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block:
            data = block[6:]
        else:
            events = EventReader().feed(block + b"\n\n")
            if not events:
                return not last  # comments, and fields other than data
            data = events[0].data
        if data.startswith(b"[DONE]"):
            self._over = True
            self._clear = False
            return self._follower.done()
        if last and parsed(data) is None:
            return False  # half an event
        chunk = document(data, self._progress)
        if chunk is None:
            if self._progress.error is not None:
                self._stop(self._progress.error)
            return False
        return self._chunk(chunk)

    def _chunk(self, chunk: Json) -> bool:
        if not self._follower.chunk(chunk):
            self._stop(self._progress.error)
            return False
        return self._show_usage or not chunk.get("usage") or bool(chunk.get("choices"))

    def _stop(self, error: GatewayError | None) -> None:
        self._progress.error = error
        self._over = True
        self._clear = False


def _usual(event: bytes, running: set[int]) -> int:
    """The size of the usual chunk of a running answer, if this line is one: one choice, no finish reason, no usage, no error. Else -1."""
    if not event.startswith(b"data: {"):
        return -1
    try:
        chunk = _loads(event[6:])
        (choice,) = chunk["choices"]
        if choice["finish_reason"] is None and choice["index"] in running and "error" not in chunk and chunk.get("usage") is None:
            delta = choice.get("delta")
            if not delta:
                return choice_size(choice)
            text = delta.get("content")
            if text and len(delta) == 1:  # nearly always
                return len(text) if text.isascii() else size(text)
            return delta_size(delta)
    except (AttributeError, KeyError, ValueError, TypeError):
        pass  # another shape, or not JSON
    return -1
