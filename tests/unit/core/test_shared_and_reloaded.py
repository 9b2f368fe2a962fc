"""What a gateway takes up while it serves: prices that changed in its configuration, and what other replicas learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgegate.config.load import load
from edgegate.server.accounting import Reread
from edgegate.server.gateway import Gateway
from edgegate.server.news_redis import RedisNews
from tests.servers.valkey import ValkeyServer
from tests.unit.core.parts import CHAIN, CHAT, Log, Provider, live, providers, reply, until


def priced(file: Path, usd: Any) -> Path:
    models = {"house": {"input": usd, "output": 2}}
    file.write_text(json.dumps({"chain": CHAIN, "server": {"listen": "127.0.0.1:0"}, "prices": {"models": models}}))
    return file


async def test_prices_follow_the_configuration_without_a_restart(tmp_path: Path) -> None:
    file = priced(tmp_path / "config.yaml", 1)
    gateway = Gateway(load(file, {}), Log(), reread=Reread(lambda: load(file, {}), [file]))
    await gateway.open()
    try:
        prices = gateway.accounting.prices

        def dollars() -> float | None:
            rate = prices.rate("house")
            return rate.input / 1e6 if rate is not None else None

        assert dollars() == 1
        before = prices.version
        priced(file, 3)
        await until(lambda: dollars() == 3, 8)
        assert prices.version != before
        priced(file, "many")
        await until(lambda: any(event["kind"] == "prices_refused" for event in gateway.events.latest()), 8)
        assert dollars() == 3, "those before them hold"
    finally:
        await gateway.close()


async def test_a_replica_hears_over_redis_that_a_target_is_broken(valkey: ValkeyServer, namespace: str, tmp_path: Path) -> None:
    failover = {"failover": {"attempts": 1, "retries": 0, "breaker": {"failures": 1, "reset": "60s"}}}
    chain = [failover if isinstance(stage, dict) else stage for stage in CHAIN]
    async with Provider(reply(b"{}", 500)) as broken:
        given = {"chain": chain, "providers": providers(broken.url), "store": {"redis": valkey.url, "namespace": namespace}}
        async with live(given, tmp_path) as one, live(given, tmp_path) as two:
            for gate in (one, two):
                [channel] = [channel for channel in gate.gateway.news if isinstance(channel, RedisNews)]
                await until(lambda channel=channel: channel.listening, 5)  # type: ignore[misc]
            assert (await one.post(body=CHAT))[0] == 500
            await until(lambda: two.gateway.metrics.news.values.get(("heard",), 0) >= 1, 5)
            status, body, _ = await two.post(body=CHAT)
            assert (status, json.loads(body)["error"]["code"]) == (503, "circuit_open")
            assert len(broken.seen) == 1, "the other replica did not have to find out by itself"
