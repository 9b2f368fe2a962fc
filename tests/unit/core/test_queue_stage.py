"""The queue stage: alone, with what the gate does around it; under random load; and in a gateway in front of a slow provider."""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgegate.access.keys import Key
from edgegate.config.model import KeyOptions
from edgegate.config.option import PRIORITIES, Duration, Secret
from edgegate.config.stages import QueueOptions
from edgegate.errors import GatewayError, Source
from edgegate.exchange import Exchange, Reply
from edgegate.observe.metrics import Metrics
from edgegate.server.build import build_keys
from edgegate.stages.queue import Queue
from edgegate.upstream.deadlines import Deadlines
from tests.unit.core.parts import (
    CHAIN,
    CHAT,
    DONE,
    MESSAGES,
    Clock,
    Live,
    Provider,
    Seen,
    chunk,
    completion,
    exchange,
    live,
    providers,
    reply,
    until,
)

DONE_REPLY = Reply(200, [], b"", "")
Work = Callable[[], Awaitable[Any]]


class Desk:
    """A queue stage, and the gate around it: `on_end` is called once, whatever happened."""

    def __init__(self, *, clock: Clock | None = None, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        self.deadlines = Deadlines(loop, 0.01 if clock is None else 1000.0)  # the sweep looks at the loop's clock
        given = {"concurrency": 1, "max_wait": Duration(30)} | options
        self.queue = Queue(QueueOptions(**given), self.deadlines, self.metrics, clock or loop.time)
        self.order: list[str] = []
        self.peak = 0
        self.came = 0

    async def serve(self, ex: Exchange, work: Work) -> Reply:
        async def proceed(ex: Exchange) -> Reply:
            self.order.append(ex.id)
            self.peak = max(self.peak, self.queue.running)
            await work()
            return DONE_REPLY

        self.came += 1
        try:
            return await self.queue(ex, proceed)
        finally:
            self.end(ex)

    def start(self, work: Work, name: str = "abc", key: Key | None = None, **more: Any) -> asyncio.Task[Reply]:
        ex = exchange(id=name, **more)
        ex.key = key
        return asyncio.ensure_future(self.serve(ex, work))

    async def started(self, work: Work, name: str = "abc", key: Key | None = None, **more: Any) -> asyncio.Task[Reply]:
        """One that runs or waits now."""
        before = self.queue.running + self.queue.waiting
        task = self.start(work, name, key, **more)
        await until(lambda: task.done() or self.queue.running + self.queue.waiting > before)
        return task

    def take_slot(self) -> Exchange:
        """An exchange that runs until `end`."""
        ex = exchange()
        self.queue(ex, lambda _: asyncio.get_running_loop().create_future())
        return ex

    def end(self, ex: Exchange) -> None:
        for call in ex.on_end:
            call(ex)

    @property
    def depth(self) -> dict[str, float]:
        return {name: self.metrics.queue_depth.values[(name,)] for name in PRIORITIES}

    @property
    def results(self) -> Counter[str]:
        """How often each result is among the waits that were measured."""
        found: Counter[str] = Counter()
        for (_, result), series in self.metrics.queue_wait.values.items():
            found[result] += int(sum(series[:-1]))
        return +found

    def assert_idle(self) -> None:
        assert (self.queue.running, self.queue.waiting) == (0, 0)
        assert self.depth == dict.fromkeys(PRIORITIES, 0)
        assert self.metrics.queue_running.values == {(): 0}
        assert len(self.deadlines) == 0


def key(name: str, priority: str = "", tenant: str = "") -> Key:
    return Key(name, tenant, priority=priority)


async def error_of(task: asyncio.Task[Reply]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(task, 3)
    return caught.value


async def idle_work() -> None:
    return None


# -- a free slot


async def test_a_free_slot_costs_no_coroutine_and_is_held_to_the_end_of_the_exchange() -> None:
    desk = Desk()
    ex = exchange()
    answer = asyncio.get_running_loop().create_future()
    assert desk.queue(ex, lambda _: answer) is answer
    answer.set_result(DONE_REPLY)
    await answer
    assert desk.queue.running == 1
    desk.end(ex)
    desk.assert_idle()
    assert desk.results == {"granted": 1}


async def test_a_chain_that_fails_gives_its_slot_back() -> None:
    desk = Desk()

    async def fail() -> None:
        raise GatewayError(502, "bad_reply", "no")

    assert (await error_of(desk.start(fail))).code == "bad_reply"
    desk.assert_idle()


async def test_the_slot_comes_back_before_anything_else_at_the_end_can_fail() -> None:
    desk = Desk()
    ex = exchange()

    def fail(ex: Exchange) -> None:
        raise OSError

    ex.on_end.append(fail)
    desk.queue(ex, lambda _: asyncio.get_running_loop().create_future())
    with pytest.raises(OSError):
        desk.end(ex)
    desk.assert_idle()


async def test_all_levels_are_shown_before_anybody_came() -> None:
    Desk().assert_idle()


# -- waiting


async def test_further_ones_wait_until_a_slot_comes_free() -> None:
    desk = Desk(concurrency=2)
    hold = asyncio.Event()
    tasks = [await desk.started(hold.wait) for _ in range(5)]
    assert (desk.queue.running, desk.queue.waiting) == (2, 3)
    assert desk.depth == {"low": 0, "normal": 3, "high": 0, "critical": 0}
    assert desk.metrics.queue_running.values == {(): 2}
    hold.set()
    assert await asyncio.gather(*tasks) == [DONE_REPLY] * 5
    assert desk.peak == 2
    desk.assert_idle()
    assert desk.results == {"granted": 5}


async def test_nobody_waits_longer_than_the_limit() -> None:
    desk = Desk(max_wait=Duration(0.05))
    hold = asyncio.Event()
    first = await desk.started(hold.wait)
    error = await error_of(desk.start(idle_work))
    assert (error.status, error.code, error.source) == (503, "queue_timeout", Source.GATEWAY)
    assert error.retry_after_s == 1.0
    assert desk.queue.waiting == 0
    hold.set()
    await first
    desk.assert_idle()
    assert desk.results == {"granted": 1, "timeout": 1}


async def test_a_full_queue_says_so() -> None:
    desk = Desk(size=1)
    hold = asyncio.Event()
    tasks = [await desk.started(hold.wait) for _ in range(2)]
    error = await error_of(desk.start(idle_work))
    assert (error.status, error.code, error.retry_after_s) == (503, "queue_full", 1.0)
    hold.set()
    await asyncio.gather(*tasks)
    desk.assert_idle()
    assert desk.results == {"granted": 2, "full": 1}


async def test_a_tenant_that_has_enough_waiting_is_told_and_others_are_not() -> None:
    desk = Desk(tenant_size=1)
    hold = asyncio.Event()
    tasks = [await desk.started(hold.wait, key=key("a", tenant="t")) for _ in range(2)]
    error = await error_of(desk.start(idle_work, key=key("b", tenant="t")))
    assert (error.status, error.code, error.source, error.retry_after_s) == (429, "tenant_queue_full", Source.CLIENT, 1.0)
    tasks.append(await desk.started(hold.wait, key=key("t")))
    assert desk.queue.waiting == 2
    hold.set()
    await asyncio.gather(*tasks)
    desk.assert_idle()


async def test_someone_more_urgent_takes_the_place_of_the_newest_of_the_least_urgent() -> None:
    desk = Desk(size=2)
    hold = asyncio.Event()
    tasks = [await desk.started(hold.wait, name, key("k", level)) for name, level in (("1", ""), ("2", "low"), ("3", "low"))]
    urgent = desk.start(hold.wait, "4", key("k", "critical"))
    shed = await error_of(tasks.pop())
    assert (shed.status, shed.code) == (503, "queue_full")
    assert desk.depth == {"low": 1, "normal": 0, "high": 0, "critical": 1}
    hold.set()
    await asyncio.gather(*tasks, urgent)
    assert desk.order == ["1", "4", "2"]
    desk.assert_idle()
    assert desk.results == {"granted": 3, "shed": 1}


# -- what Retry-After is made of


async def test_those_sent_away_are_told_how_long_the_queue_takes() -> None:
    clock = Clock()
    desk = Desk(size=20, clock=clock)
    goes = [asyncio.Event() for _ in range(21)]
    tasks = [await desk.started(go.wait) for go in goes]
    for go, task in list(zip(goes, tasks, strict=True))[:10]:  # one slot a half second
        clock.now += 0.5
        go.set()
        await task
    more = [await desk.started(goes[-1].wait) for _ in range(10)]
    assert desk.queue.waiting == 20
    error = await error_of(desk.start(idle_work))
    assert error.retry_after_s == pytest.approx(10.5)  # the 20 that wait, and then this one
    low = await error_of(desk.start(idle_work, key=key("k", "low")))
    assert low.retry_after_s == pytest.approx(10.5)
    clock.now += 1000
    assert (await error_of(desk.start(idle_work))).retry_after_s == 30.0  # by then none of them waits any more
    for go in goes:
        go.set()
    await asyncio.gather(*tasks, *more)
    desk.assert_idle()


# -- priorities


@pytest.mark.parametrize(
    ("of_key", "asked", "level"),
    [
        ("", None, "normal"),
        ("high", None, "high"),
        ("low", None, "low"),
        ("", "low", "low"),
        ("", "critical", "normal"),
        ("critical", "critical", "critical"),
        ("critical", "High", "high"),
        ("high", "critical", "high"),
        ("low", "high", "low"),
        (None, "low", "low"),
        (None, "high", "normal"),
    ],
)
async def test_a_caller_may_ask_for_less_than_its_key_has_but_not_for_more(of_key: str | None, asked: str | None, level: str) -> None:
    desk = Desk()
    hold = asyncio.Event()
    headers = {} if asked is None else {"X-Edgegate-Priority": asked}
    mine = None if of_key is None else key("k", of_key)
    tasks = [await desk.started(hold.wait), await desk.started(hold.wait, key=mine, headers=headers)]
    assert [name for name, depth in desk.depth.items() if depth] == [level]
    hold.set()
    await asyncio.gather(*tasks)


async def test_the_priority_of_callers_without_one_can_be_set() -> None:
    desk = Desk(priority="high")
    hold = asyncio.Event()
    tasks = [await desk.started(hold.wait) for _ in range(2)]
    assert desk.depth["high"] == 1
    hold.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("value", ["urgent", "", "1", "critical,low", "kritisch\xe9"])
async def test_a_priority_that_is_none_is_a_400_also_when_a_slot_is_free(value: str) -> None:
    desk = Desk()
    error = await error_of(desk.start(idle_work, headers={"x-edgegate-priority": value}))
    assert (error.status, error.param, error.source) == (400, "x-edgegate-priority", Source.CLIENT)
    assert all(name in error.message for name in ("x-edgegate-priority", *PRIORITIES))
    desk.assert_idle()


def test_a_key_has_the_priority_that_is_configured() -> None:
    ring = build_keys([KeyOptions(key=Secret("a-secret-of-mine"), priority="high"), KeyOptions(key=Secret("another-secret"))])
    assert [made.priority for name in ("a-secret-of-mine", "another-secret") if (made := ring.find(name, 0.0))] == ["high", ""]


# -- tenants


async def test_a_tenant_is_the_keys_tenant_or_the_key_or_the_user_or_the_address() -> None:
    desk = Desk()
    hold = asyncio.Event()
    callers: list[tuple[str, Key | None, str, str]] = [
        ("tenant 1", key("a", tenant="t"), "", "1.1.1.1"),
        ("tenant 2", key("b", tenant="t"), "", "2.2.2.2"),
        ("key 1", key("t"), "", "1.1.1.1"),
        ("key 2", key("t"), "", "2.2.2.2"),
        ("user 1", None, "t", "1.1.1.1"),
        ("user 2", None, "t", "2.2.2.2"),
        ("address 1", None, "", "1.1.1.1"),
        ("address 2", None, "", "1.1.1.1"),
    ]
    tasks = [await desk.started(hold.wait)]
    for name, mine, user, remote in callers:
        ex = exchange(id=name, remote=remote)
        ex.key, ex.user = mine, user
        tasks.append(asyncio.ensure_future(desk.serve(ex, hold.wait)))
    await until(lambda: desk.queue.waiting == len(callers))
    hold.set()
    await asyncio.gather(*tasks)
    assert desk.order[1:] == [f"{kind} {number}" for number in (1, 2) for kind in ("tenant", "key", "user", "address")]


# -- those who leave


async def test_who_leaves_while_waiting_frees_its_place_at_once() -> None:
    desk = Desk(size=1)
    hold = asyncio.Event()
    first, second = [await desk.started(hold.wait) for _ in range(2)]
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    assert desk.queue.waiting == 0
    third = await desk.started(hold.wait)
    assert desk.queue.waiting == 1
    hold.set()
    await asyncio.gather(first, third)
    desk.assert_idle()
    assert desk.results == {"granted": 2, "gone": 1}


async def test_the_place_is_free_before_the_books_of_the_exchange_are_closed() -> None:
    desk = Desk()
    first, second = desk.take_slot(), exchange()

    async def proceed(ex: Exchange) -> Reply:
        raise AssertionError("its caller was gone")

    waiting = asyncio.ensure_future(desk.queue(second, proceed))
    await until(lambda: desk.queue.waiting == 1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert desk.queue.waiting == 0
    desk.end(second)
    desk.end(first)
    desk.assert_idle()
    assert desk.results == {"granted": 1, "gone": 1}


async def test_a_slot_goes_past_one_who_is_just_leaving() -> None:
    desk = Desk()
    first, hold = desk.take_slot(), asyncio.Event()
    second, third = await desk.started(hold.wait, "2"), await desk.started(hold.wait, "3")
    second.cancel()
    desk.end(first)  # before the second's task has run
    hold.set()
    await asyncio.wait([second, third])
    assert second.cancelled()
    assert desk.order == ["3"]
    desk.assert_idle()
    assert desk.results == {"granted": 2, "gone": 1}


async def test_a_slot_of_one_who_leaves_before_it_could_use_it_goes_on_to_the_next() -> None:
    desk = Desk()
    first, hold = desk.take_slot(), asyncio.Event()
    second, third = await desk.started(hold.wait, "2"), await desk.started(hold.wait, "3")
    desk.end(first)
    second.cancel()
    hold.set()
    await asyncio.wait([second, third])
    assert second.cancelled()
    assert desk.order == ["3"]
    desk.assert_idle()
    assert desk.results == {"granted": 3}


async def test_the_last_who_leaves_frees_the_slot_that_came_to_it() -> None:
    desk = Desk()
    first = desk.take_slot()
    second = await desk.started(idle_work)
    second.cancel()
    desk.end(first)
    await asyncio.wait([second])
    desk.assert_idle()


async def test_one_who_is_just_leaving_can_be_told_to_make_room() -> None:
    desk = Desk(size=1)
    first, hold = desk.take_slot(), asyncio.Event()
    second = await desk.started(hold.wait, "2", key("k", "low"))
    third = desk.start(hold.wait, "3", key("k", "high"))
    second.cancel()  # its task runs after the third's
    hold.set()
    await until(lambda: desk.depth["high"] == 1)
    desk.end(first)
    await asyncio.wait([second, third])
    assert second.cancelled()
    assert desk.order == ["3"]
    desk.assert_idle()
    assert desk.results == {"granted": 2, "gone": 1}


async def test_an_exchange_that_is_ended_from_elsewhere_waits_no_more() -> None:
    desk = Desk()
    first, second = desk.take_slot(), exchange()

    async def proceed(ex: Exchange) -> Reply:
        raise AssertionError("it was over")

    waiting = asyncio.ensure_future(desk.queue(second, proceed))
    await until(lambda: desk.queue.waiting == 1)
    desk.end(second)
    await asyncio.wait([waiting], timeout=3)
    assert waiting.cancelled()
    desk.end(first)
    desk.assert_idle()


@pytest.mark.parametrize("seed", range(5))
async def test_after_a_thousand_exchanges_that_run_fail_wait_too_long_or_leave_nothing_is_held(seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    desk = Desk(clock=clock, concurrency=7, size=40, tenant_size=15, max_wait=Duration(0.06))
    tasks: list[asyncio.Task[Reply]] = []
    runs: list[asyncio.Event] = []

    async def work(fails: bool) -> None:
        go = asyncio.Event()
        runs.append(go)
        try:
            await go.wait()
        finally:
            runs.remove(go)
        if fails:
            raise GatewayError(502, "bad_reply", "no")

    async def step() -> None:
        """A millisecond: nothing to three of those that run come to their end, and who has waited long enough is told."""
        clock.now += 0.001
        for go in chance.sample(runs, min(len(runs), chance.randrange(4))):
            go.set()
        for place in [place for place in desk.deadlines._waiting if place.deadline <= clock.now]:
            place.expire(clock.now)
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        assert desk.queue.running <= 7
        assert not desk.queue.waiting or desk.queue.running == 7

    for number in range(1000):
        job = functools.partial(work, chance.random() < 0.2)
        tasks.append(desk.start(job, str(number), key("k", chance.choice(PRIORITIES), f"t{chance.randrange(4)}")))
        if chance.random() < 0.1:
            chance.choice(tasks[-30:]).cancel()
        if chance.random() < 0.6:
            await step()
    for _ in range(5000):
        if all(task.done() for task in tasks):
            break
        await step()
    desk.assert_idle()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 3)
    assert desk.peak == 7
    kinds = Counter(end.code if isinstance(end, GatewayError) else type(end).__name__ for end in ended)
    assert kinds.keys() == {"Reply", "bad_reply", "queue_timeout", "queue_full", "tenant_queue_full", "CancelledError"}
    assert sum(desk.results.values()) == desk.came > 900  # of each exactly one; a few were cancelled before they came
    # some were cancelled between the end of their wait and their next step
    assert 0 <= desk.results["timeout"] - kinds["queue_timeout"] <= kinds["CancelledError"]
    assert desk.results["full"] + desk.results["shed"] >= kinds["queue_full"] + kinds["tenant_queue_full"]
    assert 0 <= desk.results["granted"] - len(desk.order) <= kinds["CancelledError"]


# -- in a gateway


@dataclass
class Slow:
    """A provider's answer that comes when it is let go. The prompts say who is who."""

    running: int = 0
    peak: int = 0
    order: list[str] = field(default_factory=list)
    go: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.running += 1
        self.peak = max(self.peak, self.running)
        self.order.append(seen.json["messages"][-1]["content"] if seen.body else seen.path)
        try:
            await self.go.acquire()
        finally:
            self.running -= 1
        writer.write(reply(completion()))
        await writer.drain()

    def let_go(self, number: int) -> None:
        for _ in range(number):
            self.go.release()


def said(name: str, body: Mapping[str, Any] = CHAT) -> dict[str, Any]:
    return dict(body) | {"messages": [{"role": "user", "content": name}]}


KEYS: list[dict[str, Any]] = [
    {"name": "usual", "key": "gw-usual-usual-1"},
    {"name": "other", "key": "gw-other-other-1", "tenant": "other"},
    {"name": "batch", "key": "gw-batch-batch-1", "priority": "low"},
    {"name": "urgent", "key": "gw-urgent-urgent-1", "priority": "critical"},
]
USUAL, OTHER, BATCH, URGENT = ({"x-api-key": str(made["key"])} for made in KEYS)


def config(origin: Provider, drain: str = "30s", **options: Any) -> dict[str, Any]:
    chain = [*CHAIN[:2], {"queue": options}, *CHAIN[2:]]
    return {"providers": providers(origin.url), "keys": KEYS, "chain": chain, "server": {"listen": "127.0.0.1:0", "drain": drain}}


def depth(gateway: Live) -> int:
    return int(sum(gateway.gateway.metrics.queue_depth.values.values()))


async def ask(gateway: Live, name: str, headers: Mapping[str, str] = USUAL) -> asyncio.Task[tuple[int, bytes, Mapping[str, str]]]:
    """A caller whose request runs or waits now, or was refused."""
    running = gateway.gateway.metrics.queue_running.values
    before = running[()] + depth(gateway)
    task = asyncio.ensure_future(gateway.post(body=said(name), headers=headers))
    await until(lambda: task.done() or running[()] + depth(gateway) > before)
    return task


async def queue_lines(gateway: Live) -> dict[str, float]:
    """What `/metrics` says of the queue, without the buckets."""
    _, text, _ = await gateway.get("/metrics")
    lines = [line.rpartition(" ") for line in text.decode().splitlines() if line.startswith("edgegate_queue")]
    return {name: float(value) for name, _, value in lines if "_bucket" not in name}


async def test_no_more_than_two_of_twenty_are_at_the_provider_at_once(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, concurrency=2), tmp_path) as gateway:
        tasks = [await ask(gateway, str(number)) for number in range(20)]
        await until(lambda: slow.running == 2)
        shown = await queue_lines(gateway)
        assert {name: shown[f'edgegate_queue_depth{{priority="{name}"}}'] for name in PRIORITIES} == {
            "low": 0,
            "normal": 18,
            "high": 0,
            "critical": 0,
        }
        assert shown["edgegate_queue_running"] == 2
        for _ in range(20):
            slow.let_go(1)
            await asyncio.sleep(0)
        assert [status for status, _, _ in await asyncio.gather(*tasks)] == [200] * 20
        assert slow.peak == 2
        assert len(slow.order) == 20
        await until(lambda: gateway.gateway.metrics.queue_running.values[()] == 0)
        shown = await queue_lines(gateway)
        assert all(shown[f'edgegate_queue_depth{{priority="{name}"}}'] == 0 for name in PRIORITIES)
        assert shown["edgegate_queue_running"] == 0
        assert shown['edgegate_queue_wait_seconds_count{priority="normal",result="granted"}'] == 20
        assert gateway.faults() == []


async def test_the_urgent_overtake_and_a_burst_of_one_tenant_does_not_hold_up_another(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, concurrency=1), tmp_path) as gateway:
        tasks = [await ask(gateway, f"burst {number}") for number in range(6)]
        tasks.append(await ask(gateway, "batch", BATCH))
        tasks.append(await ask(gateway, "other", OTHER))
        tasks.append(await ask(gateway, "asks for less", URGENT | {"x-edgegate-priority": "low"}))
        tasks.append(await ask(gateway, "asks for more", USUAL | {"x-edgegate-priority": "critical"}))
        tasks.append(await ask(gateway, "urgent", URGENT))
        slow.let_go(len(tasks))
        assert [status for status, _, _ in await asyncio.gather(*tasks)] == [200] * len(tasks)
        assert slow.order[:4] == ["burst 0", "urgent", "burst 1", "other"]
        # the eighth slot that passes over the low ones is theirs
        assert slow.order[4:] == ["burst 2", "burst 3", "burst 4", "burst 5", "batch", "asks for more", "asks for less"]


async def test_those_who_find_no_room_are_told_in_their_dialect_and_when_to_come_back(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, concurrency=1, size=2, tenant_size=1), tmp_path) as gateway:
        tasks = [await ask(gateway, "runs"), await ask(gateway, "waits")]
        status, body, headers = await gateway.post(body=CHAT, headers=USUAL)
        assert (status, json.loads(body)["error"]["code"]) == (429, "tenant_queue_full")
        assert (json.loads(body)["error"]["type"], headers["x-edgegate-error-source"]) == ("rate_limit_error", "client")
        assert int(headers["retry-after"]) >= 1
        status, body, headers = await gateway.post("/v1/messages", MESSAGES, USUAL)
        assert (status, json.loads(body)["type"], json.loads(body)["error"]["type"]) == (429, "error", "rate_limit_error")
        assert int(headers["retry-after"]) >= 1

        tasks.append(await ask(gateway, "other", OTHER))
        status, body, headers = await gateway.post(body=CHAT, headers=BATCH)
        assert (status, json.loads(body)["error"]["code"], headers["x-edgegate-error-source"]) == (503, "queue_full", "gateway")
        assert int(headers["retry-after"]) >= 1
        status, body, headers = await gateway.post("/v1/messages", MESSAGES, BATCH)
        assert (status, json.loads(body)["error"]["type"]) == (503, "overloaded_error")
        assert int(headers["retry-after"]) >= 1

        urgent = asyncio.ensure_future(gateway.post(body=said("urgent"), headers=URGENT))
        status, body, _ = await asyncio.wait_for(tasks.pop(), 3)  # the newest of the least urgent
        assert (status, json.loads(body)["error"]["code"]) == (503, "queue_full")
        slow.let_go(3)
        assert [status for status, _, _ in await asyncio.gather(*tasks, urgent)] == [200] * 3
        assert slow.order == ["runs", "urgent", "waits"]


