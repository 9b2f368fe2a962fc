"""How long a provider asks to wait, in every vendor's form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.waits import MAX_WAIT_S, asked_wait_s, duration_s, protobuf_s, reset_s, said_s, wait_s

DATE = {"date": "Wed, 21 Oct 2026 07:28:00 GMT"}
UNIX = 1_792_567_680.0
"""The same moment."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h2m3s", 3723),
        ("6m0s", 360),
        ("17.575s", 17.575),
        ("1m13.588s", 73.588),
        ("120ms", 0.12),
        ("5", 5),
        ("0s", 0),
        ("2d", None),
        ("", None),
        ("5 apples", None),
        ("s", None),
        ("-1s", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "30s"}, 30),
        ({"retry-after": "100000"}, MAX_WAIT_S),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"x-ms-retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", **DATE}, 30),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:30 GMT", **DATE}, 0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "2s"}, 360),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "2s"}, 2),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "500", "x-ratelimit-renewalperiod-tokens": "60"}, 0.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1792567690000", **DATE}, 10),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1792567690", **DATE}, 10),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1792567690000"}, None),
        (
            {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2026-10-21T07:28:40Z", **DATE},
            40,
        ),
        ({"anthropic-ratelimit-tokens-remaining": "7", "anthropic-ratelimit-tokens-reset": "2026-10-21T07:28:40Z", **DATE}, None),
        ({"ratelimit": '"api";r=0;t=30, "day";r=5;t=4000'}, 30),
        ({"ratelimit": "limit=100, remaining=0, reset=5"}, 5),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12),
        ({"ratelimitbysize-remaining": "0", "ratelimitbysize-reset": "59"}, 59),
        ({}, None),
    ],
)
def test_the_wait_in_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_s(headers) == (None if seconds is None else pytest.approx(seconds))


def test_a_clock_takes_the_place_of_the_date() -> None:
    assert wait_s({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, 429, UNIX) == 30
    assert wait_s({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", **DATE}, 429, UNIX + 20) == 30


def test_resets_are_read_where_a_limit_was_met() -> None:
    headers = {"x-ratelimit-reset-requests": "6s"}
    assert [wait_s(headers, status) for status in (400, 401, 404, 422)] == [None] * 4
    assert [wait_s(headers, status) for status in (408, 409, 429, 500, 503, 529)] == [6] * 6
    assert wait_s({"retry-after": "3"}, 400) == 3


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for gpt-4 on tokens per min (TPM): Limit 10000, Used 9000. Please try again in 6m0s. Visit", 360),
        ("Please try again in 1.284s. Visit https://", 1.284),
        ("Please try again in 120ms.", 0.12),
        ("Limit reached. Please try again in 21m36.1s.", 1296.1),
        ("Please retry after 26 seconds. To increase your default rate limit", 26),
        ("Try again in 2 minutes.", 120),
        ("Please retry in 35.5s.", 35.5),
        ("Try again later.", None),
        ("", None),
    ],
)
def test_the_wait_in_a_message(message: str, seconds: float | None) -> None:
    assert said_s(message) == (None if seconds is None else pytest.approx(seconds))
    assert asked_wait_s(429, {}, message) == said_s(message)
    assert asked_wait_s(429, {"retry-after": "1"}, message) == 1
    assert asked_wait_s(400, {}, message) is None


def test_google_s_durations() -> None:
    assert [protobuf_s(value) for value in ("12s", "0.5s", "0s", "12", "soon", "s", "5ms", 12, None)] == [
        12,
        0.5,
        0,
        None,
        None,
        None,
        None,
        None,
        None,
    ]


TEXT = st.text(max_size=12) | st.sampled_from(
    ["0", "1e9", "1e400", "-5", "99999999999999999", "2026-10-21T07:28:40Z", "9999-12-31T23:59:59Z"]
)
NAMES = [
    "retry-after",
    "retry-after-ms",
    "date",
    "x-ratelimit-reset",
    "x-ratelimit-remaining",
    "ratelimit",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-renewalperiod-tokens",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-tokens-remaining",
]


@given(st.dictionaries(st.sampled_from(NAMES), TEXT), st.none() | st.floats(0, 4e9))
def test_whatever_stands_there_a_wait_is_within_a_day(headers: dict[str, str], now: float | None) -> None:
    for wait in (wait_s(headers, 429, now), *[reset_s(value, now) for value in headers.values()], *map(said_s, headers.values())):
        assert wait is None or 0 <= wait <= MAX_WAIT_S
