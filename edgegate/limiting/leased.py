"""Accounts that hold leases of an authority: units that may be used without asking.

What is left of a lease goes back: units of a WINDOW after `LEASE_S`, others when they have not been needed for a while. After a
call that failed nobody knows what was granted: the account is in doubt until the authority has been told what it holds.
"""

from __future__ import annotations

import math

from edgegate.access.counters import Counter, Kind
from edgegate.limiting.account import ASK, NO_ROOM, sort_of
from edgegate.stores.authority import LEASE_S, Return

CLOSED_S = 0.25
"""Longest time for which a refusal of the authority is repeated without asking again: whoever is refused often asks often."""

NOT_GRANTED = -2
"""The slot of a reservation that the authority knows nothing of."""


class Leased:
    """See the module. `free` units are leased and not in use; of a WINDOW they belong to a slot and end at `until`."""

    alert_at = math.inf
    """Alerts are given by what all processes spent, see `Limiter`."""

    __slots__ = (
        "_slot",
        "_until",
        "asking",
        "begun",
        "closed",
        "closed_units",
        "closed_until",
        "counter",
        "doubtful",
        "free",
        "held",
        "needed",
        "owed",
        "seen",
        "sort",
        "spent",
        "spent_told",
        "total",
        "usual",
    )

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.sort = sort_of(counter)
        self.free = 0
        self.held = 0  # reserved
        self.spent = 0  # by this process, in all
        self.spent_told = 0
        self.total = 0  # spent by all processes, as last heard
        self.needed = 0  # units taken since the last look
        self.usual = 0  # and in the time between the two looks before: as many are kept, and asked for beyond what is needed
        self.owed: list[Return] = []  # what the authority is to be told
        self.begun = not counter.spends
        self.asking = 0  # calls of the authority that are under way
        self.doubtful = False
        self.closed = 0.0  # seconds to wait, as the authority said
        self.closed_until = 0.0
        self.closed_units = 0  # for so many, and for more: fewer may still be had
        self.seen = 0  # units in use everywhere, when the authority last refused
        self._slot = 0
        self._until = 0.0

    def begin(self, spent: int) -> None:
        """This process has spent so much before the account was made."""
        if not self.begun:
            self.begun = True
            self.spent += spent
            self.spent_told += spent

    def adjust(self, counter: Counter) -> None:
        self.counter = counter

    def wait(self, units: int, now: float) -> float:
        if self._has(units, now):
            return 0.0
        return self.closed if now < self.closed_until and units >= self.closed_units else ASK

    def _has(self, units: int, now: float) -> bool:
        return self.free >= units and (self.counter.kind is not Kind.WINDOW or now < self._until)

    def take(self, units: int, now: float) -> int:
        if not self._has(units, now):
            return NO_ROOM
        self.free -= units
        self.held += units
        self.needed += units
        return self._slot

    def granted(self, units: int, extra: int, slot: int, now: float) -> int:
        """The authority has granted units for one reservation, and some beyond. Gives the slot of the reservation."""
        self.held += units
        self.needed += units
        if extra > 0:
            if self.counter.kind is Kind.WINDOW and slot != self._slot:
                self._return_free()
                self._slot = slot
                self._until = now + LEASE_S
            self.free += extra
        return slot

    def without(self, units: int) -> int:
        """Takes units that nobody granted: the authority is away, and requests go on. It is told what was used."""
        self.held += units
        return NOT_GRANTED

    def refused(self, units: int, wait_s: float, used: int, now: float) -> None:
        self.closed_units = min(units, self.closed_units) if now < self.closed_until else units
        self.closed = wait_s
        self.seen = used
        self.closed_until = now + min(wait_s, CLOSED_S)

    def settle(self, slot: int, reserved: int, used: int, now: float) -> None:
        self.held -= reserved
        kind = self.counter.kind
        if kind is Kind.HELD and not self.counter.spends:
            used = 0  # a place is free again
        granted = reserved if slot != NOT_GRANTED else 0
        rest = granted - used
        if kind is Kind.HELD:
            if self.counter.spends:
                self.spent += used
            self.free = max(0, self.free + rest)  # what was used beyond what was granted comes out of the lease
        elif rest > 0 and (kind is Kind.BUCKET or (slot == self._slot and now < self._until)):
            self.free += rest
        elif rest:
            self.owed.append(Return(self.counter, max(slot, 0), rest))
        if rest > 0:
            self.closed_until = 0.0

    def look(self, now: float) -> None:
        """Called every 250 ms: what has not been needed goes back."""
        self.usual, self.needed = self.needed, 0
        if now >= self.closed_until:
            self.seen = 0
        keep = 0 if self.counter.kind is Kind.WINDOW and now >= self._until else self.usual
        if self.free > keep:
            self._return(self.free - keep)

    def surrender(self) -> None:
        """All that is free goes back: the process ends."""
        self._return_free()

    @property
    def lease(self) -> int:
        """Units that the authority must count as this process's, of a HELD counter."""
        return self.free + self.held

    @property
    def used(self) -> int:
        if self.counter.spends:
            return self.total - self.spent_told + self.spent + self.held
        return max(self.seen, self.held)

    def idle(self, now: float) -> bool:
        if self.counter.spends and now <= self.counter.ends and (self.spent or self.total):
            return False
        if self.asking or self.doubtful or self.spent != self.spent_told:
            return False
        return not (self.free or self.held or self.owed or self.needed or self.usual)

    def _return_free(self) -> None:
        if self.free > 0:
            self._return(self.free)

    def _return(self, units: int) -> None:
        self.free -= units
        if not (self.doubtful and self.counter.kind is Kind.HELD):  # else the whole lease will be told
            self.owed.append(Return(self.counter, self._slot, units))
