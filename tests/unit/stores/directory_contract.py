"""What holds for every store of keys. A store's tests take `DirectoryContract` as their base and say how one is opened."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from edgegate.access.keys import Allowance
from edgegate.config.option import Rate
from edgegate.stores.directory import Change, Conflict, Directory, StoredKey, StoredSecret

Opener = Callable[[], Awaitable[Directory]]
"""Opens the same store once more, as another process would."""


def secret(text: str, expires: float | None = None) -> StoredSecret:
    return StoredSecret(hashlib.sha256(text.encode()).digest(), 1_790_000_000.25, expires)


def key(name: str = "team", **more: object) -> StoredKey:
    plain = StoredKey(id=f"id-{name}", name=name, created=1_790_000_000.123456, secrets=(secret(name),))
    return replace(plain, **more)  # type: ignore[arg-type]


def change(what: str = "created", subject: str = "team", **details: object) -> Change:
    return Change(1_790_000_001.5, "root", "127.0.0.1", what, subject, dict(details))


FULL = key(
    "full",
    secrets=(secret("one", 1_790_000_999.5), secret("two")),
    tenant="acme",
    user="ann 'é' 漢",
    tags=("red", "with,comma", ""),
    models=("gpt-*", "claude"),
    providers=("openai",),
    endpoints=("/v1/*",),
    networks=("10.0.0.0/8", "::1/128"),
    expires=1_800_000_000.75,
    revoked=1_795_000_000.5,
    strict=True,
    priority="high",
    allowance=Allowance(Rate(60, 60), Rate(200_000, 3600), 4, 5_000_000_000, 1 << 52, 6, 7),
)


class DirectoryContract:
    """See the module. Below it, `opener` is overridden."""

    @pytest.fixture
    async def opener(self) -> Opener:
        raise NotImplementedError

    @pytest.fixture
    async def directory(self, opener: Opener) -> Directory:
        return await opener()

    async def test_it_begins_empty(self, directory: Directory) -> None:
        assert await directory.version() == 0
        assert await directory.keys() == []
        assert await directory.changes() == []

    async def test_a_key_is_read_as_it_was_written(self, directory: Directory) -> None:
        for each in (key("plain"), FULL):
            written = await directory.put(each, change(subject=each.name))
            assert written == replace(each, revision=1)
        assert await directory.keys() == [replace(key("plain"), revision=1), replace(FULL, revision=1)]

    async def test_keys_come_in_the_order_in_which_they_were_made(self, directory: Directory) -> None:
        for name in ("zoe", "adam", "mia"):
            await directory.put(key(name), change(subject=name))
        first = (await directory.keys())[0]
        await directory.put(replace(first, tenant="acme"), change("changed"))
        assert [found.name for found in await directory.keys()] == ["zoe", "adam", "mia"]

    async def test_every_change_is_seen_in_the_version_and_in_the_record(self, directory: Directory) -> None:
        versions = [await directory.version()]
        made = await directory.put(key(), change(tags=[None, ["a"]], nested={"é": 1.5}))
        versions.append(await directory.version())
        await directory.put(replace(made, revoked=5.0), change("revoked"))
        versions.append(await directory.version())
        assert versions == sorted(set(versions))
        (second, last), (first, before) = await directory.changes()
        assert second > first > 0
        assert (before, last) == (change(tags=[None, ["a"]], nested={"é": 1.5}), change("revoked"))

    async def test_a_change_replaces_the_secrets(self, directory: Directory) -> None:
        made = await directory.put(FULL, change())
        rotated = await directory.put(replace(made, secrets=(secret("three"), secret("one", 7.0))), change("rotated"))
        assert await directory.keys() == [rotated]
        assert rotated.revision == 2

    async def test_a_change_of_what_was_changed_meanwhile_is_a_conflict(self, directory: Directory) -> None:
        made = await directory.put(key(), change())
        newer = await directory.put(replace(made, tenant="one"), change("changed"))
        version = await directory.version()
        for stale in (replace(made, tenant="two"), key("nobody", revision=3)):
            with pytest.raises(Conflict):
                await directory.put(stale, change("changed"))
        assert await directory.keys() == [newer]
        assert await directory.version() == version
        assert len(await directory.changes()) == 2

    async def test_names_and_ids_are_taken_once(self, directory: Directory) -> None:
        await directory.put(key("one"), change())
        two = await directory.put(key("two"), change())
        for taken in (
            key("one", id="other", secrets=()),
            key("three", id="id-one", secrets=()),
            replace(two, name="one"),
        ):
            with pytest.raises(Conflict):
                await directory.put(taken, change())
        assert await directory.keys() == [replace(key("one"), revision=1), two]
        assert len(await directory.changes()) == 2

    async def test_of_changes_at_once_one_wins(self, opener: Opener, directory: Directory) -> None:
        made = await directory.put(key(), change())
        others = [await opener() for _ in range(4)]
        told = await asyncio.gather(
            *(each.put(replace(made, tenant=f"t{n}"), change("changed")) for n, each in enumerate(others)), return_exceptions=True
        )
        won = [each for each in told if isinstance(each, StoredKey)]
        assert len(won) == 1
        assert [type(each) for each in told if each is not won[0]] == [Conflict] * 3
        assert await directory.keys() == won
        assert len(await directory.changes()) == 2

    async def test_another_process_sees_it(self, opener: Opener, directory: Directory) -> None:
        other = await opener()
        before = await other.version()
        made = await directory.put(key(), change())
        assert await other.version() > before
        assert await other.keys() == [made]

    async def test_the_record_is_read_back_page_by_page(self, directory: Directory) -> None:
        made = await directory.put(key(), change(number=0))
        for number in range(1, 7):
            made = await directory.put(made, change("changed", number=number))
        seen: list[int] = []
        before = 0
        while page := await directory.changes(limit=3, before=before):
            assert len(page) <= 3
            seen += [found.details["number"] for _, found in page]
            before = page[-1][0]
        assert seen == [6, 5, 4, 3, 2, 1, 0]

    async def test_no_secret_stands_in_a_refusal(self, directory: Directory) -> None:
        await directory.put(key(), change())
        with pytest.raises(Conflict) as refused:
            await directory.put(key(id="other"), change())
        told = str(refused.value)
        assert secret("team").digest.hex() not in told
        assert repr(secret("team").digest)[2:-1] not in told
