"""The tables of the ledger in SQLite, for the thread that owns the connection: rows, attempts that run, daily sums.

Rows are numbered in the order in which they were written. `daily` has the sums up to a number, the rows behind it are added up
when somebody asks, and from time to time for good: so sums agree with the rows at every moment, and writing a row does not cost
writing a sum. Nearly always every row of a batch is new, and nothing is looked up. Where one was there before, the transaction is
undone and done again with more care.
"""

# ruff: noqa: S608 (what is put into SQL are names of ours; values are parameters)

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

import orjson

from edgegate.ledger.row import COLUMNS, UNKNOWN, Row
from edgegate.stores.database import multi_row
from edgegate.stores.postgres_rows import cleaned
from edgegate.stores.records import GROUPS, Batch, Total
from edgegate.stores.sqlite import Transaction

SUMS: tuple[str, ...] = Total._fields[len(GROUPS) :]


def quoted(names: Iterable[str]) -> str:
    """`key` and `user` mean something in SQL."""
    return ", ".join(f'"{name}"' for name in names)


ROW = quoted(COLUMNS)
_KEEP = f"INSERT INTO ledger ({ROW})"
_REPLACE = f"REPLACE INTO ledger ({ROW})"  # under new numbers
_FIND = (
    "SELECT json_group_array(json_array(holder, seq, number, outcome)) FROM json_each(?) AS name "
    "CROSS JOIN ledger ON holder = json_extract(name.value, '$[0]') AND seq = json_extract(name.value, '$[1]')"
)
_OPEN = "INSERT INTO opened (holder, seq, row)"
_UNLESS_THERE = "ON CONFLICT (holder, seq) DO NOTHING"
_CLOSE = "DELETE FROM opened WHERE holder = ? AND seq IN (SELECT value FROM json_each(?))"
_OPENED = "SELECT json_group_array(json(row)) FROM (SELECT row FROM opened WHERE holder = ? ORDER BY seq)"

_TO_DAILY = f"INSERT INTO daily ({quoted(Total._fields)}) SELECT {quoted(GROUPS)}, "
_WHERE_SUMMED = f"ON CONFLICT ({quoted(GROUPS)}) DO UPDATE SET " + ", ".join(f'"{name}" = "{name}" + excluded."{name}"' for name in SUMS)
_ADD_UP = (
    f"{_TO_DAILY}{', '.join(f'sum({name})' for name in SUMS)} FROM counted WHERE number > (SELECT until FROM summed) "
    f"GROUP BY {quoted(GROUPS)} ORDER BY {quoted(GROUPS)} {_WHERE_SUMMED}"
)
_SUMMED = "UPDATE summed SET until = max(until, ifnull((SELECT max(number) FROM ledger), 0))"
_TAKE_AWAY = (
    f"{_TO_DAILY}{', '.join(f'-{name}' for name in SUMS)} FROM counted "
    f"WHERE number IN (SELECT value FROM json_each(?)) AND number <= (SELECT until FROM summed) {_WHERE_SUMMED}"
)


_Keep = Callable[[sqlite3.Connection, list[Row]], list[Row]]
"""Writes rows, and gives those that were not there."""


class _Repeated(Exception):
    """A row is there already."""


def write(db: sqlite3.Connection, holder: str, batch: Batch) -> None:
    try:
        _write(db, holder, batch, _keep_new)
    except _Repeated:
        _write(db, holder, batch, _keep_missing)
    except (OverflowError, UnicodeError, orjson.JSONEncodeError):
        # a number or a text that cannot be stored must not keep all others waiting for ever
        _write(db, holder, Batch(cleaned(batch.rows), cleaned(batch.opened), batch.closed), _keep_missing)


def recover(db: sqlite3.Connection, holder: str) -> list[Row]:
    """The opened attempts of a holder become rows. Gives those that were not there yet."""
    try:
        return _recover(db, holder, _keep_new)
    except _Repeated:
        return _recover(db, holder, _keep_missing)


def add_up(db: sqlite3.Connection) -> None:
    """Adds the rows that came since to the daily sums."""
    with Transaction(db):
        _add_up(db)


def prune(db: sqlite3.Connection, before_ms: int, most: int) -> int:
    with Transaction(db):
        _add_up(db)
        old = db.execute("DELETE FROM ledger WHERE number IN (SELECT number FROM ledger WHERE at_ms < ? LIMIT ?)", (before_ms, most))
    return old.rowcount


def _write(db: sqlite3.Connection, holder: str, batch: Batch, keep: _Keep) -> None:
    ended = frozenset(batch.closed)
    opened = [(row.holder, row.seq, orjson.dumps(tuple(row)).decode()) for row in batch.opened if row.seq not in ended]
    with Transaction(db):
        keep(db, batch.rows)
        multi_row(db, _OPEN, opened, _UNLESS_THERE)
        if ended:
            db.execute(_CLOSE, (holder, orjson.dumps(batch.closed).decode()))


def _recover(db: sqlite3.Connection, holder: str, keep: _Keep) -> list[Row]:
    with Transaction(db):
        (opened,) = db.execute(_OPENED, (holder,)).fetchone()
        kept = keep(db, [Row._make(row) for row in orjson.loads(opened)])
        db.execute("DELETE FROM opened WHERE holder = ?", (holder,))
    return kept


def _keep_new(db: sqlite3.Connection, rows: list[Row]) -> list[Row]:
    if multi_row(db, _KEEP, rows, _UNLESS_THERE) != len(rows):
        raise _Repeated
    return rows


def _keep_missing(db: sqlite3.Connection, rows: list[Row]) -> list[Row]:
    """Rows that are there stay as they are, but for an `unknown` one of which it is now known what became of it. Gives the others."""
    wanted: dict[tuple[str, int], Row] = {}
    for row in rows:
        if (row.holder, row.seq) not in wanted or (wanted[row.holder, row.seq].outcome == UNKNOWN != row.outcome):
            wanted[row.holder, row.seq] = row
    (found,) = db.execute(_FIND, (orjson.dumps(list(wanted)).decode(),)).fetchone()
    replaced = []
    for holder, seq, number, outcome in orjson.loads(found):
        if outcome == UNKNOWN != wanted[holder, seq].outcome:
            replaced.append(number)
        else:
            del wanted[holder, seq]
    db.execute(_TAKE_AWAY, (orjson.dumps(replaced).decode(),))
    kept = list(wanted.values())
    multi_row(db, _REPLACE, kept)
    return kept


def _add_up(db: sqlite3.Connection) -> None:
    db.execute(_ADD_UP)
    db.execute(_SUMMED)
