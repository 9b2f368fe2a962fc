"""Failover where its parts meet: hedges, holds, breakers, queues and the caller's own time limits."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from edgegate.config.model import PriceOptions
from edgegate.config.stages import BreakerOptions, FailoverOptions
from edgegate.dialects.base import Progress, Usage
from edgegate.errors import provider_error
from edgegate.exchange import Attempt, Exchange, Reply
from edgegate.ledger.prices import Prices
from edgegate.observe.metrics import Metrics
from edgegate.resilience.board import ASKING_S, HOLD_S, MAX_TARGETS, Board
from edgegate.resilience.breaker import BreakerState
from edgegate.resilience.limits import Quota
from edgegate.routing.catalog import Provider as Place
from edgegate.routing.catalog import Target
from edgegate.stages.meter import Meter
from edgegate.taps import Outcome
from tests.unit.core.parts import (
    CHAT,
    STREAM,
    Busy,
    Clock,
    Deaf,
    Live,
    Provider,
    after,
    chunk,
    completion,
    exchange,
    live,
    never,
    providers,
    reply,
    sse,
    until,
)
from tests.unit.core.test_failover import Script, Stage, plan, target

ERROR = b'{"error":{"message":"down","type":"server_error","code":null}}'
FILTERED = b'{"error":{"message":"no","type":"invalid_request_error","code":"content_filter"}}'
PRICES = {"models": {"gpt-4o": {"input": 2, "output": 8}, "gpt-spare": {"input": 2, "output": 8}}}


def config(*places: Provider, failover: dict[str, Any] | None = None, before: tuple[Any, ...] = (), **more: Any) -> dict[str, Any]:
    """The second place, if there is one, is the fallback."""
    chain = ["auth", *before, "route", {"failover": failover or {}}, "translate", "forward", "meter"]
    models = {"fallbacks": {"gpt-4o": ["two/gpt-spare"]}} if len(places) > 1 else {}
    return {"chain": chain, "models": models, "providers": providers(*[place.url for place in places]), "prices": PRICES} | more


def state(gateway: Live, label: str) -> Any:
    return gateway.gateway._board.snapshot(time.monotonic())[label]


# -- tickets


async def test_a_fault_of_ours_gives_its_place_back() -> None:
    clock = Clock()
    stage = Stage(clock, breaker=BreakerOptions(failures=1))

    async def broken(ex: Exchange) -> Reply:
        raise KeyError("a fault")

    only = target("a", max_in_flight=1)
    for _ in range(3):
        with pytest.raises(KeyError):
            await stage.run(broken, plan(only))  # type: ignore[arg-type]
    known = stage.board.of(only)
    assert (known.in_flight, known.lanes[0].in_flight, known.breaker._out) == (0, 0, set())
    assert await stage.run(Script(), plan(only)) == 200


# -- whose fault a time limit is


@pytest.mark.parametrize(
    ("header", "stream"),
    [("x-edgegate-timeout", False), ("x-edgegate-timeout", True), ("x-edgegate-first-token-timeout", True)],
)
async def test_a_caller_in_a_hurry_breaks_no_target_for_the_others(tmp_path: Path, header: str, stream: bool) -> None:
    options = {"breaker": {"failures": 2}, "retries": 0}
    async with Provider(after(0.3, reply(completion()))) as one, live(config(one, failover=options), tmp_path) as gateway:
        hurried = [gateway.post(body=CHAT | {"stream": stream}, headers={header: "20ms"}) for _ in range(5)]
        assert {answer[0] for answer in await asyncio.gather(*hurried)} == {504}
        assert state(gateway, "one/gpt-4o")["state"] == "closed"
        assert state(gateway, "one/gpt-4o")["failure_count"] == 0
        assert (await gateway.post())[0] == 200


async def test_a_stream_cut_by_its_callers_own_limit_is_no_fault(tmp_path: Path) -> None:
    async def stalls(seen: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + chunk("half an"))
        await never(seen, writer)

    async with Provider(stalls) as one, live(config(one), tmp_path) as gateway:
        for _ in range(3):
            await gateway.post(body=CHAT | {"stream": True}, headers={"x-edgegate-idle-timeout": "50ms"})
        await until(lambda: state(gateway, "one/gpt-4o")["in_flight"] == 0)
        assert state(gateway, "one/gpt-4o")["failure_count"] == 0


async def test_the_operators_limit_is_the_targets_fault_whatever_the_caller_asked(tmp_path: Path) -> None:
    settings = config(Provider(), failover={"retries": 0})
    async with Provider(never) as one:
        settings["providers"] = providers(one.url)
        settings["chain"][4] = {"forward": {"first_token": "100ms"}}
        async with live(settings, tmp_path) as gateway:
            await gateway.post(body=CHAT | {"stream": True}, headers={"x-edgegate-timeout": "10s"})
            assert state(gateway, "one/gpt-4o")["failure_count"] == 1


# -- the caller's time


async def test_a_callers_time_holds_in_the_queue(tmp_path: Path) -> None:
    chain = ["auth", "route", {"queue": {"concurrency": 1}}, "failover", "translate", "forward", "meter"]
    async with Provider(after(1.0, reply(completion()))) as one, live(config(one, chain=chain), tmp_path) as gateway:
        first = asyncio.ensure_future(gateway.post())
        await until(lambda: len(one.seen) == 1)
        began = time.monotonic()
        status, body, _ = await gateway.post(headers={"x-edgegate-timeout": "200ms"})
        took = time.monotonic() - began
        assert (await first)[0] == 200
    assert (status, json.loads(body)["error"]["code"]) == (504, "total_timeout")
    assert took < 0.7


async def test_a_callers_time_holds_while_a_target_is_held(tmp_path: Path) -> None:
    limited = reply(ERROR, 429, retry_after="3")
    async with Provider(limited, reply(completion())) as one, live(config(one, failover={"retries": 0}), tmp_path) as gateway:
        assert (await gateway.post())[0] == 429
        began = time.monotonic()
        status, _, headers = await gateway.post(headers={"x-edgegate-timeout": "300ms"})
        assert time.monotonic() - began < 1
    assert status == 429
    assert 2 <= int(headers["retry-after"]) <= 3


async def test_a_callers_time_holds_between_attempts(tmp_path: Path) -> None:
    """The wait that a provider asks for is not begun if the caller would not be there at its end."""
    async with Provider(reply(ERROR, 503, retry_after="2")) as one, live(config(one), tmp_path) as gateway:
        began = time.monotonic()
        status, _, headers = await gateway.post(headers={"x-edgegate-timeout": "500ms"})
        assert time.monotonic() - began < 1
        assert (status, headers["retry-after"], len(one.seen)) == (503, "2", 1)


async def test_a_callers_time_holds_while_another_carries_its_request_out(tmp_path: Path) -> None:
    async with Provider(after(1.0, reply(completion()))) as one, live(config(one, before=("idempotency",)), tmp_path) as gateway:
        key = {"Idempotency-Key": "k"}
        first = asyncio.ensure_future(gateway.post(headers=key))
        await until(lambda: len(one.seen) == 1)
        began = time.monotonic()
        status, body, _ = await gateway.post(headers=key | {"x-edgegate-timeout": "200ms"})
        assert time.monotonic() - began < 0.7
        assert (status, json.loads(body)["error"]["code"]) == (504, "total_timeout")
        assert (await first)[0] == 200
        assert len(one.seen) == 1


async def test_a_callers_time_holds_in_the_gap_of_a_stream(tmp_path: Path) -> None:
    async def cut(seen: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + chunk("half an"))
        await writer.drain()
        writer.close()

    async with Provider(cut) as one, Provider(never) as two, live(config(one, two, failover={"midstream": "restart"}), tmp_path) as gateway:
        began = time.monotonic()
        status, body, _ = await gateway.post(body=CHAT | {"stream": True}, headers={"x-edgegate-timeout": "400ms"})
        assert time.monotonic() - began < 1.5
        await until(lambda: gateway.gateway.gate.in_flight == 0)
    assert status == 200
    assert (b"upstream_cut" in body, b"[DONE]" in body) == (True, False)


async def test_what_one_caller_allows_is_not_for_those_who_share(tmp_path: Path) -> None:
    async with Provider(after(0.5, reply(completion()))) as one, live(config(one, before=("coalesce",)), tmp_path) as gateway:
        hurried = asyncio.ensure_future(gateway.post(headers={"x-edgegate-timeout": "100ms"}))
        await until(lambda: len(one.seen) == 1)
        status, _, _ = await gateway.post()
        assert (status, (await hurried)[0]) == (200, 504)


# -- hedges


async def test_hedged_exchanges_that_come_at_once_keep_to_what_a_target_may_run(tmp_path: Path) -> None:
    busy = Busy()
    async with Provider(busy) as one:
        settings = config(one, failover={"hedge": {"delay": "20ms"}})
        settings["providers"]["one"]["max_in_flight"] = 3
        async with live(settings, tmp_path) as gateway:
            answers = await asyncio.gather(*[gateway.post() for _ in range(15)])
    assert [answer[0] for answer in answers] == [200] * 15
    assert busy.most <= 3


async def test_attempts_chosen_before_a_wait_keep_to_what_a_target_may_run(tmp_path: Path) -> None:
    """A retry whose target has filled up meanwhile waits for room."""
    clock = Clock()
    stage = Stage(clock)
    only = target("a", max_in_flight=1)
    lane = stage.board.of(only).lanes[0]
    script = Script(500)
    ticket = 0
    asked = script.__call__

    async def filled(ex: Exchange) -> Reply:
        nonlocal ticket
        assert stage.board.of(only).in_flight == 1
        try:
            return await asked(ex)
        finally:
            if not ticket:  # somebody comes in the moment the first attempt has failed
                asyncio.get_running_loop().call_soon(lambda: take())

    def take() -> None:
        nonlocal ticket
        ticket = stage.board.enter(lane, 0, clock.now)

    waiting = asyncio.ensure_future(stage.run(filled, plan(only)))  # type: ignore[arg-type]
    await until(lambda: ticket > 0)
    await asyncio.sleep(0.3)
    assert script.asked == ["a"]
    stage.stage.ended(lane, ticket, True, 0.1, ())
    assert await waiting == 200
    assert script.asked == ["a", "a"]


async def test_a_filter_is_not_raced_around(tmp_path: Path) -> None:
    """The first target refuses the content while another attempt runs."""
    refuses = after(0.15, reply(FILTERED, 400))
    async with (
        Provider(refuses) as one,
        Provider(after(0.4, reply(completion("two")))) as two,
        live(config(one, two, failover={"hedge": {"delay": "50ms"}}), tmp_path) as gateway,
    ):
        began = time.monotonic()
        status, body, _ = await gateway.post()
        assert time.monotonic() - began < 0.4
        assert len(two.seen) == 1
    assert (status, json.loads(body)["error"]["code"]) == (400, "content_filter")


async def test_a_bad_request_at_the_second_target_leaves_the_first_alone(tmp_path: Path) -> None:
    async with (
        Provider(after(0.3, reply(completion("one")))) as one,
        Provider(reply(ERROR, 422)) as two,
        live(config(one, two, failover={"hedge": {"delay": "50ms"}}), tmp_path) as gateway,
    ):
        status, _, headers = await gateway.post()
    assert (status, headers["x-edgegate-provider"], headers["x-edgegate-attempts"]) == (200, "one", "2")


async def test_a_rate_limit_counts_although_another_attempt_answered(tmp_path: Path) -> None:
    limited = after(0.1, reply(ERROR, 429, retry_after="30"))
    async with (
        Provider(limited) as one,
        Provider(after(0.2, reply(completion("two")))) as two,
        live(config(one, two, failover={"hedge": {"delay": "50ms"}}), tmp_path) as gateway,
    ):
        assert (await gateway.post())[2]["x-edgegate-provider"] == "two"
        assert state(gateway, "one/gpt-4o")["keys"][0]["held_for_s"] > 20
        await gateway.post()
        assert len(one.seen) == 1


async def test_a_hedge_at_the_same_provider_has_its_share_of_the_traffic(tmp_path: Path) -> None:
    options = {"hedge": {"delay": "5ms"}, "retry_budget": 0}
    async with Provider(after(0.05, reply(completion()))) as one, live(config(one, failover=options), tmp_path) as gateway:
        for _ in range(20):
            assert (await gateway.post())[0] == 200
        assert len(one.seen) == 20 + 10  # ten are free


async def test_the_loser_is_no_longer_in_flight_while_the_winner_streams(tmp_path: Path) -> None:
    """Both begin to answer in the same moment, as far as the gateway can tell: the loser's place is free at once."""
    go = asyncio.Event()

    async def streams(seen: Any, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + chunk("hel"))
        await writer.drain()
        await asyncio.sleep(0.4)
        writer.write(STREAM)
        writer.close()

    async with (
        Provider(streams) as one,
        Provider(streams) as two,
        live(config(one, two, failover={"hedge": {"delay": "20ms"}}), tmp_path) as gateway,
    ):
        for _ in range(8):
            go.clear()
            one.seen.clear()
            two.seen.clear()
            caller = asyncio.ensure_future(gateway.post(body=CHAT | {"stream": True}))
            await until(lambda: len(one.seen) == len(two.seen) == 1)
            go.set()
            await asyncio.sleep(0.15)
            assert sum(state(gateway, label)["in_flight"] for label in ("one/gpt-4o", "two/gpt-spare")) == 1
            assert (await caller)[0] == 200
        assert sum(state(gateway, label)["in_flight"] for label in ("one/gpt-4o", "two/gpt-spare")) == 0


