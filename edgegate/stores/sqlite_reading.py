"""Rows of the ledger in SQLite in the order of their time, for the thread that owns the connection: step by step, none of them long.

Segments overlap in time: several processes write, and an attempt stands where it ended, at the time when it began. So segments are
read in the order of their edges, and a row is given when no segment that is still to be read can have one before it. Where too many
rows would wait for that, those that come last are put down again, and their segments are read once more when it is their turn.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from edgegate.access.counters import Scope
from edgegate.ledger.row import COLUMNS, Row
from edgegate.stores.records import GROUPS, Slice
from edgegate.stores.sqlite_sums import DAY_MS, SCOPED, day_of, known_columns

STEP = 1000
"""Rows that are looked at in one step, unless one segment has more."""

MOST_HELD = 8000
"""Rows that wait at most between two steps: some 12 MB."""

AHEAD = 200
"""Segments whose edges are looked up at once."""

_OF_ROWS = ("request_id", "outcome")
"""What rows can be asked for by, beside GROUPS."""

_FOREVER_MS = 1 << 62

_EDGES = """
SELECT json_group_array(json_array(first_ms, last_ms, number, count)) FROM (
    SELECT first_ms, last_ms, number, count FROM segments
    WHERE first_ms >= :edge AND (first_ms, last_ms, number) > (:edge, :other, :number) AND first_ms < :until AND last_ms >= :since
    ORDER BY first_ms, last_ms, number LIMIT :most
)
"""
_EDGES_BACKWARDS = """
SELECT json_group_array(json_array(first_ms, last_ms, number, count)) FROM (
    SELECT first_ms, last_ms, number, count FROM segments
    WHERE last_ms <= :edge AND (last_ms, first_ms, number) < (:edge, :other, :number) AND first_ms < :until AND last_ms >= :since
    ORDER BY last_ms DESC, first_ms DESC, number DESC LIMIT :most
)
"""
_SEGMENTS = (
    "SELECT CAST('[' || group_concat('[' || number || ',' || CAST(rows AS TEXT) || ']') || ']' AS BLOB) FROM segments "
    "WHERE number IN (SELECT value FROM json_each(?))"
)

Place = tuple[int, str, int]
"""A row's place in the order of time: at_ms, holder, seq."""


class _Part(NamedTuple):
    """A segment of which the rows from a place on are to be read."""

    place: Place
    number: int
    size: int  # rows


class _Line(NamedTuple):
    place: Place
    part: _Part
    values: Sequence[Any]


_place = itemgetter(0)


class Reading:
    """See the module. One question for rows; `step` until it gives None. Raises `ValueError` for an unknown column."""

    def __init__(self, part: Slice, newest_first: bool) -> None:
        known_columns((name for name, _ in part.equal), (*GROUPS, *_OF_ROWS))
        self._newest_first = newest_first
        self._since, self._until = _span(part)
        self._fits = _condition(part)
        edge = _FOREVER_MS if newest_first else -_FOREVER_MS
        self._scanned = (edge, edge, edge)  # the last segment whose edges were looked up, in the order of the index
        self._scanning = True
        self._ahead: deque[_Part] = deque()
        self._again: deque[_Part] = deque()  # by their places, each segment once
        self._held: list[_Line] = []  # by their places

    def step(self, db: sqlite3.Connection) -> list[Row] | None:
        """The next rows, perhaps none; None: there are no more."""
        parts: dict[int, _Part] = {}
        looked = 0
        while looked < STEP and (part := self._next(db)) is not None:
            if self._ahead and self._ahead[0] is part:
                self._ahead.popleft()
            else:
                self._again.popleft()
            parts[part.number] = part
            looked += part.size
        if not parts and not self._held:
            return None
        if parts:
            self._read(db, parts)
        rows = [Row._make(line.values) for line in self._ready(self._next(db))]
        if len(self._held) > MOST_HELD:
            self._put_down(MOST_HELD // 2)
        return rows

    def _ready(self, bound: _Part | None) -> list[_Line]:
        """Takes the rows that are before all of a segment."""
        count = len(self._held)
        if bound is not None:
            count = next((number for number, line in enumerate(self._held) if not self._before(line.place, bound.place)), count)
        ready, self._held = self._held[:count], self._held[count:]
        return ready

    def _before(self, one: Place, other: Place) -> bool:
        return one > other if self._newest_first else one < other

    def _next(self, db: sqlite3.Connection) -> _Part | None:
        """The segment that may have the first of the rows that are to be read."""
        if not self._ahead and self._scanning:
            self._scan(db)
        ahead, again = self._ahead, self._again
        if not again:
            return ahead[0] if ahead else None
        return ahead[0] if ahead and self._before(ahead[0].place, again[0].place) else again[0]

    def _scan(self, db: sqlite3.Connection) -> None:
        edge, other, number = self._scanned
        values = {"edge": edge, "other": other, "number": number, "since": self._since, "until": self._until, "most": AHEAD}
        (text,) = db.execute(_EDGES_BACKWARDS if self._newest_first else _EDGES, values).fetchone()
        found = orjson.loads(text)
        self._scanning = bool(found)
        for first, last, number, count in found:
            place = (last + 1, "", -1) if self._newest_first else (first, "", -1)
            self._ahead.append(_Part(place, number, count))
            self._scanned = (last, first, number) if self._newest_first else (first, last, number)

    def _read(self, db: sqlite3.Connection, parts: dict[int, _Part]) -> None:
        (text,) = db.execute(_SEGMENTS, (orjson.dumps(list(parts)).decode(),)).fetchone()
        since, until, fits, held, before = self._since, self._until, self._fits, self._held, self._before
        for number, rows in orjson.loads(text) if text is not None else ():  # some may have been pruned
            part = parts[number]
            begin = part.place
            for values in rows:
                if since <= values[2] < until and (fits is None or fits(values)):
                    place = (values[2], values[0], values[1])
                    if not before(place, begin):
                        held.append(_Line(place, part, values))
        held.sort(key=_place, reverse=self._newest_first)

    def _put_down(self, kept: int) -> None:
        again = {part.number: part for part in self._again}
        put_down: set[int] = set()
        for place, part, _ in self._held[kept:]:
            if part.number not in put_down:
                put_down.add(part.number)
                again[part.number] = part._replace(place=place)  # before the place that it may have had
        del self._held[kept:]
        self._again = deque(sorted(again.values(), key=_place, reverse=self._newest_first))


def _span(part: Slice) -> tuple[int, int]:
    """The time of which rows are asked for, days among the conditions included."""
    since, until = max(-_FOREVER_MS, part.since_ms), min(_FOREVER_MS, part.until_ms)
    for name, value in part.equal:
        if name == "day":
            number = _day(value)
            if number is None:
                return 0, 0
            since, until = max(since, number * DAY_MS), min(until, (number + 1) * DAY_MS)
    return since, until


def _day(text: str) -> int | None:
    try:
        number = date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    return number if day_of(number) == text else None


def _condition(part: Slice) -> Callable[[Sequence[Any]], bool] | None:
    """What the values of a row must fulfil, beside its time."""
    equal = [(COLUMNS.index(name), value) for name, value in part.equal if name != "day"]
    scoped: Scope | None = part.scope if part.scope != Scope() else None
    if scoped is None and not equal:
        return None
    who = itemgetter(*(COLUMNS.index(name) for name in SCOPED))

    def fits(values: Sequence[Any]) -> bool:
        for place, value in equal:
            if values[place] != value:
                return False
        return scoped is None or scoped.covers(*who(values))

    return fits
