"""Quotas out of the headers of replies: every vendor's, and all that were recorded."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.quotas import _ALL, quotas
from edgegate.resilience.limits import Quota
from tests.corpus import ROOT, Recording, corpus

NOW = 1_792_567_680.0
VENDORS = sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir()) if ROOT.is_dir() else ["none"]


def found(**headers: str) -> list[Quota]:
    return list(quotas([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()], NOW))


def test_openai_and_groq() -> None:
    assert found(
        x_ratelimit_limit_requests="5000",
        x_ratelimit_remaining_requests="4999",
        x_ratelimit_reset_requests="12ms",
        x_ratelimit_limit_tokens="30000",
        x_ratelimit_remaining_tokens="29869",
        x_ratelimit_reset_tokens="1m13.588s",
    ) == [Quota("requests", 5000, 4999, 0.012), Quota("tokens", 30000, 29869, 73.588)]


def test_azure_writes_milliseconds_where_it_names_the_period() -> None:
    assert found(
        x_ratelimit_limit_requests="120",
        x_ratelimit_remaining_requests="119",
        x_ratelimit_reset_requests="500",
        x_ratelimit_renewalperiod_requests="60",
    ) == [Quota("requests", 120, 119, 0.5)]
    assert found(x_ratelimit_remaining_tokens="0") == [Quota("tokens", None, 0, None)]


def test_anthropic() -> None:
    assert found(
        anthropic_ratelimit_input_tokens_limit="400000",
        anthropic_ratelimit_input_tokens_remaining="0",
        anthropic_ratelimit_input_tokens_reset="2026-10-21T07:28:40Z",
        anthropic_ratelimit_output_tokens_remaining="80000",
        anthropic_ratelimit_output_tokens_reset="2026-10-21T07:27:40Z",
        anthropic_ratelimit_requests_limit="50",
    ) == [Quota("input_tokens", 400000, 0, 40), Quota("output_tokens", None, 80000, 0)]


def test_points_in_time_are_the_ends_of_fixed_windows() -> None:
    for reset in ("1792567690000", "1792567690"):
        assert found(x_ratelimit_limit="20", x_ratelimit_remaining="0", x_ratelimit_reset=reset) == [
            Quota("requests", 20, 0, 10, stepwise=True)
        ]


def test_together_mistral_cerebras_and_cohere() -> None:
    assert found(x_ratelimit_limit="2", x_ratelimit_remaining="1", x_ratelimit_reset="2") == [Quota("requests", 2, 1, 2)]
    assert found(ratelimitbysize_limit="500000", ratelimitbysize_remaining="342032", ratelimitbysize_reset="60") == [
        Quota("tokens", 500000, 342032, 60, "size")
    ]
    assert found(
        x_ratelimit_limit_req_10_second="60",
        x_ratelimit_remaining_req_10_second="52",
        x_ratelimit_limit_tokens_minute="2000000",
        x_ratelimit_remaining_tokens_minute="1999225",
        x_ratelimitbysize_remaining_minute="5",
    ) == [
        Quota("requests", 60, 52, None, "10-second"),
        Quota("tokens", 2000000, 1999225, None, "minute"),
        Quota("tokens", None, 5, None, "size minute"),
    ]
    assert found(x_ratelimit_remaining_requests_day="3", x_ratelimit_reset_requests_day="33011.382867") == [
        Quota("requests", None, 3, 33011.382867, "day")
    ]
    assert found(x_trial_endpoint_call_limit="40", x_trial_endpoint_call_remaining="39") == [Quota("requests", 40, 39, None, "trial", True)]
    assert found(x_endpoint_monthly_call_limit="1000") == []


def test_the_drafts_of_the_ietf() -> None:
    assert found(ratelimit='"api";r=999;t=295', ratelimit_policy='"fixed window";"api";q=1000;w=300') == [
        Quota("requests", 1000, 999, 295, "ietf api", True)
    ]
    assert found(ratelimit='"burst";r=0;t=5', ratelimit_policy='"burst";q=100;w=60,"daily";q=1000;w=86400') == [
        Quota("requests", 100, 0, 5, "ietf burst", True)
    ]
    assert found(ratelimit="limit=100, remaining=50, reset=5") == [Quota("requests", 100, 50, 5, "ietf", True)]
    assert found(ratelimit_limit="100, 100;w=60", ratelimit_remaining="50", ratelimit_reset="5") == [
        Quota("requests", 100, 50, 5, "ietf", True)
    ]


@pytest.mark.parametrize("bad", ["", "-1", "many", "1.5", "nan", "9" * 20, "\xff"])
def test_what_remains_must_be_a_number(bad: str) -> None:
    assert quotas([(b"x-ratelimit-remaining-requests", bad.encode("latin-1")), (b"x-ratelimit-limit-requests", b"5")], NOW) == ()


@pytest.mark.parametrize("bad", ["", "0", "-1", "soon", "3"])
def test_a_limit_that_is_none_is_not_known(bad: str) -> None:
    assert found(x_ratelimit_limit_requests=bad, x_ratelimit_remaining_requests="4") == [Quota("requests", None, 4, None)]


@pytest.mark.parametrize("bad", ["", "soon", "-5s", "\xff", "1h2", "ms", "s"])
def test_a_reset_that_cannot_be_read_is_not_known(bad: str) -> None:
    headers = [(b"x-ratelimit-remaining-requests", b"4"), (b"x-ratelimit-reset-requests", bad.encode("latin-1"))]
    assert quotas(headers, NOW) == (Quota("requests", None, 4, None),)


@given(st.dictionaries(st.sampled_from(sorted(_ALL)), st.binary(max_size=20) | st.sampled_from([b"0", b"10", b"1s", b"1e99s", b"infs"])))
def test_whatever_stands_there_a_quota_makes_sense(headers: dict[bytes, bytes]) -> None:
    for quota in quotas(list(headers.items()), NOW):
        assert quota.remaining >= 0
        assert quota.limit is None or quota.limit >= max(quota.remaining, 1)
        assert quota.reset_s is None or 0 <= quota.reset_s <= 86_400


def moment(recording: Recording) -> float:
    """When the reply was written: its date, or else a moment before the earliest of its resets."""
    date = recording.headers.get("date", "")
    if date:
        return parsedate_to_datetime(date).timestamp()
    resets = [value for name, value in recording.headers.items() if name.endswith("-reset") and "T" in value]
    return min([datetime.fromisoformat(value).timestamp() for value in resets], default=NOW) - 1


def says_what_remains(recording: Recording) -> bool:
    return any(name == "ratelimit" or ("ratelimit" in name and "remaining" in name) for name in recording.headers)


@corpus(*[f"{vendor}/" for vendor in VENDORS], where=says_what_remains)
def test_every_recorded_remainder_is_read(recording: Recording) -> None:
    headers = recording.headers
    read = quotas([(name.encode(), value.encode()) for name, value in headers.items()], moment(recording))
    remainders = sorted(float(value) for name, value in headers.items() if "remaining" in name)
    ietf = [float(found[1]) for found in [re.search(r";r=(\d+)", headers.get("ratelimit", ""))] if found]
    assert sorted(quota.remaining for quota in read) == sorted([*remainders, *ietf])
    for quota in read:
        assert quota.limit is None or quota.limit >= quota.remaining
        assert quota.reset_s is None or quota.reset_s < 3700 or quota.kind == "requests"
    limits = [name for name in headers if "ratelimit" in name and "-limit" in name.replace("ratelimit", "")]
    assert len([quota for quota in read if quota.limit is not None]) == len(limits) + len(ietf)
