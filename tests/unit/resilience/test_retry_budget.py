"""The retry budget: retries stay a share of the first attempts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.resilience.retry import RetryBudget


def taken(budget: RetryBudget, asked: int) -> int:
    return sum(budget.retry() for _ in range(asked))


def test_a_new_provider_has_the_free_ones() -> None:
    assert taken(RetryBudget(0.2), 100) == 10
    assert taken(RetryBudget(0.2, free=3), 100) == 3


def test_when_they_are_gone_each_first_attempt_brings_its_share() -> None:
    budget = RetryBudget(0.2)
    taken(budget, 10)
    given = []
    for _ in range(20):
        budget.sent()
        given.append(budget.retry())
    assert given == [False, False, False, False, True] * 4


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.7, 1.0, 1.5])
def test_under_a_storm_the_share_is_exact_in_spite_of_rounding(share: float) -> None:
    budget = RetryBudget(share)
    retries = taken(budget, 100)
    for _ in range(10_000):
        budget.sent()
        retries += taken(budget, 3)
    assert retries == round(10 + share * 10_000)


def test_a_share_of_none_leaves_the_free_ones() -> None:
    budget = RetryBudget(0.0)
    for _ in range(1000):
        budget.sent()
    assert taken(budget, 100) == 10


@pytest.mark.parametrize(("share", "most"), [(0.0, 10), (0.05, 10), (0.2, 20), (1.0, 100), (1.5, 150)])
def test_what_is_saved_up_is_bounded(share: float, most: int) -> None:
    budget = RetryBudget(share)
    for _ in range(100_000):
        budget.sent()
    assert taken(budget, 1000) == most


@pytest.mark.parametrize(("share", "sent"), [(0.2, 50), (0.05, 200)])
def test_a_gateway_that_had_used_all_has_its_free_ones_again_after_a_while(share: float, sent: int) -> None:
    budget = RetryBudget(share)
    taken(budget, 1000)
    for _ in range(sent):
        budget.sent()
    assert taken(budget, 1000) == 10


@given(st.fractions(0, 3, max_denominator=1000), st.integers(0, 20), st.lists(st.booleans(), max_size=500))
def test_over_any_sequence_retries_do_not_exceed_the_free_ones_and_the_share(share: Fraction, free: int, asked: list[bool]) -> None:
    budget, sent, retries = RetryBudget(float(share), free), 0, 0
    left, most = Fraction(free), max(Fraction(free), 100 * share)
    for retry in asked:
        if retry:
            allowed = budget.retry()
            assert allowed is (left >= 1)
            retries += allowed
            left -= allowed
        else:
            budget.sent()
            sent += 1
            left = min(left + share, most)
        assert retries <= free + share * sent
