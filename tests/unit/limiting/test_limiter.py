"""The limiter: all or none, never one unit over, and nothing lost once everything is settled."""

from __future__ import annotations

import asyncio
import math

import pytest

from edgegate.access.counters import Counter, Kind, Unit
from edgegate.errors import GatewayError
from edgegate.limiting.limiter import Limiter, OverLimit
from tests.unit.core.parts import Clock
from tests.unit.limiting.parts import Shared, limiter

REQUESTS = Counter("requests", Kind.WINDOW, Unit.REQUESTS, 10, "per key", "app", window_s=60.0)
TOKENS = Counter("tokens", Kind.WINDOW, Unit.TOKENS, 1000, "per key", "app", window_s=60.0)
PLACES = Counter("places", Kind.HELD, Unit.CONCURRENCY, 3, "per key", "app")
MONEY = Counter("money", Kind.HELD, Unit.NANO_USD, 100, "budget", "acme", ends=1e12, spends=True, alerts=(0.8, 0.95))
SOFT = Counter("soft", Kind.HELD, Unit.NANO_USD, 100, "soft", "acme", ends=1e12, spends=True, hard=False, alerts=(1.0,))


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


async def spend(limiter: Limiter, counter: Counter, reserve: int, use: int, clock: Clock) -> None:
    hold = await limiter.reserve([(limiter.account(counter), reserve)])
    limiter.settle(hold, (use, use, 0, use), clock())


async def test_several_counters_are_taken_together_or_not_at_all(clock: Clock) -> None:
    mine, _ = await limiter(clock)
    requests, tokens = mine.account(REQUESTS), mine.account(TOKENS)
    with pytest.raises(OverLimit) as over:
        mine.reserve_nowait([(requests, 1), (tokens, 1001)], clock())
    assert over.value.counter is TOKENS
    assert math.isinf(over.value.wait_s), "so many tokens there will never be"
    assert requests.used == 0, "what was refused does not count"
    assert mine.reserve_nowait([(requests, 1), (tokens, 1000)], clock()) is not None
    assert (requests.used, tokens.used) == (1, 1000)


async def test_what_was_reserved_and_not_used_is_given_back(clock: Clock) -> None:
    mine, _ = await limiter(clock)
    tokens = mine.account(TOKENS)
    hold = mine.reserve_nowait([(tokens, 900)], clock())
    assert hold is not None
    mine.settle(hold, (0, 30, 0, 0), clock())
    assert tokens.used == 30
    over = mine.reserve_nowait([(tokens, 970)], clock())
    assert over is not None
    mine.settle(over, (0, 2000, 0, 0), clock())
    assert tokens.used == 2030, "usage beyond the reservation counts, too"


async def test_a_refusal_says_when_there_is_room_again(clock: Clock) -> None:
    mine, _ = await limiter(clock)
    account = mine.account(REQUESTS)
    assert mine.reserve_nowait([(account, 10)], clock()) is not None
    clock.now += 20
    with pytest.raises(OverLimit) as over:
        mine.reserve_nowait([(account, 1)], clock())
    assert 40 <= over.value.wait_s <= 41.1
    clock.now += over.value.wait_s
    assert mine.reserve_nowait([(account, 1)], clock()) is not None


async def test_places_are_free_again_before_the_usage_is_known(clock: Clock) -> None:
    mine, _ = await limiter(clock)
    places, tokens = mine.account(PLACES), mine.account(TOKENS)
    hold = mine.reserve_nowait([(tokens, 10), (places, 3)], clock())
    assert hold is not None
    with pytest.raises(OverLimit):
        mine.reserve_nowait([(places, 1)], clock())
    mine.leave(hold, clock())
    assert places.used == 0
    assert tokens.used == 10
    mine.settle(hold, (1, 4, 0, 0), clock())
    assert (places.used, tokens.used) == (0, 4)


