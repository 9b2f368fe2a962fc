"""The ledger as an outsider reads it, and what must hold between it and the provider's bill.

A row belongs to a line of the bill by the caller's marker (its request id) and the number of the attempt. Money is in nano-dollars
on both sides; nothing here knows how the gateway came to its numbers.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from tests.money.bill import Line
from tests.money.fleet import Replica


@dataclass(frozen=True)
class Entry:
    """A row, as far as these tests look at it."""

    holder: str
    seq: int
    marker: str
    attempt: int
    tenant: str
    key: str
    provider: str
    model: str
    source: str
    status: int
    outcome: str
    usage: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reserved: int | None
    cost: int | None

    @property
    def name(self) -> tuple[str, int]:
        return self.holder, self.seq


PLAIN = (
    *("holder", "seq", "attempt", "tenant", "key", "provider", "model", "source", "status", "outcome"),
    *("usage", "input_tokens", "output_tokens", "cached_tokens"),
)
"""Columns that an `Entry` has by the same name."""


def in_file(file: Path) -> list[Entry]:
    """The rows in a SQLite file, read from beside the gateway that writes it."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)
    try:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM ledger").fetchall()
    finally:
        connection.close()
    return [_of_columns(row) for row in found]


async def in_postgres(url: str, schema: str) -> list[Entry]:
    """The rows in a PostgreSQL database."""
    connection = await asyncpg.connect(url, timeout=5, server_settings={"search_path": schema})
    try:
        found = await connection.fetch("SELECT * FROM ledger", timeout=10)
    finally:
        await connection.close(timeout=5)
    return [_of_columns(row) for row in found]


def exported(text: str) -> list[Entry]:
    """The rows of an export in lines of JSON."""
    return [_of_json(json.loads(line)) for line in text.splitlines() if line.strip()]


def by_command(replica: Replica) -> list[Entry]:
    """What `edgegate ledger export` writes."""
    return exported(replica.command("ledger", "export", "-", "--format", "jsonl"))


def _of_columns(row: Any) -> Entry:
    names = {name: row[name] for name in PLAIN}
    return Entry(marker=row["request_id"], reserved=row["reserved_nano_usd"], cost=row["cost_nano_usd"], **names)


def _of_json(row: dict[str, Any]) -> Entry:
    return Entry(
        marker=row["request_id"],
        reserved=_nano(row["reserved_usd"]),
        cost=_nano(row["cost_usd"]),
        **{name: row[name] for name in PLAIN},
    )


def _nano(usd: str | None) -> int | None:
    if usd is None:
        return None
    nano = Decimal(usd) * 1_000_000_000
    assert nano == int(nano), f"{usd} is no whole number of nano-dollars"
    return int(nano)


def cost(entries: Iterable[Entry]) -> int:
    """What they cost together, as far as it is known."""
    return sum(entry.cost or 0 for entry in entries)


def of_key(entries: Iterable[Entry], *keys: str) -> list[Entry]:
    return [entry for entry in entries if entry.key in keys]


def charged_as_billed(entry: Entry, line: Line) -> bool:
    """To the token and to the nano-dollar."""
    return (
        entry.usage == "reported"
        and (entry.input_tokens, entry.output_tokens, entry.cached_tokens) == (line.input_tokens, line.output_tokens, line.cached_tokens)
        and entry.cost == line.nano_usd
        and entry.model == line.model
    )


def twice(entries: Sequence[Entry]) -> list[object]:
    """What stands in the ledger more than once: rows of one name, or of one attempt."""
    names: Counter[object] = Counter(entry.name for entry in entries)
    attempts: Counter[object] = Counter((entry.marker, entry.attempt) for entry in entries)
    return [what for counts in (names, attempts) for what, number in counts.items() if number > 1]


@dataclass
class Findings:
    """What does not agree, in words. `ages`: how long before a kill those came that are not in the ledger, in seconds."""

    faults: list[str] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    reported: int = 0
    unknown: int = 0


def compare(lines: Sequence[Line], entries: Sequence[Entry], deaths: Sequence[float], window_s: float) -> Findings:
    """Holds a bill of single attempts against the ledger, after processes were killed at these moments (`time.monotonic()`).

    An answer that was billed is in the ledger as it was billed. Only if its process can have died within `window_s` of that it may
    be `unknown`, at what was reserved for it, which is never less than what the provider asks for. Only a request that came within
    `window_s` of a death may be missing.
    """
    found = Findings()
    by_marker: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_marker[entry.marker].append(entry)
    found.faults += [f"twice in the ledger: {what}" for what in twice(entries)]
    for line in lines:
        rows = by_marker.pop(line.marker, [])
        next_death = next((death for death in deaths if death >= line.came), None)
        until_death = float("inf") if next_death is None else next_death - line.came
        if not rows:
            found.ages.append(until_death)
            if until_death > window_s:
                found.faults.append(f"missing: {line.marker}, which came {until_death:.3f} s before a kill")
        for row in rows[:1]:
            if row.outcome == "unknown":
                found.unknown += 1
                _check_unknown(line, row, deaths, window_s, found)
            elif line.complete and not charged_as_billed(row, line):
                found.faults.append(f"not as billed: {row} for {line}")
            elif not line.complete:
                found.faults.append(f"ended as if it were known how, but the provider never came to its end: {row} for {line}")
            else:
                found.reported += 1
    for marker, rows in by_marker.items():  # opened, and killed before it was sent
        found.faults += [f"the provider knows nothing of {marker}: {row}" for row in rows if row.outcome != "unknown"]
    return found


def _check_unknown(line: Line, row: Entry, deaths: Sequence[float], window_s: float, found: Findings) -> None:
    if row.cost is None or row.cost != row.reserved:
        found.faults.append(f"unknown, but not charged at what was reserved: {row}")
    elif row.cost < line.nano_usd:
        found.faults.append(f"less reserved than the provider asks for: {row} for {line}")
    if line.complete and line.ended is not None and not any(line.came <= death <= line.ended + window_s for death in deaths):
        found.faults.append(f"unknown, although it was answered and nothing died within {window_s} s of that: {row} for {line}")
