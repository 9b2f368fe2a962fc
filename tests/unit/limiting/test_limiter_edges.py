"""The limiter where it is tempted: rules that change while they are used, accounts that are forgotten, stores that come and go."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edgegate.access.counters import Counter, Kind, Unit
from edgegate.access.keys import Allowance, Key
from edgegate.access.rules import Rules, Who
from edgegate.config.model import BudgetOptions, LimitOptions
from edgegate.config.option import Rate
from edgegate.config.stages import LimitsOptions
from edgegate.limiting.limiter import Limiter, OverLimit
from edgegate.stores.base import StoreError
from tests.unit.core.parts import Clock
from tests.unit.limiting.parts import Crossings, Shared, limiter

BUCKET = Counter("bucket", Kind.BUCKET, Unit.REQUESTS, 10, "per key", "app", window_s=60.0, burst=10)
TOKENS = Counter("tokens", Kind.WINDOW, Unit.TOKENS, 1000, "all", window_s=60.0)
PLACES = Counter("places", Kind.HELD, Unit.CONCURRENCY, 3, "per key", "app")
MONEY = Counter("money", Kind.HELD, Unit.NANO_USD, 100, "budget", "acme", ends=1e12, spends=True, alerts=(0.8,))


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


class Past:
    """A ledger that can be away, and that takes its time."""

    def __init__(self, **spent: int) -> None:
        self.spent = spent
        self.away = False
        self.asked = 0

    async def __call__(self, counter: Counter) -> dict[str, int]:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise StoreError("away")
        return dict(self.spent)


def alone(past: Past, clock: Clock) -> tuple[Limiter, Crossings]:
    """A limiter of one process over this ledger."""
    crossings = Crossings()
    made = Limiter(
        past,
        holder="me",
        authority=None,
        deny_on_loss=False,
        unix_clock=clock,
        crossed=crossings,
        level=lambda *_: None,
        failed=lambda reason: None,
    )
    return made, crossings


# -- rules that change


async def test_a_bucket_whose_limit_changes_is_not_filled_by_that(clock: Clock) -> None:
    mine, _ = await limiter(clock)
    assert mine.reserve_nowait([(mine.account(BUCKET), 10)], clock()) is not None
    raised = mine.account(replace(BUCKET, limit=12, burst=12))
    assert raised.used == 10
    with pytest.raises(OverLimit):
        mine.reserve_nowait([(raised, 3)], clock())
    assert mine.reserve_nowait([(raised, 2)], clock()) is not None
    lowered = mine.account(replace(BUCKET, limit=6, burst=6))
    with pytest.raises(OverLimit):
        mine.reserve_nowait([(lowered, 1)], clock())


async def test_whoever_remembers_accounts_hears_that_a_limit_has_changed(clock: Clock) -> None:
    """An exchange that began before its key was changed brings the old limit back for a moment; nobody may stay with that."""
    mine, _ = await limiter(clock)
    mine.account(MONEY)
    before = mine.generation
    mine.account(replace(MONEY, limit=10))
    lowered = mine.generation
    mine.account(MONEY)
    assert before < lowered < mine.generation
    mine.account(MONEY)
    mine.account(PLACES)
    assert mine.generation == lowered + 1, "only then"


# -- accounts that are forgotten


async def test_an_account_that_an_authority_is_being_asked_for_is_not_forgotten(clock: Clock) -> None:
    """Its lease would never be given back: a place less for everybody, as long as the process lives."""
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared)
    account = mine.account(PLACES)
    asked = asyncio.get_running_loop().create_task(mine.reserve([(account, 1)]))
    take = shared.tallies.take

    def and_meanwhile(*given: object) -> object:
        mine._forget(clock())
        return take(*given)  # type: ignore[arg-type]

    shared.tallies.take = and_meanwhile  # type: ignore[method-assign, assignment]
    hold = await asked
    assert mine.account(PLACES) is account
    mine.leave(hold, clock())
    for _ in range(3):
        await mine.look()
    assert shared.tallies.used("places", clock()) == 0


async def test_a_crowd_of_subjects_costs_no_search_through_all_for_each(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgegate.limiting.limiter.MAX_ACCOUNTS", 50)
    searches = 0
    mine, _ = await limiter(clock)
    forget = mine._forget

    def counted(now: float) -> None:
        nonlocal searches
        searches += 1
        forget(now)

    monkeypatch.setattr(mine, "_forget", counted)
    for number in range(500):
        account = mine.account(replace(TOKENS, name=f"tokens of {number}"))
        mine.reserve_nowait([(account, 1)], clock())
    assert searches <= 10


async def test_accounts_of_one_caller_are_never_forgotten_for_another_of_its_own(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the caller would be counted in one that nobody else sees."""
    monkeypatch.setattr("edgegate.limiting.limiter.MAX_ACCOUNTS", 2)
    mine, _ = await limiter(clock)
    for number in range(5):
        mine.account(replace(TOKENS, name=f"tokens of {number}"))
    found = [mine.account(replace(TOKENS, name=name)) for name in ("a", "b", "c")]
    generation = mine.generation
    again = [mine.account(replace(TOKENS, name=name)) for name in ("a", "b", "c")]
    assert again == found or mine.generation != generation


