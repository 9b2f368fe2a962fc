"""Rows of the ledger in the SQL of PostgreSQL: many in one statement, and which of them are meant.

Rows are JSON already and go to the server as one array of arrays: here nothing is done for a single row, and there it costs no more
than an array per column. Names stand in quotes, values are parameters.
"""

# ruff: noqa: S608 (what is put into SQL are names of ours; values are parameters)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_type_hints

import orjson

from edgegate.ledger.row import COLUMNS, MAX_TEXT, Row
from edgegate.stores.records import GROUPS, Slice, Total

DAY_MS = 86_400_000
LARGEST = 1 << 53
"""A number beyond 64 bits becomes this: no count of anything, and many of them can still be added up."""

SUMS: tuple[str, ...] = Total._fields[len(GROUPS) :]
_SUMMED = (
    "sum(sign) FILTER (WHERE attempt <> 0)",
    *(f"sum(sign * {name})" for name in SUMS[1:6]),
    "sum(sign) FILTER (WHERE attempt <> 0 AND cost_nano_usd IS NULL)",
    "sum(sign) FILTER (WHERE attempt <> 0 AND usage = 'estimated')",
    "sum(sign) FILTER (WHERE attempt <= 1)",
)
"""What rows add to each of SUMS; `sign` is -1 for one that is taken away."""

_TEXTS = frozenset(name for name, kind in get_type_hints(Row).items() if kind is str)
_SCOPED = {"key": "keys", "user": "users", "tenant": "tenants", "model": "models", "provider": "providers"}
_DAY_OF_ROW = f"to_char(date '1970-01-01' + (at_ms / {DAY_MS})::int, 'YYYY-MM-DD')"
_DAY_OF_SUM = "to_char(day, 'YYYY-MM-DD')"


def columns(names: Sequence[str] = COLUMNS, prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{name}"' for name in names)


def given(parameter: str, condition: str = "true") -> str:
    """The rows of a parameter that `packed` made, as a SELECT."""
    values = []
    for place, name in enumerate(COLUMNS):
        value = f"r->>{place}"
        if name == "stream":  # may come as true
            value = f"({value})::boolean::int"
        elif name not in _TEXTS:
            value = f"({value})::bigint"
        values.append(f'{value} AS "{name}"')
    return f"SELECT {', '.join(values)} FROM jsonb_array_elements({parameter}::jsonb) AS r WHERE {condition}"


def packed(rows: Iterable[bytes]) -> str:
    return (b"[" + b",".join(rows) + b"]").decode()


def cleaned(rows: Iterable[bytes]) -> list[bytes]:
    """The rows with what PostgreSQL does not hold left out: NUL, numbers beyond 64 bits."""
    return [
        orjson.dumps(
            [
                _storable(value)[:MAX_TEXT]
                if isinstance(value, str)
                else value
                if value is None
                else max(-LARGEST, min(LARGEST, int(value)))
                for value in orjson.loads(row)
            ]
        )
        for row in rows
    ]


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def add_up(schema: str, source: str) -> str:
    """The statement that adds rows (with a `sign`) to the daily sums."""
    sums = ", ".join(f"coalesce({expression}, 0)" for expression in _SUMMED)
    added = ", ".join(f"{name} = d.{name} + excluded.{name}" for name in SUMS)
    return (
        f"INSERT INTO {schema}.daily AS d ({columns(GROUPS)}, {columns(SUMS)}) "
        f"SELECT date '1970-01-01' + (at_ms / {DAY_MS})::int AS day, {columns(GROUPS[1:])}, {sums} FROM {source} "
        f"GROUP BY day, {columns(GROUPS[1:])} ORDER BY day, {columns(GROUPS[1:])} "
        f"ON CONFLICT ({columns(GROUPS)}) DO UPDATE SET {added}"
    )


class Condition:
    """A WHERE being put together, with its parameters."""

    def __init__(self) -> None:
        self._terms: list[str] = []
        self.values: list[object] = []

    def __str__(self) -> str:
        return " AND ".join(self._terms) or "true"

    def parameter(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def add(self, term: str) -> None:
        self._terms.append(term)

    def equal(self, expression: str, value: str) -> None:
        self.add(f"{expression} = {self.parameter(value)}" if value == _storable(value) else "false")

    def matching(self, expression: str, patterns: tuple[str, ...]) -> None:
        """One of the patterns, where there are any; `*` at the end matches any rest."""
        if patterns:
            words = [pattern for pattern in patterns if pattern == _storable(pattern)]
            beginnings = [pattern[:-1] for pattern in words if pattern.endswith("*")]
            self.add(
                f"({expression} = ANY({self.parameter(words)}::text[]) OR EXISTS (SELECT 1 FROM "
                f"unnest({self.parameter(beginnings)}::text[]) AS beginning WHERE starts_with({expression}, beginning)))"
            )


def which(part: Slice, *, sums: bool) -> Condition:
    """Of daily sums or of rows. Raises `ValueError` for a column by which nothing is kept."""
    condition = Condition()
    since_ms, until_ms = (max(0, min(LARGEST, ms)) for ms in (part.since_ms, part.until_ms))
    if sums:
        condition.add(f"day >= date '1970-01-01' + {condition.parameter(since_ms // DAY_MS)}::int")
        condition.add(f"day <= date '1970-01-01' + {condition.parameter((until_ms - 1) // DAY_MS)}::int")
    else:
        condition.add(f"at_ms >= {condition.parameter(since_ms)}")
        condition.add(f"at_ms < {condition.parameter(until_ms)}")
    for name, value in part.equal:
        if name not in GROUPS and (sums or name not in ("request_id", "outcome")):
            raise ValueError(f"the ledger cannot be asked by {name[:40]}")
        condition.equal(f'"{name}"' if name != "day" else _DAY_OF_SUM if sums else _DAY_OF_ROW, value)
    if part.scope is not None:
        for name, value in part.scope.equal:
            if name in _SCOPED:
                condition.equal(f'"{name}"', value)
            else:
                condition.add("false")  # as `Scope.covers`: no row has it
        for name, patterns in _SCOPED.items():
            condition.matching(f'"{name}"', getattr(part.scope, patterns))
    return condition
