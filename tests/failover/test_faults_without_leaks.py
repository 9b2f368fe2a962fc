"""2,000 calls at a provider whose wire lies in every way: each ends in time as an answer or an explicit error, and nothing stays.

The gateway runs on a loop of its own with short limits; the breakers are off, or it would soon ask nobody. What must be as before
afterwards: connections, entries in the sweep of time limits, exchanges, tasks, descriptors; memory up to a little.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import resource
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edgegate.config.model import ModelOptions, ProviderOptions
from edgegate.config.option import Duration, Secret, Size
from edgegate.config.stages import BreakerOptions, FailoverOptions, OutlierOptions
from tests.failover.caller import Heard, call
from tests.failover.faults import TRACE
from tests.failover.torments import torments
from tests.failover.wall import Wall
from tests.hard.live import Live, chain, config, quick_forward, quick_server
from tests.unit.core.parts import until

CALLS = 2000
AT_ONCE = 40
LIMITS = {
    "connect": Duration(2),
    "first_token": Duration(1),
    "idle": Duration(1),
    "total": Duration(2.5),
    "max_reply": Size(4 << 20),
}
BOUND_S = 10.0
"""Two attempts of at most two and a half seconds each, and a busy machine."""
GROWTH = 80 << 20
"""What 40 replies at once of some megabytes leave in the allocator; it does not grow with further calls."""
NAMES = tuple(torments(str))
RARE = {"bomb": 8, "huge": 8, "endlesshead": 8}
"""Those that cost much: how often each is played."""
WHOLE = {"ok", "stale", "stalereset", "lateclose"}
"""Those after which the provider's own answer is whole."""
TOO_LATE = {"rst", "silentmiddle", "chunkcut", "toolong"}
"""Those that break a stream that may have begun: an error is what is left, fallback or not."""
FINAL = {"huge", "nothing", "r301", "r302", "r307"}
"""Replies that a provider means: too large, empty on purpose, elsewhere. An explicit error is as good as the fallback."""


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def alive() -> int:
    return sum(str(type(thing).__module__).startswith("edgegate.") for thing in gc.get_objects())


@dataclass
class Books:
    """What is counted before and after."""

    pooled: int
    connecting: int
    waiting: int
    in_flight: int
    clients: int
    tasks: int
    descriptors: int


@dataclass
class Told:
    heard: dict[str, list[Heard]] = field(default_factory=dict)
    before: Books | None = None
    after: Books | None = None
    grown: int = 0
    kept: tuple[int, int] = (0, 0)  # objects of the gateway's classes that are alive, before and after
    cpu_s: float = 0.0
    strangers: int = 0  # connections at the address that redirects point to
    faults: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0


def gateway(port: int) -> Live:
    models = tuple(f"fb-{name}{kind}" for name in NAMES for kind in ("-alone", "-backed"))
    providers = {
        "primary": ProviderOptions(dialect="openai", base_url=f"http://127.0.0.1:{port}/v1", api_key=Secret("sk-a"), models=models),
        "backup": ProviderOptions(dialect="openai", base_url=f"http://127.0.0.1:{port}/v1", api_key=Secret("sk-b"), models=("fb-ok",)),
    }
    failover = FailoverOptions(
        attempts=2, retries=0, breaker=BreakerOptions(failures=0), outliers=OutlierOptions(error_rate=0.0, latency=0.0)
    )
    return Live(
        replace(
            config(port, port),
            providers=providers,
            models=ModelOptions(fallbacks={model: ("fb-ok",) for model in models if model.endswith("-backed")}),
            server=quick_server(head_timeout=Duration(10), body_timeout=Duration(10), write_timeout=Duration(10)),
            chain=chain(forward=quick_forward(**LIMITS), failover=failover),
        )
    )


async def play(told: Told) -> None:
    places: list[str] = []

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.strangers += 1
        writer.close()

    elsewhere = await asyncio.start_server(stranger, "127.0.0.1", 0)
    places.append(f"http://localhost:{elsewhere.sockets[0].getsockname()[1]}")
    async with Wall(torments(lambda: places[0])) as wall:
        live = await asyncio.to_thread(gateway, wall.port)
        try:
            await _many(live, wall, told, 200)  # warm: imports, buffers, compiled paths
            told.heard.clear()
            told.before = await _settled(live, wall)
            kept = alive()
            start, cpu, rss = time.monotonic(), time.process_time(), memory()
            await _many(live, wall, told, CALLS)
            told.seconds, told.cpu_s = time.monotonic() - start, time.process_time() - cpu
            told.after = await _settled(live, wall)
            told.grown = memory() - rss
            told.kept = (kept, alive())
            told.faults = live.faults()
            told.complaints = wall.complaints
        finally:
            await asyncio.to_thread(live.close)
    elsewhere.close()


