"""The schema of the SQLite file: which version a file has, and the way to the newest.

Each version is a numbered SQL file and is applied in one transaction, so that a process that dies in between leaves a file of one
version or the next. Several processes may do so at once. A file of a newer version, or of another program, is left alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import NamedTuple

from edgegate.stores.sqlite import Transaction

APPLICATION_ID = 0x65676174
"""`egat`: says that a SQLite file is this one and not, say, that of kept answers."""


class Migration(NamedTuple):
    version: int
    text: str  # SQL


def migrations() -> list[Migration]:
    """All there are, the oldest first."""
    folder = resources.files("edgegate.stores.migrations.sqlite")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(int(file.name.partition("_")[0]), file.read_text("utf-8")) for file in files]


def migrate(db: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Brings a file to the version of the last step. Raises `ValueError` for a file that is not ours or is newer."""
    newest = steps[-1].version
    while (version := _version(db, newest)) < newest:
        with Transaction(db):
            if _version(db, newest) != version:
                continue  # another process was quicker
            step = next(step for step in steps if step.version > version)
            for statement in _statements(step.text):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={step.version}")
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")


def _version(db: sqlite3.Connection, newest: int) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise ValueError("it is a database of something else")
    if version > newest:
        raise ValueError(f"it is of version {version}, made by a newer edgegate; this one knows versions up to {newest}")
    return int(version)


def _statements(text: str) -> Iterator[str]:
    """Statement by statement: sqlite3's own `executescript` would end the transaction."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
