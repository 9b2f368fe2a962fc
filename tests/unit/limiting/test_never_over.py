"""Whatever several processes do, and whatever becomes of the authority's answers: never one unit over a hard limit, and at the end,
when all is settled, nothing is missing."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.access.counters import Counter, Kind, Unit
from edgegate.errors import GatewayError
from edgegate.limiting.limiter import Hold, Limiter, OverLimit
from tests.unit.core.parts import Clock
from tests.unit.limiting.parts import Shared, limiter

WINDOW = Counter("window", Kind.WINDOW, Unit.TOKENS, 50, window_s=60.0)
PLACES = Counter("places", Kind.HELD, Unit.CONCURRENCY, 4)
MONEY = Counter("money", Kind.HELD, Unit.NANO_USD, 200, ends=1e12, spends=True)

WORKERS = 3

steps = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, WORKERS - 1), st.integers(1, 12), st.integers(1, 40)),
    st.tuples(st.just("settle"), st.integers(0, 50), st.floats(0, 1)),
    st.tuples(st.just("look"), st.integers(0, WORKERS - 1)),
    st.tuples(st.just("pass"), st.floats(0.05, 30)),
    st.tuples(st.just("weather"), st.sampled_from(["fair", "fair", "away", "deaf"])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=80))
def test_never_over(given: list[tuple[Any, ...]]) -> None:
    asyncio.run(play(given))


async def every(workers: list[Limiter]) -> None:
    for mine in workers:
        await mine.look()


async def play(given: list[tuple[Any, ...]]) -> None:
    clock = Clock(1_000_000.0)
    shared = Shared(clock)
    workers = [(await limiter(clock, shared, f"w{n}", deny=True))[0] for n in range(WORKERS)]
    running: list[tuple[Limiter, Hold, int, int]] = []
    tokens: list[tuple[float, int]] = []  # when they were reserved, and how many count
    spent = 0
    for step in given:
        match step:
            case ("ask", worker, units, money):
                mine = workers[worker]
                asked = [(mine.account(WINDOW), units), (mine.account(MONEY), money), (mine.account(PLACES), 1)]
                try:
                    hold = mine.reserve_nowait(asked, clock()) or await mine.reserve(asked)
                except (OverLimit, GatewayError):
                    continue
                running.append((mine, hold, units, money))
                tokens.append((clock(), units))
            case ("settle", which, share):
                if running:
                    mine, hold, units, money = running.pop(which % len(running))
                    used = int(money * share)
                    mine.leave(hold, clock())
                    mine.settle(hold, (0, units, 0, used), clock())
                    spent += used
            case ("look", worker):
                await workers[worker].look()
            case ("pass", seconds):
                for _ in range(3):  # processes that live say so; who is not heard of for 15 seconds has lost its places
                    clock.now += seconds / 3
                    await every(workers)
            case ("weather", weather):
                shared.away, shared.deaf = weather == "away", weather == "deaf"
                await every(workers)
        assert spent + sum(money for *_, money in running) <= MONEY.limit
        assert len(running) <= PLACES.limit
        assert sum(units for at, units in tokens if at > clock() - WINDOW.window_s) <= WINDOW.limit
    shared.away = shared.deaf = False
    for mine, hold, units, _ in running:
        mine.leave(hold, clock())
        mine.settle(hold, (0, units, 0, 0), clock())
    for _ in range(3):
        for mine in workers:
            await mine.look()
    clock.now += 62 + WINDOW.window_s
    last = workers[0]
    full = [(last.account(WINDOW), WINDOW.limit), (last.account(MONEY), MONEY.limit - spent), (last.account(PLACES), PLACES.limit)]
    assert await last.reserve([(account, units) for account, units in full if units])
