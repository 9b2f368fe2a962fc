"""The ledger in SQLite: rows for good, once; sums that agree with them; attempts of a process that was killed, found at once."""

from __future__ import annotations

import asyncio
import os
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
from edgegate.ledger.row import UNKNOWN, Row
from edgegate.stores.base import StoreError
from edgegate.stores.database import Database
from edgegate.stores.records import GROUPS, Batch, Slice, Total
from edgegate.stores.sqlite_reading import PAGE
from edgegate.stores.sqlite_records import SUM_ROWS, SqliteRecords

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
    await records.write(Batch(rows))
    assert await read(records) == rows


async def test_writing_a_row_twice_changes_nothing(records: SqliteRecords) -> None:
    await records.write(Batch([row(1), row(2)]))
    await records.write(Batch([row(2, cost_nano_usd=1), row(3), row(3, cost_nano_usd=1)]))
    rows = [row(1), row(2), row(3)]
    assert await read(records) == rows
    assert await records.totals(ALL, GROUPS) == added_by_day(rows)


def added_by_day(rows: Sequence[Row]) -> list[Total]:
    return [total._replace(day=rows[0].day) for total in added(rows, GROUPS[1:])]


@pytest.mark.parametrize("summed", [False, True])
async def test_a_row_takes_the_place_of_an_unknown_one_and_the_sums_follow(records: SqliteRecords, summed: bool) -> None:
    unknown = row(1, outcome=UNKNOWN, cost_nano_usd=5000, input_tokens=0, output_tokens=0, model="gpt-0")
    await records.write(Batch([unknown, row(2)]))
    if summed:
        await add_up(records)
    await records.write(Batch([row(1, cost_nano_usd=3000)]))
    await records.write(Batch([unknown._replace(cost_nano_usd=9999)]))  # too late
    rows = [row(1, cost_nano_usd=3000), row(2)]
    assert await read(records) == rows
    for _ in range(2):
        assert [total for total in await records.totals(ALL, GROUPS) if total.attempts] == added_by_day(rows)
        assert await records.totals(ALL, ()) == added(rows, ())
        await add_up(records)


async def add_up(records: SqliteRecords) -> None:
    records._not_summed = SUM_ROWS
    await records.beat()
    behind = "SELECT count(*) FROM ledger WHERE number > (SELECT until FROM summed)"
    assert await records._database.run(lambda db: db.execute(behind).fetchone()) == (0,)


async def test_a_row_that_cannot_be_stored_is_stored_as_well_as_can_be_and_holds_up_no_other(records: SqliteRecords) -> None:
    await records.write(Batch([row(1), row(2, input_tokens=1 << 80), row(3, user="a\ud800b")]))
    found = await read(records)
    assert [r.seq for r in found] == [1, 2, 3]
    assert found[0] == row(1)
    assert found[2].user == "a?b"


async def test_a_batch_is_written_whole_or_not_at_all(records: SqliteRecords) -> None:
    broken = row(2, tenant=None)
    with pytest.raises(StoreError):
        await records.write(Batch([row(1), broken], opened=[row(3)]))
    assert await read(records) == []
    assert await records.totals(ALL, ()) == []
    assert await records.recover("aa") == []
    await records.write(Batch([row(1)]))
    assert await read(records) == [row(1)]


async def test_one_batch_may_have_a_row_twice(records: SqliteRecords) -> None:
    await records.write(Batch([row(1, outcome=UNKNOWN), row(2), row(1), row(2, outcome=UNKNOWN), row(1, cost_nano_usd=1)]))
    assert await read(records) == [row(1), row(2)]
    assert await records.totals(ALL, ()) == added([row(1), row(2)], ())


async def test_an_empty_batch_is_no_error(records: SqliteRecords) -> None:
    await records.write(Batch())
    assert await read(records) == []


# -- attempts that run


async def test_opened_attempts_become_rows_once_when_their_holder_is_gone(records: SqliteRecords) -> None:
    open_rows = [row(seq, outcome=UNKNOWN, cost_nano_usd=5000) for seq in range(1, 6)]
    await records.write(Batch(opened=open_rows[:4]))
    await records.write(Batch([row(1)], opened=open_rows[1:], closed=[1, 5]))
    assert await read(records) == [row(1)]
    assert await records.recover("aa") == open_rows[1:4]
    assert await records.recover("aa") == []
    assert await read(records) == [row(1), *open_rows[1:4]]
    assert await records.totals(ALL, ()) == added([row(1), *open_rows[1:4]], ())


async def test_an_attempt_that_is_known_is_not_charged_again_as_unknown(records: SqliteRecords) -> None:
    await records.write(Batch(opened=[row(1, outcome=UNKNOWN)]))
    await records.write(Batch([row(1)]))
    assert await records.recover("aa") == []
    assert await read(records) == [row(1)]


