"""The ledger in SQLite: rows for good, once; sums that agree with them; attempts of a process that was killed, found at once."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.access.counters import Scope
from edgegate.config.model import StoreOptions
from edgegate.ledger.row import COLUMNS, UNKNOWN, Row
from edgegate.stores import sqlite_ledger, sqlite_reading, sqlite_records, sqlite_sums
from edgegate.stores.base import StoreError
from edgegate.stores.database import Database
from edgegate.stores.opening import stores_of
from edgegate.stores.records import GROUPS, Batch, Slice, Total
from edgegate.stores.sqlite_records import SqliteRecords
from edgegate.stores.sqlite_sums import SLICE
from tests.unit.stores.records_contract import batch

DAY_MS = 86_400_000
NOON = 20_000 * DAY_MS + DAY_MS // 2  # of 2024-10-04
ALL = Slice(0, 1 << 62)


def row(seq: int, holder: str = "aa", **more: Any) -> Row:
    found = Row(
        holder, seq, NOON + seq, f"request-{seq}", 1, "acme", "key", "user", "a,b", "chat", "openai", "gpt", "openai", "gpt-1", 1,
        "provider", 200, "completed", "", 100, 10, 5, 0, 0, 2, 0, 0, "reported", "", "2026", 5000, 4000, 1_000_000, None,
    )  # fmt: skip
    return found._replace(**more)


def added(rows: Sequence[Row], by: Sequence[str]) -> list[Total]:
    """What the totals must be."""
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * 9)
    for r in rows:
        attempted = r.attempt > 0
        values = (
            attempted, r.input_tokens, r.output_tokens, r.cached_tokens, r.reasoning_tokens, r.cost_nano_usd or 0,
            attempted and r.cost_nano_usd is None, attempted and r.usage == "estimated", r.attempt <= 1,
        )  # fmt: skip
        group = tuple(getattr(r, name) for name in by)
        sums[group] = [a + b for a, b in zip(sums[group], values, strict=True)]
    return [
        Total(*(group[by.index(name)] if name in by else "" for name in GROUPS), *total)  # type: ignore[arg-type]
        for group, total in sorted(sums.items())
    ]


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqliteRecords]:
    made = await opened(tmp_path)
    yield made
    await made.close()


async def opened(tmp_path: Path, holder: str = "aa") -> SqliteRecords:
    made = SqliteRecords(Database(str(tmp_path / "e.sqlite")))
    await made.open(holder)
    return made


async def read(records: SqliteRecords, part: Slice = ALL, **how: Any) -> list[Row]:
    return [found async for found in records.rows(part, **how)]


# -- writing


async def test_rows_are_kept_as_they_were_written(records: SqliteRecords) -> None:
    rows = [row(1), row(2, cost_nano_usd=None, first_us=7), row(3, user="ü\0\n\"'", input_tokens=1 << 62), row(4, attempt=0, provider="")]
    await records.write(batch(rows))
    assert await read(records) == rows


def added_by_day(rows: Sequence[Row]) -> list[Total]:
    return [total._replace(day=rows[0].day) for total in added(rows, GROUPS[1:])]


async def test_a_batch_is_known_by_its_number(records: SqliteRecords) -> None:
    first = batch([row(1), row(2)], opened=[row(3)])
    await records.write(first)
    await records.write(first)
    await records.write(Batch(first.number, batch([row(4)]).rows, closed=[3]))
    assert await read(records) == [row(1), row(2)]
    assert await records.totals(ALL, GROUPS) == added_by_day([row(1), row(2)])
    assert await records.recover("aa") == [row(3)]


async def add_up(records: SqliteRecords) -> None:
    while await records._database.run(sqlite_sums.add_up):
        pass


async def count_behind(records: SqliteRecords) -> int:
    return await records._database.run(sqlite_sums.behind)


async def test_a_batch_is_written_whole_or_not_at_all(records: SqliteRecords) -> None:
    with pytest.raises(StoreError):
        await records.write(Batch(1, batch([row(1)]).rows, [(3, batch([row(3)]).rows[0]), (None, b"[]")]))  # type: ignore[list-item]
    assert await read(records) == []
    assert await records.totals(ALL, ()) == []
    assert await records.recover("aa") == []
    await records.write(batch([row(1)]))
    assert await read(records) == [row(1)]


async def test_an_empty_batch_is_no_error(records: SqliteRecords) -> None:
    await records.write(batch())
    assert await read(records) == []


# -- attempts that run


async def test_opened_attempts_become_rows_once_when_their_holder_is_gone(records: SqliteRecords) -> None:
    open_rows = [row(seq, outcome=UNKNOWN, cost_nano_usd=5000) for seq in range(1, 6)]
    await records.write(batch(opened=open_rows[:4]))
    await records.write(batch([row(1)], opened=open_rows[1:], closed=[1, 5]))
    assert await read(records) == [row(1)]
    assert await records.recover("aa") == open_rows[1:4]
    assert await records.recover("aa") == []
    assert await read(records) == [row(1), *open_rows[1:4]]
    assert await records.totals(ALL, ()) == added([row(1), *open_rows[1:4]], ())


async def test_a_holder_is_recovered_again_if_it_left_more(records: SqliteRecords) -> None:
    await records.write(batch(opened=[row(1, outcome=UNKNOWN)]))
    assert await records.recover("aa") == [row(1, outcome=UNKNOWN)]
    await records.write(batch(opened=[row(2, outcome=UNKNOWN)]))
    assert await records.recover("aa") == [row(2, outcome=UNKNOWN)]
    assert await read(records) == [row(1, outcome=UNKNOWN), row(2, outcome=UNKNOWN)]


_WRITES = """
import asyncio, sys
from edgegate.ledger.row import UNKNOWN
from edgegate.stores import database
from edgegate.stores.database import Database
from edgegate.stores.sqlite_records import SqliteRecords
from tests.unit.stores.test_sqlite_records import batch, row

