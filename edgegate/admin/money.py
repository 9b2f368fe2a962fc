"""US dollars as people write them, and nano-dollars as they are counted. Nothing is ever rounded.

A number of JSON is taken as it was written (`0.1` is one tenth), as far as a double holds it; a text is exact in any case.
"""

from __future__ import annotations

import re
from decimal import Decimal

NANO = 1_000_000_000
MOST_USD = 1_000_000_000
"""A thousand million dollars: in nano-dollars it is well within 64 bits."""

EXPECTED = 'US dollars from 0 to 1000000000 with at most nine decimals, as a number or a text such as "12.50"'
_DOLLARS = re.compile(r"\d{1,12}(\.\d{1,30})?", re.ASCII)


def nano_usd(value: object) -> int:
    """Nano-dollars of a number or a decimal text. Raises `ValueError` with what was expected."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(EXPECTED)
    text = value.strip() if isinstance(value, str) else _plain(value)
    if not _DOLLARS.fullmatch(text):
        raise ValueError(EXPECTED)
    nano = Decimal(text) * NANO
    if nano != int(nano) or nano > MOST_USD * NANO:
        raise ValueError(EXPECTED)
    return int(nano)


def _plain(number: float) -> str:
    """A number without an exponent, where it is within reach at all."""
    return f"{Decimal(repr(number)):f}" if abs(number) <= MOST_USD else ""


def dollars(nano: int) -> str:
    """An exact decimal text with nine decimals."""
    return f"{nano // NANO}.{nano % NANO:09d}"


def short_dollars(nano: int) -> str:
    """An exact decimal text without zeros that say nothing: `12.5`."""
    return dollars(nano).rstrip("0").rstrip(".")
