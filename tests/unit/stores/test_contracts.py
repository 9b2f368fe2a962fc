"""Ledger and keys behave the same over PostgreSQL, an SQLite file and memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from edgegate.stores.database import Database
from edgegate.stores.directory import Directory
from edgegate.stores.postgres import Postgres
from edgegate.stores.postgres_directory import PostgresDirectory
from edgegate.stores.postgres_records import PostgresRecords
from edgegate.stores.records import Records
from edgegate.stores.sqlite_directory import SqliteDirectory
from edgegate.stores.sqlite_records import SqliteRecords
from tests.servers.postgres import PostgresServer
from tests.unit.stores import directory_contract, records_contract
from tests.unit.stores.directory_contract import DirectoryContract
from tests.unit.stores.records_contract import RecordsContract


class TestRecordsOverPostgres(RecordsContract):
    @pytest.fixture
    async def opener(self, postgres: PostgresServer, schema: str) -> AsyncIterator[records_contract.Opener]:
        async with AsyncExitStack() as opened:

            async def opener(holder: str) -> Records:
                records = PostgresRecords(Postgres(postgres.url, schema))
                await records.open(holder)
                opened.push_async_callback(records.close)
                return records

            yield opener


class TestRecordsOverSqlite(RecordsContract):
    @pytest.fixture
    async def opener(self, tmp_path: Path) -> AsyncIterator[records_contract.Opener]:
        async with AsyncExitStack() as opened:

            async def opener(holder: str) -> Records:
                records = SqliteRecords(Database(str(tmp_path / "ledger.sqlite")))
                await records.open(holder)
                opened.push_async_callback(records.close)
                return records

            yield opener


class TestDirectoryOverPostgres(DirectoryContract):
    @pytest.fixture
    async def opener(self, postgres: PostgresServer, schema: str) -> AsyncIterator[directory_contract.Opener]:
        async with AsyncExitStack() as opened:

            async def opener() -> Directory:
                directory = PostgresDirectory(Postgres(postgres.url, schema))
                await directory.open()
                opened.push_async_callback(directory.close)
                return directory

            yield opener


class TestDirectoryOverSqlite(DirectoryContract):
    @pytest.fixture
    async def opener(self, tmp_path: Path) -> AsyncIterator[directory_contract.Opener]:
        async with AsyncExitStack() as opened:

            async def opener() -> Directory:
                directory = SqliteDirectory(Database(str(tmp_path / "keys.sqlite")))
                await directory.open()
                opened.push_async_callback(directory.close)
                return directory

            yield opener
