"""How fast a queue moves."""

from __future__ import annotations

import pytest

from edgegate.resilience.pace import Pace


def test_a_queue_that_has_just_begun_promises_nothing_bad() -> None:
    pace = Pace()
    pace.begin(100.0)
    assert pace.wait_s(50, 100.0) == 0


def test_the_wait_is_the_slots_by_the_rate_at_which_they_came_free() -> None:
    pace = Pace()
    pace.begin(100.0)
    for number in range(1, 9):
        pace.done(100.0 + number / 2)
    assert pace.wait_s(1, 104.0) == pytest.approx(0.5)
    assert pace.wait_s(20, 104.0) == pytest.approx(10)


def test_when_nothing_comes_free_the_wait_grows() -> None:
    pace = Pace()
    pace.begin(100.0)
    assert pace.wait_s(3, 105.0) == pytest.approx(15)
    pace.done(105.0)
    assert pace.wait_s(1, 109.0) > pace.wait_s(1, 106.0)


def test_what_lies_back_fades() -> None:
    pace = Pace()
    pace.begin(0.0)
    for tick in range(1, 1001):
        pace.done(tick / 100)  # 100 a second
    for tick in range(1, 101):
        pace.done(10 + tick)  # 1 a second
    assert 0.5 < pace.wait_s(1, 110.0) <= 1.1


def test_a_slot_that_came_long_ago_still_counts() -> None:
    pace = Pace()
    pace.begin(0.0)
    for minute in range(1, 5):
        pace.done(minute * 60.0)
    assert pace.wait_s(1, 240.0) == pytest.approx(60)


def test_a_new_queue_does_not_remember_the_one_before() -> None:
    pace = Pace()
    pace.begin(0.0)
    pace.done(5.0)
    pace.begin(50.0)
    pace.done(50.1)
    assert pace.wait_s(1, 50.1) == pytest.approx(0.1)
