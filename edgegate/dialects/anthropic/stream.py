"""The tap that turns a message stream into chat chunks.

States: before `message_start`; inside a content block (`_kind` says of which type) or between two; finished (the stop
reason has come); over (`[DONE]` was written, or `progress.error` is set). Blocks of tools that Anthropic runs itself
(`server_tool_use`, `*_tool_result`) are no tool calls of the client's: nothing is written for them but the citations that
later text carries. Unknown events, blocks and deltas are passed over. A call that stands for something else (`custom`) is
written as that: pieces of JSON as text, a custom tool's input whole, at its end.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.anthropic.citations import annotation
from edgegate.dialects.anthropic.custom import Stands
from edgegate.dialects.anthropic.errors import event_error
from edgegate.dialects.anthropic.frames import DELTA, deltas_only, documents
from edgegate.dialects.anthropic.noting import OPENING, Malformed, Noting, Spoilt, delta_size, document, member, name_of
from edgegate.dialects.anthropic.reply import call_extra, finishing
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.dialects.custom import text_in
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.spoilt import check_end, leave_out
from edgegate.dialects.spoilt import document as sound
from edgegate.taps import Outcome
from edgegate.wire.sse import MAX_EVENT_BYTES, EventReader, EventTooLarge, WholeEvents

_HEAD = len(DELTA)
_MAX_HELD = MAX_EVENT_BYTES
"""Characters of one thinking block, which is kept until its signature comes, or one custom tool's input: both go on as one
event."""


class MessageStream:
    __slots__ = (
        "_arguments",
        "_ask",
        "_block",
        "_calls",
        "_citations",
        "_held",
        "_held_length",
        "_kind",
        "_length",
        "_noting",
        "_over",
        "_progress",
        "_reader",
        "_signature",
        "_stands",
        "_start",
        "_whole",
        "_writer",
    )

    def __init__(self, ask: Ask, progress: Progress) -> None:
        self._ask = ask
        self._progress = progress
        self._noting = Noting(progress)
        self._whole = WholeEvents()
        self._reader = EventReader()
        self._writer = ChunkWriter(ask.id, ask.created, ask.model)
        self._stands = Stands(ask)
        self._over = False
        self._calls = 0  # tool calls begun; counts tool blocks only, as the chat's index does
        self._length = 0  # characters of text written, for the places that citations point to
        self._begin(None, {})

    def feed(self, data: bytes) -> bytes:
        if self._over:
            return b""
        try:
            data = self._whole.feed(data)
        except EventTooLarge as error:
            return self._fail(f"the provider's stream holds {error}")
        if not data:
            return data
        written: list[bytes] = []
        try:
            number = deltas_only(data)
            if number == 1:  # most reads of most streams
                return self._piece(data[_HEAD:-2])
            if number:
                written.extend(self._piece(text) for text in documents(data))
            else:
                self._read(data, written)
        except Malformed as error:
            written.append(self._fail(str(error)))
        return b"".join(written)

    def _piece(self, data: bytes) -> bytes:
        """The data of one content delta."""
        if self._over:
            return b""
        value = sound(data, self._progress)
        if value is None:
            self._over = self._progress.error is not None
            return b""
        self._progress.events += 1
        return self._delta(value)

    def end(self, outcome: Outcome) -> bytes:
        rest = self._whole.rest()
        if self._over or outcome is not Outcome.OK:
            self._over = True
            return b""
        written: list[bytes] = []
        try:
            for event in self._reader.feed(rest) + self._reader.end():
                if parsed(event.data) is not None:  # else half an event
                    self._event(name_of(event), event.data, written)
        except Malformed as error:
            self._fail(str(error))
        if not self._over and self._progress.finished:  # message_stop may be missing
            written.append(self._done())
        check_end(self._progress)
        return b"".join(written)

    def _read(self, data: bytes, written: list[bytes]) -> None:
        for event in self._reader.feed(data):
            try:
                self._event(name_of(event), event.data, written)
            except Spoilt:
                if event.name in OPENING:
                    raise
                leave_out(event.data, self._progress)
                self._over = self._progress.error is not None
            if self._over:
                return

    def _event(self, name: str, data: bytes, written: list[bytes]) -> None:
        if name == "ping":
            return
        if name == "content_block_delta":
            written.append(self._delta(document(data)))
        elif name == "content_block_start":
            written.append(self._close_block())
            written.append(self._open_block(self._noting.block_start(document(data))))
        elif name == "content_block_stop":
            written.append(self._close_block())
        elif name == "message_start":
            message = self._noting.message_start(document(data))
            id = message.get("id")
            ask = self._ask
            self._writer = ChunkWriter(id if isinstance(id, str) and id else ask.id, ask.created, self._progress.model or ask.model)
            written.append(self._writer.role())
        elif name == "message_delta":
            value = document(data)
            written.append(self._close_block())
            reason = self._noting.message_delta(value)
            if reason:
                if reason == "tool_calls" and self._stands.answer and not self._calls:
                    self._progress.finish_reason = reason = "stop"  # the only call was the answer
                delta, more = finishing({**value, **member(value, "delta")})
                written.append(self._writer.delta(delta, 0, reason, **more))
        elif name == "message_stop":
            if self._progress.finished:
                written.append(self._done())
        elif name == "error":
            self._over = True
            self._progress.error = event_error(parsed(data), data)
        self._progress.events += 1

    def _begin(self, kind: Any, block: Json) -> None:
        self._kind = kind
        self._block = block
        self._held: list[str] = []
        self._held_length = 0
        self._signature = ""
        self._arguments = False  # whether any were written
        self._citations: list[Json] = []
        self._start = self._length

    def _open_block(self, block: Json) -> bytes:
        """Blocks start empty at Anthropic; compatible vendors may put the first piece, or all of it, into the start."""
        kind = block.get("type")
        self._begin(kind, block)
        if kind == "text":
            return self._text(block.get("text")) if block.get("text") else b""
        if kind == "thinking":
            signature = block.get("signature")
            self._signature = signature if isinstance(signature, str) else ""
            return self._reasoning(block.get("thinking")) if block.get("thinking") else b""
        if kind == "redacted_thinking":
            return self._writer.delta({"thinking_blocks": [block]})
        if kind == "tool_use":
            id, name = block.get("id"), block.get("name")
            if not isinstance(id, str) or not isinstance(name, str):
                raise Malformed("a tool_use block of the provider's stream has no id or name")
            if self._stands and (self._stands.is_answer(name) or self._stands.is_custom(name)):
                self._kind = "answer" if self._stands.is_answer(name) else "custom"
                return b""
            self._calls += 1
            return self._writer.call(self._calls - 1, id, name, extra=call_extra(block))
        return b""

    def _delta(self, value: Json) -> bytes:
        delta = value.get("delta")
        if type(delta) is not dict:
            raise Malformed("a content_block_delta of the provider's stream has no delta")
        self._progress.text_bytes += delta_size(value)
        kind = delta.get("type")
        if kind == "text_delta":
            return self._text(delta.get("text"))
        if kind == "input_json_delta":
            piece = _string(delta.get("partial_json"))
            if not piece:
                return b""
            if self._kind != "tool_use":
                return self._standing(piece)
            self._arguments = True
            return self._writer.arguments(self._calls - 1, piece)
        if kind == "thinking_delta":
            return self._reasoning(delta.get("thinking"))
        if kind == "signature_delta":
            self._progress.started = True
            self._signature = _string(delta.get("signature"))
        elif kind == "citations_delta" and isinstance(delta.get("citation"), dict):
            self._progress.started = True
            self._citations.append(delta["citation"])
        return b""

    def _text(self, piece: Any) -> bytes:
        if type(piece) is not str:
            raise Malformed("a text delta of the provider's stream holds no text")
        if not piece:
            return b""
        self._progress.started = True
        self._length += len(piece)
        return self._writer.text(piece)

    def _standing(self, piece: str) -> bytes:
        """A piece of the arguments of a call that stands for something else, or of the input of a tool that Anthropic runs."""
        if self._kind == "answer":
            self._arguments = True
            return self._text(piece)
        if self._kind == "custom":
            self._arguments = True
            self._hold(piece)
        elif self._kind is None and self._progress.spoilt:
            raise Malformed("the beginning of a tool call of the provider's stream is lost")
        return b""

    def _hold(self, piece: str) -> None:
        """Keeps a piece of what goes on as a whole."""
        self._held_length += len(piece)
        if self._held_length > _MAX_HELD:
            raise Malformed(f"the provider's stream holds a block of more than {_MAX_HELD} characters that goes on as a whole")
        self._held.append(piece)

    def _reasoning(self, piece: Any) -> bytes:
        text = _string(piece)
        if not text:
            return b""
        self._progress.started = True
        self._hold(text)
        return self._writer.reasoning(text)

    def _close_block(self) -> bytes:
        """What is known only now: a thinking block that is signed, the `{}` of a call without arguments, citations."""
        kind = self._kind
        written = b""
        if kind == "thinking" and self._signature:
            block = {"type": "thinking", "thinking": "".join(self._held), "signature": self._signature}
            written = self._writer.delta({"thinking_blocks": [block]})
        elif kind == "tool_use" and not self._arguments:
            given = self._block.get("input")
            written = self._writer.arguments(self._calls - 1, orjson.dumps(given).decode() if isinstance(given, dict) else "{}")
        elif kind == "answer" and not self._arguments:
            given = self._block.get("input")
            written = self._text(orjson.dumps(given).decode() if isinstance(given, dict) else "{}")
        elif kind == "custom":
            text = text_in("".join(self._held) if self._arguments else self._block.get("input"))
            call = {"id": self._block["id"], "type": "custom", "custom": {"name": self._block["name"], "input": text}}
            self._calls += 1
            written = self._writer.delta({"tool_calls": [{"index": self._calls - 1, **call}]})
        elif kind == "text" and self._citations:
            notes = [annotation(citation, self._start, self._length) for citation in self._citations]
            written = self._writer.delta({"annotations": notes})
        if kind is not None:
            self._begin(None, {})
        return written

    def _done(self) -> bytes:
        self._over = True
        usage = self._progress.usage
        return (self._writer.usage(usage) if self._ask.include_usage and usage.reported else b"") + DONE

    def _fail(self, message: str) -> bytes:
        self._over = True
        self._progress.error = bad_reply(message)
        return b""


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
