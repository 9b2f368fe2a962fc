"""Overload: when a worker should refuse new work rather than slow all of it down.

Two signs besides the number of exchanges in flight: the event loop runs late (a timer fires long after its time), or the
process has grown beyond its memory limit. Both are sampled twice a second; the last sample counts.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from edgegate.config.model import ServerOptions

EVERY_S = 0.5
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Overload:
    """Samples from `open` to `close`. `reason` is empty while all is well, else a sentence for the caller."""

    def __init__(self, options: ServerOptions) -> None:
        self._max_lag = float(options.max_lag)
        self._max_memory = int(options.max_memory)
        self._statm = Path("/proc/self/statm")
        self._handle: asyncio.TimerHandle | None = None
        self.reason = ""
        self.lag_s = 0.0

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sleep()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _sleep(self) -> None:
        due = self._loop.time() + EVERY_S
        self._handle = self._loop.call_at(due, self._sample, due)

    def _sample(self, due: float) -> None:
        self.lag_s = max(0.0, self._loop.time() - due)
        if self._max_lag and self.lag_s > self._max_lag:
            self.reason = f"The gateway's event loop is {self.lag_s:.1f} s late."
        elif self._max_memory and self.memory() > self._max_memory:
            self.reason = "The gateway has reached its memory limit."
        else:
            self.reason = ""
        self._sleep()

    def memory(self) -> int:
        """Resident bytes; 0 where the system does not tell."""
        try:
            return int(self._statm.read_text().split()[1]) * _PAGE
        except OSError:
            return 0
