"""Reasoning effort, and Anthropic's `thinking`, as the fields that each maker's models take beside Converse's own.

Claude takes Anthropic's own words: `thinking: adaptive` with `output_config.effort` on the newest models
(converse-json_schema-reasoning-10080e2b), a token budget before. Bedrock needs no `max_tokens` beside a budget, but refuses
one that is not above it. Nova 2, gpt-oss and Qwen each have a field of their own; for others there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.anthropic.abilities import Abilities
from edgegate.dialects.base import Chat, Json
from edgegate.dialects.bedrock.families import Family
from edgegate.dialects.chat import max_tokens_of
from edgegate.dialects.losses import Losses
from edgegate.errors import bad_request

_LEAST_BUDGET = 1024
_BUDGETS: Mapping[str, int] = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_THREE: Mapping[str, str] = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_ADAPTIVE: Mapping[str, str] = {**_THREE, "xhigh": "xhigh", "max": "max"}
_TWO: Mapping[str, str] = {"minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "high"}


def reasoning_fields(chat: Chat, family: Family, messages: list[Json], forced: bool, losses: Losses) -> Json:
    """Members of `additionalModelRequestFields`. `forced`: a tool must be called, which Claude refuses while thinking."""
    effort = chat.get("reasoning_effort")
    if effort is not None and (not isinstance(effort, str) or effort not in ("none", *_BUDGETS)):
        raise bad_request("expected one of none, minimal, low, medium, high, xhigh, max", "reasoning_effort")
    if family.claude is not None:
        return _claude(chat, effort, family.claude, messages, forced, losses)
    fields = _other(chat, effort, family, losses)
    thinking = chat.get("thinking")
    disabled = isinstance(thinking, dict) and thinking.get("type") == "disabled"
    for name in ("thinking", "output_config"):
        if chat.get(name) and not (name == "thinking" and disabled):
            if fields:
                losses.near(name)
            else:
                losses.drop(name)
    return fields


def is_thinking(fields: Json) -> bool:
    """Whether a Claude is told to think."""
    thinking = fields.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def wants_thinking(chat: Chat) -> bool:
    """Whether the client asks for reasoning, however it is written."""
    thinking = chat.get("thinking")
    return chat.get("reasoning_effort") not in (None, "none") or is_thinking({"thinking": thinking})


def _claude(chat: Chat, effort: str | None, claude: Abilities, messages: list[Json], forced: bool, losses: Losses) -> Json:
    fields: Json = {}
    given = chat.get("output_config")
    config: Json = dict(given) if isinstance(given, dict) else {}
    if config and claude.adaptive:
        fields["output_config"] = config
    elif config:
        losses.drop("output_config")
    thinking = chat.get("thinking")
    if isinstance(thinking, dict):
        if thinking.get("type") == "enabled" and _thoughtless_call(messages):
            losses.drop("thinking")  # the conversation comes from another vendor
        else:
            fields["thinking"] = thinking
        return fields
    if effort is None or (claude.adaptive and "effort" in config):
        return fields
    if effort == "none":
        if claude.adaptive:  # the newest models think unless told not to
            fields["thinking"] = {"type": "disabled"}
    elif not claude.thinking or forced:
        losses.drop("reasoning_effort")
    elif claude.adaptive:
        if _ADAPTIVE[effort] == effort or losses.near("reasoning_effort"):
            fields["thinking"] = {"type": "adaptive"}
            fields["output_config"] = {**config, "effort": _ADAPTIVE[effort]}
    else:
        budget = _budget(chat, effort)
        if budget < _LEAST_BUDGET or _thoughtless_call(messages):
            losses.drop("reasoning_effort")
        elif losses.near("reasoning_effort"):
            fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return fields


def _budget(chat: Chat, effort: str) -> int:
    """Out of the client's limit, if it set one: the rest is for the answer."""
    limit = max_tokens_of(chat)
    return min(_BUDGETS[effort], limit * 4 // 5) if isinstance(limit, int) else _BUDGETS[effort]


def _other(chat: Chat, effort: str | None, family: Family, losses: Losses) -> Json:
    if effort is None:
        return {}
    if effort == "none":
        return {"reasoningConfig": {"type": "disabled"}} if family.nova == 2 else {}
    if family.nova == 2:
        words = _THREE[effort]
        if words == "high" and any(chat.get(name) is not None for name in _NOT_WITH_HIGH):
            words = "medium"
        field: Json = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": words}}
    elif "gpt-oss" in family.id:
        words = _THREE[effort]
        field = {"reasoning_effort": words}
    elif family.maker == "qwen":
        words = _TWO[effort]
        field = {"reasoning_config": words}
    else:
        losses.drop("reasoning_effort")
        return {}
    return field if words == effort or losses.near("reasoning_effort") else {}


_NOT_WITH_HIGH = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k")
"""With its highest effort Nova 2 takes none of these."""


def _thoughtless_call(messages: list[Json]) -> bool:
    """Whether the turn goes on from a tool call without its reasoning: refused while thinking with a budget."""
    for message in reversed(messages):
        content: list[Any] = message["content"]
        if message["role"] == "assistant":
            return any("toolUse" in block for block in content) and "reasoningContent" not in content[0]
        if not any("toolResult" in block for block in content):
            return False
    return False
