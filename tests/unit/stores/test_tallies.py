"""The reference of all authorities: nobody gets more than there is, all or nothing, what comes back is there again."""

from __future__ import annotations

import json
import math
from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgegate.access.counter_json import counter_json, counter_of
from edgegate.access.counters import Counter, Kind, Scope, Unit
from edgegate.access.grants import LEASE_S, PRESENT_S, Grant, Refused, Return, Unknown, Want
from edgegate.access.tallies import Tallies

NOW = 1_700_000_000.0


def window(name: str = "w", limit: int = 10, window_s: float = 60.0, hard: bool = True) -> Counter:
    return Counter(name, Kind.WINDOW, Unit.REQUESTS, limit, window_s=window_s, hard=hard)


def bucket(name: str = "b", limit: int = 60, window_s: float = 60.0, burst: int = 10) -> Counter:
    return Counter(name, Kind.BUCKET, Unit.TOKENS, limit, window_s=window_s, burst=burst)


def places(name: str = "p", limit: int = 5) -> Counter:
    return Counter(name, Kind.HELD, Unit.CONCURRENCY, limit)


def budget(name: str = "s", limit: int = 100, hard: bool = True) -> Counter:
    return Counter(
        name, Kind.HELD, Unit.NANO_USD, limit, "budget", "acme", since=NOW, ends=NOW + 86_400, spends=True, hard=hard,
        alerts=(0.8,), scope=Scope((("tenant", "acme"),), models=("gpt-*",)),
    )  # fmt: skip


@pytest.fixture
def tallies() -> Tallies:
    return Tallies()


def take(tallies: Tallies, counter: Counter, units: int, extra: int = 0, now: float = NOW, holder: str = "a") -> Grant | Refused | Unknown:
    given = tallies.take(holder, [Want(counter, units, extra)], now)
    return given[0] if isinstance(given, list) else given


# -- granting


def test_all_is_granted_or_nothing(tallies: Tallies) -> None:
    wants = [Want(window("one", 10), 5), Want(window("two", 4), 5), Want(places(), 1)]
    assert tallies.take("a", wants, NOW) == Refused(window("two", 4), math.inf, 0)
    assert [tallies.used(name, NOW) for name in ("one", "two", "p")] == [0, 0, 0]
    assert tallies.take("a", [wants[0], wants[2]], NOW) == [Grant(5, int(NOW)), Grant(1, 0)]
    assert [tallies.used(name, NOW) for name in ("one", "two", "p")] == [5, 0, 1]


def test_of_several_that_refuse_the_one_that_does_so_longest_is_named(tallies: Tallies) -> None:
    short, long = window("short", 1, 1.0), window("long", 1, 3600.0)
    take(tallies, short, 1)
    take(tallies, long, 1)
    for wants in ([Want(short, 1), Want(long, 1)], [Want(long, 1), Want(short, 1)]):
        refused = tallies.take("a", wants, NOW)
        assert isinstance(refused, Refused)
        assert (refused.counter, refused.used) == (long, 1)
        assert 3600 < refused.wait_s <= 3600 + 60 + LEASE_S


def test_a_counter_that_is_wanted_twice_is_counted_twice(tallies: Tallies) -> None:
    assert isinstance(tallies.take("a", [Want(window(), 6), Want(window(), 5)], NOW), Refused)
    assert isinstance(tallies.take("a", [Want(window(), 6), Want(window(), 4)], NOW), list)


@pytest.mark.parametrize("counter", [window(limit=100), bucket(limit=100, burst=100), places(limit=100), budget(limit=100)])
def test_what_is_welcome_beyond_is_at_most_half_of_what_is_left(tallies: Tallies, counter: Counter) -> None:
    if counter.spends:
        tallies.begin(counter, {})
    grants = [take(tallies, counter, 20, extra) for extra in (10, 1000, 1000)]
    assert [grant.units for grant in grants if isinstance(grant, Grant)] == [30, 20 + 25, 20 + 2]


