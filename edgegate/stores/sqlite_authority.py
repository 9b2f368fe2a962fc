"""Shared counters in the SQLite file, for the worker processes of one machine.

Each decision is one transaction: the counters it is about are read, `Tallies` decides, those that changed are written. Nothing here
waits for the disk: after a loss of power all holders are gone, and what they spent is taken from the ledger, which did wait.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from edgegate.access.counters import Counter
from edgegate.access.tallies import Tallies
from edgegate.stores.authority import Grant, Refused, Return, Unknown, Want
from edgegate.stores.base import StoreError
from edgegate.stores.database import Database
from edgegate.stores.sqlite import Transaction

TIDY_S = 60.0
KEEP_S = 3600.0
"""Counters of a period stay so long after its end, and places of a holder of whom nothing was heard."""

SEEN_S = 1.0
"""That a holder lives is written down as often."""

_LOAD = (
    "SELECT (SELECT json_group_object(name, json(state)) FROM counters WHERE {which}), "
    "(SELECT json_group_object(holder, at) FROM holders_seen)"
)
_NAMED = "name IN (SELECT value FROM json_each(?))"
_MENTIONING = "instr(state, ?) > 0"
_SAVE = (
    "INSERT INTO counters (name, state, ends) "
    "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?) WHERE true "
    "ON CONFLICT (name) DO UPDATE SET state = excluded.state, ends = excluded.ends"
)
_DROP = "DELETE FROM counters WHERE name IN (SELECT value FROM json_each(?))"
_SEE = "INSERT INTO holders_seen (holder, at) VALUES (?, ?) ON CONFLICT (holder) DO UPDATE SET at = excluded.at"

Result = TypeVar("Result")


class SqliteAuthority:
    """See the module."""

    def __init__(self, database: Database, unix_clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = unix_clock
        self._holder = ""
        self._tidied = unix_clock()

    async def open(self, holder: str) -> None:
        await self._database.open()
        try:
            await self._database.run_light(_decide, [], lambda tallies, now: tallies.see(holder, now), self._clock)
        except StoreError:
            await self._database.close()
            raise
        self._holder = holder

    async def close(self) -> None:
        if not self._holder:
            return
        holder, self._holder = self._holder, ""
        try:
            await self._database.run_light(_leave, holder, self._clock)
        except StoreError:
            pass  # its places are free after a while
        finally:
            await self._database.close()

    async def take(self, wants: Sequence[Want]) -> list[Grant] | Refused | Unknown:
        holder, names = self._holder, [want.counter.name for want in wants]
        return await self._database.run_light(_decide, names, lambda tallies, now: tallies.take(holder, wants, now), self._clock)

    async def begin(self, counter: Counter, spent: Mapping[str, int]) -> None:
        await self._database.run_light(_decide, [counter.name], lambda tallies, _: tallies.begin(counter, spent), self._clock)

    async def tell(
        self, returns: Sequence[Return], spent: Sequence[tuple[Counter, int]], held: Sequence[tuple[Counter, int]] = ()
    ) -> dict[str, int]:
        holder = self._holder
        names = [back.counter.name for back in returns] + [counter.name for counter, _ in (*spent, *held)]
        told: dict[str, int] = await self._database.run_light(
            _decide, names, lambda tallies, now: tallies.tell(holder, returns, spent, now, held), self._clock
        )
        if self._clock() - self._tidied >= TIDY_S:
            self._tidied = self._clock()
            await self._database.run_light(_tidy, self._clock)
        return told

    async def estate(self, holder: str) -> list[Counter]:
        return await self._database.run_light(_of_holder, holder, lambda tallies: tallies.estate(holder), self._clock)

    async def bury(self, holder: str, spent: Mapping[str, int]) -> None:
        await self._database.run_light(_of_holder, holder, lambda tallies: tallies.bury(holder, spent), self._clock)

    async def first(self, name: str, ends: float) -> bool:
        return await self._database.run_light(_first, name, ends, self._clock)


def _decide(db: sqlite3.Connection, names: Iterable[str], decide: Callable[[Tallies, float], Result], clock: Callable[[], float]) -> Result:
    with Transaction(db):
        now = clock()
        kept = _Kept(db, _NAMED, orjson.dumps(list(names)).decode())
        decided = decide(kept.tallies, now)
        kept.save(now)
    return decided


def _of_holder(db: sqlite3.Connection, holder: str, act: Callable[[Tallies], Result], clock: Callable[[], float]) -> Result:
    with Transaction(db):
        kept = _Kept(db, _MENTIONING, f'"{holder}"')
        done = act(kept.tallies)
        kept.save(clock())
    return done


def _leave(db: sqlite3.Connection, holder: str, clock: Callable[[], float]) -> None:
    _of_holder(db, holder, lambda tallies: tallies.leave(holder), clock)


def _first(db: sqlite3.Connection, name: str, ends: float, clock: Callable[[], float]) -> bool:
    cursor = db.execute(
        "INSERT INTO firsts (name, ends) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET ends = excluded.ends WHERE firsts.ends <= ?",
        (name, ends, clock()),
    )
    return cursor.rowcount == 1


def _tidy(db: sqlite3.Connection, clock: Callable[[], float]) -> None:
    now = clock()
    with Transaction(db):
        db.execute("DELETE FROM counters WHERE ends < ?", (now - KEEP_S,))
        db.execute("DELETE FROM firsts WHERE ends <= ?", (now,))
        away = db.execute("SELECT holder FROM holders_seen WHERE at < ?", (now - KEEP_S,)).fetchall()
    for (holder,) in away:
        _leave(db, holder, clock)


class _Kept:
    """Some of the counters, read within a transaction, and written back where they changed."""

    def __init__(self, db: sqlite3.Connection, which: str, value: str) -> None:
        self.tallies = Tallies()
        self._db = db
        counters, seen = db.execute(_LOAD.format(which=which), (value,)).fetchone()
        self._read: dict[str, Any] = orjson.loads(counters)
        self._seen: dict[str, float] = orjson.loads(seen)
        for name, state in self._read.items():
            self.tallies.load(name, state)
        self.tallies.seen.update(self._seen)

    def save(self, now: float) -> None:
        saved = []
        dropped = []
        for name in self.tallies.names():
            state = self.tallies.dump(name)
            if state == self._read.get(name):
                continue
            if state is None:
                dropped.append(name)
            else:
                ends = self.tallies.ends(name, now)
                saved.append([name, orjson.dumps(state).decode(), None if ends == math.inf else ends])
        if saved:
            self._db.execute(_SAVE, (orjson.dumps(saved).decode(),))
        if dropped:
            self._db.execute(_DROP, (orjson.dumps(dropped).decode(),))
        for holder, at in self.tallies.seen.items():
            if not 0 <= at - self._seen.get(holder, -math.inf) < SEEN_S:
                self._db.execute(_SEE, (holder, at))
        for holder in self._seen.keys() - self.tallies.seen.keys():
            self._db.execute("DELETE FROM holders_seen WHERE holder = ?", (holder,))
