"""How one target has done of late, and whether it is so much worse than its peers that it should stand back for a while.

The window is kept as counts that only grow, and what they were at the start of each of its last ten parts: an attempt costs a
few additions, however many there are. A failure is forgotten between nine tenths of the window and the whole of it later.
The latency is a moving average of good attempts. Whoever is ejected starts again with an empty window, so that nobody is
ejected twice for the same attempts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

from edgegate.config.stages import OutlierOptions

PARTS = 10
NEWEST = 0.1
"""Share of the newest attempt in the moving latency; the first ones of a window count alike."""
LONGEST = 5
"""The time of standing back grows with each time in a row, up to this many times `eject`."""
QUICK_S = 0.5
"""Whoever begins to answer within this time is not slow, however quick the others are."""
WELL = 10
"""After this many times `eject` without standing back, the times in a row are forgotten."""


class Record:
    """Record of one target. `now` is monotonic seconds and never goes back."""

    __slots__ = (
        "_attempts",
        "_base",
        "_failed",
        "_marks",
        "_options",
        "_part_s",
        "_timed",
        "_times",
        "_turn",
        "_until",
        "latency_s",
    )

    def __init__(self, options: OutlierOptions) -> None:
        self._options = options
        self._part_s = float(options.window) / PARTS
        self._attempts = self._failed = self._timed = 0
        self._base = (0, 0, 0)  # the counts when the window began
        self._marks = deque([self._base] * PARTS, maxlen=PARTS)
        self._turn = float("-inf")  # end of the newest part
        self._times = 0
        self._until = float("-inf")
        self.latency_s: float | None = None
        """Moving average of good attempts; the last known one where there are none any more; None: never known."""

    def add(self, good: bool, latency_s: float | None, now: float) -> None:
        """An attempt has ended now. The latency of one that failed says nothing and is left out."""
        if now >= self._turn:
            self._roll(now)
        self._attempts += 1
        if not good:
            self._failed += 1
        elif latency_s is not None:
            timed = self._timed - self._base[2]
            self._timed += 1
            before = self.latency_s
            if before is None:
                self.latency_s = latency_s
            else:  # the first of a window replaces the average: what nobody has added to for so long is history
                self.latency_s = before + (latency_s - before) * max(1 / (timed + 1), NEWEST)

    def _roll(self, now: float) -> None:
        """Let the parts that are over go."""
        passed = (now - self._turn) / self._part_s
        counts = (self._attempts, self._failed, self._timed)
        if passed < PARTS - 1:
            over = int(passed) + 1
            self._turn += over * self._part_s
        else:
            over = PARTS
            self._turn = now + self._part_s
        self._marks.extend([counts] * over)
        self._base = self._marks[0]

    def _timed_in_window(self, now: float) -> int:
        if now >= self._turn:
            self._roll(now)
        return self._timed - self._base[2]

    def error_rate(self, now: float) -> float | None:
        """Share of failed attempts in the window; None as long as there are fewer than `requests`."""
        if now >= self._turn:
            self._roll(now)
        attempts = self._attempts - self._base[0]
        if attempts < self._options.requests:
            return None
        return (self._failed - self._base[1]) / attempts

    def ejected(self, now: float) -> bool:
        """Whether the target is to be used only where no other is left."""
        return now < self._until

    def stands_back_s(self, now: float) -> float:
        """How much longer; 0 if it does not."""
        return max(0.0, self._until - now)

    def judge(self, peers: Sequence[Record], now: float) -> bool:
        """Eject the target if it has become an outlier; True when that has just happened. `peers` are the targets that could serve
        in its place; it may be among them. Without a peer that has enough attempts nobody is too slow."""
        if now < self._until or not (self._fails_often(now) or self._is_slow(peers, now)):
            return False
        eject = float(self._options.eject)
        if now - self._until >= WELL * eject:
            self._times = 0
        self._times = min(self._times + 1, LONGEST)
        self._until = now + eject * self._times
        self._base = (self._attempts, self._failed, self._timed)
        self._marks.extend([self._base] * PARTS)
        return True

    def _fails_often(self, now: float) -> bool:
        if not self._options.error_rate:
            return False
        rate = self.error_rate(now)
        return rate is not None and rate >= self._options.error_rate

    def _is_slow(self, peers: Sequence[Record], now: float) -> bool:
        options = self._options
        if not options.latency or self.latency_s is None or self.latency_s < QUICK_S:
            return False
        if self._timed_in_window(now) < options.requests:
            return False
        others = [
            peer.latency_s
            for peer in peers
            if peer is not self and peer.latency_s is not None and peer._timed_in_window(now) >= options.requests
        ]
        if not others:
            return False
        middle = median(others)
        return self.latency_s > middle and self.latency_s >= options.latency * middle
