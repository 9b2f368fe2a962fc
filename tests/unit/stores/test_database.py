"""The SQLite file: its schema from every older version, who may not use it, faults that are told and not the end."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgegate.stores.base import StoreError
from edgegate.stores.database import MOST_ROWS, Database, multi_row
from edgegate.stores.sqlite_schema import APPLICATION_ID, Migration, migrate, migrations
from tests.unit.core.parts import until

LATEST = migrations()[-1].version


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(str(tmp_path / "e.sqlite"))
    await made.open()
    yield made
    await made.close()


def tables(db: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def a_new_file(db: sqlite3.Connection) -> set[tuple[str, str]]:
    with sqlite3.connect(":memory:", isolation_level=None) as new:
        migrate(new, migrations())
        return tables(new)


# -- the schema


async def test_migrations_are_numbered_without_gaps() -> None:
    assert [step.version for step in migrations()] == list(range(1, LATEST + 1))


@pytest.mark.parametrize("version", range(LATEST + 1))
async def test_a_file_of_every_older_version_becomes_the_newest(version: int, tmp_path: Path) -> None:
    file = tmp_path / "e.sqlite"
    if version:
        with sqlite3.connect(file, isolation_level=None) as old:
            migrate(old, migrations()[:version])
            assert old.execute("PRAGMA user_version").fetchone() == (version,)
            old.execute("INSERT INTO holders (holder, since) VALUES ('old', 1)")
    database = Database(str(file))
    await database.open()
    assert await database.run(lambda db: db.execute("PRAGMA user_version").fetchone()) == (LATEST,)
    assert await database.run(lambda db: db.execute("PRAGMA application_id").fetchone()) == (APPLICATION_ID,)
    assert await database.run(lambda db: db.execute("SELECT count(*) FROM holders").fetchone()) == (bool(version),)
    assert await database.run(tables) == await database.run(a_new_file)
    await database.close()


def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    steps = [Migration(1, "CREATE TABLE a (x);\nCREATE TABLE b (x);\n"), Migration(2, "CREATE TABLE c (x);\nCREATE TABLE b (x);\n")]
    with sqlite3.connect(tmp_path / "e", isolation_level=None) as db:
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            migrate(db, steps)
        assert {name for name, _ in tables(db)} == {"a", "b"}
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        migrate(db, [*steps[:1], Migration(2, "CREATE TABLE c (x);\n")])
        assert {name for name, _ in tables(db)} == {"a", "b", "c"}


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "e"
    with sqlite3.connect(file, isolation_level=None) as db:
        migrate(db, [*migrations(), Migration(LATEST + 1, "CREATE TABLE later (x);\n")])
        before = tables(db)
    with pytest.raises(ValueError, match=f"version {LATEST + 1}, made by a newer edgegate") as told:
        await Database(str(file)).open()
    assert str(file) in str(told.value)
    with sqlite3.connect(file) as db:
        assert tables(db) == before


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "e") as db:
        db.execute("CREATE TABLE answers (x)")
        db.execute("PRAGMA user_version=1")
    with pytest.raises(ValueError, match="a database of something else"):
        await Database(str(tmp_path / "e")).open()
    with sqlite3.connect(tmp_path / "e") as db:
        assert {name for name, _ in tables(db)} == {"answers"}


@pytest.mark.parametrize("kind", ["directory", "garbage", "missing directory", "locked directory"])
async def test_a_file_that_cannot_be_opened_is_told_with_its_name(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "e.sqlite"
    match kind:
        case "directory":
            os.mkdir(file)
        case "garbage":
            file.write_text("this is no database, but it is long enough to be looked at" * 20)
        case "missing directory":
            file = tmp_path / "no" / "e.sqlite"
        case "locked directory":
            if os.geteuid() == 0:
                pytest.skip("root may write everywhere")
            os.chmod(tmp_path, 0o500)
    with pytest.raises(ValueError, match=r"cannot be opened: \w") as told:
        await Database(str(file)).open()
    assert str(file) in str(told.value)
    await until(lambda: not any(thread.name.startswith("edgegate-database") for thread in threading.enumerate()))


_OPENS = """
import asyncio, sys
from edgegate.stores.database import Database, patiently

async def main():
    database = Database(sys.argv[1])
    sys.stdin.readline()
    await database.open()
    insert = lambda db: db.execute("INSERT INTO firsts (name, ends) VALUES (?, 1)", (sys.argv[2],))
    await database.run_long(lambda db: patiently(lambda: insert(db)))
    await database.close()

