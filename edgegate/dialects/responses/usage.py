"""Usage of the Responses API in the gateway's algebra: `input_tokens` includes cached tokens and cache writes there too
(bedrock-mantle/responses-tools-toolcall-toolchoice-8c7feee8: 88 in, 86 of them written), `output_tokens` includes reasoning.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects import chat
from edgegate.dialects.base import Usage


def read_usage(value: Any, usage: Usage) -> bool:
    """Takes a response's usage object over. False if it is none, as in everything before the last event of a stream."""
    if not isinstance(value, dict):
        return False
    if "input_tokens" not in value and "prompt_tokens" in value:  # imitators that left their chat's names in place
        return chat.read_usage(value, usage)
    usage.input_tokens = chat.count(value.get("input_tokens"))
    usage.output_tokens = chat.count(value.get("output_tokens"))
    details = value.get("input_tokens_details")
    if isinstance(details, dict):
        usage.cached_tokens = min(chat.count(details.get("cached_tokens")), usage.input_tokens)
        usage.cache_write_tokens = min(chat.count(details.get("cache_write_tokens")), usage.input_tokens - usage.cached_tokens)
    details = value.get("output_tokens_details")
    if isinstance(details, dict):
        usage.reasoning_tokens = min(chat.count(details.get("reasoning_tokens")), usage.output_tokens)
    usage.reported = True
    return True
