"""Anthropic's words and the chat's: reasons for stopping, and kinds of errors, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DIALECT = "anthropic"
FORMAT = "anthropic.messages"
PATH = "/v1/messages"
COUNT_FORMAT = "anthropic.count_tokens"
COUNT_PATH = "/v1/messages/count_tokens"

_FINISH: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

_STOP: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

ERROR_STATUS: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def finish_reason(stop_reason: Any) -> str:
    """OpenAI's word for a `stop_reason`. Reasons newer than this table count as `stop`: the answer is whole."""
    return _FINISH.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def is_told(stop_reason: Any, finish: str) -> bool:
    """Whether a `native_finish_reason` is one of Anthropic's that says more than the finish reason beside it."""
    return stop_reason in ("pause_turn", "model_context_window_exceeded") and finish_reason(stop_reason) == finish


def stop_reason(finish: str, *, called: bool) -> str:
    """Anthropic's word for a `finish_reason`. `called`: the answer holds tool calls, which OpenAI ends with `stop` when the
    request named the tool."""
    return "tool_use" if called and finish == "stop" else _STOP.get(finish, "end_turn")


def error_type(status: int) -> str:
    """The `error.type` for a status that Anthropic may never have used."""
    return ERROR_TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
