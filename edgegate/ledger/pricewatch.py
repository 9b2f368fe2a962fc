"""Prices that follow their files: a changed catalogue or configuration takes effect without a restart.

The files are looked at every two seconds, by what their paths lead to, for Kubernetes swaps a symbolic link (`..data`) and leaves
the path alone. Looking and reading happen in a thread. New prices are adopted whole, or not at all: while they cannot be used, those
before them hold. Only prices change like this; the rest of the configuration takes a restart.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edgegate.config.model import PriceOptions
from edgegate.config.problems import ConfigError
from edgegate.ledger.prices import Prices

State = tuple[tuple[str, int, int, int] | None, ...]
"""Of each file: where its path leads, and inode, time stamp and size there. None for one that is not there."""


class PriceWatch:
    """See the module.

    read: the price options as the configuration has them now, in a thread; raises ConfigError, ValueError or OSError. files: what to
    look at: the configuration and `prices.file`; a `prices.file` that the configuration names later is looked at, too. told: called
    with True and the new version, or with False and what is wrong, once for each change. It neither waits nor fails.
    """

    def __init__(
        self, prices: Prices, read: Callable[[], PriceOptions], files: Sequence[Path], every_s: float, told: Callable[[bool, str], None]
    ) -> None:
        self._prices = prices
        self._read = read
        self._files = tuple(files)
        self._every_s = every_s
        self._told = told
        self._named: Path | None = None  # `prices.file`, as last read
        self._state: State = ()
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Reads once, so that what changed since the start is not missed."""
        await self.reload()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def reload(self) -> str:
        """Reads now, changed or not. What is wrong, or an empty text if the files' prices are in force."""
        async with self._one_at_a_time:
            return await self._reload(await asyncio.to_thread(self._look))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            async with self._one_at_a_time:
                state = await asyncio.to_thread(self._look)
                if state != self._state:
                    await self._reload(state)

    async def _reload(self, state: State) -> str:
        """state: of before the reading, so that a change while it goes on is found the next time."""
        try:
            named, prices = await asyncio.to_thread(self._load)
        except (ConfigError, ValueError, OSError) as error:
            self._state = state
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._told(False, problem)
            return problem
        if named != self._named:
            self._named = named
            state = (*state[: len(self._files)], _state(named)) if named is not None else state[: len(self._files)]
        self._state = state
        if prices.version != self._prices.version:
            self._prices.adopt(prices)
            self._told(True, prices.version)
        return ""

    def _load(self) -> tuple[Path | None, Prices]:
        options = self._read()
        named = Path(options.file) if options.file else None
        return None if named in self._files else named, Prices.load(options)

    def _look(self) -> State:
        return tuple(_state(path) for path in (*self._files, self._named) if path is not None)


def _state(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = os.stat(path)
        return os.path.realpath(path), found.st_ino, found.st_mtime_ns, found.st_size
    except OSError:
        return None
