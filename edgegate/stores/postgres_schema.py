"""The schema of edgegate's tables in PostgreSQL: numbered files of SQL, each run once, in order.

Several processes may begin at once: one migrates, under a lock of the server, the others wait for it. A schema that a newer edgegate
has migrated is refused. Where nothing is to be done one SELECT is all, so that a user without the right to create anything will do.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from importlib import resources

from edgegate.stores.base import StoreError
from edgegate.stores.postgres_driver import Session, Unusable, transaction

LOCK = zlib.crc32(b"edgegate migrations") - (1 << 31)
"""First half of the lock's number; the second half is made of the schema's name."""

_IDENTIFIER = re.compile(r"(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,62}\Z")


class Schema:
    """See the module. `migrations` is for tests: name and SQL, numbered from 1."""

    def __init__(self, name: str, migrations: tuple[tuple[str, str], ...] = ()) -> None:
        if not _IDENTIFIER.match(name):
            raise ValueError(
                f"the schema in PostgreSQL cannot be called {name[:80]!r}: letters, digits and _ are expected, 63 at most, not a digit "
                "or `pg_` first"
            )
        self.name = name
        self.quoted = f'"{name}"'
        self._migrations = migrations or shipped()

    async def prepare(self, session: Session, patience: Callable[[], None]) -> None:
        """Brings the schema up to date. Calls `patience` before anything that may take long. Raises `Unusable`."""
        known, encoding = await self._look(session)
        if encoding != "UTF8":
            raise Unusable(f"the database has the encoding {encoding[:20]}; UTF8 is needed")
        if known == len(self._migrations):
            return
        self._check(known)
        patience()
        async with transaction(session):
            await session.execute("SET LOCAL statement_timeout = 0")
            await session.execute("SELECT pg_advisory_xact_lock($1, $2)", LOCK, zlib.crc32(self.name.encode()) - (1 << 31))
            known, _ = await self._look(session)
            self._check(known)
            if known < 0:
                if not await session.fetchval("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", self.name):
                    await session.execute(f"CREATE SCHEMA {self.quoted}")
                await session.execute(
                    f"CREATE TABLE {self.quoted}.migrations (number bigint PRIMARY KEY, name text NOT NULL, "
                    "run timestamptz NOT NULL DEFAULT now())"
                )
            await session.execute(f"SET LOCAL search_path = {self.quoted}")
            for number, (name, sql) in enumerate(self._migrations, 1):
                if number > known:
                    await session.execute(sql)
                    await session.execute("INSERT INTO migrations (number, name) VALUES ($1, $2)", number, name)

    async def _look(self, session: Session) -> tuple[int, str]:
        """The version that is there, -1 for none at all, and the encoding."""
        # not to_regclass: it may answer from what the server process remembers, and so miss what was made while this one waited
        found = await session.fetchrow(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'migrations'), "
            "current_setting('server_encoding')",
            self.name,
        )
        if found is None:
            raise StoreError("no answer about the schema")
        if not found[0]:
            return -1, found[1]
        return await session.fetchval(f"SELECT coalesce(max(number), 0) FROM {self.quoted}.migrations"), found[1]  # noqa: S608

    def _check(self, known: int) -> None:
        if known > len(self._migrations):
            raise Unusable(
                f"the schema {self.name} in PostgreSQL is of version {known}, made by a newer edgegate; this one knows versions up to "
                f"{len(self._migrations)}"
            )


def shipped() -> tuple[tuple[str, str], ...]:
    """The files beside this module, `0001_ledger.sql` first."""
    folder = resources.files("edgegate.stores").joinpath("migrations", "postgres")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple((file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in files)
