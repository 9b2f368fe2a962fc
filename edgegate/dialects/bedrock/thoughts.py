"""Reasoning in the history: it goes back to who signed it, and to nobody else; what has no signature to nobody."""

from __future__ import annotations

import base64
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.bedrock.families import Family
from edgegate.dialects.losses import Losses
from edgegate.dialects.sealed import SEAL


def reasoning_blocks(message: Json, family: Family, losses: Losses) -> list[Json]:
    """The `reasoningContent` blocks of an assistant's message."""
    blocks: list[Json] = []
    thinking = message.get("thinking_blocks")
    for block in thinking if isinstance(thinking, list) else []:
        kept = signed(block) if family.signs else None
        if kept is None:
            losses.drop("messages[].thinking_blocks")
        else:
            blocks.append({"reasoningContent": kept})
    details = message.get("reasoning_details")
    for item in details if isinstance(details, list) else []:
        kept = _own(item, family.format)
        if kept is not None:
            blocks.append({"reasoningContent": kept})
        elif not thinking:
            losses.drop("messages[].reasoning_details")
    if not blocks and not thinking and message.get("reasoning_content"):
        losses.drop("messages[].reasoning_content")
    return blocks


def signed(block: Any) -> Json | None:
    """A thinking block that Anthropic signed; not Gemini's signature, not a seal of edgegate's."""
    if not isinstance(block, dict):
        return None
    mark = block.get("signature" if block.get("type") == "thinking" else "data")
    if not isinstance(mark, str) or not mark or mark.startswith(("gemini:", SEAL)):
        return None
    if block.get("type") == "thinking":
        text = block.get("thinking")
        return {"reasoningText": {"text": text if isinstance(text, str) else "", "signature": mark}}
    return (
        {"redactedContent": base64.b64encode(mark.encode("utf-8", "replace")).decode()}
        if block.get("type") == "redacted_thinking"
        else None
    )


def _own(item: Any, format: str) -> Json | None:
    """Reasoning that this maker's model signed, as `reply` wrote it into `reasoning_details`."""
    if not isinstance(item, dict) or item.get("format") != format:
        return None
    if item.get("type") == "reasoning.text" and isinstance(item.get("text"), str) and isinstance(item.get("signature"), str):
        return {"reasoningText": {"text": item["text"], "signature": item["signature"]}}
    if item.get("type") == "reasoning.encrypted" and isinstance(item.get("data"), str):
        return {"redactedContent": item["data"]}
    return None
