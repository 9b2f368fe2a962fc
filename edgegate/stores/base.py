"""What a store of kept answers can do, for whoever must answer the same request the same way twice.

A key is claimed before its request runs, by at most one claimant over all workers. The claimant keeps its answer, or releases the
key. A claim whose heartbeat stops (its worker died) is free again after `STALE_S`. Times are Unix seconds: they are compared
between processes, and after restarts.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from edgegate.dialects.base import HeaderList

BEAT_S = 15.0
"""How often a claim that is still running says so."""

STALE_S = 60.0
"""A claim that has not said so for this long is nobody's."""


class StoreError(Exception):
    """The store cannot be used now: it fails, is full, or does not answer in time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as the client got it. `headers` are those that describe its body."""

    status: int
    headers: HeaderList
    body: bytes
    stream: bool


class State(enum.Enum):
    """What is known of a key."""

    FREE = enum.auto()  # of `look` only: nobody has it, or its claim is stale
    MINE = enum.auto()  # of `claim` only: it was free and is now the caller's
    RUNNING = enum.auto()
    KEPT = enum.auto()
    OTHER = enum.auto()  # it belongs to a request with another fingerprint


@dataclass(frozen=True, slots=True)
class Found:
    """`token` is the claimant's, of a running claim; `kept` the answer, of a kept one."""

    state: State
    token: bytes = b""
    kept: Kept | None = None


class Store(Protocol):
    """See the module. Every call but `abandon` may raise `StoreError`, after a second at the latest.

    key: a hash; fingerprint: a hash of the request; token: unique for each claim.
    """

    async def open(self) -> None:
        """Raises `ValueError` for a store that cannot be opened at all."""
        ...

    async def close(self) -> None: ...

    async def claim(self, key: bytes, fingerprint: bytes, token: bytes) -> Found:
        """Takes the key if it is free, else says what is known of it."""
        ...

    async def look(self, key: bytes, fingerprint: bytes) -> Found:
        """What is known of the key, taking nothing."""
        ...

    async def keep(self, key: bytes, token: bytes, kept: Kept) -> None:
        """The answer of a running claim. Nothing happens if the claim was lost to another."""
        ...

    async def release(self, key: bytes, token: bytes) -> None:
        """Gives a running claim up. Nothing happens if it was lost."""
        ...

    def abandon(self, key: bytes, token: bytes) -> None:
        """Releases without waiting: for a claim of which nobody knows whether it was made."""
        ...

    async def beat(self, claims: Collection[tuple[bytes, bytes]]) -> None:
        """The claims (key, token) that still run. Also tidies up now and then."""
        ...
