"""What a store of the ledger can do: keep rows for good, find attempts again whose process died, add up.

Every call may raise `StoreError`, after its deadline at the latest, and may then be made again: batches are numbered, so that writing
one twice changes nothing. Processes that write are holders; each announces itself with `open` and is alive until `close`, or
until its process is gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edgegate.access.counters import Scope
from edgegate.ledger.row import Row


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once, in one transaction. Rows are JSON, as `ledger.row.encode` makes it.

    number: grows within a holder. A batch that failed is written again as it was, under its number, before any other.
    rows: for good. opened: attempts that run, by their seq, as rows with outcome `unknown` and the reserved cost: what they become if
    nobody ends them. closed: the seqs of opened attempts that have ended; their rows are in the same batch.
    """

    number: int
    rows: Sequence[bytes] = ()
    opened: Sequence[tuple[int, bytes]] = ()
    closed: Sequence[int] = ()


class Total(NamedTuple):
    """Sums over rows that agree in the named columns. Attempts of unknown cost count in `unpriced`, not in the cost."""

    day: str  # UTC; these are empty or "" where they were not asked for
    holder: str
    tenant: str
    key: str
    user: str
    provider: str
    model: str
    attempts: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_nano_usd: int
    unpriced: int
    estimated: int  # attempts whose usage was counted here
    requests: int  # rows with attempt 0 or 1: requests that were answered or tried


GROUPS = ("day", "holder", "tenant", "key", "user", "provider", "model")
"""Columns by which totals can be asked for. They are kept as daily sums, so that asking does not read every row."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which rows. Unix milliseconds, `since` included, `until` not; totals are by whole days. `equal`: column and value, of GROUPS
    (`rows` also takes request_id and outcome)."""

    since_ms: int
    until_ms: int
    equal: tuple[tuple[str, str], ...] = ()
    scope: Scope | None = None


class Records(Protocol):
    """See the module."""

    async def open(self, holder: str) -> None:
        """Connects, migrates the schema, announces the holder. Raises `ValueError` for a store that can never be used; one that
        only cannot be reached now is no error where the store is on another machine."""
        ...

    async def close(self) -> None: ...

    async def write(self, batch: Batch) -> None: ...

    async def beat(self) -> None:
        """Called every second: the holder is still alive."""
        ...

    async def gone(self) -> list[str]:
        """Holders that died without `close` and have not been buried."""
        ...

    async def recover(self, holder: str) -> list[Row]:
        """Makes the opened attempts of a holder that is gone rows for good, and gives them. They are given to one caller only."""
        ...

    async def bury(self, holder: str) -> None:
        """Everything of this holder has been seen to: `gone` does not name it again."""
        ...

    async def totals(self, part: Slice, by: Sequence[str]) -> list[Total]:
        """Sums by these columns of GROUPS, in their order."""
        ...

    def rows(self, part: Slice, *, newest_first: bool = False, limit: int = 0) -> AsyncIterator[Row]:
        """Rows in the order of their time, read in pages of some thousand. limit 0: all."""
        ...

    async def prune(self, before_ms: int) -> int:
        """Removes rows that are older (their daily sums stay), at most some thousand at once. Gives how many. A store that keeps batches
        whole removes one when all of its rows are older."""
        ...
