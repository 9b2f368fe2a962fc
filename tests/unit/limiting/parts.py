"""An authority and a ledger in memory, for limiters under test: shared by several of them, and failing on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from edgegate.access.counters import Counter
from edgegate.access.grants import Grant, Refused, Return, Unknown, Want
from edgegate.access.tallies import Tallies
from edgegate.limiting.limiter import Limiter
from edgegate.stores.base import StoreError
from tests.unit.core.parts import Clock

Done = TypeVar("Done")


class Shared:
    """What several authorities decide over. `away`: every call fails. `deaf`: calls take effect, but their answers are lost."""

    def __init__(self, clock: Clock) -> None:
        self.tallies = Tallies()
        self.clock = clock
        self.away = False
        self.deaf = False
        self.takes = 0
        self.past: dict[str, dict[str, int]] = {}  # by counter and holder, as a ledger would have it


class Member:
    """One process's way to what is shared: an `Authority`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._holder = ""

    async def open(self, holder: str) -> None:
        self._holder = holder

    async def close(self) -> None:
        self._shared.tallies.leave(self._holder)

    async def take(self, wants: Sequence[Want]) -> list[Grant] | Refused | Unknown:
        self._shared.takes += 1
        return self._answer(lambda: self._shared.tallies.take(self._holder, wants, self._shared.clock()))

    async def begin(self, counter: Counter, spent: Mapping[str, int]) -> None:
        self._answer(lambda: self._shared.tallies.begin(counter, spent))

    async def tell(
        self, returns: Sequence[Return], spent: Sequence[tuple[Counter, int]], held: Sequence[tuple[Counter, int]] = ()
    ) -> dict[str, int]:
        return self._answer(lambda: self._shared.tallies.tell(self._holder, returns, spent, self._shared.clock(), held))

    async def estate(self, holder: str) -> list[Counter]:
        return self._answer(lambda: self._shared.tallies.estate(holder))

    async def bury(self, holder: str, spent: Mapping[str, int]) -> None:
        self._answer(lambda: self._shared.tallies.bury(holder, spent))

    async def first(self, name: str, ends: float) -> bool:
        return self._answer(lambda: self._shared.tallies.first(name, ends, self._shared.clock()))

    def _answer(self, act: Callable[[], Done]) -> Done:
        if self._shared.away:
            raise StoreError("away")
        done = act()
        if self._shared.deaf:
            raise StoreError("no answer")
        return done


class Crossings(list[tuple[str, float, int]]):
    """Alerts: rule, share, used."""

    def __call__(self, counter: Counter, share: float, used: int) -> None:
        self.append((counter.rule, share, used))


async def limiter(
    clock: Clock, shared: Shared | None = None, holder: str = "me", *, deny: bool = False, past: dict[str, dict[str, int]] | None = None
) -> tuple[Limiter, Crossings]:
    """A limiter that is not opened: nothing runs behind a test's back. `look` in its place is called by tests."""
    crossings = Crossings()
    known = past if past is not None else shared.past if shared is not None else {}

    async def read(counter: Counter) -> dict[str, int]:
        return dict(known.get(counter.name, {}))

    member = None
    if shared is not None:
        member = Member(shared)
        await member.open(holder)
    made = Limiter(
        read,
        holder=holder,
        authority=member,
        deny_on_loss=deny,
        unix_clock=clock,
        crossed=crossings,
        level=lambda *_: None,
        failed=lambda reason: None,
    )
    return made, crossings
