"""failover: how often, how long after, at whom, and with whose error at the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgegate.config.option import Duration
from edgegate.config.stages import BreakerOptions, FailoverOptions, OutlierOptions
from edgegate.dialects.http import HttpProvider
from edgegate.errors import GatewayError, provider_error
from edgegate.exchange import Attempt, Exchange, Reply
from edgegate.observe.metrics import Metrics
from edgegate.resilience.board import Board
from edgegate.routing.catalog import Plan, Target
from edgegate.routing.catalog import Provider as Place
from edgegate.simulate import start
from edgegate.stages.failover import Failover
from tests.unit.core.parts import CHAT, STREAM, Clock, Deaf, Provider, chunk, completion, exchange, live, providers, reply, sse, until


def target(name: str, tier: int = 0, **more: Any) -> Target:
    return Target(Place(name, HttpProvider(), f"http://{name}", **more), "m", tier=tier, fallback=tier > 0)


A, B, C = (target(name, tier) for tier, name in enumerate("abc"))
EQUAL = tuple(target(name) for name in "abc")


def silence() -> GatewayError:
    return provider_error(504, "first_token_timeout", "silent")


class Script:
    """What each attempt meets: a status that fails, an error, or 200."""

    def __init__(self, *steps: int | GatewayError) -> None:
        self._steps = list(steps)
        self.asked: list[str] = []
        self.keys: list[int] = []
        self.patience: list[float] = []

    async def __call__(self, ex: Exchange) -> Reply:
        assert ex.target is not None
        self.asked.append(ex.target.provider.name)
        self.keys.append(ex.target_key)
        self.patience.append(ex.patience)
        ex.attempt = Attempt("i", ex.target.provider.name, "http", "m", 0.0, ex.progress)
        ex.attempts.append(ex.attempt)
        step = self._steps.pop(0) if self._steps else 200
        if isinstance(step, GatewayError):
            raise step
        if step != 200:
            raise provider_error(step, f"error_{len(self.asked)}", "failed")
        return Reply(200, [], b"", "")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[float]:
    """The waits, which take no time but on the stage's clock."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.now += seconds

    names = {name: getattr(asyncio, name) for name in dir(asyncio)}
    monkeypatch.setattr("edgegate.stages.run.asyncio", SimpleNamespace(**names | {"sleep": sleep}))
    return waits


