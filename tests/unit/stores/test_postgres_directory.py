"""What only the keys in PostgreSQL do: they are one for many processes, and share their server with the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from edgegate.stores.base import StoreError
from edgegate.stores.directory import Conflict
from edgegate.stores.postgres import Postgres
from edgegate.stores.postgres_directory import PostgresDirectory
from edgegate.stores.postgres_records import PostgresRecords
from tests.servers.postgres import PostgresServer
from tests.unit.stores.directory_contract import change, key
from tests.unit.stores.records_contract import all_rows, batch, row


async def test_ledger_and_keys_share_one_server_until_both_have_closed(postgres: PostgresServer, schema: str) -> None:
    server = Postgres(postgres.url, schema)
    records, directory = PostgresRecords(server), PostgresDirectory(server)
    await records.open("one")
    await directory.open()
    await records.write(batch([row(1)]))
    made = await directory.put(key(), change())
    await directory.close()
    assert await all_rows(records) == [row(1)]
    await directory.close()  # a second time: it is not the ledger's
    assert await all_rows(records) == [row(1)]
    await records.close()
    with pytest.raises(StoreError, match="closed"):
        await directory.version()
    await directory.open()
    assert await directory.keys() == [made]
    await directory.close()


async def test_a_version_is_never_seen_before_what_led_to_it(postgres: PostgresServer, schema: str) -> None:
    writers = [PostgresDirectory(Postgres(postgres.url, schema)) for _ in range(3)]
    reader = PostgresDirectory(Postgres(postgres.url, schema))
    for each in (*writers, reader):
        await each.open()

    async def write(number: int, directory: PostgresDirectory) -> None:
        for count in range(8):
            await directory.put(key(f"k{number}-{count}"), change())

    writing = asyncio.gather(*(write(number, each) for number, each in enumerate(writers)))
    while not writing.done():
        version = await reader.version()
        assert len(await reader.keys()) >= version
    await writing
    assert await reader.version() == len(await reader.keys()) == len(await reader.changes()) == 24
    for each in (*writers, reader):
        await each.close()


async def test_a_secret_opens_one_key_only(postgres: PostgresServer, schema: str) -> None:
    directory = PostgresDirectory(Postgres(postgres.url, schema))
    await directory.open()
    one, two = [await directory.put(key(name), change()) for name in ("one", "two")]
    for taken in (key("three", secrets=one.secrets), replace(two, secrets=one.secrets)):
        with pytest.raises(Conflict):
            await directory.put(taken, change())
    assert await directory.keys() == [one, two]
    await directory.close()


async def test_a_text_that_postgresql_does_not_hold_is_refused_and_nothing_else_fails(postgres: PostgresServer, schema: str) -> None:
    directory = PostgresDirectory(Postgres(postgres.url, schema))
    await directory.open()
    with pytest.raises(StoreError):
        await directory.put(key(tenant="a\0b"), change())
    assert await directory.version() == 0
    await directory.put(key(), change())
    await directory.close()
