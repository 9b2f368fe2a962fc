"""Mistral's error replies, in all the shapes they have been seen in, and bodies that are none."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.errors import Source

SIDE = MistralProvider()
FAULTS = [
    {"type": "extra_forbidden", "loc": ["body", "messages", 0, "user", "name"], "msg": "Extra inputs are not permitted", "input": "SECRET"},
    {"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted", "input": False},
]
SAID = "messages[0].user.name: Extra inputs are not permitted; store: Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("status", "body", "code", "message", "param"),
    [
        (401, b'{"detail":"Unauthorized"}', "invalid_api_key", "Unauthorized", None),
        (401, b'{"message":"Unauthorized","request_id":"1"}', "invalid_api_key", "Unauthorized", None),
        (422, orjson.dumps({"object": "error", "message": {"detail": FAULTS}}), "invalid_request", SAID, "messages[0].user.name"),
        (422, orjson.dumps({"detail": FAULTS}), "invalid_request", SAID, "messages[0].user.name"),
        (422, orjson.dumps({"object": "Error", "detail": FAULTS, "message": FAULTS}), "invalid_request", SAID, "messages[0].user.name"),
        (422, orjson.dumps(FAULTS[1:]), "invalid_request", "store: Extra inputs are not permitted", "store"),
        (
            400,
            b'{"object":"error","message":"Invalid model: x","type":"invalid_model","code":"1500"}',
            "model_not_found",
            "Invalid model: x",
            None,
        ),
        (
            400,
            b'{"object":"error","message":"Prompt contains 9 tokens, too large for model with 8 maximum context length"}',
            "context_length_exceeded",
            "Prompt contains 9 tokens, too large for model with 8 maximum context length",
            None,
        ),
        (429, b'{"object":"error","message":"Too fast","type":"rate_limited","code":"1300"}', "rate_limit_exceeded", "Too fast", None),
        (400, b'{"error":{"message":"from a proxy"}}', "invalid_request", "from a proxy", None),
        (500, b"", "server_error", "Mistral answered 500 without a body", None),
        (502, b"<html><h1>Bad gateway</h1>", "server_error", "Mistral answered 502 with a body that is no error object", None),
        (503, b"upstream connect error", "overloaded", "Mistral answered 503: upstream connect error", None),
        (404, b'{"message":"no Route matched with those values"}', "not_found", "no Route matched with those values", None),
        (400, b'{"message": {"det', "invalid_request", "Mistral answered 400 with a body that is no error object", None),
    ],
)
def test_an_error_keeps_the_provider_s_words(status: int, body: bytes, code: str, message: str, param: str | None) -> None:
    error = SIDE.error(status, {"content-type": "application/json"}, body)
    assert (error.status, error.code, error.message, error.param) == (status, code, message, param)
    assert error.source is Source.PROVIDER
    assert error.retryable is (status == 429 or status >= 500)
    assert error.wire is not None
    assert (error.wire.dialect, error.wire.body, error.wire.content_type) == ("mistral", body, "application/json")


def test_a_fault_never_repeats_the_caller_s_own_data() -> None:
    assert "SECRET" not in SIDE.error(422, {}, orjson.dumps({"detail": FAULTS})).message


def test_many_faults_are_counted_rather_than_listed() -> None:
    faults = [{"loc": ["body", "messages", at], "msg": "bad"} for at in range(50)]
    error = SIDE.error(422, {}, orjson.dumps({"message": {"detail": faults}}))
    assert error.message == "messages[0]: bad; messages[1]: bad; messages[2]: bad; and 47 more"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({"retry-after": "7"}, 7.0), ({"retry-after-ms": "250"}, 0.25), ({"retry-after": "Fri, 21 Nov 2025 08:03:25 GMT"}, None), ({}, None)],
)
def test_retry_after_is_kept(headers: dict[str, str], expected: float | None) -> None:
    assert SIDE.error(429, headers, b"{}").retry_after_s == expected


@pytest.mark.parametrize("status", [302, 100, 0, 700])
def test_a_status_that_is_no_error_is_the_provider_s_fault(status: int) -> None:
    assert SIDE.error(status, {}, b"").status == 502


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "detail", "type", "code", "loc", "msg", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.integers(300, 599), JSON.map(orjson.dumps) | st.binary(max_size=40))
def test_no_body_makes_reading_an_error_fail(status: int, body: bytes) -> None:
    error = SIDE.error(status, {}, body)
    assert 400 <= error.status <= 599
    assert error.message