async def test_who_waits_too_long_is_told(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, concurrency=1, max_wait="100ms"), tmp_path) as gateway:
        first = await ask(gateway, "runs")
        status, body, headers = await gateway.post(body=CHAT, headers=USUAL)
        assert (status, json.loads(body)["error"]["code"]) == (503, "queue_timeout")
        assert int(headers["retry-after"]) >= 1
        status, body, headers = await gateway.post("/v1/messages", MESSAGES, USUAL)
        assert (status, json.loads(body)["type"]) == (503, "error")
        assert int(headers["retry-after"]) >= 1
        slow.let_go(1)
        assert (await first)[0] == 200
        assert slow.order == ["runs"]


async def test_a_priority_that_is_none_is_a_400_in_the_callers_dialect(tmp_path: Path) -> None:
    async with Provider() as origin, live(config(origin), tmp_path) as gateway:
        status, body, _ = await gateway.post("/v1/messages", MESSAGES, USUAL | {"x-edgegate-priority": "now"})
        assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
        assert "x-edgegate-priority must be one of low, normal, high, critical" in json.loads(body)["error"]["message"]
        assert origin.seen == []


async def test_a_caller_that_leaves_the_queue_makes_room_for_the_next(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, concurrency=1, size=1), tmp_path) as gateway:
        first, second = await ask(gateway, "runs"), await ask(gateway, "leaves")
        assert depth(gateway) == 1
        second.cancel()
        await until(lambda: depth(gateway) == 0)
        third = await ask(gateway, "stays")
        assert depth(gateway) == 1
        slow.let_go(2)
        assert [status for status, _, _ in await asyncio.gather(first, third)] == [200, 200]
        assert slow.order == ["runs", "stays"]
        assert sorted(line["outcome"] for line in gateway.lines()) == ["client_gone", "ok", "ok"]


