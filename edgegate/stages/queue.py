"""queue: at most `concurrency` exchanges behind it; further ones wait, by priority and fair between tenants.

- A slot is held until the exchange ends: after the last byte, whatever happened. It relies on `ex.on_end` being called.
- The priority is the key's, or the stage's for callers whose key has none. `x-edgegate-priority` may ask for less, not for more.
- A tenant is the key's tenant, else the key, else the user, else the caller's address.
- Nobody waits longer than `max_wait`, or than its caller allows. Whoever finds no room, or must make room for somebody more urgent,
  is told when to come back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from edgegate.chain import Proceed
from edgegate.config.option import PRIORITIES
from edgegate.config.stages import QueueOptions
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.exchange import Exchange, Reply
from edgegate.observe.metrics import SECONDS, Metrics, put
from edgegate.resilience.pace import Pace
from edgegate.resilience.queue import Limit, Slots
from edgegate.resilience.timeouts import left_s, out_of_time

if TYPE_CHECKING:
    from edgegate.upstream.deadlines import Deadlines

HEADER = "x-edgegate-priority"
LEAST_S = 1.0
"""The shortest Retry-After."""


class Place:
    """A caller that waits, and later the slot it has. `turn` resolves with None when it may go on, else with what it is told."""

    __slots__ = ("_queue", "deadline", "holds", "hurried", "level", "since", "tenant", "turn")

    def __init__(self, queue: Queue, level: int, tenant: str, since: float, deadline: float, turn: asyncio.Future[GatewayError | None]):
        self._queue = queue
        self.level = level
        self.tenant = tenant
        self.since = since
        self.deadline = deadline
        self.turn = turn
        self.holds = False  # a slot
        self.hurried = False  # its caller allows less time than the queue does

    def expire(self, now: float) -> None:
        self._queue.expire(self, now)

    def end(self, ex: Exchange) -> None:
        """Its exchange is over, or its caller gone. May be called again."""
        self._queue.leave(self)


class Queue:
    """See the module."""

    def __init__(self, options: QueueOptions, deadlines: Deadlines, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._options = options
        self._deadlines = deadlines
        self._clock = clock
        self._slots: Slots[Place] = Slots(options.concurrency, options.size, options.tenant_size, len(PRIORITIES))
        self._pace = Pace()
        self._levels = {name: level for level, name in enumerate(PRIORITIES)}
        self._default = self._levels[options.priority]
        self._waits = metrics.queue_wait
        self._at_once = [metrics.queue_wait.series((name, "granted")) for name in PRIORITIES]
        self._running = metrics.queue_running
        self._depth = metrics.queue_depth
        self._running.set((), 0)
        for name in PRIORITIES:
            self._depth.set((name,), 0)

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        key = ex.key
        level = self._default if key is None or not key.priority else self._levels[key.priority]
        asked = ex.headers.get(HEADER)
        if asked is not None:
            level = min(level, self._asked(asked))
        if not self._slots.enter():
            return self._wait(ex, proceed, level)
        ex.on_end.insert(0, self._ended)  # the first: whatever happens in the others, the slot comes back
        put(self._at_once[level], SECONDS, 0.0)
        self._running.set((), self._slots.running)
        return proceed(ex)

    @property
    def running(self) -> int:
        """Exchanges behind this stage."""
        return self._slots.running

    @property
    def waiting(self) -> int:
        """Exchanges in the queue."""
        return self._slots.waiting

    def _asked(self, value: str) -> int:
        level = self._levels.get(value.strip().lower())
        if level is None:
            raise bad_request(f"The header {HEADER} must be one of {', '.join(PRIORITIES)}.", HEADER, code="invalid_value")
        return level

    async def _wait(self, ex: Exchange, proceed: Proceed, level: int) -> Reply:
        now = self._clock()
        turn: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
        allowed_s = left_s(ex.headers, time.monotonic() - ex.started)
        place = Place(self, level, _tenant(ex), now, now + min(self._options.max_wait, allowed_s), turn)
        place.hurried = allowed_s < self._options.max_wait
        self._join(place, now)
        ex.on_end.insert(0, place.end)
        try:
            refusal = await turn
        except asyncio.CancelledError:
            self.leave(place)
            raise
        if refusal is not None:
            raise refusal
        return await proceed(ex)

    def _join(self, place: Place, now: float) -> None:
        """Puts a newcomer into the queue, or raises what it is told because there is no room. May cost another one its place."""
        slots = self._slots
        if not slots.waiting:
            self._pace.begin(now)
        refused = slots.join(place)
        if refused is not None:
            out, limit = refused
            error = self._no_room(out, limit, now)
            if out is place:
                self._waits.observe((PRIORITIES[place.level], "full"), 0.0)
                raise error
            self._settle(out, "shed", now, error)
        self._deadlines.add(place)
        self._depth.set((PRIORITIES[place.level],), slots.depth(place.level))

    # -- how a wait, or an exchange, ends

    def expire(self, place: Place, now: float) -> None:
        """It has waited as long as anybody may."""
        if self._slots.leave(place):
            message = f"No slot came free within {self._options.max_wait:g} s."
            error = GatewayError(503, "queue_timeout", message, retry_after_s=self._retry_after_s(place.level, now))
            if place.hurried:
                error = out_of_time()
            self._settle(place, "timeout", now, error)

    def leave(self, place: Place) -> None:
        """Takes its place or its slot from one who is gone. Nothing happens if it has neither any more."""
        if place.holds:
            place.holds = False
            self._release()
        elif self._slots.leave(place):
            place.turn.cancel()
            self._settle(place, "gone", self._clock(), None)

    def _ended(self, ex: Exchange) -> None:
        self._release()

    def _release(self) -> None:
        """A slot comes free: it goes to the next who still wants it."""
        slots = self._slots
        if slots.waiting:
            now = self._clock()
            self._pace.done(now)
            while (place := slots.release()) is not None:
                place.holds = self._settle(place, "granted", now, None)
                if place.holds:
                    return
        else:
            slots.release()
        self._running.set((), slots.running)

    def _settle(self, place: Place, result: str, now: float, refusal: GatewayError | None) -> bool:
        """Ends the wait of one who is no longer in the queue. False if its caller is gone: its task was cancelled, and has not
        run since."""
        self._deadlines.discard(place)
        present = not place.turn.done()
        if present:
            place.turn.set_result(refusal)
        name = PRIORITIES[place.level]
        self._depth.set((name,), self._slots.depth(place.level))
        self._waits.observe((name, result if present else "gone"), now - place.since)
        return present

    # -- what those are told who are sent away

    def _no_room(self, place: Place, limit: Limit, now: float) -> GatewayError:
        wait_s = self._retry_after_s(place.level, now)
        if limit is Limit.TENANT_SIZE:
            message = f"{self._options.tenant_size} requests of this tenant or key are waiting already."
            return GatewayError(429, "tenant_queue_full", message, source=Source.CLIENT, retry_after_s=wait_s)
        return GatewayError(503, "queue_full", "Too many requests are waiting, none of them less urgent.", retry_after_s=wait_s)

    def _retry_after_s(self, level: int, now: float) -> float:
        """When everybody who is as urgent will have had a slot, as far as can be told: after `max_wait` none of them waits."""
        expected = self._pace.wait_s(self._slots.ahead(level) + 1, now)
        return max(LEAST_S, min(expected, self._options.max_wait))


def _tenant(ex: Exchange) -> str:
    """Who shares the turns. What a kind of name is called keeps a user from passing for a tenant."""
    key = ex.key
    if key is not None:
        return f"tenant {key.tenant}" if key.tenant else f"key {key.name}"
    return f"user {ex.user}" if ex.user else f"address {ex.remote}"
