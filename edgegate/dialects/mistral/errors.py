"""Mistral's errors, which come in several shapes: `{"detail": "..."}`, `{"message": "...", "request_id"}`, and
`{"object": "error", "message", "type", "code"}` where `message` may be a text, a list of faults, or `{"detail": [faults]}`.

A fault is pydantic's `{type, loc, msg, input}`. It becomes a sentence that names place and message; `input` is the
caller's own data and is never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.failure import bad_reply, code_for, failed, parsed, words_of
from edgegate.dialects.reasons import reason
from edgegate.errors import GatewayError, provider_error

_SHOWN = 3
_CODES = {"invalid_model": "model_not_found", "rate_limited": "rate_limit_exceeded", "unauthorized": "invalid_api_key"}


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """A reply that is not 2xx."""
    value = parsed(body)
    fields: Json = value if isinstance(value, dict) else {"detail": value} if isinstance(value, list) else {}
    message, param = _message(fields)
    return failed(
        "mistral",
        status,
        headers,
        body,
        message or words_of("Mistral", status, body),
        code=_code(fields, status, message),
        param=param,
        details=_details(fields),
    )


def error_inside(fields: Json) -> GatewayError | None:
    """The error that a 200 reply, or an event of its stream, holds; None if it is a part of an answer."""
    if "choices" in fields or "data" in fields:
        return None
    message, param = _message(fields)
    if not message:
        return bad_reply("Mistral's reply is neither an answer nor an error")
    status = fields.get("raw_status_code")
    if not isinstance(status, int) or not 400 <= status <= 599:
        status = 429 if fields.get("type") == "rate_limited" else 502
    code = _code(fields, status, message) or (code_for(status) if status != 502 else "provider_error")
    return provider_error(status, code, message, param=param, details=_details(fields))


def _code(fields: Json, status: int, message: str) -> str:
    kind = fields.get("type")
    if isinstance(kind, str) and kind in _CODES:
        return _CODES[kind]
    own = fields.get("code")
    return reason(status, message, str(own) if isinstance(own, (str, int)) else "")


def _details(fields: Json) -> dict[str, Any] | None:
    found = {key: fields[key] for key in ("type", "code") if isinstance(fields.get(key), (str, int))}
    return found or None


def _message(fields: Json) -> tuple[str, str | None]:
    """What an error object says, and the field it is about."""
    for key in ("error", "message", "detail"):
        value = fields.get(key)
        if isinstance(value, str) and value:
            return value, None
        if isinstance(value, list):
            return _faults(value)
        if isinstance(value, dict):
            found = _message(value)
            if found[0]:
                return found
    return "", None


def _faults(faults: list[Any]) -> tuple[str, str | None]:
    said: list[str] = []
    first: str | None = None
    for fault in faults:
        if isinstance(fault, dict) and isinstance(fault.get("msg"), str):
            place = _place(fault.get("loc"))
            first = first or place
            said.append(f"{place}: {fault['msg']}" if place else fault["msg"])
        elif isinstance(fault, str):
            said.append(fault)
    text = "; ".join(said[:_SHOWN])
    return (f"{text}; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else text), first


def _place(loc: Any) -> str | None:
    """`["body", "messages", 0, "user", "name"]` -> `messages[0].user.name`."""
    if not isinstance(loc, list):
        return None
    path = ""
    for step in loc[1:] if loc and loc[0] == "body" else loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif isinstance(step, str):
            path += f".{step}" if path else step
    return path or None
