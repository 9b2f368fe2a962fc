"""The store of kept answers: one claimant at a time, over processes and deaths; bounded in age and size."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgegate.stores.base import STALE_S, Kept, State, StoreError
from edgegate.stores.sqlite import TIDY_S, Answers, SqliteStore
from tests.unit.core.parts import Clock, until

KEY, PRINT = b"k" * 32, b"f" * 32
KEPT = Kept(200, [(b"content-type", b"application/json")], b'{"a":1}', False)


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000.0)


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "a.sqlite", 100, 1 << 20, clock)
    await made.open()
    yield made
    await made.close()


async def test_a_key_has_one_claimant(store: SqliteStore) -> None:
    assert (await store.claim(KEY, PRINT, b"1")).state is State.MINE
    found = await store.claim(KEY, PRINT, b"2")
    assert (found.state, found.token) == (State.RUNNING, b"1")
    assert (await store.look(KEY, PRINT)).state is State.RUNNING
    assert (await store.claim(KEY, b"other" * 6, b"2")).state is State.OTHER
    assert (await store.claim(b"another", PRINT, b"2")).state is State.MINE


async def test_a_kept_answer_is_given_to_whoever_asks(store: SqliteStore) -> None:
    await store.claim(KEY, PRINT, b"1")
    await store.keep(KEY, b"1", KEPT)
    for found in (await store.claim(KEY, PRINT, b"2"), await store.look(KEY, PRINT)):
        assert (found.state, found.kept) == (State.KEPT, KEPT)
    assert (await store.look(KEY, b"other")).state is State.OTHER


async def test_a_released_key_is_free(store: SqliteStore) -> None:
    await store.claim(KEY, PRINT, b"1")
    await store.release(KEY, b"2")  # not its own
    assert (await store.look(KEY, PRINT)).state is State.RUNNING
    await store.release(KEY, b"1")
    assert (await store.look(KEY, PRINT)).state is State.FREE
    assert (await store.claim(KEY, b"other", b"2")).state is State.MINE


async def test_an_abandoned_claim_is_free_whether_it_was_made_or_not(store: SqliteStore) -> None:
    store.abandon(KEY, b"1")
    await store.claim(KEY, PRINT, b"1")
    store.abandon(KEY, b"1")
    assert (await store.look(KEY, PRINT)).state is State.FREE


async def test_answers_expire(store: SqliteStore, clock: Clock) -> None:
    await store.claim(KEY, PRINT, b"1")
    await store.keep(KEY, b"1", KEPT)
    clock.now += 99
    assert (await store.look(KEY, PRINT)).state is State.KEPT
    clock.now += 1
    assert (await store.look(KEY, PRINT)).state is State.FREE
    assert (await store.claim(KEY, PRINT, b"2")).state is State.MINE


async def test_the_claim_of_a_dead_worker_is_taken_over_and_it_can_no_longer_keep_anything(store: SqliteStore, clock: Clock) -> None:
    await store.claim(KEY, PRINT, b"1")
    clock.now += STALE_S - 1
    await store.beat([(KEY, b"1")])
    clock.now += STALE_S - 1
    assert (await store.claim(KEY, PRINT, b"2")).state is State.RUNNING
    clock.now += 2
    assert (await store.claim(KEY, PRINT, b"2")).state is State.MINE
    await store.keep(KEY, b"1", KEPT)  # it was only slow
    await store.release(KEY, b"1")
    assert (await store.look(KEY, PRINT)).state is State.RUNNING


async def test_the_oldest_answers_go_first_and_running_claims_stay(store: SqliteStore, clock: Clock) -> None:
    await store.claim(b"running", PRINT, b"r")
    for number in range(40):
        clock.now += 1
        key = b"key %d" % number
        await store.claim(key, PRINT, b"1")
        await store.keep(key, b"1", Kept(200, [], bytes(64 << 10), False))
    kept = [number for number in range(40) if (await store.look(b"key %d" % number, PRINT)).state is State.KEPT]
    assert kept == list(range(40 - len(kept), 40))
    assert 14 <= len(kept) <= 16
    assert (await store.look(b"running", PRINT)).state is State.RUNNING


async def test_what_has_expired_is_removed_now_and_then(store: SqliteStore, clock: Clock, tmp_path: Path) -> None:
    for number in range(5):
        await store.claim(b"%d" % number, PRINT, b"1")
        if number:
            await store.keep(b"%d" % number, b"1", KEPT)
    clock.now += 100 + TIDY_S
    await store.beat([])
    with sqlite3.connect(tmp_path / "a.sqlite") as db:
        assert db.execute("SELECT count(*) FROM answers").fetchone() == (0,)


async def test_the_file_is_for_its_owner_only_and_holds_no_key(store: SqliteStore, tmp_path: Path) -> None:
    await store.claim(KEY, PRINT, b"1")
    await store.keep(KEY, b"1", KEPT)
    names = [name for name in os.listdir(tmp_path) if name.startswith("a.sqlite")]
    assert len(names) == 3
    assert {stat.S_IMODE(os.lstat(tmp_path / name).st_mode) for name in names} == {0o600}


async def test_answers_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    for number in range(2):
        store = SqliteStore(file, 100, 1 << 20)
        await store.open()
        found = await store.claim(KEY, PRINT, b"%d" % number)
        assert found.state is (State.KEPT if number else State.MINE)
        await store.keep(KEY, b"0", KEPT)
        await store.close()


_DIES = """
import sys, time
from edgegate.stores.base import Kept
from edgegate.stores.sqlite import Answers
answers = Answers(sys.argv[1], 100, 1 << 20, time.time)
answers.claim(b"k" * 32, b"f" * 32, b"1")
answers.keep(b"k" * 32, b"1", Kept(200, [], b"whole", True))
answers.claim(b"half", b"f" * 32, b"1")
print("kept", flush=True)
while True:
    answers.claim(b"x", b"y", b"z"); answers.keep(b"x", b"z", Kept(200, [], bytes(100_000), False))
    answers._db.execute("DELETE FROM answers WHERE key = ?", (b"x",))
