"""Keys that are made at run time, kept in memory: the store is asked for its version all the time, and for the keys when that grew.

A key that is made or revoked anywhere counts here within `every_s`. While the store cannot be read the last known keys stay. If it
could never be read, the ring says so (`unread`), and only configured keys are known.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from edgegate.access.keys import KeyRing
from edgegate.stores.base import StoreError
from edgegate.stores.directory import Directory, stored_secrets

FIRST_S = 2.0
READ_S = 2.0
EVERY_S = 0.4


class KeyWatch:
    """See the module. The directory is opened and closed by its owner, around this. on_error is told why it cannot be read, once
    until it can be again; on_back is told that."""

    def __init__(
        self,
        directory: Directory,
        ring: KeyRing,
        every_s: float = EVERY_S,
        *,
        on_error: Callable[[str], None],
        on_back: Callable[[], None] = lambda: None,
        first_s: float = FIRST_S,
    ) -> None:
        self._directory = directory
        self._ring = ring
        self._every_s = every_s
        self._on_error = on_error
        self._on_back = on_back
        self._first_s = first_s
        self._version: int | None = None  # of the keys in the ring
        self._away = False
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    async def open(self) -> None:
        """Reads the keys, for at most `first_s`, and goes on watching. A store that is away is no error."""
        self._ring.unread = True
        await self._try(self._first_s)
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def wake(self) -> None:
        """Something was changed: it is looked at now rather than in a moment."""
        self._woken.set()

    async def refresh(self) -> None:
        """Reads at once: when it returns, changes that were made before count. Raises `StoreError` if that is not possible."""
        try:
            async with asyncio.timeout(READ_S):
                await self._read()
        except TimeoutError:
            raise StoreError(f"no answer within {READ_S:g} s") from None

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._woken.wait()
            self._woken.clear()
            await self._try(READ_S)

    async def _try(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._read()
        except (StoreError, TimeoutError) as error:
            if not self._away:
                self._away = True
                self._on_error(str(error) or f"no answer within {limit_s:g} s")
        else:
            if self._away:
                self._away = False
                self._on_back()

    async def _read(self) -> None:
        async with self._reading:  # one after the other, so that what is older never takes the place of what is newer
            version = await self._directory.version()  # before the keys: what changes in between is read again next time
            if version == self._version:
                return
            ring = self._ring
            if version or self._version:
                keys = await self._directory.keys()
                ring.replace(stored_secrets(keys, ring.configured_names))
                ring.required = True  # keys were made once: with all of them revoked the gateway is not open
            else:
                ring.unread = False  # there never were any
            self._version = version
