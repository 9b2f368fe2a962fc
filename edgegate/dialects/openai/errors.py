"""Errors of the OpenAI dialect, both ways: rendered for clients, and read out of replies in all the shapes in use.

Clients always get `{"error": {"message", "type", "param", "code"}}` with all four keys. Providers that call themselves
compatible answer that, `{"error": "text"}`, `{"message": ...}`, `{"detail": ...}`, `{"object": "error", ...}`, HTML, or
nothing. A provider's words are kept, but anything that looks like a credential is struck out of them: OpenAI quotes a
refused key (openai/chat-error-e401), and that key is the gateway's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.reasons import KNOWN, reason
from edgegate.dialects.waits import said_s, wait_s
from edgegate.errors import GatewayError, WireError, provider_error

DIALECT = "openai"

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
}

_TYPES_OF_CODES: Mapping[str, str] = {"budget_exceeded": "insufficient_quota"}
"""Where a code says more than the status: OpenAI's own word for money that is used up."""

_CODES: Mapping[int, str] = {
    400: "invalid_request",
    401: "invalid_api_key",
    402: "insufficient_quota",
    403: "permission_denied",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    413: "request_too_large",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    500: "server_error",
    503: "overloaded",
    504: "timeout",
}

_STATUS_OF: Mapping[str, int] = {
    "invalid_request_error": 400,
    "invalid_request": 400,
    "badrequesterror": 400,
    "bad_request": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "tool_use_failed": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "insufficient_quota": 429,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "requests": 429,
    "tokens": 429,
    "server_error": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "overloaded_error": 503,
    "overloaded": 503,
    "service_unavailable": 503,
    "timeout": 504,
}

_OWN = ("message", "type", "param", "code")
_MAX_MESSAGE = 2000
"""Characters of a provider's message that are kept: some quote the whole request back."""

_SECRET = re.compile(
    r"(?i)\bbearer\s+[\w.~+/=*-]{6,}"
    r"|(?<![\w-])(?:sk|pk|rk|gsk|xai|csk|nvapi|pplx|hf|tgp|fw|ghp|glpat)[-_][\w*.-]{6,}"
    r"|\b(?:AIza|eyJ)[\w.-]{16,}"
    r"|(?<=key provided: )[^\s\"',]+"
)


def type_of(status: int) -> str:
    """OpenAI's `type` for an HTTP status."""
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")


def render(error: GatewayError) -> bytes:
    """The JSON body for a client. An error that came from an OpenAI-shaped provider goes on byte for byte."""
    if error.wire is not None and error.wire.dialect == DIALECT:
        return error.wire.body
    details = error.details or {}
    kind = details.get("type")
    body: Json = {
        "message": error.message,
        "type": kind if isinstance(kind, str) and kind else _TYPES_OF_CODES.get(error.code) or type_of(error.status),
        "param": error.param,
        "code": error.code or None,
    }
    for name, value in details.items():  # innererror, metadata, failed_generation, ...
        if name not in body:
            body[name] = value
    return orjson.dumps({"error": body})


def render_event(error: GatewayError) -> bytes:
    """The event that ends a stream; no [DONE] follows. The official SDKs raise on it."""
    body = render(error)
    if b"\n" in body or b"\r" in body:  # a provider's pretty-printed error must fit on one line
        body = orjson.dumps(orjson.loads(body))
    return b"data: " + body + b"\n\n"


def without_secrets(text: str) -> str:
    return _SECRET.sub("***", text)


def hidden_error(value: Any) -> Json | None:
    """The error inside a reply or stream event that has a 200 around it, as an object; None if it is none."""
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if error:
        return error if isinstance(error, dict) else {"message": error if isinstance(error, str) else str(error)}
    if value.get("object") == "error":  # vLLM, Mistral
        return value
    if "choices" not in value and "data" not in value and (value.get("message") or value.get("detail")):
        return value
    return None


