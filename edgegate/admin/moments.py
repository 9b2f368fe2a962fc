"""Moments as people write them, and back: `2027-01-31`, `2027-01-31T12:00:00Z`, `2027-01-31T12:00:00+02:00`.

A day is its beginning; what names no zone is UTC. Moments are Unix seconds. What is not understood raises `ValueError` with the
accepted forms.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

EXPECTED = "a day or moment such as 2027-01-31 or 2027-01-31T12:00:00Z"
FIRST, LAST = -62_135_596_800, 253_402_300_799
"""The first and the last moment of the calendar, years 1 and 9999 in UTC, as Unix seconds. Other zones reach a little beyond."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def moment(text: str) -> float:
    """Unix seconds."""
    if not _MOMENT.fullmatch(text):
        raise ValueError(EXPECTED)
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(EXPECTED) from None


def write_moment(unix: float) -> str:
    """To the second, in UTC. What lies beyond the calendar is its first or last moment: a key may end then."""
    return datetime.fromtimestamp(max(FIRST, min(LAST, int(unix))), UTC).isoformat().replace("+00:00", "Z")


def write_day(unix: float) -> str:
    """The day in UTC that a moment belongs to."""
    return datetime.fromtimestamp(int(unix), UTC).date().isoformat()
