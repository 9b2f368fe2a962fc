"""The words between those who use units of shared counters and those who decide over them (`stores/authority.py`).

A holder is one process: a random name. It asks for what it wants, is granted all of it or none, and returns what it did not use.
"""

from __future__ import annotations

from typing import NamedTuple

from edgegate.access.counters import Counter

LEASE_S = 1.0
"""How long units of a WINDOW may lie unused with a holder. The authority counts them that much longer (`Window.lag_s`)."""

PRESENT_S = 15.0
"""A holder that has not called `tell` for so long has lost its places (HELD counters that do not spend)."""


class Want(NamedTuple):
    counter: Counter
    units: int  # needed
    extra: int = 0  # welcome beyond, for later; at most half of what is then left is given


class Grant(NamedTuple):
    units: int  # what was needed and perhaps more
    slot: int  # of a WINDOW, for giving back; else 0


class Refused(NamedTuple):
    """Nothing was granted, because this counter has too little left. wait_s: when it may have enough; infinity: not in this period."""

    counter: Counter
    wait_s: float
    used: int


class Unknown(NamedTuple):
    """Nothing was granted: of these counters that spend it is not known what was spent before. Call `begin` for each."""

    counters: tuple[Counter, ...]


class Return(NamedTuple):
    """Units that were granted and not used; negative: units that were used beyond what was granted."""

    counter: Counter
    slot: int
    units: int
