"""A flight: one call at a provider whose answer several exchanges get, each at its own pace.

What came so far is kept from the beginning, so that whoever joins late misses nothing, up to `max_bytes`; a longer answer takes
nobody on any more, and only what the slowest has not read yet is kept. A seat that lags by more than `max_bytes` pauses the
provider until it has caught up half of it. A seat that leaves disturbs nobody; the last one to leave ends the call.

The attempts belong to one exchange, the carrier: the first one aboard, or the next if it leaves before the answer has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from edgegate.taps import Outcome, Tap

if TYPE_CHECKING:
    from edgegate.exchange import Body, Sink


class Flight:
    """See the module. It is the sink of the shared answer. `twin` is the exchange that the call runs on; its attempts, and what is to
    be done at its end, are the flight's until a carrier has them."""

    __slots__ = (
        "_base",
        "_body",
        "_chunks",
        "_end",
        "_max_bytes",
        "_paused",
        "_seats",
        "_taps",
        "ready",
        "task",
        "total",
        "twin",
    )

    def __init__(self, ex: Exchange, max_bytes: int, ready: asyncio.Future[Reply]) -> None:
        twin = self.twin = ex.fork()
        twin.on_end, twin.later = [], []
        self.ready = ready
        self.task: asyncio.Task[None] | None = None
        self.total = 0  # bytes that came
        self._max_bytes = max_bytes
        self._seats: list[Seat] = []
        self._body: Body | None = None
        self._taps: list[Tap] = []
        self._chunks: deque[bytes] = deque()
        self._base = 0  # number of the first chunk that is still kept
        self._paused = False
        self._end: tuple[Outcome, GatewayError | None] | None = None

    @property
    def open(self) -> bool:
        """Whether somebody who joins now gets all of it."""
        return self._end is None and self.total <= self._max_bytes

    @property
    def over(self) -> bool:
        """Whether the answer has ended, one way or another."""
        return self._end is not None

    # -- whoever is aboard

    def board(self, ex: Exchange) -> Seat:
        seat = Seat(self, ex)
        if self._seats:
            ex.attempts = []
        else:
            ex.attempts = self.twin.attempts
        self._seats.append(seat)
        return seat

    def leave(self, seat: Seat) -> bool:
        """The seat's caller is gone. True if it was the last: then the call is ended."""
        self._seats.remove(seat)
        if self.over:
            self._trim()
            return False
        if not self._seats:
            self._cancel(seat.ex)
            return True
        if seat.ex.attempts is self.twin.attempts:
            seat.ex.attempts = []
            self._seats[0].ex.attempts = self.twin.attempts
        self._trim()
        return False

    def arrived(self, seat: Seat) -> None:
        """The seat has passed everything on, to the end."""
        self._seats.remove(seat)

    def _cancel(self, last: Exchange) -> None:
        """Nobody is left: the books of the call are closed with those of the last exchange."""
        self._end = (Outcome.CLIENT_GONE, None)
        if self.task is not None:
            self.task.cancel()
        if self._body is not None:
            self._body.abort()
            self._end_taps(Outcome.CLIENT_GONE)
        last.on_end += self.twin.on_end
        last.later += self.twin.later
        self.twin.on_end, self.twin.later = [], []
        self._chunks.clear()

    # -- the call

    def begun(self, reply: Reply) -> None:
        """The call has come to a reply. What streams is read from now on."""
        self.twin.status = reply.status
        self._taps = reply.taps
        if isinstance(reply.body, bytes):
            body = reply.body
            for tap in reply.taps:
                body = tap.feed(body)
            reply.body = body + self._end_taps(Outcome.OK)
            self._close(Outcome.OK, None)
        else:
            self._body = reply.body
            reply.body.attach(self)

    def failed(self, error: GatewayError | None) -> None:
        """The call has come to nothing."""
        if not self.over:
            self._close(Outcome.FAILED, error)

    def push(self, data: bytes) -> None:
        for tap in self._taps:
            data = tap.feed(data)
            if not data:
                return
        self._add(data)

    def finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        if self.over:
            return
        tail = self._end_taps(outcome)
        if tail:
            self._add(tail)
        self._close(outcome, error)
        for seat in list(self._seats):
            seat.advance()

    def _add(self, data: bytes) -> None:
        self._chunks.append(data)
        self.total += len(data)
        for seat in list(self._seats):
            seat.advance()
        self._trim()

    def _close(self, outcome: Outcome, error: GatewayError | None) -> None:
        """The answer is over: so are its attempts, and what waits for its end, such as a place in the queue, is told. It is up to the
        carrier to record them."""
        self._end = (outcome, error)
        twin = self.twin
        twin.outcome, twin.error = outcome, error
        twin.ended = time.monotonic()
        twin.close_attempts(outcome, error, twin.ended)
        for call in twin.on_end:
            call(twin)
        for seat in self._seats:
            if seat.ex.attempts is twin.attempts:
                seat.ex.later += twin.later

    def _end_taps(self, outcome: Outcome) -> bytes:
        """What the taps still held, the inner ones first."""
        held = b""
        for tap in self._taps:
            held = (tap.feed(held) if held else b"") + tap.end(outcome)
        return held

    # -- pace

    def chunk(self, number: int) -> bytes | None:
        """A chunk by its number from the beginning; None if it has not come."""
        at = number - self._base
        return self._chunks[at] if at < len(self._chunks) else None

    @property
    def end(self) -> tuple[Outcome, GatewayError | None] | None:
        return self._end

    def _trim(self) -> None:
        """Forgets what everybody has, and paces the provider. A short answer needs neither."""
        seats = self._seats
        if self.total <= self._max_bytes or not seats:
            return
        least = min([seat.at for seat in seats])
        while self._base < least:
            self._chunks.popleft()
            self._base += 1
        body = self._body
        if body is None or self.over:
            return
        lag = self.total - min([seat.read for seat in seats])
        if self._paused:
            if lag <= self._max_bytes // 2:
                self._paused = False
                body.resume()
        elif lag > self._max_bytes:
            self._paused = True
            body.pause()

    def moved(self) -> None:
        """A seat that lagged has read on."""
        if self._paused or self.over:
            self._trim()


class Seat:
    """One exchange's part in a flight. It is the body of its reply."""

    __slots__ = ("_flight", "_over", "_paused", "_sink", "at", "ex", "read")

    def __init__(self, flight: Flight, ex: Exchange) -> None:
        self.ex = ex
        self.at = 0  # number of the next chunk
        self.read = 0  # bytes
        self._flight = flight
        self._sink: Sink | None = None
        self._paused = False
        self._over = False

    # -- edgegate.exchange.Body

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        self.resume()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self.advance()
        self._flight.moved()

    def abort(self) -> None:
        """The caller is gone. Its part ends, and the call only with the last."""
        self.leave()

    def leave(self) -> bool:
        """True if it was the last seat of a flight that is not over. May be called again."""
        if self._over:
            return False
        self._over = True
        self._sink = None
        return self._flight.leave(self)

    def advance(self) -> None:
        """Passes on what has come, as far as the client takes it."""
        flight = self._flight
        while self._sink is not None and not self._paused:
            data = flight.chunk(self.at)
            if data is None:
                if flight.end is not None:
                    sink, self._sink = self._sink, None
                    self._over = True
                    flight.arrived(self)
                    sink.finish(*flight.end)
                return
            self.at += 1
            self.read += len(data)
            self._sink.push(data)
