"""A token bucket: `burst` units at once, refilled evenly by `limit` units in `window_s` seconds.

Being charged more than it holds makes it owe: it lets nothing through until that is refilled.
"""

from __future__ import annotations

import math

_TINY = 1e-9
"""What rounding may take from a level."""


class Bucket:
    """See the module. Times are Unix seconds; a clock that is set back refills nothing."""

    __slots__ = ("_at", "_per_s", "burst", "level")

    def __init__(self, limit: int, window_s: float, burst: int = 0) -> None:
        self.burst = burst or limit
        self.level = float(self.burst)
        self._per_s = limit / window_s
        self._at = -math.inf  # when `level` held

    def wait(self, units: int, now: float) -> float:
        """Seconds until so many units are free; 0.0 if they are, infinity if it never holds so many."""
        if now > self._at:
            if self.level < self.burst:
                self.level = min(float(self.burst), self.level + (now - self._at) * self._per_s)
            self._at = now
        if units <= self.level + _TINY:
            return 0.0
        return math.inf if units > self.burst else (units - self.level) / self._per_s

    def take_free(self, units: int, now: float) -> int:
        """Takes units if there are so many, else gives -1."""
        if self.wait(units, now):
            return -1
        self.level -= units
        return 0

    def take(self, units: int, now: float) -> int:
        self.wait(0, now)
        self.level -= units
        return 0

    def give(self, units: int) -> None:
        self.level = min(float(self.burst), self.level + units)

    def dump(self) -> list[float]:
        return [self.level, self._at]

    def load(self, state: list[float]) -> None:
        self.level, self._at = state
