"""What callers are told about limits in headers, in the words of their dialect.

OpenAI's `x-ratelimit-limit-requests` with durations, Anthropic's `anthropic-ratelimit-requests-limit` with moments. Dialects whose
vendors send nothing of the kind get OpenAI's. Limits that no vendor has (requests at once, US dollars) are named after OpenAI's.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

Lines = tuple[tuple[bytes, bytes], ...]

ANTHROPIC = "anthropic"
ANTHROPIC_UNITS = frozenset({"requests", "tokens"})
NANO_USD = "usd"
NANO = Decimal(10**9)
LAST_MOMENT = 253_402_300_799.0
"""The end of the year 9999."""


def limit_headers(dialect: str, unit: str, limit: int, remaining: int, reset_s: float, unix_now: float) -> Lines:
    """One limit as header lines.

    dialect: `ClientSide.dialect`. unit: requests, tokens, concurrency or usd (then the amounts are nano-dollars, and shown in
    dollars). reset_s: seconds until all of it is free again; infinite where nobody can say, and then it is left out. unix_now:
    Unix seconds.
    """
    remaining = max(0, remaining)
    most, left = (_dollars(limit), _dollars(remaining)) if unit == NANO_USD else (str(limit), str(remaining))
    known = math.isfinite(reset_s) and unit != "concurrency"
    reset_s = max(0.0, reset_s) if known else 0.0
    if dialect == ANTHROPIC and unit in ANTHROPIC_UNITS:
        lines = [(f"anthropic-ratelimit-{unit}-limit", most), (f"anthropic-ratelimit-{unit}-remaining", left)]
        if known:
            lines.append((f"anthropic-ratelimit-{unit}-reset", moment(unix_now + reset_s)))
    else:
        lines = [(f"x-ratelimit-limit-{unit}", most), (f"x-ratelimit-remaining-{unit}", left)]
        if known:
            lines.append((f"x-ratelimit-reset-{unit}", duration(reset_s)))
    return tuple((name.encode(), value.encode()) for name, value in lines)


def wait_headers(retry_after_s: float) -> Lines:
    """How long to wait, to the millisecond: the SDKs of OpenAI and Anthropic prefer it to `retry-after`, which stands beside it."""
    return ((b"retry-after-ms", b"%d" % max(1, math.ceil(retry_after_s * 1000))),)


def no_retry_headers() -> Lines:
    """Tells the SDKs of OpenAI and Anthropic, which try a 429 again, that this one stays: a budget that is used up."""
    return ((b"x-should-retry", b"false"),)


def duration(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `1s`, `1.5s`, `6m0s`, `2h0m0s`. Rounded up, so that nobody comes too early."""
    ms = math.ceil(round(seconds * 1000, 6))
    if ms < 1000:
        return f"{ms}ms" if ms else "0s"
    if ms < 60_000:
        return f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(math.ceil(ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def moment(unix: float) -> str:
    """RFC 3339 in UTC, to the second, rounded up."""
    return datetime.fromtimestamp(min(math.ceil(unix), LAST_MOMENT), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _dollars(nano: int) -> str:
    text = f"{Decimal(nano) / NANO:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
