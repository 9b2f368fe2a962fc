"""The breaker: when it opens, what it lets through, and that it always closes again."""

from __future__ import annotations

import pytest

from edgegate.config.option import Duration
from edgegate.config.stages import BreakerOptions
from edgegate.resilience import breaker as module
from edgegate.resilience.breaker import Breaker, BreakerState

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


def breaker(failures: int = 3, window: float = 60, reset: float = 15, probes: int = 1) -> Breaker:
    return Breaker(BreakerOptions(failures, Duration(window), Duration(reset), probes))


def attempt(it: Breaker, good: bool | None, now: float) -> BreakerState | None:
    ticket = it.enter(now)
    assert ticket
    return it.leave(ticket, good, now)


def opened(at: float = 100.0, reset: float = 15, probes: int = 1) -> Breaker:
    it = breaker(failures=1, reset=reset, probes=probes)
    assert attempt(it, False, at) is OPEN
    return it


# -- closed


def test_it_opens_at_the_failure_that_makes_the_row_full_and_says_so_once() -> None:
    it = breaker(failures=3)
    assert [attempt(it, False, now) for now in (1.0, 2.0, 3.0)] == [None, None, OPEN]
    assert (it.state, it.failures, it.last_failure, it.until) == (OPEN, 3, 3.0, 18.0)


def test_a_success_anywhere_begins_the_row_again() -> None:
    it = breaker(failures=3)
    for good in (False, False, True, False, False, True, False, False):
        assert attempt(it, good, 1.0) is None
    assert (it.state, it.failures) == (CLOSED, 2)


@pytest.mark.parametrize(("last", "state"), [(60.0, OPEN), (60.1, CLOSED)])
def test_a_failure_counts_as_long_as_the_window(last: float, state: BreakerState) -> None:
    it = breaker(failures=3, window=60)
    attempt(it, False, 0.0)
    attempt(it, False, 30.0)
    attempt(it, False, last)
    assert it.state is state


def test_the_failures_after_one_that_is_forgotten_still_count() -> None:
    it = breaker(failures=3, window=60)
    for now in (0.0, 50.0, 70.0):
        attempt(it, False, now)
    assert (it.state, it.failures) == (CLOSED, 2)
    assert attempt(it, False, 110.0) is OPEN


def test_an_outcome_that_says_nothing_neither_counts_nor_begins_the_row_again() -> None:
    it = breaker(failures=2)
    for good in (None, False, None, None):
        assert attempt(it, good, 1.0) is None
    assert it.failures == 1
    assert attempt(it, False, 1.0) is OPEN


def test_any_number_may_run_at_once_while_it_is_closed() -> None:
    it = breaker()
    tickets = {it.enter(1.0) for _ in range(1000)}
    assert len(tickets) == 1000
    assert 0 not in tickets
    assert it.ready_at(1.0) == 1.0


def test_without_a_number_of_failures_it_never_opens_and_cannot_be_tripped() -> None:
    it = breaker(failures=0)
    for _ in range(1000):
        assert attempt(it, False, 7.0) is None
    assert not it.trip(100.0, 7.0)
    assert (it.state, it.last_failure, it.failures) == (CLOSED, 7.0, 1)
    assert it.ready_at(7.0) == 7.0


# -- open


def test_it_lets_nothing_through_until_the_very_end_of_the_open_time() -> None:
    it = opened(at=100.0, reset=15)
    for now in (100.0, 107.0, 114.999):
        assert it.enter(now) == 0
        assert it.ready_at(now) == 115.0
    assert it.state is OPEN
    assert it.ready_at(115.0) == 115.0
    assert it.enter(115.0)
    assert it.state is HALF_OPEN


