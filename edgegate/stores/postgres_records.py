"""The ledger in PostgreSQL, for a fleet.

A batch is one statement, and so one transaction and one round trip: rows that are new, their daily sums, marks of attempts that
began, and marks that go. A second statement follows only where rows were there already: they may take the place of `unknown` ones.
Whether another holder lives is judged by watching its counter move, never by comparing clocks (`presence.py`).
"""

# ruff: noqa: S608 (what is put into SQL are names of ours; values are parameters)

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from edgegate.ledger.row import COLUMNS, UNKNOWN, Row, decode
from edgegate.stores.base import StoreError
from edgegate.stores.postgres import Postgres
from edgegate.stores.postgres_driver import Session, Unfit
from edgegate.stores.postgres_rows import SUMS, add_up, cleaned, columns, given, packed, which
from edgegate.stores.presence import GAP_S, SILENCE_S, Presence
from edgegate.stores.records import GROUPS, Batch, Slice, Total

PAGE = 1000
CHUNK = 2000
"""Rows that are removed at once."""

PATIENT_S = 10.0
"""For calls on behalf of people and of housekeeping: sums, pages, removal."""

LOCKED = "(SELECT count(*) FROM locked) > 0"
"""Is evaluated before anything is changed; see `lock`."""

Result = TypeVar("Result")


def lock(holder: str) -> str:
    """For a statement that touches a holder's marks and its rows: the holder, should it live after all, and the one that recovers its
    marks wait for each other instead of for each other's rows."""
    return f"locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended({holder}::text, 0)))"


class Statements:
    """The SQL, once for a schema."""

    def __init__(self, schema: str) -> None:
        row = columns()
        ledger, opened, holders = f"{schema}.ledger", f"{schema}.opened", f"{schema}.holders"
        # $1 rows, $2 opened, $3 holder, $4 closed
        self.write = (
            f"WITH {lock('$3')}, "
            f"new AS (INSERT INTO {ledger} ({row}) {given('$1', LOCKED)} ON CONFLICT (holder, seq) DO NOTHING RETURNING {row}), "
            f"summed AS ({add_up(schema, '(SELECT *, 1 AS sign FROM new) AS counted')}), "
            f"began AS (INSERT INTO {opened} ({row}) {given('$2')} ON CONFLICT (holder, seq) DO NOTHING), "
            f"ended AS (DELETE FROM {opened} WHERE {LOCKED} AND holder = $3 AND seq = ANY($4::bigint[])) "
            "SELECT count(*) FROM new"
        )
        values = ", ".join(f'"{name}" = g."{name}"' for name in COLUMNS[2:])
        signed = f"SELECT {row}, -1 AS sign FROM old UNION ALL SELECT {row}, 1 FROM changed"
        self.replace = (
            f"WITH given AS ({given('$1')}), "
            f"old AS (SELECT {columns(prefix='l.')} FROM {ledger} AS l JOIN given AS g USING (holder, seq) "
            f"WHERE l.outcome = '{UNKNOWN}' FOR UPDATE OF l), "
            f"changed AS (UPDATE {ledger} AS l SET {values} FROM given AS g JOIN old AS o USING (holder, seq) "
            f"WHERE l.holder = o.holder AND l.seq = o.seq RETURNING {columns(prefix='l.')}) "
            f"{add_up(schema, f'({signed}) AS counted')}"
        )
        self.beat = f"INSERT INTO {holders} AS h (holder, beats) VALUES ($1, 1) ON CONFLICT (holder) DO UPDATE SET beats = h.beats + 1"
        self.beats = (  # a holder may have written marks before its first beat, or after it was buried
            f"SELECT holder, beats FROM {holders} UNION ALL SELECT DISTINCT holder, 0 FROM {opened} AS o "
            f"WHERE NOT EXISTS (SELECT 1 FROM {holders} AS h WHERE h.holder = o.holder)"
        )
        self.recover = (
            f"WITH {lock('$1')}, "
            f"taken AS (DELETE FROM {opened} WHERE {LOCKED} AND holder = $1 RETURNING {row}), "
            f"new AS (INSERT INTO {ledger} ({row}) SELECT {row} FROM taken ON CONFLICT (holder, seq) DO NOTHING RETURNING {row}), "
            f"summed AS ({add_up(schema, '(SELECT *, 1 AS sign FROM new) AS counted')}) "
            f"SELECT {row} FROM new ORDER BY seq"
        )
        self.bury = f"DELETE FROM {holders} WHERE holder = $1"
        self.prune = (
            f"WITH pruned AS (DELETE FROM {ledger} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {ledger} WHERE at_ms < $1 "
            "ORDER BY at_ms LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM pruned"
        )


