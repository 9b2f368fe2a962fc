"""Load balancing, several keys, learned limits and the caller's own time limits, over real sockets."""

from __future__ import annotations

import asyncio
import collections
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.parts import CHAT, Busy, Provider, after, chunk, completion, live, never, reply

ERROR = b'{"error":{"message":"no","type":"x"}}'


def config(*urls: str, failover: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    entries = {
        f"p{number}": {"dialect": "openai", "base_url": f"{url}/v1", "api_key": f"secret-key-{number}"} for number, url in enumerate(urls)
    }
    return {"chain": ["auth", "route", {"failover": failover or {}}, "translate", "forward", "meter"], "providers": entries} | more


def balance(strategy: str, **weights: float) -> dict[str, Any]:
    return {"balance": {"gpt-4o": {"strategy": strategy, "targets": {f"{name}/gpt-4o": weight for name, weight in weights.items()}}}}


async def test_requests_are_spread_by_weight(tmp_path: Path) -> None:
    async with Provider() as one, Provider() as two:
        settings = config(one.url, two.url, models=balance("weighted", p0=3, p1=1))
        async with live(settings, tmp_path) as gateway:
            for _ in range(120):
                status, _, headers = await gateway.post()
                assert (status, "x-edgegate-fallback" in headers) == (200, False)
        assert len(one.seen) + len(two.seen) == 120
        assert 70 <= len(one.seen) <= 108  # 90 expected; 4 sigma


async def test_the_least_busy_target_is_taken(tmp_path: Path) -> None:
    async with Provider(after(0.3, reply(completion()))) as one, Provider(after(0.3, reply(completion()))) as two:
        settings = config(one.url, two.url, models=balance("least_in_flight", p0=1, p1=1))
        async with live(settings, tmp_path) as gateway:
            await asyncio.gather(*[gateway.post() for _ in range(10)])
        assert (len(one.seen), len(two.seen)) == (5, 5)


async def test_the_quicker_target_is_preferred(tmp_path: Path) -> None:
    async with Provider(after(0.1, reply(completion()))) as one, Provider() as two:
        settings = config(one.url, two.url, models=balance("lowest_latency", p0=1, p1=1))
        async with live(settings, tmp_path) as gateway:
            for _ in range(40):
                await gateway.post()
        assert 1 <= len(one.seen) <= 12
        assert len(two.seen) >= 28


async def test_one_conversation_stays_at_one_target_from_turn_to_turn(tmp_path: Path) -> None:
    async with Provider() as one, Provider() as two, Provider() as three:
        settings = config(one.url, two.url, three.url, models=balance("affinity", p0=1, p1=1, p2=1))
        places: dict[int, set[str]] = collections.defaultdict(set)
        async with live(settings, tmp_path) as gateway:
            for turn in range(4):
                for conversation in range(12):
                    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"question {conversation}"}]
                    messages += [{"role": "assistant", "content": "a"}, {"role": "user", "content": "more"}] * turn
                    _, _, headers = await gateway.post(body=CHAT | {"messages": messages})
                    places[conversation].add(headers["x-edgegate-provider"])
            named = [(await gateway.post(headers={"x-edgegate-affinity": "mine"}))[2]["x-edgegate-provider"] for _ in range(6)]
    assert all(len(where) == 1 for where in places.values())
    assert len(set.union(*places.values())) == 3
    assert len(set(named)) == 1


async def test_a_fallback_may_be_a_balanced_name(tmp_path: Path) -> None:
    async with Provider(reply(ERROR, 503)) as one, Provider() as two, Provider() as three:
        models = {
            "fallbacks": {"gpt-4o": ["spare"]},
            "balance": {"spare": {"strategy": "weighted", "targets": {"p1/m": 1, "p2/m": 1}}},
        }
        entries = config(one.url, two.url, three.url, models=models)
        entries["providers"]["p0"]["models"] = ["gpt-4o"]
        async with live(entries, tmp_path) as gateway:
            for _ in range(30):
                status, _, headers = await gateway.post()
                assert (status, headers["x-edgegate-fallback"]) == (200, "true")
        assert len(two.seen) >= 4
        assert len(three.seen) >= 4


async def test_a_balanced_name_is_listed(tmp_path: Path) -> None:
    async with Provider() as one, live(config(one.url, models=balance("weighted", p0=1)), tmp_path) as gateway:
        _, body, _ = await gateway.get("/v1/models")
    assert "gpt-4o" in [model["id"] for model in json.loads(body)["data"]]


# -- several keys


def keyed(url: str, **more: Any) -> dict[str, Any]:
    settings = config(url)
    settings["providers"]["p0"] = {"dialect": "openai", "base_url": f"{url}/v1", "api_keys": ["secret-key-a", "secret-key-b"]} | more
    return settings


async def test_requests_are_spread_over_the_keys_of_a_provider(tmp_path: Path) -> None:
    async with Provider(after(0.2, reply(completion()))) as one, live(keyed(one.url), tmp_path) as gateway:
        await asyncio.gather(*[gateway.post() for _ in range(8)])
        used = collections.Counter(seen.header("authorization") for seen in one.seen)
    assert used == {"Bearer secret-key-a": 4, "Bearer secret-key-b": 4}


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_key_that_is_refused_gives_way_to_another(tmp_path: Path, status: int) -> None:
    async def by_key(seen: Any, writer: asyncio.StreamWriter) -> None:
        good = seen.header("authorization") == "Bearer secret-key-b"
        writer.write(reply(completion()) if good else reply(ERROR, status, retry_after="30"))

    async with Provider(by_key) as one, live(keyed(one.url, balance="ordered"), tmp_path) as gateway:
        answers = [await gateway.post() for _ in range(3)]
        used = [seen.header("authorization") for seen in one.seen]
        log = gateway.log.getvalue()
    assert [answer[0] for answer in answers] == [200, 200, 200]
    assert used == ["Bearer secret-key-a"] + ["Bearer secret-key-b"] * 3
    assert b"secret-key" not in log


