"""What goes wrong at Google -> `GatewayError`.

An error is `{"error": {code, message, status, details}}`, alone or in a list (a stream without `alt=sse` is one), as a reply of
its own or inside a 200. There is no retry-after header: the wait is `RetryInfo.retryDelay` among the details. Nothing here
raises on a foreign body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.failure import code_for, parsed, words_of
from edgegate.dialects.reasons import reason
from edgegate.dialects.waits import protobuf_s, wait_s
from edgegate.errors import GatewayError, WireError, provider_error

_CODES = {
    "INVALID_ARGUMENT": "invalid_request",
    "FAILED_PRECONDITION": "failed_precondition",
    "OUT_OF_RANGE": "invalid_request",
    "UNAUTHENTICATED": "invalid_api_key",
    "PERMISSION_DENIED": "permission_denied",
    "NOT_FOUND": "not_found",
    "ABORTED": "conflict",
    "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
    "CANCELLED": "cancelled",
    "INTERNAL": "server_error",
    "UNKNOWN": "server_error",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "upstream_timeout",
}

_STATUSES = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404, "ABORTED": 409, "RESOURCE_EXHAUSTED": 429, "INTERNAL": 500, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip

_KEY = re.compile(r"AIza[\w-]{10,}|(?<=api_key:)[^\s'\"\\]+")
"""Google quotes the key it refuses ("Consumer 'api_key:AIza...' has been suspended"): it must not travel back."""

_MAX_MESSAGE = 2000
"""Characters of a message that are kept."""


def fault_of(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """A reply that is not 2xx as an error. Any body will do."""
    if not 400 <= status <= 599:  # a redirect is never followed
        status = 502
    error = error_in(parsed(body))
    wait = wait_s(headers, status)
    wire = _wire(body, headers.get("content-type", "application/json; charset=UTF-8"))
    if error is None:
        words = _clean(words_of("Gemini", status, body))
        return provider_error(status, reason(status, words) or code_for(status), words, retry_after_s=wait, wire=wire)
    return _fault(error, status, wait, wire)


def hidden_fault(error: Json, body: bytes) -> GatewayError:
    """An error object found inside a 200; the status is the one it states."""
    status = error.get("code")
    if not isinstance(status, int) or not 400 <= status <= 599:
        status = _STATUSES.get(str(error.get("status")), 502)
    return _fault(error, status, None, _wire(body, "application/json; charset=UTF-8"))


def broken_off(reason: str, finish_message: Any) -> GatewayError:
    """A candidate that ended for a reason of the model's own making, such as MALFORMED_FUNCTION_CALL: not a whole answer, so
    never `stop`. A sampling accident mostly: worth another attempt, but for a missing signature, which stays missing."""
    more = f": {_clean(finish_message)}" if isinstance(finish_message, str) and finish_message else ""
    return provider_error(
        502,
        reason.lower() if reason not in ("OTHER", "NO_FINISH_REASON") else "bad_reply",
        f"Gemini broke off its answer ({reason}){more}",
        retryable=reason != "MISSING_THOUGHT_SIGNATURE",
        details={"finishReason": reason},
    )


def error_in(value: Any) -> Json | None:
    """The error object of a reply, which may be wrapped in a list."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else None


def _fault(error: Json, status: int, wait: float | None, wire: WireError) -> GatewayError:
    name = error.get("status")
    message = _clean(error.get("message")) or f"Gemini answered {status}"
    code = _CODES.get(str(name)) or code_for(status)
    if code == "not_found" and message.startswith(("models/", "tunedModels/", "Publisher Model")):
        code = "model_not_found"
    details = error.get("details")
    reasons = [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []
    if status == 400 and ("API key not valid" in message or any(item.get("reason") == "API_KEY_INVALID" for item in reasons)):
        status, code = 401, "invalid_api_key"  # Google calls a bad key an invalid argument
    code = reason(status, message) or code
    if code == "rate_limit_exceeded" and _for_long(reasons, message):
        code = "insufficient_quota"
    if wait is None:
        wait = next((s for item in reasons if (s := protobuf_s(item.get("retryDelay"))) is not None), None)
    return provider_error(status, code, message, retry_after_s=wait, wire=wire, details={"status": name} if isinstance(name, str) else None)


def _for_long(reasons: list[Json], message: str) -> bool:
    """Whether what is used up is a day's quota, or one that the account has none of: the delay beside it is that of a minute's."""
    if "limit: 0" in message:
        return True
    violations = [item.get("violations") for item in reasons]
    return any(
        isinstance(violation, dict) and "PerDay" in str(violation.get("quotaId"))
        for found in violations
        if isinstance(found, list)
        for violation in found
    )


def _clean(value: Any) -> str:
    return _KEY.sub("[redacted]", value)[:_MAX_MESSAGE] if isinstance(value, str) else ""


def _wire(body: bytes, content_type: str) -> WireError:
    if b"AIza" in body or b"api_key:" in body:
        body = _KEY.sub("[redacted]", body.decode("utf-8", "replace")).encode()
    return WireError("gemini", body, content_type)
