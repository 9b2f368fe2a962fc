"""Calls of functions that stand for custom tools (see `custom.py`), turned back: `as_customs` for a plain reply, `custom_calls`
for a stream."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.custom import TEXT, custom_names, text_in
from edgegate.dialects.failure import bad_reply
from edgegate.taps import Outcome, Tap
from edgegate.wire.sse import MAX_EVENT_BYTES


def as_customs(ask: Ask, reply: bytes) -> bytes:
    """A chat completion with the calls of such functions as what they stand for; the same bytes if there are none."""
    names = frozenset(custom_names(ask.chat))
    if not names or b'"tool_calls"' not in reply:
        return reply
    completion = orjson.loads(reply)
    for choice in completion["choices"]:
        message = choice.get("message")
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        if isinstance(calls, list):
            message["tool_calls"] = [_custom_call(call) if _called(call) in names else call for call in calls]
    return orjson.dumps(completion)


def custom_calls(ask: Ask, progress: Progress, tap: Tap) -> Tap:
    """The same for the stream that `tap` writes: the tap itself where no custom tool is on offer."""
    names = frozenset(custom_names(ask.chat))
    return CustomCalls(names, progress, tap) if names else tap


class CustomCalls:
    """Tap: chat SSE out of another tap, whose bytes are whole events, with the calls of some functions as custom calls. The call's
    beginning goes on at once, its input when the arguments are whole, or the choice ends."""

    __slots__ = ("_held", "_names", "_progress", "_size", "_tap", "_told")

    def __init__(self, names: frozenset[str], progress: Progress, tap: Tap) -> None:
        self._names = names
        self._progress = progress
        self._tap = tap
        self._held: dict[tuple[int, int], list[str]] = {}  # (choice, call) -> pieces of the arguments so far
        self._told: set[tuple[int, int]] = set()  # calls of custom tools, whole or not
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        return self._read(self._tap.feed(data))

    def end(self, outcome: Outcome) -> bytes:
        return self._read(self._tap.end(outcome))

    def _read(self, events: bytes) -> bytes:
        if not self._held and b'"tool_calls"' not in events:
            return events
        return b"".join([self._event(event) for event in events.split(b"\n\n") if event])

    def _event(self, event: bytes) -> bytes:
        if self._size > MAX_EVENT_BYTES:
            return b""
        whole = event + b"\n\n"
        if not event.startswith(b"data: {"):
            return whole
        if b'"tool_calls"' not in event and (not self._held or b'"finish_reason":null' in event):
            return whole
        chunk = orjson.loads(event[6:])
        written: list[Json] = []
        for choice in chunk.get("choices") or ():
            written += self._choice(choice)
        if self._size > MAX_EVENT_BYTES:
            self._progress.error = bad_reply(f"the provider's stream holds a call of more than {MAX_EVENT_BYTES} characters")
            return b""
        if written == chunk.get("choices"):
            return whole
        return b"".join([b"data: " + orjson.dumps({**chunk, "choices": [choice]}) + b"\n\n" for choice in written])

    def _choice(self, choice: Json) -> list[Json]:
        """A choice of a chunk as those that go on: what was held goes before its end, what is held back is none."""
        number = choice.get("index") or 0
        delta = choice.get("delta")
        calls = delta.get("tool_calls") if isinstance(delta, dict) else None
        if isinstance(delta, dict) and isinstance(calls, list):
            made = [piece for call in calls if (piece := self._call(call, number)) is not None]
            rest = {name: value for name, value in delta.items() if name != "tool_calls"}
            choice = {**choice, "delta": {**delta, "tool_calls": made} if made else rest}
        if choice.get("finish_reason"):
            held = [{"index": key[1], "custom": {TEXT: self._whole(key)}} for key in sorted(self._held) if key[0] == number]
            if held:
                more = {"index": number, "delta": {"tool_calls": held}, "finish_reason": None}
                end = {"index": number, "delta": {}, "finish_reason": choice["finish_reason"]}
                return [{**choice, "finish_reason": None}, more, end] if choice.get("delta") else [more, choice]
        return [choice] if choice.get("delta") or choice.get("finish_reason") else []

    def _call(self, call: Json, choice: int) -> Json | None:
        """A piece of a call. Of a custom tool's: its head, with the whole input or none; then the input once it is whole."""
        key = (choice, call.get("index", 0))
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        begins = function.get("name") in self._names
        if not begins and key not in self._held:
            return None if key in self._told else call
        self._told.add(key)
        pieces = self._held.setdefault(key, [])
        piece = function.get("arguments")
        if isinstance(piece, str) and piece:
            pieces.append(piece)
            self._size += len(piece)
        text = self._whole(key) if _is_object(pieces) else ""
        rest = {name: value for name, value in call.items() if name not in ("function", "type")}
        if begins:
            return {**rest, "type": "custom", "custom": {"name": function["name"], TEXT: text}}
        return {**rest, "custom": {TEXT: text}} if text or rest.keys() - {"index"} else None

    def _whole(self, key: tuple[int, int]) -> str:
        """The input of a call that is held no longer."""
        arguments = "".join(self._held.pop(key))
        self._size -= len(arguments)
        return text_in(arguments)


def _is_object(pieces: list[str]) -> bool:
    """Whether nothing can be added to these arguments. Looked at only where they may end."""
    if not pieces or not pieces[-1].rstrip().endswith("}"):
        return False
    try:
        return isinstance(orjson.loads("".join(pieces)), dict)
    except orjson.JSONDecodeError:
        return False


def _called(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def _custom_call(call: Json) -> Json:
    function = call["function"]
    rest = {name: value for name, value in call.items() if name not in ("type", "function")}
    return {**rest, "type": "custom", "custom": {"name": function["name"], TEXT: text_in(function.get("arguments"))}}