# -- holds that are too long


def long_hold(clock: Clock) -> tuple[Stage, Any]:
    stage = Stage(clock, retries=0)
    only = target("a")
    return stage, only


async def test_a_vendor_that_asks_for_an_hour_is_asked_again_after_a_minute() -> None:
    clock = Clock()
    stage, only = long_hold(clock)
    hour = provider_error(429, "rate_limit_exceeded", "slow down", retry_after_s=3600)
    assert await stage.run(Script(hour), plan(only)) == 429
    assert stage.error.retry_after_s == 3600  # the vendor's own word, to the one who heard it
    clock.now += HOLD_S - 10
    assert await stage.run(Script(), plan(only)) == 429
    clock.now += 10
    script = Script(hour)
    assert await stage.run(script, plan(only)) == 429
    assert script.asked == ["a"]
    script = Script()
    assert await stage.run(script, plan(only)) == 429  # nor by the next one: a minute again
    assert script.asked == []
    clock.now += HOLD_S
    assert await stage.run(script, plan(only)) == 200
    assert await stage.run(script, plan(only)) == 200  # it has recovered, long before the hour
    assert script.asked == ["a", "a"]


async def test_one_request_at_a_time_asks_again() -> None:
    clock = Clock()
    stage, only = long_hold(clock)
    lane = stage.board.of(only).lanes[0]
    stage.board.hold(lane, 3600, clock.now)
    clock.now += HOLD_S
    ticket = stage.board.enter(lane, 0, clock.now)
    assert await stage.run(Script(), plan(only)) == 429
    stage.board.leave(lane, ticket, None, None, clock.now)  # its caller left: nothing was found out
    assert await stage.run(Script(), plan(only)) == 429
    clock.now += ASKING_S
    assert await stage.run(Script(), plan(only)) == 200


