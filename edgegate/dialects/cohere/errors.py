"""Cohere's errors, both ways: `{"id", "message"}` with every status.

In front of the API stand gateways that answer `{"message"}` alone, `{"error": ...}`, FastAPI's `{"detail"}` or a page: reading takes any
body and never raises. Only a body that is Cohere's own error is kept for clients of the same dialect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.cohere.words import DIALECT
from edgegate.dialects.failure import bad_reply, code_for, parsed, words_of
from edgegate.dialects.reasons import reason
from edgegate.dialects.waits import asked_wait_s
from edgegate.errors import GatewayError, WireError, provider_error

_MAX_MESSAGE = 2000
_PARAMETER = re.compile(r"(?:parameter|field) ['\"`]?([A-Za-z_][\w.\[\]]*)['\"`]? (?:is|must|should)")


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """A reply that is not 2xx."""
    if not 400 <= status <= 599:  # a redirect is never followed
        status = 502
    value = parsed(body)
    message = said(value)
    own = isinstance(value, dict) and isinstance(value.get("message"), str) and bool(value["message"])
    return provider_error(
        status,
        _code(status, message),
        message[:_MAX_MESSAGE] or words_of("Cohere", status, body),
        retry_after_s=asked_wait_s(status, headers, message),
        wire=WireError(DIALECT, body, headers.get("content-type", "application/json")) if own else None,
        param=found[1] if (found := _PARAMETER.search(message)) else None,
    )


def said(value: Any) -> str:
    """What an error object says, by any of the names for it; "" if it is none."""
    for _ in range(3):  # `{"error": {"message": ...}}`
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value:  # FastAPI: [{"loc", "msg", "type"}]
            value = value[0]
        if not isinstance(value, dict):
            return ""
        value = next((value[name] for name in ("message", "error", "detail", "msg") if value.get(name)), None)
    return value if isinstance(value, str) else ""


def error_inside(reply: Json) -> GatewayError:
    """The error for a 200 reply, or an event of a stream, that is no part of an answer."""
    message = said(reply)
    if not message:
        return bad_reply("Cohere's reply holds no answer")
    return provider_error(502, reason(502, message) or "provider_error", message[:_MAX_MESSAGE])


def gave_up(finish: str, delta: Json) -> GatewayError:
    """For `finish_reason` ERROR and TIMEOUT. ERROR comes with a text and an `error_type` such as INVALID_TOOL_GENERATION
    (cohere/chat-stream-tools-0aabfd73)."""
    kind = delta.get("error_type")
    details = {"type": kind} if isinstance(kind, str) else None
    words = said(delta.get("error"))
    if finish == "TIMEOUT":
        return provider_error(504, "upstream_timeout", words or "Cohere ran out of time and ended the answer", details=details)
    code = reason(502, words, kind if isinstance(kind, str) else "") or "provider_error"
    return provider_error(502, code, words or "Cohere ended the answer with an error", details=details)


def _code(status: int, message: str) -> str:
    low = message.lower()
    if status == 404:
        return "model_not_found" if low.startswith("model ") or "model id" in low else "not_found"
    if status == 498:  # "Unsafe Request" in the documentation, InvalidTokenError in the SDK
        return "invalid_api_key" if "token" in low else "content_filter"
    return "request_cancelled" if status == 499 else reason(status, message) or code_for(status)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """The error as Cohere writes it. The format has no key for the field concerned, so the message names it."""
    if error.wire is not None and error.wire.dialect == DIALECT:
        return error.wire.body
    message, param = error.message, error.param
    if param and re.search(rf"(?<!\w){re.escape(param)}(?!\w)", message) is None:
        message = f"{param}: {message}"
    if error.status in (400, 422) and not message.startswith("invalid"):
        message = f"invalid request: {message}"
    return orjson.dumps({"id": request_id, "message": message})


def error_event(error: GatewayError, request_id: str) -> bytes:
    """As Cohere itself ends a stream that failed, but without the `[DONE]` that follows there: nothing whole is pretended."""
    delta: Json = {"finish_reason": "TIMEOUT" if error.status == 504 else "ERROR", "usage": {}, "error": error.message}
    if error.details is not None and isinstance(error.details.get("type"), str):
        delta["error_type"] = error.details["type"]
    return b"event: message-end\ndata: " + orjson.dumps({"type": "message-end", "id": request_id, "delta": delta}) + b"\n\n"
