"""Reasoning effort and Anthropic's thinking, both ways.

Anthropic's own fields (`thinking`, `output_config`) win over `reasoning_effort` and go out as they are. Otherwise the effort
is written as the model takes it: newer ones `thinking: adaptive` with `output_config.effort`, older ones a token budget. The
API refuses budgets below 1,024 or not below `max_tokens`, a forced tool while thinking, and (with a budget) going on from a
tool call whose thinking is missing; where one of these stands in the way the effort is dropped, not the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.anthropic.abilities import Abilities
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


def think(chat: Chat, body: Json, abilities: Abilities, dropped: list[str], *, limited: bool) -> None:
    """Writes `thinking` and `output_config.effort` into a body that has its messages, tools and `max_tokens` already.
    `limited`: the client itself set `max_tokens`, so the budget comes out of it; else it is added."""
    given = chat.get("output_config")
    config: Json = {**(given if isinstance(given, dict) else {}), **body.get("output_config", {})}
    if config:
        body["output_config"] = config
    thinking = chat.get("thinking")
    if thinking is not None:
        body["thinking"] = thinking
    effort = chat.get("reasoning_effort")
    if effort is None or thinking is not None or "effort" in config:
        return
    if effort == "none":
        if abilities.adaptive:  # the newest models think unless told not to
            body["thinking"] = {"type": "disabled"}
        return
    if not abilities.thinking or not isinstance(effort, str) or effort not in _EFFORTS or _forced(body):
        dropped.append("reasoning_effort")
    elif abilities.adaptive:
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {**config, "effort": _EFFORTS[effort]}
    else:
        budget = _BUDGETS[effort]
        if limited:
            budget = min(budget, body["max_tokens"] * 4 // 5)  # the rest is for the answer
        if budget < _LEAST_BUDGET or _thoughtless_call(body["messages"]):
            dropped.append("reasoning_effort")
            return
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        if not limited:
            body["max_tokens"] += budget


def is_thinking(body: Json) -> bool:
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _forced(body: Json) -> bool:
    return body.get("tool_choice", {}).get("type") in ("any", "tool")


def _thoughtless_call(messages: list[Json]) -> bool:
    """Whether the turn goes on from a tool call without its thinking block (another provider's, or thinking was off)."""
    for message in reversed(messages):
        content = message["content"]
        if message["role"] == "assistant":
            kinds = [block.get("type") for block in content] if isinstance(content, list) else []
            return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")
        if not isinstance(content, list) or not any(block.get("type") == "tool_result" for block in content):
            return False
    return False
