"""Counters that worker processes share through a file: the rules are those of `Tallies`, whoever asks and however many at once."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgegate.access.counters import Counter, Kind, Scope, Unit
from edgegate.stores.authority import LEASE_S, PRESENT_S, Grant, Refused, Return, Unknown, Want
from edgegate.stores.base import StoreError
from edgegate.stores.database import Database
from edgegate.stores.sqlite_authority import KEEP_S, SEEN_S, TIDY_S, SqliteAuthority
from tests.unit.core.parts import Clock

NOW = 1_700_000_000.0
WINDOW = Counter('window "of" ä', Kind.WINDOW, Unit.REQUESTS, 10, window_s=60.0)
BUCKET = Counter("bucket", Kind.BUCKET, Unit.TOKENS, 60, window_s=60.0, burst=7)
PLACES = Counter("places", Kind.HELD, Unit.CONCURRENCY, 5)
BUDGET = Counter(
    "budget", Kind.HELD, Unit.NANO_USD, 10**15, "budget of tenant", "acme", since=NOW, ends=NOW + 86_400, spends=True,
    alerts=(0.8, 0.95), scope=Scope((("tenant", "acme"),), models=("gpt-*",)),
)  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def pair(tmp_path: Path, clock: Clock) -> AsyncIterator[list[SqliteAuthority]]:
    """Two holders, each with a connection of its own, as two processes have."""
    made = [SqliteAuthority(Database(str(tmp_path / "e.sqlite")), clock) for _ in "ab"]
    for holder, one in zip("ab", made, strict=True):
        await one.open(holder)
    yield made
    for one in made:
        await one.close()


def rows(tmp_path: Path, table: str) -> int:
    with sqlite3.connect(tmp_path / "e.sqlite") as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


async def test_holders_share_what_there_is(pair: list[SqliteAuthority]) -> None:
    a, b = pair
    assert await a.take([Want(WINDOW, 6, 100), Want(BUCKET, 3), Want(PLACES, 2)]) == [Grant(8, int(NOW)), Grant(3, 0), Grant(2, 0)]
    refused = await b.take([Want(WINDOW, 3), Want(PLACES, 1)])
    assert isinstance(refused, Refused)
    assert (refused.counter, refused.used) == (WINDOW, 8)
    assert 60 < refused.wait_s <= 61 + LEASE_S
    assert await b.take([Want(WINDOW, 2), Want(PLACES, 3)]) == [Grant(2, int(NOW)), Grant(3, 0)]
    assert await b.take([Want(BUCKET, 5)]) == Refused(BUCKET, 1.0, 3)


async def test_what_one_gives_back_another_gets(pair: list[SqliteAuthority], clock: Clock) -> None:
    a, b = pair
    await a.take([Want(WINDOW, 10), Want(PLACES, 5)])
    assert isinstance(await b.take([Want(WINDOW, 1)]), Refused)
    assert await a.tell([Return(WINDOW, int(NOW), 4), Return(PLACES, 0, 1)], []) == {}
    assert isinstance(await b.take([Want(WINDOW, 4), Want(PLACES, 1)]), list)
    assert isinstance(await b.take([Want(PLACES, 1)]), Refused)
    clock.now += 61 + LEASE_S
    assert isinstance(await b.take([Want(WINDOW, 10)]), list)


async def test_a_budget_is_begun_once_and_counts_what_everybody_spent(pair: list[SqliteAuthority]) -> None:
    a, b = pair
    assert await a.take([Want(BUDGET, 1)]) == Unknown((BUDGET,))
    await asyncio.gather(a.begin(BUDGET, {"old": 10**14}), b.begin(BUDGET, {"old": 10**14}))
    assert await a.take([Want(BUDGET, 5 * 10**14)]) == [Grant(5 * 10**14, 0)]
    assert await b.take([Want(BUDGET, 5 * 10**14)]) == Refused(BUDGET, LEASE_S, 10**14)
    assert await a.tell([Return(BUDGET, 0, 10**14)], [(BUDGET, 4 * 10**14)]) == {"budget": 5 * 10**14}
    assert isinstance(await b.take([Want(BUDGET, 5 * 10**14)]), list)
    assert await b.tell([], [(BUDGET, 1)]) == {"budget": 5 * 10**14 + 1}


async def test_the_estate_of_a_holder_that_is_gone_is_found_and_buried(pair: list[SqliteAuthority]) -> None:
    a, b = pair
    await a.begin(BUDGET, {})
    await a.take([Want(BUDGET, 100), Want(PLACES, 5), Want(WINDOW, 1)])
    assert await b.estate("a") == [BUDGET]
    assert await b.estate("b") == []
    for _ in range(2):
        await b.bury("a", {"budget": 30})
        assert await b.estate("a") == []
        assert await b.tell([], [(BUDGET, 0)]) == {"budget": 30}
    assert isinstance(await b.take([Want(PLACES, 5), Want(BUDGET, BUDGET.limit - 30)]), list)


async def test_places_come_back_from_who_closes_and_from_who_is_silent(pair: list[SqliteAuthority], clock: Clock) -> None:
    a, b = pair
    await a.take([Want(PLACES, 5)])
    for _ in range(int(PRESENT_S)):
        clock.now += 2 * SEEN_S
        await a.tell([], [])
    assert isinstance(await b.take([Want(PLACES, 1)]), Refused)
    clock.now += PRESENT_S
    assert isinstance(await b.take([Want(PLACES, 5)]), list)
    clock.now += PRESENT_S / 2
    await b.tell([], [])
    assert isinstance(await b.take([Want(PLACES, 1)]), Refused)
    await b.close()
    assert isinstance(await a.take([Want(PLACES, 1)]), Refused)  # it has taken its own five back by asking
    await a.tell([Return(PLACES, 0, 5)], [])
    assert isinstance(await a.take([Want(PLACES, 5)]), list)


async def test_only_one_is_first(pair: list[SqliteAuthority], clock: Clock) -> None:
    assert sorted(await asyncio.gather(*[one.first("alert", NOW + 10) for one in pair * 3])) == [False] * 5 + [True]
    assert await pair[0].first("another", NOW + 10)
    clock.now += 10
    assert await pair[1].first("alert", NOW + 20)


async def test_what_says_nothing_any_more_is_removed_now_and_then(pair: list[SqliteAuthority], clock: Clock, tmp_path: Path) -> None:
    a, b = pair
    await a.begin(BUDGET, {})
    await a.take([Want(WINDOW, 1), Want(BUCKET, 1), Want(PLACES, 1)])
    await b.take([Want(PLACES, 1)])
    await b.tell([Return(PLACES, 0, 1)], [])
    await a.first("alert", NOW + 10)
    assert rows(tmp_path, "counters") == 4
    clock.now += KEEP_S + 2 * 60 + TIDY_S
    await b.tell([], [])
    assert rows(tmp_path, "counters") == 1  # the budget; of the places those of a, who is silent, are gone too
    assert rows(tmp_path, "firsts") == 0
    assert rows(tmp_path, "holders_seen") == 1
    clock.now += 86_400
    await b.tell([], [])
    assert rows(tmp_path, "counters") == 0


async def test_a_refusal_and_a_sign_of_life_write_nothing(pair: list[SqliteAuthority], tmp_path: Path) -> None:
    def changes(db: sqlite3.Connection) -> int:
        return db.total_changes

    a, _ = pair
    await a.take([Want(WINDOW, 10)])
    before = await a._database.run(changes)
    assert isinstance(await a.take([Want(WINDOW, 1)]), Refused)
    await a.tell([], [])
    assert await a._database.run(changes) == before


async def test_a_file_that_is_held_is_an_error_in_time_and_takes_no_effect(pair: list[SqliteAuthority], tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "e.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with asyncio.timeout(2):
        with pytest.raises(StoreError):
            await pair[0].take([Want(WINDOW, 10)])
    other.execute("COMMIT")
    other.close()
    assert isinstance(await pair[0].take([Want(WINDOW, 10)]), list)


async def test_a_name_that_no_store_can_hold_is_an_error_of_the_store(pair: list[SqliteAuthority]) -> None:
    with pytest.raises(StoreError):
        await pair[0].take([Want(Counter("\ud800", Kind.HELD, Unit.CONCURRENCY, 1), 1)])


_TAKES = """
import asyncio, sys
from edgegate.access.counters import Counter, Kind, Unit
from edgegate.stores.authority import Want
from edgegate.stores import database
from edgegate.stores.base import StoreError
from edgegate.stores.database import Database
from edgegate.stores.sqlite_authority import SqliteAuthority