def test_a_refusal_says_when_it_may_be_granted(tallies: Tallies) -> None:
    take(tallies, window(), 10)
    refused = take(tallies, window(), 1, now=NOW + 5)
    assert isinstance(refused, Refused)
    assert isinstance(take(tallies, window(), 1, now=NOW + 5 + refused.wait_s - 0.01), Refused)
    assert isinstance(take(tallies, window(), 1, now=NOW + 5 + refused.wait_s), Grant)

    take(tallies, bucket(), 10)
    assert take(tallies, bucket(), 5) == Refused(bucket(), 5.0, 10)
    assert isinstance(take(tallies, bucket(), 5, now=NOW + 5), Grant)


def test_what_others_hold_is_worth_waiting_for_and_what_is_spent_is_not(tallies: Tallies) -> None:
    tallies.begin(budget(), {"b": 60})
    take(tallies, budget(), 40)
    assert take(tallies, budget(), 40, holder="c") == Refused(budget(), LEASE_S, 60)
    assert take(tallies, budget(), 41, holder="c") == Refused(budget(), math.inf, 60)
    take(tallies, places(), 5)
    assert take(tallies, places(), 1) == Refused(places(), LEASE_S, 5)
    assert take(tallies, places(), 6) == Refused(places(), math.inf, 5)


def test_soft_counters_count_and_never_refuse(tallies: Tallies) -> None:
    soft = window(hard=False)
    assert take(tallies, soft, 100, extra=50) == Grant(100, int(NOW))
    assert tallies.used("w", NOW) == 100
    spending = budget(hard=False)
    tallies.begin(spending, {"b": 500})
    assert take(tallies, spending, 100, extra=50) == Grant(100, 0)


def test_a_counter_takes_the_limit_that_is_configured_now(tallies: Tallies) -> None:
    take(tallies, window(limit=10), 10)
    assert isinstance(take(tallies, window(limit=12), 2), Grant)
    assert isinstance(take(tallies, window(limit=5), 1), Refused)
    take(tallies, places(limit=2), 2)
    assert isinstance(take(tallies, places(limit=3), 1), Grant)
    tallies.begin(budget(limit=10), {"b": 10})
    assert isinstance(take(tallies, budget(limit=20), 10), Grant)
    take(tallies, bucket(burst=10), 2)
    assert isinstance(take(tallies, bucket(burst=4), 5), Refused)
    assert isinstance(take(tallies, bucket(burst=4), 4), Grant)


def test_units_of_a_window_count_for_as_long_as_they_may_be_used_late() -> None:
    for kept in (False, True):
        tallies = Tallies()
        take(tallies, window(), 10)  # to be used until NOW + LEASE_S
        if kept:
            dumped = tallies.dump("w")
            assert dumped is not None
            tallies = Tallies()
            tallies.load("w", dumped)
        assert isinstance(take(tallies, window(), 1, now=NOW + LEASE_S + 60.5), Refused)
        assert isinstance(take(tallies, window(), 10, now=NOW + LEASE_S + 61), Grant)


# -- giving back


def test_what_is_given_back_is_there_again(tallies: Tallies) -> None:
    for counter in (window(), bucket(), places(limit=10)):
        grant = take(tallies, counter, 10)
        assert isinstance(grant, Grant)
        assert isinstance(take(tallies, counter, 1), Refused)
        tallies.tell("a", [Return(counter, grant.slot, 4)], [], NOW)
        assert tallies.used(counter.name, NOW) == 6
        assert isinstance(take(tallies, counter, 4), Grant)


def test_what_was_used_beyond_counts_too(tallies: Tallies) -> None:
    for counter in (window(), bucket(), places(limit=10)):
        grant = take(tallies, counter, 5)
        assert isinstance(grant, Grant)
        tallies.tell("a", [Return(counter, grant.slot, -20)], [], NOW)
        assert tallies.used(counter.name, NOW) == 25
        assert isinstance(take(tallies, counter, 1), Refused)