class Stage:
    """A failover stage by itself."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.options = FailoverOptions(**options)
        self.listener = Deaf()
        self.board = Board(self.options, self.listener)
        self.metrics = Metrics()
        self.stage = Failover(self.options, self.board, self.metrics, clock=clock, chance=lambda: 0.0)

    async def run(self, script: Script, plan: Plan, *, upload: bool = False, stream: bool = False) -> int:
        """The status of the reply, or of the error."""
        ex = exchange()
        ex.plan, ex.stream = plan, stream
        if upload:
            ex.upload = object()  # type: ignore[assignment]
        try:
            return (await self.stage(ex, script)).status
        except GatewayError as error:
            self.error = error
            return error.status


def plan(*targets: Target, strategy: str = "ordered", larger: Plan | None = None) -> Plan:
    tiers = {target.tier for target in targets}
    return Plan(targets, (strategy,) * len(tiers), larger)


@pytest.fixture
def run(clock: Clock, slept: list[float]) -> Any:
    async def run(script: Script, *targets: Target, upload: bool = False, **options: Any) -> int:
        return await Stage(clock, **options).run(script, plan(*targets), upload=upload)

    return run


async def test_a_first_attempt_that_succeeds_is_the_only_one(run: Any, slept: list[float]) -> None:
    script = Script()
    assert await run(script, A, B) == 200
    assert (script.asked, slept) == (["a"], [])


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again_at_the_same_target_first(run: Any, slept: list[float], status: int) -> None:
    script = Script(status)
    assert await run(script, A, B) == 200
    assert script.asked == ["a", "a"]
    assert len(slept) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_what_the_client_did_wrong_is_returned_at_once(run: Any, status: int) -> None:
    script = Script(status)
    assert await run(script, A, B) == status
    assert script.asked == ["a"]


@pytest.mark.parametrize("also", ["401", "error_1"])
async def test_further_errors_move_on_where_the_operator_says_so(run: Any, also: str) -> None:
    script = Script(401)
    assert await run(script, A, B, also_on=(also,)) == 200
    assert script.asked == ["a", "b"]


async def test_each_target_gets_its_retries_then_the_next_is_tried(run: Any) -> None:
    script = Script(500, 500, 500, 500, 500)
    assert await run(script, A, B, C, attempts=9, retries=1) == 200
    assert script.asked == ["a", "a", "b", "b", "c", "c"]


async def test_attempts_are_counted_over_all_targets(run: Any) -> None:
    script = Script(500, 501, 502, 503)
    assert await run(script, A, B, C, attempts=3, retries=1) == 502
    assert script.asked == ["a", "a", "b"]


async def test_no_retries_means_one_attempt_for_each_target_without_waiting(run: Any, slept: list[float]) -> None:
    script = Script(500, 500, 503)
    assert await run(script, A, B, C, attempts=5, retries=0) == 503
    assert (script.asked, slept) == (["a", "b", "c"], [])


async def test_one_attempt_is_one_attempt(run: Any) -> None:
    script = Script(500)
    assert await run(script, A, B, attempts=1, retries=5) == 500
    assert script.asked == ["a"]


async def test_a_target_that_was_silent_is_not_asked_again(run: Any, slept: list[float]) -> None:
    script = Script(silence())
    assert await run(script, A, B, attempts=5, retries=3) == 200
    assert (script.asked, slept) == (["a", "b"], [])


async def test_after_silence_other_providers_come_before_other_models_of_the_same(clock: Clock, slept: list[float]) -> None:
    other_model = Target(A.provider, "n", tier=1, fallback=True)
    script = Script(silence(), 500, 500)
    assert await Stage(clock, attempts=5).run(script, plan(A, other_model, target("c", 2))) == 200
    assert script.asked == ["a", "c", "c", "a"]


async def test_the_last_silent_target_ends_it(run: Any) -> None:
    script = Script(500, 500, silence())
    assert await run(script, A, B, attempts=9, retries=1) == 504
    assert script.asked == ["a", "a", "b"]


async def test_the_callers_answer_is_the_last_error(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock, attempts=2, retries=0)
    assert await stage.run(Script(500, 429), plan(A, B)) == 429
    assert stage.error.code == "error_2"


async def test_a_client_error_at_the_second_target_is_the_answer(run: Any) -> None:
    script = Script(500, 400)
    assert await run(script, A, B, C, retries=0) == 400
    assert script.asked == ["a", "b"]


async def test_a_retry_after_is_waited_for(run: Any, slept: list[float]) -> None:
    script = Script(provider_error(429, "x", "x", retry_after_s=2))
    assert await run(script, A, B, max_backoff=Duration(5)) == 200
    assert script.asked == ["a", "a"]
    assert len(slept) == 1
    assert 2 <= slept[0] <= 2.25


async def test_a_long_retry_after_moves_on_to_the_next_target(run: Any, slept: list[float]) -> None:
    script = Script(provider_error(429, "x", "x", retry_after_s=60))
    assert await run(script, A, B, max_backoff=Duration(5)) == 200
    assert (script.asked, slept) == (["a", "b"], [])


async def test_a_long_retry_after_of_the_last_target_is_passed_on(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    script = Script(provider_error(429, "x", "x", retry_after_s=60))
    assert await stage.run(script, plan(A)) == 429
    assert stage.error.retry_after_s == 60
    assert (script.asked, slept) == (["a"], [])


async def test_an_upload_is_sent_once(run: Any) -> None:
    script = Script(500)
    assert await run(script, A, B, upload=True) == 500
    assert script.asked == ["a"]


async def test_no_attempt_starts_when_the_time_is_used_up(clock: Clock, slept: list[float]) -> None:
    class Slow(Script):
        async def __call__(self, ex: Exchange) -> Reply:
            clock.now += 50
            return await super().__call__(ex)

    script = Slow(500, 500, 500)
    assert await Stage(clock, attempts=9, retries=0, budget=Duration(90)).run(script, plan(A, B, C)) == 500
    assert script.asked == ["a", "b"]


async def test_what_is_no_gateway_error_is_not_caught(clock: Clock) -> None:
    async def breaks(ex: Exchange) -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Stage(clock).run(breaks, plan(A, B))  # type: ignore[arg-type]


async def test_a_client_that_leaves_ends_the_waiting(clock: Clock) -> None:
    script = Script(provider_error(429, "x", "x", retry_after_s=4))
    task = asyncio.ensure_future(Stage(clock).run(script, plan(A, B)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.asked == ["a"]


async def test_a_fault_that_came_late_is_not_waited_for_twice(clock: Clock, slept: list[float]) -> None:
    class Late(Script):
        async def __call__(self, ex: Exchange) -> Reply:
            try:
                return await super().__call__(ex)
            finally:
                assert ex.attempt is not None
                ex.attempt.started, ex.attempt.ended = 100, 130

    script = Late(500)
    assert await Stage(clock).run(script, plan(A, B)) == 200
    assert (script.asked, slept) == (["a", "b"], [])
    script = Late(500)
    assert await Stage(clock).run(script, plan(A)) == 200
    assert script.asked == ["a", "a"]


# -- patience


async def test_an_attempt_is_given_less_time_while_another_target_is_left(clock: Clock, slept: list[float]) -> None:
    script = Script(silence())
    assert await Stage(clock).run(script, plan(A, B), stream=True) == 200
    assert script.patience == [12, 0]


async def test_a_plain_reply_is_waited_for_longer(clock: Clock, slept: list[float]) -> None:
    script = Script()
    await Stage(clock).run(script, plan(A, B))
    assert script.patience == [60]


async def test_the_only_target_has_all_the_time_there_is(clock: Clock, slept: list[float]) -> None:
    script = Script()
    await Stage(clock).run(script, plan(A), stream=True)
    assert script.patience == [0]


async def test_a_fallback_whose_breaker_is_open_is_none(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    stage.board.of(B).breaker.trip(clock.now + 10, clock.now)
    script = Script()
    await stage.run(script, plan(A, B), stream=True)
    assert script.patience == [0]


# -- context and filters


def too_long() -> GatewayError:
    return provider_error(400, "context_length_exceeded", "too long")


async def test_a_prompt_that_is_too_long_goes_to_the_larger_model_at_once(clock: Clock, slept: list[float]) -> None:
    script = Script(too_long())
    assert await Stage(clock).run(script, plan(A, B, larger=plan(target("large")))) == 200
    assert (script.asked, slept) == (["a", "large"], [])


async def test_a_prompt_too_long_for_the_larger_one_goes_to_the_next_larger(clock: Clock, slept: list[float]) -> None:
    script = Script(too_long(), too_long())
    larger = plan(target("large"), target("huge", 1))
    assert await Stage(clock).run(script, plan(A, larger=larger)) == 200
    assert script.asked == ["a", "large", "huge"]


async def test_a_prompt_that_is_too_long_goes_to_no_ordinary_fallback(clock: Clock, slept: list[float]) -> None:
    script = Script(too_long())
    assert await Stage(clock).run(script, plan(A, B)) == 400
    assert script.asked == ["a"]


async def test_a_refusal_of_the_content_is_final(clock: Clock, slept: list[float]) -> None:
    script = Script(provider_error(400, "content_filter", "no"))
    assert await Stage(clock).run(script, plan(A, B)) == 400
    assert script.asked == ["a"]


# -- equal targets and several keys


async def test_equal_targets_are_all_tried_before_one_is_asked_again(clock: Clock, slept: list[float]) -> None:
    script = Script(500, 500, 500)
    assert await Stage(clock, attempts=5).run(script, plan(*EQUAL)) == 200
    assert script.asked == ["a", "b", "c", "c"]
    assert len(slept) == 1


async def test_a_fallback_is_asked_when_all_equal_targets_have_failed(clock: Clock, slept: list[float]) -> None:
    script = Script(500, 500, 500)
    spare = target("spare", 1)
    assert await Stage(clock, retries=0).run(script, plan(EQUAL[0], EQUAL[1], EQUAL[2], spare)) == 200
    assert script.asked == ["a", "b", "c", "spare"]


async def test_a_refused_key_gives_way_to_the_next_and_rests(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    several = target("a", keys=3, balance="ordered")
    script = Script(401)
    assert await stage.run(script, plan(several)) == 200
    assert script.keys == [0, 1]
    assert stage.listener.heard == [("key_rests", "a", 0)]
    script = Script()
    await stage.run(script, plan(several))
    assert script.keys == [1]
    clock.now += 61
    script = Script()
    await stage.run(script, plan(several))
    assert script.keys == [0]


async def test_when_every_key_is_refused_the_caller_learns_it(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    script = Script(401, 403, 401, 401)
    assert await stage.run(script, plan(target("a", keys=2), B)) == 403
    assert len(script.keys) == 2
    assert await stage.run(Script(), plan(target("a", keys=2), B)) == 200  # all rest: they are tried all the same


async def test_a_rate_limit_gives_way_to_the_next_key_without_waiting(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    several = target("a", keys=2, balance="ordered")
    script = Script(provider_error(429, "x", "x", retry_after_s=3))
    assert await stage.run(script, plan(several, B)) == 200
    assert (script.keys, slept) == ([0, 1], [])
    script = Script()
    await stage.run(script, plan(several, B))
    assert script.keys == [1]  # the first is held back for everybody
    assert stage.listener.heard == [("held", "a/m", 0)]


# -- limits that are known beforehand


async def test_a_held_target_is_passed_by_for_the_fallback(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    stage.board.hold(stage.board.of(A).lanes[0], 3, clock.now)
    script = Script()
    assert await stage.run(script, plan(A, B)) == 200
    assert (script.asked, slept) == (["b"], [])


async def test_a_held_target_without_fallback_is_waited_for(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    stage.board.hold(stage.board.of(A).lanes[0], 3, clock.now)
    script = Script()
    assert await stage.run(script, plan(A)) == 200
    assert (script.asked, slept) == (["a"], [3])


async def test_a_target_that_is_held_for_long_is_a_429_that_says_how_long(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock)
    stage.board.hold(stage.board.of(A).lanes[0], 40, clock.now)
    script = Script()
    assert await stage.run(script, plan(A)) == 429
    assert (script.asked, slept) == ([], [])
    assert stage.error.retry_after_s == 40


async def test_a_full_target_gives_way_and_the_only_one_is_waited_for(clock: Clock) -> None:
    stage = Stage(clock, max_backoff=Duration(0.05))
    full = target("a", max_in_flight=1)
    lane = stage.board.of(full).lanes[0]
    ticket = stage.board.enter(lane, 0, clock.now)
    script = Script()
    assert await stage.run(script, plan(full, B)) == 200
    assert script.asked == ["b"]
    waiting = asyncio.ensure_future(stage.run(script, plan(full)))
    await asyncio.sleep(0.01)
    assert script.asked == ["b"]
    stage.stage.ended(lane, ticket, True, 0.1, ())
    assert await waiting == 200
    assert script.asked == ["b", "a"]


# -- breakers


async def test_a_target_that_keeps_failing_is_not_asked_for_a_while(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock, retries=0, breaker=BreakerOptions(failures=3, reset=Duration(15)))
    script = Script(500, 200, 500, 200, 500)
    for _ in range(5):
        assert await stage.run(script, plan(A, B)) == 200
    assert script.asked == ["a", "b", "a", "b", "a", "b", "b", "b"]
    assert stage.listener.heard == [("open", "a/m")]
    clock.now += 15
    script = Script()
    assert await stage.run(script, plan(A, B)) == 200
    assert script.asked == ["a"]
    assert stage.listener.heard[1:] == [("half_open", "a/m"), ("closed", "a/m")]


async def test_an_open_breaker_of_the_only_target_is_a_503_that_says_how_long(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock, retries=0, breaker=BreakerOptions(failures=1, reset=Duration(15)))
    assert await stage.run(Script(500), plan(A)) == 500
    script = Script()
    assert await stage.run(script, plan(A)) == 503
    assert (script.asked, stage.error.code, stage.error.retry_after_s) == ([], "circuit_open", 15)


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429])
async def test_what_the_client_did_wrong_never_opens_a_breaker(clock: Clock, slept: list[float], status: int) -> None:
    stage = Stage(clock, retries=0, breaker=BreakerOptions(failures=2))
    for _ in range(9):
        assert await stage.run(Script(status), plan(A)) == status
        clock.now += 10
    assert stage.board.of(A).breaker.state == "closed"


async def test_a_caller_that_leaves_speaks_neither_for_nor_against_a_target(clock: Clock) -> None:
    stage = Stage(clock, breaker=BreakerOptions(failures=1))

    async def forever(ex: Exchange) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    for _ in range(3):
        task = asyncio.ensure_future(stage.run(forever, plan(A)))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        assert stage.board.of(A).in_flight == 1
        task.cancel()
        await asyncio.wait([task])
    state = stage.board.of(A)
    assert (state.in_flight, state.breaker.state, state.breaker.failures) == (0, "closed", 0)


async def test_an_outlier_is_asked_only_where_no_other_is_left(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock, retries=0, breaker=BreakerOptions(failures=0), outliers=OutlierOptions(requests=4, error_rate=0.5))
    for status in (200, 500, 200, 500):
        await stage.run(Script(status), plan(A, B))
    script = Script()
    await stage.run(script, plan(A, B))
    assert script.asked == ["b"]
    script = Script()
    await stage.run(script, plan(A))
    assert script.asked == ["a"]


async def test_repeated_attempts_stay_within_their_share_of_the_traffic(clock: Clock, slept: list[float]) -> None:
    stage = Stage(clock, retry_budget=0.1, breaker=BreakerOptions(failures=0))
    script = Script(*[500] * 1000)
    for _ in range(100):
        await stage.run(script, plan(A))
    assert 100 < len(script.asked) <= 100 + 10 + 10


# -- through the gateway

FAILED = reply(json.dumps({"error": {"message": "one is down", "type": "server_error", "code": None}}).encode(), 500)
TWO_TARGETS: list[Any] = ["auth", "route", {"failover": {"attempts": 2, "retries": 0}}, "translate", "forward", "meter"]
TO_TWO = {"fallbacks": {"gpt-4o": ["two/gpt-spare"]}}


async def test_the_next_target_gets_its_own_model_and_credential(tmp_path: Path) -> None:
    async with Provider(FAILED) as one, Provider(reply(completion("spare"))) as two:
        config = {"chain": TWO_TARGETS, "models": TO_TWO, "providers": providers(one.url, two.url)}
        async with live(config, tmp_path) as gateway:
            status, body, headers = await gateway.post()
            lines = gateway.lines("attempt") + gateway.lines()
    assert status == 200
    assert b"spare" in body
    assert (two.seen[0].json["model"], two.seen[0].all("authorization")) == ("gpt-spare", ["Bearer provider-secret-two"])
    assert one.seen[0].json["model"] == "gpt-4o"
    assert (headers["x-edgegate-provider"], headers["x-edgegate-attempts"], headers["x-edgegate-fallback"]) == ("two", "2", "true")
    assert [(line["provider"], line["attempt_outcome"], line["attempt_status"]) for line in lines] == [
        ("one", "failed", 500),
        ("two", "ok", 200),
    ]
    assert len({line["attempt_id"] for line in lines}) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_another_dialect_may_be_the_fallback(tmp_path: Path, stream: bool) -> None:
    simulator = await start()
    config = {
        "chain": TWO_TARGETS,
        "models": {"fallbacks": {"gpt-4o-error-503": ["anthropic/claude-haiku-4-5"]}},
        "providers": {
            "openai": {"base_url": f"{simulator.url}/v1", "api_key": "k"},
            "anthropic": {"base_url": simulator.url, "api_key": "k"},
        },
    }
    try:
        async with live(config, tmp_path) as gateway:
            status, body, headers = await gateway.post(body=CHAT | {"model": "gpt-4o-error-503", "stream": stream})
    finally:
        await simulator.stop()
    assert (status, headers["x-edgegate-provider"]) == (200, "anthropic")
    if stream:
        assert body.rstrip().endswith(b"data: [DONE]")
    else:
        assert json.loads(body)["choices"][0]["message"]["content"]


async def test_an_error_at_the_start_of_a_stream_fails_over(tmp_path: Path) -> None:
    broken = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    async with Provider(sse(broken)) as one, Provider(sse(STREAM)) as two:
        config = {"chain": TWO_TARGETS, "models": TO_TWO, "providers": providers(one.url, two.url)}
        async with live(config, tmp_path) as gateway:
            status, body, headers = await gateway.post(body=CHAT | {"stream": True})
    assert (status, headers["x-edgegate-provider"]) == (200, "two")
    assert b"overloaded" not in body


async def test_a_stream_that_has_begun_does_not_fail_over(tmp_path: Path) -> None:
    begun = chunk("once ") + b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    async with Provider(sse(begun)) as one, Provider(sse(STREAM)) as two:
        config = {"chain": TWO_TARGETS, "models": TO_TWO, "providers": providers(one.url, two.url)}
        async with live(config, tmp_path) as gateway:
            status, body, _ = await gateway.post(body=CHAT | {"stream": True})
        assert two.seen == []
    assert status == 200
    assert body.count(b'"error"') == 1
    assert b"[DONE]" not in body


async def test_a_reply_that_is_not_an_answer_fails_over(tmp_path: Path) -> None:
    async with Provider(reply(b"<html>", content_type="text/html")) as one, Provider() as two:
        config = {"chain": TWO_TARGETS, "models": TO_TWO, "providers": providers(one.url, two.url)}
        async with live(config, tmp_path) as gateway:
            status, _, headers = await gateway.post()
            (first,) = gateway.lines("attempt")
    assert (status, headers["x-edgegate-provider"]) == (200, "two")
    assert (first["attempt_outcome"], first["attempt_error"]) == ("failed", "bad_reply")


async def test_a_silent_provider_is_left_for_the_next(tmp_path: Path) -> None:
    async def silent(seen: Any, writer: Any) -> None:
        await asyncio.sleep(30)

    chain = [*TWO_TARGETS[:4], {"forward": {"total": "300ms"}}, "meter"]
    async with Provider(silent) as one, Provider() as two:
        config = {"chain": chain, "models": TO_TWO, "providers": providers(one.url, two.url)}
        async with live(config, tmp_path) as gateway:
            status, _, headers = await gateway.post()
            await until(lambda: bool(gateway.lines("attempt")))
            (first,) = gateway.lines("attempt")
    assert (status, headers["x-edgegate-provider"]) == (200, "two")
    assert first["attempt_outcome"] == "timeout"


async def test_fields_dropped_for_a_target_that_failed_are_not_reported_for_the_one_that_answered(tmp_path: Path) -> None:
    """The first target is translated and cannot carry `logit_bias`; the second takes the request as it is."""
    async with Provider(reply(b"{}", 529)) as one, Provider() as two:
        config = {
            "chain": TWO_TARGETS,
            "models": {"fallbacks": {"claude-x": ["two/gpt-4o"]}},
            "providers": {
                "one": {"dialect": "anthropic", "base_url": one.url, "api_key": "k", "models": ["claude-x"]},
                "two": {"dialect": "openai", "base_url": f"{two.url}/v1", "api_key": "k"},
            },
        }
        async with live(config, tmp_path) as gateway:
            status, _, headers = await gateway.post(body=CHAT | {"model": "claude-x", "logit_bias": {"1": 5}})
        assert two.seen[0].json["logit_bias"] == {"1": 5}
    assert status == 200
    assert "x-edgegate-dropped" not in headers


async def test_the_last_error_reaches_the_client_with_its_retry_after(tmp_path: Path) -> None:
    limited = reply(json.dumps({"error": {"message": "slow down", "type": "requests"}}).encode(), 429, retry_after="17")
    async with Provider(FAILED) as one, Provider(limited) as two:
        config = {"chain": TWO_TARGETS, "models": TO_TWO, "providers": providers(one.url, two.url)}
        async with live(config, tmp_path) as gateway:
            status, body, headers = await gateway.post()
    assert (status, headers["retry-after"], headers["x-edgegate-error-source"]) == (429, "17", "provider")
    assert b"slow down" in body
    assert b"one is down" not in body
