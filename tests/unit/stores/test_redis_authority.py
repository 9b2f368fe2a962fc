"""Counters in a real Valkey: the same answers as the reference in memory, exact near the limits, one granting for many processes."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from edgegate.access.counters import Counter, Kind, Scope, Unit
from edgegate.access.tallies import Tallies
from edgegate.stores.authority import LEASE_S, PRESENT_S, Grant, Refused, Return, Unknown, Want
from edgegate.stores.redis import RedisLink
from edgegate.stores.redis_authority import AT_ONCE, MOST, RedisAuthority
from tests.servers.valkey import ValkeyServer
from tests.unit.core.parts import Clock

START = 1_790_000_000.0
ENDS = 4_000_000_000.0
SCOPE = Scope(equal=(("tenant", "acmé"),), models=("gpt-*",))


def window(name: str = "w", limit: int = 10, window_s: float = 60.0, **more: Any) -> Counter:
    return Counter(name, Kind.WINDOW, Unit.REQUESTS, limit, window_s=window_s, **more)


def bucket(name: str = "b", limit: int = 60, window_s: float = 60.0, **more: Any) -> Counter:
    return Counter(name, Kind.BUCKET, Unit.TOKENS, limit, window_s=window_s, **more)


def places(name: str = "p", limit: int = 5, **more: Any) -> Counter:
    return Counter(name, Kind.HELD, Unit.CONCURRENCY, limit, **more)


def budget(name: str = "s", limit: int = 100, *, ends: float = ENDS, **more: Any) -> Counter:
    return Counter(name, Kind.HELD, Unit.NANO_USD, limit, since=START, ends=ends, spends=True, scope=SCOPE, **more)


@pytest.fixture
async def link(valkey: ValkeyServer) -> AsyncIterator[RedisLink]:
    found = RedisLink(valkey.url, deadline_s=2.0)
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


async def authority(link: RedisLink, namespace: str, clock: Clock | None = None, holder: str = "one") -> RedisAuthority:
    found = RedisAuthority(link, namespace, clock=clock)
    await found.open(holder)
    return found


# -- the same as the reference

LARGE = budget("s-large", MOST)
COUNTERS = [
    window("w60", 10),
    window("w3600", 1000, 3600.0),
    window("w-soft", 3, 60.0, hard=False),
    bucket("b60", 60),
    bucket("b-burst", 100, 3600.0, burst=7),
    bucket("b-soft", 5, 60.0, hard=False),
    places("p5"),
    places("p-soft", 1, hard=False),
    budget("s100"),
    LARGE,
    budget("s-soft", 10, hard=False),
]
SPENDING = [counter for counter in COUNTERS if counter.spends]
PLACES = [counter for counter in COUNTERS if counter.unit is Unit.CONCURRENCY]
HOLDERS = ["one", "two", "three"]

counters = st.sampled_from(COUNTERS)
holders = st.sampled_from(HOLDERS)
amounts = st.integers(0, 12) | st.integers(0, 10**14)
pauses = st.sampled_from([0.0, 0.001, 0.3, 0.9, 1.0, 1.1, 7.0, 14.9, 15.0, 15.1, 61.0, 700.0]) | st.floats(0.0, 70.0)
wants = st.lists(
    st.builds(Want, counters, st.integers(0, 12), st.integers(0, 30))
    | st.builds(Want, st.just(LARGE), st.integers(0, MOST), st.integers(0, MOST)),
    max_size=4,
)


class Same(RuleBasedStateMachine):
    """Everything is done to both, by three holders, and both answer the same."""

    url = ""
    namespace = ""
    runs = 0

    @initialize()
    def begin_anew(self) -> None:
        type(self).runs += 1
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.link = RedisLink(self.url, deadline_s=2.0)
        self.runner.run(self.link.open())
        self.clock = Clock(START)
        self.reference = Tallies()
        self.granted: list[tuple[str, Return]] = []
        self.spent: dict[tuple[str, str], int] = {}
        self.authorities = {holder: RedisAuthority(self.link, f"{self.namespace}-{self.runs}", clock=self.clock) for holder in HOLDERS}
        for holder, made in self.authorities.items():
            self.runner.run(made.open(holder))

    @rule(holder=holders, wants=wants)
    def take(self, holder: str, wants: list[Want]) -> None:
        answer = self.runner.run(self.authorities[holder].take(wants))
        assert answer == self.reference.take(holder, wants, self.clock.now)
        if isinstance(answer, list):
            for want, grant in zip(wants, answer, strict=True):
                self.granted.append((holder, Return(want.counter, grant.slot, grant.units)))

    @precondition(lambda self: self.granted)
    @rule(data=st.data(), more=st.integers(-3, 3))
    def give_back(self, data: st.DataObject, more: int) -> None:
        index = data.draw(st.integers(0, len(self.granted) - 1))
        holder, back = self.granted.pop(index)
        self._tell(holder, [back._replace(units=max(0, back.units + more))], [])

    @rule(holder=holders, returns=st.lists(st.builds(Return, counters, st.integers(0, 9), st.integers(-5, 9)), max_size=3))
    def give_back_what_was_never_granted(self, holder: str, returns: list[Return]) -> None:
        self._tell(holder, returns, [])

    @rule(holder=holders, counter=st.sampled_from(SPENDING), more=amounts)
    def spend(self, holder: str, counter: Counter, more: int) -> None:
        self.spent[holder, counter.name] = min(self.spent.get((holder, counter.name), 0) + more, 10**14)
        self._tell(holder, [], [(counter, self.spent[holder, counter.name])])

    @rule(holder=holders, pairs=st.lists(st.tuples(st.sampled_from(SPENDING), st.integers(0, 50)), max_size=3))
    def say_what_was_spent(self, holder: str, pairs: list[tuple[Counter, int]]) -> None:
        self._tell(holder, [], pairs)

    @rule(holder=holders, pairs=st.lists(st.tuples(st.sampled_from([*SPENDING, *PLACES]), st.integers(0, 9)), min_size=1, max_size=3))
    def be_in_doubt(self, holder: str, pairs: list[tuple[Counter, int]]) -> None:
        self._tell(holder, [], [], pairs)

    @rule(counter=st.sampled_from(SPENDING), spent=st.dictionaries(holders, st.integers(0, 60)))
    def begin(self, counter: Counter, spent: dict[str, int]) -> None:
        self.runner.run(self.authorities["one"].begin(counter, spent))
        self.reference.begin(counter, spent)

    @rule(by=pauses)
    def wait(self, by: float) -> None:
        self.clock.now += by

    @rule(holder=holders)
    def leave(self, holder: str) -> None:
        self.runner.run(self.authorities[holder].close())
        self.reference.leave(holder)

    @rule(holder=holders)
    def find_what_somebody_left(self, holder: str) -> None:
        found = self.runner.run(self.authorities["two"].estate(holder))
        assert {counter.name: counter for counter in found} == {counter.name: counter for counter in self.reference.estate(holder)}

    @rule(holder=holders, spent=st.dictionaries(st.sampled_from([counter.name for counter in SPENDING]), st.integers(0, 60)))
    def bury(self, holder: str, spent: dict[str, int]) -> None:
        self.runner.run(self.authorities["three"].bury(holder, spent))
        self.reference.bury(holder, spent)

    @rule(name=st.sampled_from(["80%", "95%"]), lasts=st.sampled_from([1.0, 60.0, 86_400.0]))
    def alert(self, name: str, lasts: float) -> None:
        ends = self.clock.now + lasts
        assert self.runner.run(self.authorities["one"].first(name, ends)) == self.reference.first(name, ends, self.clock.now)

    def _tell(self, holder: str, returns: list[Return], spent: list[tuple[Counter, int]], held: Sequence[tuple[Counter, int]] = ()) -> None:
        answer = self.runner.run(self.authorities[holder].tell(returns, spent, held))
        assert answer == self.reference.tell(holder, returns, spent, self.clock.now, held)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.link.close())
            self.runner.close()


def test_it_answers_as_the_reference_does(valkey_server: ValkeyServer, namespace: str) -> None:
    valkey_server.boot()
    machine = type("Machine", (Same,), {"url": valkey_server.url, "namespace": namespace})
    quiet = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=quiet)


# -- by hand


async def test_the_servers_own_clock_is_used(link: RedisLink, namespace: str) -> None:
    counter = window(limit=1)
    one = await authority(link, namespace)
    before = time.time()
    granted = await one.take([Want(counter, 1)])
    assert isinstance(granted, list)
    assert int(before) <= granted[0].slot <= int(time.time()) + 1
    refused = await one.take([Want(counter, 1)])
    assert isinstance(refused, Refused)
    assert 59 < refused.wait_s <= 62


async def test_all_or_nothing_over_all_counters(link: RedisLink, namespace: str) -> None:
    one = await authority(link, namespace)
    await one.begin(budget(), {"gone": 99})
    refused = await one.take([Want(window(), 5), Want(places(), 5), Want(bucket(), 60), Want(budget(), 2)])
    assert refused == Refused(budget(), math.inf, 99)
    granted = await one.take([Want(window(), 10), Want(places(), 5), Want(bucket(), 60), Want(budget(), 1)])
    assert isinstance(granted, list)
    assert [grant.units for grant in granted] == [10, 5, 60, 1]


@pytest.mark.parametrize("make", [window, bucket, places, budget])
async def test_a_counter_wanted_twice_in_one_call_must_have_room_for_both(link: RedisLink, namespace: str, clock: Clock, make: Any) -> None:
    counter = make(limit=10)
    one = await authority(link, namespace, clock)
    if counter.spends:
        await one.begin(counter, {})
    assert isinstance(await one.take([Want(counter, 6), Want(counter, 5)]), Refused)
    assert isinstance(await one.take([Want(counter, 6), Want(counter, 4)]), list)


@pytest.mark.parametrize("make", [window, bucket, places, budget])
async def test_giving_back_more_than_was_granted_makes_no_more_room(link: RedisLink, namespace: str, clock: Clock, make: Any) -> None:
    counter = make(limit=10)
    one = await authority(link, namespace, clock)
    if counter.spends:
        await one.begin(counter, {})
    granted = await one.take([Want(counter, 4)])
    assert isinstance(granted, list)
    await one.tell([Return(counter, granted[0].slot, 9)], [])
    assert isinstance(await one.take([Want(counter, 11)]), Refused)
    assert isinstance(await one.take([Want(counter, 10)]), list)
    assert isinstance(await one.take([Want(counter, 1)]), Refused)


async def test_money_is_exact_up_to_the_largest_limit(link: RedisLink, namespace: str, clock: Clock) -> None:
    one = await authority(link, namespace, clock)
    two = await authority(link, namespace, clock, "two")
    most = budget(limit=MOST)
    await one.begin(most, {"gone": 10**15 + 1})
    assert await one.take([Want(most, MOST - 10**15 - 2)]) == [Grant(MOST - 10**15 - 2, 0)]
    assert await two.take([Want(most, 2)]) == Refused(most, LEASE_S, 10**15 + 1)
    assert await two.take([Want(most, 1)]) == [Grant(1, 0)]
    assert await one.tell([], [(most, MOST - 10**15 - 2)]) == {"s": MOST - 1}
    assert await two.tell([], [(most, 1)]) == {"s": MOST}
    assert await one.take([Want(most, 1)]) == Refused(most, math.inf, MOST)
    assert await two.tell([], [(most, 2)]) == {"s": MOST + 1}


@pytest.mark.parametrize("units", [10**15 - 1, 10**15, 10**15 + 1, 123_456_789_012_345, MOST])
@pytest.mark.parametrize("make", [window, bucket, places, budget])
async def test_no_large_number_is_rounded(link: RedisLink, namespace: str, clock: Clock, units: int, make: Any) -> None:
    counter = make(limit=units)
    one = await authority(link, namespace, clock)
    if counter.spends:
        await one.begin(counter, {})
    assert isinstance(granted := await one.take([Want(counter, units - 1)]), list)
    assert granted[0].units == units - 1
    assert isinstance(await one.take([Want(counter, 2)]), Refused)
    assert isinstance(await one.take([Want(counter, 1)]), list)
    assert isinstance(await one.take([Want(counter, 1)]), Refused)


@pytest.mark.parametrize("counter", [window(limit=MOST + 1), bucket(burst=MOST + 1), budget(limit=MOST + 1)])
async def test_a_limit_too_large_to_count_is_named(link: RedisLink, namespace: str, counter: Counter) -> None:
    one = await authority(link, namespace)
    with pytest.raises(ValueError, match=f"{counter.name}: a limit of {MOST + 1} is more than can be counted in Redis"):
        await one.take([Want(counter, 1)])


async def test_an_empty_server_is_told_again_and_the_sums_are_right(
    valkey: ValkeyServer, link: RedisLink, namespace: str, clock: Clock
) -> None:
    one = await authority(link, namespace, clock)
    two = await authority(link, namespace, clock, "two")
    await one.begin(budget(), {"gone": 10})
    await one.take([Want(budget(), 30)])
    await two.take([Want(budget(), 30)])
    await one.tell([], [(budget(), 20)])
    await two.tell([], [(budget(), 5)])
    valkey.flush()
    assert await one.tell([], [(budget(), 21)]) == {}
    assert await one.take([Want(budget(), 1)]) == Unknown((budget(),))
    await one.begin(budget(), {"gone": 10, "one": 18, "two": 5})  # the ledger lags behind
    await two.begin(budget(), {})  # too late
    assert await one.tell([], [(budget(), 21)]) == {"s": 36}
    assert await two.tell([], [(budget(), 7)]) == {"s": 38}


async def test_the_estate_of_a_holder_is_found_among_many(link: RedisLink, namespace: str, clock: Clock) -> None:
    one = await authority(link, namespace, clock)
    dead = await authority(link, namespace, clock, "dead")
    many = [budget(f"s{number}", subject=f"tenant {number}") for number in range(AT_ONCE + 5)]
    for counter in many:
        await one.begin(counter, {"dead": 3} if counter is many[0] else {})
    await dead.take([Want(many[-1], 10)])
    assert sorted(await one.estate("dead"), key=lambda counter: counter.name) == sorted([many[0], many[-1]], key=lambda c: c.name)
    await one.bury("dead", {"s0": 4})
    assert await one.estate("dead") == []
    assert await one.tell([], [(many[0], 0), (many[-1], 0)]) == {"s0": 4, many[-1].name: 0}
    assert isinstance(await one.take([Want(many[-1], 100)]), list)


async def test_a_period_with_very_many_holders_is_begun_within_the_deadline(valkey: ValkeyServer, namespace: str, clock: Clock) -> None:
    link = RedisLink(valkey.url)  # with the deadline of production
    await link.open()
    one = await authority(link, namespace, clock)
    many = {f"holder{number}": number for number in range(20 * AT_ONCE)}
    most = budget(limit=MOST)
    await one.begin(most, many)
    await one.begin(most, {**many, "late": 1})
    assert await one.tell([], [(most, 7)]) == {"s": sum(many.values()) + 7}
    assert await (await authority(link, namespace, clock, "holder5")).tell([], [(most, 6)]) == {"s": sum(many.values()) + 8}
    assert sorted(valkey.keys(namespace)) == [f"{{{namespace}}}:{name}" for name in ("begun", "present", "spends:s")]
    await link.close()


async def test_all_keys_share_a_tag_and_expire(valkey: ValkeyServer, link: RedisLink, namespace: str) -> None:
    one = await authority(link, namespace)
    ends = time.time() + 3600
    await one.begin(budget(ends=ends), {"gone": 1})
    await one.take([Want(counter, 1) for counter in (window(), bucket(), places(), budget(ends=ends))])
    await one.tell([], [(budget(ends=ends), 1)])
    assert await one.first("80% of acme", ends)
    assert not await one.first("80% of acme", ends)
    lasts = {key.removeprefix(f"{{{namespace}}}:"): int(valkey.ask("PTTL", key)[1:]) / 1000 for key in valkey.keys(namespace)}
    assert lasts == {
        "present": pytest.approx(2 * 86_400, abs=5),
        "begun": pytest.approx(3600 + 86_400, abs=5),
        "window:w": pytest.approx(121, abs=5),
        "bucket:b": pytest.approx(2, abs=1),
        "places:p": pytest.approx(86_400, abs=5),
        "spends:s": pytest.approx(3600 + 86_400, abs=5),
        "first:80% of acme": pytest.approx(3600, abs=5),
    }


async def test_what_was_ended_is_forgotten_by_the_server(valkey: ValkeyServer, link: RedisLink, namespace: str) -> None:
    one = await authority(link, namespace)
    assert await one.first("soon over", time.time() + 0.05)
    await asyncio.sleep(0.1)
    assert valkey.keys(namespace) == [f"{{{namespace}}}:present"] or valkey.keys(namespace) == []
    assert await one.first("soon over", time.time() + 5)


async def test_places_of_a_holder_that_says_nothing_are_free_and_come_back_with_it(link: RedisLink, namespace: str, clock: Clock) -> None:
    one = await authority(link, namespace, clock)
    two = await authority(link, namespace, clock, "two")
    await one.take([Want(places(), 3)])
    clock.now += PRESENT_S - 0.1
    assert isinstance(await two.take([Want(places(), 3)]), Refused)
    clock.now += 0.2
    assert isinstance(await two.take([Want(places(), 3)]), list)
    await one.tell([], [])
    assert await two.take([Want(places(), 1)]) == Refused(places(), LEASE_S, 6)
    await one.close()
    assert isinstance(await two.take([Want(places(), 2)]), list)


async def test_odd_names_are_counted_too(link: RedisLink, namespace: str, clock: Clock) -> None:
    one = await authority(link, namespace, clock)
    for name in ("tenant \ud800", "a b\r\nc", "{other}", "ä" * 2000, ""):
        counter = budget(name, subject=name)
        assert await one.take([Want(counter, 1)]) == Unknown((counter,))
        await one.begin(counter, {"one": 2})
        assert await one.tell([], [(counter, 3)]) == {name: 3}
    assert len(await one.estate("one")) == 5


# -- processes

_TAKER = """
import asyncio, sys
import uvloop
from edgegate.access.counters import Counter, Kind, Unit
from edgegate.stores.authority import Want
from edgegate.stores.redis import RedisLink
from edgegate.stores.redis_authority import RedisAuthority

