"""The way to a Redis or Valkey server for calls that must not wait.

A call that is not answered within `deadline_s` fails, and its connection is dropped: the answer may still come, and must not be
taken for another's. After a failure all calls fail at once, until a connection made in the background has answered again; it is
tried after 0.1 s, later up to 2 s, with full jitter. So nobody ever waits for a server that is dead or frozen, and nothing is
repeated here: a call that failed may have taken effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, NamedTuple

import structlog

from edgegate.stores.base import StoreError
from edgegate.stores.redis_server import CONNECT_S, Answered, Moved, RedisServer, Rejected, Wire, Word

DEADLINE_S = 0.05
LINE_S = 1.0
"""Longest wait for a connection: many calls at once are no sign of a dead server."""

LATE_TURNS = 3
"""Turns of the event loop in which what has arrived reaches whoever waits for it."""

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0
CONNECTIONS = 4
CLOSED = "the link is closed"


class Script(NamedTuple):
    """Lua that runs on the server, and its name there."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@contextlib.asynccontextmanager
async def in_time(limit_s: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, but when the time is over what has arrived by then is looked at first: a loop that is late itself must
    not find fault with the server."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        handles: list[asyncio.Handle] = []

        def over(turns: int) -> None:
            if turns:
                handles.append(loop.call_soon(over, turns - 1))
            else:
                limit.reschedule(loop.time())

        handles.append(loop.call_later(limit_s, over, LATE_TURNS))
        try:
            yield
        finally:
            for handle in handles:
                handle.cancel()


class RedisLink:
    """See the module. Its owner calls `open` and `close`. Calls raise `StoreError`."""

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S, connect_s: float = CONNECT_S, connections: int = CONNECTIONS) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._connect_s = connect_s
        self._most = connections
        self._server: RedisServer | None = None
        self._down = CLOSED  # why calls fail; empty: they do not
        self._failures = 0  # in a row
        self._open = 0  # connections that there are or will be
        self._busy = 0  # of these, with a call
        self._idle: list[Wire] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("redis")

    @property
    def up(self) -> bool:
        """Whether calls are tried."""
        return not self._down

    async def open(self) -> None:
        """Raises `ValueError` for a wrong URL or a password that is not taken. A server that cannot be reached now is no error."""
        server = self._server = RedisServer(self._url)
        self._down = ""
        self._open += 1
        try:
            self._offer(await server.connect(self._connect_s))
        except Rejected as error:
            self._down = CLOSED
            raise ValueError(f"Redis does not let edgegate in: {error}") from None
        except StoreError as error:
            self._open -= 1
            self._fail(str(error))

    async def close(self) -> None:
        """Calls that run may end; nothing is waited for."""
        self._down = CLOSED
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._server = None
        while self._idle:
            await self._drop(self._idle.pop())

    async def call(self, *words: Word) -> Any:
        """One command and its answer: bytes, whole numbers, lists of these, None."""
        server = self._server
        if self._down or server is None:
            raise StoreError(self._down)
        wire: Wire | None = None
        whole = False  # whether nothing of this call can come any more
        try:
            async with in_time(LINE_S if self._busy else self._deadline_s):
                wire = await self._take()
            self._busy += 1
            async with in_time(self._deadline_s):
                answer = await server.ask(wire, *words)
            whole = True
            self._failures = 0
            return answer
        except TimeoutError:
            reason = f"{server.place}: no answer within {self._deadline_s:g} s"
            if wire is not None or not self._busy:  # else it only stood in line
                self._fail(reason)
            raise StoreError(reason) from None
        except Answered:
            whole = True
            raise
        except Moved as error:
            server.move(error.host, error.port)
            self._fail(str(error))
            raise
        except StoreError as error:
            self._fail(str(error))
            raise
        finally:
            if wire is not None:
                self._busy -= 1
                if whole and not self._down:
                    self._offer(wire)
                else:
                    await self._drop(wire)

    async def run(self, script: Script, keys: Sequence[Word], arguments: Sequence[Word]) -> Any:
        """Runs a script, by its name if the server knows it."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except Answered as error:
            if error.code != "NOSCRIPT":
                raise
        return await self.call("EVAL", script.text, len(keys), *keys, *arguments)

    # -- connections

    async def _take(self) -> Wire:
        while not self._down:
            while self._idle:
                wire = self._idle.pop()
                if wire.is_connected and not await wire.can_read():  # else the server has hung up
                    return wire
                await self._drop(wire)
            if self._open < self._most:
                self._open += 1
                self._start(self._grow())
            await self._turn()
        raise StoreError(self._down)

    async def _turn(self) -> None:
        """Waits until a connection may be free. Whoever cannot use its turn any more passes it on."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _offer(self, wire: Wire) -> None:
        self._idle.append(wire)
        self._wake()

    async def _drop(self, wire: Wire) -> None:
        self._open -= 1
        self._wake()  # there is room for another
        await wire.disconnect(nowait=True)

    async def _grow(self) -> None:
        server = self._server
        try:
            if server is not None:
                self._offer(await server.connect(self._connect_s))
                return
        except StoreError as error:
            self._fail(str(error))
        self._open -= 1

    # -- failing and mending

    def _fail(self, reason: str) -> None:
        if self._down:
            return
        self._down = reason
        self._log.warning("redis_lost", reason=reason)
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()
        self._start(self._mend())

    async def _mend(self) -> None:
        """Until a new connection answers, nobody calls."""
        server = self._server
        while self._idle:
            await self._drop(self._idle.pop())
        while server is not None:
            longest_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(self._failures, 10))
            self._failures += 1
            await asyncio.sleep(random.uniform(0.0, longest_s))
            try:
                wire = await server.connect(self._connect_s)
            except StoreError:
                continue
            self._open += 1
            self._down = ""
            self._offer(wire)
            self._log.info("redis_back", at=server.place)
            return

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
