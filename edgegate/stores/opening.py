"""Which stores a configuration means: a PostgreSQL database, else an SQLite file, else memory, where no rows are kept.

Records and directory share one connection to it. Each is opened and closed by whoever uses it; drivers are imported only if needed.
"""

from __future__ import annotations

from typing import NamedTuple

from edgegate.config.model import StoreOptions
from edgegate.stores.database import Database
from edgegate.stores.directory import Directory
from edgegate.stores.nowhere import Nowhere
from edgegate.stores.records import Records
from edgegate.stores.sqlite_directory import SqliteDirectory
from edgegate.stores.sqlite_records import SqliteRecords


class Stores(NamedTuple):
    """Not open yet."""

    records: Records
    directory: Directory


def stores_of(options: StoreOptions, file: str, keep: bool) -> Stores:
    """`file` is the SQLite file where no PostgreSQL database is configured; empty: memory, for one process. keep: whether rows are
    kept in the file; memory never keeps any. Raises `ValueError`."""
    if options.postgres:
        from edgegate.stores.postgres import Postgres
        from edgegate.stores.postgres_directory import PostgresDirectory
        from edgegate.stores.postgres_records import PostgresRecords

        server = Postgres(options.postgres.reveal(), options.namespace)
        return Stores(PostgresRecords(server), PostgresDirectory(server))
    database = Database(file)
    return Stores(SqliteRecords(database) if keep and file else Nowhere(), SqliteDirectory(database))
