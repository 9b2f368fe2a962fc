"""Reasoning effort and Anthropic's thinking, both ways.

Anthropic's own fields (`thinking`, `output_config`) win over `reasoning_effort` and go out as they are. Otherwise the effort
is written as the model takes it: newer ones `thinking: adaptive` with `output_config.effort`, older ones a token budget. The
API refuses budgets below 1,024 or not below `max_tokens`, a forced tool while thinking, and (with a budget) going on from a
tool call whose thinking is missing; where one of these stands in the way the effort is dropped, not the request. A budget
that stands for an effort, and an effort that stands for another, count as mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.anthropic.abilities import Abilities
from edgegate.dialects.anthropic.notes import Notes
from edgegate.dialects.base import Chat, Json

_LEAST_BUDGET = 1024
_BUDGETS: Mapping[str, int] = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_EFFORTS: Mapping[str, str] = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}


def effort_of(thinking: Any) -> str | None:
    """The effort, for other providers, that a thinking budget stands for."""
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) and thinking.get("type") == "enabled" else None
    if not isinstance(budget, int):
        return None
    return "low" if budget <= _BUDGETS["low"] else "medium" if budget <= _BUDGETS["medium"] else "high"


def think(chat: Chat, body: Json, abilities: Abilities, notes: Notes, *, limited: bool) -> None:
    """Writes `thinking` and `output_config.effort` into a body that has its messages, tools and `max_tokens` already.
    `limited`: the client itself set `max_tokens`, so the budget comes out of it; else it is added."""
    given = chat.get("output_config")
    config: Json = {**(given if isinstance(given, dict) else {}), **body.get("output_config", {})}
    if config:
        body["output_config"] = config
    thinking, effort = chat.get("thinking"), chat.get("reasoning_effort")
    if thinking is not None and (not isinstance(thinking, dict) or not isinstance(thinking.get("type"), str)):
        notes.drop("thinking")
        thinking = None
    if thinking is not None and _is_switch(thinking):  # zai's and DeepSeek's: thinking on or off, no more
        if notes.near("thinking"):
            effort = (effort or "medium") if thinking["type"] == "enabled" else "none"
        thinking = None
    if thinking is not None:
        if isinstance(thinking, dict) and thinking.get("type") == "enabled" and thoughtless_call(body["messages"]):
            notes.drop("thinking")  # the conversation comes from another vendor
        else:
            body["thinking"] = thinking
    if effort is None or thinking is not None or "effort" in config:
        return
    if effort == "none":
        if abilities.adaptive:  # the newest models think unless told not to
            body["thinking"] = {"type": "disabled"}
        return
    if not abilities.thinking or not isinstance(effort, str) or effort not in _EFFORTS or _forced(body):
        notes.drop("reasoning_effort")
    elif abilities.adaptive:
        if _EFFORTS[effort] != effort and not notes.near("reasoning_effort"):
            return
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {**config, "effort": _EFFORTS[effort]}
    else:
        budget = _BUDGETS[effort]
        if limited:
            budget = min(budget, body["max_tokens"] * 4 // 5)  # the rest is for the answer
        if budget < _LEAST_BUDGET or thoughtless_call(body["messages"]):
            notes.drop("reasoning_effort")
            return
        if not notes.near("reasoning_effort"):
            return
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        if not limited:
            body["max_tokens"] += budget


def _is_switch(thinking: Json) -> bool:
    """Whether a `thinking` is not Anthropic's: it takes none without a budget, and no further keys."""
    if thinking.get("type") not in ("enabled", "disabled"):
        return False
    if thinking["type"] == "enabled":
        return "budget_tokens" not in thinking
    return len(thinking) > 1


def is_thinking(body: Json) -> bool:
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _forced(body: Json) -> bool:
    return body.get("tool_choice", {}).get("type") in ("any", "tool")


def thoughtless_call(messages: list[Any]) -> bool:
    """Whether the turn goes on from a tool call without its thinking block (another provider's, or thinking was off)."""
    for message in reversed(messages):
        content = message.get("content") if isinstance(message, dict) else None
        kinds = [block.get("type") for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        if isinstance(message, dict) and message.get("role") == "assistant":
            return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")
        if "tool_result" not in kinds:
            return False
    return False