async def main() -> None:
    link = RedisLink(sys.argv[1], deadline_s=5.0)
    await link.open()
    one = RedisAuthority(link, sys.argv[2])
    await one.open(sys.argv[3])
    counter = Counter("w", Kind.WINDOW, Unit.REQUESTS, 1000, window_s=3600.0)
    budget = Counter("s", Kind.HELD, Unit.NANO_USD, 10**15, ends=4e9, spends=True)
    await one.begin(budget, {})
    granted = 0
    print("ready", flush=True)
    sys.stdin.readline()

    async def hammer() -> None:
        nonlocal granted
        while isinstance(found := await one.take([Want(counter, 1, 3), Want(budget, 10**12)]), list):
            granted += found[0].units

    await asyncio.gather(*(hammer() for _ in range(4)))
    print(granted, flush=True)
    await link.close()

uvloop.run(main())
"""


async def test_four_processes_are_granted_exactly_the_limit(valkey: ValkeyServer, link: RedisLink, namespace: str) -> None:
    takers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _TAKER,
            valkey.url,
            namespace,
            f"holder{number}",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        for number in range(4)
    ]
    try:
        async with asyncio.timeout(20):
            for taker in takers:
                assert taker.stdout is not None
                assert await taker.stdout.readline() == b"ready\n"
            told = [out for out, _ in await asyncio.gather(*(taker.communicate(b"go\n") for taker in takers))]
    finally:
        for taker in takers:
            if taker.returncode is None:
                taker.kill()
                await taker.wait()
    granted = [int(line) for line in told]
    one = await authority(link, namespace)
    counter = window(limit=1000, window_s=3600.0)
    left = 1000 - sum(granted)
    assert left >= 0
    assert await one.take([Want(counter, left)]) != []
    refused = await one.take([Want(counter, 1)])
    assert isinstance(refused, Refused)
    assert refused.used == 1000
    assert left == 0
    assert len([units for units in granted if units]) > 1, "they ran one after the other"
