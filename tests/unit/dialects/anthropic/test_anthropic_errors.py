"""Errors as Anthropic writes them, both ways, and the list of models."""

from __future__ import annotations

from typing import Any

import anthropic
import orjson
import pytest

from edgegate.dialects.anthropic import models
from edgegate.dialects.anthropic.models import Model
from edgegate.errors import GatewayError, WireError, bad_request
from tests.unit.dialects.anthropic.shapes import CLIENT, PROVIDER
from tests.wire.anthropic_sdks import anthropic_message


def body(type: str, message: str) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": type, "message": message}, "request_id": "req_9"})


RENDERED: list[tuple[int, str, type[anthropic.APIStatusError]]] = [
    (400, "invalid_request_error", anthropic.BadRequestError),
    (401, "authentication_error", anthropic.AuthenticationError),
    (402, "billing_error", anthropic.APIStatusError),
    (403, "permission_error", anthropic.PermissionDeniedError),
    (404, "not_found_error", anthropic.NotFoundError),
    (409, "invalid_request_error", anthropic.ConflictError),
    (413, "request_too_large", anthropic.APIStatusError),
    (422, "invalid_request_error", anthropic.UnprocessableEntityError),
    (429, "rate_limit_error", anthropic.RateLimitError),
    (500, "api_error", anthropic.InternalServerError),
    (502, "api_error", anthropic.InternalServerError),
    (503, "overloaded_error", anthropic.InternalServerError),
    (504, "timeout_error", anthropic.InternalServerError),
    (529, "overloaded_error", anthropic.InternalServerError),
]


@pytest.mark.parametrize(("status", "kind", "raised"), RENDERED)
def test_an_error_of_ours_reads_as_one_of_anthropics(status: int, kind: str, raised: type[anthropic.APIStatusError]) -> None:
    error = GatewayError(status, "code", "what to do", param="field")
    sent = CLIENT.error(error, "req_1")
    assert orjson.loads(sent) == {"type": "error", "error": {"type": kind, "message": "field: what to do"}, "request_id": "req_1"}
    with pytest.raises(raised) as caught:
        anthropic_message(sent, streamed=False, status=status)
    assert caught.value.status_code == status


def test_the_field_is_named_once() -> None:
    assert b'"message":"model: no such"' in CLIENT.error(bad_request("model: no such", "model"), "")
    assert b'"message":"Missing \'model\'."' in CLIENT.error(bad_request("Missing 'model'.", "model"), "")
    assert b"request_id" not in CLIENT.error(bad_request("x"), "")


def test_an_error_event_raises_in_the_sdk() -> None:
    event = CLIENT.error_event(GatewayError(504, "idle", "too slow"), "req_1")
    assert event.startswith(b"event: error\ndata: {")
    assert event.endswith(b"}\n\n")
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_message(event, streamed=True)
    assert "too slow" in str(caught.value)


def test_the_providers_own_error_goes_on_byte_for_byte_and_in_a_stream_on_one_line() -> None:
    pretty = b'{\n "type": "error",\n "error": {"type": "api_error", "message": "m"}}'
    error = PROVIDER.error(500, {"content-type": "application/json"}, pretty)
    assert CLIENT.error(error, "req_1") is pretty
    event = CLIENT.error_event(error, "req_1")
    assert event.count(b"\n") == 3
    assert b'"message":"m"' in event


def test_an_error_of_another_dialect_is_written_anew() -> None:
    wire = WireError("openai", b'{"error":{"message":"m"}}', "application/json")
    sent = CLIENT.error(GatewayError(429, "rate_limit_exceeded", "slow down", wire=wire), "r")
    assert orjson.loads(sent)["error"] == {"type": "rate_limit_error", "message": "slow down"}


READ: list[tuple[int, bytes, str, bool]] = [
    (400, body("invalid_request_error", "max_tokens: Field required"), "invalid_request", False),
    (400, body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), "context_length_exceeded", False),
    (400, body("invalid_request_error", "Output blocked by content filtering policy"), "content_filter", False),
    (400, body("invalid_request_error", "Your credit balance is too low"), "insufficient_quota", False),
    (401, body("authentication_error", "invalid x-api-key"), "invalid_api_key", False),
    (402, body("billing_error", "pay"), "insufficient_quota", False),
    (403, body("permission_error", "no"), "permission_denied", False),
    (404, body("not_found_error", "model: claude-x"), "model_not_found", False),
    (404, body("not_found_error", "Not found"), "not_found", False),
    (413, body("request_too_large", "big"), "request_too_large", False),
    (429, body("rate_limit_error", "slow"), "rate_limit_exceeded", True),
    (500, body("api_error", "oops"), "server_error", True),
    (504, body("timeout_error", "late"), "upstream_timeout", True),
    (529, body("overloaded_error", "busy"), "overloaded", True),
]


