"""Limits in the words of each dialect: headers that its SDKs read, and errors that say what kind of limit it was."""

from __future__ import annotations

import json
import math
from typing import Any

import anthropic
import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import ClientSide
from edgegate.dialects.ratelimits import duration, limit_headers, moment, no_retry_headers, wait_headers
from edgegate.errors import GatewayError
from edgegate.server.surfaces import Surfaces

NOW = 1_795_000_000.25


def clients() -> dict[str, ClientSide]:
    """One client side of each dialect."""
    surfaces = Surfaces()
    sides = [surface.client for surface in surfaces.posts.values()] + [surfaces.gemini]
    return {side.dialect: side for side in reversed(sides)}


def shown(*args: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in limit_headers(*args)}


@pytest.mark.parametrize("dialect", ["openai", "gemini", "cohere", "ollama"])
def test_openais_headers_are_everybodys_but_anthropics(dialect: str) -> None:
    assert shown(dialect, "requests", 60, 59, 1.0, NOW) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }
    assert shown(dialect, "tokens", 200_000, -5, 360.0, NOW) == {
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }


def test_anthropics_headers_have_moments() -> None:
    assert shown("anthropic", "requests", 60, 0, 1.5, NOW) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-18T11:06:42Z",
    }
    assert list(shown("anthropic", "tokens", 60, 0, 1.5, NOW)) == [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_what_no_vendor_limits_is_named_after_openais(dialect: str) -> None:
    assert shown(dialect, "concurrency", 5, 1, 0.0, NOW) == {"x-ratelimit-limit-concurrency": "5", "x-ratelimit-remaining-concurrency": "1"}
    assert shown(dialect, "usd", 12_500_000_000, 1, 60.0, NOW) == {
        "x-ratelimit-limit-usd": "12.5",
        "x-ratelimit-remaining-usd": "0.000000001",
        "x-ratelimit-reset-usd": "1m0s",
    }
    assert shown(dialect, "usd", 100_000_000_000, 0, 0.0, NOW)["x-ratelimit-limit-usd"] == "100"


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_reset_that_nobody_knows_is_left_out(dialect: str) -> None:
    assert not any("reset" in name for name in shown(dialect, "requests", 1, 0, math.inf, NOW))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"), (0.0001, "1ms"), (0.12, "120ms"), (0.9999, "1s"), (1.0, "1s"), (1.5, "1.5s"), (8.64, "8.64s"), (59.9999, "1m0s"),
        (60.0, "1m0s"), (60.2, "1m1s"), (359.5, "6m0s"), (3600.0, "1h0m0s"), (7325.0, "2h2m5s"), (2_592_000.0, "720h0m0s"),
    ],
)  # fmt: skip
def test_durations_are_openais(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e8))
def test_nobody_is_told_to_come_too_early(seconds: float) -> None:
    text = duration(seconds)
    if text.endswith("ms"):
        read = int(text[:-2]) / 1000
    else:
        *bigger, last = text[:-1].replace("h", "m").split("m")
        read = sum(int(part) * 60 ** (len(bigger) - at) for at, part in enumerate(bigger)) + float(last)
    assert seconds - 1e-6 <= read <= seconds + 1.001


def test_moments_are_rfc_3339_and_never_beyond_the_calendar() -> None:
    assert moment(0.0) == "1970-01-01T00:00:00Z"
    assert moment(1e300) == "9999-12-31T23:59:59Z"


def test_the_wait_is_said_in_milliseconds_too() -> None:
    assert wait_headers(1.2) == ((b"retry-after-ms", b"1200"),)
    assert wait_headers(0.0) == ((b"retry-after-ms", b"1"),)


@pytest.mark.parametrize("sdk", [openai.OpenAI(api_key="x"), anthropic.Anthropic(api_key="x")], ids=["openai", "anthropic"])
def test_sdks_wait_as_long_as_they_are_told_and_do_not_try_in_vain(sdk: Any) -> None:
    limited = httpx.Response(429, headers=[*wait_headers(1.2), (b"retry-after", b"2")])
    assert sdk._should_retry(limited)
    assert sdk._parse_retry_after_header(limited.headers) == 1.2
    assert not sdk._should_retry(httpx.Response(429, headers=[*no_retry_headers()]))


# -- errors


def error(status: int, code: str) -> GatewayError:
    return GatewayError(status, code, "The budget 'team' is used up.", retry_after_s=1_234_567.8 if status == 429 else None)


def rendered(dialect: str, status: int, code: str) -> Any:
    return json.loads(clients()[dialect].error(error(status, code), "req-1"))


def test_every_dialect_is_here() -> None:
    assert set(clients()) == {"openai", "anthropic", "gemini", "cohere", "ollama"}


@pytest.mark.parametrize(
    ("status", "code", "type"),
    [
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (429, "budget_exceeded", "insufficient_quota"),
        (403, "price_unknown", "permission_error"),
    ],
)
def test_openais_errors(status: int, code: str, type: str) -> None:
    expected = {"message": "The budget 'team' is used up.", "type": type, "param": None, "code": code}
    assert rendered("openai", status, code) == {"error": expected}


@pytest.mark.parametrize(
    ("status", "code", "type"),
    [
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (429, "budget_exceeded", "rate_limit_error"),
        (403, "price_unknown", "permission_error"),
    ],
)
def test_anthropics_errors(status: int, code: str, type: str) -> None:
    expected = {"type": "error", "error": {"type": type, "message": "The budget 'team' is used up."}, "request_id": "req-1"}
    assert rendered("anthropic", status, code) == expected


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (429, "rate_limit_exceeded", "RESOURCE_EXHAUSTED"),
        (429, "budget_exceeded", "RESOURCE_EXHAUSTED"),
        (403, "price_unknown", "PERMISSION_DENIED"),
    ],
)
def test_geminis_errors(status: int, code: str, name: str) -> None:
    found = rendered("gemini", status, code)["error"]
    assert (found["code"], found["status"]) == (status, name)
    reasons = [detail["reason"] for detail in found["details"] if "reason" in detail]
    assert reasons == [code.upper()]
    delays = [detail["retryDelay"] for detail in found["details"] if "retryDelay" in detail]
    assert delays == (["1234567.8s"] if status == 429 else []), "no exponent, however long"


@pytest.mark.parametrize("dialect", ["cohere", "ollama"])
@pytest.mark.parametrize(("status", "code"), [(429, "rate_limit_exceeded"), (429, "budget_exceeded"), (403, "price_unknown")])
def test_the_others_have_a_message(dialect: str, status: int, code: str) -> None:
    found = rendered(dialect, status, code)
    assert "The budget 'team' is used up." in (found.get("message") or found.get("error"))
