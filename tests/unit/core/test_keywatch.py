"""Keys made at run time: seen soon, kept while the store is away, and never a reason to be open again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from edgegate.access.configured import configured_secrets
from edgegate.access.keys import KeyRing, digest
from edgegate.config.model import KeyOptions
from edgegate.config.option import Secret
from edgegate.server.keywatch import KeyWatch
from edgegate.stores.base import StoreError
from edgegate.stores.directory import Change, StoredKey, StoredSecret
from tests.unit.core.parts import until


class Directory:
    """A directory in memory that can be away, or hang."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredKey] = {}
        self.changed = 0
        self.away = False
        self.hangs = False
        self.reads = self.asked = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def _meet(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise StoreError("it is away")

    async def version(self) -> int:
        self.asked += 1
        await self._meet()
        return self.changed

    async def keys(self) -> list[StoredKey]:
        await self._meet()
        self.reads += 1
        return list(self.stored.values())

    async def put(self, key: StoredKey, change: Change) -> StoredKey:
        raise NotImplementedError

    async def changes(self, *, limit: int = 100, before: int = 0) -> list[tuple[int, Change]]:
        return []

    def make(self, name: str) -> None:
        self.stored[name] = StoredKey("id-" + name, name, 1.0, (StoredSecret(digest("secret-of-" + name), 1.0),))
        self.changed += 1

    def revoke(self, name: str) -> None:
        self.stored[name] = replace(self.stored[name], revoked=2.0)
        self.changed += 1


class Heard:
    def __init__(self) -> None:
        self.errors: list[str] = []
        self.back = 0

    def returned(self) -> None:
        self.back += 1


@asynccontextmanager
async def watching(directory: Directory, ring: KeyRing, heard: Heard | None = None, first_s: float = 2.0) -> AsyncIterator[KeyWatch]:
    heard = heard or Heard()
    watch = KeyWatch(directory, ring, 0.01, on_error=heard.errors.append, on_back=heard.returned, first_s=first_s)
    await watch.open()
    try:
        yield watch
    finally:
        await watch.close()


def known(ring: KeyRing, name: str) -> bool:
    return ring.find("secret-of-" + name, 5.0) is not None


async def test_keys_are_there_when_it_is_open_and_later_ones_soon() -> None:
    directory, ring = Directory(), KeyRing([])
    directory.make("a")
    async with watching(directory, ring):
        assert known(ring, "a")
        assert ring.required
        directory.make("b")
        await until(lambda: known(ring, "b"))
        directory.revoke("a")
        await until(lambda: not known(ring, "a"))
        assert known(ring, "b")


async def test_a_store_without_keys_leaves_the_gateway_open() -> None:
    directory, ring = Directory(), KeyRing([])
    async with watching(directory, ring):
        assert (ring.required, ring.unread) == (False, False)
        directory.make("a")
        await until(lambda: ring.required)
        directory.revoke("a")
        await until(lambda: not known(ring, "a"))
        assert ring.required


async def test_a_store_whose_keys_are_all_revoked_closes_the_gateway() -> None:
    directory, ring = Directory(), KeyRing([])
    directory.make("a")
    directory.revoke("a")
    async with watching(directory, ring):
        assert ring.required
        assert not known(ring, "a")


async def test_the_keys_are_only_read_when_something_changed() -> None:
    directory, ring = Directory(), KeyRing([])
    directory.make("a")
    async with watching(directory, ring):
        await until(lambda: directory.asked > 5)
        assert directory.reads == 1


async def test_the_last_known_keys_stay_while_the_store_is_away_and_it_is_said_once() -> None:
    directory, ring, heard = Directory(), KeyRing([]), Heard()
    directory.make("a")
    async with watching(directory, ring, heard):
        directory.away = True
        directory.make("b")
        asked = directory.asked
        await until(lambda: directory.asked > asked + 5)
        assert known(ring, "a")
        assert not known(ring, "b")
        assert not ring.unread
        assert heard.errors == ["it is away"]
        directory.away = False
        await until(lambda: known(ring, "b"))
        assert heard.back == 1


@pytest.mark.parametrize("how", ["away", "hangs"])
async def test_a_store_that_is_away_at_the_start_holds_nothing_up(how: str) -> None:
    directory, heard = Directory(), Heard()
    ring = KeyRing(configured_secrets([KeyOptions(name="app", key=Secret("secret-of-app"))]))
    directory.make("a")
    setattr(directory, how, True)
    async with asyncio.timeout(1), watching(directory, ring, heard, first_s=0.05):
        assert ring.unread
        assert known(ring, "app")
        assert not known(ring, "a")
        assert len(heard.errors) == 1
    setattr(directory, how, False)
    async with watching(directory, ring, heard):
        assert known(ring, "a")
        assert not ring.unread


async def test_refresh_makes_a_change_count_at_once() -> None:
    directory, ring = Directory(), KeyRing([])
    watch = KeyWatch(directory, ring, 60.0, on_error=lambda reason: None)
    await watch.open()
    directory.make("a")
    await watch.refresh()
    assert known(ring, "a")
    directory.away = True
    with pytest.raises(StoreError):
        await watch.refresh()
    assert known(ring, "a")
    await watch.close()


async def test_a_change_that_is_told_of_is_looked_at_now() -> None:
    directory, ring = Directory(), KeyRing([])
    watch = KeyWatch(directory, ring, 60.0, on_error=lambda reason: None)
    await watch.open()
    for name in ("a", "b"):
        directory.make(name)
        watch.wake()
        await until(lambda name=name: known(ring, name))  # type: ignore[misc]
    await watch.close()


async def test_a_stored_key_does_not_take_the_name_of_a_configured_one() -> None:
    directory = Directory()
    ring = KeyRing(configured_secrets([KeyOptions(name="app", key=Secret("the-configured-one"))]))
    directory.make("app")
    async with watching(directory, ring):
        assert not known(ring, "app")
        assert ring.find("the-configured-one", 5.0) is not None


async def test_a_store_that_was_set_back_is_read_again() -> None:
    directory, ring = Directory(), KeyRing([])
    directory.make("a")
    async with watching(directory, ring):
        directory.stored.clear()
        directory.changed = 0
        await until(lambda: not known(ring, "a"))
        assert ring.required


async def test_nothing_runs_on_after_it_was_closed() -> None:
    directory, ring = Directory(), KeyRing([])
    before = asyncio.all_tasks()
    async with watching(directory, ring):
        directory.hangs = True
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
