"""Time limits by one ticking sweep over whatever is waiting, instead of one timer object per call (5 to 8 us each).

Whoever waits has a `deadline` (loop time, seconds) that it may move at any time, and an `expire(now)` that is called once the
deadline has passed; it stays in the sweep until discarded. The sweep runs only while somebody waits, every `tick_s`, so a
limit is kept to within one tick.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Waiting(Protocol):
    deadline: float

    def expire(self, now: float) -> None:
        """The deadline has passed. Must discard itself from the sweep or move its deadline."""
        ...


class Deadlines:
    """The sweep of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_s: float = 0.1) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self._waiting: set[Waiting] = set()
        self._handle: asyncio.TimerHandle | None = None

    def add(self, waiting: Waiting) -> None:
        self._waiting.add(waiting)
        if self._handle is None:
            self._handle = self._loop.call_later(self._tick_s, self._sweep)

    def discard(self, waiting: Waiting) -> None:
        self._waiting.discard(waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def _sweep(self) -> None:
        # the next sweep first: whatever one `expire` does, the others keep their limits
        self._handle = self._loop.call_later(self._tick_s, self._sweep) if self._waiting else None
        now = self._loop.time()
        for waiting in [w for w in self._waiting if w.deadline <= now]:
            if waiting in self._waiting and waiting.deadline <= now:
                waiting.expire(now)
