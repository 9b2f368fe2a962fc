"""What a caller is told whose request is over a limit or a budget: 429 in the words of its dialect, and when to come back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgegate.access.counters import Unit
from edgegate.dialects.ratelimits import limit_headers, no_retry_headers, wait_headers
from edgegate.errors import GatewayError
from edgegate.limiting.limiter import OverLimit

if TYPE_CHECKING:
    from edgegate.exchange import Exchange

LONGEST_S = 86_400.0
"""Longest Retry-After: a month is no answer to a program."""

_UNITS = {
    Unit.REQUESTS: "requests",
    Unit.TOKENS: "tokens",
    Unit.CONCURRENCY: "requests at once",
    Unit.NANO_USD: "US dollars",
}


def over_limit(ex: Exchange, over: OverLimit, unix: float, kind: type[GatewayError] = GatewayError) -> GatewayError:
    """The refusal of an exchange, or of one attempt."""
    counter = over.counter
    budget = counter.spends
    wait_s = over.wait_s
    if math.isinf(wait_s):
        wait_s = counter.ends - unix if budget else counter.window_s
    wait_s = min(max(1.0, wait_s), LONGEST_S)
    amount = f"{counter.limit / 1e9:g}" if counter.unit is Unit.NANO_USD else str(counter.limit)
    whose = f" of '{counter.subject[:100]}'" if counter.subject else ""
    limit = f"{amount} {_UNITS[counter.unit]}"
    if budget:
        message = f"The budget{whose} of {limit} is used up or reserved (rule '{counter.rule[:100]}')."
    elif counter.unit is Unit.CONCURRENCY:
        message = f"The limit{whose} of {limit} is reached (rule '{counter.rule[:100]}')."
    else:
        span = {60: "minute", 3600: "hour", 86_400: "day"}.get(int(counter.window_s), f"{counter.window_s:g} s")
        message = f"The limit{whose} of {limit} per {span} is reached (rule '{counter.rule[:100]}')."
    remaining = max(0, counter.limit - over.used)
    headers = limit_headers(ex.client.dialect, counter.unit.value, counter.limit, remaining, wait_s, unix) + wait_headers(wait_s)
    if math.isinf(over.wait_s):  # never in this period, or never at all
        headers += no_retry_headers()
    return kind(
        429,
        "budget_exceeded" if budget else "rate_limit_exceeded",
        message,
        retryable=True,
        retry_after_s=wait_s,
        headers=headers,
    )