"""


async def test_a_file_whose_writer_was_killed_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    with subprocess.Popen([sys.executable, "-c", _DIES, str(file)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"kept\n"
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(5)
    store = SqliteStore(file, 100, 1 << 20)
    await store.open()
    assert (await store.look(KEY, PRINT)).kept == Kept(200, [], b"whole", True)
    assert (await store.look(b"half", PRINT)).state is State.RUNNING
    await store.close()
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_many_workers_open_and_claim_at_once_and_one_wins(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "a.sqlite", 100, 1 << 20) for _ in range(6)]
    await asyncio.gather(*[store.open() for store in stores])
    for number in range(20):
        found = await asyncio.gather(*[store.claim(b"%d" % number, PRINT, b"%d" % at) for at, store in enumerate(stores)])
        assert sorted(f.state is State.MINE for f in found) == [False] * 5 + [True]
    for store in stores:
        await store.close()


@pytest.mark.parametrize("kind", ["directory", "other file", "missing directory"])
async def test_a_file_that_cannot_be_opened_is_told_at_the_start(kind: str, tmp_path: Path) -> None:
    file = {"directory": tmp_path, "other file": tmp_path / "text", "missing directory": tmp_path / "no" / "a"}[kind]
    (tmp_path / "text").write_text("this is no database, but it is long enough to be looked at" * 20)
    with pytest.raises(ValueError, match="cannot be opened: ") as told:
        await SqliteStore(file, 100, 1 << 20).open()
    assert str(file) in str(told.value)


async def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a") as db:
        db.execute("PRAGMA user_version=9")
    with pytest.raises(ValueError, match="version 9"):
        await SqliteStore(tmp_path / "a", 100, 1 << 20).open()


async def test_a_locked_file_is_an_error_in_time_and_works_again_afterwards(store: SqliteStore, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with asyncio.timeout(2):
        with pytest.raises(StoreError):
            await store.claim(KEY, PRINT, b"1")
    other.execute("COMMIT")
    other.close()
    assert (await store.claim(KEY, PRINT, b"2")).state is State.MINE


async def test_a_store_that_hangs_is_an_error_in_time(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    claim = Answers.claim
    with monkeypatch.context() as patched:
        patched.setattr(Answers, "claim", lambda *given: go_on.wait(10) and claim(*given))
        async with asyncio.timeout(2):
            with pytest.raises(StoreError, match="no answer within 1 s"):
                await store.claim(KEY, PRINT, b"1")
        store.abandon(KEY, b"1")
        go_on.set()
    assert (await store.claim(KEY, PRINT, b"2")).state is State.MINE


async def test_a_full_disk_is_an_error_and_not_the_end(store: SqliteStore) -> None:
    answers = store._answers
    assert answers is not None
    assert store._thread is not None
    await asyncio.wrap_future(store._thread.submit(lambda: answers._db.execute("PRAGMA max_page_count=8").fetchone()))
    await store.claim(KEY, PRINT, b"1")
    with pytest.raises(StoreError, match="full"):
        await store.keep(KEY, b"1", Kept(200, [], bytes(1 << 16), False))
    await store.release(KEY, b"1")
    assert (await store.claim(KEY, PRINT, b"2")).state is State.MINE


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore("", 100, 1 << 20)
    await store.open()
    await store.close()
    await store.close()
    store.abandon(KEY, b"1")
    with pytest.raises(StoreError, match="closed"):
        await store.look(KEY, PRINT)
    await until(lambda: not any(thread.name.startswith("edgegate-store") for thread in threading.enumerate()))
