"""How an SQLite file comes to be."""

from __future__ import annotations

import os


def make(file: str) -> None:
    """An empty file for its owner only, if there is none; the files beside it get the same mode. One that exists must not even be
    opened: closing it would take SQLite's locks, which belong to the process, from connections that it has already."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
