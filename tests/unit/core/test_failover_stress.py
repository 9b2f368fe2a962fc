"""Hundreds of exchanges at once against providers that misbehave at random, by callers that leave at random: every one of them ends
in a whole answer or in an explicit error, every attempt is on the record once, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.unit.core.parts import CHAT, DONE, USAGE_CHUNK, Live, Provider, Seen, chunk, completion, live, reply, until

WORDS = [f"word{number} " for number in range(12)]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
ERROR = json.dumps({"error": {"message": "no", "type": "server_error", "code": None}}).encode()

FAULTS = ("well", "well", "well", "slow", "cut", "stall", "500", "503", "429", "429 long", "401", "400", "reset", "html", "empty", "never")


class Troubled:
    """Answers at random. What it saw is counted by the id of the exchange."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.asked: Counter[str] = Counter()

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        request = seen.json
        self.asked[request["user"]] += 1
        draw = self.random
        fault = draw.choice(FAULTS)
        with contextlib.suppress(ConnectionError):
            await self._answer(fault, bool(request.get("stream")), draw, seen, writer)
            await writer.drain()
        writer.close()  # a connection carries one call: a stale one would be asked a second time

    async def _answer(self, fault: str, stream: bool, draw: random.Random, seen: Seen, writer: asyncio.StreamWriter) -> None:
        match fault:
            case "500" | "503" | "401" | "400":
                writer.write(reply(ERROR, int(fault), connection="close"))
            case "429":
                writer.write(reply(ERROR, 429, retry_after="0", connection="close"))
            case "429 long":
                writer.write(reply(ERROR, 429, retry_after="0.2", connection="close"))
            case "reset":
                writer.write(b"HTTP/1.1 2")
                await writer.drain()
                writer.transport.abort()
            case "html":
                writer.write(reply(b"<html>", content_type="text/html", connection="close"))
            case "empty":
                writer.write(STREAM_HEAD if stream else reply(b"", connection="close"))
            case "never":
                writer.write(b"HTTP/1.1 200")
                await seen.reader.read(1)  # until the gateway hangs up
            case _ if not stream:
                if fault in ("slow", "stall"):
                    await asyncio.sleep(draw.uniform(0, 0.1))
                whole = reply(completion("".join(WORDS)), connection="close")
                writer.write(whole[: len(whole) // 2] if fault == "cut" else whole)
            case _:
                await self._stream(fault, draw, seen, writer)

    async def _stream(self, fault: str, draw: random.Random, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        broken = draw.randrange(len(WORDS)) if fault in ("cut", "stall") else len(WORDS)
        for word in WORDS[:broken]:
            writer.write(chunk(word))
            if fault != "well":
                await asyncio.sleep(draw.uniform(0, 0.01))
        if fault == "stall":
            await writer.drain()
            await seen.reader.read(1)
        elif fault != "cut":
            writer.write(chunk(finish="stop") + USAGE_CHUNK + DONE)


def config(urls: list[str], hedge: bool, drain: bool, midstream: str, coalesce: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "attempts": 4,
        "retries": 1,
        "backoff": "5ms",
        "max_backoff": "500ms",
        "retry_budget": 1,
        "budget": "3s",
        "first_token": "300ms",
        "plain_reply": "400ms",
        "midstream": midstream,
        "breaker": {"failures": 4, "reset": "50ms"},
    }
    if hedge:
        options["hedge"] = {"delay": "20ms", "max": 2}
    forward = {"first_token": "500ms", "idle": "300ms", "total": "1s", "client_gone": "drain" if drain else "cancel"}
    queue = {"concurrency": 60, "size": 1000, "max_wait": "20s"}
    names = [f"p{number}" for number in range(len(urls))]
    providers: dict[str, Any] = {
        name: {"dialect": "openai", "base_url": f"{url}/v1", "api_keys": [f"secret-{name}-a", f"secret-{name}-b"], "max_in_flight": 25}
        for name, url in zip(names, urls, strict=True)
    }
    chain: list[Any] = ["auth", "coalesce"] if coalesce else ["auth"]
    return {
        "chain": [*chain, "route", {"queue": queue}, {"failover": options}, "translate", {"forward": forward}, "meter"],
        "providers": providers,
        "models": {
            "balance": {"both": {"strategy": "least_in_flight", "targets": {"p0/m": 1, "p1/m": 1}}},
            "fallbacks": {"both": ["p2/m"]},
        },
        "prices": {"models": {"m": {"input": 1, "output": 1}}},
    }


async def call(gateway: Live, number: int, draw: random.Random, shared: bool) -> str:
    """One caller: how it ended, in one word. It may leave before the head, in the stream, or never."""
    stream = draw.random() < 0.6
    content = f"question {number % 7 if shared else number}"
    user = "shared" if shared else str(number)
    body = CHAT | {"model": "both", "stream": stream, "user": user, "messages": [{"role": "user", "content": content}]}
    leaves = draw.random()
    headers = {"content-type": "application/json", "x-request-id": f"call-{number}"}
    if draw.random() < 0.15:
        headers["x-edgegate-timeout"] = f"{draw.randrange(20, 800)}ms"
    patience = draw.uniform(0.0, 0.15) if leaves < 0.3 else 20.0
    try:
        async with asyncio.timeout(patience):
            async with gateway.http.post(gateway.url + "/v1/chat/completions", data=json.dumps(body), headers=headers) as response:
                data = await response.read()
    except TimeoutError:
        assert leaves < 0.3, "the gateway hung"
        return "left"
    except aiohttp.ClientError as error:
        raise AssertionError(f"the framing broke: {error!r}") from None
    if response.status != 200:
        assert json.loads(data)["error"]["message"]
        assert "x-request-id" in response.headers
        return "refused"
    if not stream:
        assert json.loads(data)["choices"][0]["message"]["content"] == "".join(WORDS)
        return "whole"
    events = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")]
    errors = [event for event in events if "error" in event]
    said = "".join(choice["delta"].get("content") or "" for event in events for choice in event.get("choices", ()))
    finished = any(choice.get("finish_reason") for event in events for choice in event.get("choices", ()))
    if errors:
        assert len(errors) == 1
        assert b"[DONE]" not in data
        assert not finished
        assert "".join(WORDS).startswith(said)
        return "broken"
    assert (said, finished) == ("".join(WORDS), True)
    assert data.rstrip().endswith(b"[DONE]")
    return "whole"


@pytest.mark.parametrize(
    ("seed", "hedge", "drain", "midstream", "coalesce"),
    [
        (1, False, False, "error", False),
        (2, True, False, "continue", False),
        (3, True, True, "restart", False),
        (4, False, True, "continue", False),
        (5, True, False, "restart", True),
        (6, True, True, "continue", True),
    ],
)
async def test_nothing_is_left_behind(tmp_path: Path, seed: int, hedge: bool, drain: bool, midstream: str, coalesce: bool) -> None:
    draw = random.Random(seed)
    troubled = [Troubled(seed * 10 + number) for number in range(3)]
    async with Provider(troubled[0]) as one, Provider(troubled[1]) as two, Provider(troubled[2]) as three:
        places = [one, two, three]
        async with live(config([place.url for place in places], hedge, drain, midstream, coalesce), tmp_path) as gateway:
            tasks_before = len(asyncio.all_tasks())
            ends: Counter[str] = Counter()
            for wave in range(4):
                calls = [call(gateway, wave * 75 + number, draw, coalesce and number % 3 == 0) for number in range(75)]
                ends.update(await asyncio.gather(*calls))
            gate = gateway.gateway.gate
            await until(lambda: gate.in_flight == 0, 8)
            board = gateway.gateway._board
            await until(lambda: all(state.in_flight == 0 for state in board._states.values()))
            assert ends["whole"] > 20, "hardly anybody got an answer: these are not the troubles that were meant"
            for state in board._states.values():
                assert [lane.in_flight for lane in state.lanes] == [0, 0]
                assert not state.breaker._out, "a ticket was not given back"
            stages = {type(stage).__name__: stage for stage in gateway.gateway._resources}
            await until(lambda: not stages["Failover"].tasks)  # type: ignore[attr-defined]
            assert not stages["Failover"]._freed  # type: ignore[attr-defined]
            if coalesce:
                await until(lambda: not stages["Coalesce"].tasks)  # type: ignore[attr-defined]
                assert not stages["Coalesce"]._flights  # type: ignore[attr-defined]
            metrics = gateway.gateway.metrics
            assert metrics.queue_running.values[()] == 0
            assert set(metrics.queue_depth.values.values()) == {0}
            await gateway.http.close()
            await until(lambda: len(asyncio.all_tasks()) <= tasks_before + sum(place.open for place in places))
            pools = [upstream.pool for upstream in stages["Forward"]._upstreams.values()]  # type: ignore[attr-defined]
            await until(lambda: all(place.open == 0 for place in places), 6)
            await until(lambda: all(pool.size == 0 for pool in pools))
            assert all(pool._connecting == 0 and not pool._waiters and pool._promised == 0 for pool in pools)
            assert gateway.gateway.deadlines is not None
            assert not [waiting for waiting in gateway.gateway.deadlines._waiting if type(waiting).__name__ in ("Call", "Place")]
            assert gateway.faults() == []
            rows = gateway.lines("attempt") + [line for line in gateway.lines() if line["attempts"]]
            assert len(gateway.lines()) <= 300
    recorded: Counter[str] = Counter()
    for row in rows:
        assert row["attempt_outcome"], row
        recorded[row["provider"]] += 1
    assert len({row["attempt_id"] for row in rows}) == len(rows)
    counted: Counter[str] = Counter()
    for (provider, _, _), number in metrics.attempts.values.items():
        counted[provider] += int(number)
    assert counted == recorded
    for number, place in enumerate(places):
        # one that was cancelled before it was sent is on the record, but nobody saw it
        unsent = [
            row for row in rows if row["provider"] == f"p{number}" and row["attempt_outcome"] in ("client_gone", "cancelled", "timeout")
        ]
        assert len(place.seen) <= recorded[f"p{number}"] <= len(place.seen) + len(unsent)
