"""failover: attempts at targets until one answers, or until nothing is left that could.

Each attempt runs the rest of the chain for one target with one credential. What an error means decides what comes next (see
`resilience.choice`); nothing has reached the caller until an attempt has begun to answer, so that whatever goes wrong before is
only a failed attempt. The number of attempts, the time in which new ones may start, and the share of repeated ones are bounded.
What is learned of targets (breakers, limits, latency) stays on the board, for all exchanges.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable

from edgegate.chain import Proceed
from edgegate.config.stages import FailoverOptions
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from edgegate.observe.metrics import Metrics
from edgegate.resilience.board import Board, Lane
from edgegate.routing.catalog import Target
from edgegate.stages.hedge import Hedges
from edgegate.stages.run import Run
from edgegate.stages.tasks import Tasks


class Failover:
    """See the module. Owns the tasks of hedged attempts and of continued streams."""

    def __init__(
        self,
        options: FailoverOptions,
        board: Board,
        metrics: Metrics,
        hedges: Hedges | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.options = options
        self.board = board
        self.metrics = metrics
        self.hedges = hedges
        self.clock = clock
        self.chance = chance
        self.tasks = Tasks()
        self._freed: list[asyncio.Future[None]] = []

    async def open(self) -> None:
        """Nothing to open; tasks are made as they are needed."""

    async def close(self) -> None:
        await self.tasks.close()

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        plan = ex.plan
        if plan is None:
            raise GatewayError(500, "no_route", "the chain has no route stage before failover")
        return Run(self, ex, proceed, plan).answer()

    async def room(self, within_s: float) -> None:
        """Waits until some attempt ends, or for so long."""
        freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._freed.append(freed)
        try:
            await asyncio.wait([freed], timeout=within_s)
        finally:
            if freed in self._freed:
                self._freed.remove(freed)

    def ended(self, lane: Lane, ticket: int, good: bool | None, latency_s: float | None, peers: Iterable[Target]) -> None:
        """An attempt has ended."""
        self.board.leave(lane, ticket, good, latency_s, self.clock(), peers)
        if self._freed:
            freed, self._freed = self._freed, []
            for waiter in freed:
                if not waiter.done():
                    waiter.set_result(None)
