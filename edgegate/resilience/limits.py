"""What one credential may still do at one model, as its provider last said it: token buckets.

A reply's headers tell how much is left, of how much, and when it is all back. Where the limit is known, what was used comes back
evenly until then; where not, nothing comes back before the reset. What has been sent since is taken off at once, so that
exchanges side by side see each other. A quota of which nothing was heard for longer than its reset is forgotten: to hold requests
back on old news is worse than to hear a 429.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

UNTIMED_S = 1.0
"""How long a quota counts whose reset is not known."""

_ENOUGH = 1e-6
"""Part of an amount that may be missing: sums of times and rates are not exact."""


class Quota(NamedTuple):
    """One limit of a provider's, as one reply states it.

    kind: `requests`, `tokens`, `input_tokens` or `output_tokens`.
    limit: how much there is in all; None where the provider does not say.
    reset_s: seconds until all of it is back; None where the provider does not say.
    window: tells several limits of one kind apart, e.g. `minute` and `month`.
    stepwise: whether it all comes back at the reset and nothing before, although the limit is known.
    """

    kind: str
    limit: float | None
    remaining: float
    reset_s: float | None
    window: str = ""
    stepwise: bool = False


class _Bucket:
    """`level` is what was left at `at`, less what was spent since; at `until` it is forgotten."""

    __slots__ = ("at", "kind", "level", "limit", "rate", "until")

    def __init__(self, quota: Quota, now: float) -> None:
        self.kind = quota.kind
        self.limit = quota.limit
        self.level = max(quota.remaining, 0.0)
        self.at = now
        lasts = UNTIMED_S if quota.reset_s is None else max(quota.reset_s, 0.0)
        self.until = now + lasts
        gradual = quota.limit is not None and quota.reset_s is not None and lasts > 0 and not quota.stepwise
        self.rate = max((quota.limit or 0.0) - self.level, 0.0) / lasts if gradual else 0.0

    def ready_at(self, tokens: int, now: float) -> float:
        need = float(1 if self.kind in ("requests", "output_tokens") else tokens)
        if self.limit is not None and need > self.limit:  # an estimate is rough: more than all there is cannot be asked for
            need = self.limit
        missing = need - self.level - self.rate * (now - self.at)
        if missing <= need * _ENOUGH:
            return now
        if self.rate <= 0:
            return self.until
        return min(max(self.at + (need - self.level) / self.rate, now), self.until)


class Learned:
    """See the module. Times are of one monotonic clock."""

    __slots__ = ("_buckets", "heard")

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self.heard = float("-inf")
        """When something was last heard."""

    def learn(self, quotas: Iterable[Quota], now: float) -> None:
        """What a reply just said takes the place of what was known of the same limits."""
        self.heard = now
        for quota in quotas:
            self._buckets[quota.kind, quota.window] = _Bucket(quota, now)

    def spend(self, tokens: int) -> None:
        """One request of about that many input tokens is being sent. What it will bring out is not known beforehand."""
        for bucket in self._buckets.values():
            if bucket.kind == "requests":
                bucket.level -= 1
            elif bucket.kind != "output_tokens":
                bucket.level -= tokens

    def ready_at(self, tokens: int, now: float) -> float:
        """The earliest time at which a request of about that many input tokens is allowed; `now` if it is, or nothing is known."""
        if not self._buckets:
            return now
        ready = now
        for name, bucket in list(self._buckets.items()):
            if now >= bucket.until:
                del self._buckets[name]
            else:
                ready = max(ready, bucket.ready_at(tokens, now))
        return ready