async def test_a_budget_of_which_nothing_was_spent_can_be_forgotten(clock: Clock) -> None:
    """Callers choose users: each name would else be kept to the end of the month."""
    mine, _ = await limiter(clock)
    for number in range(20):
        account = mine.account(replace(MONEY, name=f"money of {number}"))
        mine.settle(await mine.reserve([(account, 5)]), (0, 0, 0, 5 if number == 7 else 0), clock())
    held = mine.account(replace(MONEY, name="money of somebody"))
    await mine.reserve([(held, 5)])
    mine._forget(clock())
    assert sorted(mine._accounts) == ["money of 7", "money of somebody"]


# -- the ledger comes and goes


async def test_what_was_spent_while_the_ledger_was_away_counts_once(clock: Clock) -> None:
    past = Past(earlier=20)
    past.away = True
    mine, _ = alone(past, clock)
    account = mine.account(MONEY)
    mine.settle(await mine.reserve([(account, 10)]), (0, 0, 0, 10), clock())
    past.away = False
    past.spent["me"] = 10  # the row is written as soon as the ledger is back
    mine.settle(await mine.reserve([(account, 1)]), (0, 0, 0, 1), clock())
    assert account.used == 31


async def test_the_ledger_is_asked_once_for_all_that_wait(clock: Clock) -> None:
    past = Past()
    mine, _ = alone(past, clock)
    account = mine.account(MONEY)
    await asyncio.gather(*[mine.reserve([(account, 1)]) for _ in range(50)])
    assert (past.asked, account.used) == (1, 50)


async def test_one_that_stops_waiting_for_the_ledger_stops_nobody_else(clock: Clock) -> None:
    past = Past(earlier=5)
    mine, _ = alone(past, clock)
    account = mine.account(MONEY)
    tasks = [asyncio.get_running_loop().create_task(mine.reserve([(account, 1)])) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, False, False]
    assert account.used == 7


# -- one caller's request and another's


async def test_a_request_too_large_for_what_is_left_does_not_close_the_limit_for_small_ones(clock: Clock) -> None:
    """A limit that several share: whoever asks for too much, again and again, must not have the others refused."""
    shared = Shared(clock)
    mine, _ = await limiter(clock, shared)
    account = mine.account(TOKENS)
    for _ in range(3):
        with pytest.raises(OverLimit):
            await mine.reserve([(account, 5000)])
        hold = mine.reserve_nowait([(account, 10)], clock())
        assert hold is not None or await mine.reserve([(account, 10)])
    takes = shared.takes
    with pytest.raises(OverLimit):
        mine.reserve_nowait([(account, 5000)], clock())
    assert shared.takes == takes, "the same refusal is not asked for again at once"


# -- names


def of(rules: Rules, key: Key | None, user: str = "", address: str = "", model: str = "", provider: str = "") -> set[str]:
    who = Who(key, user, address, model, provider)
    return {counter.name for counter in (*rules.of_request(who), *rules.of_attempt(who, 1e9))}


@pytest.mark.parametrize(
    ("per", "one", "other"),
    [
        (("user",), (Key("acme"), "ann"), (Key("k", "acme"), "ann")),
        (("tenant", "user"), (Key("k", "a"), "b, c"), (Key("k", "a, b"), "c")),
        (("user",), (None, "app, ann"), (Key("app"), "ann")),
    ],
)
def test_two_callers_never_share_a_counter_because_of_how_they_are_called(
    per: tuple[str, ...], one: tuple[Key | None, str], other: tuple[Key | None, str]
) -> None:
    rules = Rules(
        [LimitOptions(per=per, requests=Rate(5, 60), tokens=Rate(5, 60), concurrency=2)],
        [BudgetOptions(per=per, usd=5, tokens=7)],
    )
    assert of(rules, *one)
    assert of(rules, *one).isdisjoint(of(rules, *other))


def test_a_user_without_a_key_is_not_counted_with_the_key_of_that_name() -> None:
    rules = Rules([], [], LimitsOptions(requests=Rate(5, 60)))
    callers = [of(rules, Key("app")), of(rules, None, "app"), of(rules, None, "", "app")]
    assert all(callers)
    assert len(set.union(*callers)) == 3


def test_a_rule_that_is_called_key_is_not_what_a_key_is_allowed() -> None:
    rules = Rules(
        [LimitOptions(name="key", per=("key",), requests=Rate(5, 60), concurrency=2)], [BudgetOptions(name="key", per=("key",), usd=1)]
    )
    own = Allowance(requests=Rate(50, 60), concurrency=7, nano_usd_per_month=5)
    assert len(of(rules, Key("app", allowance=own))) == 6


def test_two_rules_of_one_name_are_two() -> None:
    """The second would else bring its limit to the first, and be counted twice."""
    limits = [LimitOptions(name="fair", requests=Rate(units, 60)) for units in (5, 50)]
    budgets = [BudgetOptions(name="fair", usd=usd) for usd in (1, 2)]
    assert len(of(Rules(limits, budgets), Key("app"))) == 4


def test_no_store_is_asked_for_a_model_with_a_nul_in_its_name() -> None:
    rules = Rules([], [BudgetOptions(per=("model",), usd=1)])
    [counter] = rules.of_attempt(Who(None, "", "", "gpt\0-4o", "one"), 1e9)
    assert counter.scope is not None
    assert "\0" not in counter.name + counter.subject + "".join(dict(counter.scope.equal).values())
