"""News between replicas on several machines, over PUBLISH and SUBSCRIBE of a Redis or Valkey server.

As with the workers of one machine (`news.py`) nothing waits and nothing is repeated: while the server is away, items are lost and
counted. One task sends what was told, another listens and connects again with jitter. An item says who sent it, and is not
heard by that one. Items are fresh or stale by the clocks of two machines, so these have to agree within some seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import structlog

from edgegate.server.news import MAX_ITEM_BYTES, READS_AT_ONCE, Ear, Gathering, Item
from edgegate.stores.base import StoreError
from edgegate.stores.redis import FIRST_RETRY_S, LAST_RETRY_S, RedisLink
from edgegate.stores.redis_server import CONNECT_S, RedisServer, Wire

OUTBOX = 1000
"""Items that may wait to be sent; beyond that the oldest are lost."""

QUIET_S = 2.0
"""After so much silence the server is asked whether it is there, and has as long to answer."""

LEAVE_S = 0.2
"""How long the last items may take at the end."""


class RedisNews:
    """A `Channel`. See the module. `hear` gets every item of others that is fresh and well formed. `count` is told what became of
    each: `told` (the server has it), `lost`, `heard`, `stale`, `malformed`. `open` raises `ValueError` as `RedisLink.open`."""

    def __init__(
        self,
        link_url: str,
        namespace: str,
        holder: str,
        hear: Callable[[dict[str, Any]], None],
        unix_clock: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        self._url = link_url
        self._link = RedisLink(link_url, connections=1)
        self._channel = f"{{{namespace}}}:news".encode()
        self._holder = holder.encode()
        self._unix_clock = unix_clock
        self._count = count
        self._ear = Ear(hear, unix_clock, count)
        self._gathering = Gathering(self._post)
        self._outbox: deque[bytes] = deque()
        self._posted = asyncio.Event()
        self._idle = asyncio.Event()  # nothing waits, nothing is on its way
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.listening = False
        """Whether others are heard now."""

    async def open(self) -> None:
        server = RedisServer(self._url)
        await self._link.open()
        self._start(self._listen(server))
        self._start(self._send())

    async def close(self) -> None:
        """Sends what still waits, if that is quick, and leaves."""
        self._gathering.close()
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._idle.wait()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._link.close()

    def tell(self, item: Item) -> None:
        """See `Channel` and `Gathering`."""
        if self._tasks:
            self._gathering.add(item)

    # -- sending

    def _post(self, item: Item) -> None:
        data = orjson.dumps({**item, "unix": self._unix_clock()})
        if len(data) > MAX_ITEM_BYTES:
            self._count("lost")
            return
        if len(self._outbox) == OUTBOX:
            self._outbox.popleft()
            self._count("lost")
        self._outbox.append(self._holder + b"\n" + data)
        self._posted.set()
        self._idle.clear()

    async def _send(self) -> None:
        while True:
            await self._posted.wait()
            while self._outbox:
                data = self._outbox.popleft()
                try:
                    await self._link.call("PUBLISH", self._channel, data)
                except StoreError:
                    self._count("lost")
                else:
                    self._count("told")
            self._posted.clear()
            self._idle.set()

    # -- listening

    async def _listen(self, server: RedisServer) -> None:
        log = structlog.get_logger("news")
        failures = 0
        while True:
            try:
                wire = await server.connect()
                try:
                    async with asyncio.timeout(CONNECT_S):
                        await server.ask(wire, "SUBSCRIBE", self._channel)
                    self.listening = True
                    failures = 0
                    await self._hear_all(server, wire)
                finally:
                    self.listening = False
                    await wire.disconnect(nowait=True)
            except (StoreError, TimeoutError) as error:
                if not failures:
                    log.warning("news_lost", reason=server.reason(error))
            longest_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures, 10))
            failures += 1
            await asyncio.sleep(random.uniform(0.0, longest_s))

    async def _hear_all(self, server: RedisServer, wire: Wire) -> None:
        """Returns or raises when the server is gone or says nothing."""
        asked = False
        heard = 0
        while True:
            said = await server.hear(wire, QUIET_S)
            if said is None:
                if asked:
                    raise StoreError("it says nothing")
                async with asyncio.timeout(QUIET_S):
                    await server.say(wire, "PING")
                asked = True
                continue
            asked = False
            if isinstance(said, list) and len(said) == 3 and said[0] == b"message":
                sender, _, data = bytes(said[2]).partition(b"\n")
                if sender != self._holder:
                    self._ear.listen(data)
            heard += 1
            if heard % READS_AT_ONCE == 0:  # what has come already is read without the loop turning
                await asyncio.sleep(0)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
