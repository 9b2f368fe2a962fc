"""Two hundred callers at the edge of a budget or a limit: by the provider's own bill it is never passed by one unit, and what one
caller did not need is there for the next.

The same with one worker, with four that share a file, and with two replicas that share a Valkey.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from edgegate.tokens.count import load
from tests.money.bill import PRICES, Provider
from tests.money.book import Entry, in_file, of_key
from tests.money.fleet import Fleet, configuration, eventually
from tests.money.load import Answer, Caller, Crowd, ok, refused

CALLERS = 200
USD = 0.5
NANO_USD = 500_000_000
TOKENS = 50_000
REQUESTS = 100
LANES = 7
MAX_TOKENS = 1000

BODY_BYTES = 300
"""No request of these tests is longer, unless it says so: a prompt never has more tokens than bytes."""

RESERVED_TOKENS = MAX_TOKENS + BODY_BYTES
RESERVED_NANO = int(MAX_TOKENS * PRICES["plain"].output * 1000 + BODY_BYTES * PRICES["plain"].input * 1000)
"""The most that one call can set aside."""

LEASES = 1
"""What may be left of a budget that is used up, beside one reservation: a lease, which near the edge is no larger than one."""

MINUTE_S = 59.9
"""Of the gateway's clock, as the provider sees it: what a request takes on its way may differ."""

FILL_S = 8.0
"""Within what time the rest of a budget can be used, whoever held it before."""

NAMES = (
    "money-fill",
    "money-failing",
    "money-unused",
    "money-dense",
    "money-reserved",
    "words-fill",
    "words-unused",
    "flow",
    "flow-unused",
    "calls",
    "steady",
    "lanes",
)


@dataclass
class House:
    """The gateways of one shape."""

    name: str
    fleet: Fleet
    provider: Provider

    @property
    def alone(self) -> bool:
        """Nobody else holds leases."""
        return self.name == "one worker"

    def crowd(self) -> Crowd:
        return Crowd(*self.fleet.urls)


