"""Slots and the queue in front of them: who goes first, who must go, and that nothing is ever lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgegate.resilience.queue import SHARE, Limit, Slots

LOW, NORMAL, HIGH, CRITICAL = range(4)
LEVELS = 4


@dataclass(eq=False)
class Waiter:
    level: int
    tenant: str
    name: str = ""


def slots(concurrency: int = 1, size: int = 1000, tenant_size: int = 0) -> Slots[Waiter]:
    return Slots(concurrency, size, tenant_size, LEVELS)


def busy(size: int = 1000, tenant_size: int = 0) -> Slots[Waiter]:
    """One slot, taken."""
    made = slots(1, size, tenant_size)
    assert made.enter()
    return made


def line(made: Slots[Waiter], *waiters: Waiter) -> None:
    for waiter in waiters:
        assert made.join(waiter) is None


def granted(made: Slots[Waiter], number: int) -> list[Waiter]:
    """Who gets the next slots."""
    got = [made.release() for _ in range(number)]
    assert all(got)
    return [waiter for waiter in got if waiter is not None]


def names(waiters: list[Waiter]) -> str:
    return " ".join(waiter.name for waiter in waiters)


# -- order


def test_as_many_run_as_there_are_slots() -> None:
    made = slots(2)
    assert [made.enter() for _ in range(3)] == [True, True, False]
    assert made.release() is None
    assert made.running == 1
    assert made.enter()


def test_a_slot_that_is_given_back_goes_to_the_one_who_waits() -> None:
    made = busy()
    waiter = Waiter(NORMAL, "a")
    line(made, waiter)
    assert made.release() is waiter
    assert (made.running, made.waiting) == (1, 0)
    assert not made.enter()


def test_callers_of_one_tenant_go_in_the_order_they_came() -> None:
    made = busy()
    line(made, *(Waiter(NORMAL, "a", str(number)) for number in range(5)))
    assert names(granted(made, 5)) == "0 1 2 3 4"


def test_the_most_urgent_goes_first() -> None:
    made = busy()
    line(made, Waiter(LOW, "a", "low"), Waiter(HIGH, "a", "high"), Waiter(NORMAL, "a", "normal"), Waiter(CRITICAL, "a", "critical"))
    assert names(granted(made, 4)) == "critical high normal low"


def test_a_tenant_with_five_hundred_does_not_hold_up_one_with_a_single_one() -> None:
    made = busy()
    line(made, *(Waiter(NORMAL, "many", "m") for _ in range(500)), Waiter(NORMAL, "one", "1"))
    assert names(granted(made, 3)) == "m 1 m"


def test_tenants_take_turns() -> None:
    made = busy()
    line(made, *(Waiter(NORMAL, tenant, tenant) for tenant in "aaaabbc"))
    assert names(granted(made, 7)) == "a b c a b a a"


def test_who_comes_back_does_not_go_before_those_who_wait() -> None:
    made = busy()
    line(made, *(Waiter(NORMAL, tenant, tenant) for tenant in "abc"))
    assert names(granted(made, 1)) == "a"
    line(made, Waiter(NORMAL, "a", "a again"))
    assert names(granted(made, 3)) == "b c a again"


# -- no starvation


def test_of_eight_slots_that_pass_over_a_lower_level_one_goes_to_it() -> None:
    made = busy()
    line(made, *(Waiter(LOW, "a", "l") for _ in range(3)), *(Waiter(CRITICAL, "b", "C") for _ in range(30)))
    assert names(granted(made, 20)).replace(" ", "") == "CCCCCCClCCCCCCClCCCC"
    assert SHARE == 8


def test_the_lower_levels_share_what_is_theirs() -> None:
    made = busy()
    for level, name in ((LOW, "l"), (NORMAL, "n"), (HIGH, "h"), (CRITICAL, "C")):
        line(made, *(Waiter(level, "a", name) for _ in range(50)))
    given = names(granted(made, 48)).split()
    assert Counter(given) == {"C": 42, "h": 2, "n": 2, "l": 2}
    assert [given[at] for at in range(7, 48, 8)] == given[7:24:8] * 2


def test_a_level_where_somebody_has_just_come_does_not_go_before_one_that_has_long_been_without() -> None:
    made = busy()
    line(made, *(Waiter(LOW, "a", "l") for _ in range(5)), *(Waiter(CRITICAL, "b", "C") for _ in range(50)))
    granted(made, 14)
    line(made, *(Waiter(NORMAL, "c", "n") for _ in range(5)))
    assert names(granted(made, 18)).replace(" ", "") == "ClCCCCCCCnCCCCCCCl"


def test_slots_that_pass_over_nobody_are_not_counted() -> None:
    made = busy()
    line(made, *(Waiter(CRITICAL, "a", "C") for _ in range(30)))
    granted(made, 20)
    line(made, Waiter(LOW, "b", "l"))
    assert names(granted(made, 8)).replace(" ", "") == "CCCCCCCl"


# -- no room


def test_a_full_queue_takes_nobody() -> None:
    made = busy(size=1)
    line(made, Waiter(NORMAL, "a"))
    late = Waiter(NORMAL, "b")
    assert made.join(late) == (late, Limit.SIZE)
    assert made.waiting == 1


def test_without_a_queue_nobody_waits_however_urgent() -> None:
    made = busy(size=0)
    late = Waiter(CRITICAL, "a")
    assert made.join(late) == (late, Limit.SIZE)


def test_the_newest_of_the_least_urgent_makes_room_for_someone_more_urgent() -> None:
    made = busy(size=4)
    old, new = Waiter(LOW, "a", "old"), Waiter(LOW, "b", "new")
    line(made, old, new, Waiter(NORMAL, "a", "normal"), Waiter(NORMAL, "a", "normal"))
    assert made.join(Waiter(HIGH, "c", "high")) == (new, Limit.SIZE)
    assert made.join(Waiter(NORMAL, "c", "late")) == (old, Limit.SIZE)
    late = Waiter(NORMAL, "d")
    assert made.join(late) == (late, Limit.SIZE)
    assert names(granted(made, 4)) == "high normal late normal"


def test_a_tenant_has_its_own_limit_and_the_others_do_not_feel_it() -> None:
    made = busy(tenant_size=2)
    line(made, Waiter(NORMAL, "a"), Waiter(NORMAL, "a"))
    late = Waiter(NORMAL, "a")
    assert made.join(late) == (late, Limit.TENANT_SIZE)
    line(made, Waiter(NORMAL, "b"))


def test_at_its_own_limit_a_tenant_makes_room_for_its_own_only() -> None:
    made = busy(tenant_size=2)
    mine = Waiter(NORMAL, "a", "mine")
    line(made, Waiter(LOW, "b"), mine, Waiter(HIGH, "a"))
    assert made.join(Waiter(HIGH, "a")) == (mine, Limit.TENANT_SIZE)
    late = Waiter(HIGH, "a")
    assert made.join(late) == (late, Limit.TENANT_SIZE)
    assert made.waiting == 3


def test_who_left_no_longer_counts() -> None:
    made = busy(size=2, tenant_size=1)
    first = Waiter(NORMAL, "a")
    line(made, first)
    assert made.leave(first)
    assert not made.leave(first)
    line(made, Waiter(NORMAL, "a"))
    assert (made.waiting, made.depth(NORMAL), made.ahead(LOW), made.ahead(HIGH)) == (1, 1, 1, 0)


# -- whatever happens


class Machine(RuleBasedStateMachine):
    """Callers come, run, finish and leave in any order; the other side of each promise is kept by hand."""

    @initialize(concurrency=st.integers(1, 3), size=st.integers(0, 8), tenant_size=st.integers(0, 4))
    def begin(self, concurrency: int, size: int, tenant_size: int) -> None:
        self.slots = slots(concurrency, size, tenant_size)
        self.concurrency, self.size, self.tenant_size = concurrency, size, tenant_size
        self.running = 0
        self.queue: list[Waiter] = []  # in order of arrival
        self.waited: Counter[int] = Counter()  # by id: how often a wait has ended
        self.kept: list[Waiter] = []
        self.passed_over: Counter[int] = Counter()  # by level: slots that went elsewhere since it last had one
        self.since_lower = SHARE  # slots that passed over a lower level since one went to it
        self.turns: dict[tuple[int, str], Counter[str]] = {}  # slots of other tenants since this one's last

    def ended(self, waiter: Waiter) -> None:
        self.queue.remove(waiter)
        self.waited[id(waiter)] += 1
        if not any(other.level == waiter.level for other in self.queue):
            del self.passed_over[waiter.level]
        if not any((other.level, other.tenant) == (waiter.level, waiter.tenant) for other in self.queue):
            self.turns.pop((waiter.level, waiter.tenant), None)

    def worse(self, waiter: Waiter, of_tenant: bool) -> list[Waiter]:
        return [other for other in self.queue if other.level < waiter.level and (not of_tenant or other.tenant == waiter.tenant)]

    @rule(level=st.integers(0, LEVELS - 1), tenant=st.sampled_from("abc"))
    def arrive(self, level: int, tenant: str) -> None:
        if self.slots.enter():
            assert self.running < self.concurrency
            assert not self.queue
            self.running += 1
            return
        waiter = Waiter(level, tenant)
        self.kept.append(waiter)  # so that ids stay unique
        refused = self.slots.join(waiter)
        mine = sum(other.tenant == tenant for other in self.queue)
        crowded = bool(self.tenant_size) and mine >= self.tenant_size
        if refused is None:
            assert len(self.queue) < self.size
            assert not crowded
        else:
            out, limit = refused
            assert (limit is Limit.TENANT_SIZE) == crowded
            assert crowded or len(self.queue) == self.size
            worse = self.worse(waiter, crowded)
            if out is waiter:
                assert worse == []
                self.waited[id(waiter)] += 1
                return
            lowest = min(other.level for other in worse)
            assert out is [other for other in worse if other.level == lowest][-1]
            self.ended(out)
        self.queue.append(waiter)
        self.turns.setdefault((level, tenant), Counter())

    @precondition(lambda self: self.running)
    @rule()
    def finish(self) -> None:
        waiter = self.slots.release()
        if waiter is None:
            assert not self.queue
            self.running -= 1
            return
        level, tenant = waiter.level, waiter.tenant
        assert waiter is next(other for other in self.queue if (other.level, other.tenant) == (level, tenant))
        levels = {other.level for other in self.queue}
        if level < max(levels):
            assert self.since_lower >= SHARE - 1
            self.since_lower = 0
        elif level > min(levels):
            self.since_lower += 1
        for other in levels - {level}:
            self.passed_over[other] += 1
            assert self.passed_over[other] < SHARE * (LEVELS - 1)
        self.passed_over[level] = 0
        for (of_level, of_tenant), turns in self.turns.items():
            if of_level == level and of_tenant != tenant:
                turns[tenant] += 1
                assert turns[tenant] == 1
        self.turns[(level, tenant)].clear()
        self.ended(waiter)

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """A caller leaves, or has waited too long."""
        waiter = data.draw(st.sampled_from(self.queue))
        assert self.slots.leave(waiter)
        assert not self.slots.leave(waiter)
        self.ended(waiter)

    @invariant()
    def all_is_counted(self) -> None:
        made = self.slots
        assert made.running == self.running <= self.concurrency
        assert made.waiting == len(self.queue) <= self.size
        assert not made.waiting or made.running == self.concurrency
        assert [made.depth(level) for level in range(LEVELS)] == [sum(w.level == level for w in self.queue) for level in range(LEVELS)]
        assert all(made.ahead(level) == sum(w.level >= level for w in self.queue) for level in range(LEVELS))
        assert all(count == 1 for count in self.waited.values())

    def teardown(self) -> None:
        if hasattr(self, "slots"):
            while self.running:
                self.finish()
            self.all_is_counted()
            assert len(self.waited) == len(self.kept)
            assert self.slots._of_tenant == {}


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestWhateverHappens = Machine.TestCase