async def _many(live: Live, wall: Wall, told: Told, calls: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    rare = {name: times * calls // CALLS + 1 for name, times in RARE.items()}

    async def one(name: str, number: int) -> None:
        async with room:
            kind = ("-alone", "-backed")[number % 2]
            surface = ("chat", "messages")[number // 2 % 2]
            heard = await call(live.port, f"fb-{name}{kind}", surface, stream=number // 4 % 2 == 0, patience_s=20)
        heard.raw = heard.raw if TRACE in heard.raw else ""  # memory is counted
        told.heard.setdefault(name + kind, []).append(heard)

    tasks: list[asyncio.Task[None]] = []
    turn = itertools.cycle(NAMES)
    played = dict.fromkeys(NAMES, 0)
    while len(tasks) < calls:
        name = next(turn)
        if played[name] < rare.get(name, calls):
            tasks.append(asyncio.create_task(one(name, played[name])))
        played[name] += 1
    await asyncio.gather(*tasks)


async def _settled(live: Live, wall: Wall) -> Books:
    """Once the callers are gone and the provider has hung up."""
    await asyncio.to_thread(live.wait, lambda: live.in_flight() == 0 and live.client_connections() == 0, "callers to be gone", 8)
    for line in list(wall.lines):
        line.transport.abort()
    await asyncio.to_thread(live.wait, lambda: live.pooled() == 0 and live.connecting() == 0, "connections to be gone", 8)
    await asyncio.to_thread(live.wait, lambda: live.waiting() == 0, "time limits to be forgotten", 8)
    await until(lambda: not wall.tasks and not wall.lines)
    await asyncio.sleep(0.3)
    wall.attempts.clear()
    gc.collect()
    await asyncio.to_thread(live.forget_log) if not live.faults() else None
    return Books(
        live.pooled(),
        live.connecting(),
        live.waiting(),
        live.in_flight(),
        live.client_connections(),
        await asyncio.to_thread(live.tasks),
        len(os.listdir("/proc/self/fd")),
    )


@pytest.fixture(scope="module")
def told() -> Told:
    told = Told()
    asyncio.run(play(told))
    return told


@pytest.mark.parametrize("kind", ["alone", "backed"])
@pytest.mark.parametrize("name", NAMES)
def test_every_call_ends_in_time_as_an_answer_or_an_explicit_error(name: str, kind: str, told: Told) -> None:
    calls = told.heard[f"{name}-{kind}"]
    for heard in calls:
        assert heard.clean, heard
        assert heard.seconds < BOUND_S, heard
        if name in WHOLE or (kind == "backed" and name not in TOO_LATE | FINAL):
            assert heard.kind == "whole", heard
        if name not in WHOLE:
            assert heard.kind == "error" or heard.fallback, heard
        if heard.kind == "whole":
            assert TRACE not in heard.raw, heard


def test_no_redirect_is_followed(told: Told) -> None:
    assert told.strangers == 0


def test_no_call_is_lost(told: Told) -> None:
    assert sum(map(len, told.heard.values())) == CALLS
    assert not told.faults
    assert not told.complaints


def test_nothing_is_left_behind(told: Told) -> None:
    assert told.after == told.before
    assert told.after is not None
    assert told.after.waiting == told.after.in_flight == told.after.pooled == 0


def test_memory_does_not_grow(told: Told) -> None:
    assert told.grown < GROWTH, f"{told.grown / (1 << 20):.0f} MiB more after {CALLS} calls"


def test_no_exchange_and_no_call_stays_alive(told: Told) -> None:
    before, after = told.kept
    assert before > 100, "the count counts nothing"
    assert after - before < 50, f"{before} objects of the gateway's, {after} after {CALLS} calls"


def test_it_costs_little(told: Told) -> None:
    print(told.kept, f"{CALLS} calls: {told.seconds:.1f} s, {told.cpu_s:.1f} s of CPU, {told.grown / (1 << 20):.1f} MiB")
    assert told.cpu_s < 60