_WRITES = """
import asyncio, sys
from edgegate.ledger.row import UNKNOWN
from edgegate.stores import database
from edgegate.stores.database import Database
from edgegate.stores.records import Batch
from edgegate.stores.sqlite_records import SqliteRecords
from tests.unit.stores.test_sqlite_records import row

database.DEADLINE_S = 20.0  # however busy the machine

async def main():
    records = SqliteRecords(Database(sys.argv[1]))
    await records.open(sys.argv[2])
    begun = 0
    while True:
        rows = [row(seq, sys.argv[2]) for seq in range(begun - 10, begun)] if begun else []
        opened = [row(seq, sys.argv[2], outcome=UNKNOWN, cost_nano_usd=5000) for seq in range(begun, begun + 10)]
        await records.write(Batch(rows, opened, [r.seq for r in rows]))
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
    await records.write(Batch([row(1)]))
    assert await records.gone() == []
    assert await read(records) == [row(1)]
    await records.close()
    assert not any(thread.name.startswith("edgegate-database") and thread.is_alive() for thread in threading.enumerate())


async def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    records = await opened(tmp_path)
    await records.close()
    with pytest.raises(StoreError, match="closed"):
        await records.write(Batch([row(1)]))


# -- reading


async def test_rows_come_in_the_order_of_their_time_however_many_there_are(records: SqliteRecords) -> None:
    rows = [row(seq, at_ms=NOON + seq // 7 * (-1) ** seq, holder="ab"[seq % 2]) for seq in range(2 * PAGE + 500)]
    await records.write(Batch(rows))
    ordered = sorted(rows, key=lambda r: (r.at_ms, r.holder, r.seq))
    assert await read(records) == ordered
    assert await read(records, newest_first=True) == ordered[::-1]
    assert await read(records, limit=PAGE + 3) == ordered[: PAGE + 3]
    part = Slice(NOON + 10, NOON + 100)
    assert await read(records, part) == [r for r in ordered if NOON + 10 <= r.at_ms < NOON + 100]


async def test_a_page_that_is_exactly_full_is_followed_by_an_end(records: SqliteRecords) -> None:
    await records.write(Batch([row(seq) for seq in range(PAGE)]))
    assert len(await read(records)) == PAGE


async def test_writers_are_not_held_up_by_readers(records: SqliteRecords) -> None:
    await records.write(Batch([row(seq) for seq in range(3 * PAGE)]))
    seen = 0
    async for _ in records.rows(ALL):
        seen += 1
        if seen == 10:
            await records.write(Batch([row(1_000_000)]))
    assert seen == 3 * PAGE + 1


async def test_rows_are_chosen_by_column_and_scope(records: SqliteRecords) -> None:
    rows = [
        row(1),
        row(2, tenant="other"),
        row(3, model="o-1", outcome="failed"),
        row(4, key="k2", request_id="wanted"),
        row(5, at_ms=NOON + DAY_MS),
    ]
    await records.write(Batch(rows))

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
        kept: dict[int, Row] = {}
        for number, batch in enumerate(batches):
            await records.write(Batch(batch))
            kept = {r.seq: r for r in batch} | kept
            if number % 2 and kept:
                await add_up(records)
            assert await records.totals(ALL, by) == added(list(kept.values()), by)
        rows = list(kept.values())
        scope = Scope(equal=(("tenant", "a"),), models=("b*", "x"))
        covered = [r for r in rows if r.tenant == "a" and r.model == "b"]
        assert await records.totals(Slice(0, 1 << 62, scope=scope), by) == added(covered, by)
        equal = [r for r in rows if r.model == "a"]
        assert await records.totals(Slice(0, 1 << 62, (("model", "a"),)), by) == added(equal, by)
        assert await records.prune(NOON + 15) == sum(r.at_ms < NOON + 15 for r in rows)
        assert await records.totals(ALL, by) == added(rows, by)
        await records.close()

    asyncio.run(scenario())


async def test_totals_are_by_whole_days(records: SqliteRecords) -> None:
    await records.write(Batch([row(seq, at_ms=NOON + seq * DAY_MS) for seq in range(5)]))
    found = await records.totals(Slice(NOON + DAY_MS, NOON + 3 * DAY_MS), ("day",))
    assert [total.day for total in found] == ["2024-10-05", "2024-10-06", "2024-10-07"]
    midnight = 20_002 * DAY_MS
    assert [total.day for total in await records.totals(Slice(midnight - DAY_MS, midnight), ("day",))] == ["2024-10-05"]
    with pytest.raises(ValueError, match="no column `outcome`"):
        await records.totals(ALL, ("outcome",))


async def test_old_rows_go_and_their_sums_stay(records: SqliteRecords) -> None:
    rows = [row(seq, at_ms=NOON + seq) for seq in range(10)]
    await records.write(Batch(rows))
    before = await records.totals(ALL, ("tenant",))
    assert await records.prune(NOON + 6) == 6
    assert await read(records) == rows[6:]
    assert await records.prune(1 << 62) == 4
    assert await records.prune(1 << 62) == 0
    assert await records.totals(ALL, ("tenant",)) == before
    await records.write(Batch([row(100)]))
    assert await records.totals(ALL, ("tenant",)) == added([*rows, row(100)], ("tenant",))


async def test_sums_are_kept_over_a_restart(tmp_path: Path) -> None:
    rows = [row(seq) for seq in range(300)]
    for part in (rows[:100], rows[100:]):
        records = await opened(tmp_path)
        await records.write(Batch(part))
        await records.close()
    records = await opened(tmp_path)
    assert await records.totals(ALL, ()) == added(rows, ())
    await records.close()
