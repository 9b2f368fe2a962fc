"""failover: how often, how long after, at whom, and with whose error at the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgegate.config.model import Duration, FailoverOptions
from edgegate.dialects.http import HttpProvider
from edgegate.errors import GatewayError, provider_error
from edgegate.exchange import Exchange, Reply
from edgegate.routing.catalog import Provider as Place
from edgegate.routing.catalog import Target
from edgegate.simulate import start
from edgegate.stages.failover import Failover
from tests.unit.core.parts import CHAT, STREAM, Provider, chunk, completion, exchange, live, providers, reply, sse

A, B, C = (Target(Place(name, HttpProvider(), f"http://{name}"), "m") for name in "abc")


class Script:
    """What each attempt meets: a status that fails, an error, or 200."""

    def __init__(self, *steps: int | GatewayError) -> None:
        self._steps = list(steps)
        self.asked: list[str] = []

    async def __call__(self, ex: Exchange) -> Reply:
        assert ex.target is not None
        self.asked.append(ex.target.provider.name)
        step = self._steps.pop(0) if self._steps else 200
        if isinstance(step, GatewayError):
            raise step
        if step != 200:
            raise provider_error(step, f"error_{len(self.asked)}", "failed")
        return Reply(200, [], b"", "")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which take no time."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("edgegate.stages.failover.asyncio", SimpleNamespace(sleep=sleep))
    return waits


async def run(script: Script, *targets: Target, upload: bool = False, **options: Any) -> int:
    """The status of the reply, or of the error."""
    ex = exchange()
    ex.targets = targets
    if upload:
        ex.upload = object()  # type: ignore[assignment]
    try:
        return (await Failover(FailoverOptions(**options))(ex, script)).status
    except GatewayError as error:
        return error.status


async def test_a_first_attempt_that_succeeds_is_the_only_one(slept: list[float]) -> None:
    script = Script()
    assert await run(script, A, B) == 200
    assert (script.asked, slept) == (["a"], [])


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again_at_the_same_target_first(slept: list[float], status: int) -> None:
    script = Script(status)
    assert await run(script, A, B) == 200
    assert script.asked == ["a", "a"]
    assert len(slept) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_what_the_client_did_wrong_is_returned_at_once(slept: list[float], status: int) -> None:
    script = Script(status)
    assert await run(script, A, B) == status
    assert script.asked == ["a"]


async def test_each_target_gets_its_retries_then_the_next_is_tried(slept: list[float]) -> None:
    script = Script(500, 500, 500, 500, 500)
    assert await run(script, A, B, C, attempts=9, retries=1) == 200
    assert script.asked == ["a", "a", "b", "b", "c", "c"]


async def test_attempts_are_counted_over_all_targets(slept: list[float]) -> None:
    script = Script(500, 501, 502, 503)
    assert await run(script, A, B, C, attempts=3, retries=1) == 502
    assert script.asked == ["a", "a", "b"]


async def test_no_retries_means_one_attempt_for_each_target_without_waiting(slept: list[float]) -> None:
    script = Script(500, 500, 503)
    assert await run(script, A, B, C, attempts=5, retries=0) == 503
    assert (script.asked, slept) == (["a", "b", "c"], [])


async def test_one_attempt_is_one_attempt(slept: list[float]) -> None:
    script = Script(500)
    assert await run(script, A, B, attempts=1, retries=5) == 500
    assert script.asked == ["a"]


async def test_a_target_that_was_silent_is_not_asked_again(slept: list[float]) -> None:
    script = Script(504)
    assert await run(script, A, B, attempts=5, retries=3) == 200
    assert (script.asked, slept) == (["a", "b"], [])


async def test_the_last_silent_target_ends_it(slept: list[float]) -> None:
    script = Script(500, 500, 504)
    assert await run(script, A, B, attempts=9, retries=1) == 504
    assert script.asked == ["a", "a", "b"]


async def test_the_callers_answer_is_the_last_error(slept: list[float]) -> None:
    ex = exchange()
    ex.targets = (A, B)
    with pytest.raises(GatewayError) as caught:
        await Failover(FailoverOptions(attempts=2, retries=0))(ex, Script(500, 429))
    assert (caught.value.status, caught.value.code) == (429, "error_2")


async def test_a_client_error_at_the_second_target_is_the_answer(slept: list[float]) -> None:
    script = Script(500, 400)
    assert await run(script, A, B, C, retries=0) == 400
    assert script.asked == ["a", "b"]


async def test_a_retry_after_is_waited_for(slept: list[float]) -> None:
    script = Script(provider_error(429, "x", "x", retry_after_s=2))
    assert await run(script, A, max_backoff=Duration(5)) == 200
    assert len(slept) == 1
    assert 2 <= slept[0] <= 2.25


async def test_a_long_retry_after_moves_on_to_the_next_target(slept: list[float]) -> None:
    script = Script(provider_error(429, "x", "x", retry_after_s=60))
    assert await run(script, A, B, max_backoff=Duration(5)) == 200
    assert (script.asked, slept) == (["a", "b"], [])


async def test_a_long_retry_after_of_the_last_target_is_passed_on(slept: list[float]) -> None:
    ex = exchange()
    ex.targets = (A,)
    script = Script(provider_error(429, "x", "x", retry_after_s=60))
    with pytest.raises(GatewayError) as caught:
        await Failover(FailoverOptions())(ex, script)
    assert caught.value.retry_after_s == 60
    assert (script.asked, slept) == (["a"], [])


async def test_an_upload_is_sent_once(slept: list[float]) -> None:
    script = Script(500)
    assert await run(script, A, B, upload=True) == 500
    assert script.asked == ["a"]


async def test_what_is_no_gateway_error_is_not_caught() -> None:
    ex = exchange()
    ex.targets = (A, B)

    async def breaks(ex: Exchange) -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Failover(FailoverOptions())(ex, breaks)


async def test_a_client_that_leaves_ends_the_waiting() -> None:
    ex = exchange()
    ex.targets = (A, B)
    script = Script(provider_error(429, "x", "x", retry_after_s=4))
    task = asyncio.ensure_future(Failover(FailoverOptions())(ex, script))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.asked == ["a"]


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
