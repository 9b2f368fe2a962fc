"""The ledger in the SQLite file. A holder that was killed is noticed at once: its lock is free (see `holder_lock`).

In memory there is one process, which takes everything with it: nobody is ever gone.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Sequence

from edgegate.ledger.row import Row
from edgegate.stores import holder_lock, sqlite_ledger, sqlite_reading, sqlite_sums
from edgegate.stores.base import StoreError
from edgegate.stores.database import Database, patiently
from edgegate.stores.records import Batch, Slice, Total

FAR_BEHIND = 50_000
"""Rows that may wait to be added to the daily sums while nobody asks for them."""

NEAR = sqlite_sums.SLICE
"""Rows that a question for sums adds up itself."""


class SqliteRecords:
    """See the module. The locks are in a directory beside the file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locks = f"{database.file}-holders" if database.file else ""
        self._holder = ""
        self._lock: holder_lock.HolderLock | None = None
        self._not_summed = 0

    async def open(self, holder: str) -> None:
        await self._database.open()
        try:
            if self._locks:
                self._lock = holder_lock.HolderLock(self._locks, holder)  # first: whoever is announced is locked
            await self._database.run_long(_begin, holder, time.time())
        except (OSError, StoreError) as error:
            what, why = (
                (f"directory {self._locks}", error.strerror) if isinstance(error, OSError) else (f"file {self._database.file}", error)
            )
            raise ValueError(f"the store's {what} cannot be used: {why}") from None
        else:
            self._holder = holder
        finally:
            if not self._holder:
                self._let_go()
                await self._database.close()
        await self._add_up_if_possible()

    async def close(self) -> None:
        if not self._holder:
            return
        holder, self._holder = self._holder, ""
        try:
            await self._database.run(_sign_off, holder)
        except StoreError:
            pass  # it is then found gone, and buried
        finally:
            self._let_go()
            await self._database.close()

    async def write(self, batch: Batch) -> None:
        await self._database.run(sqlite_ledger.write, self._holder, batch)
        self._not_summed += len(batch.rows)

    async def beat(self) -> None:
        """Only keeps house: that the holder lives, its lock says."""
        if self._not_summed >= FAR_BEHIND:
            await self._add_up(FAR_BEHIND)

    async def gone(self) -> list[str]:
        if not self._locks:
            return []
        silent = [holder for holder in await self._database.run(_holders) if not holder_lock.lives(self._locks, holder)]
        if not silent:
            return []
        announced = await self._database.run(_holders)
        return [holder for holder in silent if holder in announced]  # the others have signed off in between

    async def recover(self, holder: str) -> list[Row]:
        return await self._database.run_long(sqlite_ledger.recover, holder)

    async def bury(self, holder: str) -> None:
        await self._database.run(_sign_off, holder)
        if self._locks:
            holder_lock.forget(self._locks, holder)

    async def totals(self, part: Slice, by: Sequence[str]) -> list[Total]:
        await self._add_up_if_possible()
        return await self._database.run_long(sqlite_sums.totals, part, by)

    async def rows(self, part: Slice, *, newest_first: bool = False, limit: int = 0) -> AsyncIterator[Row]:
        left = limit
        reading = sqlite_reading.Reading(part, newest_first)
        while (found := await self._database.run_long(reading.step)) is not None:
            for row in found:
                yield row
                left -= 1
                if left == 0:
                    return

    async def prune(self, before_ms: int) -> int:
        """Whole segments go: a row may live as long as the last one that was written with it."""
        await self._add_up(0)
        return await self._database.run_long(sqlite_ledger.prune, before_ms)

    async def _add_up_if_possible(self) -> None:
        try:
            await self._add_up(NEAR)
        except StoreError:
            pass  # others hold the file, or the disk is full: sums are right all the same, and take longer

    async def _add_up(self, most: int) -> None:
        """Until at most so many rows are not in the daily sums; slice by slice, so that rows are written in between."""
        left = await self._database.run(sqlite_sums.behind)
        while left > most:
            left = await self._database.run(sqlite_sums.add_up)
        self._not_summed = left

    def _let_go(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


def _begin(db: sqlite3.Connection, holder: str, at: float) -> None:
    patiently(lambda: db.execute("INSERT INTO holders (holder, since) VALUES (?, ?)", (holder, at)))


def _sign_off(db: sqlite3.Connection, holder: str) -> None:
    db.execute("DELETE FROM holders WHERE holder = ?", (holder,))


def _holders(db: sqlite3.Connection) -> list[str]:
    return [holder for (holder,) in db.execute("SELECT holder FROM holders ORDER BY since")]
