"""The circuit breaker of one target: after failures in a row it lets nothing through for a while, then a probe or two, and a
probe that ends well closes it.

Every attempt takes a ticket with `enter` and gives it back with `leave`, once. Tickets only grow, so the period in which an
attempt began is read off its number: an attempt that began before the breaker opened can neither prolong the open time, nor
count against a later period, nor close what it knows nothing of. Only a probe closes the breaker, also one that ends after
another probe opened it again, as soon as the open time is over: there is no state from which the next good probe does not close.
"""

from __future__ import annotations

import enum
from collections import deque

from edgegate.config.stages import BreakerOptions


class BreakerState(enum.StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN

LOST_S = 60.0
"""A probe that has not ended for this long (or `reset`, if that is longer) no longer keeps another one out."""

TURNED_AWAY_S = 1.0
"""How long to wait where all places are taken: nobody knows when a probe ends, but it is soon."""

CROWD = 100_000
"""Tickets out at once beyond which the older half is given up for lost: a ticket that is never given back costs no memory forever."""


class Breaker:
    """Breaker of one target. `now` is monotonic seconds and never goes back."""

    __slots__ = (
        "_half_open_from",
        "_last",
        "_limit",
        "_lost_s",
        "_out",
        "_places",
        "_probes",
        "_probes_from",
        "_reset",
        "_row",
        "_window",
        "failures",
        "last_failure",
        "state",
        "until",
    )

    def __init__(self, options: BreakerOptions) -> None:
        self._limit = options.failures
        self._window = float(options.window)
        self._reset = float(options.reset)
        self._places = options.probes
        self._lost_s = max(self._reset, LOST_S)

        self.state = CLOSED
        self.failures = 0
        """Failures in a row that still count; probes that failed are added. With `failures: 0` it is only known whether there is one."""
        self.last_failure = 0.0
        """When an attempt last ended badly, also one that counted for nothing here; 0.0: never."""
        self.until = 0.0
        """End of the open time. What lies in the past says nothing about the state."""

        self._row: deque[float] = deque(maxlen=max(options.failures, 1))
        self._last = 0
        self._out: set[int] = set()
        self._probes: dict[int, float] = {}  # taken places: when each was taken
        self._probes_from = 1  # while not closed: every ticket from here on is a probe's
        self._half_open_from = 1  # while half-open: every ticket from here on is a probe's of this very period

    def ready_at(self, now: float) -> float:
        """`now` if `enter` would let an attempt through, else the earliest time at which it may."""
        if self.state is CLOSED:
            return now
        if self.state is OPEN and now < self.until:
            return self.until
        if len(self._probes) < self._places:
            return now
        lost = min(self._probes.values()) + self._lost_s
        return min(max(lost, now), now + TURNED_AWAY_S)

    def enter(self, now: float) -> int:
        """A ticket for an attempt that begins now; 0 if none may begin. Nothing else makes an open breaker half-open."""
        if self.state is not CLOSED:
            return self._probe(now)
        self._last = ticket = self._last + 1
        out = self._out
        out.add(ticket)
        if len(out) > CROWD:
            self._out = {kept for kept in out if kept > ticket - CROWD // 2}
        return ticket

    def _probe(self, now: float) -> int:
        if self.ready_at(now) > now:
            return 0
        probes = self._probes
        if len(probes) >= self._places:
            del probes[min(probes)]  # lost, or too slow to wait for; should it end after all, it is still heard
        self._last = ticket = self._last + 1
        if self.state is OPEN:
            self.state = HALF_OPEN
            self._half_open_from = ticket
        probes[ticket] = now
        self._out.add(ticket)
        return ticket

    def begun(self, ticket: int) -> None:
        """The attempt has begun to answer. Its end decides, but others may be tried beside it until then: a long stream must not keep
        a target that is well again from everybody."""
        self._probes.pop(ticket, None)

    def leave(self, ticket: int, good: bool | None, now: float) -> BreakerState | None:
        """The attempt has ended: well, badly, or (None) in a way that says nothing of the target. Returns the new state if it changed.
        A ticket that is not out (0, unknown, given back already) is no attempt and changes nothing."""
        if ticket not in self._out:
            return None
        self._out.remove(ticket)
        if good:
            if self.state is CLOSED:
                if self.failures:
                    self._row.clear()
                    self.failures = 0
                return None
            self._probes.pop(ticket, None)
            if ticket < self._probes_from or (self.state is OPEN and now < self.until):
                return None
            return self._close()
        self._probes.pop(ticket, None)
        return None if good is None else self._failed(ticket, now)

    def _failed(self, ticket: int, now: float) -> BreakerState | None:
        self.last_failure = now
        if self.state is CLOSED:
            if ticket < self._probes_from:
                return None
            row = self._row
            while row and now - row[0] > self._window:
                row.popleft()
            row.append(now)
            self.failures = len(row)
            return self._open(now + self._reset) if 0 < self._limit <= self.failures else None
        if self.state is HALF_OPEN and ticket >= self._half_open_from:
            self.failures += 1
            return self._open(now + self._reset)
        return None

    def trip(self, until: float, now: float) -> bool:
        """Another worker's breaker of this target opened: stay open until then too, unless open longer already. Returns whether
        anything changed. Never longer than `reset` from now, so that a wrong time cannot shut a target out."""
        until = min(until, now + self._reset)
        if not self._limit or not until > now or (self.state is OPEN and self.until >= until):
            return False
        self._open(until)
        return True

    def _open(self, until: float) -> BreakerState:
        if self.state is CLOSED:
            self._probes_from = self._last + 1
        self._row.clear()
        self.state = OPEN
        self.until = until
        return OPEN

    def _close(self) -> BreakerState:
        self.state = CLOSED
        self.failures = 0
        self._probes.clear()
        self._probes_from = self._last + 1  # what began before is not this period's
        return CLOSED