def test_places_cannot_be_given_back_that_were_not_taken(tallies: Tallies) -> None:
    take(tallies, places(), 2)
    tallies.tell("a", [Return(places(), 0, 5)], [], NOW)
    tallies.tell("b", [Return(places(), 0, 5)], [], NOW)
    assert isinstance(take(tallies, places(), 6), Refused)
    assert isinstance(take(tallies, places(), 5), Grant)


# -- spending


def test_a_budget_is_not_granted_before_it_is_known_what_was_spent(tallies: Tallies) -> None:
    wants = [Want(window(), 1), Want(budget("one"), 1), Want(budget("two"), 1), Want(budget("one"), 1)]
    assert tallies.take("a", wants, NOW) == Unknown((budget("one"), budget("two")))
    assert tallies.used("w", NOW) == 0
    tallies.begin(budget("one"), {"old": 99})
    assert tallies.take("a", wants, NOW) == Unknown((budget("two"),))
    tallies.begin(budget("one"), {})  # is known already
    assert take(tallies, budget("one"), 2) == Refused(budget("one"), math.inf, 99)
    assert isinstance(take(tallies, budget("one"), 1), Grant)


def test_spending_is_told_as_a_total_so_that_telling_it_twice_changes_nothing(tallies: Tallies) -> None:
    tallies.begin(budget(), {"b": 10})
    take(tallies, budget(), 50)
    for _ in range(2):
        assert tallies.tell("a", [], [(budget(), 30)], NOW) == {"s": 40}
    assert isinstance(take(tallies, budget(), 40), Grant)  # 100 - 40 spent - 20 that a still holds
    assert isinstance(take(tallies, budget(), 1), Refused)
    assert tallies.tell("a", [Return(budget(), 0, 60)], [(budget(), 35)], NOW) == {"s": 45}
    assert isinstance(take(tallies, budget(), 55, holder="c"), Grant)


def test_what_is_told_of_a_budget_that_is_not_known_is_passed_over(tallies: Tallies) -> None:
    assert tallies.tell("a", [Return(budget(), 0, 5)], [(budget(), 30)], NOW) == {}
    assert isinstance(take(tallies, budget(), 1), Unknown)


def test_a_holder_that_is_gone_leaves_what_it_spent_and_frees_what_it_leased(tallies: Tallies) -> None:
    tallies.begin(budget(), {})
    take(tallies, budget(), 60, holder="dead")
    take(tallies, places(), 5, holder="dead")
    tallies.tell("dead", [], [(budget(), 10)], NOW)
    assert tallies.estate("dead") == [budget()]
    assert tallies.estate("a") == []
    assert isinstance(take(tallies, budget(), 41), Refused)
    for _ in range(2):
        tallies.bury("dead", {"s": 25})  # the ledger knows better
        assert tallies.used("s", NOW) == 25
        assert tallies.estate("dead") == []
    assert isinstance(take(tallies, budget(), 75), Grant)
    assert isinstance(take(tallies, places(), 5), Grant)


# -- presence


def test_places_of_a_holder_that_is_silent_are_free_until_it_is_heard_again(tallies: Tallies) -> None:
    take(tallies, places(), 5, holder="silent")
    assert isinstance(take(tallies, places(), 1, now=NOW + PRESENT_S - 0.1), Refused)
    assert isinstance(take(tallies, places(), 1, now=NOW + PRESENT_S), Grant)
    tallies.tell("silent", [], [], NOW + PRESENT_S)
    assert isinstance(take(tallies, places(), 1, now=NOW + PRESENT_S), Refused)


def test_leases_of_budgets_outlast_silence(tallies: Tallies) -> None:
    tallies.begin(budget(), {})
    take(tallies, budget(), 100, holder="silent")
    assert isinstance(take(tallies, budget(), 1, now=NOW + 100 * PRESENT_S), Refused)


