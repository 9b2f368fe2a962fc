"""How long a provider asks to wait, in all the forms in use: one reader for the replies of every dialect.

`retry-after-ms`, then `retry-after` (seconds, or a date), then the reset times of the limits that are used up. Those are durations
(`6m0s`, `17.575s`, `120ms`), seconds, milliseconds (Azure), or points in time: RFC 3339 (Anthropic), Unix seconds, Unix
milliseconds (OpenRouter). A point in time counts from the reply's own `date`, or from a clock that is given; without either it
says nothing. Every wait lies within 0 and a day; what cannot be read is None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

MAX_WAIT_S = 86_400.0

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_UNIT_S: Mapping[str, float] = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_UNIX_S = 1e8
"""A plain number from here on (1973 in seconds) is a point in time."""
_UNIX_MS = 1e11

_SAID = re.compile(
    r"(?:try again|retry) (?:in|after) (?:about )?"
    r"((?:\d+(?:\.\d+)?(?:ms|d|h|m|s)\b)+|(?:\d+(?:\.\d+)?(?:ms|d|h|m|s)(?=\d))+(?:\d+(?:\.\d+)?(?:ms|h|m|s)\b)|\d+(?:\.\d+)?)"
    r"(?: ?(seconds?|minutes?|hours?)\b)?",
    re.IGNORECASE,
)
_WORDS_S: Mapping[str, float] = {"second": 1, "minute": 60, "hour": 3600}
_ANTHROPIC = ("requests", "tokens", "input-tokens", "output-tokens")
_OTHERS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("ratelimitbysize-remaining", "ratelimitbysize-reset"),
    ("x-ratelimitbysize-remaining", "x-ratelimitbysize-reset"),
)


def duration_s(text: str) -> float | None:
    """`6m0s`, `120ms`, `17.575s` or a plain number of seconds; None for anything else."""
    text = text.strip()
    value = _number(text)
    if value is None:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            return None
        value = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    return value if 0 <= value <= MAX_WAIT_S else None


def reset_s(text: str, now: float | None, *, milliseconds: bool = False) -> float | None:
    """Seconds until a reset that is a duration or a point in time. `now`: Unix seconds, None if there is no clock.
    `milliseconds`: a plain number is one of milliseconds."""
    value = _number(text.strip())
    if value is None:
        return _until(_moment(text), now) if "-" in text or ":" in text else duration_s(text)
    if value >= _UNIX_S:
        return _until(value / 1000 if value >= _UNIX_MS else value, now)
    return _bounded(value / 1000 if milliseconds else value)


def wait_s(headers: Mapping[str, str], status: int = 429, unix_now: float | None = None) -> float | None:
    """Seconds the provider asked to wait; None if it did not say. Header names in lower case. Resets, which many providers state
    in every reply, are looked at only where the status says that a limit was met."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name, "").strip())
        if milliseconds is not None and milliseconds >= 0:
            return min(milliseconds / 1000, MAX_WAIT_S)
    now = _moment(headers.get("date", ""))
    if now is None:
        now = unix_now
    after = headers.get("retry-after", "")
    if after:
        value = _number(after.strip())
        if value is None:
            value = duration_s(after)
        return _until(_moment(after), now) if value is None else _bounded(value)
    return _reset(headers, now) if status in (408, 409, 425, 429) or status >= 500 else None


def asked_wait_s(status: int, headers: Mapping[str, str], message: str) -> float | None:
    """`wait_s`, or for a limit what the message names."""
    wait = wait_s(headers, status)
    return said_s(message) if wait is None and status in (429, 503) else wait


def said_s(message: str) -> float | None:
    """The wait that a message names: `Please try again in 6m0s`, `Please retry after 26 seconds`."""
    found = _SAID.search(message)
    if found is None:
        return None
    value = duration_s(found[1])
    return _bounded(value * _WORDS_S[found[2].lower().rstrip("s")]) if value is not None and found[2] else value


def _reset(headers: Mapping[str, str], now: float | None) -> float | None:
    """The reset of the limits that are used up. Where none says that it is, the nearest reset: a guess too long would keep traffic
    away from a provider that is ready again."""
    used_up: list[float] = []
    others: list[float] = []
    for name in _ANTHROPIC:
        if headers.get(f"anthropic-ratelimit-{name}-remaining") == "0":
            wait = reset_s(headers.get(f"anthropic-ratelimit-{name}-reset", ""), now)
            if wait is not None:
                used_up.append(wait)
    milliseconds = any(name.startswith("x-ratelimit-renewalperiod-") for name in headers)  # Azure's resets
    for remaining, reset in _OTHERS:
        wait = reset_s(headers.get(reset, ""), now, milliseconds=milliseconds)
        if wait is not None:
            (used_up if headers.get(remaining, "").strip() == "0" else others).append(wait)
    ietf = ietf_items(headers.get("ratelimit", ""))
    for item in ietf:
        wait = _number(item.get("t", item.get("reset", "")))
        if wait is not None and wait >= 0:
            (used_up if item.get("r", item.get("remaining")) == "0" else others).append(min(wait, MAX_WAIT_S))
    if used_up:
        return max(used_up)
    return min(others, default=None)


def ietf_items(text: str) -> list[dict[str, str]]:
    """The members of a `RateLimit` or `RateLimit-Policy` header: `"api";r=999;t=295` (drafts 7 on; the name is under ""), or
    `limit=100, remaining=50, reset=5` (before), which is one member."""
    items: list[dict[str, str]] = []
    old: dict[str, str] = {}
    for member in text.split(","):
        name, *parameters = (part.strip() for part in member.split(";"))
        if not parameters and "=" in name:
            key, _, value = name.partition("=")
            old[key.strip().lower()] = value.strip()
        elif name:
            found = {"": name.strip('"')}
            for parameter in parameters:
                key, equals, value = parameter.partition("=")
                if equals:
                    found[key.strip().lower()] = value.strip()
                else:  # Hugging Face: "fixed window";"api";q=1000
                    found[""] = key.strip('"')
            items.append(found)
    return [*items, old] if old else items


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _bounded(seconds: float) -> float | None:
    return min(seconds, MAX_WAIT_S) if seconds >= 0 else None


def _until(moment: float | None, now: float | None) -> float | None:
    return None if moment is None or now is None else min(max(moment - now, 0.0), MAX_WAIT_S)


def _moment(text: str) -> float | None:
    """A point in time as Unix seconds: RFC 3339 or an HTTP date."""
    if not text:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment: datetime = read(text.strip())
            return moment.timestamp() if moment.tzinfo is not None else None
        except (TypeError, ValueError, OverflowError):
            continue
    return None


def protobuf_s(value: Any) -> float | None:
    """`12s`, `0.5s`: protobuf's Duration, as Google's RetryInfo has it."""
    return duration_s(value) if isinstance(value, str) and value[-1:] == "s" and value[:1].isdigit() and value[-2:-1].isdigit() else None