async def test_an_answer_to_an_older_attempt_does_not_end_a_hold() -> None:
    clock = Clock()
    stage, only = long_hold(clock)
    lane = stage.board.of(only).lanes[0]
    ticket = stage.board.enter(lane, 0, clock.now)
    stage.board.hold(lane, 3600, clock.now)
    stage.board.answered(lane, ticket, clock.now)
    stage.board.leave(lane, ticket, True, 1.0, clock.now)
    assert await stage.run(Script(), plan(only)) == 429


async def test_limits_that_a_vendor_states_wrongly_are_tried_and_then_not_believed() -> None:
    clock = Clock()
    board = Board(FailoverOptions(), Deaf())
    lane = board.of(target("a")).lanes[0]
    none_left = (Quota("requests", None, 0.0, 86_400.0, "day"),)
    board.learn(lane, none_left, clock.now)
    assert lane.ready_at(10, clock.now) == clock.now + HOLD_S
    clock.now += HOLD_S
    assert lane.ready_at(10, clock.now) == clock.now
    ticket = board.enter(lane, 10, clock.now)
    assert lane.ready_at(10, clock.now) == clock.now + ASKING_S
    board.answered(lane, ticket, clock.now)
    board.learn(lane, none_left, clock.now)  # it says so again, in the very answer
    assert lane.ready_at(10, clock.now) == clock.now