def test_a_holder_that_leaves_gives_up_its_places_and_not_what_it_spent(tallies: Tallies) -> None:
    tallies.begin(budget(), {})
    take(tallies, budget(), 100, holder="b")
    take(tallies, places(), 5, holder="b")
    tallies.tell("b", [Return(budget(), 0, 60)], [(budget(), 40)], NOW)
    tallies.leave("b")
    assert isinstance(take(tallies, places(), 5), Grant)
    assert isinstance(take(tallies, budget(), 61), Refused)
    assert isinstance(take(tallies, budget(), 60), Grant)


def test_only_one_is_the_first(tallies: Tallies) -> None:
    assert [tallies.first("x", NOW + 10, NOW + at) for at in (0, 5, 10)] == [True, False, True]
    assert tallies.first("y", NOW + 10, NOW)


# -- keeping


def test_counters_survive_json() -> None:
    for counter in (window(), bucket(), places(), budget()):
        assert counter_of(json.loads(json.dumps(counter_json(counter)))) == counter


def test_a_counter_that_says_nothing_need_not_be_kept(tallies: Tallies) -> None:
    assert tallies.dump("p") is None
    take(tallies, places(), 2)
    assert tallies.dump("p") is not None
    tallies.tell("a", [Return(places(), 0, 2)], [], NOW)
    assert tallies.dump("p") is None


def test_counters_say_from_when_on_they_are_worth_nothing(tallies: Tallies) -> None:
    take(tallies, window(), 10)
    ends = tallies.ends("w", NOW)
    assert isinstance(take(tallies, window(), 10, now=ends), Grant)
    take(tallies, bucket(), 10)
    assert tallies.ends("b", NOW) == NOW + 10
    tallies.begin(budget(), {})
    assert tallies.ends("s", NOW) == budget().ends
    take(tallies, places(), 1)
    assert tallies.ends("p", NOW) == math.inf


# -- whatever happens


WINDOWS = [window("w1", 7, 1.0), window("w10", 20, 10.0)]
BUDGETS = [budget("s1", 50), budget("s2", 200)]
PLACES = [places("p1", 3)]
holders = st.sampled_from(["a", "b", "c"])


