"""News between replicas over a real Valkey: all others hear, nobody hears itself, a server that goes away costs items and no more."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import structlog

from edgegate.server.news import GATHER_S, MAX_ITEM_BYTES
from edgegate.server.news_redis import OUTBOX, RedisNews
from tests.servers.valkey import ValkeyServer
from tests.unit.core.parts import Clock, until

OPEN = {"what": "breaker", "target": "openai/gpt-4o", "state": "open", "for_s": 15.0}
CLOSED = {"what": "breaker", "target": "openai/gpt-4o", "state": "closed"}
HOLD = {"what": "hold", "target": "openai/gpt-4o", "key": 0, "for_s": 2.0}


class Replica:
    """One end, with what it heard."""

    def __init__(self, url: str, namespace: str, holder: str, clock: Callable[[], float] = time.time) -> None:
        self.heard: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.news = RedisNews(url, namespace, holder, self.heard.append, clock, lambda result: self.counts.update([result]))

    def items(self) -> list[dict[str, Any]]:
        return [{name: value for name, value in item.items() if name != "unix"} for item in self.heard]


@asynccontextmanager
async def replicas(url: str, namespace: str, *holders: str, clock: Callable[[], float] = time.time) -> AsyncIterator[list[Replica]]:
    made = [Replica(url, namespace, holder, clock) for holder in holders]
    for replica in made:
        await replica.news.open()
    try:
        await until(lambda: all(replica.news.listening for replica in made))
        yield made
    finally:
        for replica in made:
            await replica.news.close()


async def test_all_others_hear_what_one_tells_and_it_does_not_hear_itself(valkey: ValkeyServer, namespace: str) -> None:
    async with replicas(valkey.url, namespace, "a", "b", "c") as (one, two, three):
        one.news.tell(OPEN)
        two.news.tell(HOLD)
        await until(lambda: len(three.heard) == 2)
        await until(lambda: bool(one.heard and two.heard))
        assert (one.items(), two.items()) == ([HOLD], [OPEN])
        assert abs(two.heard[0]["unix"] - time.time()) < 1
        assert one.counts == {"told": 1, "heard": 1}


async def test_other_deployments_on_the_same_server_are_not_heard(valkey: ValkeyServer, namespace: str) -> None:
    async with replicas(valkey.url, namespace, "a", "b") as (one, two), replicas(valkey.url, namespace + "-other", "c") as (other,):
        one.news.tell(OPEN)
        await until(lambda: bool(two.heard))
        other.news.tell(HOLD)
        await until(lambda: other.counts["told"] == 1)
        assert (one.heard, other.heard, two.items()) == ([], [], [OPEN])


async def test_a_burst_on_one_subject_is_its_first_and_its_last_item(valkey: ValkeyServer, namespace: str) -> None:
    async with replicas(valkey.url, namespace, "a", "b") as (one, two):
        for number in range(100):
            one.news.tell({**HOLD, "for_s": float(number)})
        await until(lambda: len(two.heard) == 2)
        await asyncio.sleep(3 * GATHER_S)
        assert [item["for_s"] for item in two.heard] == [0.0, 99.0]


async def test_what_still_waits_is_told_before_a_replica_leaves(valkey: ValkeyServer, namespace: str) -> None:
    async with replicas(valkey.url, namespace, "a", "b") as (one, two):
        one.news.tell(OPEN)
        one.news.tell(CLOSED)
        await one.news.close()
        await until(lambda: len(two.heard) == 2)
        assert two.items() == [OPEN, CLOSED]
        one.news.tell(OPEN)
        assert one.counts == {"told": 2}


async def test_old_items_are_not_news(valkey: ValkeyServer, namespace: str) -> None:
    clock = Clock(1000.0)
    early = Clock(994.9)
    async with replicas(valkey.url, namespace, "a", clock=early) as (one,), replicas(valkey.url, namespace, "b", clock=clock) as (two,):

        def told(item: dict[str, Any], done: bool) -> bool:
            """Tells it until it is done: what a busy machine cannot deliver at once is lost."""
            one.news.tell(item)
            return done

        await until(lambda: told(OPEN, two.counts["stale"] >= 1))
        early.now = 995.1
        await until(lambda: told(HOLD, HOLD in two.items()))
        assert OPEN not in two.items()


async def test_what_is_no_item_is_dropped_and_counted(valkey: ValkeyServer, namespace: str) -> None:
    async with replicas(valkey.url, namespace, "a") as (one,):
        channel = f"{{{namespace}}}:news"
        for data in ("", "x", "b\n{", "b\n[]", "b", 'b\n{"what":"weather","target":"t","unix":1}'):
            valkey.ask("PUBLISH", channel, data)
        valkey.ask("PUBLISH", channel, "b\n" + orjson.dumps({**OPEN, "unix": time.time()}).decode())
        await until(lambda: bool(one.heard))
        assert one.counts == {"malformed": 6, "heard": 1}


async def test_an_item_that_is_too_large_is_lost(valkey: ValkeyServer, namespace: str) -> None:
    async with replicas(valkey.url, namespace, "a", "b") as (one, two):
        one.news.tell({**OPEN, "target": "t" * MAX_ITEM_BYTES})
        one.news.tell(HOLD)
        await until(lambda: bool(two.heard))
        assert two.items() == [HOLD]
        assert one.counts == {"lost": 1, "told": 1}


async def test_more_than_can_wait_is_lost_and_the_newest_is_told(valkey: ValkeyServer, namespace: str) -> None:
    async with replicas(valkey.url, namespace, "a", "b") as (one, two):
        for number in range(OUTBOX + 10):
            one.news.tell({**HOLD, "key": number})
        assert one.counts["lost"] == 10
        await until(lambda: len(two.heard) == OUTBOX)
        assert two.heard[-1]["key"] == OUTBOX + 9


# -- a server that goes away


@pytest.fixture
async def own_server() -> AsyncIterator[ValkeyServer]:
    """For tests that kill it: other files' fixtures would have to start it again."""
    server = ValkeyServer()
    await server.start()
    yield server
    server.close()


