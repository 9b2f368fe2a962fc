"""Sums over the ledger in SQLite, for the thread that owns the connection.

`daily` has the sums up to a segment; the rows behind it are added up here when somebody asks, and piece by piece for good (`add_up`).
So sums agree with the rows at every moment, and writing a row does not cost writing a sum.
"""

# ruff: noqa: S608 (what is put into SQL are names of ours; values are parameters)

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any

import orjson

from edgegate.access.counters import Scope
from edgegate.ledger.row import COLUMNS
from edgegate.stores.database import multi_row
from edgegate.stores.records import GROUPS, Slice, Total
from edgegate.stores.sqlite import Transaction

SLICE = 2000
"""Rows that are added to the daily sums at once, unless one segment has more: a few milliseconds."""

DAY_MS = 86_400_000

SCOPED = ("key", "user", "tenant", "model", "provider")
"""What a scope looks at, in the order of `Scope.covers`."""

SUMS: tuple[str, ...] = Total._fields[len(GROUPS) :]

LARGEST = 1 << 53
"""The most that a segment adds to a sum, so that no number a provider makes up overflows one."""

_EPOCH = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal() - _EPOCH

_group_of = itemgetter(*(COLUMNS.index(name) for name in GROUPS[1:]))
_values_of = itemgetter(
    *(COLUMNS.index(name) for name in ("at_ms", "attempt", *SUMS[1:5], "cost_nano_usd", "usage")),
)


def quoted(names: Iterable[str]) -> str:
    """`key` and `user` mean something in SQL."""
    return ", ".join(f'"{name}"' for name in names)


_TO_DAILY = f"INSERT INTO daily ({quoted(Total._fields)})"
_WHERE_SUMMED = f"ON CONFLICT ({quoted(GROUPS)}) DO UPDATE SET " + ", ".join(f'"{name}" = "{name}" + excluded."{name}"' for name in SUMS)
_NEXT = (
    "SELECT json_array(until, (SELECT json_group_array(json_array(number, count)) FROM "
    f"(SELECT number, count FROM segments WHERE number > until ORDER BY number LIMIT {SLICE}))) FROM summed"
)
_BLOCKS = "CAST('[' || group_concat(CAST(rows AS TEXT)) || ']' AS BLOB)"
_BETWEEN = f"SELECT {_BLOCKS} FROM segments WHERE number > ? AND number <= ?"
_BEHIND = "SELECT ifnull(sum(count), 0) FROM segments WHERE number > (SELECT until FROM summed)"


def behind(db: sqlite3.Connection) -> int:
    """How many rows are not in the daily sums."""
    (count,) = db.execute(_BEHIND).fetchone()
    return int(count)


def add_up(db: sqlite3.Connection) -> int:
    """Adds the next rows to the daily sums. Gives how many are still behind. Others write while it reads: where another process has
    added them meanwhile, nothing is changed."""
    (text,) = db.execute(_NEXT).fetchone()
    until, found = orjson.loads(text)
    last, count = until, 0
    for number, rows in found:
        if count and count + rows > SLICE:
            break
        last, count = number, count + rows
    if not count:
        return 0
    (blocks,) = db.execute(_BETWEEN, (until, last)).fetchone()
    lines = [(*group, *sums) for group, sums in sorted(_added(blocks).items())]
    with Transaction(db):
        if db.execute("UPDATE summed SET until = ? WHERE until = ?", (last, until)).rowcount:
            multi_row(db, _TO_DAILY, lines, _WHERE_SUMMED)
    return behind(db)


