"""Units that are held until they are given back, or for good: places for exchanges, and what may be spent in one period.

Several holders (worker processes) share one. Each holds a lease, units it may use without asking, and says from time to time how
much it has spent of all it ever leased here: a total, so that saying it twice changes nothing. `base` is what was spent by holders
that are gone.
"""

from __future__ import annotations

from typing import Any


class Held:
    """See the module."""

    __slots__ = ("base", "leases", "limit", "spent")

    def __init__(self, limit: int, base: int = 0) -> None:
        self.limit = limit
        self.base = base
        self.spent: dict[str, int] = {}
        self.leases: dict[str, int] = {}

    @property
    def used(self) -> int:
        """Units that are spent."""
        return self.base + sum(self.spent.values())

    @property
    def free(self) -> int:
        """Units that nobody has spent or leased; negative when more was spent than allowed."""
        return self.limit - self.used - sum(self.leases.values())

    def lease(self, holder: str, units: int) -> None:
        """Gives a holder units, whether or not there are any. Negative: takes them back."""
        self.leases[holder] = self.leases.get(holder, 0) + units

    def report(self, holder: str, spent: int) -> None:
        """A holder has spent so much in all. What is new of it was in its lease, as far as that reaches: usage may turn out larger
        than what was reserved for it."""
        more = spent - self.spent.get(holder, 0)
        self.spent[holder] = spent
        self.leases[holder] = max(0, self.leases.get(holder, 0) - more)

    def bury(self, holder: str, spent: int | None = None) -> None:
        """A holder is gone: its lease is free again. `spent`: what it spent in all, where that is known better."""
        self.leases.pop(holder, None)
        said = self.spent.pop(holder, 0)
        self.base += said if spent is None else spent

    def dump(self) -> dict[str, Any]:
        return {"base": self.base, "spent": self.spent, "leases": self.leases}

    def load(self, state: dict[str, Any]) -> None:
        self.base, self.spent, self.leases = state["base"], dict(state["spent"]), dict(state["leases"])
