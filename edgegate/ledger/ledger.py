"""The ledger: one row for each attempt, on disk a moment after it ends.

What has happened since the last commit is written in one transaction every `commit` seconds: rows of attempts that ended, and a
mark of those that have begun, so that they are found again if this process dies. An attempt that begins and ends between two
commits is written once. A batch that could not be written is tried again as it was, before any other, since it may have been written
all the same. While the store is away rows wait in memory, at most `buffer` of them; the oldest are lost then, and counted.

With `commit` 0 every attempt's mark is on disk before it is sent.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from edgegate.errors import GatewayError
from edgegate.ledger.entry import attempt_row, unasked_row
from edgegate.ledger.prices import Prices
from edgegate.stores.base import StoreError
from edgegate.stores.records import Batch, Records

if TYPE_CHECKING:
    from edgegate.exchange import Attempt, Exchange
    from edgegate.observe.metrics import Metrics

BATCH = 2000
"""Rows in one transaction at most."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
CLOSE_S = 5.0
"""For the last rows to be written when the gateway ends."""


class Ledger:
    """See the module. Opens and closes `records`. Belongs to the event loop that serves."""

    def __init__(
        self,
        records: Records,
        holder: str,
        prices: Prices,
        metrics: Metrics,
        *,
        commit_s: float,
        buffer: int,
        deny_on_loss: bool,
        failed: Callable[[str], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._records = records
        self._holder = holder
        self._prices = prices
        self._metrics = metrics
        self._commit_s = commit_s
        self._buffer = buffer
        self._deny = deny_on_loss
        self._failed = failed
        self._chance = chance
        self._log = structlog.get_logger("ledger")
        self._seq = 0
        self._fresh: dict[int, tuple[Exchange, Attempt, int]] = {}  # begun since the last commit and not ended
        self._opened: set[int] = set()  # marked in the store, or on the way there
        self._closed: list[int] = []
        self._rows: deque[bytes] = deque()
        self._batches = 0
        self._batch: Batch | None = None  # on its way, or to be written again
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._committed: asyncio.Future[None] | None = None  # of the batch that is being gathered
        self._promised: asyncio.Future[None] | None = None  # of the one on its way
        self._away = False
        self._closing = False

    @property
    def sync(self) -> bool:
        """Whether `begun` has to be awaited before an attempt is sent."""
        return self._commit_s == 0

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._records.open(self._holder)

    async def close(self) -> None:
        """Writes what is left, and tells the store that this process ended in order."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._waiting():
                    self._write()
                    assert self._writing is not None
                    await asyncio.wait([self._writing])
                    if self._away:
                        await asyncio.sleep(FIRST_WAIT_S)
        except TimeoutError:
            lost = self._waiting_rows()
            self._metrics.ledger_rows.add(("lost",), lost)
            self._log.error("ledger_rows_lost", rows=lost, why="the store was away when the gateway ended")
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        await self._records.close()

    # -- what happens

    def begin(self, ex: Exchange, attempt: Attempt) -> None:
        """An attempt is about to be sent. Raises the 503 when no more rows may wait."""
        if self._deny and self._away and self._waiting_rows() >= self._buffer:
            message = "The gateway cannot reach the store of its ledger."
            raise GatewayError(503, "store_unavailable", message, retryable=True, retry_after_s=1.0)
        self._seq = attempt.seq = self._seq + 1
        self._fresh[attempt.seq] = (ex, attempt, len(ex.attempts))
        if self._timer is None:
            self._arm()

    async def begun(self) -> None:
        """Waits until everything that has begun is on disk. Raises a 503 if that fails and requests may not go on."""
        if self._committed is None:
            self._committed = self._loop.create_future()
            if self._writing is None:
                self._write()
        committed = self._committed
        try:
            await asyncio.shield(committed)
        except StoreError:
            if self._deny:
                message = "The gateway cannot reach the store of its ledger."
                raise GatewayError(503, "store_unavailable", message, retryable=True, retry_after_s=1.0) from None

    def record(self, ex: Exchange) -> None:
        """An exchange has ended, and its attempts have their usage and cost."""
        rows = self._rows
        if ex.attempts:
            version = self._prices.version
            for number, attempt in enumerate(ex.attempts, 1):
                if not attempt.seq:  # a chain whose forward stage has no ledger
                    self._seq = attempt.seq = self._seq + 1
                elif self._fresh.pop(attempt.seq, None) is None and attempt.seq in self._opened:
                    self._opened.discard(attempt.seq)
                    self._closed.append(attempt.seq)
                rows.append(attempt_row(ex, attempt, number, self._holder, version))
        else:
            source = "replay" if ex.replayed else "coalesced" if ex.coalesced else "cache" if ex.cache == "hit" else ""
            if not source or ex.status >= 400:
                return
            self._seq += 1
            rows.append(unasked_row(ex, self._seq, self._holder, source))
        if self._away and self._waiting_rows() > self._buffer:
            rows.popleft()
            self._metrics.ledger_rows.add(("lost",))
        if self._timer is None:
            self._arm()

    # -- writing

    def _arm(self) -> None:
        if self._writing is None and not self._closing:
            self._timer = self._loop.call_later(self._commit_s, self._write)

    def _waiting(self) -> bool:
        return bool(self._rows or self._closed or self._batch) or (self._writing is not None and not self._writing.done())

    def _waiting_rows(self) -> int:
        return len(self._rows) + (len(self._batch.rows) if self._batch is not None else 0)

    def _write(self) -> None:
        self._timer = None
        if self._writing is None:
            self._writing = self._loop.create_task(self._write_all())
            self._writing.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if not task.cancelled():
            task.result()
        if self._committed is not None:
            self._write()
        elif self._rows or self._closed or self._fresh or self._batch is not None:
            self._arm()

    async def _write_all(self) -> None:
        """Writes what there is now, in one or more transactions; while the store is away, waits between two tries."""
        wait_s = FIRST_WAIT_S
        while True:
            if self._batch is None:
                self._batch = self._gather()
            batch = self._batch
            if batch is None:
                return
            try:
                await self._records.write(batch)
            except StoreError as error:
                self._failed(str(error))
                self._away = True
                self._metrics.ledger_waiting.set((), self._waiting_rows())
                for waiting in (self._promised, self._committed):
                    _done(waiting, error)
                self._promised = self._committed = None
                if self._closing:
                    return
                await asyncio.sleep(wait_s * (0.5 + 0.5 * self._chance()))
                wait_s = min(LONGEST_WAIT_S, wait_s * 2)
                continue
            self._batch = None
            if self._away:
                self._away = False
                self._metrics.ledger_waiting.set((), 0)
            self._metrics.ledger_rows.add(("written",), len(batch.rows))
            _done(self._promised, None)
            self._promised = None
            if len(self._rows) < BATCH:
                return
            wait_s = FIRST_WAIT_S

    def _gather(self) -> Batch | None:
        """What has happened since the last batch; None if nothing has."""
        rows = self._rows
        self._promised, self._committed = self._committed, None
        if not (rows or self._closed or self._fresh):
            _done(self._promised, None)
            self._promised = None
            return None
        taken: Sequence[bytes]
        if len(rows) <= BATCH:
            taken, self._rows = rows, deque()
        else:
            taken = [rows.popleft() for _ in range(BATCH)]
        closed, self._closed = self._closed, []
        fresh, self._fresh = self._fresh, {}
        version = self._prices.version
        opened = [(seq, attempt_row(ex, attempt, number, self._holder, version)) for seq, (ex, attempt, number) in fresh.items()]
        self._opened.update(fresh)
        self._batches += 1
        return Batch(self._batches, taken, opened, closed)


def _done(future: asyncio.Future[None] | None, error: StoreError | None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