database.DEADLINE_S = 20.0  # however busy the machine

async def main():
    records = SqliteRecords(Database(sys.argv[1]))
    await records.open(sys.argv[2])
    begun = 0
    while True:
        rows = [row(seq, sys.argv[2]) for seq in range(begun - 10, begun)] if begun else []
        opened = [row(seq, sys.argv[2], outcome=UNKNOWN, cost_nano_usd=5000) for seq in range(begun, begun + 10)]
        await records.write(batch(rows, opened=opened, closed=[r.seq for r in rows]))
        begun += 10
        print(begun, flush=True)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_is_found_gone_at_once_and_its_attempts_exactly_once(tmp_path: Path) -> None:
    records = [await opened(tmp_path, "aa"), await opened(tmp_path, "bb")]
    file = tmp_path / "e.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES, str(file), "dead"], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as writer:
        assert writer.stdout is not None
        said = [await asyncio.to_thread(writer.stdout.readline) for _ in range(20)]
        assert said[0] == "10\n"
        assert await records[0].gone() == []
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait(5)
        begun = int([*said, *writer.stdout.readlines()][-1])
    assert [await one.gone() for one in records] == [["dead"], ["dead"]]
    found = await asyncio.gather(*[one.recover("dead") for one in records for _ in range(3)])
    taken = [rows for rows in found if rows]
    assert len(taken) == 1
    assert len(taken[0]) == 10
    assert taken[0][0].seq in (begun - 10, begun)  # a batch may have been written that it had no time to tell of
    assert {r.outcome for r in taken[0]} == {UNKNOWN}
    rows = await read(records[0], Slice(0, 1 << 62, (("holder", "dead"),)))
    assert [r.seq for r in rows] == list(range(taken[0][-1].seq + 1))
    assert await records[0].totals(ALL, ("holder",)) == added(rows, ("holder",))
    await records[1].bury("dead")
    assert [await one.gone() for one in records] == [[], []]
    assert sorted(os.listdir(f"{file}-holders")) == ["aa", "bb"]
    for one in records:
        await one.close()
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# -- holders


