"""Function calling as it was before tools: `functions`, `function_call`, and messages of the role `function`.

Old apps still speak it, most providers do not understand it. So it becomes tools in the neutral form, and for an app that
offered `functions` the answer's call becomes a `function_call` again. One answer held one call; further ones stay in
`tool_calls`. Calls had no ids: they get some that are the same whenever the conversation is sent.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import DONE
from edgegate.dialects.openai.follow import choices_of
from edgegate.taps import Outcome
from edgegate.wire.sse import Event, EventReader


def is_legacy(request: Json) -> bool:
    """Whether a checked request uses any of it."""
    if request.get("functions") is not None or request.get("function_call") is not None:
        return True
    if any(tool.get("type") is None for tool in request.get("tools") or ()):
        return True
    return any(message["role"] == "function" or message.get("function_call") is not None for message in request["messages"])


def modern(request: Json) -> Chat:
    """The request with tools instead."""
    chat: Chat = {name: value for name, value in request.items() if name not in ("functions", "function_call")}
    if request.get("tools"):  # Mistral's clients leave the type of a function out
        chat["tools"] = [tool if tool.get("type") is not None else {**tool, "type": "function"} for tool in request["tools"]]
    functions = request.get("functions")
    if functions:
        tools = [{"type": "function", "function": function} for function in functions]
        chat["tools"] = [*(chat.get("tools") or []), *tools]
    choice = request.get("function_call")
    if choice is not None and functions and request.get("tool_choice") is None:
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}} if isinstance(choice, dict) else choice
    chat["messages"] = _messages(request["messages"])
    return chat


def _messages(messages: list[Json]) -> list[Json]:
    out: list[Json] = []
    waiting: dict[str, str] = {}  # function -> id of its last call
    for at, message in enumerate(messages):
        call = message.get("function_call")
        if message["role"] == "function":
            id = waiting.pop(message["name"], f"call_{at}")
            rest = {name: value for name, value in message.items() if name not in ("role", "name")}
            out.append({**rest, "role": "tool", "tool_call_id": id, "content": message.get("content") or ""})
        elif call is not None:
            id = waiting[call["name"]] = f"call_{at}"
            rest = {name: value for name, value in message.items() if name != "function_call"}
            calls = [*(message.get("tool_calls") or []), {"id": id, "type": "function", "function": call}]
            out.append({**rest, "tool_calls": calls})
        else:
            out.append(message)
    return out


def legacy_reply(reply: bytes) -> bytes:
    """A chat completion with its tool call as a `function_call`."""
    completion = orjson.loads(reply)
    for choice in choices_of(completion):
        message = choice.get("message")
        if isinstance(message, dict):
            _rewrite(message, choice)
    return orjson.dumps(completion)


class ToLegacy:
    """Tap: the same for a stream. Events without calls go on as they are."""

    __slots__ = ("_reader",)

    def __init__(self) -> None:
        self._reader = EventReader()

    def feed(self, data: bytes) -> bytes:
        return b"".join([self._event(event) for event in self._reader.feed(data)])

    def end(self, outcome: Outcome) -> bytes:
        rest = [event for event in self._reader.end() if outcome is Outcome.OK or event.data != b"[DONE]"]
        return b"".join([self._event(event) for event in rest])

    def _event(self, event: Event) -> bytes:
        if event.data == b"[DONE]":
            return DONE
        if b'"tool_calls"' not in event.data:
            return b"data: " + event.data + b"\n\n"
        try:
            chunk = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            return b""  # half an event: the stream broke
        for choice in choices_of(chunk):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                _rewrite(delta, choice)
        return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _rewrite(message: Json, choice: Json) -> None:
    """Changes a message or delta, and its choice, in place."""
    calls: Any = message.get("tool_calls")
    first = None
    for at, call in enumerate(calls if isinstance(calls, list) else []):
        if isinstance(call, dict) and call.get("index", at) == 0 and isinstance(call.get("function"), dict):
            first = call
    if first is not None:
        message["function_call"] = first["function"]
        message["tool_calls"] = [call for call in calls if call is not first]
        if not message["tool_calls"]:
            del message["tool_calls"]
    if choice.get("finish_reason") == "tool_calls":
        choice["finish_reason"] = "function_call"
