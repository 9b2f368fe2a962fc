"""Token counts. Bedrock's `inputTokens` leaves out what the cache read and wrote, the chat's includes both."""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Usage
from edgegate.dialects.chat import count


def read_usage(value: Any, usage: Usage) -> None:
    """Takes over a `usage` object, if it is one. The cache's counts have two names; older replies have neither."""
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
