"""How long to wait before another attempt. The waits are backoff's: exponential, with full jitter."""

from __future__ import annotations

from collections.abc import Callable

import backoff

from edgegate.errors import GatewayError

Jitter = Callable[[float], float]


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
