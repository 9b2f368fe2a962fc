"""A PostgreSQL server, as seen by one process: a few connections, a deadline on every call, and a breaker before all of them.

After a call that failed the next ones fail at once, until a moment that lies further away the more have failed; then one call tries
it, and the others fail until that one has succeeded. So nobody waits for a server that is dead, or frozen, which looks the same once
the deadline has passed. A call that does not end well takes its connection with it. Nothing runs in the background: who has
something to say keeps trying. The schema is looked at again after every loss.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from edgegate.stores.base import StoreError
from edgegate.stores.postgres_driver import Driver, Session, Unfit, Unusable
from edgegate.stores.postgres_schema import Schema

CONNECT_S = 2.0
CALL_S = 2.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
CLOSE_S = 1.0
MIGRATE_S = 60.0
"""For bringing the schema up to date, instead of the call's own deadline."""

SERVER_LIMITS = (
    "SELECT set_config('statement_timeout', '30s', false), set_config('idle_in_transaction_session_timeout', '10s', false), "
    "set_config('timezone', 'UTC', false)"
)
"""What the server itself ends: statements whose caller has long gone, and transactions of a process that is frozen."""

Result = TypeVar("Result")


class Postgres:
    """See the module. Raises `ValueError` for a schema that cannot be one. `open` and `close` count: several stores may share it."""

    def __init__(
        self,
        url: str,
        schema: str,
        *,
        connect_s: float = CONNECT_S,
        call_s: float = CALL_S,
        size: int = 4,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._url = url
        self._schema = Schema(schema)
        self._connect_s = connect_s
        self._call_s = call_s
        self._clock = clock
        self._chance = chance
        self._slots = asyncio.Semaphore(size)
        self._driver: Driver | None = None
        self._users = 0
        self._idle: list[Session] = []
        self._busy: set[Session] = set()
        self._prepared = False
        self._losses = 0  # in a row
        self._retry_at = 0.0
        self._probing = False
        self._reason = ""

    @property
    def schema(self) -> str:
        """Quoted, to stand before the names of tables."""
        return self._schema.quoted

    @property
    def reason(self) -> str:
        """Why it cannot be used now; empty while it can."""
        return self._reason

    @property
    def wait_s(self) -> float:
        """Until it is tried again; 0 while it can be used."""
        return max(0.0, self._retry_at - self._clock()) if self._losses else 0.0

    async def open(self) -> None:
        """A server that cannot be reached is no error. Raises `ValueError` for one that can never be used."""
        self._users += 1
        if self._users > 1:
            return
        usable = False
        try:
            self._driver = Driver(self._url)
            self._losses = 0
            await self.run(lambda session: session.fetchval("SELECT 1"))
            usable = True
        except Unusable as error:
            raise ValueError(str(error)) from None
        except StoreError:
            usable = True
        finally:
            if not usable:
                await self.close()

    async def close(self) -> None:
        """Takes a second at most. Calls that still run fail."""
        self._users = max(0, self._users - 1)
        if self._users:
            return
        driver, self._driver = self._driver, None
        for session in self._busy:
            session.terminate()
        idle, self._idle = self._idle, []
        if driver is not None:
            await asyncio.gather(*(_close(session, driver.failures) for session in idle))

    async def run(self, work: Callable[[Session], Awaitable[Result]], within_s: float = 0.0) -> Result:
        """Does this with a connection. `within_s`: another deadline than the usual one. Raises `StoreError`, of these `Unfit` where
        only the values were refused; what `work` raises itself goes through."""
        driver = self._admit()
        limit_s = within_s or self._call_s
        probe = self._probing = self._losses > 0
        try:
            async with asyncio.timeout(limit_s) as deadline:
                async with self._slots:
                    result = await self._work(driver, work, deadline, limit_s)
        except TimeoutError:
            late = driver.late(limit_s)
            self._lose(late, probe)
            raise late from None
        except StoreError as error:
            if not isinstance(error, Unfit):
                self._lose(error, probe)
            raise
        finally:
            if probe:
                self._probing = False
        self._losses = 0
        self._reason = ""
        return result

    def _admit(self) -> Driver:
        if self._driver is None:
            raise StoreError("PostgreSQL is closed")
        if self._losses and (self._probing or self._clock() < self._retry_at):
            raise StoreError(self._reason)
        return self._driver

    async def _work(
        self, driver: Driver, work: Callable[[Session], Awaitable[Result]], deadline: asyncio.Timeout, limit_s: float
    ) -> Result:
        session = self._rested()
        ended = False
        try:
            fresh = session is None
            if session is None:
                session = await self._connect(driver)
            self._busy.add(session)
            try:
                if fresh:
                    await session.execute(SERVER_LIMITS)
                if not self._prepared:
                    await self._prepare(session, deadline, limit_s)
                result = await work(session)
            except TimeoutError:
                raise
            except driver.failures as error:
                raise driver.told(error) from None
            ended = True
            return result
        finally:
            if session is not None:
                self._busy.discard(session)
                if ended and self._driver is driver and not session.is_closed():
                    self._idle.append(session)
                else:
                    session.terminate()

    def _rested(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if not session.is_closed():  # the server has gone since
                return session
        return None

    async def _connect(self, driver: Driver) -> Session:
        try:
            async with asyncio.timeout(self._connect_s):
                session = await driver.connect()
        except TimeoutError:
            raise driver.late(self._connect_s) from None
        return session

    async def _prepare(self, session: Session, deadline: asyncio.Timeout, limit_s: float) -> None:
        now = asyncio.get_running_loop().time
        await self._schema.prepare(session, lambda: deadline.reschedule(now() + MIGRATE_S))
        deadline.reschedule(now() + limit_s)
        self._prepared = True

    def _lose(self, error: StoreError, probe: bool) -> None:
        """From now on calls fail at once, for a while: at random up to a limit that doubles, so that replicas do not come together."""
        if self._losses and not probe:
            return  # it was on its way when another failed
        self._reason = str(error)
        self._prepared = False
        self._retry_at = self._clock() + self._chance() * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self._losses, 10))
        self._losses += 1
        while self._idle:
            self._idle.pop().terminate()


async def _close(session: Session, failures: tuple[type[Exception], ...]) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await session.close()
    except failures:  # a deadline that has passed is one of them
        session.terminate()