async def test_limits_that_hold_are_believed_again_after_each_try() -> None:
    clock = Clock()
    board = Board(FailoverOptions(), Deaf())
    lane = board.of(target("a")).lanes[0]
    none_left = (Quota("requests", None, 0.0, 86_400.0, "day"),)
    for _ in range(3):
        board.learn(lane, none_left, clock.now)
        assert lane.ready_at(10, clock.now) == clock.now + HOLD_S
        clock.now += HOLD_S
        ticket = board.enter(lane, 10, clock.now)
        board.leave(lane, ticket, None, None, clock.now)  # a 429


async def test_a_held_target_is_waited_for_although_another_one_is_broken() -> None:
    """503 `circuit_open` is for when nothing else is left, also if the breaker might close before the hold is over."""
    clock = Clock()
    stage = Stage(clock, retries=0, breaker=BreakerOptions(failures=1))
    a, b = target("a"), target("b", 1)
    stage.board.of(a).breaker.trip(clock.now + 0.1, clock.now)
    stage.board.hold(stage.board.of(b).lanes[0], 0.2, clock.now)
    script = Script()

    async def tick() -> None:
        await asyncio.sleep(0.02)
        clock.now += 0.3

    ticking = asyncio.ensure_future(tick())
    assert await stage.run(script, plan(a, b)) == 200
    assert len(script.asked) == 1
    await ticking


