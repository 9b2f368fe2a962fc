"""Counting the input tokens of a chat: `POST /v1/messages/count_tokens`, both sides' parts of it.

The endpoint takes a Messages request without what concerns the answer only. Counting is free, so no usage is reported.
"""

from __future__ import annotations

from edgegate.dialects.anthropic.errors import error_of, event_error
from edgegate.dialects.anthropic.notes import Notes
from edgegate.dialects.anthropic.request import messages_request
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.failure import bad_reply, parsed

_TAKEN = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "context_management",
        "mcp_servers",
        "speed",
        "user_profile_id",
        "workspace_id",
    }
)
"""The request's fields, of the beta endpoint too; any other is refused."""


def count_body(ask: Ask, default_max_tokens: int) -> tuple[Json, Notes]:
    body, notes = messages_request(ask, default_max_tokens)
    return {name: value for name, value in body.items() if name in _TAKEN}, notes


def counted(body: bytes, progress: Progress) -> int:
    """The number in a plain reply."""
    reply = parsed(body)
    if error_of(reply) is not None:
        raise event_error(reply, body)
    count = reply.get("input_tokens") if isinstance(reply, dict) else None
    if type(count) is not int or count < 0:
        raise bad_reply("the provider's reply holds no count of tokens")
    progress.started = progress.finished = True
    progress.events += 1
    return count
