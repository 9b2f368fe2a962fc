"""Who decides over counters that several processes share: each takes leases, uses them without asking, and gives back the rest.

All units that are asked for together are granted together or not at all. What is granted counts as used until it is given back, so
the limit holds whatever becomes of the process it was granted to. Every call may raise `StoreError`, after 50 ms for a store on the
network (500 ms for a file), and may have taken effect all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgegate.access.counters import Counter
from edgegate.access.grants import LEASE_S, PRESENT_S, Grant, Refused, Return, Unknown, Want

__all__ = ["LEASE_S", "PRESENT_S", "Authority", "Grant", "Refused", "Return", "Unknown", "Want"]


class Authority(Protocol):
    """See the module. Counters with `hard` false never refuse. HELD counters that spend have to be begun."""

    async def open(self, holder: str) -> None: ...

    async def close(self) -> None:
        """Gives up this holder's places. Leases of counters that spend were given back before, with `tell`."""
        ...

    async def take(self, wants: Sequence[Want]) -> list[Grant] | Refused | Unknown: ...

    async def begin(self, counter: Counter, spent: Mapping[str, int]) -> None:
        """What each holder has spent in this counter's period, from the ledger. Nothing happens if that is known already. The counter
        itself is remembered for `estate`."""
        ...

    async def tell(
        self, returns: Sequence[Return], spent: Sequence[tuple[Counter, int]], held: Sequence[tuple[Counter, int]] = ()
    ) -> dict[str, int]:
        """Called every 250 ms, also with nothing to say: this holder lives. `spent`: what it has spent in all of each counter that
        spends, where that has changed. `held`: HELD counters of which it is in doubt what it was granted, since a call failed: its
        lease is exactly this (after `spent` was applied). Gives what all holders have spent of the counters in `spent`, by name."""
        ...

    async def estate(self, holder: str) -> list[Counter]:
        """The spending counters in which a holder that is gone has leases or spent something."""
        ...

    async def bury(self, holder: str, spent: Mapping[str, int]) -> None:
        """A holder is gone: frees its leases. `spent`: what the ledger has of it, by the name of each counter of its estate."""
        ...

    async def first(self, name: str, ends: float) -> bool:
        """Whether nobody has called this with this name before. Remembered until `ends`, Unix seconds."""
        ...
