"""The response object around the output: what is echoed from the request, the status, the usage.

`store` is false and `previous_response_id` null whatever was asked: nothing is kept. Credentials of MCP servers are not
echoed. When the answer was completed is not known here, so `completed_at` is null.
"""

from __future__ import annotations

import re
from typing import Any

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import count

_SECRETS = ("authorization", "headers")
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")  # clients with closed enums know no others


_ODD = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 56  # OpenAI refuses ids of items of more than 64 characters, and such with others than these in them


def core_of(id: Any) -> str:
    """What is particular in a reply's id; the ids of the response and of its items are made of it."""
    if not isinstance(id, str) or not id:
        return "0"
    return _ODD.sub("-", id.removeprefix("chatcmpl-").removeprefix("resp_"))[:_LONGEST]


def skeleton(request: Json, id: Any, created: Any, model: Any) -> Json:
    """The response as its first events show it: in progress, without output."""
    text = request.get("text") or {}
    reasoning = request.get("reasoning") or {}
    return {
        "id": "resp_" + core_of(id),
        "object": "response",
        "created_at": count(created),
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "conversation": None,
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": request.get("max_tool_calls"),
        "metadata": request.get("metadata") or {},
        "model": model if isinstance(model, str) and model else request.get("model") or "",
        "output": [],
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "prompt": None,
        "prompt_cache_key": request.get("prompt_cache_key"),
        "prompt_cache_retention": request.get("prompt_cache_retention"),
        "reasoning": {"effort": None, "summary": None, **reasoning},
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": request.get("service_tier") or "auto",
        "store": False,
        "temperature": request.get("temperature"),
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": [_echoed(tool) for tool in request.get("tools") or []],
        "top_logprobs": request.get("top_logprobs") or 0,
        "top_p": request.get("top_p"),
        "truncation": request.get("truncation") or "disabled",
        "usage": None,
        "user": request.get("user"),
    }


def ended(response: Json, finish: str, output: list[Json], usage: Usage, tier: Any) -> Json:
    """The response when the answer has come to its end."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
    return {
        **response,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "service_tier": tier if tier in _TIERS else response["service_tier"],
        "usage": responses_usage(usage) if usage.reported else None,
    }


def responses_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _echoed(tool: Json) -> Json:
    if tool.get("type") != "mcp":
        return tool
    return {name: value for name, value in tool.items() if name not in _SECRETS}
