"""The sweep of time limits."""

from __future__ import annotations

import asyncio

from edgegate.upstream.deadlines import Deadlines
from tests.unit.core.parts import until

TICK_S = 0.01


class Waits:
    def __init__(self, sweep: Deadlines, after_s: float, *, move_s: float = 0.0, stay: bool = False) -> None:
        self._sweep, self._move_s, self._stay = sweep, move_s, stay
        self._loop = asyncio.get_running_loop()
        self.deadline = self._loop.time() + after_s
        self.expired: list[float] = []

    def expire(self, now: float) -> None:
        self.expired.append(now)
        if self._move_s and len(self.expired) < 3:
            self.deadline = now + self._move_s
        else:
            self._sweep.discard(self)


def sweep() -> Deadlines:
    return Deadlines(asyncio.get_running_loop(), TICK_S)


async def test_whoever_waits_too_long_is_told_within_a_tick_or_two() -> None:
    deadlines = sweep()
    waits = Waits(deadlines, 0.05)
    deadlines.add(waits)
    await until(lambda: bool(waits.expired))
    assert waits.deadline <= waits.expired[0] < waits.deadline + 0.2
    assert len(deadlines) == 0


async def test_nobody_is_told_early() -> None:
    deadlines = sweep()
    waits = Waits(deadlines, 30)
    deadlines.add(waits)
    await asyncio.sleep(TICK_S * 5)
    assert waits.expired == []
    deadlines.discard(waits)


async def test_the_sweep_stops_when_nobody_waits_and_starts_again() -> None:
    deadlines = sweep()
    first = Waits(deadlines, 30)
    deadlines.add(first)
    assert deadlines._handle is not None
    deadlines.discard(first)
    await until(lambda: deadlines._handle is None)
    second = Waits(deadlines, 0)
    deadlines.add(second)
    await until(lambda: bool(second.expired))
    await until(lambda: deadlines._handle is None)


async def test_a_deadline_may_move_in_both_directions() -> None:
    deadlines = sweep()
    later, sooner = Waits(deadlines, 0.02), Waits(deadlines, 30)
    deadlines.add(later)
    deadlines.add(sooner)
    later.deadline += 30
    sooner.deadline -= 30
    await until(lambda: bool(sooner.expired))
    assert later.expired == []
    deadlines.discard(later)


async def test_whoever_moves_its_deadline_when_told_is_told_again() -> None:
    deadlines = sweep()
    waits = Waits(deadlines, 0, move_s=0.02)
    deadlines.add(waits)
    await until(lambda: len(waits.expired) == 3)
    assert len(deadlines) == 0


async def test_one_may_leave_while_another_is_told() -> None:
    deadlines = sweep()
    other = Waits(deadlines, 30)

    class Leaves(Waits):
        def expire(self, now: float) -> None:
            super().expire(now)
            deadlines.discard(other)
            deadlines.add(late)

    late, leaves = Waits(deadlines, 30), Leaves(deadlines, 0)
    deadlines.add(other)
    deadlines.add(leaves)
    await until(lambda: bool(leaves.expired))
    assert len(deadlines) == 1
    deadlines.discard(late)


async def test_who_was_discarded_by_another_in_the_same_sweep_is_not_told() -> None:
    deadlines = sweep()
    told: list[str] = []

    class Pair:
        def __init__(self, name: str) -> None:
            self.name, self.deadline = name, 0.0
            self.other: Pair | None = None

        def expire(self, now: float) -> None:
            told.append(self.name)
            for one in (self, self.other):
                assert one is not None
                deadlines.discard(one)

    a, b = Pair("a"), Pair("b")
    a.other, b.other = b, a
    deadlines.add(a)
    deadlines.add(b)
    await asyncio.sleep(TICK_S * 4)
    assert len(told) == 1


async def test_one_that_breaks_when_told_does_not_end_the_limits_of_all_others() -> None:
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    deadlines = sweep()

    class Breaks(Waits):
        def expire(self, now: float) -> None:
            deadlines.discard(self)
            raise ZeroDivisionError

    fine = Waits(deadlines, 0.06)
    deadlines.add(Breaks(deadlines, 0))
    deadlines.add(fine)
    await asyncio.sleep(0.2)
    loop.set_exception_handler(None)
    assert complaints, "a fault is not swallowed"
    assert fine.expired
