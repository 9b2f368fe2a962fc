"""Errors as Google writes them: `{"error": {code, message, status, details}}`.

What is known beyond the message goes into `details` in Google's own types: the field concerned as a `BadRequest`, the wait as
`RetryInfo`, edgegate's code and the request's id as `ErrorInfo`. An error of Google's own goes to its client as it came.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.failure import parsed
from edgegate.errors import GatewayError

DIALECT = "gemini"

_STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED", 409: "ABORTED", 412: "FAILED_PRECONDITION", 413: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
}  # fmt: skip
_RPC = "type.googleapis.com/google.rpc."


def error_body(error: GatewayError, request_id: str) -> bytes:
    if error.wire is not None and error.wire.dialect == DIALECT:
        body = _own(error.wire.body)
        if body is not None:
            return body
    details: list[Json] = []
    if error.param:
        details.append({"@type": f"{_RPC}BadRequest", "fieldViolations": [{"field": error.param, "description": error.message}]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": _seconds(error.retry_after_s)})
    domain = f"edgegate.{error.source}"
    info: Json = {"@type": f"{_RPC}ErrorInfo", "reason": error.code.upper(), "domain": domain}
    if request_id:
        info["metadata"] = {"request_id": request_id}
    details.append(info)
    status = _STATUSES.get(error.status) or ("INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
    return orjson.dumps({"error": {"code": error.status, "message": error.message, "status": status, "details": details}})


def error_line(error: GatewayError, request_id: str) -> bytes:
    """The same on one line, beginning with `{"error":`: by that the SDK knows it among the events of a stream."""
    body = error_body(error, request_id)
    if not body.startswith(b'{"error":') or b"\n" in body or b"\r" in body:
        body = orjson.dumps(orjson.loads(body))
    return body


def _seconds(wait_s: float) -> str:
    """A `google.protobuf.Duration` as JSON has it: never with an exponent, which a wait until the next month would get."""
    return f"{wait_s:.3f}".rstrip("0").rstrip(".") + "s"


def _own(body: bytes) -> bytes | None:
    """Google's error object; a stream request gets it in a list. None for what is none (a page of a proxy's)."""
    value: Any = parsed(body)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0]
        body = orjson.dumps(value)
    return body if isinstance(value, dict) and isinstance(value.get("error"), dict) else None
