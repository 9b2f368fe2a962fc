"""Reasoning on its way back, and the order of the items around it.

Reasoning is sent with its id only if the item it led to has its id too. OpenAI refuses "reasoning provided without its
required following item" otherwise (openai/responses-error-e400-reasoning-653cb267), but takes it without any id
(openai/responses-reasoning-545d1e97). Reasoning of which only the id is left is sent to nobody who has not stored it, and what
it led to goes without its id then, for an item that is known by its id is refused without its reasoning.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.chat import dicts
from edgegate.dialects.losses import Losses
from edgegate.dialects.sealed import RESPONSES, is_sealed

IDS = {"reasoning": "rs", "message": "msg", "function_call": "fc", "custom_tool_call": "ctc"}
"""How the ids of OpenAI's items begin; others are refused."""

Placed = list[tuple[int | None, Json]]
"""Items with their index, where it is known."""


def reasoning_of(message: Json) -> Placed:
    """Reasoning details of this API's format as items. Others are for other vendors."""
    items: dict[Any, Json] = {}
    indexes: dict[Any, int | None] = {}
    for detail in dicts(message.get("reasoning_details")):
        if detail.get("format") != RESPONSES or is_sealed(detail.get("data")):
            continue
        id, index = detail.get("id"), index_of(detail)
        key = id if isinstance(id, str) and id else index
        item = items.setdefault(key, {"type": "reasoning", "summary": []})
        if isinstance(id, str) and id:
            item["id"] = id
        indexes.setdefault(key, index)
        for kind, name, part in (("summary", "summary", "summary_text"), ("text", "content", "reasoning_text")):
            if detail.get("type") == f"reasoning.{kind}" and isinstance(detail.get(kind), str) and detail[kind]:
                item.setdefault(name, []).append({"type": part, "text": detail[kind]})
        if detail.get("type") == "reasoning.encrypted" and isinstance(detail.get("data"), str) and detail["data"]:
            item["encrypted_content"] = detail["data"]
    placed: Placed = []
    for key, item in items.items():
        if item.get("encrypted_content") and not str(item.get("id", "")).startswith(IDS["reasoning"]):
            item.pop("id", None)
        placed.append((indexes[key], item))
    return placed


def ordered(placed: Placed) -> Placed:
    """Those with an index in its order, at the places that such items have among the others."""
    known = iter(sorted((entry for entry in placed if entry[0] is not None), key=lambda entry: entry[0] or 0))
    return [entry if entry[0] is None else next(known) for entry in placed]


def with_reasoning(placed: Placed, stored: bool, losses: Losses) -> Placed:
    """Without reasoning that nobody could read any more, and without the ids of what such reasoning led to."""
    out: Placed = []
    bare = False
    for index, item in placed:
        if item["type"] == "reasoning":
            bare = not (item.get("encrypted_content") or item.get("content") or (stored and "id" in item))
            if bare:
                losses.drop("reasoning_details")
                continue
        out.append((index, _anonymous(item) if bare else item))
    return out


def _anonymous(item: Json) -> Json:
    if item["type"] == "message" and not _is_easy(item):
        phase = {"phase": item["phase"]} if "phase" in item else {}
        return {"type": "message", "role": "assistant", "content": joined(item["content"]), **phase}
    if item["type"] in ("function_call", "custom_tool_call"):
        return {name: value for name, value in item.items() if name != "id"}
    return item


def paired(placed: Placed) -> list[Json]:
    """Reasoning without its id where what it led to has none, or is missing: some clients keep no `provider_items`."""
    out: list[Json] = []
    after: int | None = None
    follower: Json = {}
    for index, item in reversed(placed):
        if item["type"] != "reasoning":
            follower, after = item, index
        elif "id" in item and item.get("encrypted_content") and ("id" not in follower or _gap(index, after)):
            item = {name: value for name, value in item.items() if name != "id"}
        else:
            after = index  # reasoning may follow reasoning
        out.append(item)
    out.reverse()
    return [{name: value for name, value in item.items() if name != "type"} if _is_easy(item) else item for item in out]


def _gap(index: int | None, after: int | None) -> bool:
    return index is not None and after is not None and after != index + 1


def _is_easy(item: Json) -> bool:
    return item["type"] == "message" and isinstance(item["content"], str)


def joined(said: list[Json]) -> str:
    return "".join(part.get("text") or part.get("refusal") or "" for part in said)


def index_of(value: Json) -> int | None:
    index = value.get("index")
    return index if type(index) is int else None
