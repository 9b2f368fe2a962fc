"""Cohere's stream as a chat stream.

Events say what they are twice, in `event:` and in `data.type`; the latter is read. A plan before tool calls goes by as text. A
call is one object, in the SDK's oldest types a list of one. All that follows `message-end` is `[DONE]`, which older streams
leave out. An ERROR there is no answer, whatever came before.

States: running; failed (`progress.error` is set, nothing more is written); done (`[DONE]` was written).
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.amount import size
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE, ChunkWriter, arguments_text
from edgegate.dialects.cohere.citations import noted
from edgegate.dialects.cohere.errors import error_inside, gave_up
from edgegate.dialects.cohere.reply import logprobs_of, piece_of
from edgegate.dialects.cohere.usage import chat_usage, read_units
from edgegate.dialects.cohere.words import FAILED, finish_of, stopped
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.spoilt import check_end, document
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader, EventTooLarge

_SILENT = ("content-end", "citation-end", "debug")
_OF_CALLS = (b"tool-call-start", b"tool-call-delta")
"""Names of events that cannot be left out if they are spoilt: half a call must not be made."""


class CohereStream:
    """Tap: Cohere's events -> chat SSE bytes."""

    __slots__ = ("_ask", "_calls", "_done", "_id", "_open", "_progress", "_reader", "_told_role", "_writer")

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._ask = ask
        self._progress = progress
        self._reader = EventReader()
        self._id = ask.id
        self._writer = ChunkWriter(ask.id, ask.created, ask.model)
        self._calls = 0
        self._open = False  # a call has begun and nothing of its arguments has come
        self._told_role = self._done = False

    def feed(self, data: bytes) -> bytes:
        if self._done or self._progress.error is not None:
            return b""
        try:
            events = self._reader.feed(data)
        except EventTooLarge as error:
            return self._fail(bad_reply(f"Cohere's stream holds {error}"))
        return b"".join([self._event(event.data, event.name) for event in events])

    def end(self, outcome: Outcome) -> bytes:
        """A last event without its blank line counts if it is whole."""
        if self._done or self._progress.error is not None:
            return b""
        out = b"".join([self._event(event.data) for event in self._reader.end() if parsed(event.data) is not None])
        check_end(self._progress)
        return out if outcome is Outcome.OK else b""

    def _fail(self, error: GatewayError) -> bytes:
        self._progress.error = error
        return b""

    def _event(self, data: bytes, name: bytes = b"") -> bytes:
        progress = self._progress
        if self._done or progress.error is not None or data == b"[DONE]":
            return b""
        event = document(data, progress)
        if event is None:
            return self._fail(bad_reply("Cohere's stream holds a tool call that is no JSON object")) if name in _OF_CALLS else b""
        progress.events += 1
        kind = event.get("type")
        delta = event.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.get("message")
        message = message if isinstance(message, dict) else {}
        if kind == "content-delta" or kind == "content-start":
            return self._content(message.get("content"), event.get("logprobs"))
        if kind == "message-start":
            return self._begin(event, message)
        if kind == "tool-plan-delta":
            return self._text(piece_of(message, "tool_plan"), [])
        if kind in ("tool-call-start", "tool-call-delta", "tool-call-end"):
            return self._call(str(kind), message.get("tool_calls"))
        if kind == "citation-start":
            given = message.get("citations")
            notes = noted(given if isinstance(given, list) else [given])
            return self._role() + self._writer.delta({"annotations": notes}) if notes else b""
        if kind == "message-end":
            return self._finish(delta)
        if kind in _SILENT or (isinstance(kind, str) and not event.get("message")):
            return b""  # an event newer than this module is no error
        return self._fail(error_inside(event))

    def _role(self) -> bytes:
        told, self._told_role = self._told_role, True
        return b"" if told else self._writer.role()

    def _begin(self, event: Json, message: Json) -> bytes:
        id = event.get("id")
        if isinstance(id, str) and id and not self._told_role:
            self._id = id
            self._writer = ChunkWriter(id, self._ask.created, self._ask.model)
        self._progress.model = self._progress.model or self._ask.model
        return self._role() + self._content(message.get("content"), None)

    def _content(self, content: Any, logprobs: Any) -> bytes:
        entries = logprobs_of(logprobs) if logprobs is not None else []
        if isinstance(content, list):  # as in `message-start`, where it is empty so far
            return b"".join([self._content(part, None) for part in content if isinstance(part, dict)])
        if not isinstance(content, dict):
            return self._text(content, entries) if isinstance(content, str) else b""
        thinking = piece_of(content, "thinking")
        out = b""
        if thinking:
            self._progress.started = True
            self._progress.text_bytes += size(thinking)
            out = self._role() + self._writer.reasoning(thinking)
        return out + self._text(piece_of(content, "text"), entries)

    def _text(self, text: str, entries: list[Json]) -> bytes:
        if not text and not entries:
            return b""
        self._progress.started = True
        self._progress.text_bytes += size(text)
        if entries:
            return self._role() + self._writer.delta({"content": text}, logprobs={"content": entries, "refusal": None})
        return self._writer.text(text) if self._told_role else self._role() + self._writer.text(text)

    def _call(self, kind: str, call: Any) -> bytes:
        if isinstance(call, list):
            call = call[0] if call else None
        call = call if isinstance(call, dict) else {}
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = arguments_text(function)
        self._progress.text_bytes += size(arguments)
        if kind == "tool-call-start":
            self._progress.started = True
            out = self._role() + self._filled()
            id = call.get("id") if isinstance(call.get("id"), str) and call["id"] else f"call_{self._id}_{self._calls}"
            self._calls += 1
            self._open = not arguments
            return out + self._writer.call(self._calls - 1, id, piece_of(function, "name"), arguments)
        if kind == "tool-call-end":
            return self._filled()
        if not self._calls:
            return self._fail(bad_reply("Cohere's stream holds arguments of a tool call that never began"))
        self._open = self._open and not arguments
        return self._writer.arguments(self._calls - 1, arguments) if arguments else b""

    def _filled(self) -> bytes:
        """A call that takes nothing may have no arguments at all: they are the empty object."""
        was_open, self._open = self._open, False
        return self._writer.arguments(self._calls - 1, "{}") if was_open else b""

    def _finish(self, delta: Json) -> bytes:
        progress = self._progress
        billed = read_units(delta.get("usage"), progress.usage)
        reason = delta.get("finish_reason")
        if not isinstance(reason, str):
            return self._fail(error_inside(delta))
        if reason in FAILED:
            return self._fail(gave_up(reason, delta))
        progress.started = progress.finished = True
        progress.model = progress.model or self._ask.model
        progress.finish_reason = finish_of(reason, called=bool(self._calls))
        self._done = True
        out = self._role() + self._filled()
        out += self._writer.delta({}, finish_reason=progress.finish_reason, **stopped(reason, self._ask.chat))
        if self._ask.include_usage and progress.usage.reported:
            out += self._writer.usage(progress.usage) if billed is None else self._usage(billed)
        return out + DONE

    def _usage(self, billed: Json) -> bytes:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self._ask.created, "model": self._ask.model}
        return b"data: " + orjson.dumps({**head, "choices": [], "usage": chat_usage(self._progress.usage, billed)}) + b"\n\n"
