"""Which other processes are gone, judged by what one process sees itself: counters that move, or do not.

No clocks are compared: a holder is gone when its counter has stood still through `silence_s` of this observer's own time, during
which the observer reached the store again and again. Where the observer itself could not reach it for longer than `gap_s`, it has
seen nothing: it begins anew. So a store that was away makes nobody look dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SILENCE_S = 10.0
GAP_S = 3.0
CALLS = 4
"""Calls of the observer that must have succeeded since it saw the counter first as it still is."""


@dataclass(slots=True)
class Seen:
    """A counter as it was first seen at `since`, and how many calls have succeeded since."""

    beats: int
    since: float
    calls: int = 0


class Presence:
    """See the module. Times are of one monotonic clock; a call has the time when it began and when it had succeeded."""

    def __init__(self, silence_s: float = SILENCE_S, gap_s: float = GAP_S) -> None:
        self._silence_s = silence_s
        self._gap_s = gap_s
        self._seen: dict[str, Seen] = {}
        self._reached: float | None = None  # when the last call that succeeded had begun

    def reached(self, asked: float, answered: float) -> None:
        """A call of the observer's has succeeded."""
        if self._reached is not None and answered - self._reached > self._gap_s:
            self._seen.clear()
        self._reached = asked if self._reached is None else max(self._reached, asked)
        for seen in self._seen.values():
            seen.calls += 1

    def saw(self, beats: Mapping[str, int], asked: float, answered: float) -> list[str]:
        """The counters of all others, from a call for which `reached` was called. Gives those that are gone, in order of name."""
        self._seen = {holder: seen for holder, seen in self._seen.items() if beats.get(holder) == seen.beats}
        for holder, count in beats.items():
            self._seen.setdefault(holder, Seen(count, answered))
        return sorted(holder for holder, seen in self._seen.items() if asked - seen.since >= self._silence_s and seen.calls >= CALLS)

    def forget(self, holder: str) -> None:
        """It has been seen to."""
        self._seen.pop(holder, None)
