"""Cohere's usage, both ways.

`tokens` are the counts of what the model read and wrote and become `Usage`; `billed_units` are what is charged, far fewer
(62 of 968: the prompt around the messages is free). They are kept beside, as `usage.billed_units` of the chat's usage, for
whoever knows the word. Where only `billed_units` came, they count. `cached_tokens` are part of `tokens.input_tokens`;
reasoning is part of `tokens.output_tokens` and not counted by itself. `tokens.image_tokens` (cohere/chat-vision-*) is left out,
as Cohere's own SDK leaves it out.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import count, usage_json


def read_units(value: Any, usage: Usage) -> Json | None:
    """Takes over a `usage` (or a `meta`) object; gives the `billed_units` in it."""
    if not isinstance(value, dict):
        return None
    tokens, billed = value.get("tokens"), value.get("billed_units")
    counts = tokens if isinstance(tokens, dict) else billed if isinstance(billed, dict) else {}
    if "input_tokens" in counts or "output_tokens" in counts:
        usage.input_tokens = count(counts.get("input_tokens"))
        usage.output_tokens = count(counts.get("output_tokens"))
        usage.cached_tokens = min(count(value.get("cached_tokens")), usage.input_tokens)
        usage.reported = True
    if isinstance(billed, dict) and ("input_tokens" in billed or "output_tokens" in billed):
        usage.billed = (count(billed.get("input_tokens")), count(billed.get("output_tokens")))
    return billed if isinstance(billed, dict) and billed else None


def chat_usage(usage: Usage, billed: Json | None) -> Json:
    """The chat's usage object, with what Cohere charges."""
    return {**usage_json(usage), "billed_units": billed} if billed else usage_json(usage)


def cohere_usage(value: Any, usage: Usage) -> Json:
    """Cohere's usage object for the chat's `value`, which `usage` was read from. What another vendor charges for is what it
    counted."""
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    billed = value.get("billed_units") if isinstance(value, dict) else None
    return {
        "billed_units": billed if isinstance(billed, dict) else dict(counts),
        "tokens": counts,
        "cached_tokens": usage.cached_tokens,
    }