def test_attempts_that_began_before_it_opened_and_fail_later_do_not_prolong_the_open_time() -> None:
    it = breaker(failures=2, reset=15)
    tickets = [it.enter(0.0) for _ in range(6)]
    assert [it.leave(ticket, False, 1.0) for ticket in tickets[:2]] == [None, OPEN]
    assert [it.leave(ticket, False, 10.0) for ticket in tickets[2:]] == [None] * 4
    assert (it.state, it.until, it.failures) == (OPEN, 16.0, 2)
    assert it.last_failure == 10.0, "that it failed then is true all the same"


def test_attempts_that_began_before_it_opened_and_fail_later_do_not_end_the_probing() -> None:
    it = breaker(failures=1)
    early = [it.enter(0.0) for _ in range(2)]
    it.leave(early[0], False, 1.0)
    probe = it.enter(16.0)
    assert it.leave(early[1], False, 17.0) is None
    assert it.state is HALF_OPEN
    assert it.leave(probe, True, 18.0) is CLOSED


def test_attempts_of_an_earlier_period_that_fail_later_do_not_count_against_the_present_one() -> None:
    it = breaker(failures=2)
    early = [it.enter(0.0) for _ in range(6)]
    it.leave(early[0], False, 1.0)
    it.leave(early[1], False, 1.0)
    assert attempt(it, True, 16.0) is CLOSED
    assert [it.leave(ticket, False, 17.0) for ticket in early[2:]] == [None] * 4
    assert (it.state, it.failures) == (CLOSED, 0)


@pytest.mark.parametrize("now", [5.0, 15.9, 16.0, 500.0])
def test_attempts_that_began_before_it_opened_and_end_well_later_do_not_close_it(now: float) -> None:
    it = breaker(failures=1, reset=15)
    early = [it.enter(0.0) for _ in range(2)]
    it.leave(early[0], False, 1.0)
    assert it.leave(early[1], True, now) is None
    assert it.state is OPEN


def test_an_attempt_that_began_before_it_opened_and_ends_well_does_not_end_the_probing() -> None:
    it = breaker(failures=1)
    early = [it.enter(0.0) for _ in range(2)]
    it.leave(early[0], False, 1.0)
    probe = it.enter(16.0)
    assert it.leave(early[1], True, 17.0) is None
    assert it.enter(17.0) == 0, "and frees no place"
    assert it.leave(probe, True, 18.0) is CLOSED


# -- half-open


def test_a_good_probe_closes_it_and_everything_may_go_again() -> None:
    it = opened(at=100.0)
    probe = it.enter(115.0)
    assert it.leave(probe, True, 116.0) is CLOSED
    assert (it.state, it.failures) == (CLOSED, 0)
    assert all(it.enter(116.0) for _ in range(10))


def test_a_bad_probe_opens_it_for_the_whole_time_from_now() -> None:
    it = opened(at=100.0, reset=15)
    probe = it.enter(120.0)
    assert it.leave(probe, False, 123.0) is OPEN
    assert (it.until, it.failures, it.last_failure) == (138.0, 2, 123.0)
    assert it.enter(137.9) == 0
    assert it.enter(138.0)


@pytest.mark.parametrize("probes", [1, 2, 5])
def test_it_lets_as_many_probes_through_at_once_as_it_was_told(probes: int) -> None:
    it = opened(at=100.0, probes=probes)
    assert [bool(it.enter(115.0)) for _ in range(probes + 2)] == [True] * probes + [False] * 2
    assert it.ready_at(115.0) > 115.0


def test_a_probe_that_says_nothing_frees_its_place_for_another() -> None:
    it = opened(at=100.0)
    for _ in range(5):
        assert attempt(it, None, 116.0) is None
        assert it.state is HALF_OPEN
    assert attempt(it, True, 117.0) is CLOSED


def test_when_one_probe_has_closed_it_the_others_count_for_nothing() -> None:
    it = opened(at=100.0, probes=3)
    first, second, third = (it.enter(115.0) for _ in range(3))
    assert it.leave(first, True, 116.0) is CLOSED
    assert it.leave(second, False, 117.0) is None
    assert it.leave(third, True, 117.0) is None
    assert (it.state, it.failures) == (CLOSED, 0)


