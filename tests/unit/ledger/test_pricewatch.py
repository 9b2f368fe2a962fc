"""Prices follow their files: rewritten, swapped by a symbolic link as Kubernetes does it, broken and mended."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgegate.config.load import load
from edgegate.config.model import PriceOptions
from edgegate.dialects.base import Usage
from edgegate.ledger.prices import Prices
from edgegate.ledger.pricewatch import PriceWatch
from tests.unit.core.parts import until

TOKENS = Usage(input_tokens=1_000_000, reported=True)


def catalogue(input: float) -> str:
    vendors = {"acme": {"own_models": True, "models": {"acme-1": {"input": input, "output": 1}}}}
    return json.dumps({"format": 1, "currency": "USD", "vendors": vendors})


class Files:
    """A configuration and a catalogue in a directory, watched."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "edgegate.yaml"
        self.prices = directory / "prices.json"
        self.prices.write_text(catalogue(1))
        self.configure(f"prices: {{file: {self.prices}}}")
        self.told: list[tuple[bool, str]] = []
        self.reads = 0
        self.held = Prices.load(self.read())
        self.watch = PriceWatch(self.held, self.read, [self.config, self.prices], 0.02, lambda *news: self.told.append(news))

    def configure(self, text: str) -> None:
        replacement = self.config.with_suffix(".new")
        replacement.write_text(text)
        os.replace(replacement, self.config)

    def read(self) -> PriceOptions:
        self.reads += 1
        return load(self.config, {}).prices

    @property
    def cost(self) -> float | None:
        nano = self.held.cost_nano(TOKENS, "acme-1")
        return None if nano is None else nano / 1e9


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    files = Files(tmp_path)
    await files.watch.open()
    yield files
    await files.watch.close()


async def test_a_rewritten_catalogue_takes_effect_for_whoever_holds_the_prices(files: Files) -> None:
    assert files.cost == 1
    before = files.held.version
    files.prices.write_text(catalogue(2.5))
    await until(lambda: files.cost == 2.5)
    assert files.held.version != before
    assert files.told == [(True, files.held.version)]


async def test_prices_in_the_configuration_take_effect(files: Files) -> None:
    files.configure("prices: {models: {acme-1: {input: 7, output: 7}}}")
    await until(lambda: files.cost == 7)


async def test_a_catalogue_that_the_configuration_names_later_is_watched_too(files: Files, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(catalogue(3))
    files.configure(f"prices: {{file: {other}}}")
    await until(lambda: files.cost == 3)
    other.write_text(catalogue(30))
    await until(lambda: files.cost == 30)


async def test_a_swapped_directory_link_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: `edgegate.yaml -> ..data/edgegate.yaml`, `..data -> ..one`, and `..data` is replaced."""
    for name, price in (("..one", 1.0), ("..two", 2.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "prices.json").write_text(catalogue(price))
        os.utime(tmp_path / name / "prices.json", (1_000_000_000, 1_000_000_000))
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "prices.json").symlink_to("..data/prices.json")
    options = PriceOptions(file=str(tmp_path / "prices.json"))
    held = Prices.load(options)
    told: list[tuple[bool, str]] = []
    watch = PriceWatch(held, lambda: options, [tmp_path / "prices.json"], 0.02, lambda *news: told.append(news))
    await watch.open()
    try:
        (tmp_path / "..fresh").symlink_to("..two")
        os.replace(tmp_path / "..fresh", tmp_path / "..data")
        await until(lambda: held.cost_nano(TOKENS, "acme-1") == 2_000_000_000)
        assert told == [(True, held.version)]
    finally:
        await watch.close()


@pytest.mark.parametrize("broken", ["{", '{"format": 1, "currency": "USD", "vendors": {"v": 1}}', ""])
async def test_a_catalogue_that_cannot_be_used_changes_nothing_and_is_told_once(files: Files, broken: str) -> None:
    files.prices.write_text(broken)
    await until(lambda: bool(files.told))
    reads = files.reads
    await asyncio.sleep(0.1)  # several looks
    assert files.cost == 1
    assert files.reads == reads
    ((taken, problem),) = files.told
    assert not taken
    assert "prices.file" in problem or "catalogue" in problem
    files.prices.write_text(catalogue(4))
    await until(lambda: files.cost == 4)
    assert files.told[1:] == [(True, files.held.version)]


async def test_a_broken_configuration_changes_nothing(files: Files) -> None:
    files.configure("prices: [")
    await until(lambda: bool(files.told))
    assert [taken for taken, _ in files.told] == [False]
    assert files.cost == 1


async def test_a_catalogue_that_is_gone_is_told_and_found_again(files: Files) -> None:
    files.prices.unlink()
    await until(lambda: bool(files.told))
    assert files.cost == 1
    assert files.told[0][0] is False
    files.prices.write_text(catalogue(5))
    await until(lambda: files.cost == 5)


async def test_another_change_of_the_configuration_is_no_news(files: Files) -> None:
    reads = files.reads
    files.configure(f"prices: {{file: {files.prices}}}\nlog: {{level: error}}")
    await until(lambda: files.reads > reads)
    assert await files.watch.reload() == ""
    assert files.told == []


async def test_what_does_not_change_is_not_read(files: Files) -> None:
    reads = files.reads
    await asyncio.sleep(0.1)  # several looks
    assert files.reads == reads


async def test_what_changed_before_the_watch_began_is_found(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.prices.write_text(catalogue(6))
    await files.watch.open()
    try:
        assert files.cost == 6
    finally:
        await files.watch.close()


async def test_reload_reads_at_once_and_says_what_is_wrong(tmp_path: Path) -> None:
    files = Files(tmp_path)  # not opened: nobody else looks
    files.prices.write_text(catalogue(8))
    assert await files.watch.reload() == ""
    assert files.cost == 8
    files.prices.write_text("{")
    assert "the catalogue is not JSON" in await files.watch.reload()
    assert files.cost == 8


async def test_nothing_is_adopted_after_the_end(tmp_path: Path) -> None:
    files = Files(tmp_path)
    await files.watch.open()
    await files.watch.close()
    await files.watch.close()
    reads = files.reads
    files.prices.write_text(catalogue(9))
    await asyncio.sleep(0.1)  # several looks, if there were any
    assert (files.cost, files.reads) == (1, reads)
