"""Questions to the ledger in SQLite, for the thread that owns the connection: sums, and pages of rows.

Every answer comes as one JSON text (see `database`). Columns are named by us only; values are parameters.
"""

# ruff: noqa: S608 (what is put into SQL are names of ours; values are parameters)

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from edgegate.access.counters import Scope
from edgegate.ledger.row import Row
from edgegate.stores.records import GROUPS, Slice, Total
from edgegate.stores.sqlite_ledger import ROW, SUMS, quoted

PAGE = 1000

_SCOPED = ("key", "user", "tenant", "model", "provider")
"""What a scope looks at, in the order of `Scope.covers`."""

_OF_ROWS = ("request_id", "outcome")
"""What rows can be asked for by, beside GROUPS."""

_DAY_OF = "strftime('%Y-%m-%d', {} / 1000, 'unixepoch')"

_LAST_MS = 253_402_300_799_999
"""The end of the year 9999, and of the days that SQLite knows."""

Place = tuple[int, str, int]
"""A row's place in the order of time: at_ms, holder, seq."""


class Page(NamedTuple):
    rows: list[Row]
    last: Place | None  # of the last row that was looked at; None: there are no more


def totals(db: sqlite3.Connection, part: Slice, by: Sequence[str]) -> list[Total]:
    """Raises `ValueError` for a column that has no sums."""
    wanted = tuple(by)
    _check((*wanted, *(name for name, _ in part.equal)), GROUPS)
    groups = tuple(dict.fromkeys((*wanted, *_looked_at(part.scope))))
    where, values = _where(part)
    span = f"day >= {_DAY_OF.format('?')} AND day <= {_DAY_OF.format('?')}"
    values = [max(0, part.since_ms), min(_LAST_MS, part.until_ms - 1), *values]
    columns = quoted((*GROUPS, *SUMS))
    since = "number > (SELECT until FROM summed)"
    every = (
        f"SELECT {columns} FROM daily WHERE {span} AND {where} UNION ALL SELECT {columns} FROM counted WHERE {since} AND {span} AND {where}"
    )
    summed = ", ".join(f'sum("{name}")' for name in SUMS)
    lines = _json(
        db,
        f"SELECT json_group_array(json(line)) FROM (SELECT json_array({quoted(groups)}{', ' if groups else ''}{summed}) AS line "
        f"FROM ({every}) GROUP BY {quoted(groups) or 'NULL'})",
        [*values, *values],
    )
    found: dict[tuple[str, ...], list[int]] = {}
    for line in lines:
        named = dict(zip(groups, line, strict=False))
        if _covers(part.scope, named):
            sums = line[len(groups) :]
            group = tuple(named[name] for name in wanted)
            known = found.get(group)
            found[group] = sums if known is None else [a + b for a, b in zip(known, sums, strict=True)]
    return [_total(dict(zip(wanted, group, strict=True)), sums) for group, sums in sorted(found.items())]


def page(db: sqlite3.Connection, part: Slice, after: Place | None, newest_first: bool) -> Page:
    """Looks at the next `PAGE` rows by time, so that it never takes long, and gives those that are asked for. Raises `ValueError`
    for an unknown column."""
    _check((name for name, _ in part.equal), (*GROUPS, *_OF_ROWS))
    span, span_values = "at_ms >= ? AND at_ms < ?", [part.since_ms, part.until_ms]
    place: tuple[int | str, ...] = ()
    if after is not None:
        than, place = ("<" if newest_first else ">"), (after[0], *after)
        span += f" AND at_ms {than}= ? AND (at_ms, holder, seq) {than} (?, ?, ?)"
    direction = "DESC" if newest_first else "ASC"
    order = f"at_ms {direction}, holder {direction}, seq {direction}"
    looked = f"SELECT {ROW} FROM ledger WHERE {span} ORDER BY {order} LIMIT {PAGE}"
    where, values = _where(part, {"day": _DAY_OF.format("at_ms")})
    # in the order of the inner query, which is read as it was made
    found, last, seen = _json(
        db,
        f"WITH looked AS MATERIALIZED ({looked}) SELECT json_array("
        f"(SELECT json_group_array(json_array({ROW})) FROM looked WHERE {where}), "
        f"(SELECT json_array(at_ms, holder, seq) FROM looked LIMIT 1 OFFSET {PAGE - 1}), (SELECT count(*) FROM looked))",
        [*span_values, *place, *values],
    )
    rows = [Row._make(line) for line in found]
    if part.scope is not None:
        rows = [row for row in rows if part.scope.covers(row.key, row.user, row.tenant, row.model, row.provider)]
    return Page(rows, tuple(last) if seen == PAGE else None)


def _total(named: Mapping[str, str], sums: Sequence[int]) -> Total:
    fields: dict[str, Any] = dict.fromkeys(GROUPS, "") | dict(named)
    return Total(**(fields | dict(zip(SUMS, sums, strict=True))))


def _check(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no column `{name[:40]}` to ask by; there are {', '.join(known)}")


def _where(part: Slice, written: Mapping[str, str] | None = None) -> tuple[str, list[object]]:
    """A condition and its values. written: columns that are computed."""
    equal = [*part.equal]
    if part.scope is not None:
        equal += [(name, value) for name, value in part.scope.equal if name in _SCOPED]
    terms = [f"{(written or {}).get(name, quoted([name]))} = ?" for name, _ in equal]
    return " AND ".join(["1", *terms]), [value for _, value in equal]


def _looked_at(scope: Scope | None) -> list[str]:
    """Columns on which it depends whether the scope covers a group."""
    if scope is None:
        return []
    equal = {name for name, _ in scope.equal}
    return [name for name in _SCOPED if name in equal or getattr(scope, f"{name}s")]


def _covers(scope: Scope | None, named: Mapping[str, str]) -> bool:
    return scope is None or scope.covers(*(named.get(name, "") for name in _SCOPED))


def _json(db: sqlite3.Connection, question: str, values: Sequence[object]) -> Any:
    (text,) = db.execute(question, values).fetchone()
    return orjson.loads(text)
