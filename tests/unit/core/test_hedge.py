"""Hedged requests: a second attempt beside a slow one, the loser cancelled and on the record, the cost capped."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.parts import CHAT, STREAM, Live, Provider, after, completion, live, never, providers, reply, sse, until

PRICES = {"models": {"gpt-4o": {"input": 2, "output": 8}, "gpt-spare": {"input": 2, "output": 8}}}


def config(one: Provider, two: Provider | None = None, prices: Any = PRICES, **hedge: Any) -> dict[str, Any]:
    hedged = {"hedge": {"delay": "100ms"} | hedge, "retries": 0}
    return {
        "chain": ["auth", "route", {"failover": hedged}, "translate", "forward", "meter"],
        "models": {"fallbacks": {"gpt-4o": ["two/gpt-spare"]}} if two is not None else {},
        "providers": providers(one.url, *([two.url] if two is not None else [])),
        "prices": prices,
    }


async def rows(gateway: Live) -> list[tuple[str, str, str]]:
    """Provider, outcome and kind of usage of every attempt, once they are on the record: a loser's usage is counted first."""
    await until(lambda: bool(gateway.lines()))
    lines = gateway.lines("attempt") + gateway.lines()
    return [(line["provider"], line["attempt_outcome"], line["usage"]) for line in lines]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_slow_attempt_is_overtaken_by_one_at_the_next_target(tmp_path: Path, stream: bool) -> None:
    answer = sse(STREAM) if stream else reply(completion("spare"))
    async with Provider(never) as one, Provider(answer) as two:
        async with live(config(one, two), tmp_path) as gateway:
            status, body, headers = await gateway.post(body=CHAT | {"stream": stream})
            await until(lambda: one.open == 0)  # the loser's connection is closed
            assert sorted(await rows(gateway)) == [("one", "cancelled", "estimated"), ("two", "ok", "reported")]
        assert (len(one.seen), len(two.seen)) == (1, 1)
    assert (status, headers["x-edgegate-provider"], headers["x-edgegate-attempts"]) == (200, "two", "2")
    assert (b"[DONE]" in body) is stream


async def test_a_quick_attempt_has_no_other_beside_it(tmp_path: Path) -> None:
    async with Provider() as one, Provider() as two:
        async with live(config(one, two), tmp_path) as gateway:
            status, _, headers = await gateway.post()
            assert await rows(gateway) == [("one", "ok", "reported")]
        assert two.seen == []
    assert (status, headers["x-edgegate-provider"]) == (200, "one")


async def test_the_first_attempt_may_still_win(tmp_path: Path) -> None:
    async with Provider(after(0.25, reply(completion("one")))) as one, Provider(never) as two, live(config(one, two), tmp_path) as gateway:
        status, body, headers = await gateway.post()
        assert sorted(await rows(gateway)) == [("one", "ok", "reported"), ("two", "cancelled", "estimated")]
    assert (status, headers["x-edgegate-provider"]) == (200, "one")
    assert json.loads(body)["choices"][0]["message"]["content"] == "one"


async def test_the_loser_is_charged_with_an_estimate_of_its_input(tmp_path: Path) -> None:
    async with Provider(never) as one, Provider() as two, live(config(one, two), tmp_path) as gateway:
        await gateway.post(body=CHAT | {"messages": [{"role": "user", "content": "word " * 400}]})
        await rows(gateway)
        (loser,) = [line for line in gateway.lines("attempt") + gateway.lines() if line["provider"] == "one"]
        assert 400 < loser["input_tokens"] < 420
        assert float(loser["cost_usd"]) == pytest.approx(loser["input_tokens"] * 2e-6)


async def test_no_attempt_is_made_that_could_cost_too_much(tmp_path: Path) -> None:
    async with (
        Provider(after(0.3, reply(completion("one")))) as one,
        Provider() as two,
        live(config(one, two, max_cost_usd=0.001), tmp_path) as gateway,
    ):
        status, _, _ = await gateway.post(body=CHAT | {"max_tokens": 1000})
        assert (status, two.seen) == (200, [])
        await gateway.post(body=CHAT | {"max_tokens": 10})
        assert len(two.seen) == 1


async def test_no_attempt_is_made_whose_price_is_not_known(tmp_path: Path) -> None:
    async with Provider(after(0.3, reply(completion("one")))) as one, Provider() as two:
        unknown = config(one, two) | {"models": {"fallbacks": {"gpt-4o": ["two/nobody-knows-it"]}}}
        async with live(unknown, tmp_path) as gateway:
            status, _, _ = await gateway.post()
        assert (status, two.seen) == (200, [])


async def test_the_only_target_is_asked_a_second_time(tmp_path: Path) -> None:
    async with Provider(never, reply(completion("again"))) as one, live(config(one), tmp_path) as gateway:
        status, body, _ = await gateway.post()
        assert (status, len(one.seen)) == (200, 2)
        assert b"again" in body


async def test_an_attempt_that_fails_leaves_the_race_to_the_others(tmp_path: Path) -> None:
    failed = after(0.2, reply(b'{"error":{"message":"down"}}', 500))
    async with Provider(failed) as one, Provider(after(0.4, reply(completion("two")))) as two, live(config(one, two), tmp_path) as gateway:
        status, _, headers = await gateway.post()
        assert sorted(await rows(gateway)) == [("one", "failed", "none"), ("two", "ok", "reported")]
    assert (status, headers["x-edgegate-provider"]) == (200, "two")


async def test_when_all_fail_the_caller_gets_an_error(tmp_path: Path) -> None:
    slow = after(0.2, reply(b'{"error":{"message":"down"}}', 500))
    async with Provider(slow) as one, Provider(slow) as two, live(config(one, two), tmp_path) as gateway:
        status, _, _ = await gateway.post()
        assert sorted(await rows(gateway)) == [("one", "failed", "none"), ("two", "failed", "none")]
        assert gateway.faults() == []
    assert status == 500


async def test_a_caller_that_leaves_ends_all_that_race(tmp_path: Path) -> None:
    async with Provider(never) as one, Provider(never) as two, live(config(one, two), tmp_path) as gateway:
        call = asyncio.ensure_future(gateway.post())
        await until(lambda: len(one.seen) == len(two.seen) == 1)
        call.cancel()
        await asyncio.wait([call])
        await until(lambda: one.open == two.open == 0)
        await until(lambda: gateway.gateway.gate.in_flight == 0)
        assert sorted(row[:2] for row in await rows(gateway)) == [("one", "client_gone"), ("two", "client_gone")]
        snapshot = gateway.gateway._board.snapshot(0.0)
        assert [state["in_flight"] for state in snapshot.values()] == [0, 0]
