"""coalesce: identical calls in flight share one call at the provider.

- Identical is what the exact cache would answer alike: caller's scope, format, model, body. Only where chance has little to say:
  a temperature of at most `max_temperature`, embeddings, rerank.
- Plain and streamed. Whoever joins a stream late gets it from its beginning; each reads at its own pace (see `flight`).
- A caller that leaves disturbs nobody; the last one to leave ends the call. If the call fails, all get its error.
- The attempts are one exchange's: the first one's, or the next one's if it leaves. The others have none, cost nothing and say
  `x-edgegate-coalesced: true`.
- Left out: `x-edgegate-coalesce: false`, `Cache-Control: no-store` or `no-cache`, requests with an `Idempotency-Key`, and those
  that ask for time limits or for something else after a break: what one caller wants of a call is not for the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

from multidict import istr

from edgegate.caching.exact import cache_key
from edgegate.caching.scope import SHARED, is_repeatable, scope, wants_its_own
from edgegate.chain import Proceed
from edgegate.config.stages import CoalesceOptions
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from edgegate.resilience.timeouts import asked_timeouts
from edgegate.stages.flight import Flight, Seat
from edgegate.stages.idempotency import HEADER as IDEMPOTENCY_KEY
from edgegate.stages.midstream import HEADER as MIDSTREAM
from edgegate.stages.tasks import Tasks

HEADER = istr("x-edgegate-coalesce")
UNWIND_S = 1.0
"""For a call that nobody wants any more to end its attempts; it waits for nothing."""


class Coalesce:
    """See the module. Owns the tasks of the shared calls."""

    def __init__(self, options: CoalesceOptions) -> None:
        self._options = options
        self._flights: dict[bytes, Flight] = {}
        self.tasks = Tasks()

    async def open(self) -> None:
        """Nothing to open; tasks are made as they are needed."""

    async def close(self) -> None:
        await self.tasks.close()

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        if ex.operation not in SHARED or not self._may_share(ex):
            return proceed(ex)
        return self._share(ex, proceed)

    @property
    def flights(self) -> int:
        """Calls that somebody could join."""
        return len(self._flights)

    def _may_share(self, ex: Exchange) -> bool:
        if not is_repeatable(ex, self._options.max_temperature):
            return False
        if ex.headers.get(IDEMPOTENCY_KEY) is not None or wants_its_own(ex):
            return False
        if asked_timeouts(ex.headers) is not None or MIDSTREAM in ex.headers:
            return False
        asked = ex.headers.get(HEADER)
        return asked is None or asked.strip().lower() not in ("false", "0", "no")

    async def _share(self, ex: Exchange, proceed: Proceed) -> Reply:
        request = ex.request
        key = cache_key(scope(ex), f"{ex.client.format}\n{ex.model}", ex.body, request)
        flight = self._flights.get(key)
        if flight is None or not flight.open:
            loop = asyncio.get_running_loop()
            flight = self._flights[key] = Flight(ex, self._options.max_bytes, loop.create_future())
            seat = flight.board(ex)
            flight.task = self.tasks.spawn(_fly(flight, proceed))
            flight.task.add_done_callback(partial(self._landed, key, flight))
        else:
            ex.coalesced = True
            seat = flight.board(ex)
        ex.on_end.append(lambda _: self._end(key, flight, seat))  # whatever happens to the reply
        try:
            reply = await asyncio.shield(flight.ready)
        except GatewayError as error:
            _board_books(ex, flight)
            raise error.again() from None
        except asyncio.CancelledError:
            if self._leave(key, flight, seat) and flight.task is not None:
                await asyncio.wait([flight.task], timeout=UNWIND_S)  # its attempts end before the books are closed
            raise
        _board_books(ex, flight)
        body = reply.body if isinstance(reply.body, bytes) else seat
        return Reply(reply.status, list(reply.headers), body, reply.format, reply.stream, reply.length)

    def _leave(self, key: bytes, flight: Flight, seat: Seat) -> bool:
        """The exchange ends, or its caller is gone. True if that ended the call."""
        last = seat.leave()
        self._forget(key, flight)
        return last

    def _end(self, key: bytes, flight: Flight, seat: Seat) -> None:
        self._leave(key, flight, seat)

    def _landed(self, key: bytes, flight: Flight, task: asyncio.Task[None]) -> None:
        """The call has been judged; only a fault of ours, or its end from outside, leaves nobody told."""
        ready = flight.ready
        if not ready.done():
            fault = None if task.cancelled() else task.exception()
            ended = GatewayError(503, "draining", "The gateway is shutting down and had to end this request.", retry_after_s=1.0)
            flight.failed(ended)
            ready.set_exception(fault or ended)
        ready.exception()  # perhaps nobody is left to be told
        self._forget(key, flight)

    def _forget(self, key: bytes, flight: Flight) -> None:
        if flight.over and self._flights.get(key) is flight:
            del self._flights[key]


async def _fly(flight: Flight, proceed: Proceed) -> None:
    """Runs the shared call until it can be judged. What streams after that is pushed."""
    try:
        reply = await proceed(flight.twin)
        flight.begun(reply)
    except GatewayError as error:
        flight.failed(error)
        flight.ready.set_exception(error)
    else:
        flight.ready.set_result(reply)


def _board_books(ex: Exchange, flight: Flight) -> None:
    """What is to be said of the shared call, in the exchange of one who shares it."""
    twin = flight.twin
    ex.adopt(twin)
    ex.plan = twin.plan
    if ex.attempts is not twin.attempts:
        ex.attempt = None
