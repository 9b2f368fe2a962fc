"""Messages, deltas and usage of compatible providers, in the words of the chat.

What differs in the wild: reasoning under three names, tool calls without index, id, type or arguments, `null` and empty
objects for "nothing" (snowflake/chat-*, writer/chat-*), usage with flat cache counts. `<think>` tags in the text are left
alone: only the client can know whether they are markup or content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import text_of


def neutral_usage(usage: Json, counted: Usage) -> Json:
    """A provider's usage object with what it lacks; what it has beyond that (cost, audio tokens) stays."""
    details = usage.get("prompt_tokens_details")
    written = usage.get("completion_tokens_details")
    reasoned = {"completion_tokens_details": {"reasoning_tokens": counted.reasoning_tokens}} if counted.reasoning_tokens else {}
    return {
        **usage,
        **({} if isinstance(written, dict) else reasoned),
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": usage.get("total_tokens") or counted.input_tokens + counted.output_tokens,
        "prompt_tokens_details": {**(details if isinstance(details, dict) else {}), "cached_tokens": counted.cached_tokens},
    }


def neutral_parts(message: Json) -> Json:
    """A message or delta without what stands for nothing, its reasoning as `reasoning_content`. The same object if it was so."""
    nothing = [name for name, value in message.items() if value is None and name not in _NULLABLE]
    if not nothing and not message.keys() & _TELLING and type(message.get("content")) in (str, type(None)):
        return message
    out = {name: value for name, value in message.items() if name not in nothing}
    reasoning = out.pop("reasoning", None)
    if reasoning and not out.get("reasoning_content"):
        out["reasoning_content"] = reasoning
    if out.get("content") is not None and type(out["content"]) is not str:
        out["content"] = text_of(out["content"])
    for name, kind in _KINDS.items():
        value = out.get(name)
        if value is not None and (type(value) is not kind or not value):
            del out[name]
    for name in ("function_call", "audio"):
        if name in out and not any(out[name].values()):
            del out[name]
    return out


_NULLABLE = ("content", "refusal")  # OpenAI itself writes null for these
_KINDS: Mapping[str, type] = {
    "reasoning_content": str,
    "refusal": str,
    "tool_calls": list,
    "function_call": dict,
    "audio": dict,
}
_TELLING = frozenset((*_KINDS, "reasoning"))


def neutral_call(call: Json, position: int, id: str) -> Json:
    """A whole tool call: with id, type and arguments as text."""
    raw = call.get("function")
    function = raw if isinstance(raw, dict) else {}
    if call.get("id") and call.get("type") and isinstance(function.get("arguments"), str):
        return call
    out = {name: value for name, value in call.items() if value is not None}
    out["id"] = call.get("id") or f"call_{id}_{position}"
    out["type"] = call.get("type") or "function"
    if function or out["type"] == "function":
        out["function"] = {**function, "arguments": _as_text(function.get("arguments"))}
    return out


def _as_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else orjson.dumps(arguments).decode()


class Calls:
    """Numbers the tool calls of one choice of a stream.

    An index that is there is believed, unless a new call (another id, with a name) comes under an old one: Google's endpoint
    counts every call 0. Without an index (older Mistral), a new id begins a new call and no id continues the last one.
    """

    __slots__ = ("_ids", "_names", "_reply_id")

    def __init__(self, reply_id: str) -> None:
        self._ids: list[str] = []  # by our number
        self._names: dict[int, int] = {}  # the provider's index -> our number
        self._reply_id = reply_id

    def delta(self, calls: list[Any]) -> list[Json]:
        return [self._one(call) for call in calls if isinstance(call, dict)]

    def _one(self, call: Json) -> Json:
        raw = call.get("function")
        function: Json = {name: value for name, value in raw.items() if value is not None} if isinstance(raw, dict) else {}
        id = call.get("id") or ""
        index = call.get("index")
        number = self._names.get(index) if type(index) is int else self._known(id)
        if number is None or (id and function.get("name") and id != self._ids[number]):
            number = len(self._ids)
            self._ids.append(id or f"call_{self._reply_id}_{number}")
            if type(index) is int:
                self._names[index] = number
            function = {**function, "arguments": "" if function.get("arguments") is None else _as_text(function["arguments"])}
            head: Json = {"index": number, "id": self._ids[number], "type": call.get("type") or "function"}
        else:
            head = {"index": number}
            if "arguments" in function:
                function["arguments"] = _as_text(function["arguments"])
            if id == self._ids[number]:
                function.pop("name", None)  # repeated: clients would append it to itself
        more = {name: value for name, value in call.items() if name not in ("index", "id", "type", "function") and value is not None}
        return {**head, **more, "function": function} if function else {**head, **more}

    def _known(self, id: str) -> int | None:
        if not id:
            return len(self._ids) - 1 if self._ids else None
        return self._ids.index(id) if id in self._ids else None
