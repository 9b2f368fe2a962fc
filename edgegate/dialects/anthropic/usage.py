"""Token counts, both ways. Anthropic's `input_tokens` leaves out what the cache read and wrote, the chat's includes both."""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import count, tier_of

_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Tally:
    """Adds up the usage objects of one reply into `usage`. A stream gives several: each count is cumulative, so the last
    one that is not null holds (`message_delta` may repeat the input, or leave it out)."""

    __slots__ = ("_counts", "_hour", "_minutes", "_usage")

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._minutes = self._hour = 0

    def take(self, value: Any) -> None:
        if not isinstance(value, dict):
            return
        counts = self._counts
        for name in _COUNTS:
            if value.get(name) is not None:
                counts[name] = count(value[name])
        lifetimes = value.get("cache_creation")
        if isinstance(lifetimes, dict):
            self._minutes = count(lifetimes.get("ephemeral_5m_input_tokens"))
            self._hour = count(lifetimes.get("ephemeral_1h_input_tokens"))
        usage = self._usage
        details = value.get("output_tokens_details")
        if isinstance(details, dict) and details.get("thinking_tokens") is not None:
            usage.reasoning_tokens = count(details["thinking_tokens"])
        if value.get("service_tier") is not None:  # `message_delta` leaves it out
            usage.tier = tier_of(value["service_tier"])
        usage.cached_tokens = counts["cache_read_input_tokens"]
        usage.cache_write_tokens = counts["cache_creation_input_tokens"] or self._minutes + self._hour
        usage.cache_write_1h_tokens = min(self._hour, usage.cache_write_tokens)
        usage.input_tokens = counts["input_tokens"] + usage.cached_tokens + usage.cache_write_tokens
        usage.output_tokens = counts["output_tokens"]
        usage.reported = True


def messages_usage(usage: Usage) -> Json:
    """Usage as Anthropic writes it. The SDKs want `input_tokens` and `output_tokens` to be numbers, so what was never
    reported is 0."""
    written = usage.cache_write_tokens
    hour = min(usage.cache_write_1h_tokens, written)
    value: Json = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour},
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        value["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return value
