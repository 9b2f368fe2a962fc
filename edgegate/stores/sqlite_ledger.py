"""The ledger's tables in SQLite, for the thread that owns the connection: a segment for each batch, and the attempts that run.

A batch is written as it comes: its rows are JSON already, and are one value. Nothing is done for a single row but to look at its
time. A batch that is there already changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from edgegate.ledger.row import Row
from edgegate.stores.database import multi_row
from edgegate.stores.records import Batch
from edgegate.stores.sqlite import Transaction

MOST_PRUNED = 4000
"""Rows that are removed in one transaction, unless one segment has more."""

_KEEP = (
    "INSERT INTO segments (holder, batch, first_ms, last_ms, count, rows) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (holder, batch) DO NOTHING"
)
_OPEN = "INSERT INTO opened (holder, seq, row)"
_UNLESS_THERE = "ON CONFLICT (holder, seq) DO NOTHING"
_CLOSE = "DELETE FROM opened WHERE holder = ? AND seq IN (SELECT value FROM json_each(?))"
_OPENED = "SELECT CAST('[' || group_concat(CAST(row AS TEXT)) || ']' AS BLOB) FROM (SELECT row FROM opened WHERE holder = ? ORDER BY seq)"
_OLD = (
    "SELECT json_group_array(json_array(number, count)) FROM (SELECT number, count FROM segments "
    "WHERE last_ms < ? AND number <= (SELECT until FROM summed) ORDER BY last_ms LIMIT ?)"
)


def write(db: sqlite3.Connection, holder: str, batch: Batch) -> None:
    ended = frozenset(batch.closed)
    opened = [(holder, seq, row) for seq, row in batch.opened if seq not in ended]
    segment = _segment(holder, batch) if batch.rows else None
    if segment is not None and not opened and not ended:
        db.execute(_KEEP, segment)  # one statement is a transaction; each one more is a fight for the interpreter's lock
        return
    with Transaction(db):
        if segment is not None and not db.execute(_KEEP, segment).rowcount:
            return  # all of it is there
        multi_row(db, _OPEN, opened, _UNLESS_THERE)
        if ended:
            db.execute(_CLOSE, (holder, orjson.dumps(list(ended)).decode()))


def recover(db: sqlite3.Connection, holder: str) -> list[Row]:
    """The opened attempts of a holder become rows. Gives them."""
    with Transaction(db):
        (opened,) = db.execute(_OPENED, (holder,)).fetchone()
        if opened is None:
            return []
        rows = [Row._make(row) for row in orjson.loads(opened)]
        times = [row.at_ms for row in rows]
        (batch,) = db.execute("SELECT min(0, ifnull(min(batch), 0)) - 1 FROM segments WHERE holder = ?", (holder,)).fetchone()
        db.execute(_KEEP, (holder, batch, min(times), max(times), len(rows), opened))
        db.execute("DELETE FROM opened WHERE holder = ?", (holder,))
    return rows


def prune(db: sqlite3.Connection, before_ms: int) -> int:
    """Removes segments that are older and are in the sums. A row lives as long as its segment: until the last one that was written
    with it is old enough. Gives how many rows went."""
    with Transaction(db):
        (found,) = db.execute(_OLD, (before_ms, MOST_PRUNED)).fetchone()
        old: list[int] = []
        removed = 0
        for number, count in orjson.loads(found):
            if old and removed + count > MOST_PRUNED:
                break
            old.append(number)
            removed += count
        db.execute("DELETE FROM segments WHERE number IN (SELECT value FROM json_each(?))", (orjson.dumps(old).decode(),))
    return removed


def _segment(holder: str, batch: Batch) -> tuple[object, ...]:
    rows = batch.rows
    times = _times(rows)
    return holder, batch.number, min(times), max(times), len(rows), b"[" + b",".join(rows) + b"]"


def _times(rows: Sequence[bytes]) -> list[int]:
    """When the attempts began: the third field. The two before it hold no comma, and to decode a row takes four times as long."""
    return [int(row.split(b",", 3)[2]) for row in rows]
