"""What dead processes left behind: their attempts become rows, their leases go back, and old rows go.

Once a second every process says that it is alive and looks for others that are not. Whoever finds one first makes its attempts in
flight rows of outcome `unknown`, charged at their reservation, and gives back what it had leased, less what the ledger says it
spent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from edgegate.access.counters import Counter, Unit
from edgegate.observe.events import Events
from edgegate.stores.authority import Authority
from edgegate.stores.base import StoreError
from edgegate.stores.records import Records, Slice

if TYPE_CHECKING:
    from edgegate.observe.metrics import Metrics

EVERY_S = 1.0
PRUNE_S = 3600.0
PRUNE_AGAIN_S = 1.0
FIRST_S = 5.0
"""How long the start of the gateway waits for what there is to recover."""


async def past(records: Records, counter: Counter) -> dict[str, int]:
    """What each holder has spent of a counter in its period, by the ledger. Raises `StoreError`."""
    assert counter.scope is not None
    part = Slice(int(counter.since * 1000), int(counter.ends * 1000), counter.scope.equal, counter.scope)
    totals = await records.totals(part, ("holder",))
    if counter.unit is Unit.NANO_USD:
        return {total.holder: total.cost_nano_usd for total in totals}
    return {total.holder: total.input_tokens + total.output_tokens for total in totals}


class Recovery:
    """See the module. Owns its task. `keeps`: whether rows are written; if not, only leases are given back."""

    def __init__(
        self,
        records: Records,
        authority: Authority | None,
        metrics: Metrics,
        events: Events,
        *,
        retention_s: float,
        keeps: bool,
        state: Callable[[bool, str], None],
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._authority = authority
        self._metrics = metrics
        self._events = events
        self._retention_s = retention_s
        self._keeps = keeps
        self._state = state
        self._unix_clock = unix_clock
        self._log = structlog.get_logger("ledger")
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Recovers what there is before the first request is served, if the store answers."""
        try:
            async with asyncio.timeout(FIRST_S):
                await self._look()
        except (StoreError, TimeoutError) as error:
            self._state(False, str(error) or "no answer")
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()
            self._task = None

    async def _run(self) -> None:
        prune_at = time.monotonic() + PRUNE_AGAIN_S
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self._look()
                if time.monotonic() >= prune_at:
                    removed = await self._records.prune(int((self._unix_clock() - self._retention_s) * 1000))
                    prune_at = time.monotonic() + (PRUNE_AGAIN_S if removed else PRUNE_S)
            except StoreError as error:
                self._state(False, str(error))
            else:
                self._state(True, "")

    async def _look(self) -> None:
        await self._records.beat()
        for holder in await self._records.gone():
            await self._recover(holder)

    async def _recover(self, holder: str) -> None:
        rows = await self._records.recover(holder)
        if rows:
            self._metrics.ledger_rows.add(("recovered",), len(rows))
            self._events.emit("attempts_recovered", holder=holder, attempts=len(rows))
        if self._authority is not None:
            spent = {}
            for counter in await self._authority.estate(holder) if self._keeps else ():
                spent[counter.name] = (await past(self._records, counter)).get(holder, 0)
            await self._authority.bury(holder, spent)
        await self._records.bury(holder)
