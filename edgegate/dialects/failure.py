"""What the error replies of different providers have in common: a code per status, and bodies that are no JSON.

Nothing here raises, whatever the body is. What its words say is read in `reasons.py`, how long to wait in `waits.py`; the form of
a provider's errors is the business of its own dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.reasons import reason
from edgegate.dialects.waits import asked_wait_s
from edgegate.errors import GatewayError, WireError, provider_error

_CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    402: "insufficient_quota",
    403: "permission_denied",
    404: "not_found",
    408: "upstream_timeout",
    413: "request_too_large",
    422: "invalid_request",
    429: "rate_limit_exceeded",
    503: "overloaded",
    504: "upstream_timeout",
}
_MAX_WORDS = 500


def code_for(status: int) -> str:
    return _CODES.get(status) or ("invalid_request" if status < 500 else "server_error")


def parsed(body: bytes) -> Any:
    """The body as JSON, None if it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def words_of(who: str, status: int, body: bytes) -> str:
    """A sentence for a body without a readable message. Short plain text is quoted (`404 page not found`), pages are not."""
    if not body.strip():
        return f"{who} answered {status} without a body"
    text = body[: _MAX_WORDS * 4].decode("utf-8", "replace").strip()
    if text[:1] in "<{[" or len(text) > 200 or not text.isprintable():
        return f"{who} answered {status} with a body that is no error object"
    return f"{who} answered {status}: {text}"


def failed(
    dialect: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    message: str,
    *,
    code: str = "",
    param: str | None = None,
    details: dict[str, Any] | None = None,
) -> GatewayError:
    """The error for a reply that is not 2xx. A redirect, or a status that is none, is the provider's fault: 502. Without a code of
    the dialect's own, the words say which it is, then the status."""
    if not 400 <= status <= 599:
        status = 502
    wire = WireError(dialect, body, headers.get("content-type", ""))
    return provider_error(
        status,
        code or reason(status, message) or code_for(status),
        message[: _MAX_WORDS * 4],
        retry_after_s=asked_wait_s(status, headers, message),
        wire=wire,
        details=details,
        param=param,
    )


def bad_reply(message: str) -> GatewayError:
    """The error for a 2xx reply that cannot be understood, or holds no answer."""
    return provider_error(502, "bad_reply", message)


def ended_early(who: str) -> GatewayError:
    """The error for a stream's terminal event that comes before the finish reason: it must not make the answer look whole."""
    return provider_error(502, "incomplete_reply", f"{who} ended its stream without a finish reason")


def check_content(content: Any, who: str) -> None:
    """Refuses a plain reply whose content is neither text nor a list of parts nor absent: read on, it would be an empty answer."""
    if content is not None and not isinstance(content, str | list):
        raise bad_reply(f"{who}'s reply holds content of an unknown form")