@pytest.mark.parametrize(("status", "sent", "code", "retryable"), READ)
def test_an_error_of_anthropics_keeps_status_words_and_body(status: int, sent: bytes, code: str, retryable: bool) -> None:
    error = PROVIDER.error(status, {}, sent)
    assert (error.status, error.code, error.retryable) == (status, code, retryable)
    assert error.message == orjson.loads(sent)["error"]["message"]
    assert error.wire is not None
    assert error.wire.body == sent


STRANGE = [
    b"",
    b" ",
    b"<html><body>502 Bad Gateway</body></html>",
    b'{"type":"error","err',
    b"[]",
    b"null",
    b'{"error":"x"}',
    b'{"error":{}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("sent", STRANGE)
@pytest.mark.parametrize("status", [302, 400, 404, 500, 529, 999])
def test_any_body_is_an_error_and_none_but_anthropics_is_passed_on(sent: bytes, status: int) -> None:
    error = PROVIDER.error(status, {"content-type": "text/html"}, sent)
    assert error.status == (status if 400 <= status < 600 else 502)
    assert error.message
    assert "<" not in error.message
    assert error.wire is None
    assert orjson.loads(CLIENT.error(error, "r"))["type"] == "error"


def test_a_credential_in_the_providers_words_goes_no_further() -> None:
    error = PROVIDER.error(401, {}, body("authentication_error", "invalid key sk-ant-api03-SECRET_x"))
    assert b"SECRET" not in CLIENT.error(error, "r")
    assert "SECRET" not in error.message
    assert "SECRET" not in PROVIDER.error(401, {}, b"bad key sk-ant-api03-SECRET").message


DATE = {"date": "Fri, 21 Nov 2025 08:00:00 GMT"}
WAITS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "36"}, 36.0),
    ({"retry-after-ms": "1500", "retry-after": "36"}, 1.5),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "-1"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, 86400.0),
    ({"retry-after": "Fri, 21 Nov 2025 08:00:30 GMT", **DATE}, 30.0),
    ({"retry-after": "Fri, 21 Nov 2025 07:00:00 GMT", **DATE}, 0.0),
    ({"anthropic-ratelimit-requests-reset": "2025-11-21T08:00:10Z", "anthropic-ratelimit-requests-remaining": "0"}, None),  # no clock
    ({"anthropic-ratelimit-requests-reset": "2025-11-21T08:00:10Z", "anthropic-ratelimit-requests-remaining": "0", **DATE}, 10.0),
    ({"anthropic-ratelimit-requests-reset": "2025-11-21T08:00:10Z", "anthropic-ratelimit-requests-remaining": "5", **DATE}, None),
    (
        {
            "anthropic-ratelimit-requests-reset": "2025-11-21T08:00:10Z",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2025-11-21T09:00:20+01:00",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            **DATE,
        },
        20.0,
    ),
    ({"anthropic-ratelimit-tokens-reset": "tomorrow", "anthropic-ratelimit-tokens-remaining": "0", **DATE}, None),
]


@pytest.mark.parametrize(("headers", "expected"), WAITS)
def test_how_long_to_wait(headers: dict[str, str], expected: float | None) -> None:
    assert PROVIDER.error(429, headers, body("rate_limit_error", "slow")).retry_after_s == expected


def test_the_provider_decides_whether_trying_again_makes_sense() -> None:
    assert not PROVIDER.error(529, {"x-should-retry": "false"}, body("overloaded_error", "busy")).retryable
    assert PROVIDER.error(409, {"x-should-retry": "true"}, b"").retryable


MODELS = [Model(f"m{number}", 1700000000 + number) for number in range(5)]


def listed(**options: str) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(models.page(MODELS, **options))
    return value


def test_the_list_of_models_is_paged_as_the_sdk_pages_it() -> None:
    assert [model["id"] for model in listed()["data"]] == ["m0", "m1", "m2", "m3", "m4"]
    first = listed(limit="2")
    assert ([model["id"] for model in first["data"]], first["has_more"], first["first_id"], first["last_id"]) == (
        ["m0", "m1"],
        True,
        "m0",
        "m1",
    )
    last = listed(limit="3", after_id="m1")
    assert ([model["id"] for model in last["data"]], last["has_more"]) == (["m2", "m3", "m4"], False)
    back = listed(limit="2", before_id="m4")
    assert ([model["id"] for model in back["data"]], back["has_more"]) == (["m2", "m3"], True)
    assert orjson.loads(models.page([])) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "9" * 30, "²"])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(GatewayError) as caught:
        listed(limit=limit)
    assert (caught.value.status, caught.value.param) == (400, "limit")


def test_a_single_model_reads_in_the_sdk() -> None:
    model = anthropic.types.ModelInfo.model_validate_json(models.single(Model("claude-x", 1700000000, "Claude X")))
    assert (model.id, model.display_name, model.created_at.isoformat()) == ("claude-x", "Claude X", "2023-11-14T22:13:20+00:00")
