"""The SQLite file of keys, ledger, audit and shared counters, or memory if it has no name.

One thread owns the connection: calls run in order, and the event loop never waits for the disk. A call that takes too long fails;
the ones behind it that have not begun are dropped when their own time is over. What a transaction has committed survives the loss
of power (write-ahead log, `synchronous=FULL`), except for calls that ask for less. Several processes may open the same file.

sqlite3 lets go of the interpreter's lock at each row that it writes or reads, and with a busy event loop gets it back 5 ms later.
So calls here write many rows by one statement (`multi_row`) and read many as one JSON text.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

import orjson

from edgegate.stores.base import StoreError
from edgegate.stores.files import make
from edgegate.stores.sqlite_schema import migrate, migrations

DEADLINE_S = 0.5
OPEN_S = 10.0
BUSY_MS = 400
"""How long a call waits for another process's transaction."""

WAL_BYTES = 64 << 20
"""What the log is cut back to after something large was written."""

MOST_ROWS = 256
"""Rows in one statement; times 34 columns stays below SQLite's limit of 32,766 parameters."""

Result = TypeVar("Result")
Given = ParamSpec("Given")


class Database:
    """See the module. Every store that uses it opens and closes it; it is open from the first `open` to the last `close`."""

    def __init__(self, file: str = "") -> None:
        self.file = file
        self._users = 0
        self._lock = asyncio.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._db: sqlite3.Connection | None = None
        self._durable = True

    async def open(self) -> None:
        """Connects and migrates. Raises `ValueError` for a file that cannot be used."""
        async with self._lock:
            if self._db is None:
                await self._connect()
            self._users += 1

    async def close(self) -> None:
        async with self._lock:
            self._users = max(0, self._users - 1)
            thread, db = self._thread, self._db
            if self._users or thread is None or db is None:
                return
            self._thread = self._db = None
            closed = thread.submit(db.close)
            thread.shutdown(wait=False)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await asyncio.wrap_future(closed)
            except (TimeoutError, sqlite3.Error):
                return  # what was committed is safe all the same

    async def run(
        self, call: Callable[Concatenate[sqlite3.Connection, Given], Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """What `call` gives, in the thread. Raises `StoreError` after `DEADLINE_S` at the latest; the call may then still be done."""
        return await self._run(DEADLINE_S, True, call, *args, **kwargs)

    async def run_long(
        self, call: Callable[Concatenate[sqlite3.Connection, Given], Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """As `run`, for what reads or removes much: it may take `OPEN_S`."""
        return await self._run(OPEN_S, True, call, *args, **kwargs)

    async def run_light(
        self, call: Callable[Concatenate[sqlite3.Connection, Given], Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """As `run`, without waiting for the disk: what it wrote survives the end of the process, but perhaps not the loss of power."""
        return await self._run(DEADLINE_S, False, call, *args, **kwargs)

    async def _run(
        self,
        deadline_s: float,
        durable: bool,
        call: Callable[Concatenate[sqlite3.Connection, Given], Result],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Result:
        thread, db = self._thread, self._db
        if thread is None or db is None:
            raise StoreError("the store is closed")

        def work() -> Result:
            if durable is not self._durable:
                db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            return in_turn(lambda: call(db, *args, **kwargs))

        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(thread.submit(work))
        except TimeoutError:
            raise StoreError(f"no answer within {deadline_s:g} s") from None
        except (sqlite3.Error, OverflowError, UnicodeError, orjson.JSONEncodeError) as error:  # not only: what SQLite cannot hold
            raise StoreError(str(error)) from error

    async def _connect(self) -> None:
        thread = ThreadPoolExecutor(1, thread_name_prefix="edgegate-database")
        made = thread.submit(_connect, self.file)
        try:
            async with asyncio.timeout(OPEN_S):
                self._db = await asyncio.wrap_future(made)
        except (OSError, sqlite3.Error, ValueError) as error:  # TimeoutError is an OSError
            reason = (error.strerror if isinstance(error, OSError) else str(error)) or "it takes too long"
            raise ValueError(f"the store's file {self.file or '(in memory)'} cannot be opened: {reason}") from None
        finally:
            if self._db is None:
                thread.shutdown(wait=False, cancel_futures=True)
        self._thread = thread
        self._durable = True


def _connect(file: str) -> sqlite3.Connection:
    if file:
        make(file)
    db = sqlite3.connect(file or ":memory:", isolation_level=None, timeout=0)
    try:
        patiently(lambda: db.execute("PRAGMA journal_mode=WAL"))
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        patiently(lambda: migrate(db, migrations()))
    except (sqlite3.Error, ValueError):
        db.close()
        raise
    return db


def in_turn(call: Callable[[], Result]) -> Result:
    """What `call` gives, tried again while another process has the file: SQLite itself would sleep ever longer in between, and a
    process could starve. A call that finds the file locked has done nothing."""
    end = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            return call()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.001)


def patiently(call: Callable[[], object]) -> None:
    """Again and again while other processes that open the file hold it (`journal_mode` knows no busy timeout). For opening."""
    end = time.monotonic() + OPEN_S / 2
    while True:
        try:
            call()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def multi_row(db: sqlite3.Connection, head: str, rows: Sequence[Sequence[object]], tail: str = "") -> int:
    """`head VALUES (...), (...) tail` for all rows, in few statements. Gives how many rows were written."""
    written = 0
    for part in _parts(rows):
        width = len(part[0])
        values = ",".join(["(" + ",".join(["?"] * width) + ")"] * len(part))
        flat: list[object] = []
        for row in part:
            flat += row
        written += db.execute(f"{head} VALUES {values} {tail}", flat).rowcount
    return written


def _parts(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[Sequence[object]]]:
    """By powers of two, so that there are few statements and each stays prepared."""
    at, size = 0, MOST_ROWS
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        yield rows[at : at + size]
        at += size