async def test_replicas_hear_each_other_again_after_a_restart(own_server: ValkeyServer, namespace: str) -> None:
    async with replicas(own_server.url, namespace, "a", "b") as (one, two):
        one.news.tell(OPEN)
        await until(lambda: bool(two.heard))
        await own_server.stop()
        await until(lambda: not one.news.listening and not two.news.listening)
        began = time.monotonic()
        one.news.tell(HOLD)
        assert time.monotonic() - began < 0.01
        await until(lambda: one.counts["lost"] == 1)
        await own_server.start()
        await until(lambda: one.news.listening and two.news.listening, 5)
        await heard_again(one, two)
        await heard_again(two, one)


async def test_a_frozen_server_is_noticed_and_heard_again(
    own_server: ValkeyServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgegate.server.news_redis.QUIET_S", 0.2)
    async with replicas(own_server.url, namespace, "a", "b") as (one, two):
        own_server.freeze()
        await until(lambda: not one.news.listening and not two.news.listening, 5)
        one.news.tell(OPEN)
        await until(lambda: one.counts["lost"] == 1)
        own_server.thaw()
        await until(lambda: one.news.listening and two.news.listening, 5)
        await heard_again(one, two)


async def heard_again(teller: Replica, hearer: Replica) -> None:
    """What was told before the teller's own link is back is lost."""
    before = len(hearer.heard)

    def told() -> bool:
        teller.news.tell({**CLOSED, "target": str(time.monotonic())})
        return len(hearer.heard) > before

    await until(told, 5)


async def test_a_quiet_connection_stays(valkey: ValkeyServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgegate.server.news_redis.QUIET_S", 0.05)
    async with replicas(valkey.url, namespace, "a", "b") as (one, two):
        with structlog.testing.capture_logs() as lines:
            await asyncio.sleep(0.5)
            one.news.tell(OPEN)
            await until(lambda: bool(two.heard))
        assert lines == []


async def test_a_server_that_is_away_at_the_start_is_no_error_and_its_password_is_not_logged(
    own_server: ValkeyServer, namespace: str
) -> None:
    await own_server.stop()
    with structlog.testing.capture_logs() as lines:
        one, two = Replica(own_server.url, namespace, "a"), Replica(own_server.url, namespace, "b")
        await one.news.open()
        await two.news.open()
        one.news.tell(OPEN)
        await until(lambda: one.counts["lost"] == 1)
        await own_server.start()
        await until(lambda: one.news.listening and two.news.listening, 5)
        await heard_again(one, two)
        await one.news.close()
        await two.news.close()
    assert {line["event"] for line in lines} >= {"redis_lost", "news_lost"}
    assert own_server.password not in str(lines)


async def test_a_wrong_password_is_said_without_the_password(valkey: ValkeyServer, namespace: str) -> None:
    wrong = Replica(valkey.url.replace(valkey.password, "not-the-password"), namespace, "a")
    with pytest.raises(ValueError, match="Redis does not let edgegate in") as caught:
        await wrong.news.open()
    assert "not-the-password" not in str(caught.value)
    await wrong.news.close()