async def test_a_key_that_the_provider_quotes_stays_secret_whichever_it_was(tmp_path: Path) -> None:
    quoting = reply(b'{"error":{"message":"bad key secret-key-a and secret-key-b"}}', 401)
    async with Provider(quoting) as one, live(keyed(one.url), tmp_path) as gateway:
        status, body, _ = await gateway.post()
    assert status == 401
    assert b"secret-key" not in body


# -- learned limits


def limited(remaining: int, reset: str = "30s", status: int = 200) -> bytes:
    body = completion() if status == 200 else ERROR
    return reply(
        body,
        status,
        x_ratelimit_limit_requests="100",
        x_ratelimit_remaining_requests=str(remaining),
        x_ratelimit_reset_requests=reset,
    )


async def test_calls_are_diverted_before_the_429(tmp_path: Path) -> None:
    async with Provider(limited(2, "60s")) as one, Provider() as two:
        settings = config(one.url, two.url, models={"fallbacks": {"gpt-4o": ["p1/gpt-4o"]}})
        settings["providers"]["p0"]["models"] = ["gpt-4o"]
        one.answers = [limited(2, "60s"), limited(1, "60s"), limited(0, "60s")]
        async with live(settings, tmp_path) as gateway:
            where = [(await gateway.post())[2]["x-edgegate-provider"] for _ in range(6)]
    assert where == ["p0", "p0", "p0", "p1", "p1", "p1"]


async def test_calls_without_an_alternative_wait_for_the_vendors_limit(tmp_path: Path) -> None:
    async with Provider(limited(0, "40s"), reply(completion())) as one, live(config(one.url), tmp_path) as gateway:
        await gateway.post()
        began = time.monotonic()
        status, _, _ = await gateway.post()
        waited = time.monotonic() - began
    assert status == 200
    assert 0.2 <= waited <= 2.0  # the bucket of 100 refills in 40 s: one request in 0.4 s


async def test_calls_that_would_wait_too_long_are_told_so(tmp_path: Path) -> None:
    async with Provider(reply(ERROR, 429, retry_after="50"), reply(completion())) as one, live(config(one.url), tmp_path) as gateway:
        assert (await gateway.post())[0] == 429
        status, body, headers = await gateway.post()
        assert len(one.seen) == 1
    assert (status, json.loads(body)["error"]["code"], headers["x-edgegate-error-source"]) == (429, "rate_limit_exceeded", "gateway")
    assert 45 <= int(headers["retry-after"]) <= 50


async def test_attempts_at_once_are_capped_for_each_target(tmp_path: Path) -> None:
    busy = Busy()
    async with Provider(busy) as one:
        settings = config(one.url)
        settings["providers"]["p0"]["max_in_flight"] = 3
        async with live(settings, tmp_path) as gateway:
            answers = await asyncio.gather(*[gateway.post() for _ in range(15)])
    assert [answer[0] for answer in answers] == [200] * 15
    assert busy.most == 3


# -- the caller's own time limits


@pytest.mark.parametrize(
    ("header", "code", "stream"),
    [
        ("x-edgegate-timeout", "total_timeout", False),
        ("x-edgegate-timeout", "total_timeout", True),
        ("x-edgegate-first-token-timeout", "first_token_timeout", True),
    ],
)
async def test_a_caller_may_shorten_the_limits(tmp_path: Path, header: str, code: str, stream: bool) -> None:
    async with Provider(never) as one, live(config(one.url), tmp_path) as gateway:
        began = time.monotonic()
        status, body, _ = await gateway.post(body=CHAT | {"stream": stream}, headers={header: "300ms"})
        took = time.monotonic() - began
    assert (status, json.loads(body)["error"]["code"]) == (504, code)
    assert took < 2


async def test_a_callers_limit_is_for_all_attempts_together(tmp_path: Path) -> None:
    async with (
        Provider(after(0.35, reply(ERROR, 500))) as one,
        live(config(one.url, failover={"retries": 5, "attempts": 9}), tmp_path) as gateway,
    ):
        began = time.monotonic()
        status, _, _ = await gateway.post(headers={"x-edgegate-timeout": "0.8"})
        took = time.monotonic() - began
        assert 2 <= len(one.seen) <= 3
    assert status in (500, 504)
    assert took < 2.5


async def test_a_silent_stream_is_cut_when_the_caller_says(tmp_path: Path) -> None:
    async def stalls(seen: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + chunk("half an"))
        await asyncio.sleep(30)

    async with Provider(stalls) as one, live(config(one.url), tmp_path) as gateway:
        began = time.monotonic()
        status, body, _ = await gateway.post(body=CHAT | {"stream": True}, headers={"x-edgegate-idle-timeout": "300ms"})
        took = time.monotonic() - began
    assert (status, took < 3) == (200, True)
    assert b"idle_timeout" in body
    assert b"[DONE]" not in body


@pytest.mark.parametrize("value", ["soon", "-1", "0", "1e400", "NaN", "5 years", ""])
async def test_a_limit_that_is_none_is_refused_by_name(tmp_path: Path, value: str) -> None:
    async with Provider() as one, live(config(one.url), tmp_path) as gateway:
        status, body, _ = await gateway.post(headers={"x-edgegate-idle-timeout": value})
        assert one.seen == []
    assert status == 400
    assert "x-edgegate-idle-timeout" in json.loads(body)["error"]["message"]
