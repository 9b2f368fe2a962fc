"""Token buckets learned from what providers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.resilience.limits import UNTIMED_S, Learned, Quota

NOW = 1000.0


def learned(*quotas: Quota, now: float = NOW) -> Learned:
    limits = Learned()
    limits.learn(quotas, now)
    return limits


def test_nothing_is_held_while_nothing_is_known() -> None:
    limits = Learned()
    limits.spend(10)
    assert limits.ready_at(10**9, NOW) == NOW


def test_a_quota_with_a_limit_comes_back_evenly() -> None:
    """Sixty requests a minute, none left: one a second."""
    limits = learned(Quota("requests", 60, 0, 60))
    assert limits.ready_at(1, NOW) == pytest.approx(NOW + 1)
    assert limits.ready_at(1, NOW + 1) == NOW + 1
    limits.spend(1)
    assert limits.ready_at(1, NOW + 1) == pytest.approx(NOW + 2)


def test_a_quota_without_a_limit_comes_back_at_its_reset() -> None:
    limits = learned(Quota("requests", None, 1, 30))
    assert limits.ready_at(1, NOW) == NOW
    limits.spend(1)
    assert limits.ready_at(1, NOW) == NOW + 30
    assert limits.ready_at(1, NOW + 29) == NOW + 30
    assert limits.ready_at(1, NOW + 30) == NOW + 30


def test_a_quota_that_comes_back_in_steps_does_so_although_its_limit_is_known() -> None:
    limits = learned(Quota("requests", 100, 0, 30, stepwise=True))
    assert limits.ready_at(1, NOW + 15) == NOW + 30


def test_tokens_are_counted_by_the_request() -> None:
    limits = learned(Quota("tokens", 1000, 500, 10), Quota("input_tokens", 2000, 2000, 0))
    assert limits.ready_at(500, NOW) == NOW
    assert limits.ready_at(600, NOW) == pytest.approx(NOW + 2)
    limits.spend(500)
    assert limits.ready_at(100, NOW) == pytest.approx(NOW + 2)


def test_of_output_there_must_be_some() -> None:
    limits = learned(Quota("output_tokens", 100, 5, 10))
    limits.spend(10_000)
    assert limits.ready_at(10_000, NOW) == NOW
    limits.learn([Quota("output_tokens", 100, 0, 10)], NOW)
    assert limits.ready_at(1, NOW) == pytest.approx(NOW + 0.1)


def test_more_than_the_limit_only_needs_it_to_be_full() -> None:
    full = learned(Quota("tokens", 1000, 1000, 5))
    assert full.ready_at(1_000_000, NOW) == NOW
    used = learned(Quota("tokens", 1000, 900, 5))
    assert used.ready_at(1_000_000, NOW) == pytest.approx(NOW + 5)


def test_a_quota_without_a_reset_holds_for_a_second_at_most() -> None:
    limits = learned(Quota("requests", 100, 0, None))
    assert limits.ready_at(1, NOW) == NOW + UNTIMED_S
    assert limits.ready_at(1, NOW + UNTIMED_S) == NOW + UNTIMED_S


def test_the_slowest_quota_counts() -> None:
    limits = learned(Quota("requests", None, 0, 5), Quota("requests", None, 0, 50, "day"), Quota("tokens", None, 0, 20))
    assert limits.ready_at(1, NOW) == NOW + 50


def test_what_a_reply_says_takes_the_place_of_what_was_known() -> None:
    limits = learned(Quota("requests", None, 0, 50))
    limits.learn([Quota("requests", None, 3, 50)], NOW + 1)
    assert limits.ready_at(1, NOW + 1) == NOW + 1
    limits.learn([], NOW + 2)
    assert limits.ready_at(1, NOW + 2) == NOW + 2


def test_what_is_silent_for_longer_than_its_reset_is_forgotten() -> None:
    limits = learned(Quota("requests", None, 1, 10))
    for _ in range(100):
        limits.spend(1)
    assert limits.ready_at(1, NOW + 10) == NOW + 10
    assert limits.ready_at(1, NOW + 1) == NOW + 1


QUOTAS = st.builds(
    Quota,
    st.sampled_from(["requests", "tokens", "input_tokens", "output_tokens"]),
    st.none() | st.integers(1, 10**6).map(float),
    st.integers(0, 10**6).map(float),
    st.none() | st.floats(0, 86_400),
    st.sampled_from(["", "day"]),
    st.booleans(),
)
STEPS = st.lists(st.one_of(st.lists(QUOTAS, max_size=3), st.integers(0, 10**6), st.floats(0, 100)), max_size=20)


@given(STEPS, st.integers(0, 10**7))
def test_nobody_is_sent_back_in_time_or_held_for_longer_than_the_longest_reset(steps: list[list[Quota] | int | float], tokens: int) -> None:
    limits, now, latest = Learned(), NOW, NOW
    for step in steps:
        if isinstance(step, list):
            limits.learn(step, now)
            latest = max([latest, *[now + (UNTIMED_S if quota.reset_s is None else quota.reset_s) for quota in step]])
        elif isinstance(step, int):
            limits.spend(step)
        else:
            now += step
        ready = limits.ready_at(tokens, now)
        assert now <= ready <= max(now, latest)
        if ready < latest:  # who comes when told is let through
            assert limits.ready_at(tokens, ready) <= ready + 1e-3


@given(st.integers(0, 50), st.integers(1, 100), st.none() | st.just(1000.0), st.booleans())
def test_of_many_at_once_as_many_pass_as_remain(remaining: int, callers: int, limit: float | None, stepwise: bool) -> None:
    limits = learned(Quota("requests", limit, remaining, 60, "", stepwise))
    passed = 0
    for _ in range(callers):
        if limits.ready_at(7, NOW) <= NOW:
            limits.spend(7)
            passed += 1
    assert passed == min(remaining, callers)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 500), max_size=60))
def test_tokens_that_are_spent_never_exceed_what_remained(remaining: int, requests: list[int]) -> None:
    limits = learned(Quota("tokens", 10_000, remaining, 60))
    spent = 0
    for tokens in requests:
        if limits.ready_at(tokens, NOW) <= NOW:
            limits.spend(tokens)
            spent += tokens
    assert spent <= remaining + 1
