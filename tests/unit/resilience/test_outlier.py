"""Outliers: what is counted, for how long, and who stands back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.config.option import Duration
from edgegate.config.stages import OutlierOptions
from edgegate.resilience.outlier import Record

WINDOW, EJECT = 60.0, 30.0


def record(error_rate: float = 0.5, latency: float = 4.0, requests: int = 20, window: float = WINDOW) -> Record:
    return Record(OutlierOptions(error_rate, latency, requests, Duration(window), Duration(EJECT)))


def fill(it: Record, good: int, bad: int = 0, latency_s: float | None = None, now: float = 100.0) -> Record:
    for _ in range(bad):
        it.add(False, None, now)
    for _ in range(good):
        it.add(True, latency_s, now)
    return it


# -- the window


def test_nothing_is_concluded_from_few_attempts() -> None:
    it = fill(record(requests=20), good=0, bad=19)
    assert it.error_rate(100.0) is None
    assert not it.judge((), 100.0)
    it.add(True, 1.0, 100.0)
    assert it.error_rate(100.0) == 19 / 20
    assert it.judge((), 100.0)


def test_a_new_record_knows_nothing() -> None:
    it = record(requests=1)
    assert (it.error_rate(0.0), it.latency_s, it.ejected(0.0), it.judge((), 0.0)) == (None, None, False, False)


def test_failures_count_for_nine_tenths_of_the_window_and_are_forgotten_after_it() -> None:
    it = fill(record(requests=1), good=0, bad=5, now=100.0)
    assert it.error_rate(100.0 + 0.9 * WINDOW - 0.01) == 1.0
    assert it.error_rate(100.0 + WINDOW) is None


def test_failures_leave_the_window_one_after_the_other() -> None:
    it = record(requests=1)
    for second in range(60):
        it.add(second >= 30, None, 1000.0 + second)
    assert it.error_rate(1059.9) == 0.5
    assert it.error_rate(1059.9 + 30) == 0.0
    assert it.error_rate(1059.9 + 60) is None


def test_an_attempt_counts_from_its_own_time_on_though_nobody_has_asked_in_between() -> None:
    it = fill(record(requests=1), good=1, now=100.0)
    it.add(False, None, 113.0)
    assert it.error_rate(113.0 + 0.9 * WINDOW - 0.01) == 1.0
    it.add(False, None, 200.0)
    it.add(False, None, 200.0 + 1.5 * WINDOW / 10)
    it.add(True, None, 200.0 + 2.9 * WINDOW / 10)
    assert it.error_rate(200.0 + 1.05 * WINDOW) == 0.5


def test_a_failure_from_before_a_long_silence_is_not_remembered() -> None:
    it = fill(record(requests=1), good=0, bad=50, now=100.0)
    it.add(True, None, 100_000.0)
    assert it.error_rate(100_000.0) == 0.0


@given(
    st.floats(0, 1e6),
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.7, 1.0, 3.0, 5.0, 5.9, 6.0, 6.1, 8.0, 13.0, 45.0, 53.9, 54.0, 60.0, 200.0]), st.booleans()),
        max_size=60,
    ),
    st.sampled_from([0.0, 3.0, 6.0, 30.0, 45.0, 50.0, 53.0, 54.0, 60.0]),
)
def test_the_rate_is_that_of_the_newest_attempts_of_a_time_between_nine_tenths_and_all_of_the_window(
    start: float, steps: list[tuple[float, bool]], pause: float
) -> None:
    it = record(requests=1)
    now, attempts = start, []
    for step, good in steps:
        now += step
        it.add(good, None, now)
        attempts.append((now, good))
    now += pause
    slack = 1e-6
    sure = sum(now - at < 0.9 * WINDOW - slack for at, _ in attempts)
    at_most = sum(now - at <= WINDOW + slack for at, _ in attempts)
    possible: set[float | None] = set()
    for newest in range(sure, at_most + 1):
        counted = attempts[len(attempts) - newest :]
        possible.add(sum(not good for _, good in counted) / newest if newest else None)
    assert it.error_rate(now) in possible


def test_the_record_does_not_grow_with_the_attempts() -> None:
    it = record()
    for second in range(5000):
        it.add(True, 1.0, second * 0.5)
    assert len(it._marks) == 10


# -- the latency


def test_the_first_latencies_count_alike_and_later_ones_move_the_figure_slowly() -> None:
    it = record()
    for latency in (1.0, 2.0, 3.0):
        it.add(True, latency, 0.0)
    assert it.latency_s == pytest.approx(2.0)
    fill(it, good=100, latency_s=2.0, now=0.0)
    it.add(True, 12.0, 0.0)
    assert it.latency_s == pytest.approx(3.0)
    fill(it, good=50, latency_s=12.0, now=0.0)
    assert it.latency_s == pytest.approx(12.0, rel=0.01)


def test_failed_attempts_and_those_without_a_latency_leave_the_figure_alone() -> None:
    it = fill(record(), good=10, latency_s=2.0)
    it.add(False, 50.0, 100.0)
    it.add(True, None, 100.0)
    assert it.latency_s == pytest.approx(2.0)
    assert fill(record(), good=10, bad=10, latency_s=None).latency_s is None


def test_after_a_whole_window_without_attempts_the_first_new_latency_is_the_figure() -> None:
    it = fill(record(), good=100, latency_s=9.0, now=0.0)
    assert it.latency_s == pytest.approx(9.0)
    it.add(True, 1.0, WINDOW)
    assert it.latency_s == 1.0


# -- judged by errors


@pytest.mark.parametrize(("bad", "ejected"), [(9, False), (10, True), (20, True)])
def test_a_target_that_fails_often_stands_back(bad: int, ejected: bool) -> None:
    it = fill(record(error_rate=0.5, requests=20), good=20 - bad, bad=bad)
    assert it.judge((), 100.0) is ejected
    assert it.ejected(100.0) is ejected


def test_failures_alone_do_not_count_where_the_rate_is_off() -> None:
    it = fill(record(error_rate=0), good=0, bad=1000)
    assert not it.judge((), 100.0)


def test_it_stands_back_for_the_time_and_no_longer() -> None:
    it = fill(record(), good=0, bad=20)
    assert it.judge((), 100.0)
    assert it.ejected(100.0)
    assert it.ejected(129.99)
    assert not it.ejected(130.0)


def test_while_it_stands_back_it_is_not_ejected_again() -> None:
    it = fill(record(), good=0, bad=20)
    assert it.judge((), 100.0)
    fill(it, good=0, bad=100, now=110.0)
    assert not it.judge((), 110.0)
    assert not it.ejected(130.0)


def test_the_attempts_it_was_ejected_for_are_not_held_against_it_again() -> None:
    it = fill(record(window=600), good=0, bad=100)
    assert it.judge((), 100.0)
    assert it.error_rate(130.0) is None
    fill(it, good=0, bad=19, now=130.0)
    assert not it.judge((), 130.0)
    fill(it, good=0, bad=1, now=130.0)
    assert it.judge((), 130.0)


def test_each_time_in_a_row_is_longer_up_to_five_times() -> None:
    it, now, times = record(), 0.0, []
    for _ in range(7):
        fill(it, good=0, bad=20, now=now)
        assert it.judge((), now)
        times.append(next(n for n in range(1, 100) if not it.ejected(now + n * EJECT)))
        now += times[-1] * EJECT
    assert times == [1, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize(("well_s", "next_s"), [(10 * EJECT - 1, 2 * EJECT), (10 * EJECT, EJECT)])
def test_the_times_are_forgotten_after_it_has_been_well_for_ten_times_as_long(well_s: float, next_s: float) -> None:
    it = fill(record(), good=0, bad=20, now=0.0)
    assert it.judge((), 0.0)
    now = EJECT + well_s
    fill(it, good=0, bad=20, now=now)
    assert it.judge((), now)
    assert it.ejected(now + next_s - 0.01)
    assert not it.ejected(now + next_s)


# -- judged by latency


def peers(*latencies: float) -> list[Record]:
    return [fill(record(), good=20, latency_s=latency) for latency in latencies]


@pytest.mark.parametrize(
    ("own", "others", "ejected"),
    [
        (4.0, [1.0], True),
        (3.9, [1.0], False),
        (4.0, [1.0, 0.1, 9.0], True),
        (6.0, [1.0, 2.0], True),
        (5.9, [1.0, 2.0], False),
        (0.1, [1.0, 2.0], False),
        (0.0, [0.0, 0.0], False),
    ],
)
def test_a_target_many_times_slower_than_the_median_of_its_peers_stands_back(own: float, others: list[float], ejected: bool) -> None:
    it = fill(record(latency=4.0), good=20, latency_s=own)
    assert it.judge(peers(*others), 100.0) is ejected


def test_it_is_not_its_own_peer() -> None:
    it, *others = peers(8.0, 1.0)
    assert it.judge([it, *others], 100.0), "with itself the median would be 4.5"
    alone = peers(8.0)[0]
    assert not alone.judge([alone], 100.0)
    assert not alone.judge((), 100.0)


def test_a_peer_with_few_attempts_of_late_is_no_measure() -> None:
    it = fill(record(), good=20, latency_s=8.0)
    assert not it.judge([fill(record(), good=19, latency_s=1.0)], 100.0)
    assert not it.judge([fill(record(), good=20, latency_s=1.0, now=100.0 - WINDOW)], 100.0)
    assert not it.judge([fill(record(), good=0, bad=50)], 100.0)
    assert it.judge([fill(record(), good=20, latency_s=1.0)], 100.0)


def test_slowness_is_not_concluded_from_few_good_attempts_of_its_own() -> None:
    it = fill(record(error_rate=0), good=19, bad=50, latency_s=8.0)
    assert not it.judge(peers(1.0), 100.0)
    it.add(True, 8.0, 100.0)
    assert it.judge(peers(1.0), 100.0)


def test_slowness_does_not_count_where_it_is_off() -> None:
    it = fill(record(latency=0), good=100, latency_s=1000.0)
    assert not it.judge(peers(0.001), 100.0)


def test_a_slow_target_that_comes_back_is_judged_by_what_it_does_then() -> None:
    it = fill(record(), good=100, latency_s=8.0)
    assert it.judge(peers(1.0), 100.0)
    now = 100.0 + EJECT
    fill(it, good=20, latency_s=1.5, now=now)
    assert it.latency_s == pytest.approx(1.5)
    quick = fill(record(), good=20, latency_s=1.0, now=now)
    assert not it.judge([quick], now)


def test_one_that_stands_back_is_no_measure_for_the_next_slow_one() -> None:
    slowest, slow, quick = peers(40.0, 8.0, 2.0)
    assert not slow.judge([slowest, quick], 100.0), "the median is 21"
    assert slowest.judge([slow, quick], 100.0), "the median is 5"
    assert slow.judge([slowest, quick], 100.0), "the median is 2"
    assert not quick.judge([slowest, slow], 100.0), "and somebody is left"
