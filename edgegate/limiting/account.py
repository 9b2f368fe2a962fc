"""Accounts: a counter as this process sees it. Reserving from one never waits.

There are two sorts. The ones here own their counter: a single process without a shared store decides alone. The others
(`leased.py`) hold leases of an authority. Which one it is makes no difference to whoever reserves: `take` takes what there is room
for, `wait` says why there is none, `settle` says what was really used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from edgegate.access.bucket import Bucket
from edgegate.access.counters import Counter, Kind, Unit
from edgegate.access.window import Window

ASK = -1.0
"""What `wait` gives when this process cannot tell: somebody else has to be asked."""

NO_ROOM = -1
"""What `take` gives instead of a slot."""

REQUESTS, TOKENS, PLACES, MONEY = range(4)
"""What an account counts, as `Account.sort`: an index into what was used of each."""

Used = tuple[int, int, int, int]

_SORTS: Mapping[Unit, int] = MappingProxyType(
    {Unit.REQUESTS: REQUESTS, Unit.TOKENS: TOKENS, Unit.CONCURRENCY: PLACES, Unit.NANO_USD: MONEY}
)


class Account(Protocol):
    """See the module. Times are Unix seconds."""

    counter: Counter
    sort: int
    spent: int
    """Units that are used for good."""
    alert_at: float
    """Of `spent`, when the next alert is due; infinity: never."""

    def wait(self, units: int, now: float) -> float:
        """0.0: there is room. ASK: not here, perhaps elsewhere. Else seconds until there is; infinity: not in this period."""
        ...

    def take(self, units: int, now: float) -> int:
        """Reserves if there is room here. Gives the slot, for `settle`, or NO_ROOM."""
        ...

    def settle(self, slot: int, reserved: int, used: int, now: float) -> None:
        """What was reserved is used now, in part, in whole, or beyond."""
        ...

    @property
    def used(self) -> int:
        """Units that are used or reserved, as far as this process knows."""
        ...

    def adjust(self, counter: Counter) -> None:
        """The rule has another limit now."""
        ...

    def idle(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting it: it holds nothing, and is as good as new."""
        ...


class OwnWindow:
    """A sliding window of this process."""

    spent, alert_at = 0, math.inf

    __slots__ = ("_window", "counter", "sort", "take", "wait")

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.sort = sort_of(counter)
        self._window = window = Window(counter.limit, counter.window_s)
        self.wait = window.wait
        self.take = window.take_free

    def adjust(self, counter: Counter) -> None:
        self.counter = counter
        self._window.limit = counter.limit

    def settle(self, slot: int, reserved: int, used: int, now: float) -> None:
        if used < reserved:
            self._window.give(slot, reserved - used)
        elif used > reserved:
            self._window.take(used - reserved, now)

    @property
    def used(self) -> int:
        return self._window.used

    def idle(self, now: float) -> bool:
        self._window.wait(0, now)
        return self._window.used == 0


class OwnBucket:
    """A token bucket of this process."""

    spent, alert_at = 0, math.inf

    __slots__ = ("_bucket", "counter", "sort", "take", "wait")

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.sort = sort_of(counter)
        self._bucket = bucket = Bucket(counter.limit, counter.window_s, counter.burst)
        self.wait = bucket.wait
        self.take = bucket.take_free

    def adjust(self, counter: Counter) -> None:
        before = self._bucket
        level, at = before.dump()
        self._bucket = Bucket(counter.limit, counter.window_s, counter.burst)
        self._bucket.load([self._bucket.burst - (before.burst - level), at])  # it lacks what it lacked
        self.counter = counter
        self.wait, self.take = self._bucket.wait, self._bucket.take_free

    def settle(self, slot: int, reserved: int, used: int, now: float) -> None:
        if used < reserved:
            self._bucket.give(reserved - used)
        elif used > reserved:
            self._bucket.take(used - reserved, now)

    @property
    def used(self) -> int:
        return max(0, round(self._bucket.burst - self._bucket.level))

    def idle(self, now: float) -> bool:
        self._bucket.wait(0, now)
        return self._bucket.level >= self._bucket.burst


class OwnHeld:
    """Places, or what may be spent in a period, of this process. One that spends has to be told first what was spent before."""

    __slots__ = ("_held", "_spends", "alert_at", "begun", "counter", "sort", "spent")

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.sort = sort_of(counter)
        self._spends = counter.spends
        self.begun = not counter.spends
        self.spent = 0
        self._held = 0  # reserved
        self.alert_at = math.inf

    def begin(self, spent: int) -> None:
        if not self.begun:
            self.begun = True
            self.spent += spent

    def adjust(self, counter: Counter) -> None:
        self.counter = counter

    def wait(self, units: int, now: float) -> float:
        if not self.begun:
            return ASK
        counter = self.counter
        if self.spent + self._held + units <= counter.limit or not counter.hard:
            return 0.0
        if not counter.spends:
            return PLACE_S
        return math.inf if self.spent + units > counter.limit else RESERVED_S

    def take(self, units: int, now: float) -> int:
        held = self._held + units
        counter = self.counter
        if not self.begun or (self.spent + held > counter.limit and counter.hard):
            return NO_ROOM
        self._held = held
        return 0

    def take_blindly(self, units: int) -> int:
        """Reserves although it is not known what was spent before."""
        self._held += units
        return 0

    def settle(self, slot: int, reserved: int, used: int, now: float) -> None:
        self._held -= reserved
        if self._spends:
            self.spent += used

    @property
    def used(self) -> int:
        return self.spent + self._held

    def idle(self, now: float) -> bool:
        return self._held == 0 and (not self.spent or now > self.counter.ends)


PLACE_S = 1.0
"""When a place may be free again: nobody knows, so callers are asked to come back soon."""

RESERVED_S = 5.0
"""The same for units that are reserved: most attempts use far less than was reserved for them."""


def sort_of(counter: Counter) -> int:
    return _SORTS[counter.unit]


def own_account(counter: Counter) -> Account:
    """A new account that owns its counter."""
    match counter.kind:
        case Kind.WINDOW:
            return OwnWindow(counter)
        case Kind.BUCKET:
            return OwnBucket(counter)
        case Kind.HELD:
            return OwnHeld(counter)
