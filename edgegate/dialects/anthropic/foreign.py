"""Thinking blocks that Anthropic did not make, taken out of a Messages request on its native way to Anthropic.

An app that spoke to other vendors through edgegate holds thinking blocks without a signature, or with a seal for one (see
`sealed`). Anthropic refuses a whole request for one of them, so they are left out when the conversation goes on there.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.anthropic.blocks import is_signed
from edgegate.dialects.anthropic.thinking import thoughtless_call
from edgegate.dialects.base import Json

_THINKING = ("thinking", "redacted_thinking")


def without_foreign(request: Json) -> Json | None:
    """The request without them, None if it holds none; any JSON object will do. A message of nothing else goes with them.
    `thinking` with a budget goes too where the last turn is now a tool call without thinking, which the API refuses."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        return None
    kept: list[Any] = []
    changed = False
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list):
            kept.append(message)
            continue
        blocks = [block for block in content if not _is_foreign(block)]
        if len(blocks) == len(content):
            kept.append(message)
            continue
        changed = True
        if blocks:
            kept.append({**message, "content": blocks})
    if not changed:
        return None
    value = {**request, "messages": kept}
    thinking = request.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and thoughtless_call(kept):
        del value["thinking"]
    return value


def _is_foreign(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _THINKING and not is_signed(block)