async def test_a_budget_begins_with_what_the_ledger_knows(clock: Clock) -> None:
    mine, _ = await limiter(clock, past={"money": {"earlier": 60, "before": 15}})
    account = mine.account(MONEY)
    assert mine.reserve_nowait([(account, 1)], clock()) is None, "nobody knows yet what was spent"
    hold = await mine.reserve([(account, 25)])
    with pytest.raises(OverLimit):
        mine.reserve_nowait([(account, 1)], clock())
    mine.settle(hold, (0, 0, 0, 5), clock())
    assert account.used == 80


async def test_alerts_are_given_once_and_not_again_after_a_restart(clock: Clock) -> None:
    mine, crossings = await limiter(clock)
    await spend(mine, MONEY, 79, 79, clock)
    assert crossings == []
    await spend(mine, MONEY, 1, 1, clock)
    await spend(mine, MONEY, 1, 1, clock)
    assert crossings == [("budget", 0.8, 80)]
    await spend(mine, MONEY, 15, 15, clock)
    assert crossings[1:] == [("budget", 0.95, 96)]
    later, again = await limiter(clock, past={"money": {"earlier": 96}})
    await spend(later, MONEY, 1, 1, clock)
    assert again == []


async def test_a_soft_budget_alerts_and_refuses_nothing(clock: Clock) -> None:
    mine, crossings = await limiter(clock)
    for _ in range(3):
        await spend(mine, SOFT, 60, 60, clock)
    assert mine.account(SOFT).used == 180
    assert crossings == [("soft", 1.0, 120)]


async def test_a_changed_limit_holds_for_what_was_counted_before(clock: Clock) -> None:
    mine, _ = await limiter(clock)
    assert mine.reserve_nowait([(mine.account(REQUESTS), 10)], clock()) is not None
    raised = Counter("requests", Kind.WINDOW, Unit.REQUESTS, 12, "per key", "app", window_s=60.0)
    assert mine.reserve_nowait([(mine.account(raised), 2)], clock()) is not None
    with pytest.raises(OverLimit):
        mine.reserve_nowait([(mine.account(raised), 1)], clock())


# -- several processes


async def test_many_at_once_over_four_processes_never_get_more_than_there_is(clock: Clock) -> None:
    shared = Shared(clock)
    workers = [(await limiter(clock, shared, f"w{number}"))[0] for number in range(4)]

    async def one(mine: Limiter) -> bool:
        try:
            await mine.reserve([(mine.account(REQUESTS), 1), (mine.account(MONEY), 7)])
        except OverLimit:
            return False
        return True

    taken = await asyncio.gather(*[one(workers[number % 4]) for number in range(200)])
    assert sum(taken) == 10, "ten requests; fourteen would fit the budget"


async def test_after_settlement_no_capacity_is_lost(clock: Clock) -> None:
    shared = Shared(clock)
    one, _ = await limiter(clock, shared, "one")
    two, _ = await limiter(clock, shared, "two")
    holds = [await one.reserve([(one.account(MONEY), 10)]) for _ in range(10)]
    with pytest.raises(OverLimit):
        await two.reserve([(two.account(MONEY), 1)])
    for hold in holds:
        one.settle(hold, (0, 0, 0, 3), clock())
    await one.look()
    await one.look()  # the second time nothing was needed in between
    clock.now += 1
    assert shared.tallies.used("money", clock()) == 30
    assert await two.reserve([(two.account(MONEY), 70)])


async def test_steady_use_asks_the_authority_seldom(clock: Clock) -> None:
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared)
    many = Counter("many", Kind.WINDOW, Unit.REQUESTS, 100_000, window_s=60.0)
    account = mine.account(many)
    for _ in range(40):
        for _ in range(25):
            assert mine.reserve_nowait([(account, 1)], clock()) or await mine.reserve([(account, 1)])
            clock.now += 0.01
        await mine.look()
    assert shared.takes < 150, "a thousand requests, a lease for each quarter of a second"
    assert shared.tallies.used("many", clock()) >= 1000


