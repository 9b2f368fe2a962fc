"""The chat's messages as `instructions` and `input`.

The first message becomes `instructions` if it is a system message of plain text; all others stay in their order as items.
Items of this API that a chat holds as content parts are given back as they were.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.losses import Losses
from edgegate.dialects.responses.parts import parts_in
from edgegate.dialects.responses.turn import is_own_item, items_of, legacy_id, ours_of, without_index
from edgegate.errors import bad_request

_OF_RESULTS = ("id", "caller", "name", "namespace", "status")


def split_history(messages: Any, stored: bool, losses: Losses) -> tuple[str | None, list[Json]]:
    """(instructions, input)."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise bad_request("expected a list of objects", "messages")
    instructions = None
    first = messages[0] if messages else {}
    start = 0
    if first.get("role") == "system" and len(messages) > 1:
        content = parts_in(first.get("content"), "messages[0].content", losses) if not _items_in(first) else []
        if isinstance(content, str) and content:
            instructions, start = content, 1
    custom = _custom_calls(messages)
    items: list[Json] = []
    for number, message in enumerate(messages[start:], start):
        items += _items(message, f"messages[{number}]", custom, stored, losses)
    return instructions, items


def _items(message: Json, at: str, custom: frozenset[str], stored: bool, losses: Losses) -> list[Json]:
    role = message.get("role")
    if message.get("cache_control") is not None:
        losses.drop("cache_control")
    if role == "assistant":
        return items_of(message, at, stored, losses)
    if role in ("user", "system", "developer"):
        if message.get("name") is not None:
            losses.drop("name")
        return _asked(message, role, at, losses)
    if role == "tool":
        return [_result(message, at, custom, losses)]
    if role == "function":
        output = message.get("content")
        return [
            {"type": "function_call_output", "call_id": legacy_id(message.get("name")), "output": output if isinstance(output, str) else ""}
        ]
    raise bad_request("expected one of system, developer, user, assistant, tool, function", f"{at}.role")


def _asked(message: Json, role: str, at: str, losses: Losses) -> list[Json]:
    own = _items_in(message)
    content = message.get("content")
    if own:
        content = [part for part in content or [] if not (isinstance(part, dict) and is_own_item(part))]
        if not content:
            return own
    item: Json = {"role": role, "content": parts_in(content, f"{at}.content", losses)}
    ours = ours_of(message)
    if ours.get("status") is not None and isinstance(item["content"], list):
        item = {"type": "message", **item, "status": ours["status"]}
    return [*own, item]


def _items_in(message: Json) -> list[Json]:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [without_index(part) for part in parts if isinstance(part, dict) and is_own_item(part)]


def _result(message: Json, at: str, custom: frozenset[str], losses: Losses) -> Json:
    own = _items_in(message)
    if own:
        return own[0]
    if message.get("is_error"):
        losses.drop("is_error")
    id = message.get("tool_call_id")
    ours = ours_of(message)
    item: Json = {
        "type": "custom_tool_call_output"
        if (isinstance(id, str) and id in custom) or ours.get("type") == "custom_tool_call_output"
        else "function_call_output",
        "call_id": id,
        "output": parts_in(message.get("content"), f"{at}.content", losses),
    }
    item.update((name, ours[name]) for name in _OF_RESULTS if ours.get(name) is not None)
    return item


def _custom_calls(messages: list[Json]) -> frozenset[str]:
    """Ids of the calls of custom tools: their results are items of another type."""
    return frozenset(
        call["id"]
        for message in messages
        for call in (message["tool_calls"] if isinstance(message.get("tool_calls"), list) else [])
        if isinstance(call, dict) and call.get("type") == "custom" and isinstance(call.get("id"), str)
    )