database.DEADLINE_S = 20.0  # so that the effect of every call is known, however busy the machine

async def main():
    authority = SqliteAuthority(Database(sys.argv[1]))
    window = Counter("w", Kind.WINDOW, Unit.TOKENS, 1000, window_s=3600.0)
    budget = Counter("b", Kind.HELD, Unit.NANO_USD, 997, spends=True)
    await authority.open(sys.argv[2])
    await authority.begin(budget, {})
    granted = [0, 0]
    sys.stdin.readline()
    for at, counter in enumerate((window, budget)):
        while True:
            try:
                answer = await authority.take([Want(counter, 1, 4)])
            except StoreError as error:
                assert "locked" in str(error)  # then it has certainly taken no effect
                continue
            if not isinstance(answer, list):
                break
            granted[at] += answer[0].units
    print(*granted)
    await authority.close()

asyncio.run(main())
"""


async def test_four_processes_that_take_at_once_get_exactly_what_there_is(tmp_path: Path) -> None:
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", _TAKES, str(tmp_path / "e.sqlite"), f"holder{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for taker in takers:  # they wait for this, so that they begin together
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    granted = []
    for taker in takers:
        said, errors = await asyncio.to_thread(taker.communicate, timeout=30)
        assert (taker.returncode, errors) == (0, "")
        granted.append([int(word) for word in said.split()])
    assert [sum(units) for units in zip(*granted, strict=True)] == [1000, 997]


async def test_in_memory_it_works_too() -> None:
    authority = SqliteAuthority(Database())
    await authority.open("a")
    assert isinstance(await authority.take([Want(PLACES, 5)]), list)
    assert await authority.take([Want(PLACES, 6)]) == Refused(PLACES, math.inf, 5)
    await authority.close()
    await authority.close()
    with pytest.raises(StoreError, match="closed"):
        await authority.take([Want(PLACES, 1)])
