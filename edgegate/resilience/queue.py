"""Who runs and who waits: a fixed number of slots, and in front of them a bounded queue by priority.

- No slot is free while somebody waits: one that is given back goes to the next at once.
- The most urgent level goes first, but of every `SHARE` slots that pass over lower levels one goes to the lower level that has
  been without one for the longest time. So with four levels everybody's level is served once in 24 slots, however many come.
- Within a level tenants take turns, and each tenant's own callers go in the order they came.
- Where there is no room, the newest of the least urgent level below the one who comes gives its place up.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

SHARE = 8
"""Of so many slots that pass over lower levels, the last goes to one of them."""


class Waiter(Protocol):
    """Who waits. Told apart by identity; neither field changes while it waits."""

    level: int  # 0 is the least urgent
    tenant: str


W = TypeVar("W", bound=Waiter)


class Limit(enum.Enum):
    """Why somebody has no place in the queue."""

    SIZE = 1
    TENANT_SIZE = 2


class Slots(Generic[W]):
    """See the module. Nothing here takes longer the more there are who wait."""

    __slots__ = ("_concurrency", "_lines", "_of_tenant", "_passed", "_size", "_tenant_size", "_turn", "running", "waiting")

    def __init__(self, concurrency: int, size: int, tenant_size: int, levels: int) -> None:
        """size: how many may wait. tenant_size: how many of one tenant; 0: no such limit."""
        self._concurrency = concurrency
        self._size = size
        self._tenant_size = tenant_size
        self._lines: list[_Line[W]] = [_Line() for _ in range(levels)]
        self._of_tenant: dict[str, int] = {}
        self._passed = 0  # slots that passed over a lower level since one went to it
        self._turn = 0  # slots given to those who waited
        self.running = 0
        self.waiting = 0

    def enter(self) -> bool:
        """Takes a slot, if one is free. Whoever gets one must `release` it."""
        if self.running < self._concurrency:
            self.running += 1
            return True
        return False

    def join(self, waiter: W) -> tuple[W, Limit] | None:
        """Into the queue, after `enter` has refused. If that leaves one without a place, who it is and why: the newcomer, or
        one who waited until now and is less urgent. Where the tenant's own limit is reached, that is one of the tenant's."""
        if self._tenant_size and self._of_tenant.get(waiter.tenant, 0) >= self._tenant_size:
            limit, out = Limit.TENANT_SIZE, self._newest_below(waiter.level, waiter.tenant)
        elif self.waiting >= self._size:
            limit, out = Limit.SIZE, self._newest_below(waiter.level, None)
        else:
            self._add(waiter)
            return None
        if out is None:
            return waiter, limit
        self.leave(out)
        self._add(waiter)
        return out, limit

    def leave(self, waiter: W) -> bool:
        """Out of the queue. False if it is not there: it has its slot, or gave its place up."""
        line = self._lines[waiter.level]
        if waiter not in line.arrived:
            return False
        line.remove(waiter)
        self._gone(waiter)
        return True

    def release(self) -> W | None:
        """Gives a slot back. It is now the returned one's, who is no longer in the queue; None if nobody waits."""
        if not self.waiting:
            self.running -= 1
            return None
        waiter = self._next_line().pop()
        self._gone(waiter)
        return waiter

    def depth(self, level: int) -> int:
        """How many wait at this level."""
        return len(self._lines[level].arrived)

    def ahead(self, level: int) -> int:
        """How many wait at this level or above it."""
        return sum(len(line.arrived) for line in self._lines[level:])

    def _next_line(self) -> _Line[W]:
        lines = [line for line in self._lines if line.arrived]
        chosen = lines.pop()
        if lines:
            self._passed += 1
            if self._passed >= SHARE:
                self._passed = 0
                chosen = min(lines, key=lambda line: line.served)
        self._turn += 1
        chosen.served = self._turn
        return chosen

    def _newest_below(self, level: int, tenant: str | None) -> W | None:
        """The newest of the least urgent level below `level`, of one tenant or of all."""
        for line in self._lines[:level]:
            among = line.arrived if tenant is None else line.tenants.get(tenant)
            if among:
                return next(reversed(among))
        return None

    def _add(self, waiter: W) -> None:
        line = self._lines[waiter.level]
        if not line.arrived:
            line.served = self._turn  # its time without a slot begins now
        line.add(waiter)
        self.waiting += 1
        self._of_tenant[waiter.tenant] = self._of_tenant.get(waiter.tenant, 0) + 1

    def _gone(self, waiter: W) -> None:
        self.waiting -= 1
        left = self._of_tenant[waiter.tenant] - 1
        if left:
            self._of_tenant[waiter.tenant] = left
        else:
            del self._of_tenant[waiter.tenant]


class _Line(Generic[W]):
    """Those who wait at one level: in the order they came, and by tenant, the tenant whose turn it is first."""

    __slots__ = ("arrived", "served", "tenants")

    def __init__(self) -> None:
        self.arrived: OrderedDict[W, None] = OrderedDict()
        self.tenants: OrderedDict[str, OrderedDict[W, None]] = OrderedDict()
        self.served = 0  # the turn in which it last got a slot, or began to wait for one

    def add(self, waiter: W) -> None:
        self.arrived[waiter] = None
        own = self.tenants.get(waiter.tenant)
        if own is None:
            own = self.tenants[waiter.tenant] = OrderedDict()
        own[waiter] = None

    def remove(self, waiter: W) -> None:
        del self.arrived[waiter]
        own = self.tenants[waiter.tenant]
        del own[waiter]
        if not own:
            del self.tenants[waiter.tenant]

    def pop(self) -> W:
        """The next in turn. Its tenant's turn comes again after the others'."""
        tenant, own = next(iter(self.tenants.items()))
        waiter = next(iter(own))
        self.tenants.move_to_end(tenant)
        self.remove(waiter)
        return waiter