asyncio.run(main())
"""


async def test_several_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    file = tmp_path / "e.sqlite"
    makers = [
        subprocess.Popen([sys.executable, "-c", _OPENS, str(file), str(number)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(5)
    ]
    for maker in makers:  # they wait for this, so that they begin together
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    for maker in makers:
        _, errors = await asyncio.to_thread(maker.communicate, timeout=20)
        assert (maker.returncode, errors) == (0, "")
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (LATEST,)
        assert db.execute("SELECT count(*) FROM firsts").fetchone() == (5,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# -- calls


async def test_the_file_is_for_its_owner_only(database: Database, tmp_path: Path) -> None:
    names = [name for name in os.listdir(tmp_path) if name.startswith("e.sqlite")]
    assert len(names) == 3
    assert {stat.S_IMODE(os.lstat(tmp_path / name).st_mode) for name in names} == {0o600}


async def test_it_is_open_until_the_last_of_its_stores_closes_it(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "e.sqlite"))
    await asyncio.gather(database.open(), database.open())
    await database.close()
    assert await database.run(lambda db: db.execute("SELECT 1").fetchone()) == (1,)
    await database.close()
    await database.close()
    with pytest.raises(StoreError, match="closed"):
        await database.run(lambda db: None)
    await until(lambda: not any(thread.name.startswith("edgegate-database") for thread in threading.enumerate()))
    await database.open()
    assert await database.run(lambda db: db.execute("SELECT 1").fetchone()) == (1,)
    await database.close()


async def test_commits_wait_for_the_disk_unless_they_need_not(database: Database) -> None:
    def level(db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA synchronous").fetchone()[0])

    full, normal = 2, 1
    assert [await database.run(level), await database.run_light(level), await database.run_light(level), await database.run(level)] == [
        full,
        normal,
        normal,
        full,
    ]


async def test_a_file_that_another_process_holds_is_an_error_in_time_and_works_again_afterwards(database: Database) -> None:
    other = sqlite3.connect(database.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with asyncio.timeout(2):
        with pytest.raises(StoreError, match="locked"):
            await database.run(lambda db: db.execute("DELETE FROM firsts") and None)
    other.execute("COMMIT")
    other.close()
    await database.run(lambda db: db.execute("DELETE FROM firsts") and None)


async def test_a_disk_that_hangs_is_an_error_in_time_and_what_waited_behind_is_dropped(database: Database) -> None:
    go_on = threading.Event()
    done: list[str] = []
    async with asyncio.timeout(3):
        with pytest.raises(StoreError, match=r"no answer within 0\.5 s"):
            await database.run(lambda db: go_on.wait(10))
        with pytest.raises(StoreError, match="no answer"):
            await database.run(lambda db: done.append("behind"))
    go_on.set()
    await database.run(lambda db: done.append("later"))
    assert done == ["later"]


async def test_a_full_disk_is_an_error_and_nothing_is_torn(database: Database) -> None:
    def fill(db: sqlite3.Connection) -> None:
        rows = [(f"{number} {'x' * 1000}", 1.0) for number in range(400)]
        db.execute("BEGIN IMMEDIATE")
        try:
            multi_row(db, "INSERT INTO firsts (name, ends)", rows)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    await database.run(lambda db: db.execute("PRAGMA max_page_count=60").fetchone())
    with pytest.raises(StoreError, match="full"):
        await database.run(fill)
    assert await database.run(lambda db: db.execute("SELECT count(*) FROM firsts").fetchone()) == (0,)
    await database.run(lambda db: db.execute("PRAGMA max_page_count=10000").fetchone())
    await database.run(fill)
    assert await database.run(lambda db: db.execute("SELECT count(*) FROM firsts").fetchone()) == (400,)
    assert await database.run(lambda db: db.execute("PRAGMA integrity_check").fetchone()) == ("ok",)


async def test_what_sqlite_cannot_hold_is_an_error_of_the_store(database: Database) -> None:
    for value in (1 << 70, "\ud800"):
        with pytest.raises(StoreError):
            await database.run(lambda db, value=value: db.execute("SELECT ?", (value,)))  # type: ignore[misc]


async def test_a_caller_that_is_cancelled_is_let_go(database: Database) -> None:
    go_on = threading.Event()
    call = asyncio.ensure_future(database.run(lambda db: go_on.wait(10)))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    assert await database.run(lambda db: db.execute("SELECT 1").fetchone()) == (1,)


async def test_any_number_of_rows_is_written_by_few_statements() -> None:
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        at = 0
        for count in (0, 1, 2, 3, 63, 100, MOST_ROWS, MOST_ROWS + 1, 3 * MOST_ROWS + 77):
            statements: list[str] = []
            db.set_trace_callback(statements.append)
            assert multi_row(db, "INSERT INTO t (a, b)", [(at + n, str(at + n)) for n in range(count)]) == count
            db.set_trace_callback(None)
            assert len(statements) <= count // MOST_ROWS + 9
            at += count
            assert db.execute("SELECT count(*), max(a), sum(a = b) FROM t").fetchone() == (at, at - 1 if at else None, at if at else None)
        assert multi_row(db, "INSERT INTO t (a, b)", [(at - 1, "x"), (at, "y")], "ON CONFLICT DO NOTHING") == 1