async def test_units_of_a_window_are_not_used_after_their_lease_has_ended(clock: Clock) -> None:
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared)
    account = mine.account(TOKENS)
    await mine.reserve([(account, 10)])
    await mine.look()
    await mine.reserve([(account, 10)])  # and ten beyond, as many as were needed before
    assert account.wait(10, clock()) == 0.0
    clock.now += 1.1
    assert account.wait(1, clock()) < 0, "somebody has to be asked again"
    await mine.look()
    assert shared.tallies.used("tokens", clock()) == 20


async def test_requests_go_on_without_the_authority_and_are_counted_later(clock: Clock) -> None:
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared)
    await spend(mine, MONEY, 5, 5, clock)
    shared.away = True
    for _ in range(30):
        await spend(mine, MONEY, 5, 5, clock)
        await spend(mine, TOKENS, 5, 5, clock)
        await mine.look()
    shared.away = False
    await mine.look()
    assert shared.tallies.used("money", clock()) == 155
    assert shared.tallies.used("tokens", clock()) == 150
    with pytest.raises(OverLimit):
        await mine.reserve([(mine.account(MONEY), 1)])


async def test_without_the_authority_only_what_was_leased_is_used_where_that_is_the_policy(clock: Clock) -> None:
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared, deny=True)
    await spend(mine, MONEY, 20, 20, clock)
    await mine.look()
    await spend(mine, MONEY, 20, 0, clock)  # twenty beyond were leased with these
    shared.away = True
    assert await mine.reserve([(mine.account(MONEY), 40)])
    with pytest.raises(GatewayError) as refused:
        await mine.reserve([(mine.account(MONEY), 1)])
    assert (refused.value.status, refused.value.code, refused.value.source) == (503, "store_unavailable", "gateway")


async def test_places_are_not_lost_when_answers_of_the_authority_are(clock: Clock) -> None:
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared)
    account = mine.account(PLACES)
    shared.deaf = True
    for _ in range(5):
        hold = await mine.reserve([(account, 1)])  # granted, but nobody heard of it
        mine.settle(hold, (0, 0, 0, 0), clock())
        await mine.look()
    shared.deaf = False
    await mine.look()
    assert shared.tallies.used("places", clock()) == 0
    assert await mine.reserve([(account, 3)])


async def test_a_cancelled_caller_leaves_nothing_reserved(clock: Clock) -> None:
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared)
    places, money = mine.account(PLACES), mine.account(MONEY)
    await spend(mine, PLACES, 1, 0, clock)
    asked = asyncio.get_running_loop().create_task(mine.reserve([(places, 1), (money, 50)]))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    if not asked.cancelled():
        mine.settle(asked.result(), (0, 0, 0, 0), clock())
    for _ in range(3):
        await mine.look()
    assert shared.tallies.used("places", clock()) == 0
    assert await mine.reserve([(places, 3), (money, 100)])


async def test_one_alert_over_all_processes(clock: Clock) -> None:
    shared = Shared(clock)
    one, first = await limiter(clock, shared, "one")
    two, second = await limiter(clock, shared, "two")
    await spend(one, MONEY, 40, 40, clock)
    await spend(two, MONEY, 40, 40, clock)
    for mine in (one, two, one, two):
        await spend(mine, MONEY, 1, 1, clock)
        await mine.look()
    assert [alert[:2] for alert in [*first, *second]] == [("budget", 0.8)]


async def test_an_authority_that_lost_everything_is_told_again(clock: Clock) -> None:
    shared = Shared(clock)
    one, _ = await limiter(clock, shared, "one")
    two, _ = await limiter(clock, shared, "two")
    await spend(one, MONEY, 30, 30, clock)
    await spend(two, MONEY, 30, 30, clock)
    await one.look()
    await two.look()
    shared.past["money"] = {"one": 30, "two": 25}  # the ledger lags behind a little
    shared.tallies = type(shared.tallies)()
    await spend(one, MONEY, 5, 5, clock)
    await spend(two, MONEY, 5, 5, clock)
    for mine in (one, two):
        await mine.look()
    assert shared.tallies.used("money", clock()) == 70