class PostgresRecords:
    """See the module and `Records`. `silence_s` and `gap_s` as in `presence.py`; `clock` is monotonic."""

    def __init__(
        self, postgres: Postgres, *, clock: Callable[[], float] = time.monotonic, silence_s: float = SILENCE_S, gap_s: float = GAP_S
    ) -> None:
        self._postgres = postgres
        self._clock = clock
        self._presence = Presence(silence_s, gap_s)
        self._sql = Statements(postgres.schema)
        self._holder = ""

    async def open(self, holder: str) -> None:
        await self._postgres.open()
        self._holder = holder
        try:
            await self.beat()
        except StoreError:
            return  # it is announced with the first beat that succeeds

    async def close(self) -> None:
        """Marks that are still there are found by others."""
        if not self._holder:
            return
        holder, self._holder = self._holder, ""
        try:
            await self._run(lambda session: session.execute(self._sql.bury, holder))
        except StoreError:
            pass  # others will find that it is gone
        finally:
            await self._postgres.close()

    async def write(self, batch: Batch) -> None:
        ended = frozenset(batch.closed)
        opened = [row for seq, row in batch.opened if seq not in ended]
        try:
            await self._write(batch.rows, opened, batch.closed)
        except Unfit:  # a text or a number that it cannot hold must not keep all others waiting for ever
            await self._write(cleaned(batch.rows), cleaned(opened), batch.closed)

    async def _write(self, rows: Sequence[bytes], opened: Sequence[bytes], closed: Sequence[int]) -> None:
        arguments = (packed(rows), packed(opened), self._holder, closed)
        new: int = await self._run(lambda session: session.fetchval(self._sql.write, *arguments))
        if new < len(rows):
            known = {(row.holder, row.seq): text for row, text in ((decode(text), text) for text in rows) if row.outcome != UNKNOWN}
            if known:
                replacing = packed(known.values())
                await self._run(lambda session: session.execute(self._sql.replace, replacing))

    async def beat(self) -> None:
        await self._run(lambda session: session.execute(self._sql.beat, self._holder))

    async def gone(self) -> list[str]:
        asked = self._clock()
        found = await self._run(lambda session: session.fetch(self._sql.beats))
        return self._presence.saw({row[0]: row[1] for row in found if row[0] != self._holder}, asked, self._clock())

    async def recover(self, holder: str) -> list[Row]:
        found = await self._run(lambda session: session.fetch(self._sql.recover, holder), PATIENT_S)
        return [Row(*row) for row in found]

    async def bury(self, holder: str) -> None:
        await self._run(lambda session: session.execute(self._sql.bury, holder))
        self._presence.forget(holder)

    async def totals(self, part: Slice, by: Sequence[str]) -> list[Total]:
        for name in by:
            if name not in GROUPS:
                raise ValueError(f"the ledger has no sums by {name[:40]}")
        condition = which(part, sums=True)
        chosen = [("to_char(day, 'YYYY-MM-DD')" if name == "day" else f'"{name}"') if name in by else "''" for name in GROUPS]
        grouped = f"GROUP BY {columns(by)} " if by else ""
        ordered = f" ORDER BY {columns(by)}" if by else ""
        sums = ", ".join(f"sum({name})::bigint" for name in SUMS)
        query = (
            f"SELECT {', '.join(chosen)}, {sums} FROM {self._postgres.schema}.daily WHERE {condition} {grouped}HAVING count(*) > 0{ordered}"
        )
        found = await self._run(lambda session: session.fetch(query, *condition.values), PATIENT_S)
        return [Total(*row) for row in found]

    async def rows(self, part: Slice, *, newest_first: bool = False, limit: int = 0) -> AsyncIterator[Row]:
        place: tuple[object, ...] = ()
        left = limit
        while True:
            page = min(PAGE, left) if limit else PAGE
            found = await self._page(part, place, newest_first, page)
            for row in found:
                yield row
            left -= len(found)
            if len(found) < page or (limit and left <= 0):
                return
            place = (found[-1].at_ms, found[-1].holder, found[-1].seq)

    async def _page(self, part: Slice, place: tuple[object, ...], newest_first: bool, size: int) -> list[Row]:
        """The rows behind `place`, the last one that was read."""
        condition = which(part, sums=False)
        if place:
            at_ms, holder, seq = map(condition.parameter, place)
            condition.add(f"(at_ms, holder, seq) {'<' if newest_first else '>'} ({at_ms}, {holder}, {seq})")
        way = " DESC" if newest_first else ""
        query = (
            f"SELECT {columns()} FROM {self._postgres.schema}.ledger WHERE {condition} "
            f"ORDER BY at_ms{way}, holder{way}, seq{way} LIMIT {condition.parameter(size)}"
        )
        found = await self._run(lambda session: session.fetch(query, *condition.values), PATIENT_S)
        return [Row(*row) for row in found]

    async def prune(self, before_ms: int) -> int:
        count: int = await self._run(lambda session: session.fetchval(self._sql.prune, before_ms, CHUNK), PATIENT_S)
        return count

    async def _run(self, work: Callable[[Session], Awaitable[Result]], within_s: float = 0.0) -> Result:
        """Every call that succeeds is also proof that this process could have seen others live."""
        asked = self._clock()
        result = await self._postgres.run(work, within_s)
        self._presence.reached(asked, self._clock())
        return result
