"""Keys in the SQLite file: with their changes written down, seen by all workers, without their secrets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgegate.access.keys import Allowance, digest
from edgegate.config.option import Rate
from edgegate.stores.base import StoreError
from edgegate.stores.database import Database
from edgegate.stores.directory import Change, Conflict, StoredKey, StoredSecret
from edgegate.stores.sqlite_directory import SqliteDirectory

AT = 1_763_740_000.123456789
KEY = StoredKey("id1", "one", AT)
FULL = StoredKey(
    "id2", "zwei \"'\n", AT + 0.000001, (StoredSecret(digest("s1"), AT, AT + 1 / 3), StoredSecret(digest("s2"), AT)), "acme", "ann",
    ("a", "b"), ("gpt-*",), ("openai",), ("/v1/*",), ("10.0.0.0/8", "::1/128"), AT + 99.9, AT + 5.5, True, "high",
    Allowance(Rate(60, 60), Rate(1_000_000, 86_400), 5, 10**15, 3 * 10**16, 7, 8),
)  # fmt: skip


def change(what: str = "created", subject: str = "one", **details: object) -> Change:
    return Change(AT, "root", "127.0.0.1", what, subject, details)


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[SqliteDirectory]:
    made = SqliteDirectory(Database(str(tmp_path / "e.sqlite")))
    await made.open()
    yield made
    await made.close()


async def test_keys_are_read_as_they_were_written_in_the_order_in_which_they_were_made(directory: SqliteDirectory) -> None:
    assert await directory.keys() == []
    written = [await directory.put(key, change(subject=key.name)) for key in (FULL, KEY)]
    assert written == [replace(FULL, revision=1), replace(KEY, revision=1)]
    assert await directory.keys() == written
    again = await directory.put(replace(written[0], tags=()), change("changed"))
    assert await directory.keys() == [again, written[1]]


async def test_a_secret_can_be_added_and_taken_away(directory: SqliteDirectory) -> None:
    key = await directory.put(FULL, change())
    key = await directory.put(replace(key, secrets=key.secrets[1:]), change("rotated"))
    assert key.revision == 2
    assert await directory.keys() == [key]


async def test_the_version_grows_with_every_change(directory: SqliteDirectory) -> None:
    versions = [await directory.version()]
    key = await directory.put(KEY, change())
    versions.append(await directory.version())
    await directory.put(replace(key, revoked=AT), change("revoked"))
    versions.append(await directory.version())
    assert versions[0] == 0
    assert versions == sorted(set(versions))


async def test_a_name_belongs_to_one_key_also_when_that_is_revoked(directory: SqliteDirectory) -> None:
    key = await directory.put(KEY, change())
    other = await directory.put(replace(KEY, id="other", name="other"), change())
    await directory.put(replace(key, revoked=AT), change("revoked"))
    for taken in (StoredKey("new", "one", AT), replace(other, name="one"), StoredKey("id1", "new", AT)):
        with pytest.raises(Conflict):
            await directory.put(taken, change())
    assert [found.name for found in await directory.keys()] == ["one", "other"]


async def test_of_two_who_change_a_key_at_once_one_is_told(directory: SqliteDirectory) -> None:
    key = await directory.put(KEY, change())
    told = await asyncio.gather(
        *[directory.put(replace(key, user=user), change("changed", user=user)) for user in ("ann", "bob")], return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in told) == ["Conflict", "StoredKey"]
    with pytest.raises(Conflict):
        await directory.put(replace(KEY, id="not there", revision=1), change())
    assert len(await directory.changes()) == 2


async def test_a_change_that_is_refused_leaves_no_trace(directory: SqliteDirectory) -> None:
    await directory.put(KEY, change())
    before = await directory.version()
    with pytest.raises(Conflict):
        await directory.put(replace(KEY, id="x"), change())
    assert await directory.version() == before
    assert len(await directory.changes()) == 1


async def test_changes_are_told_newest_first_and_in_pages(directory: SqliteDirectory) -> None:
    key = KEY
    for number in range(5):
        key = await directory.put(key, change("changed" if number else "created", tags={"before": [], "after": [number]}))
    found = await directory.changes()
    assert [told.details["tags"]["after"] for _, told in found] == [[4], [3], [2], [1], [0]]
    assert found[0][1] == change("changed", tags={"before": [], "after": [4]})
    page = await directory.changes(limit=2)
    assert page == found[:2]
    assert await directory.changes(limit=2, before=page[-1][0]) == found[2:4]
    assert await directory.changes(before=found[-1][0]) == []


async def test_another_worker_sees_the_change(directory: SqliteDirectory, tmp_path: Path) -> None:
    other = SqliteDirectory(Database(str(tmp_path / "e.sqlite")))
    await other.open()
    key = await directory.put(KEY, change())
    assert await other.version() == await directory.version() == 1
    assert await other.keys() == [key]
    await other.close()


async def test_no_secret_stands_in_the_file(directory: SqliteDirectory, tmp_path: Path) -> None:
    secret = "eg-a-secret-that-nobody-knows"
    await directory.put(replace(KEY, secrets=(StoredSecret(digest(secret), AT),)), change())
    written = b"".join((tmp_path / name).read_bytes() for name in os.listdir(tmp_path))
    assert digest(secret).hex().encode() in written
    assert secret.encode() not in written


async def test_a_closed_directory_says_so(tmp_path: Path) -> None:
    directory = SqliteDirectory(Database())
    await directory.open()
    await directory.close()
    await directory.close()
    with pytest.raises(StoreError, match="closed"):
        await directory.version()
