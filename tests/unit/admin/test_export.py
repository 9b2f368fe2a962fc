"""The ledger as a file: three formats with the same columns, formulas made harmless, never all rows in memory, never cut in silence."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.admin import api as api_module
from edgegate.admin.export import Csv, JsonLines, Parquet, export, names
from edgegate.ledger.row import Row, as_json
from tests.unit.admin.parts import ADMIN_KEY, BEARER, NOW, VIEWER, Served, row, served
from tests.unit.core.parts import until

LEDGER = "/api/admin/ledger"
MANY = 20_000


async def given_rows(rows: list[Row]) -> AsyncIterator[Row]:
    for each in rows:
        yield each


async def file(writer: Any, *rows: Row) -> bytes:
    return b"".join([piece async for piece in export(given_rows(list(rows)), writer)])


def cells(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


# -- formats


async def test_json_lines_are_rows_as_they_are_shown() -> None:
    rows = [row(1), row(2, cost_nano_usd=None, user="=1+1")]
    assert [json.loads(line) for line in (await file(JsonLines(), *rows)).splitlines()] == [as_json(each) for each in rows]
    assert await file(JsonLines()) == b""


def test_all_formats_have_the_columns_of_a_row() -> None:
    assert names() == list(as_json(row()))


async def test_csv_has_a_line_of_names_also_without_rows() -> None:
    assert (await file(Csv())).decode() == ",".join(names()) + "\r\n"


async def test_csv_holds_what_a_row_holds() -> None:
    (shown,) = cells(await file(Csv(), row(7, user='a "b", c\nd', stream=0)))
    assert (shown["user"], shown["stream"], shown["first_ms"]) == ('a "b", c\nd', "false", "")
    assert (shown["seq"], shown["cost_usd"]) == ("7", "0.001500001")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://evil.example")'])
async def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    (shown,) = cells(await file(Csv(), row(user=text, request_id=text, model=text, tags=text)))
    assert [shown[name] for name in ("user", "request_id", "model", "tags")] == [f"'{text}"] * 4


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(TEXTS)
def test_no_cell_of_a_text_begins_like_a_formula(text: str) -> None:
    writer = Csv()
    (shown,) = cells(writer.rows([row(user=text)]))
    assert not shown["user"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert shown["user"] in (text, f"'{text}")


async def test_parquet_holds_what_a_row_holds_with_exact_money() -> None:
    rows = [row(1), row(2, cost_nano_usd=None, duration_us=1), row(3, cost_nano_usd=10**18, user="=1")]
    table = pyarrow.parquet.read_table(io.BytesIO(await file(Parquet(), *rows)))
    assert table.column_names == names()
    found = table.to_pylist()
    assert [each["cost_usd"] for each in found] == [Decimal("0.001500001"), None, Decimal(10**9)]
    assert found[2] == as_json(rows[2]) | {"reserved_usd": Decimal("0.002"), "cost_usd": Decimal(10**9)}
    assert pyarrow.parquet.read_table(io.BytesIO(await file(Parquet()))).num_rows == 0


# -- over HTTP


def many(count: int = MANY) -> Iterator[Row]:
    return (row(seq, model=f"m-{seq % 7}") for seq in range(1, count + 1))


async def downloaded(made: Served, format: str, count: int, file: Path) -> int:
    """Exports so many rows into a file. Gives the most memory that this took on both sides, in bytes."""
    made.records.given = many(count)
    tracemalloc.start()
    try:
        async with made.http.get(f"{made.url}{LEDGER}?format={format}", headers=BEARER) as response:
            assert response.status == 200
            with file.open("wb") as out:
                async for piece in response.content.iter_chunked(1 << 16):
                    out.write(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
async def test_twenty_thousand_rows_go_out_in_bounded_memory(format: str, tmp_path: Path) -> None:
    async with served() as made:
        few_peak = await downloaded(made, format, MANY // 2, tmp_path / "few")
        peak = await downloaded(made, format, MANY, tmp_path / "all")
    data = (tmp_path / "all").read_bytes()
    if format == "parquet":
        read = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        assert (read.metadata.num_rows, read.num_row_groups) == (MANY, 2)
    else:
        assert len(data.splitlines()) == MANY + (format == "csv")
    one_row = sys.getsizeof(row()) + sum(sys.getsizeof(value) for value in row())
    assert peak - few_peak < MANY // 2 * one_row / 4


async def test_rows_are_read_only_as_fast_as_they_are_taken() -> None:
    async with served() as made:
        made.records.given = many(200_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port, limit=1024)
        writer.write(f"GET {LEDGER} HTTP/1.1\r\nHost: a\r\nx-api-key: {ADMIN_KEY}\r\n\r\n".encode())
        await asyncio.wait_for(reader.readline(), 5)
        before = -1
        while made.records.handed != before:
            before = made.records.handed
            await asyncio.sleep(0.3)
        assert 0 < made.records.handed < 50_000
        writer.transport.abort()
        await until(lambda: made.records.ended, 5)


async def test_an_export_is_of_the_rows_that_were_asked_for() -> None:
    rows = [row(1, key="a"), row(2, key="b"), row(3, key="a", at_ms=int(NOW - 3 * 86_400) * 1000)]
    async with served(*rows) as made:
        for query, seqs in (
            ("", [1, 2, 3]), ("?key=a", [1, 3]), ("?since=2026-11-21", [1, 2]), ("?since=1d&key=a", [1]), ("?until=2026-11-20", [3]),
            ("?request_id=r-2", [2]), ("?since=2026-11-18&until=2026-11-19T00:00:00Z", [3]), ("?outcome=failed", []),
        ):  # fmt: skip
            status, data, head = await made.get(f"{LEDGER}{query}", VIEWER)
            assert (status, head["content-type"]) == (200, "application/x-ndjson")
            assert [json.loads(line)["seq"] for line in data.splitlines()] == seqs, query
        _, _, head = await made.get(f"{LEDGER}?format=csv&since=2026-11-01")
        assert head["content-disposition"] == 'attachment; filename="ledger-2026-11-01-2026-11-21.csv"'


async def test_an_export_that_breaks_is_visibly_cut() -> None:
    async with served() as made:
        made.records.given = many()
        made.records.fail_after = 3000
        with pytest.raises(aiohttp.ClientError):
            await made.get(LEDGER)
        assert made.records.ended


async def test_a_store_that_is_away_is_told_by_the_status() -> None:
    async with served(row()) as made:
        made.records.fail_after = 0
        status, found, _ = await made.get(LEDGER)
        assert (status, found["error"]["code"]) == (503, "store_unavailable")


async def test_parquet_without_its_package_is_a_501_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    async with served(row()) as made:
        status, found, _ = await made.get(f"{LEDGER}?format=parquet")
        assert (status, found["error"]["code"], found["error"]["param"]) == (501, "not_installed", "format")
        assert "edgegate[parquet]" in found["error"]["message"]


async def test_only_so_many_exports_run_at_once() -> None:
    async with served() as made:
        made.admin._exports = api_module.MAX_EXPORTS
        status, found, head = await made.get(LEDGER)
        assert (status, found["error"]["code"], head["retry-after"]) == (503, "overloaded", "5")
        made.admin._exports = 0
        assert (await made.get(LEDGER))[0] == 200
        assert made.admin._exports == 0
