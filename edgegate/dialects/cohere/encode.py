"""The tap that writes chat chunks as Cohere's stream.

Parts come one after the other: thinking, text and each tool call are begun, told and ended before the next begins, while chunks may
mix the pieces of several calls. What belongs to another call than the open one waits until that one is closed: when its
arguments are a whole JSON object, or at the finish. Text is written as content, also before tool calls: that a plan it was
is known too late. `message-end` and `[DONE]` are written on the chat's `[DONE]` or by `end(OK)`, and only if a finish reason
has come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import DONE, read_usage
from edgegate.dialects.cohere.answer import items_of
from edgegate.dialects.cohere.citations import citation
from edgegate.dialects.cohere.errors import error_event
from edgegate.dialects.cohere.usage import cohere_usage
from edgegate.dialects.cohere.words import reason_of
from edgegate.dialects.encoding import ChatEncoder
from edgegate.dialects.failure import parsed
from edgegate.errors import GatewayError
from edgegate.wire.sse import MAX_EVENT_BYTES, EventTooLarge

_TAIL = b"}}}}\n\n"


@dataclass(slots=True)
class _Call:
    """A tool call: its key among the chat's, what its first event says, all of its arguments so far."""

    key: Any
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class Encode(ChatEncoder):
    __slots__ = (
        "_calls",
        "_citations",
        "_finish",
        "_held",
        "_id",
        "_index",
        "_kind",
        "_open",
        "_said",
        "_started",
        "_usage",
        "_waiting",
    )

    def __init__(self, id: str) -> None:
        super().__init__()
        self._id = id
        self._usage: Json | None = None
        self._kind = ""  # of the open content part: thinking or text
        self._index = -1  # of the open content part, or of the last one
        self._open: _Call | None = None
        self._waiting: list[_Call] = []
        self._calls = -1  # number of the open call, or of the last one
        self._citations = 0
        self._held = 0  # characters of arguments kept
        self._said: list[str] = []  # the text so far, which citations point into
        self._finish: Json = {}  # the choice that held the finish reason
        self._started = False

    def _failed(self, error: GatewayError) -> bytes:
        return error_event(error, "")

    def _chunk(self, chunk: Json, written: list[bytes]) -> None:
        if not self._started:
            self._started = True
            id = chunk.get("id")
            message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
            start = {"id": id if isinstance(id, str) and id else self._id, "type": "message-start", "delta": {"message": message}}
            written.append(b"event: message-start\ndata: " + orjson.dumps(start) + b"\n\n")
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):  # one choice is all that a reply can hold
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(delta, choice.get("logprobs"), written)
        if choice.get("finish_reason") and not self._finish:
            self._finish = choice

    def _delta(self, delta: Json, logprobs: Any, written: list[bytes]) -> None:
        thoughts = delta.get("reasoning_content")
        if isinstance(thoughts, str) and thoughts:
            self._piece("thinking", thoughts, written)
        for name in ("content", "refusal"):
            text = delta.get(name)
            if isinstance(text, str) and text:
                self._said.append(text)
                items = items_of(logprobs) if logprobs is not None else []
                self._piece("text", text, written, items[0] if len(items) == 1 else None)
                if len(items) > 1:  # an event has room for one
                    self._piece(
                        "text", "", written, {name: [part for item in items for part in item[name]] for name in ("token_ids", "logprobs")}
                    )
        notes = delta.get("annotations")
        for note in notes if isinstance(notes, list) else ():
            cited = citation(note, "".join(self._said))
            if cited is not None:
                head = {"index": self._citations, "delta": {"message": {"citations": cited}}}
                written.append(_event("citation-start", head) + _event("citation-end", {"index": self._citations}))
                self._citations += 1
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(call, written)

    def _piece(self, kind: str, piece: str, written: list[bytes], logprobs: Json | None = None) -> None:
        if self._kind != kind:
            self._close(written)
            if self._open is not None and not self._waiting and _is_whole(self._open):
                self._close_call(written)
            self._kind = kind
            self._index += 1
            written.append(_event("content-start", {"index": self._index, "delta": {"message": {"content": {"type": kind, kind: ""}}}}))
        if logprobs is not None:
            delta = {"message": {"content": {kind: piece}}}
            written.append(_event("content-delta", {"index": self._index, "delta": delta, "logprobs": logprobs}))
            return
        head = b'event: content-delta\ndata: {"type":"content-delta","index":%d,"delta":{"message":{"content":{"%b":' % (
            self._index,
            kind.encode(),
        )
        written.append(head + orjson.dumps(piece) + _TAIL)

    def _close(self, written: list[bytes]) -> None:
        """Ends the open content part."""
        if self._kind:
            self._kind = ""
            written.append(_event("content-end", {"index": self._index}))

    def _call(self, call: Json, written: list[bytes]) -> None:
        """A piece of a tool call. Its index tells which; where there is none, an id begins a new call."""
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        key, id = call.get("index"), call.get("id")
        known = [self._open, *self._waiting] if self._open is not None else self._waiting
        if key is None and not id:
            target = known[-1] if known else None
        else:
            key = id if key is None else key
            target = next((one for one in known if one.key == key), None)
        if target is None:
            name = function.get("name")
            number = self._calls + 1 + len(self._waiting)
            target = _Call(key, id if isinstance(id, str) and id else f"call_{self._id}_{number}", name if isinstance(name, str) else "")
            if self._open is not None and not self._waiting and _is_whole(self._open):
                self._close_call(written)
            self._waiting.append(target)
            if self._open is None:
                self._show(written)
        piece = function.get("arguments")
        if isinstance(piece, str) and piece:
            target.arguments.append(piece)
            self._held += len(piece)
            if self._held > MAX_EVENT_BYTES:
                raise EventTooLarge(f"tool calls of more than {MAX_EVENT_BYTES} characters")
            if target is self._open:
                written.append(self._arguments(piece))

    def _show(self, written: list[bytes]) -> None:
        """Begins the call that has waited longest, with what there is of it."""
        self._close(written)
        self._open = call = self._waiting.pop(0)
        self._calls += 1
        first = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        written.append(_event("tool-call-start", {"index": self._calls, "delta": {"message": {"tool_calls": first}}}))
        written.extend(self._arguments(piece) for piece in call.arguments)

    def _arguments(self, piece: str) -> bytes:
        head = (
            b'event: tool-call-delta\ndata: {"type":"tool-call-delta","index":%d,"delta":{"message":{"tool_calls":{"function":{"arguments":'
        )
        return head % self._calls + orjson.dumps(piece) + b"}" + _TAIL

    def _close_call(self, written: list[bytes]) -> None:
        if self._open is not None:
            if not self._open.arguments:
                written.append(self._arguments("{}"))
            self._open = None
            written.append(_event("tool-call-end", {"index": self._calls}))

    def _end(self, written: list[bytes]) -> None:
        if self._ended or not self._finish:
            return
        self._ended = True
        self._close(written)
        self._close_call(written)
        while self._waiting:
            self._show(written)
            self._close_call(written)
        usage = Usage()
        reported = read_usage(self._usage, usage)
        delta: Json = {"finish_reason": reason_of(str(self._finish["finish_reason"]), self._finish, called=self._calls >= 0)}
        delta["usage"] = cohere_usage(self._usage, usage) if reported else {}
        written.append(_event("message-end", {"delta": delta}) + DONE)


def _event(kind: str, fields: Json) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def _is_whole(call: _Call) -> bool:
    """Whether a call's arguments are complete. A call that has none yet may still get some."""
    return isinstance(parsed("".join(call.arguments).encode()), dict)
