"""How long to wait before another attempt, and whether there may be one. The waits are backoff's: exponential, with full jitter.

The budget is what keeps retries from becoming the load that holds a failing provider down: they are a share of the first attempts,
however many requests fail at once.
"""

from __future__ import annotations

from collections.abc import Callable

import backoff

from edgegate.errors import GatewayError

Jitter = Callable[[float], float]

ONE = 1 - 1e-9
"""A whole token, for a sum of shares that rounding left just below one."""


class Waits:
    """The waits between the attempts at one target. Made per exchange, only once something has failed."""

    __slots__ = ("_jitter", "_max_s", "_steps")

    def __init__(self, first_s: float, max_s: float, jitter: Jitter = backoff.full_jitter) -> None:
        self._steps = backoff.expo(base=2, factor=first_s, max_value=max_s)
        next(self._steps)  # backoff's generators take a first send(None)
        self._max_s = max_s
        self._jitter = jitter

    def after(self, error: GatewayError) -> float | None:
        """Seconds to wait before the same target is tried again; None if the provider asks for more than the limit, so that
        another target, or the caller, is the better place to go."""
        step = float(next(self._steps))
        asked = error.retry_after_s
        if asked is None:
            return self._jitter(step)
        if asked > self._max_s:
            return None
        return asked + self._jitter(min(step, 0.25))  # never before the time asked for, and not all at once


class RetryBudget:
    """How many further attempts a provider may be asked for: `share` for each first attempt, and `free` to begin with.

    Retries never exceed free + share x first attempts. There is no clock in it: what has not been used is kept, up to `free` or what
    a hundred first attempts bring, whichever is more, so that a quiet gateway has its free ones whenever something fails, and a busy
    one cannot save up a storm."""

    __slots__ = ("_most", "_share", "_tokens")

    def __init__(self, share: float, free: int = 10) -> None:
        self._share = share
        self._tokens = float(free)
        self._most = max(float(free), 100 * share)

    def sent(self) -> None:
        """A first attempt has been made."""
        if self._tokens < self._most:
            self._tokens = min(self._tokens + self._share, self._most)

    def retry(self) -> bool:
        """Take one further attempt, if there is one left."""
        if self._tokens < ONE:
            return False
        self._tokens -= 1.0
        return True