def from_payload(payload: Json, status: int | None = None, *, wire: WireError | None = None, wait: float | None = None) -> GatewayError:
    """An error object, whatever its shape, as a `GatewayError`. Without an HTTP status, its own `code`, `status` or `type` give one."""
    code = payload.get("code")
    kind = payload.get("type")
    if status is None:
        status = _status(code) or _status(payload.get("status")) or _status(payload.get("status_code")) or _status(kind) or 502
    message = _message(payload)
    said = f"{message} {_deeper(payload)}" if payload.get("metadata") else message
    word = code if isinstance(code, str) and code and not code.isdigit() else ""
    if word.lower() not in KNOWN:
        word = _reason(status, said, code, kind) or word
    if not word:
        word = kind if isinstance(kind, str) and kind and status not in (401, 403, 429) else _CODES.get(status, "provider_error")
    param = payload.get("param")
    details = {name: value for name, value in payload.items() if name not in ("message", "param", "code", "detail", "object") and value}
    if isinstance(code, str) and code and code != word:
        details["provider_code"] = code
    return provider_error(
        status,
        word,
        message or f"The provider answered with status {status} and no explanation.",
        retry_after_s=said_s(message) if wait is None and status == 429 else wait,
        wire=wire,
        details=details or None,
        param=param if isinstance(param, str) else None,
    )


def _reason(status: int, said: str, code: Any, kind: Any) -> str:
    """What the vendor's code, its type or its words say; "" if that is nothing the gateway reacts to."""
    own = str(code) if isinstance(code, (str, int)) else ""
    return reason(status, said, own) or (reason(status, "", kind) if isinstance(kind, str) and kind.lower() not in _STATUS_OF else "")


def _deeper(payload: Json) -> str:
    """What OpenRouter keeps of the error of the provider behind it, and of its own moderation."""
    metadata = payload.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return raw if isinstance(raw, str) else ""


def from_event(payload: Json) -> GatewayError:
    """An error reported inside a stream or a 200."""
    error = from_payload(payload)
    if without_secrets(str(payload)) == str(payload) and isinstance(payload.get("message"), str):
        body = {"type": type_of(error.status), "param": None, "code": None} | payload
        error.wire = WireError(DIALECT, orjson.dumps({"error": body}), "application/json")
    return error


def from_reply(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """A reply that is not 2xx. Never raises, whatever the body is."""
    if not 400 <= status <= 599:  # a redirect is never followed, and no client could use it
        return bad_reply(f"The provider answered with status {status}.")
    wait = wait_s(headers, status) if status in (408, 409, 425, 429) or status >= 500 else None
    value = parsed(body)
    if isinstance(value, list) and len(value) == 1:  # Google's OpenAI endpoint wraps errors in a list
        value = value[0]
        body = orjson.dumps(value)
    payload = hidden_error(value) if isinstance(value, dict) else None
    if payload is None:
        return from_payload({"message": _plain(status, body, value)}, status, wait=wait)
    wire = None
    error = value.get("error")
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        text = body.decode("utf-8", "replace")
        if without_secrets(text) == text:
            wire = WireError(DIALECT, body, headers.get("content-type") or "application/json")
    return from_payload(payload, status, wire=wire, wait=wait)


def _status(value: Any) -> int | None:
    if isinstance(value, str):
        if value.isdigit() and len(value) == 3:
            value = int(value)
        else:
            return _STATUS_OF.get(value.lower())
    return value if type(value) is int and 400 <= value <= 599 else None


def _message(payload: Json) -> str:
    for name in ("message", "detail", "error", "title", "msg"):
        text = _text(payload.get(name))
        if text:
            return without_secrets(text[:_MAX_MESSAGE])
    return ""


def _text(value: Any) -> str:
    """Words out of what stands where a message should: text, an object with one, or FastAPI's list of findings."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return next((text for name in ("message", "msg", "detail") if (text := _text(value.get(name)))), "")
    if isinstance(value, list):
        found = []
        for item in value[:5]:
            where = item.get("loc") if isinstance(item, dict) else None
            text = _text(item)
            if text:
                found.append(f"{'.'.join(map(str, where))}: {text}" if isinstance(where, list) else text)
        return "; ".join(found)
    return ""


def _plain(status: int, body: bytes, value: Any) -> str:
    """A sentence for a body that is not an error object."""
    if isinstance(value, str) and value:
        return without_secrets(value[:_MAX_MESSAGE])
    text = body[:400].decode("utf-8", "replace").strip()
    if not text:
        return f"The provider answered with status {status} and an empty body."
    if text.startswith("<"):
        return f"The provider answered with status {status} and an HTML page."
    if text.startswith(("{", "[")):
        return f"The provider answered with status {status} and no explanation."
    return without_secrets(text)
