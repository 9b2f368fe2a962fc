"""Durations and sizes as people write them, and back.

`1h30m`, `250ms`, `1.5s` or a plain number of seconds; `32MiB`, `10MB`, `64Ki` or a plain number of bytes. Powers of 1024 have
an i (KiB, Mi), powers of 1000 have none (MB, k). `60/min`, `200k/hour`, `1.5M/day` are rates. What is not understood raises
`ValueError` with the accepted forms.
"""

from __future__ import annotations

import re
from decimal import Decimal

from edgegate.config.option import Duration, Rate, Size

LONGEST_S = 3650 * 86_400
"""Ten years: beyond it a number is a slip, and event loops refuse it."""
LARGEST_BYTES = 1 << 50
LARGEST_RATE = 10**15

DURATION_PATTERN = r"^(\d+(\.\d+)?|(\d+(\.\d+)?(ms|s|m|h|d))+)$"
SIZE_PATTERN = r"^\d+(\.\d+)? ?([kKMGT]|[KMGT]i|[kKMGT][bB]|[kKMGTmgt]i[bB]|[mgt][bB]|B)?$"

RATE_PATTERN = r"^\d+(\.\d+)?[kM]? ?/ ?(m|min|minute|h|hour|d|day)$"

_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)([kM]?) ?/ ?(m|min|minute|h|hour|d|day)", re.ASCII)
_WINDOWS = {"m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(\w*)", re.ASCII)
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
_DECIMAL = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_BYTES = {"": 1, "B": 1} | _DECIMAL | _BINARY
_WITH_B = {f"{unit}b".lower(): count for unit, count in (_DECIMAL | _BINARY).items()}


def duration(text: str) -> Duration:
    """Seconds. Units stand in falling order, each at most once: `1h30m`, never `30m1h`."""
    if len(text) > 40:
        raise ValueError("a duration such as 30s, 5m, 1h30m or 250ms")
    if _NUMBER.fullmatch(text):
        seconds = Decimal(text)
    else:
        parts = _PART.findall(text)
        factors = [_SECONDS[unit] for _, unit in parts]
        if not parts or "".join(number + unit for number, unit in parts) != text or factors != sorted(set(factors), reverse=True):
            raise ValueError("a duration such as 30s, 5m, 1h30m or 250ms")
        seconds = sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))
    if seconds > LONGEST_S:
        raise ValueError("a duration of at most 3650d")
    return Duration(seconds)


def size(text: str) -> Size:
    """Bytes. Single letters are taken as written (`M`, not `m`); units with a B in either case."""
    match = _SIZE.fullmatch(text) if len(text) <= 40 else None
    factor = None
    if match:
        factor = _BYTES.get(match[2]) or _WITH_B.get(match[2].lower())
    if match is None or factor is None:
        raise ValueError("a size such as 32MiB, 10MB or a number of bytes")
    count = Decimal(match[1]) * factor
    if count != int(count):
        raise ValueError("a size of whole bytes")
    if count > LARGEST_BYTES:
        raise ValueError("a size of at most 1024TiB")
    return Size(count)


def rate(text: str) -> Rate:
    """Units in a minute, an hour or a day."""
    match = _RATE.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise ValueError("a rate such as 60/min, 200k/hour or 1M/day")
    units = Decimal(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]]
    if units != int(units) or not 1 <= units <= LARGEST_RATE:
        raise ValueError("a rate of whole units, at least one")
    return Rate(int(units), _WINDOWS[match[3]])


def write_rate(rate: Rate) -> str:
    return f"{rate.units}/{ {60: 'min', 3600: 'hour', 86_400: 'day'}[rate.window_s] }"


def write_duration(seconds: float) -> str:
    """The shortest form that `duration` reads back to the same number."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("d", "h", "m", "s", "ms"):
        count = exact / _SECONDS[unit]
        if count == int(count) and (count > 0 or unit == "s"):
            return f"{int(count)}{unit}"
    return f"{exact:f}"


def write_size(count: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _WITH_B[unit.lower()]
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(int(count))
