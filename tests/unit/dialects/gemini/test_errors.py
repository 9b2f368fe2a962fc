"""Error replies: Google's words kept, its habits translated, any body survived."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.gemini import GeminiProvider
from edgegate.errors import GatewayError


def error(status: int, value: Any, headers: dict[str, str] | None = None) -> GatewayError:
    return GeminiProvider().error(status, headers or {}, value if isinstance(value, bytes) else orjson.dumps(value))


def body(status: int, name: str, message: str = "Words.", details: Any = None) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": name, **({"details": details} if details is not None else {})}}


@pytest.mark.parametrize(
    ("status", "name", "code", "retryable"),
    [
        (400, "INVALID_ARGUMENT", "invalid_request", False),
        (400, "FAILED_PRECONDITION", "failed_precondition", False),
        (401, "UNAUTHENTICATED", "invalid_api_key", False),
        (403, "PERMISSION_DENIED", "permission_denied", False),
        (404, "NOT_FOUND", "not_found", False),
        (409, "ABORTED", "conflict", True),
        (429, "RESOURCE_EXHAUSTED", "rate_limit_exceeded", True),
        (499, "CANCELLED", "cancelled", False),
        (500, "INTERNAL", "server_error", True),
        (503, "UNAVAILABLE", "overloaded", True),
        (504, "DEADLINE_EXCEEDED", "upstream_timeout", True),
        (501, "SOMETHING_NEW", "server_error", True),
    ],
)
def test_status(status: int, name: str, code: str, retryable: bool) -> None:
    for value in (body(status, name), [body(status, name)]):
        found = error(status, value)
        assert (found.status, found.code, found.retryable, found.message) == (status, code, retryable, "Words.")
        assert found.wire is not None
        assert found.wire.dialect == "gemini"
        assert found.wire.body == orjson.dumps(value)
        assert found.details == {"status": name}


def test_unknown_model_has_its_own_code() -> None:
    assert error(404, body(404, "NOT_FOUND", "models/x is not found for API version v1beta")).code == "model_not_found"


@pytest.mark.parametrize(
    "value",
    [
        body(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
        body(400, "INVALID_ARGUMENT", "No.", [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]),
    ],
)
def test_bad_key_is_an_authentication_error(value: Any) -> None:
    found = error(400, value)
    assert (found.status, found.code, found.retryable) == (401, "invalid_api_key", False)


@pytest.mark.parametrize(
    ("details", "headers", "wait"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}], {}, 12.0),
        ([{"@type": "type.googleapis.com/google.rpc.QuotaFailure"}, {"retryDelay": "0.25s"}], {}, 0.25),
        ([{"retryDelay": "0s"}], {}, 0.0),
        ([{"retryDelay": "12s"}], {"retry-after": "3"}, 3.0),
        ([{"retryDelay": "soon"}], {}, None),
        ([{"retryDelay": 12}, "x", None], {}, None),
        ("x", {"retry-after": "tomorrow"}, None),
        (None, {}, None),
    ],
)
def test_wait(details: Any, headers: dict[str, str], wait: float | None) -> None:
    assert error(429, body(429, "RESOURCE_EXHAUSTED", details=details), headers).retry_after_s == wait


def test_a_quoted_key_does_not_come_back() -> None:
    key = "AIza" + "SyA1234567890abcdefghijklmnopqrstuv"
    for message in (f"Consumer 'api_key:{key}' has been suspended.", f"key {key}", "Consumer 'api_key:AQ.other-form' is bad"):
        found = error(403, body(403, "PERMISSION_DENIED", message))
        assert found.wire is not None
        for text in (found.message, found.wire.body.decode()):
            assert key not in text
            assert "AQ.other" not in text
            assert "[redacted]" in text
        orjson.loads(found.wire.body)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500, 502, 503])
@pytest.mark.parametrize(
    "text", [b"", b"<html>no</html>", b'{"error": {"code": 4', b'{"error": "x"}', b"[]", b"[1]", b"null", b"\xff\xfe", b'{"error": {}}']
)
def test_foreign_body_is_survived(status: int, text: bytes) -> None:
    found = error(status, text, {"content-type": "text/html"})
    assert found.status == (status if status >= 400 else 502)
    assert found.code
    assert found.message


@given(
    st.integers(200, 599),
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "content-type"]), st.text(max_size=5)),
)
def test_nothing_is_raised(status: int, text: bytes, headers: dict[str, str]) -> None:
    assert isinstance(GeminiProvider().error(status, headers, text), GatewayError)