def totals(db: sqlite3.Connection, part: Slice, by: Sequence[str]) -> list[Total]:
    """Raises `ValueError` for a column that has no sums."""
    wanted = tuple(by)
    known_columns((*wanted, *(name for name, _ in part.equal)), GROUPS)
    groups = tuple(dict.fromkeys((*wanted, *_looked_at(part.scope))))
    equal = [*part.equal]
    if part.scope is not None:
        equal += [(name, value) for name, value in part.scope.equal if name in SCOPED]
    first, last = max(0, part.since_ms) // DAY_MS, min(_LAST_DAY, (part.until_ms - 1) // DAY_MS)
    if last < first:
        return []
    span = (day_of(first), day_of(last))
    where = " AND ".join(["day >= ? AND day <= ?", *(f"{quoted([name])} = ?" for name, _ in equal)])
    summed = ", ".join(f'sum("{name}")' for name in SUMS)
    lines, blocks = db.execute(  # one statement, so that no row is in both or in neither
        f"SELECT (SELECT json_group_array(json(line)) FROM (SELECT json_array({quoted(groups)}{', ' if groups else ''}{summed}) AS line "
        f"FROM daily WHERE {where} GROUP BY {quoted(groups) or 'NULL'})), "
        f"(SELECT {_BLOCKS} FROM segments WHERE number > (SELECT until FROM summed) AND last_ms >= ? AND first_ms < ?)",
        (*span, *(value for _, value in equal), first * DAY_MS, (last + 1) * DAY_MS),
    ).fetchone()
    found: dict[tuple[str, ...], list[int]] = {}
    for line in orjson.loads(lines):
        _add(found, wanted, part.scope, dict(zip(groups, line, strict=False)), line[len(groups) :])
    for group, sums in _added(blocks).items():
        named = dict(zip(GROUPS, group, strict=True))
        if span[0] <= named["day"] <= span[1] and all(named[name] == value for name, value in equal):
            _add(found, wanted, part.scope, named, sums)
    return [_total(dict(zip(wanted, group, strict=True)), sums) for group, sums in sorted(found.items())]


def day_of(number: int) -> str:
    """As `2026-11-21`, of the days since 1970; empty for one that no calendar has."""
    try:
        return date.fromordinal(_EPOCH + number).isoformat()
    except (ValueError, OverflowError):
        return ""


def known_columns(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no column `{name[:40]}` to ask by; there are {', '.join(known)}")


def _added(blocks: bytes | None) -> dict[tuple[str, ...], list[int]]:
    """The sums of rows, by GROUPS. blocks: a JSON array of arrays of rows; None: there are none."""
    by_day: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for block in orjson.loads(blocks) if blocks is not None else ():
        for row in block:
            at_ms, attempt, read, wrote, cached, reasoned, cost, usage = _values_of(row)
            name = (at_ms // DAY_MS, _group_of(row))
            sums = by_day.get(name)
            if sums is None:
                sums = by_day[name] = [0, 0, 0, 0, 0, 0, 0, 0, 0]
            sums[1] += read
            sums[2] += wrote
            sums[3] += cached
            sums[4] += reasoned
            if cost:
                sums[5] += cost
            if attempt:
                sums[0] += 1
                if cost is None:
                    sums[6] += 1
                if usage == "estimated":
                    sums[7] += 1
            if attempt <= 1:
                sums[8] += 1
    return {(day_of(day), *group): [max(-LARGEST, min(LARGEST, value)) for value in sums] for (day, group), sums in by_day.items()}


def _add(
    found: dict[tuple[str, ...], list[int]], wanted: Sequence[str], scope: Scope | None, named: Mapping[str, str], sums: list[int]
) -> None:
    if scope is None or scope.covers(*(named.get(name, "") for name in SCOPED)):
        group = tuple(named[name] for name in wanted)
        known = found.get(group)
        found[group] = sums if known is None else [a + b for a, b in zip(known, sums, strict=True)]


def _looked_at(scope: Scope | None) -> list[str]:
    """Columns on which it depends whether the scope covers a group."""
    if scope is None:
        return []
    equal = {name for name, _ in scope.equal}
    return [name for name in SCOPED if name in equal or getattr(scope, f"{name}s")]


def _total(named: Mapping[str, str], sums: Sequence[int]) -> Total:
    fields: dict[str, Any] = dict.fromkeys(GROUPS, "") | dict(named)
    return Total(**(fields | dict(zip(SUMS, sums, strict=True))))
