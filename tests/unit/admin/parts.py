"""What the tests of the admin API are made of: stores in memory, rows of a ledger, and an API on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from edgegate.access.keys import Key
from edgegate.admin.api import Admin
from edgegate.config.model import AdminKeyOptions, AdminOptions
from edgegate.config.option import Secret
from edgegate.ledger.row import Row, decode
from edgegate.stores.base import StoreError
from edgegate.stores.directory import Change, Conflict, StoredKey
from edgegate.stores.records import GROUPS, Batch, Slice, Total

NOW = 1_795_262_400.0
"""2026-11-21 12:00 UTC."""

ADMIN_KEY, VIEWER_KEY = "admin-key-admin-key-1", "viewer-key-viewer-key"
BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}
VIEWER = {"x-api-key": VIEWER_KEY}


class Tokens:
    """Random bytes that are not random: each call gives others."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        return bytes((self.calls * 37 + 11 * at) % 251 for at in range(count))


class MemoryDirectory:
    """A directory. `meddle`: revisions that somebody else takes before the next changes. `lost`: it cannot be reached."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredKey] = {}
        self.audit: list[Change] = []
        self.meddle = 0
        self.lost = False

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def version(self) -> int:
        self._reach()
        return len(self.audit)

    async def keys(self) -> list[StoredKey]:
        self._reach()
        return list(self.stored.values())

    async def put(self, key: StoredKey, change: Change) -> StoredKey:
        self._reach()
        old = self.stored.get(key.id)
        if self.meddle and old is not None:
            self.meddle -= 1
            old = self.stored[key.id] = replace(old, tenant=f"{old.tenant}x", revision=old.revision + 1)
        if (old.revision if old else 0) != key.revision or any(k.name == key.name and k.id != key.id for k in self.stored.values()):
            raise Conflict
        kept = self.stored[key.id] = replace(key, revision=key.revision + 1)
        self.audit.append(change)
        return kept

    async def changes(self, *, limit: int = 100, before: int = 0) -> list[tuple[int, Change]]:
        self._reach()
        numbered = [(id, change) for id, change in enumerate(self.audit, 1) if not before or id < before]
        return numbered[::-1][:limit]

    def _reach(self) -> None:
        if self.lost:
            raise StoreError("no answer within 0.5 s")


@dataclass
class MemoryRecords:
    """A ledger. `given`: rows instead of a list, made when asked for; `fail_after`: so many rows come, then the store is lost."""

    written: list[Row] = field(default_factory=list)
    given: Iterator[Row] | None = None
    fail_after: int | None = None
    asked: list[Slice] = field(default_factory=list)
    handed: int = 0
    ended: bool = False

    async def open(self, holder: str) -> None: ...

    async def close(self) -> None: ...

    async def beat(self) -> None: ...

    async def gone(self) -> list[str]:
        return []

    async def recover(self, holder: str) -> list[Row]:
        return []

    async def bury(self, holder: str) -> None: ...

    async def prune(self, before_ms: int) -> int:
        return 0

    async def write(self, batch: Batch) -> None:
        self.written += map(decode, batch.rows)

    async def totals(self, part: Slice, by: Sequence[str]) -> list[Total]:
        self.asked.append(part)
        if self.fail_after is not None:
            raise StoreError("gone")
        groups: dict[tuple[str, ...], list[Row]] = {}
        for each in self.written:
            if chosen(each, part):
                groups.setdefault(tuple(getattr(each, name) for name in by), []).append(each)
        blank = dict.fromkeys(GROUPS, "")
        found: list[dict[str, Any]] = [blank | dict(zip(by, group, strict=True)) | _sums(rows) for group, rows in sorted(groups.items())]
        return [Total(**each) for each in found]

    async def rows(self, part: Slice, *, newest_first: bool = False, limit: int = 0) -> AsyncIterator[Row]:
        self.asked.append(part)
        try:
            for each in self.given if self.given is not None else self.written:
                if self.fail_after is not None and self.handed >= self.fail_after:
                    raise StoreError("gone")
                if chosen(each, part):
                    self.handed += 1
                    yield each
                    if self.handed % 1000 == 0:
                        await asyncio.sleep(0)
        finally:
            self.ended = True


def chosen(each: Row, part: Slice) -> bool:
    return part.since_ms <= each.at_ms < part.until_ms and all(getattr(each, name) == value for name, value in part.equal)


def _sums(rows: list[Row]) -> dict[str, int]:
    summed = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    return {name: sum(getattr(each, name) for each in rows) for name in summed} | {
        "attempts": sum(each.attempt > 0 for each in rows),
        "requests": sum(each.attempt <= 1 for each in rows),
        "cost_nano_usd": sum(each.cost_nano_usd or 0 for each in rows),
        "unpriced": sum(each.cost_nano_usd is None for each in rows),
        "estimated": sum(each.usage == "estimated" for each in rows),
    }


def row(seq: int = 1, **given: Any) -> Row:
    """A row of 2026-11-21 10:00, or as given."""
    values: dict[str, Any] = {
        "holder": "h1", "seq": seq, "at_ms": int(NOW - 7200) * 1000 + seq, "request_id": f"r-{seq}", "attempt": 1, "tenant": "acme",
        "key": "app", "user": "alice", "tags": "a,b", "operation": "chat", "dialect": "openai.chat", "requested_model": "fast",
        "provider": "openai", "model": "gpt-4o", "stream": 1, "source": "provider", "status": 200, "outcome": "ok", "error": "",
        "input_tokens": 10, "output_tokens": 5, "cached_tokens": 2, "cache_write_tokens": 0, "cache_write_1h_tokens": 0,
        "reasoning_tokens": 1, "input_audio_tokens": 0, "output_audio_tokens": 0, "usage": "reported", "tier": "", "price_version": "1",
        "reserved_nano_usd": 2_000_000, "cost_nano_usd": 1_500_001, "duration_us": 1_250_000, "first_us": None,
    }  # fmt: skip
    return Row(**(values | given))


@dataclass
class Served:
    """An admin API that answers on a port of this machine."""

    admin: Admin
    directory: MemoryDirectory
    records: MemoryRecords
    http: aiohttp.ClientSession
    url: str
    port: int
    changes: list[int]

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, body (JSON if it is) and headers."""
        given = dict(BEARER if headers is None else headers)
        if body is not None and not isinstance(body, bytes):
            more["json"] = body
        elif body is not None:
            more["data"] = body
        async with self.http.request(method, self.url + path, headers=given, **more) as response:
            if response.content_type == "application/json":
                return response.status, await response.json(), response.headers
            return response.status, await response.read(), response.headers

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any, Mapping[str, str]]:
        return await self.ask("GET", path, headers=headers)

    async def make(self, name: str = "app", **fields: Any) -> Any:
        status, made, _ = await self.ask("POST", "/api/admin/keys", {"name": name, **fields})
        assert status == 201, made
        return made


@contextlib.asynccontextmanager
async def served(*rows: Row, static: Sequence[Key] = (), standing: Sequence[dict[str, Any]] = ()) -> AsyncIterator[Served]:
    """The API with an admin's key and a viewer's."""
    directory, records, changes = MemoryDirectory(), MemoryRecords(list(rows)), [0]

    def changed() -> None:
        changes[0] += 1

    options = AdminOptions(
        keys=(AdminKeyOptions(name="ops", key=Secret(ADMIN_KEY)), AdminKeyOptions(name="eyes", key=Secret(VIEWER_KEY), role="viewer"))
    )
    admin = Admin(
        options, directory, records, standing=lambda: list(standing), static_keys=static, changed=changed, unix_clock=lambda: NOW,
        token=Tokens(),
    )  # fmt: skip
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    port = sock.getsockname()[1]
    await admin.open([sock])
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(15)) as http:
            yield Served(admin, directory, records, http, f"http://127.0.0.1:{port}", port, changes)
    finally:
        await admin.close()