def test_after_closing_the_row_is_as_long_as_ever() -> None:
    it = breaker(failures=3)
    for now in (1.0, 1.0, 1.0):
        attempt(it, False, now)
    assert attempt(it, True, 20.0) is CLOSED
    assert [attempt(it, False, 21.0) for _ in range(3)] == [None, None, OPEN]


def test_a_probe_that_ends_well_while_it_is_open_again_does_not_close_it_before_its_time() -> None:
    it = opened(at=100.0, probes=2)
    first, second = it.enter(115.0), it.enter(115.0)
    assert it.leave(first, False, 116.0) is OPEN
    assert it.leave(second, True, 120.0) is None
    assert (it.state, it.until) == (OPEN, 131.0)


def test_a_probe_that_ends_well_after_the_open_time_has_lapsed_closes_it_though_nobody_has_entered_since() -> None:
    it = opened(at=100.0, probes=2)
    first, second = it.enter(115.0), it.enter(115.0)
    it.leave(first, False, 116.0)
    assert it.leave(second, True, 131.0) is CLOSED
    assert it.enter(131.0)


def test_a_probe_of_the_time_before_that_ends_well_closes_it_and_one_that_fails_does_not_open_it() -> None:
    for good, state in ((True, CLOSED), (False, HALF_OPEN), (None, HALF_OPEN)):
        it = opened(at=100.0, probes=2)
        first, second = it.enter(115.0), it.enter(115.0)
        it.leave(first, False, 116.0)
        assert it.enter(131.0)
        assert it.enter(131.0) == 0, "the one that still runs keeps its place"
        it.leave(second, good, 132.0)
        assert it.state is state


@pytest.mark.parametrize(("reset", "lost_after"), [(15.0, 60.0), (90.0, 90.0)])
def test_a_probe_that_never_ends_is_given_up_in_the_end(reset: float, lost_after: float) -> None:
    it = opened(at=0.0, reset=reset)
    began = reset
    assert it.enter(began)
    assert it.enter(began + lost_after - 0.1) == 0
    assert it.ready_at(began + lost_after - 0.1) == pytest.approx(began + lost_after)
    assert it.ready_at(began + lost_after) == began + lost_after
    second = it.enter(began + lost_after)
    assert second
    assert it.enter(began + lost_after) == 0, "one is lost, one is let in"
    assert it.leave(second, True, began + lost_after) is CLOSED


def test_a_probe_that_was_given_up_is_heard_when_it_ends_after_all() -> None:
    for good, state in ((True, CLOSED), (False, OPEN), (None, HALF_OPEN)):
        it = opened(at=0.0)
        slow = it.enter(15.0)
        assert it.enter(75.0)
        it.leave(slow, good, 80.0)
        assert it.state is state


def test_where_all_places_are_taken_it_names_a_time_in_the_future() -> None:
    it = opened(at=100.0)
    it.enter(115.0)
    for now in (115.0, 130.0, 174.5, 174.999):
        assert now < it.ready_at(now) <= now + 1


# -- tickets


@pytest.mark.parametrize("good", [True, False, None])
def test_tickets_that_were_never_given_out_change_nothing(good: bool | None) -> None:
    it = breaker(failures=1)
    it.enter(1.0)
    for ticket in (0, -1, 2, 10**9):
        assert it.leave(ticket, good, 2.0) is None
    assert (it.state, it.failures, it.last_failure) == (CLOSED, 0, 0.0)


@pytest.mark.parametrize("good", [True, False, None])
def test_a_failure_that_is_given_back_twice_counts_once(good: bool | None) -> None:
    it = breaker(failures=2)
    ticket = it.enter(1.0)
    it.leave(ticket, False, 1.0)
    assert it.leave(ticket, good, 2.0) is None
    assert (it.state, it.failures, it.last_failure) == (CLOSED, 1, 1.0)