async def test_a_holder_is_there_until_it_closes(tmp_path: Path) -> None:
    first, second = await opened(tmp_path, "aa"), await opened(tmp_path, "bb")
    locks = f"{tmp_path / 'e.sqlite'}-holders"
    assert stat.S_IMODE(os.lstat(locks).st_mode) == 0o700
    assert sorted(os.listdir(locks)) == ["aa", "bb"]
    assert await first.gone() == await second.gone() == []
    await second.close()
    assert await first.gone() == []
    assert os.listdir(locks) == ["aa"]
    await second.close()
    await first.close()


async def test_a_holder_that_could_not_sign_off_is_found_gone(tmp_path: Path) -> None:
    first, second = await opened(tmp_path, "aa"), await opened(tmp_path, "bb")
    other = sqlite3.connect(first._database.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await second.close()
    other.execute("COMMIT")
    other.close()
    assert await first.gone() == ["bb"]
    await first.bury("bb")
    assert await first.gone() == []
    await first.close()


async def test_no_holder_ever_looks_gone_while_it_lives(tmp_path: Path) -> None:
    watcher = await opened(tmp_path, "aa")
    seen: list[str] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            seen.extend(await watcher.gone())

    watching = asyncio.ensure_future(watch())
    for number in range(15):
        one = await opened(tmp_path, f"b{number}")
        await one.close()
    done.set()
    await watching
    assert seen == []
    await watcher.close()


async def test_two_holders_cannot_have_one_name(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    with pytest.raises(ValueError, match=r"e\.sqlite-holders cannot be used"):
        await opened(tmp_path)
    assert await first.gone() == []
    await first.close()


async def test_in_memory_nobody_is_ever_gone() -> None:
    records = SqliteRecords(Database())
    await records.open("aa")
    await records.write(batch([row(1)]))
    assert await records.gone() == []
    assert await read(records) == [row(1)]
    await records.close()
    assert not any(thread.name.startswith("edgegate-database") and thread.is_alive() for thread in threading.enumerate())


async def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    records = await opened(tmp_path)
    await records.close()
    with pytest.raises(StoreError, match="closed"):
        await records.write(batch([row(1)]))


# -- reading


@pytest.mark.parametrize(("step", "most_held", "ahead"), [(1000, 8000, 200), (1, 2, 1), (50, 60, 3), (7, 1, 200)])
async def test_rows_come_in_the_order_of_their_time_however_much_segments_overlap(
    records: SqliteRecords, monkeypatch: pytest.MonkeyPatch, step: int, most_held: int, ahead: int
) -> None:
    monkeypatch.setattr(sqlite_reading, "STEP", step)
    monkeypatch.setattr(sqlite_reading, "MOST_HELD", most_held)
    monkeypatch.setattr(sqlite_reading, "AHEAD", ahead)
    chance = random.Random(step)
    rows = [row(seq, at_ms=NOON + seq // 7 - chance.choice((0, 3, 40, 500)), holder="ab"[seq % 2]) for seq in range(600)]
    for begin in range(0, 600, 25):
        await records.write(batch(rows[begin : begin + 25]))
    ordered = sorted(rows, key=lambda r: (r.at_ms, r.holder, r.seq))
    assert await read(records) == ordered
    assert await read(records, newest_first=True) == ordered[::-1]
    assert await read(records, limit=333) == ordered[:333]
    part = Slice(NOON - 30, NOON + 50, (("holder", "a"),))
    inside = [r for r in ordered if NOON - 30 <= r.at_ms < NOON + 50 and r.holder == "a"]
    assert await read(records, part) == inside
    assert await read(records, part, newest_first=True) == inside[::-1]


@settings(max_examples=60, deadline=None)
@given(
    segments=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=8), max_size=12),
    step=st.integers(1, 20), most_held=st.integers(0, 20), newest_first=st.booleans(), since=st.integers(-1, 30), length=st.integers(0, 45),
)  # fmt: skip
def test_any_segments_are_merged(segments: list[list[int]], step: int, most_held: int, newest_first: bool, since: int, length: int) -> None:
    async def scenario() -> None:
        records = SqliteRecords(Database())
        await records.open("aa")
        seqs = itertools.count()
        rows = [[row(next(seqs), at_ms=NOON + at) for at in times] for times in segments]
        for each in rows:
            await records.write(batch(each))
        span = range(NOON + since, NOON + since + length)
        inside = sorted((r for r in itertools.chain(*rows) if r.at_ms in span), key=lambda r: (r.at_ms, r.seq), reverse=newest_first)
        assert await read(records, Slice(NOON + since, NOON + since + length), newest_first=newest_first) == inside
        await records.close()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite_reading, "STEP", step)
        patched.setattr(sqlite_reading, "MOST_HELD", most_held)
        asyncio.run(scenario())


async def test_rows_that_wait_for_their_turn_are_few(records: SqliteRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_reading, "MOST_HELD", 100)
    for begin in range(0, 2000, 50):  # each ends with a row that began at the very first moment
        await records.write(batch([row(seq, at_ms=NOON + (seq if seq % 50 else 0)) for seq in range(begin, begin + 50)]))
    reading = sqlite_reading.Reading(ALL, newest_first=False)
    given = 0
    while (found := await records._database.run(reading.step)) is not None:
        given += len(found)
        assert len(reading._held) <= 100
    assert given == 2000


async def test_writers_are_not_held_up_by_readers(records: SqliteRecords) -> None:
    for begin in range(0, 3000, 500):
        await records.write(batch([row(seq) for seq in range(begin, begin + 500)]))
    seen = 0
    async for _ in records.rows(ALL):
        seen += 1
        if seen == 10:
            await records.write(batch([row(1_000_000)]))
    assert seen == 3001


async def test_what_is_removed_while_it_is_read_is_left_out(records: SqliteRecords) -> None:
    for begin in range(0, 3000, 500):
        await records.write(batch([row(seq) for seq in range(begin, begin + 500)]))
    seen = []
    async for found in records.rows(ALL):
        seen.append(found.seq)
        if len(seen) == 10:
            assert await records.prune(NOON + 2000) == 2000
    assert seen == [*range(1000), *range(2000, 3000)]


async def test_the_ledger_is_read_in_sql_too(records: SqliteRecords) -> None:
    rows = [row(1, user="ü\n\"'", stream=0), row(2, cost_nano_usd=None, input_tokens=1 << 62)]
    await records.write(batch(rows))
    await records.write(batch(opened=[row(3, outcome=UNKNOWN)]))
    await records.recover("aa")
    found = await records._database.run(lambda db: db.execute("SELECT * FROM ledger ORDER BY seq").fetchall())
    assert [each[1:] for each in found] == [*map(tuple, rows), tuple(row(3, outcome=UNKNOWN))]
    names = await records._database.run(lambda db: [name for name, *_ in db.execute("SELECT * FROM ledger").description])
    assert names == ["number", *COLUMNS]


async def test_rows_are_chosen_by_column_and_scope(records: SqliteRecords) -> None:
    rows = [
        row(1),
        row(2, tenant="other"),
        row(3, model="o-1", outcome="failed"),
        row(4, key="k2", request_id="wanted"),
        row(5, at_ms=NOON + DAY_MS),
    ]
    await records.write(batch(rows))

    async def seqs(equal: tuple[tuple[str, str], ...] = (), scope: Scope | None = None) -> list[int]:
        return [r.seq for r in await read(records, Slice(0, 1 << 62, equal, scope))]

    assert await seqs((("tenant", "acme"),)) == [1, 3, 4, 5]
    assert await seqs((("request_id", "wanted"),)) == [4]
    assert await seqs((("outcome", "failed"), ("tenant", "acme"))) == [3]
    assert await seqs((("day", rows[4].day),)) == [5]
    assert await seqs(scope=Scope(equal=(("tenant", "acme"),), models=("gpt-*",))) == [1, 4, 5]
    assert await seqs(scope=Scope(keys=("k2", "x*"))) == [4]
    assert await seqs(scope=Scope(equal=(("ip", "::1"),))) == []
    with pytest.raises(ValueError, match="no column `status`"):
        await seqs((("status", "200"),))
    with pytest.raises(ValueError, match="no column"):
        await seqs((('tenant" = "" OR 1=1 --', "x"),))


names = st.sampled_from(["", "a", "b"])
made_rows = st.lists(
    st.builds(
        lambda seq, days, tenant, model, cost, attempt, usage: row(
            seq, at_ms=NOON + days * DAY_MS, tenant=tenant, model=model, cost_nano_usd=cost, attempt=attempt, usage=usage
        ),
        st.integers(0, 30), st.integers(0, 2), names, names, st.none() | st.integers(0, 1 << 40), st.integers(0, 2),
        st.sampled_from(["reported", "estimated", "none"]),
    ),
    max_size=20,
    unique_by=lambda r: r.seq,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(made_rows, max_size=4), by=st.lists(st.sampled_from(GROUPS), unique=True))
def test_totals_are_the_sums_of_the_rows_at_every_moment(batches: list[list[Row]], by: list[str]) -> None:
    async def scenario() -> None:
        records = SqliteRecords(Database())
        await records.open("aa")
        rows: list[Row] = []
        for number, given_rows in enumerate(batches):
            await records.write(batch(given_rows))
            rows += given_rows
            if number % 2:
                await add_up(records)
            assert await records.totals(ALL, by) == added(rows, by)
        scope = Scope(equal=(("tenant", "a"),), models=("b*", "x"))
        covered = [r for r in rows if r.tenant == "a" and r.model == "b"]
        assert await records.totals(Slice(0, 1 << 62, scope=scope), by) == added(covered, by)
        equal = [r for r in rows if r.model == "a"]
        assert await records.totals(Slice(0, 1 << 62, (("model", "a"),)), by) == added(equal, by)
        assert await records.prune(NOON + DAY_MS) <= len(rows)
        assert await records.totals(ALL, by) == added(rows, by)
        await records.close()

    asyncio.run(scenario())


async def test_totals_are_by_whole_days(records: SqliteRecords) -> None:
    await records.write(batch([row(seq, at_ms=NOON + seq * DAY_MS) for seq in range(5)]))
    found = await records.totals(Slice(NOON + DAY_MS, NOON + 3 * DAY_MS), ("day",))
    assert [total.day for total in found] == ["2024-10-05", "2024-10-06", "2024-10-07"]
    midnight = 20_002 * DAY_MS
    assert [total.day for total in await records.totals(Slice(midnight - DAY_MS, midnight), ("day",))] == ["2024-10-05"]
    with pytest.raises(ValueError, match="no column `outcome`"):
        await records.totals(ALL, ("outcome",))


async def test_a_row_lives_as_long_as_those_that_were_written_with_it(records: SqliteRecords) -> None:
    rows = [row(seq, at_ms=NOON + seq) for seq in range(10)]
    await records.write(batch(rows[:5]))
    await records.write(batch(rows[5:]))
    before = await records.totals(ALL, ("tenant",))
    assert await records.prune(NOON + 4) == 0
    assert await records.prune(NOON + 5) == 5
    assert await read(records) == rows[5:]
    assert await records.prune(1 << 62) == 5
    assert await records.prune(1 << 62) == 0
    assert await records.totals(ALL, ("tenant",)) == before
    await records.write(batch([row(100)]))
    assert await records.totals(ALL, ("tenant",)) == added([*rows, row(100)], ("tenant",))


async def test_what_is_removed_is_in_the_sums(records: SqliteRecords) -> None:
    await records.write(batch([row(1)]))
    assert await count_behind(records) == 1
    assert await records._database.run(sqlite_ledger.prune, 1 << 62) == 0
    assert await records.prune(1 << 62) == 1


# -- daily sums


async def test_a_question_finds_most_rows_added_up(records: SqliteRecords) -> None:
    rows = [row(seq) for seq in range(3 * SLICE)]
    for begin in range(0, len(rows), 500):
        await records.write(batch(rows[begin : begin + 500]))
    assert await count_behind(records) == len(rows)
    assert await records.totals(ALL, ()) == added(rows, ())
    assert await count_behind(records) <= SLICE


async def test_housekeeping_adds_up_only_when_much_is_behind(records: SqliteRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_records, "FAR_BEHIND", 3000)
    for begin in range(0, 2500, 500):
        await records.write(batch([row(seq) for seq in range(begin, begin + 500)]))
    await records.beat()
    assert await count_behind(records) == 2500
    await records.write(batch([row(seq) for seq in range(2500, 4000)]))
    await records.beat()
    assert await count_behind(records) == 2000
    assert await records.totals(ALL, ()) == added([row(seq) for seq in range(4000)], ())


async def test_sums_are_right_while_another_process_holds_the_file(records: SqliteRecords) -> None:
    rows = [row(seq) for seq in range(SLICE + 1)]
    await records.write(batch(rows))
    other = sqlite3.connect(records._database.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert await records.totals(ALL, ()) == added(rows, ())
    other.close()
    assert await count_behind(records) == len(rows)


async def test_several_processes_add_up_each_row_once(tmp_path: Path) -> None:
    several = [await opened(tmp_path, f"a{number}") for number in range(4)]
    rows = [row(seq) for seq in range(8000)]
    for begin in range(0, 8000, 100):
        await several[begin // 100 % 4].write(batch(rows[begin : begin + 100]))
    await asyncio.gather(*(each._add_up(0) for each in several))
    assert await count_behind(several[0]) == 0
    assert await several[1].totals(ALL, ()) == added(rows, ())
    for each in several:
        await each.close()


async def test_a_number_that_nobody_can_count_to_stops_no_sums(records: SqliteRecords) -> None:
    await records.write(batch([row(1, input_tokens=(1 << 64) - 1), row(2, at_ms=1 << 60), row(3)]))
    await add_up(records)
    (found,) = await records.totals(ALL, ("day",))
    assert (found.day, found.attempts, found.input_tokens) == (row(3).day, 2, sqlite_sums.LARGEST)


# -- without a store


async def test_where_no_store_is_configured_no_row_is_kept(tmp_path: Path) -> None:
    for file, keep in (("", True), ("", False), (str(tmp_path / "shared.sqlite"), False)):
        stores = stores_of(StoreOptions(), file, keep)
        await stores.records.open("aa")
        await stores.records.write(batch([row(1)], opened=[row(2)]))
        await stores.records.beat()
        assert [found async for found in stores.records.rows(ALL)] == []
        assert await stores.records.totals(ALL, ()) == []
        assert (await stores.records.gone(), await stores.records.recover("aa"), await stores.records.prune(1 << 62)) == ([], [], 0)
        await stores.records.close()
        await stores.directory.open()
        assert await stores.directory.keys() == []
        await stores.directory.close()
    stores = stores_of(StoreOptions(), str(tmp_path / "kept.sqlite"), keep=True)
    await stores.records.open("aa")
    await stores.records.write(batch([row(1)]))
    assert [found async for found in stores.records.rows(ALL)] == [row(1)]
    await stores.records.close()


async def test_sums_are_kept_over_a_restart(tmp_path: Path) -> None:
    rows = [row(seq) for seq in range(300)]
    for part in (rows[:100], rows[100:]):
        records = await opened(tmp_path)
        await records.write(batch(part))
        await records.close()
    records = await opened(tmp_path)
    assert await records.totals(ALL, ()) == added(rows, ())
    await records.close()
