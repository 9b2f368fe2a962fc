"""Token counts. Bedrock's `inputTokens` leaves out what the cache read and wrote, the chat's includes both."""

from __future__ import annotations

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import count, tier_of


def read_usage(holder: Json, usage: Usage) -> None:
    """Takes over the `usage` object of a reply or of a `metadata` event, and the tier beside it. The cache's counts have two
    names; older replies have neither."""
    tier = holder.get("serviceTier")
    if isinstance(tier, dict):
        usage.tier = tier_of(tier.get("type"))
    value = holder.get("usage")
    if not isinstance(value, dict):
        return
    usage.cached_tokens = count(value.get("cacheReadInputTokens", value.get("cacheReadInputTokenCount")))
    usage.cache_write_tokens = count(value.get("cacheWriteInputTokens", value.get("cacheWriteInputTokenCount")))
    details = value.get("cacheDetails")
    hour = [item for item in details if isinstance(item, dict) and item.get("ttl") == "1h"] if isinstance(details, list) else []
    usage.cache_write_1h_tokens = min(sum(count(item.get("inputTokens")) for item in hour), usage.cache_write_tokens)
    usage.input_tokens = count(value.get("inputTokens")) + usage.cached_tokens + usage.cache_write_tokens
    usage.output_tokens = count(value.get("outputTokens"))
    usage.reported = True
