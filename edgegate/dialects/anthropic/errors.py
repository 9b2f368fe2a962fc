"""Errors of the Anthropic API, both ways: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

Reading takes any body (HTML from a proxy, nothing, half a JSON document) and never raises. Only a body that is an Anthropic
error is kept for clients of the same dialect: they always get an object of their dialect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.anthropic.words import DIALECT, ERROR_STATUS, error_type
from edgegate.dialects.base import Json
from edgegate.dialects.failure import code_for, parsed, words_of
from edgegate.dialects.reasons import reason
from edgegate.dialects.waits import wait_s
from edgegate.errors import GatewayError, WireError, provider_error

_MAX_MESSAGE = 2000  # characters; the longest real ones list a hundred model names
_CREDENTIAL = re.compile(r"sk-ant-[\w-]{4,}")


def error_body(error: GatewayError, request_id: str) -> bytes:
    """The error as Anthropic writes it. The format has no key for the field concerned, so the message begins with it."""
    if error.wire is not None and error.wire.dialect == DIALECT:
        return error.wire.body
    message, param = error.message, error.param
    if param and not message.startswith(param) and f"'{param}'" not in message:
        message = f"{param}: {message}"
    body: Json = {"type": "error", "error": {"type": error_type(error.status), "message": message}}
    if request_id:
        body["request_id"] = request_id
    return orjson.dumps(body)


def error_event(error: GatewayError, request_id: str) -> bytes:
    body = error_body(error, request_id)
    if b"\n" in body or b"\r" in body:  # a pretty-printed body of the provider's: an event's data is one line
        body = orjson.dumps(orjson.loads(body))
    return b"event: error\ndata: " + body + b"\n\n"


def error_of(value: Any) -> Json | None:
    """The inner error of an Anthropic error object, None if `value` is none."""
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) and isinstance(error.get("type"), str) else None


def event_error(value: Any, body: bytes) -> GatewayError:
    """The error for an `error` event inside a stream, or an error object in a 200 reply: the type alone tells the status."""
    error = error_of(value)
    if error is None:
        return provider_error(502, "bad_reply", "the provider reported an error without saying which")
    return _error(ERROR_STATUS.get(error["type"], 502), value, error, body, "application/json")


def reply_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """The error for a reply that is not 2xx."""
    if not 400 <= status <= 599:  # a redirect is never followed
        status = 502
    wait = wait_s(headers, status)
    again = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    value = parsed(body)
    error = error_of(value)
    if error is None:
        message = _CREDENTIAL.sub("sk-ant-***", words_of("Anthropic", status, body))
        return provider_error(status, code_for(status), message, retryable=again, retry_after_s=wait)
    return _error(status, value, error, body, headers.get("content-type", "application/json"), wait, again)


def _error(
    status: int, value: Any, error: Json, body: bytes, content_type: str, wait: float | None = None, again: bool | None = None
) -> GatewayError:
    own = value.get("type") == "error"  # an OpenAI-shaped error, from whatever stands in between, is written anew
    words = error.get("message")
    message = words if isinstance(words, str) and words else f"Anthropic answered {status} without a message"
    safe = _CREDENTIAL.sub("sk-ant-***", message)
    wire = WireError(DIALECT, body, content_type) if own and _CREDENTIAL.search(body.decode("utf-8", "replace")) is None else None
    return provider_error(
        status,
        _code(status, error["type"], message),
        safe[:_MAX_MESSAGE],
        retryable=again,
        retry_after_s=wait,
        wire=wire,
        details={"type": error["type"]},
    )


def _code(status: int, type: str, message: str) -> str:
    """OpenAI's code for the faults that apps react to, the type's otherwise."""
    if status == 404 or type == "not_found_error":
        return "model_not_found" if message.startswith("model:") else "not_found"
    return reason(status, message) or ("overloaded" if status == 529 else code_for(status))
