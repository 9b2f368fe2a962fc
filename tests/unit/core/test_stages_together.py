"""All stages in one chain: a random mix of requests gets the answers that the bare chain gives, byte for byte, and each attempt is on
the record once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.parts import (
    CHAT,
    DONE,
    MESSAGES,
    USAGE_CHUNK,
    Live,
    Provider,
    Seen,
    chunk,
    completion,
    live,
    providers,
    reply,
    sse,
    until,
)

FAILOVER: dict[str, Any] = {"attempts": 4, "backoff": "1ms", "retry_budget": 5, "breaker": {"failures": 0}, "outliers": {"error_rate": 0}}
ALL: list[Any] = [
    "auth",
    "cache",
    "idempotency",
    "coalesce",
    "route",
    {"queue": {"concurrency": 6, "size": 500}},
    {"failover": FAILOVER | {"hedge": {"delay": "40ms"}, "midstream": "continue"}},
    "translate",
    "forward",
    "meter",
]
BARE: list[Any] = ["auth", "route", {"failover": FAILOVER}, "translate", "forward", "meter"]
SPARED = (("cache", "hit"), ("replayed", True), ("coalesced", True))
"""In a log line: why no call was made. The mix has each of them."""

ID = re.compile(rb'"(?:id|request_id)": ?"[^"]*"')
"""An answer that was made for another exchange has that one's id, where the gateway makes it up."""


def question(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


class Oracle:
    """Answers each question in one way only, but fails at first, or takes its time, as often as chance will have it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.asked = 0

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        body = seen.json
        self.asked += 1
        trouble = self._random.random()
        if trouble < 0.15:
            writer.write(reply(b'{"error":{"message":"down","type":"server_error","code":null}}', 500))
            return
        await asyncio.sleep(0.06 if trouble < 0.25 else self._random.uniform(0, 0.01))
        asked = question(body)
        if asked.startswith("bad"):
            writer.write(reply(b'{"error":{"message":"no such thing","type":"invalid_request_error","code":"bad"}}', 400))
            return
        words = hashlib.sha256(asked.encode()).hexdigest()[:24]
        if body.get("stream"):
            parts = [chunk(words[at : at + 6]) for at in range(0, 24, 6)]
            usage = USAGE_CHUNK if (body.get("stream_options") or {}).get("include_usage") else b""
            writer.write(sse(b"".join(parts) + chunk(finish="stop") + usage + DONE))
        else:
            writer.write(reply(completion(words)))


def mix(seed: int, number: int) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    """Path, body and headers. The first ones are alike, so that there is something to share."""
    draw = random.Random(seed)
    alike = CHAT | {"messages": [{"role": "user", "content": "good as the others"}]}
    path = "/v1/chat/completions"
    made: list[tuple[str, dict[str, Any], dict[str, str]]] = [(path, alike, {})] * 3
    made += [(path, alike | {"temperature": 1}, {"Idempotency-Key": "alike"})] * 3
    for _ in range(number):
        messages = draw.random() < 0.4
        body: dict[str, Any] = dict(MESSAGES if messages else CHAT)
        kind = "bad" if draw.random() < 0.1 else "good"
        body["messages"] = [{"role": "user", "content": f"{kind} {draw.randrange(8)}"}]
        body["stream"] = draw.random() < 0.5
        body["temperature"] = draw.choice((0, 0, 1))
        headers = {}
        if draw.random() < 0.4:
            said = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
            headers["Idempotency-Key"] = f"key-{said}-{draw.randrange(2)}"
        if draw.random() < 0.2:
            headers["Cache-Control"] = "no-store"
        if draw.random() < 0.3:
            headers["x-edgegate-priority"] = draw.choice(("low", "normal"))
        made.append(("/v1/messages" if messages else "/v1/chat/completions", body, headers))
    return made


def config(chain: list[Any], *urls: str) -> dict[str, Any]:
    return {
        "chain": chain,
        "providers": providers(*urls),
        "models": {"fallbacks": {"gpt-4o": ["two/gpt-4o"]}},
        "prices": {"models": {"gpt-4o": {"input": 2, "output": 8}}},
    }


async def answers(gateway: Live, requests: list[tuple[str, dict[str, Any], dict[str, str]]], at_once: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for start in range(0, len(requests), at_once):
        wave = [gateway.post(path, body, headers) for path, body, headers in requests[start : start + at_once]]
        found += [(status, ID.sub(b"", data)) for status, data, _ in await asyncio.gather(*wave)]
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_mix_of_requests_gets_what_the_bare_chain_gives(tmp_path: Path, seed: int) -> None:
    requests = mix(seed, 120)
    steady = Oracle(0)
    steady._random.random = lambda: 0.5  # type: ignore[method-assign]
    async with Provider(steady) as one, live(config(BARE, one.url) | {"models": {}}, tmp_path) as gateway:
        expected = await answers(gateway, requests, 20)
    oracles = Oracle(seed), Oracle(seed + 100)
    async with Provider(oracles[0]) as one, Provider(oracles[1]) as two, live(config(ALL, one.url, two.url), tmp_path) as gateway:
        found = await answers(gateway, requests, 40)
        await until(lambda: gateway.gateway.gate.in_flight == 0)
        snapshot = gateway.gateway._board.snapshot(0.0)
        assert {shown["in_flight"] for shown in snapshot.values()} == {0}
        assert gateway.gateway.metrics.queue_running.values[()] == 0
        await until(lambda: len(gateway.lines()) == len(requests))
        rows = gateway.lines("attempt") + [line for line in gateway.lines() if line["attempts"]]
        lines = gateway.lines()
        assert len(lines) == len(requests)
        assert gateway.faults() == []
    assert [status for status, _ in found] == [status for status, _ in expected]
    for (path, body, _), (_, bytes_found), (_, bytes_expected) in zip(requests, found, expected, strict=True):
        assert bytes_found == bytes_expected, (path, body)
    assert Counter(status for status, _ in found).keys() == {200, 400}
    asked = Counter(row["provider"] for row in rows)
    cancelled = Counter(row["provider"] for row in rows if row["attempt_outcome"] == "cancelled")
    for name, oracle in zip(("one", "two"), oracles, strict=True):
        assert oracle.asked <= asked[name] <= oracle.asked + cancelled[name]  # one may be cancelled before it was sent
    assert min(len([line for line in lines if line.get(name) == value]) for name, value in SPARED) > 0