async def test_no_wait_for_a_target_that_has_just_been_found_broken() -> None:
    clock = Clock()
    stage = Stage(clock, retries=3, breaker=BreakerOptions(failures=1))
    script = Script(500)
    began = time.monotonic()
    assert await stage.run(script, plan(target("a"))) == 500  # the provider's error, not ours
    assert script.asked == ["a"]
    assert time.monotonic() - began < 0.2
    assert stage.metrics.retries.values == {}


# -- names that callers make up


async def test_made_up_names_do_not_make_broken_targets_forgotten() -> None:
    clock = Clock()
    board = Board(FailoverOptions(breaker=BreakerOptions(failures=1)), Deaf())
    real = board.of(target("a"))
    ticket = board.enter(real.lanes[0], 0, clock.now)
    board.leave(real.lanes[0], ticket, False, None, clock.now)
    place = Place("p", target("a").provider.side, "http://p")
    for number in range(3 * MAX_TARGETS):
        state = board.of(Target(place, f"made-up-{number}"))
        ticket = board.enter(state.lanes[0], 0, clock.now)
        board.leave(state.lanes[0], ticket, None, None, clock.now)
    assert len(board._states) <= MAX_TARGETS
    assert board.of(target("a")).breaker.state is BreakerState.OPEN


# -- paths and prices that belong to a target


async def test_a_passed_path_is_found_anew_for_each_target(tmp_path: Path) -> None:
    """Azure has it elsewhere than OpenAI, who comes next."""
    async with Provider(b"") as one, Provider(reply(b'{"data":[]}')) as two:
        settings = config(one, two)
        settings["providers"]["one"] |= {"dialect": "azure", "base_url": one.url}
        async with live(settings, tmp_path) as gateway:
            status, _, _ = await gateway.post("/v1/images/generations", {"model": "gpt-4o", "prompt": "a cat"})
        assert one.seen
        assert one.seen[0].path.startswith("/openai/")
        assert {seen.path for seen in two.seen} == {"/v1/images/generations"}
    assert status == 200


