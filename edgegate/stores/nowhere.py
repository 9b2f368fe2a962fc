"""The ledger where no store is configured: it keeps nothing, so that memory does not grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from edgegate.ledger.row import Row
from edgegate.stores.records import Batch, Slice, Total


class Nowhere:
    """See the module and `Records`. Nobody is ever gone."""

    async def open(self, holder: str) -> None: ...

    async def close(self) -> None: ...

    async def write(self, batch: Batch) -> None: ...

    async def beat(self) -> None: ...

    async def gone(self) -> list[str]:
        return []

    async def recover(self, holder: str) -> list[Row]:
        return []

    async def bury(self, holder: str) -> None: ...

    async def totals(self, part: Slice, by: Sequence[str]) -> list[Total]:
        return []

    async def rows(self, part: Slice, *, newest_first: bool = False, limit: int = 0) -> AsyncIterator[Row]:
        none: tuple[Row, ...] = ()
        for row in none:
            yield row

    async def prune(self, before_ms: int) -> int:
        return 0
