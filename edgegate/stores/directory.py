"""What a store of keys can do: keep them (hashes only) and write down who changed what.

A change and its audit record are one transaction. `version` grows with every change, so that workers see cheaply that they must
read again. Every call may raise `StoreError`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgegate.access.address import networks_of
from edgegate.access.keys import Allowance, Key, Secret


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One secret of a key. Unix seconds; `expires` None: never."""

    digest: bytes  # SHA-256
    created: float
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key made at run time. `id` is public: it stands in the key's own text, in lists and in paths. `name` is unique and stands in
    logs, metrics and the ledger. Times are Unix seconds. `revision` counts changes."""

    id: str
    name: str
    created: float
    secrets: tuple[StoredSecret, ...] = ()
    tenant: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    expires: float | None = None
    revoked: float | None = None
    strict: bool = False
    priority: str = ""
    allowance: Allowance = field(default_factory=Allowance)
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """An audit record. `what`: created, changed, rotated, revoked. `details` has the changed fields, before and after; never a secret
    or its hash."""

    at: float
    who: str  # the admin key's name, or `cli:<user>@<host>`
    remote: str
    what: str
    subject: str  # the key's name
    details: dict[str, Any] = field(default_factory=dict)


class Conflict(Exception):
    """The name is taken, or the key was changed by somebody else in between."""


class Directory(Protocol):
    """See the module."""

    async def open(self) -> None:
        """As `Records.open`."""
        ...

    async def close(self) -> None: ...

    async def version(self) -> int:
        """0 where nothing was ever changed."""
        ...

    async def keys(self) -> list[StoredKey]:
        """All, also revoked and expired ones, in the order in which they were made."""
        ...

    async def put(self, key: StoredKey, change: Change) -> StoredKey:
        """Writes a key whose `revision` is the one that was read (0: a new key), and the audit record. Gives it with its new revision.
        Raises `Conflict`."""
        ...

    async def changes(self, *, limit: int = 100, before: int = 0) -> list[tuple[int, Change]]:
        """Audit records with their ids, the newest first; `before`: only those with a smaller id."""
        ...


def stored_secrets(keys: Iterable[StoredKey], taken: Collection[str] = ()) -> list[Secret]:
    """The secrets of these keys, expired ones too. Left out are revoked keys, those with a name in `taken` (of configured keys: logs
    and limits could not tell them apart), and those whose networks cannot be read, since they would be valid from anywhere."""
    found: list[Secret] = []
    for stored in keys:
        if stored.revoked is not None or stored.name in taken:
            continue
        try:
            key = stored_key(stored)
        except ValueError:
            continue
        found += [Secret(one.digest, key, math.inf if one.expires is None else one.expires) for one in stored.secrets]
    return found


def stored_key(stored: StoredKey) -> Key:
    """The key as the gateway looks it up. Raises `ValueError` for networks that are none."""
    return Key(
        stored.name,
        stored.tenant,
        stored.user,
        stored.models,
        stored.providers,
        stored.strict,
        stored.priority,
        stored.tags,
        stored.endpoints,
        networks_of(stored.networks),
        math.inf if stored.expires is None else stored.expires,
        stored.allowance,
    )
