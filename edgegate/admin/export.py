"""The ledger as a file: JSON lines, CSV or Parquet, one batch of rows after the other, never all of them.

All three have the same columns (`as_json` of a row): money in dollars with nine decimals, times in milliseconds.

CSV is opened by spreadsheets, which take a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a formula.
Callers choose some of the texts (request ids, users, model names), so such a text gets an apostrophe in front. Whoever reads the
CSV with a program takes it off again, or takes JSON lines, where nothing is changed. Parquet needs `pip install edgegate[parquet]`.
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import orjson

from edgegate.admin.query import check_order, when
from edgegate.errors import GatewayError, bad_request
from edgegate.ledger.row import COLUMNS, Row, as_json
from edgegate.stores.records import Slice

FORMATS = ("jsonl", "csv", "parquet")
EQUAL = ("key", "user", "tenant", "model", "provider", "holder", "request_id", "outcome")
FORMULA = ("=", "+", "-", "@", "\t", "\r")

_NUMBERS = frozenset({"seq", "at_ms", "attempt", "status", *(name for name in COLUMNS if name.endswith("_tokens"))})
_MONEY = ("reserved_usd", "cost_usd")
_TIMES = ("duration_ms", "first_ms")


class Writer(Protocol):
    """One format. `batch`: how many rows it likes at once. Its methods give bytes of the file, and take some time."""

    content_type: str
    batch: int

    def rows(self, rows: Sequence[Row]) -> bytes: ...

    def end(self) -> bytes: ...


class JsonLines:
    """One JSON object per line."""

    content_type = "application/x-ndjson"
    batch = 500

    def rows(self, rows: Sequence[Row]) -> bytes:
        return b"".join(orjson.dumps(as_json(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)

    def end(self) -> bytes:
        return b""


class Csv:
    """RFC 4180 with a line of names; see the module about apostrophes."""

    content_type = "text/csv; charset=utf-8"
    batch = 500

    def __init__(self) -> None:
        self._begun = False

    def rows(self, rows: Sequence[Row]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        if not self._begun:
            self._begun = True
            writer.writerow(names())
        writer.writerows([_cell(value) for value in as_json(row).values()] for row in rows)
        return text.getvalue().encode()

    def end(self) -> bytes:
        return self.rows(())


class Parquet:
    """Row groups, compressed with zstd, by pyarrow, which is optional."""

    content_type = "application/vnd.apache.parquet"
    batch = 10_000

    def __init__(self) -> None:
        try:
            self._arrow = importlib.import_module("pyarrow")
            parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            message = "Parquet needs a package that is not installed: pip install edgegate[parquet]"
            raise GatewayError(501, "not_installed", message, param="format") from None
        self._schema = self._columns()
        self._file = _Gathered()
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")

    def rows(self, rows: Sequence[Row]) -> bytes:
        shown = [_typed(as_json(row)) for row in rows]
        self._writer.write_table(self._arrow.Table.from_pylist(shown, schema=self._schema), row_group_size=self.batch)
        return self._file.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._file.taken()

    def _columns(self) -> Any:
        arrow = self._arrow

        def kind(name: str) -> Any:
            if name in _NUMBERS:
                return arrow.int64()
            if name in _MONEY:
                return arrow.decimal128(20, 9)
            return arrow.float64() if name in _TIMES else arrow.bool_() if name == "stream" else arrow.string()

        return arrow.schema([(name, kind(name)) for name in names()])


class _Gathered(io.RawIOBase):
    """A file that is only written: what was written since it was last asked."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


async def writer_of(given: Mapping[str, str]) -> Writer:
    """The writer of the format that is asked for. Raises a 400, or a 501 where a package is missing."""
    match given.get("format", "jsonl"):
        case "jsonl":
            return JsonLines()
        case "csv":
            return Csv()
        case "parquet":
            return await asyncio.to_thread(Parquet)  # the first import of pyarrow takes a while
    raise bad_request(f"format: expected one of {', '.join(FORMATS)}", "format")


def part_of(given: Mapping[str, str], now: float) -> Slice:
    """Which rows: `since` (left out: from the first on), `until` (left out: now), and columns that must have a value."""
    since, until = when(given, "since", 0.0, now), when(given, "until", now + 1, now)
    check_order(since, until)
    return Slice(round(since * 1000), round(until * 1000), tuple((name, given[name]) for name in EQUAL if name in given))


async def export(rows: AsyncIterator[Row], writer: Writer) -> AsyncGenerator[bytes, None]:
    """The file, piece by piece; rows are read only as fast as pieces are taken. Written in threads: the loop serves others."""
    batch: list[Row] = []
    try:
        async for row in rows:
            batch.append(row)
            if len(batch) >= writer.batch:
                piece = await asyncio.to_thread(writer.rows, batch)
                batch = []
                if piece:
                    yield piece
        if batch and (piece := await asyncio.to_thread(writer.rows, batch)):
            yield piece
        if piece := await asyncio.to_thread(writer.end):
            yield piece
    finally:
        if isinstance(rows, AsyncGenerator):
            await rows.aclose()


def names() -> list[str]:
    """The columns, in the order in which `as_json` has them."""
    kept = [name for name in COLUMNS if not name.endswith(("_nano_usd", "_us"))]
    return [*kept, *_MONEY, *_TIMES]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _typed(shown: dict[str, Any]) -> dict[str, Any]:
    for name in _MONEY:
        shown[name] = None if shown[name] is None else Decimal(shown[name])
    return shown
