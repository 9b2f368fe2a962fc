"""Errors of OpenAI-shaped providers in all their shapes, and how clients are shown them."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.waits import duration_s, wait_s
from edgegate.errors import GatewayError, WireError, bad_request, provider_error
from tests.wire.openai_sdk import read_stream

SIDE = OpenAIProvider()


def shown(error: GatewayError) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(ChatClient().error(error, "r1"))["error"]
    return value


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            400,
            b'{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}',
            "too long",
        ),
        (400, b'{"error":"model is required"}', "model is required"),
        (400, b'{"message":"no such field"}', "no such field"),
        (401, b'{"detail":"Unauthorized"}', "Unauthorized"),
        (422, b'{"detail":[{"loc":["body","model"],"msg":"field required"}]}', "body.model: field required"),
        (422, b'{"object":"error","message":{"detail":[{"msg":"Extra inputs"}]},"type":"invalid_request_error"}', "Extra inputs"),
        (400, b'{"object":"error","message":"bad n","type":"BadRequestError","param":null,"code":400}', "bad n"),
        (404, b'[{"error":{"code":404,"message":"not here","status":"NOT_FOUND"}}]', "not here"),
        (429, b'{"error":{"code":429,"message":"slow down","metadata":{"provider_name":"x"}}}', "slow down"),
        (500, b"upstream exploded", "upstream exploded"),
        (502, b"<html><body>Bad Gateway</body></html>", "The provider answered with status 502 and an HTML page."),
        (503, b"", "The provider answered with status 503 and an empty body."),
        (500, b'{"error":{"mess', "The provider answered with status 500 and no explanation."),
        (500, b'{"error":{}}', "The provider answered with status 500 and no explanation."),
        (500, b'"just text"', "just text"),
        (500, b"\xff\xfe\x00", "\ufffd\ufffd\x00"),
    ],
)
def test_the_provider_s_words_are_found(status: int, body: bytes, message: str) -> None:
    error = SIDE.error(status, {}, body)
    assert error.status == status
    assert error.message == message
    assert error.retryable == (status == 429 or status >= 500)
    assert shown(error).keys() >= {"message"}


def test_code_param_and_body_of_an_openai_error_are_kept() -> None:
    body = b'{"error": {"message": "m", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}}'
    error = SIDE.error(400, {"content-type": "application/json"}, body)
    assert (error.code, error.param) == ("invalid_value", "n")
    assert error.wire == WireError("openai", body, "application/json")
    assert ChatClient().error(error, "r") == body


@pytest.mark.parametrize("body", [b'{"error":"text"}', b'{"message":"m"}', b"<html>", b"", b'{"error":{"code":5}}'])
def test_a_body_of_another_shape_is_never_shown_to_clients_as_it_is(body: bytes) -> None:
    error = SIDE.error(500, {}, body)
    assert error.wire is None
    assert shown(error).keys() >= {"message", "type", "param", "code"}


def test_details_beyond_the_message_are_kept() -> None:
    error = SIDE.error(400, {}, b'{"error":"x","failed_generation":"<f>"}')
    assert error.details is None  # beside the error, not in it
    error = SIDE.error(429, {}, b'{"error":{"code":429,"message":"m","metadata":{"raw":"r"}}}')
    error.wire = None
    assert shown(error)["metadata"] == {"raw": "r"}
    assert shown(error)["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    "secret",
    ["sk-fake-key", "sk-proj-abcDEF123_456-789", "gsk_abcdefghijkl1234", "xai-0123456789abcdef", "sk-abcd********wxyz", "whatever"],
)
def test_a_key_that_the_provider_quotes_is_struck_out(secret: str) -> None:
    body = orjson.dumps({"error": {"message": f"Incorrect API key provided: {secret}. Find yours at https://x.", "type": "t", "code": "c"}})
    error = SIDE.error(401, {}, body)
    assert secret not in error.message
    assert secret.encode() not in ChatClient().error(error, "r")
    assert "Incorrect API key provided" in error.message


def test_ordinary_words_are_not_taken_for_keys() -> None:
    message = "skip_special_tokens and sk-learn are fine, so is hf-x; the task-specific key-value pair too"
    assert SIDE.error(400, {}, orjson.dumps({"error": {"message": message}})).message == message


@pytest.mark.parametrize("status", [200, 204, 301, 302, 600, 0, 99])
def test_a_status_that_no_client_could_use_is_a_502(status: int) -> None:
    error = SIDE.error(status, {"location": "http://elsewhere"}, b"")
    assert (error.status, error.code, error.retryable) == (502, "bad_reply", True)


@given(st.binary(max_size=200), st.integers(300, 599))
def test_any_body_makes_an_error(body: bytes, status: int) -> None:
    error = SIDE.error(status, {}, body)
    assert error.message
    orjson.loads(ChatClient().error(error, "r"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
        ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, 360),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "17.575s"}, 2),
        (
            {
                f"x-ratelimit-{what}-{kind}": value
                for kind, reset in (("requests", "3s"), ("tokens", "9"))
                for what, value in (("reset", reset), ("remaining", "0"))
            },
            9,
        ),
        ({"x-ratelimit-reset": "7"}, 7),
        ({"x-ratelimit-reset": "1741305600000"}, None),
    ],
)
def test_the_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_s(headers) == seconds
    assert SIDE.error(429, headers, b"{}").retry_after_s == seconds
    assert SIDE.error(400, headers, b"{}").retry_after_s is None


@pytest.mark.parametrize(("text", "seconds"), [("1h2m3s", 3723), ("1d", 86400), ("250ms", 0.25), ("5", 5), ("", None), ("5 apples", None)])
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (404, "invalid_request_error"), (413, "invalid_request_error"), (422, "invalid_request_error"),
        (401, "authentication_error"), (403, "permission_error"), (429, "rate_limit_error"), (500, "server_error"), (503, "server_error"),
    ],
)  # fmt: skip
def test_our_own_errors_have_all_four_keys_and_a_type_for_the_status(status: int, kind: str) -> None:
    assert shown(GatewayError(status, "some_code", "words")) == {"message": "words", "type": kind, "param": None, "code": "some_code"}


def test_an_error_of_another_dialect_is_written_in_this_one() -> None:
    wire = WireError("anthropic", b'{"type":"error"}', "application/json")
    error = provider_error(529, "overloaded", "Overloaded", wire=wire, details={"type": "overloaded_error", "request_id": "r"})
    assert shown(error) == {"message": "Overloaded", "type": "overloaded_error", "param": None, "code": "overloaded", "request_id": "r"}


@pytest.mark.parametrize(
    "error",
    [
        bad_request("no", "n"),
        provider_error(502, "x", "m", wire=WireError("openai", b'{\n "error": {\n  "message": "m"\n }\n}', "application/json")),
    ],
)
def test_an_error_event_makes_the_sdk_raise(error: GatewayError) -> None:
    event = ChatClient().error_event(error, "r1")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    assert b"[DONE]" not in event
    with pytest.raises(openai.APIError, match=error.message):
        read_stream(event)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, openai.BadRequestError), (401, openai.AuthenticationError), (404, openai.NotFoundError), (429, openai.RateLimitError),
     (500, openai.InternalServerError)],
)  # fmt: skip
def test_the_sdk_reads_our_errors(status: int, expected: type[openai.APIStatusError]) -> None:
    body = ChatClient().error(GatewayError(status, "the_code", "the words", param="n"), "r1")
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers={"content-type": "application/json"}, content=body))
    sdk = openai.OpenAI(api_key="k", base_url="http://t.invalid/v1", http_client=httpx.Client(transport=transport), max_retries=0)
    with pytest.raises(expected) as caught:
        sdk.chat.completions.create(model="m", messages=[])
    assert (caught.value.code, caught.value.param) == ("the_code", "n")
