"""The messages of Ollama's clients as those of a chat.

Their calls mostly have no ids, and results say at best which tool they are of. A chat needs both: ids are made by counting the
calls, so that the next turn's request gives the same ones, and a result without an id belongs to the first call still open
whose name fits.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.ollama.media import image_url


def chat_messages(messages: list[Json]) -> list[Json]:
    """Checked messages -> the chat's."""
    given = {call["id"] for message in messages for call in message.get("tool_calls") or [] if _id(call)}
    calls = _Calls(given)
    return [_message(message, calls) for message in messages]


def user_content(text: str, images: list[str]) -> str | list[Json]:
    """Text and the pictures beside it; a string where there are none."""
    if not images:
        return text
    parts: list[Json] = [{"type": "text", "text": text}] if text else []
    return parts + [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]


class _Calls:
    """The calls so far: how many, and those that have no result yet, oldest first, as (id, name)."""

    __slots__ = ("_given", "_number", "_open")

    def __init__(self, given: set[str]) -> None:
        self._given = given
        self._number = 0
        self._open: list[tuple[str, str]] = []

    def made(self) -> str:
        while True:
            id = f"call_{self._number}"
            self._number += 1
            if id not in self._given:
                return id

    def opened(self, id: str, name: str) -> None:
        self._open.append((id, name))

    def answered(self, id: Any, name: Any) -> tuple[str, str | None]:
        """The call that a result is for, as (id, name)."""
        fits = next((call for call in self._open if call[0] == id), None)
        if fits is None and isinstance(id, str) and id in self._given:
            return id, None  # answered before
        if fits is None and isinstance(name, str) and name:
            fits = next((call for call in self._open if call[1] == name), None)
        if fits is None and not name and self._open:
            fits = self._open[0]
        if fits is None:
            return (id if isinstance(id, str) and id else self.made()), None
        self._open.remove(fits)
        return fits


def _message(message: Json, calls: _Calls) -> Json:
    role = message["role"].lower()
    text, images = message.get("content") or "", message.get("images") or []
    if role == "assistant":
        return _assistant(message, text, images, calls)
    written: Json = {"role": role, "content": user_content(text, images)}
    if role == "tool":
        named = message.get("tool_name") or message.get("name")
        id, name = calls.answered(message.get("tool_call_id"), named)
        written["tool_call_id"] = id
        if isinstance(named or name, str):
            written["name"] = named or name
    return written


def _assistant(message: Json, text: str, images: list[str], calls: _Calls) -> Json:
    written: Json = {"role": "assistant", "content": text}
    if message.get("thinking"):
        written["reasoning_content"] = message["thinking"]
    given = message.get("tool_calls")
    if given:
        written["content"] = text or None
        written["tool_calls"] = [_call(call, calls) for call in given]
    if images:
        written["images"] = [{"index": at, "type": "image_url", "image_url": {"url": image_url(image)}} for at, image in enumerate(images)]
    return written


def _id(call: Json) -> bool:
    return isinstance(call.get("id"), str) and bool(call["id"])


def _call(call: Json, calls: _Calls) -> Json:
    function = call["function"]
    id = call["id"] if _id(call) else calls.made()
    calls.opened(id, function["name"])
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    return {"id": id, "type": "function", "function": {"name": function["name"], "arguments": text or "{}"}}
