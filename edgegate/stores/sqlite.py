"""Kept answers in SQLite: a file that workers share and that outlives them, or memory.

One thread owns the connection, so calls run in order and the event loop never waits for the disk. A call that takes longer than
`DEADLINE_S` fails; the ones behind it that have not begun are dropped when their own time is over. The file is for its owner only
(0600) and survives a process that is killed (write-ahead log). Expired rows go now and then; beyond `max_bytes` the oldest go.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import orjson

from edgegate.stores.base import STALE_S, Found, Kept, State, StoreError
from edgegate.stores.files import make

DEADLINE_S = 1.0
OPEN_S = 10.0
BUSY_MS = 500
"""How long SQLite itself waits for another worker's transaction; these take a millisecond."""

TIDY_S = 60.0
TIDY_SHARE = 32
"""Room is looked at when this part of `max_bytes` has been written since, and every `TIDY_S`."""

ROW_BYTES = 256
"""Counted for a row beside its body: hashes, headers, indexes."""

VERSION = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    token BLOB NOT NULL,
    beat REAL NOT NULL,
    expires REAL NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    status INTEGER,
    headers BLOB,
    stream INTEGER,
    body BLOB
);
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (expires, size);
"""

Result = TypeVar("Result")


class Answers:
    """The table, for the thread that owns it. `beat` of a kept answer is infinite: it cannot go stale."""

    def __init__(self, file: str, ttl_s: float, max_bytes: int, clock: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._written = 0
        self._tidied = clock()
        if file:
            make(file)
        self._db = sqlite3.connect(file or ":memory:", isolation_level=None, timeout=BUSY_MS / 1000)
        try:
            self._prepare()
        except sqlite3.Error:
            self._db.close()
            raise

    def _prepare(self) -> None:
        end = time.monotonic() + OPEN_S / 2
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError:  # two workers that open it at once: no busy timeout holds here
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self._db.execute("PRAGMA synchronous=NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, not {VERSION}")
        self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")

    def close(self) -> None:
        self._db.close()

    def claim(self, key: bytes, fingerprint: bytes, token: bytes) -> Found:
        now = self._clock()
        with Transaction(self._db):
            found = self._look(key, fingerprint, now)
            if found.state is not State.FREE:
                return found
            self._db.execute("DELETE FROM answers WHERE key = ?", (key,))
            self._db.execute(
                "INSERT INTO answers (key, fingerprint, token, beat, expires, size) VALUES (?, ?, ?, ?, ?, ?)",
                (key, fingerprint, token, now, now + self._ttl_s, ROW_BYTES),
            )
        self._wrote(ROW_BYTES)
        return Found(State.MINE, token)

    def look(self, key: bytes, fingerprint: bytes) -> Found:
        return self._look(key, fingerprint, self._clock())

    def _look(self, key: bytes, fingerprint: bytes, now: float) -> Found:
        row = self._db.execute(
            "SELECT fingerprint, token, beat, expires, status, headers, stream, body FROM answers WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return Found(State.FREE)
        known, token, beat, expires, status, headers, stream, body = row
        running = status is None
        if (beat < now - STALE_S) if running else (expires <= now):
            return Found(State.FREE)
        if known != fingerprint:
            return Found(State.OTHER)
        if running:
            return Found(State.RUNNING, token)
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(headers)]
        return Found(State.KEPT, token, Kept(status, lines, body, bool(stream)))

    def keep(self, key: bytes, token: bytes, kept: Kept) -> None:
        headers = orjson.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in kept.headers])
        size = len(kept.body) + ROW_BYTES
        self._db.execute(
            "UPDATE answers SET status = ?, headers = ?, stream = ?, body = ?, size = ?, expires = ? "
            "WHERE key = ? AND token = ? AND status IS NULL",
            (kept.status, headers, kept.stream, kept.body, size, self._clock() + self._ttl_s, key, token),
        )
        self._wrote(size)

    def release(self, key: bytes, token: bytes) -> None:
        self._db.execute("DELETE FROM answers WHERE key = ? AND token = ? AND status IS NULL", (key, token))

    def beat(self, claims: Collection[tuple[bytes, bytes]]) -> None:
        now = self._clock()
        with Transaction(self._db):
            self._db.executemany("UPDATE answers SET beat = ? WHERE key = ? AND token = ?", [(now, *claim) for claim in claims])
        if now - self._tidied >= TIDY_S:
            self.tidy()

    def _wrote(self, size: int) -> None:
        self._written += size
        if self._written * TIDY_SHARE > self._max_bytes:
            self.tidy()

    def tidy(self) -> None:
        """Removes what has expired, dead claims, and the oldest answers beyond the limit. Running claims stay."""
        now = self._tidied = self._clock()
        self._written = 0
        with Transaction(self._db):
            self._db.execute("DELETE FROM answers WHERE status IS NOT NULL AND expires <= ?", (now,))
            self._db.execute("DELETE FROM answers WHERE status IS NULL AND beat < ?", (now - STALE_S,))
            self._db.execute(
                "DELETE FROM answers WHERE status IS NOT NULL AND rowid IN (SELECT rowid FROM "
                "(SELECT rowid, sum(size) OVER (ORDER BY expires DESC, rowid DESC) AS newer FROM answers) WHERE newer > ?)",
                (self._max_bytes,),
            )


class Transaction:
    """BEGIN IMMEDIATE, so that nobody else writes between what is read and what is written for it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # a disk that is full undoes some transactions by itself
                self._db.execute("ROLLBACK")


