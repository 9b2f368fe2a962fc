"""How fast a queue moves: the pace at which slots came free of late, for telling those who are sent away when to come back.

It is only measured while somebody waits: slots that come free in quieter times say nothing about how fast they could.
"""

from __future__ import annotations

WINDOW_S = 10.0
"""What lies further back counts half, and half again."""


class Pace:
    """See the module. Times are seconds of one clock."""

    __slots__ = ("_begun", "_done")

    def __init__(self) -> None:
        self._begun = 0.0
        self._done = 0.0

    def begin(self, now: float) -> None:
        """The queue was empty, and is no longer."""
        self._begun = now
        self._done = 0.0

    def done(self, now: float) -> None:
        """A slot came free while somebody waited."""
        self._done += 1
        passed = now - self._begun
        if passed > WINDOW_S:
            self._begun = now - passed / 2
            self._done /= 2

    def wait_s(self, slots: int, now: float) -> float:
        """How long it may take until so many slots came free. While none has, the first is taken to come right now."""
        return slots * (now - self._begun) / (self._done or 1.0)
