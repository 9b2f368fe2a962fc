"""How long a provider asks to wait, out of the headers of a refused request.

`retry-after-ms`, then `retry-after` (seconds, or a date, which counts from the reply's own `date`), then the reset times of
the limits that are used up: OpenAI and Groq write durations (`6m0s`, `17.575s`, `120ms`), Together and Azure plain seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MAX_WAIT_S = 86_400.0
"""A longer wait is not believed: some vendors write a point in time (Unix milliseconds) where others write a duration."""

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_UNIT_S: Mapping[str, float] = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def duration_s(text: str) -> float | None:
    """`6m0s`, `120ms`, `17.575s` or a plain number of seconds; None for anything else."""
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            return None
        value = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    return value if math.isfinite(value) and 0 <= value <= MAX_WAIT_S else None


def wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the provider asked to wait; None if it did not say. Header names in lower case."""
    milliseconds = duration_s(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    after = headers.get("retry-after", "")
    if after:
        seconds = duration_s(after)
        return seconds if seconds is not None else _until(after, headers.get("date", ""))
    return _reset_s(headers)


def _until(moment: str, now: str) -> float | None:
    try:
        seconds = (parsedate_to_datetime(moment) - parsedate_to_datetime(now)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), MAX_WAIT_S)


def _reset_s(headers: Mapping[str, str]) -> float | None:
    """The reset time of the limit that is used up. Where none says that it is, the nearest reset: a guess too long would
    keep traffic away from a provider that is ready again."""
    used_up: list[float] = []
    others: list[float] = []
    for kind in ("-requests", "-tokens", ""):
        reset = duration_s(headers.get(f"x-ratelimit-reset{kind}", ""))
        if reset is not None:
            (used_up if headers.get(f"x-ratelimit-remaining{kind}", "").strip() == "0" else others).append(reset)
    if used_up:
        return max(used_up)
    return min(others, default=None)
