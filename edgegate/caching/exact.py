"""The exact cache: same caller scope, same request, same answer. A bounded least-recently-used map in memory.

The key is a SHA-256 over everything that may change the answer: tenant (or key), dialect, operation and the request itself,
less what only says how to deliver it. Two requests that differ in key order share no entry: that costs a miss, never a wrong
answer.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass

import orjson

from edgegate.dialects.base import HeaderList, Json

NOT_PART_OF_THE_ANSWER = frozenset(
    {"user", "metadata", "x-cache", "x-budget-key", "max_cost_usd", "x-routing-strategy", "x-prefer-provider", "safety_identifier"}
)

LONG_NUMBER = re.compile(rb"[:,\[]\s*-?\d{19}")
"""What may be an integer beyond 64 bits (a text may look like one, which costs no more than a miss)."""


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


def cache_key(scope: str, format: str, body: bytes, request: Json) -> bytes:
    """`scope` partitions: a tenant never sees another's answers. Streams and plain replies are different entries. Spacing does not
    matter, but for bodies that parsing has changed (integers beyond 64 bits): of those the bytes themselves count."""
    digest = hashlib.sha256(f"{format}\n{scope}\n".encode("utf-8", "backslashreplace"))
    document = body
    if LONG_NUMBER.search(body) is None:
        try:
            document = orjson.dumps([[name, value] for name, value in request.items() if name not in NOT_PART_OF_THE_ANSWER])
        except orjson.JSONEncodeError:  # nested too deeply to be written
            pass
    digest.update(document)
    return digest.digest()


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
        if len(entry.body) > self._max_bytes:
            return
        self._entries[key] = entry
        self.bytes += len(entry.body)
        while self._entries and (len(self._entries) > self._max_entries or self.bytes > self._max_bytes):
            self._remove(next(iter(self._entries)))

    def _remove(self, key: bytes) -> None:
        self.bytes -= len(self._entries.pop(key).body)
