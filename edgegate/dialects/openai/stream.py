"""The stream of an OpenAI-shaped provider -> chat SSE as OpenAI itself would write it.

Chunks that are so already go on as they came, byte for byte. The others are put right: usage moves from wherever it stands
to one last chunk of its own (or away), ids that are empty are filled in, a role is told once, a finish reason comes once and
in OpenAI's words, tool calls are numbered, comments and chunks that say nothing are left out. `[DONE]` follows as soon as the
provider said it of a whole answer, or at the end of a whole answer whose provider did not say it (writer/chat-stream-*).
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE
from edgegate.dialects.failure import parsed
from edgegate.dialects.openai.follow import Follower, choices_asked, choices_of, index_of, reason_of, usage_in
from edgegate.dialects.openai.neutral import Calls, neutral_parts, neutral_usage
from edgegate.dialects.openai.stray import EventStream
from edgegate.dialects.spoilt import check_end, document, is_odd
from edgegate.taps import Outcome
from edgegate.wire.sse import Event, EventReader


class ToChat(EventStream):
    """States: not begun (see `stray.py`); running; over (`[DONE]` or an error was seen: nothing goes on)."""

    __slots__ = ("_ask", "_calls", "_ended", "_follower", "_like", "_reader", "_told", "_usage")

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._ask = ask
        super().__init__(progress)
        self._follower = Follower(progress, choices_asked(ask.chat))
        self._reader = EventReader()
        self._told: set[int] = set()  # choices whose role was told
        self._ended: set[int] = set()  # choices whose finish reason was told
        self._calls: dict[int, Calls] = {}
        self._usage: Json | None = None
        self._like: Json = {}  # id, time and model of the chunks that went on: those that are added here have the same

    def _read(self, data: bytes) -> bytes:
        return self._events(self._reader.feed(data))

    def end(self, outcome: Outcome) -> bytes:
        if not self._begun():
            return b""
        if self._over:
            return b""
        out = self._events([event for event in self._reader.end() if _complete(event.data, outcome)])
        if outcome is Outcome.OK and self._progress.finished and not self._over:
            out += self._last()
        check_end(self._progress)
        return out

    def _events(self, events: list[Event]) -> bytes:
        return b"".join([piece for event in events if (piece := self._event(event.data))])

    def _event(self, data: bytes) -> bytes:
        if self._over:
            return b""
        if data.startswith(b"[DONE]"):
            return self._done()
        chunk = document(data, self._progress)
        if chunk is None:
            self._over = self._progress.error is not None
            return b""
        if not self._follower.chunk(chunk):
            self._over = True
            return b""
        return b"data: " + data + b"\n\n" if self._usual(chunk) and b"\n" not in data and not is_odd(data) else self._put_right(chunk)

    def _usual(self, chunk: Json) -> bool:
        """Whether this is a piece of text as OpenAI writes it."""
        try:
            (choice,) = chunk["choices"]
            delta = choice["delta"]
            return (
                choice["finish_reason"] is None
                and choice["index"] in self._told
                and len(delta) == 1
                and type(delta.get("content")) is str
                and chunk.get("usage") is None
                and bool(chunk["id"])
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            return False

    def _put_right(self, chunk: Json) -> bytes:
        self._usage = usage_in(chunk) or self._usage
        choices = [choice for old in choices_of(chunk) if (choice := self._choice(old)) is not None]
        return self._chunk(choices, chunk) if choices else b""

    def _choice(self, choice: Json) -> Json | None:
        index = index_of(choice)
        raw = choice.get("delta")
        delta = neutral_parts(raw) if type(raw) is dict else {}
        if type(delta.get("tool_calls")) is list:
            delta = {**delta, "tool_calls": self._calls_of(index).delta(delta["tool_calls"])}
        reason = reason_of(choice) if index not in self._ended else ""
        if index in self._told:
            delta = {name: value for name, value in delta.items() if name != "role"}
        elif delta or reason:
            self._told.add(index)
            delta = {"role": "assistant", **delta}
        if reason:
            self._ended.add(index)
        elif all(value is None for value in delta.values()):
            return None
        return {**choice, "index": index, "delta": delta, "finish_reason": reason or None}

    def _calls_of(self, index: int) -> Calls:
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = Calls(self._ask.id)
        return calls

    def _chunk(self, choices: list[Json], like: Json, **more: Any) -> bytes:
        known = self._like
        head = {
            "id": like.get("id") or known.get("id") or self._ask.id,
            "created": like.get("created") or known.get("created") or self._ask.created,
            "model": like.get("model") or known.get("model") or self._progress.model or self._ask.model,
        }
        if not known:
            self._like = head
        chunk = {**like, **head, "object": "chat.completion.chunk", "choices": choices}
        chunk.pop("usage", None)
        chunk.pop("x_groq", None)
        chunk.update(more)
        return b"data: " + orjson.dumps(chunk) + b"\n\n"

    def _done(self) -> bytes:
        self._over = True
        return self._last() if self._follower.done() else b""

    def _last(self) -> bytes:
        """What follows the answer: finish reasons its provider never writes, the usage if it was asked for, `[DONE]`."""
        self._over = True
        out = b""
        for index in sorted(self._told - self._ended):
            reason = "tool_calls" if index in self._calls else "stop"
            out += self._chunk([{"index": index, "delta": {}, "finish_reason": reason}], {})
            self._progress.finish_reason = reason
        if self._usage is not None and self._ask.include_usage:
            out += self._chunk([], {}, usage=neutral_usage(self._usage, self._progress.usage))
        return out + DONE


def _complete(data: bytes, outcome: Outcome) -> bool:
    """Whether an event that the stream's end cut off is a whole one. `[DONE]` counts only where the stream ended well."""
    return outcome is Outcome.OK if data.startswith(b"[DONE]") else parsed(data) is not None
