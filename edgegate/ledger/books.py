"""The books of an exchange, closed once, after its end: what was reserved is settled with what was used, and rows are written.

It is the last of the recorders: usage has been counted and priced by then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgegate.ledger.ledger import Ledger
from edgegate.limiting.limiter import Limiter

if TYPE_CHECKING:
    from edgegate.exchange import Exchange


class Books:
    """See the module."""

    def __init__(self, limiter: Limiter, ledger: Ledger | None) -> None:
        self._limiter = limiter
        self._ledger = ledger

    def record(self, ex: Exchange) -> None:
        if ex.hold:
            tokens = 0
            for attempt in ex.attempts:
                usage = attempt.progress.usage
                tokens += usage.input_tokens + usage.output_tokens
            self._limiter.settle(ex.hold, (1, tokens, 0, 0), time.time())
            ex.hold = None
        for attempt in ex.attempts:
            hold = attempt.hold
            if hold is not None:
                usage = attempt.progress.usage
                used = (1, usage.input_tokens + usage.output_tokens, 0, attempt.cost_nano_usd or 0)
                self._limiter.settle(hold, used, time.time())
                attempt.hold = None
        if self._ledger is not None:
            self._ledger.record(ex)