def test_a_bad_probe_that_is_given_back_again_as_good_does_not_close_it() -> None:
    it = opened(at=100.0)
    probe = it.enter(115.0)
    it.leave(probe, False, 116.0)
    assert it.leave(probe, True, 140.0) is None
    assert it.state is OPEN


def test_a_neutral_probe_that_is_given_back_twice_frees_one_place() -> None:
    it = opened(at=100.0)
    first = it.enter(115.0)
    it.leave(first, None, 116.0)
    assert it.enter(116.0)
    it.leave(first, None, 116.0)
    assert it.enter(116.0) == 0


def test_tickets_that_are_never_given_back_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CROWD", 100)
    it = breaker(failures=1)
    tickets = [it.enter(1.0) for _ in range(1000)]
    assert all(tickets)
    assert len(it._out) <= 100
    assert it.leave(tickets[0], False, 1.0) is None, "long given up"
    assert it.leave(tickets[-1], False, 1.0) is OPEN


# -- told by another


def test_a_closed_breaker_opens_when_told_and_probes_like_any_other() -> None:
    it = breaker()
    assert it.trip(until=110.0, now=100.0)
    assert (it.state, it.until) == (OPEN, 110.0)
    assert it.enter(109.9) == 0
    assert attempt(it, True, 110.0) is CLOSED


def test_one_that_is_open_longer_is_not_changed_and_one_that_is_not_stays_open_longer() -> None:
    it = opened(at=100.0, reset=15)
    assert not it.trip(until=114.0, now=101.0)
    assert not it.trip(until=115.0, now=101.0)
    assert it.until == 115.0
    assert it.trip(until=116.0, now=101.0)
    assert it.until == 116.0


@pytest.mark.parametrize("until", [99.0, 100.0, float("nan"), float("-inf")])
def test_news_that_are_over_change_nothing(until: float) -> None:
    it = breaker()
    assert not it.trip(until, now=100.0)
    assert it.state is CLOSED


@pytest.mark.parametrize("until", [1e12, float("inf")])
def test_nobody_can_shut_a_target_out_for_longer_than_the_breaker_itself_would(until: float) -> None:
    it = breaker(reset=15)
    assert it.trip(until, now=100.0)
    assert it.until == 115.0


def test_attempts_under_way_when_it_is_told_count_for_nothing() -> None:
    it = breaker(failures=1)
    early = [it.enter(99.0) for _ in range(2)]
    it.trip(110.0, now=100.0)
    assert it.leave(early[0], False, 101.0) is None
    assert it.leave(early[1], True, 111.0) is None
    assert (it.state, it.until) == (OPEN, 110.0)


def test_a_probe_under_way_when_it_is_told_closes_it_only_when_the_time_is_over() -> None:
    for now, state in ((117.0, OPEN), (125.0, CLOSED)):
        it = opened(at=100.0)
        probe = it.enter(115.0)
        assert it.trip(until=125.0, now=116.0)
        assert it.state is OPEN
        it.leave(probe, True, now)
        assert it.state is state


def test_a_probe_that_has_begun_to_answer_leaves_its_place_to_another_and_still_decides() -> None:
    breaker = Breaker(BreakerOptions(failures=1, reset=Duration(15), probes=1))
    breaker.leave(breaker.enter(0), False, 0)
    first = breaker.enter(15)
    assert (bool(first), breaker.enter(16)) == (True, 0)
    breaker.begun(first)
    second = breaker.enter(17)
    assert second
    assert breaker.enter(18) == 0
    assert breaker.leave(first, True, 30) is BreakerState.CLOSED
    assert breaker.leave(second, True, 31) is None


def test_a_probe_that_breaks_after_it_began_opens_the_breaker_again() -> None:
    breaker = Breaker(BreakerOptions(failures=1, reset=Duration(15), probes=1))
    breaker.leave(breaker.enter(0), False, 0)
    probe = breaker.enter(15)
    breaker.begun(probe)
    assert breaker.leave(probe, False, 20) is BreakerState.OPEN
    assert breaker.ready_at(21) == 35