async def test_an_error_after_failover_names_the_exchange_and_the_wait(tmp_path: Path) -> None:
    async with (
        Provider(reply(ERROR, 503)) as one,
        Provider(reply(ERROR, 503, retry_after="17")) as two,
        live(config(one, two, failover={"retries": 0}), tmp_path) as gateway,
    ):
        status, _, headers = await gateway.post(headers={"x-request-id": "mine"})
    assert status == 503
    assert (headers["x-request-id"], headers["retry-after"], headers["x-edgegate-attempts"]) == ("mine", "17", "2")
    assert (headers["x-edgegate-provider"], headers["x-edgegate-fallback"]) == ("two", "true")


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}, b'{"data":[{"embedding":[0.1],"index":0}],"usage":{}}'),
        ("/v1/messages", CHAT | {"max_tokens": 9}, completion()),
        ("/v1/chat/completions", CHAT | {"stream": True}, STREAM),
    ],
)
async def test_every_operation_fails_over(tmp_path: Path, path: str, body: dict[str, Any], answer: bytes) -> None:
    whole = sse(answer) if answer is STREAM else reply(answer)
    async with Provider(reply(ERROR, 500)) as one, Provider(whole) as two:
        settings = config(one, two, failover={"retries": 0})
        settings["models"] = {"fallbacks": {body["model"]: ["two/spare"]}}
        async with live(settings, tmp_path) as gateway:
            status, _, headers = await gateway.post(path, body)
    assert (status, headers["x-edgegate-provider"], headers["x-edgegate-fallback"]) == (200, "two", "true")


@pytest.mark.parametrize("larger", [False, True])
async def test_no_path_leads_a_key_to_a_provider_it_may_not_use(tmp_path: Path, larger: bool) -> None:
    too_long = b'{"error":{"message":"maximum context length is 8192 tokens","code":"context_length_exceeded"}}'
    failed = after(0.1, reply(too_long, 400) if larger else reply(ERROR, 500))
    async with Provider(failed) as one, Provider() as two:
        settings = config(one, two, failover={"retries": 0, "hedge": {"delay": "20ms"}})
        settings["models"]["larger_context"] = {"gpt-4o": ["two/gpt-spare"]}
        settings["keys"] = [{"key": "sk-limited-key-1", "providers": ["one"]}]
        async with live(settings, tmp_path) as gateway:
            status, _, _ = await gateway.post(headers={"authorization": "Bearer sk-limited-key-1"})
        assert two.seen == []
    assert status == (400 if larger else 500)


async def test_fallbacks_in_a_circle_end(tmp_path: Path) -> None:
    async with Provider(reply(ERROR, 500)) as one, Provider(reply(ERROR, 500)) as two:
        settings = config(one, two, failover={"retries": 0, "attempts": 9})
        settings["models"] = {
            "aliases": {"back": "gpt-4o"},
            "fallbacks": {"gpt-4o": ["two/gpt-spare", "back", "gpt-4o"], "two/gpt-spare": ["gpt-4o"], "gpt-spare": ["gpt-4o"]},
        }
        async with live(settings, tmp_path) as gateway:
            assert (await gateway.post())[0] == 500
            assert (len(one.seen), len(two.seen)) == (1, 1)
            assert (await gateway.post(body=CHAT | {"model": "two/gpt-spare"}))[0] == 500
            assert (len(one.seen), len(two.seen)) == (2, 2)


def test_an_attempt_costs_what_its_own_provider_takes() -> None:
    """The simulator stands in for one provider of two: what the other one takes is not free because the last attempt was."""
    ex = exchange()
    real = Place("real", target("a").provider.side, "http://real")
    ex.target = Target(Place("simulated", real.side, "http://simulated", simulated=True), "gpt-4o")
    for provider, free in (("real", False), ("simulated", True)):
        made = Attempt(provider, provider, "openai", "gpt-4o", 0.0, Progress(usage=Usage(1_000_000, 0, reported=True)), free=free)
        made.outcome = Outcome.OK
        ex.attempts.append(made)
    Meter(Prices.load(PriceOptions(models={"gpt-4o": {"input": 2, "output": 8}})), Metrics()).record(ex)
    assert [attempt.cost_nano_usd for attempt in ex.attempts] == [2_000_000_000, 0]
