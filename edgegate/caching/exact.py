"""The exact cache: same caller scope, same request, same answer. A bounded least-recently-used map in memory.

The key is a SHA-256 over everything that may change the answer: tenant (or key), dialect, operation and the request itself,
less what only says how to deliver it. Two requests that differ in key order share no entry: that costs a miss, never a wrong
answer.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import orjson

from edgegate.dialects.base import HeaderList, Json

NOT_PART_OF_THE_ANSWER = frozenset(
    {"user", "metadata", "x-cache", "x-budget-key", "x-routing-strategy", "x-prefer-provider", "safety_identifier"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept reply. `expires` in monotonic seconds."""

    headers: HeaderList
    body: bytes
    format: str
    stream: bool
    expires: float
    model: str
    provider: str


def cache_key(scope: str, format: str, request: Json) -> bytes | None:
    """`scope` partitions: a tenant never sees another's answers. Streams and plain replies are different entries. None for a
    request that cannot be written again (nested beyond 254 levels), which is not worth keeping."""
    try:
        document = orjson.dumps([[k, v] for k, v in request.items() if k not in NOT_PART_OF_THE_ANSWER])
    except orjson.JSONEncodeError:
        return None
    return hashlib.sha256(f"{scope}\n{format}\n".encode() + document).digest()


class ExactCache:
    """Bounded in entries and in bytes; the least recently used entry goes first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= now:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        if key in self._entries:
            self._remove(key)
        self._entries[key] = entry
        self.bytes += len(entry.body)
        while self._entries and (len(self._entries) > self._max_entries or self.bytes > self._max_bytes):
            self._remove(next(iter(self._entries)))

    def _remove(self, key: bytes) -> None:
        self.bytes -= len(self._entries.pop(key).body)
