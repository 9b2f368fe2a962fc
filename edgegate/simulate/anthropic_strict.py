"""What Anthropic's validation refuses before the model sees anything: fields it does not have, and broken thinking.

Blocks that are not listed are the vendor's own tools and are not looked into.
"""

from __future__ import annotations

from typing import Any

from edgegate.simulate.seal import allows_foreign, holds
from edgegate.simulate.strict import fields, unknown
from edgegate.simulate.vendor import Asked, Json, need

VENDOR = "anthropic"
_SHARED = fields(
    "cache_control context_management mcp_servers messages model output_config output_format speed system thinking thread "
    "tool_choice tools user_profile_id workspace_id compaction billing_policy betas"
)
MESSAGES = _SHARED | fields(
    "container diagnostics fallback_credit_token fallbacks inference_geo max_tokens metadata service_tier stop_sequences stream "
    "temperature top_k top_p anthropic_version anthropic_beta"
)
COUNT_TOKENS = _SHARED
_BLOCKS = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control", "transformations"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control", "caller"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
}
_TOOL = fields("type name description input_schema cache_control strict defer_loading allowed_callers input_examples eager_input_streaming")
_MESSAGE = frozenset({"role", "content"})
_CHOICE = frozenset({"type", "name", "disable_parallel_tool_use"})


def check_fields(body: Json, known: frozenset[str]) -> None:
    """Refuses what is not part of the request."""
    _only(body, known, "")
    for at, turn in enumerate(body.get("messages") or []):
        _only(turn, _MESSAGE, f"messages.{at}.")
        content = turn.get("content")
        for number, block in enumerate(content if isinstance(content, list) else []):
            kind = block.get("type")
            if kind in _BLOCKS:
                _only(block, _BLOCKS[kind], f"messages.{at}.content.{number}.{kind}.")
    for at, tool in enumerate(body.get("tools") or []):
        if tool.get("type") in (None, "custom"):
            _only(tool, _TOOL, f"tools.{at}.custom.")
    _only(body.get("tool_choice"), _CHOICE, "tool_choice.")
    _only(body.get("metadata"), frozenset({"user_id"}), "metadata.")


def _only(value: Any, known: frozenset[str], where: str) -> None:
    stray = unknown(value, known)
    need(stray is None, f"{where}{stray}: Extra inputs are not permitted")


def check_signature(block: Json, where: str, asked: Asked) -> None:
    """A thinking block must come back as it was given."""
    need(bool(block.get("signature")), f"{where}.thinking.signature: Field required")
    fine = holds(VENDOR, str(block.get("thinking")), block["signature"], asked.headers)
    need(fine, f"{where}: Invalid `signature` in `thinking` block")


def check_redacted(where: str, asked: Asked) -> None:
    """The simulator hides no thinking, so what comes back hidden is not from here."""
    need(allows_foreign(asked.headers), f"{where}: Invalid `data` in `redacted_thinking` block")


def check_last_step(turns: list[Json]) -> None:
    """With `thinking` enabled, calls that are being answered stand behind thinking."""
    for at in range(len(turns) - 1, -1, -1):
        turn = turns[at]
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        if turn["role"] == "user" and not any(block.get("type") == "tool_result" for block in blocks):
            return
        if turn["role"] == "assistant" and any(block.get("type") == "tool_use" for block in blocks):
            first = blocks[0].get("type")
            need(
                first in ("thinking", "redacted_thinking"),
                f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. "
                "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of "
                "`tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. "
                "To avoid this requirement, disable `thinking`.",
            )
            return