class SqliteStore:
    """See the module. `file` empty: in memory, for one worker."""

    def __init__(self, file: str | Path, ttl_s: float, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._file = str(file)
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._thread: ThreadPoolExecutor | None = None
        self._answers: Answers | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgegate-store")
        made: Future[Answers] = self._thread.submit(Answers, self._file, self._ttl_s, self._max_bytes, self._clock)
        try:
            async with asyncio.timeout(OPEN_S):
                self._answers = await asyncio.wrap_future(made)
        except (OSError, sqlite3.Error, TimeoutError) as error:  # TimeoutError is an OSError; it is named for the reader
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
            reason = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
            raise ValueError(f"the idempotency file {self._file} cannot be opened: {reason}") from None

    async def close(self) -> None:
        thread, answers = self._thread, self._answers
        self._thread = self._answers = None
        if thread is None or answers is None:
            return
        closed = thread.submit(answers.close)
        thread.shutdown(wait=False)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.wrap_future(closed)
        except (TimeoutError, sqlite3.Error):
            return  # what was committed is safe all the same

    async def claim(self, key: bytes, fingerprint: bytes, token: bytes) -> Found:
        return await self._run(Answers.claim, key, fingerprint, token)

    async def look(self, key: bytes, fingerprint: bytes) -> Found:
        return await self._run(Answers.look, key, fingerprint)

    async def keep(self, key: bytes, token: bytes, kept: Kept) -> None:
        await self._run(Answers.keep, key, token, kept)

    async def release(self, key: bytes, token: bytes) -> None:
        await self._run(Answers.release, key, token)

    def abandon(self, key: bytes, token: bytes) -> None:
        if self._thread is not None and self._answers is not None:
            self._thread.submit(self._answers.release, key, token)  # behind the claim; if it fails, the claim goes stale

    async def beat(self, claims: Collection[tuple[bytes, bytes]]) -> None:
        await self._run(Answers.beat, tuple(claims))

    async def _run(self, call: Callable[..., Result], *args: Any) -> Result:
        if self._thread is None or self._answers is None:
            raise StoreError("the store is closed")
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.wrap_future(self._thread.submit(call, self._answers, *args))
        except TimeoutError:
            raise StoreError(f"no answer within {DEADLINE_S:g} s") from None
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error
