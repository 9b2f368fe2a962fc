"""News between workers: told at once, gathered in bursts, checked when heard; full, dead and single workers harm nobody."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.server.news import GATHER_S, MAX_ITEM_BYTES, READS_AT_ONCE, News, parse
from tests.unit.core.parts import Clock, until

OPEN = {"what": "breaker", "target": "openai/gpt-4o", "state": "open", "for_s": 15.0}
CLOSED = {"what": "breaker", "target": "openai/gpt-4o", "state": "closed"}
HOLD = {"what": "hold", "target": "openai/gpt-4o", "key": 0, "for_s": 2.0}
QUOTA = {
    "what": "quota",
    "target": "openai/gpt-4o",
    "key": 1,
    "quotas": [["requests", 60, 59, 1.0], ["tokens", None, 0, None, "minute", True]],
}


class Worker:
    """One end, with what it heard."""

    def __init__(self, directory: Path | None, name: str, clock: Callable[[], float] = time.time) -> None:
        self.heard: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.news = News(directory, name, self.heard.append, clock, lambda result: self.counts.update([result]))

    def items(self) -> list[dict[str, Any]]:
        return [{name: value for name, value in item.items() if name != "unix"} for item in self.heard]


@asynccontextmanager
async def workers(directory: Path, *names: str, clock: Callable[[], float] = time.time) -> AsyncIterator[list[Worker]]:
    made = [Worker(directory, name, clock) for name in names]
    for worker in made:
        await worker.news.open()
    try:
        yield made
    finally:
        for worker in made:
            await worker.news.close()


def files(directory: Path, name: str) -> list[Path]:
    return list(directory.glob(f"{name}-*.news"))


def only_file(directory: Path, name: str) -> Path:
    (file,) = files(directory, name)
    return file


# -- telling


@pytest.mark.parametrize("item", [OPEN, CLOSED, HOLD, QUOTA], ids=["open", "closed", "hold", "quota"])
async def test_all_others_hear_what_one_tells_and_it_does_not_hear_itself(tmp_path: Path, item: dict[str, Any]) -> None:
    async with workers(tmp_path, "0", "1", "2") as (one, two, three):
        one.news.tell(item)
        await until(lambda: bool(two.heard and three.heard))
        assert two.items() == three.items() == [item]
        assert abs(two.heard[0]["unix"] - time.time()) < 1
        assert one.heard == []
        assert one.counts == {"told": 2}


async def test_a_single_worker_tells_nobody() -> None:
    alone = Worker(None, "0")
    await alone.news.open()
    alone.news.tell(OPEN)
    await alone.news.close()
    assert alone.counts == {}


async def test_only_its_user_may_write_to_the_socket(tmp_path: Path) -> None:
    async with workers(tmp_path, "0"):
        mode = only_file(tmp_path, "0").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


async def test_a_burst_on_one_subject_is_its_first_and_its_last_item(tmp_path: Path) -> None:
    async with workers(tmp_path, "0", "1") as (one, two):
        for number in range(100):
            one.news.tell({**HOLD, "for_s": float(number)})
        await until(lambda: len(two.heard) == 2)
        await asyncio.sleep(3 * GATHER_S)
        assert [item["for_s"] for item in two.heard] == [0.0, 99.0]


async def test_a_steady_stream_on_one_subject_is_thinned_out_and_ends_with_the_last(tmp_path: Path) -> None:
    async with workers(tmp_path, "0", "1") as (one, two):
        began = time.monotonic()
        for number in range(60):
            one.news.tell({**HOLD, "for_s": float(number)})
            await asyncio.sleep(0.005)
        await until(lambda: two.heard[-1]["for_s"] == 59.0)
        assert len(two.heard) <= (time.monotonic() - began) / GATHER_S + 2


async def test_other_subjects_do_not_wait_for_each_other(tmp_path: Path) -> None:
    items = [OPEN, HOLD, {**HOLD, "key": 1}, QUOTA, {**OPEN, "target": "groq/llama"}]
    async with workers(tmp_path, "0", "1") as (one, two):
        for item in items:
            one.news.tell(item)
        await until(lambda: len(two.heard) == len(items), GATHER_S)
        assert two.items() == items


async def test_what_still_waits_is_told_before_a_worker_leaves(tmp_path: Path) -> None:
    async with workers(tmp_path, "0", "1") as (one, two):
        one.news.tell(OPEN)
        one.news.tell(CLOSED)
        await one.news.close()
        await until(lambda: len(two.heard) == 2)
        assert two.items() == [OPEN, CLOSED]
        assert files(tmp_path, "0") == []
        one.news.tell(OPEN)
        await one.news.close()
        assert one.counts == {"told": 2}


async def test_an_item_that_is_too_large_is_lost(tmp_path: Path) -> None:
    async with workers(tmp_path, "0", "1") as (one, two):
        one.news.tell({**OPEN, "target": "t" * MAX_ITEM_BYTES})
        one.news.tell(HOLD)
        await until(lambda: bool(two.heard))
        assert two.items() == [HOLD]
        assert one.counts == {"lost": 1, "told": 1}


# -- others that are dead, full or new


async def test_a_dead_workers_socket_is_removed_and_the_living_hear_on(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(tmp_path / "9-dead.news"))
    dead.close()
    async with workers(tmp_path, "0", "1") as (one, two):
        one.news.tell(OPEN)
        await until(lambda: bool(two.heard))
        assert one.counts == {"told": 1, "lost": 1}
        assert not (tmp_path / "9-dead.news").exists()
        one.news.tell(HOLD)
        assert one.counts == {"told": 2, "lost": 1}


async def test_a_file_that_is_no_socket_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "x.news").write_text("")
    async with workers(tmp_path, "0", "1") as (one, two):
        one.news.tell(OPEN)
        await until(lambda: bool(two.heard))


async def test_a_worker_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    deaf.bind(str(tmp_path / "9-deaf.news"))
    try:
        async with workers(tmp_path, "0", "1") as (one, two):
            began = time.monotonic()
            for number in range(2000):
                one.news.tell({**HOLD, "key": number})
                if number % 8 == 7:
                    await asyncio.sleep(0)  # the one that reads gets to
            assert time.monotonic() - began < 5
            await until(lambda: len(two.heard) == 2000)
            assert one.counts["lost"] > 1000
    finally:
        deaf.close()


async def test_a_successor_takes_the_place_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    old = Worker(tmp_path, "1")
    await old.news.open()
    first = only_file(tmp_path, "1")
    async with workers(tmp_path, "0", "1") as (one, successor):
        assert only_file(tmp_path, "1") != first, "a name is never used twice"
        one.news.tell(OPEN)
        await until(lambda: bool(successor.heard))
        assert one.counts == {"told": 1}
    await old.news.close()


async def test_a_directory_where_no_socket_can_be_leaves_the_worker_alone(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with workers(deep, "0", "1") as (one, two):
        one.news.tell(OPEN)
        assert (one.counts, list(deep.iterdir())) == ({}, [])
    assert two.heard == []


# -- hearing


def send(directory: Path, name: str, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        for data in datagrams:
            sock.sendto(data, str(only_file(directory, name)))


async def test_old_items_are_not_news(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    async with workers(tmp_path, "0", "1", clock=clock) as (one, two):
        one.news.tell(OPEN)
        clock.now += 5.1  # before the other one got to read
        await until(lambda: two.counts["stale"] == 1)
        one.news.tell(HOLD)
        clock.now += 4.9
        await until(lambda: two.items() == [HOLD])


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "too long": orjson.dumps({**OPEN, "unix": 1.0, "more": "x" * MAX_ITEM_BYTES}),
    "no time": orjson.dumps(OPEN),
    "time that is no number": orjson.dumps({**OPEN, "unix": True}),
    "no target": orjson.dumps({"what": "breaker", "state": "closed", "unix": 1.0}),
    "empty target": orjson.dumps({**CLOSED, "target": "", "unix": 1.0}),
    "unknown kind": orjson.dumps({**CLOSED, "what": "weather", "unix": 1.0}),
    "unknown state": orjson.dumps({**OPEN, "state": "ajar", "unix": 1.0}),
    "open for no time": orjson.dumps({**OPEN, "for_s": None, "unix": 1.0}),
    "held for less than nothing": orjson.dumps({**HOLD, "for_s": -1, "unix": 1.0}),
    "key that is no number": orjson.dumps({**HOLD, "key": "0", "unix": 1.0}),
    "key below zero": orjson.dumps({**HOLD, "key": -1, "unix": 1.0}),
    "quotas that are no list": orjson.dumps({**QUOTA, "quotas": {}, "unix": 1.0}),
    "short quota": orjson.dumps({**QUOTA, "quotas": [["requests", 1, 2]], "unix": 1.0}),
    "quota of nothing": orjson.dumps({**QUOTA, "quotas": [["requests", 1, None, 3]], "unix": 1.0}),
    "quota with a wrong window": orjson.dumps({**QUOTA, "quotas": [["requests", 1, 1, 3, 4]], "unix": 1.0}),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_item_is_dropped_and_counted(tmp_path: Path, data: bytes) -> None:
    clock = Clock(1.0)
    async with workers(tmp_path, "0", clock=clock) as (one,):
        send(tmp_path, "0", data, orjson.dumps({**OPEN, "unix": 1.0}))
        await until(lambda: bool(one.heard))
        assert one.counts == {"malformed": 1, "heard": 1}
        assert one.items() == [OPEN]


def test_an_item_may_be_as_large_as_allowed_and_no_larger() -> None:
    room = MAX_ITEM_BYTES - len(orjson.dumps({**CLOSED, "unix": 1, "more": ""}))
    assert parse(orjson.dumps({**CLOSED, "unix": 1, "more": "x" * room})) is not None
    assert parse(orjson.dumps({**CLOSED, "unix": 1, "more": "x" * (room + 1)})) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
fields = st.sampled_from(["what", "target", "state", "for_s", "key", "quotas", "unix"])
near_items = st.builds(
    lambda base, change: {**base, "unix": 1.0, **change},
    st.sampled_from([OPEN, CLOSED, HOLD, QUOTA]),
    st.dictionaries(fields, json_values, max_size=2),
)


@given(near_items)
def test_whatever_is_heard_can_be_used_as_what_it_says_it_is(item: dict[str, Any]) -> None:
    found = parse(orjson.dumps(item))
    if found is None:
        return
    assert found["target"] != ""
    assert found["unix"] + 0.0 == found["unix"]
    if found["what"] == "breaker" and found["state"] == "open":
        assert float(found["for_s"]) >= 0
    elif found["what"] == "hold":
        assert int(found["key"]) >= 0
        assert float(found["for_s"]) >= 0
    elif found["what"] == "quota":
        assert all(quota[2] + 0.0 == quota[2] and isinstance(quota[0], str) for quota in found["quotas"])


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert parse(data) is None or parse(data) == orjson.loads(data)


async def test_a_flood_lets_the_loop_do_other_things_too(tmp_path: Path) -> None:
    """More than one read's worth waits: in between the loop turns, and nothing is left unread."""
    async with workers(tmp_path, "0") as (one,):
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        sent = 0
        try:
            for _ in range(3 * READS_AT_ONCE):
                sender.sendto(orjson.dumps({**OPEN, "unix": time.time()}), str(only_file(tmp_path, "0")))
                sent += 1
        except BlockingIOError:  # the kernel keeps fewer
            pass
        finally:
            sender.close()
        await until(lambda: len(one.heard) == sent)