@pytest.fixture(scope="module", params=["one worker", "four workers", "two replicas"])
def house(request: pytest.FixtureRequest, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    name = request.param
    keys = [Caller(each, each).entry() for each in NAMES] + [Caller("own").entry(usd_per_month=USD)]
    store = {}
    if name == "two replicas":
        store = {"redis": request.getfixturevalue("valkey_server").url, "namespace": f"edges{random.randrange(1 << 40):x}"}
    config = configuration(
        {"maker": provider.entry()},
        keys,
        store=store,
        budgets=[
            {"name": "money", "per": ["tenant"], "tenants": ["money*"], "usd": USD, "period": "month"},
            {"name": "words", "per": ["tenant"], "tenants": ["words*"], "tokens": TOKENS, "period": "day"},
        ],
        limits=[
            {"name": "calls", "per": ["key"], "keys": ["calls", "steady"], "requests": f"{REQUESTS}/min"},
            {"name": "flow", "per": ["key"], "keys": ["flow*"], "tokens": f"{TOKENS}/min"},
            {"name": "lanes", "per": ["key"], "keys": ["lanes"], "concurrency": LANES},
        ],
    )
    provider.bill.forget()
    with Fleet(tmp_path_factory.mktemp("edges")) as fleet:
        fleet.start(config, workers=4 if name == "four workers" else 1, replicas=2 if name == "two replicas" else 1)
        yield House(name, fleet, provider)


def check_refusals(house: House, answers: Sequence[Answer], code: str) -> None:
    """Everybody who was not served was told so, in time and in right words, and cost nothing."""
    known = house.provider.bill.markers()
    for answer in refused(answers):
        assert answer.status == 429, (answer.status, answer.body[:300])
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["x-edgegate-error-source"] == "gateway"
        assert answer.error["message"]
        if not answer.anthropic:
            assert answer.code == code
        assert answer.marker not in known, "it was refused, and sent all the same"


async def use_up(crowd: Crowd, caller: Caller, left: Callable[[], int], slack: int, words: str = "") -> list[Answer]:
    """Calls on until no more than `slack` is left. Fails if that takes too long."""
    answers: list[Answer] = []
    until = time.monotonic() + FILL_S
    while left() > slack:
        assert time.monotonic() < until, f"{left()} is left, of which nobody can use more than {slack}"
        answers += await crowd.wave(8, caller, words, max_tokens=MAX_TOKENS)
        await asyncio.sleep(0.05)
    return answers


# -- budgets


@pytest.mark.parametrize("name", ["money-fill", "own"], ids=["rule", "own budget of a key"])
async def test_a_budget_in_dollars_is_never_passed_and_can_be_used_up(name: str, house: House) -> None:
    caller, bill = Caller(name), house.provider.bill

    def left() -> int:
        return NANO_USD - bill.nano_usd(name)

    async with house.crowd() as crowd:
        answers = await crowd.wave(CALLERS, caller, "wait=0.15", max_tokens=MAX_TOKENS)
        assert left() >= 0, f"spent {bill.nano_usd(name)} of {NANO_USD}"
        assert ok(answers)
        assert len(ok(answers)) == len(bill.of(name)) < CALLERS
        if house.alone:
            assert len(ok(answers)) >= NANO_USD // RESERVED_NANO, "somebody was refused although there was enough"
        answers += await use_up(crowd, caller, left, (1 + LEASES) * RESERVED_NANO)
        answers += await crowd.wave(20, caller, max_tokens=MAX_TOKENS)
    assert left() >= 0, f"spent {bill.nano_usd(name)} of {NANO_USD}"
    assert all(answer.whole for answer in ok(answers))
    check_refusals(house, answers, "budget_exceeded")


async def test_a_budget_in_tokens_is_never_passed_and_can_be_used_up(house: House) -> None:
    name = "words-fill"
    caller, bill = Caller(name), house.provider.bill

    def left() -> int:
        return TOKENS - bill.tokens(name)

    async with house.crowd() as crowd:
        answers = await crowd.wave(CALLERS, caller, "wait=0.15", max_tokens=MAX_TOKENS)
        assert left() >= 0
        assert len(ok(answers)) == len(bill.of(name)) > 0
        if house.alone:
            assert len(ok(answers)) >= TOKENS // RESERVED_TOKENS, "somebody was refused although there was enough"
        answers += await use_up(crowd, caller, left, (1 + LEASES) * RESERVED_TOKENS)
        answers += await crowd.wave(20, caller, max_tokens=MAX_TOKENS)
    assert left() >= 0
    check_refusals(house, answers, "budget_exceeded")


async def test_what_was_set_aside_for_calls_that_fail_comes_back(house: House) -> None:
    name = "money-failing"
    caller, bill = Caller(name), house.provider.bill
    async with house.crowd() as crowd:
        for _ in range(2):
            answers = await crowd.wave(CALLERS, caller, "status=500 wait=0.05", max_tokens=MAX_TOKENS)
            check_refusals(house, [answer for answer in answers if answer.status != 500], "budget_exceeded")
            assert sum(answer.status == 500 for answer in answers) >= 20
        await use_up(crowd, caller, lambda: NANO_USD - bill.nano_usd(name), (1 + LEASES) * RESERVED_NANO)
    assert bill.nano_usd(name) <= NANO_USD
    assert len(bill.answered(name)) >= NANO_USD // RESERVED_NANO - 1 - LEASES


@pytest.mark.parametrize("name", ["money-unused", "words-unused", "flow-unused"])
async def test_what_an_answer_did_not_need_comes_back(name: str, house: House) -> None:
    """While they run, no more calls run at once than could all be as long as they may."""
    caller, bill = Caller(name), house.provider.bill
    at_most = NANO_USD // (MAX_TOKENS * 10_000) if name.startswith("money") else TOKENS // MAX_TOKENS
    async with house.crowd() as crowd:
        answers = await crowd.wave(CALLERS, caller, "answer=10 wait=0.3", max_tokens=MAX_TOKENS)
        assert 0 < bill.peak[name] <= at_most
        check_refusals(house, answers, "rate_limit_exceeded" if name.startswith("flow") else "budget_exceeded")
        served = 0
        until = time.monotonic() + FILL_S
        while served < 60:
            assert time.monotonic() < until, f"only {served} more calls were served"
            served += len(ok(await crowd.wave(10, caller, "answer=10", max_tokens=MAX_TOKENS)))
    assert bill.peak[name] <= at_most


async def test_a_prompt_that_is_dense_in_tokens_is_not_taken_for_a_short_one(house: House) -> None:
    """Signs of which each is several tokens, charged as o200k_base counts them."""
    name = "money-dense"
    caller, bill = Caller(name), house.provider.bill
    pick = random.Random(1)
    signs = "".join(chr(pick.randrange(0x12000, 0x12380)) for _ in range(600))
    tokens = len(load().encode_ordinary(signs))
    assert tokens > 1000
    async with house.crowd() as crowd:
        answers = await crowd.wave(CALLERS, caller, f"wait=0.1 answer=1 input={tokens} {signs}", model="dear", max_tokens=5)
    assert 0 < bill.nano_usd(name) <= NANO_USD
    check_refusals(house, answers, "budget_exceeded")


async def test_a_reservation_is_the_prompt_and_the_longest_answer(house: House) -> None:
    """As the ledger tells it, and whatever the answer was then."""
    name = "money-reserved"
    async with house.crowd() as crowd:
        answers = await crowd.wave(8, Caller(name), "answer=3", max_tokens=MAX_TOKENS)
    billed = {line.marker: line for line in house.provider.bill.of(name)}
    assert len(ok(answers)) == len(billed) == 8

    def rows() -> list[Entry]:
        return [row for replica in house.fleet.replicas for row in of_key(in_file(replica.file_of_store), name)]

    await eventually(lambda: len(rows()) == 8, "the rows", 2)
    for row in rows():
        line = billed[row.marker]
        assert row.cost == line.nano_usd
        assert row.reserved is not None
        assert line.input_tokens * 1000 + MAX_TOKENS * 10_000 <= row.reserved <= RESERVED_NANO


# -- limits


async def test_a_limit_of_requests_holds_and_says_when_to_come_back(house: House) -> None:
    name = "calls"
    caller, bill = Caller(name), house.provider.bill
    async with house.crowd() as crowd:
        half = CALLERS // 2
        openai, anthropic = await asyncio.gather(
            crowd.wave(half, caller, "answer=5 wait=0.1"), crowd.wave(half, caller, "answer=5 wait=0.1", anthropic=True)
        )
        assert len(ok(openai + anthropic)) == len(bill.of(name)) <= REQUESTS
        if house.alone:
            assert len(bill.of(name)) == REQUESTS
        openai += await use_up(crowd, caller, lambda: REQUESTS - len(bill.of(name)), 1 + LEASES, "answer=5")
        openai += await crowd.wave(20, caller, "answer=5")
        anthropic += await crowd.wave(20, caller, "answer=5", anthropic=True)
    assert len(bill.of(name)) <= REQUESTS
    check_refusals(house, openai + anthropic, "rate_limit_exceeded")
    assert refused(openai)
    assert refused(anthropic)
    for answer in refused(openai):
        assert int(answer.headers["x-ratelimit-limit-requests"]) == REQUESTS
        assert int(answer.headers["x-ratelimit-remaining-requests"]) <= LEASES
        assert answer.headers["x-ratelimit-reset-requests"]
        assert not [header for header in answer.headers if header.startswith("anthropic-")]
    for answer in refused(anthropic):
        assert answer.error["type"] == "rate_limit_error"
        assert int(answer.headers["anthropic-ratelimit-requests-limit"]) == REQUESTS
        assert int(answer.headers["anthropic-ratelimit-requests-remaining"]) <= LEASES
        assert answer.headers["anthropic-ratelimit-requests-reset"]
        assert not [header for header in answer.headers if header.startswith("x-ratelimit-")]


@pytest.mark.skipif(not os.environ.get("EDGEGATE_WINDOWS"), reason="takes two minutes: python -m tests.money")
async def test_no_stretch_of_a_minute_has_more_requests_than_the_limit(house: House) -> None:
    """Also where one minute of the clock goes over into the next, and where capacity comes back piece by piece."""
    name = "steady"
    caller, bill = Caller(name), house.provider.bill
    async with house.crowd() as crowd:
        until = time.monotonic() + 130
        while time.monotonic() < until:
            await crowd.wave(8, caller, "answer=1")
            await asyncio.sleep(0.1)
    times = [line.came for line in bill.of(name)]
    assert len(times) >= 2 * (REQUESTS - 1 - LEASES), "what came back was not used"
    for first, beyond in zip(times, times[REQUESTS:], strict=False):
        assert beyond - first >= MINUTE_S, f"{REQUESTS + 1} requests in {beyond - first:.3f} s"


async def test_a_limit_of_tokens_holds(house: House) -> None:
    name = "flow"
    caller, bill = Caller(name), house.provider.bill

    def left() -> int:
        return TOKENS - bill.tokens(name)

    async with house.crowd() as crowd:
        answers = await crowd.wave(CALLERS, caller, "wait=0.15", max_tokens=MAX_TOKENS)
        assert left() >= 0
        answers += await use_up(crowd, caller, left, (1 + LEASES) * RESERVED_TOKENS)
        answers += await crowd.wave(20, caller, max_tokens=MAX_TOKENS)
        anthropic = await crowd.wave(5, caller, max_tokens=MAX_TOKENS, anthropic=True)
    assert left() >= 0
    check_refusals(house, answers + anthropic, "rate_limit_exceeded")
    for answer in refused(answers):
        assert int(answer.headers["x-ratelimit-limit-tokens"]) == TOKENS
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < TOKENS
    for answer in refused(anthropic):
        assert int(answer.headers["anthropic-ratelimit-tokens-limit"]) == TOKENS


async def test_a_limit_of_concurrency_holds_by_the_providers_count(house: House) -> None:
    name = "lanes"
    caller, bill = Caller(name), house.provider.bill
    async with house.crowd() as crowd:
        answers = await crowd.wave(CALLERS, caller, "answer=5 wait=1")
        assert len(ok(answers)) == len(bill.of(name)) >= 1
        if house.alone:
            assert len(ok(answers)) == LANES
        until = time.monotonic() + 1.5

        async def one_after_the_other() -> None:
            while time.monotonic() < until:
                answers.append(await crowd.call(caller, "answer=5 wait=0.05"))
                await asyncio.sleep(0.02)

        await asyncio.gather(*(one_after_the_other() for _ in range(2 * LANES)))
    assert len(ok(answers)) > 5 * LANES, "the lanes were not given back"
    assert bill.peak[name] <= LANES
    assert bill.peak[name] >= (LANES if house.alone else LANES - LEASES)
    check_refusals(house, answers, "rate_limit_exceeded")
