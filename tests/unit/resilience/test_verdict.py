"""What the gateway takes a failure for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.errors import GatewayError, Source, bad_request, provider_error
from edgegate.resilience.verdict import Verdict, verdict

AGAIN = (Verdict.RETRY, Verdict.LIMITED, Verdict.SILENT)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (408, "upstream_timeout", Verdict.RETRY),
        (409, "conflict", Verdict.RETRY),
        (425, "too_early", Verdict.RETRY),
        (500, "server_error", Verdict.RETRY),
        (502, "upstream_closed", Verdict.RETRY),
        (502, "upstream_cut", Verdict.RETRY),
        (502, "upstream_tls", Verdict.RETRY),
        (502, "upstream_unreachable", Verdict.RETRY),
        (502, "empty_reply", Verdict.RETRY),
        (502, "bad_reply", Verdict.RETRY),
        (502, "incomplete_reply", Verdict.RETRY),
        (502, "provider_error", Verdict.RETRY),
        (503, "overloaded", Verdict.RETRY),
        (529, "overloaded", Verdict.RETRY),
        (504, "timeout", Verdict.RETRY),
        (504, "upstream_timeout", Verdict.RETRY),
        (504, "connect_timeout", Verdict.SILENT),
        (504, "first_token_timeout", Verdict.SILENT),
        (504, "idle_timeout", Verdict.SILENT),
        (504, "total_timeout", Verdict.SILENT),
        (429, "rate_limit_exceeded", Verdict.LIMITED),
        (429, "tokens", Verdict.LIMITED),
        (429, "insufficient_quota", Verdict.KEY),
        (402, "insufficient_quota", Verdict.KEY),
        (402, "whatever", Verdict.KEY),
        (401, "invalid_api_key", Verdict.KEY),
        (400, "invalid_api_key", Verdict.KEY),
        (400, "insufficient_quota", Verdict.KEY),
        (403, "permission_denied", Verdict.KEY),
        (403, "unsupported_country_region_territory", Verdict.KEY),
        (403, "content_filter", Verdict.FILTER),
        (400, "content_filter", Verdict.FILTER),
        (400, "content_policy_violation", Verdict.FILTER),
        (502, "content_filter", Verdict.FILTER),
        (400, "context_length_exceeded", Verdict.CONTEXT),
        (413, "context_length_exceeded", Verdict.CONTEXT),
        (429, "context_length_exceeded", Verdict.CONTEXT),
        (413, "request_too_large", Verdict.CONTEXT),
        (400, "invalid_request", Verdict.FINAL),
        (404, "model_not_found", Verdict.FINAL),
        (422, "invalid_request", Verdict.FINAL),
    ],
)
def test_what_a_provider_s_error_is(status: int, code: str, expected: Verdict) -> None:
    error = provider_error(status, code, "m")
    assert verdict(error) is expected
    assert error.retryable == (expected in AGAIN)


def test_a_provider_that_says_not_to_try_again_is_believed() -> None:
    assert verdict(provider_error(500, "server_error", "m", retryable=False)) is Verdict.FINAL
    assert verdict(provider_error(502, "reply_too_large", "m", retryable=False)) is Verdict.FINAL
    assert verdict(provider_error(429, "rate_limit_exceeded", "m", retryable=False)) is Verdict.KEY
    assert verdict(provider_error(400, "odd", "m", retryable=True)) is Verdict.RETRY


def test_what_the_client_or_the_gateway_did_wrong_is_final() -> None:
    assert verdict(bad_request("m", code="context_length_exceeded")) is Verdict.FINAL
    assert verdict(GatewayError(413, "request_too_large", "m", source=Source.CLIENT)) is Verdict.FINAL
    assert verdict(GatewayError(429, "rate_limit_exceeded", "m")) is Verdict.FINAL
    assert verdict(GatewayError(401, "invalid_api_key", "m")) is Verdict.FINAL
    assert verdict(GatewayError(500, "internal_error", "m")) is Verdict.FINAL
    assert verdict(GatewayError(503, "upstream_busy", "m", retryable=True)) is Verdict.RETRY


@given(
    status=st.integers(400, 599).filter(lambda status: status not in (401, 402, 403)),
    code=st.sampled_from(["", "x", "rate_limit_exceeded", "content_filter", "context_length_exceeded", "insufficient_quota"]),
)
def test_verdict_and_retryable_agree(status: int, code: str) -> None:
    error = provider_error(status, code, "m")
    assert error.retryable == (verdict(error) in AGAIN)