async def test_a_caller_that_leaves_the_provider_makes_room_for_the_next(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, concurrency=1), tmp_path) as gateway:
        first, second = await ask(gateway, "leaves"), await ask(gateway, "stays")
        await until(lambda: slow.order == ["leaves"])
        first.cancel()
        await until(lambda: slow.order == ["leaves", "stays"])
        slow.let_go(2)
        assert (await second)[0] == 200


async def test_a_stream_holds_its_slot_until_its_last_byte_and_a_relayed_path_waits_too(tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def stream(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + chunk("a"))
        await writer.drain()
        await finish.wait()
        writer.write(chunk(finish="stop") + DONE)
        await writer.drain()
        writer.close()

    async with Provider(stream, reply(b"{}")) as origin, live(config(origin, concurrency=1), tmp_path) as gateway:
        body = json.dumps(CHAT | {"stream": True}).encode()
        headers = {"content-type": "application/json"} | USUAL
        async with gateway.http.post(gateway.url + "/v1/chat/completions", data=body, headers=headers) as response:
            assert b'"a"' in await response.content.readline()
            relayed = asyncio.ensure_future(gateway.get("/one/v1/files", URGENT))
            await until(lambda: depth(gateway) == 1)
            assert len(origin.seen) == 1
            assert (await gateway.get("/v1/models", USUAL))[0] == 200  # reaches no provider
            finish.set()
            assert (await response.read()).endswith(DONE)
        assert (await relayed)[:2] == (200, b"{}")
        await until(lambda: gateway.gateway.metrics.queue_running.values[()] == 0)


async def test_a_provider_that_fails_gives_the_slot_back(tmp_path: Path) -> None:
    async with Provider(reply(b"{}", 500), b"", reply(completion())) as origin, live(config(origin, concurrency=1), tmp_path) as gateway:
        statuses = [(await gateway.post(headers=USUAL))[0] for _ in range(4)]
        assert statuses[0] >= 500
        assert statuses[-1] == 200
        await until(lambda: gateway.gateway.metrics.queue_running.values[()] == 0)


async def test_a_draining_gateway_still_serves_those_who_wait(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, concurrency=1), tmp_path) as gateway:
        tasks = [await ask(gateway, str(number)) for number in range(3)]
        draining = asyncio.ensure_future(gateway.gateway.drain())
        await until(lambda: gateway.gateway.gate.draining)
        slow.let_go(3)
        assert [status for status, _, _ in await asyncio.gather(*tasks)] == [200] * 3
        await asyncio.wait_for(draining, 3)


async def test_at_the_end_of_the_drain_those_who_still_wait_are_told(tmp_path: Path) -> None:
    slow = Slow()
    async with Provider(slow) as origin, live(config(origin, "200ms", concurrency=1), tmp_path) as gateway:
        tasks = [await ask(gateway, str(number)) for number in range(3)]
        await asyncio.wait_for(gateway.gateway.drain(), 3)
        for status, body, headers in await asyncio.gather(*tasks):
            assert (status, json.loads(body)["error"]["code"], headers["retry-after"]) == (503, "draining", "1")
        assert slow.order == ["0"]
        assert depth(gateway) == gateway.gateway.metrics.queue_running.values[()] == 0
        await gateway.gateway.gate.close_books()
        assert [line["outcome"] for line in gateway.lines()] == ["drained"] * 3
