"""A sliding window: never more than `limit` units in any stretch of `window_s` seconds.

Units are counted in sixty slots of the window, and a slot counts until its last moment has left the window: a unit comes back up
to a sixtieth of the window late, never early. `lag_s` is how long units may lie unused between the taking here and their use
(leases of workers): they then count that much longer, so that the promise holds for the use as well.
"""

from __future__ import annotations

import math
from collections import deque

SLOTS = 60


class Window:
    """See the module. Times are Unix seconds."""

    __slots__ = ("_ends", "_keeps_s", "_slot_s", "_slots", "limit", "used")

    def __init__(self, limit: int, window_s: float, lag_s: float = 0.0) -> None:
        self.limit = limit
        self.used = 0
        self._slot_s = window_s / SLOTS
        self._keeps_s = window_s + lag_s
        self._slots: deque[list[int]] = deque()  # [index, units], the oldest first
        self._ends = 0.0  # when the last of them ends, if there is one

    def wait(self, units: int, now: float) -> float:
        """Seconds until so many units are free; 0.0 if they are, infinity if there are never so many."""
        slots = self._slots
        if slots and slots[0][0] < self._oldest(now):
            self._forget(now)
        over = self.used + units - self.limit
        if over <= 0:
            return 0.0
        if units > self.limit:
            return math.inf
        for index, held in slots:
            over -= held
            if over <= 0:
                return max(0.001, (index + 1) * self._slot_s + self._keeps_s - now)
        return math.inf

    def take_free(self, units: int, now: float) -> int:
        """Counts units if there is room, else gives -1. As `wait` and `take`, in one go: every request passes here, and most find a
        slot that still runs and room in it."""
        used = self.used + units
        if now < self._ends and used <= self.limit:
            last = self._slots[-1]
            last[1] += units
            self.used = used
            return last[0]
        if self.wait(units, now):
            return -1
        return self.take(units, now)

    def take(self, units: int, now: float) -> int:
        """Counts units, whether or not there is room. Gives the slot, for `give`."""
        index = int(now / self._slot_s)
        slots = self._slots
        if slots and slots[-1][0] >= index:  # also when the clock was set back
            slots[-1][1] += units
            index = slots[-1][0]
        else:
            slots.append([index, units])
            self._ends = (index + 1) * self._slot_s
        self.used += units
        return index

    def give(self, slot: int, units: int) -> None:
        """Takes back what was counted in a slot, unless it has come back by itself."""
        for held in reversed(self._slots):  # it is one of the last
            if held[0] == slot:
                units = min(units, held[1])
                held[1] -= units
                self.used -= units
                return

    def dump(self) -> list[list[int]]:
        return [list(slot) for slot in self._slots]

    def load(self, slots: list[list[int]]) -> None:
        self._slots = deque([index, units] for index, units in slots)
        self.used = sum(units for _, units in self._slots)
        self._ends = (self._slots[-1][0] + 1) * self._slot_s if self._slots else 0.0

    def _oldest(self, now: float) -> int:
        """The first slot that still counts: the one in which the window begins."""
        return int((now - self._keeps_s) / self._slot_s)

    def _forget(self, now: float) -> None:
        oldest = self._oldest(now)
        slots = self._slots
        while slots and slots[0][0] < oldest:
            self.used -= slots.popleft()[1]
        if not slots:
            self._ends = 0.0