class Authority(RuleBasedStateMachine):
    """Three honest holders: they use what they were granted within `LEASE_S`, or give it back."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.tallies = Tallies()
        for counter in BUDGETS:
            self.tallies.begin(counter, {"before": 5})
        self.held: list[tuple[str, Counter, int, int, float]] = []  # holder, counter, slot, units, until when they may be used
        self.used: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.places: dict[str, int] = defaultdict(int)
        self.leases: dict[tuple[str, str], int] = defaultdict(int)
        self.spent: dict[tuple[str, str], int] = defaultdict(int)

    @rule(
        holder=holders,
        wants=st.lists(
            st.tuples(st.sampled_from([*WINDOWS, *PLACES, *BUDGETS]), st.integers(0, 8), st.integers(0, 10)), min_size=1, max_size=3
        ),
    )
    def take(self, holder: str, wants: list[tuple[Counter, int, int]]) -> None:
        before = {counter.name: self._free(counter) for counter, _, _ in wants}
        given = self.tallies.take(holder, [Want(*want) for want in wants], self.now)
        assert not isinstance(given, Unknown)
        if isinstance(given, Refused):
            assert given.wait_s > 0
            assert {counter.name: self._free(counter) for counter, _, _ in wants} == before
            assert any(sum(w[1] for w in wants if w[0] == counter) > before[counter.name] for counter, _, _ in wants)
            return
        for grant, (counter, units, extra) in zip(given, wants, strict=True):
            assert units <= grant.units <= units + extra
            if counter.kind is Kind.WINDOW:
                self.held.append((holder, counter, grant.slot, grant.units, self.now + LEASE_S))
            elif counter.spends:
                self.leases[holder, counter.name] += grant.units
            else:
                self.places[holder] += grant.units
        assert {c.name: before[c.name] - sum(g.units for g, w in zip(given, wants, strict=True) if w[0] == c) for c, _, _ in wants} == {
            c.name: self._free(c) for c, _, _ in wants
        }

    @precondition(lambda self: self.held)
    @rule(data=st.data(), use=st.booleans())
    def use_or_give_back(self, data: st.DataObject, use: bool) -> None:
        holder, counter, slot, units, until = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        some = data.draw(st.integers(0, units))
        if use and self.now <= until:
            self.used[counter.name].append((self.now, some))
            units -= some
        self.tallies.tell(holder, [Return(counter, slot, units)], [], self.now)

    @rule(holder=holders, counter=st.sampled_from(BUDGETS), data=st.data())
    def spend(self, holder: str, counter: Counter, data: st.DataObject) -> None:
        key = (holder, counter.name)
        spent = data.draw(st.integers(0, self.leases[key]))
        back = data.draw(st.integers(0, self.leases[key] - spent))
        free = self._free(counter)
        self.leases[key] -= spent + back
        self.spent[key] += spent
        told = self.tallies.tell(holder, [Return(counter, 0, back)], [(counter, self.spent[key])], self.now)
        assert told == {counter.name: 5 + sum(units for (_, name), units in self.spent.items() if name == counter.name)}
        assert self._free(counter) == free + back

    @rule(holder=holders)
    def leave_a_place(self, holder: str) -> None:
        if self.places[holder]:
            self.places[holder] -= 1
            self.tallies.tell(holder, [Return(PLACES[0], 0, 1)], [], self.now)

    @rule(holder=holders, unsaid=st.integers(0, 3))
    def die(self, holder: str, unsaid: int) -> None:
        estate = {counter.name for counter in self.tallies.estate(holder)}
        for counter in BUDGETS:
            key = (holder, counter.name)
            assert (counter.name in estate) == bool(self.leases[key] or self.spent[key])
            self.spent[key] += min(unsaid, self.leases[key])
            self.leases[key] = 0
        self.tallies.bury(holder, {name: self.spent[holder, name] for name in estate})
        assert self.tallies.estate(holder) == []
        for counter in BUDGETS:  # whoever comes next has another name
            self.spent["buried", counter.name] += self.spent.pop((holder, counter.name))
        self.places[holder] = 0

    @rule(by=st.floats(0, 2))
    def wait(self, by: float) -> None:
        self.now += by
        for holder in "abc":
            self.tallies.tell(holder, [], [], self.now)

    @rule()
    def restart(self) -> None:
        kept = {name: json.loads(json.dumps(self.tallies.dump(name))) for name in self.tallies.names()}
        again = Tallies()
        again.seen.update(self.tallies.seen)
        for name, state in kept.items():
            if state is not None:
                again.load(name, state)
        self.tallies = again

    @invariant()
    def windows_hold_when_units_are_used(self) -> None:
        for counter in WINDOWS:
            used = self.used[counter.name]
            for start, _ in used:
                assert sum(units for at, units in used if start <= at < start + counter.window_s) <= counter.limit

    @invariant()
    def places_and_budgets_hold(self) -> None:
        assert sum(self.places.values()) <= PLACES[0].limit
        for counter in BUDGETS:
            out = sum(units for (_, name), units in [*self.leases.items(), *self.spent.items()] if name == counter.name)
            assert out + 5 <= counter.limit
            assert self._free(counter) == counter.limit - out - 5

    def _free(self, counter: Counter) -> int:
        leased = sum(units for (_, name), units in self.leases.items() if name == counter.name)
        return counter.limit - self.tallies.used(counter.name, self.now) - leased


TestAuthority = Authority.TestCase
TestAuthority.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