# -- processes

_OTHER = """
import asyncio, sys, time
from pathlib import Path
from edgegate.server.news import News

async def main() -> None:
    heard = asyncio.Event()

    def hear(item):
        print(item["what"], item["target"], flush=True)
        heard.set()

    news = News(Path(sys.argv[1]), "1", hear, time.time, lambda _: None)
    await news.open()
    print("ready", flush=True)
    async with asyncio.timeout(20):
        await heard.wait()
    news.tell({"what": "hold", "target": "back", "key": 0, "for_s": 1.0})
    if sys.argv[2] == "leave":
        await news.close()
    else:
        await asyncio.sleep(30)

import uvloop
uvloop.run(main())
"""


@pytest.mark.parametrize("end", ["leave", "die"])
async def test_two_processes_tell_each_other(tmp_path: Path, end: str) -> None:
    async with workers(tmp_path, "0") as (one,):
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OTHER, str(tmp_path), end, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], env=dict(os.environ)
        )
        try:
            assert other.stdout is not None
            async with asyncio.timeout(20):
                assert await other.stdout.readline() == b"ready\n"
                one.news.tell(OPEN)
                assert await other.stdout.readline() == b"breaker openai/gpt-4o\n"
            await until(lambda: bool(one.heard))
            assert one.items() == [{"what": "hold", "target": "back", "key": 0, "for_s": 1.0}]
            if end == "die":
                other.kill()
            async with asyncio.timeout(10):
                await other.wait()
        finally:
            if other.returncode is None:
                other.kill()
                await other.wait()
        assert len(files(tmp_path, "1")) == (1 if end == "die" else 0)
        one.news.tell(HOLD)
        assert files(tmp_path, "1") == []
