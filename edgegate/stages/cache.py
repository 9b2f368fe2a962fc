"""cache: answers a request that was answered before, byte for byte, from bounded memory.

Cached are chat and completions whose temperature is at most `max_temperature` (an absent temperature counts as 1), embeddings
and rerank, plain and streamed, each for itself. Only whole answers are kept. `x-cache: false` in the body and
`Cache-Control: no-store` or `no-cache` as a header leave the cache out. Hits carry `x-edgegate-cache: hit` and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from edgegate.caching.exact import Entry, ExactCache, cache_key
from edgegate.caching.scope import SHARED, is_repeatable, scope, wants_its_own
from edgegate.chain import Proceed
from edgegate.config.stages import CacheOptions
from edgegate.exchange import Exchange, Reply
from edgegate.taps import Outcome

KEPT_HEADERS = frozenset({b"content-type"})


class Cache:
    """See the module."""

    def __init__(self, options: CacheOptions, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._kept = ExactCache(options.max_entries, options.max_bytes)

    async def __call__(self, ex: Exchange, proceed: Proceed) -> Reply:
        if not self._may_cache(ex):
            ex.cache = "skip"
            return await proceed(ex)
        key = cache_key(scope(ex), f"{ex.client.format}\n{ex.model}", ex.body, ex.request)
        entry = self._kept.get(key, self._clock())
        if entry is not None:
            ex.cache = "hit"
            return Reply(200, list(entry.headers), entry.body, entry.format, entry.stream)
        ex.cache = "miss"
        reply = await proceed(ex)
        if reply.status == 200 and not reply.encoded:
            reply.taps.append(Keep(self, key, ex, reply))
        return reply

    def keep(self, key: bytes, ex: Exchange, reply: Reply, body: bytes) -> None:
        target = ex.target
        headers = [(name, value) for name, value in reply.headers if name in KEPT_HEADERS]
        expires = self._clock() + self._options.ttl
        model, provider = (target.model, target.provider.name) if target is not None else ("", "")
        self._kept.put(key, Entry(headers, body, reply.format, reply.stream, expires, model, provider))

    @property
    def max_entry(self) -> int:
        return self._options.max_entry

    def _may_cache(self, ex: Exchange) -> bool:
        if ex.operation not in SHARED or ex.request.get("x-cache") is False or wants_its_own(ex):
            return False
        return is_repeatable(ex, self._options.max_temperature)


class Keep:
    """The tap that gathers a reply for the cache. Gives up, and only then forgets, when it grows too large."""

    __slots__ = ("_cache", "_ex", "_key", "_parts", "_reply", "_size")

    def __init__(self, cache: Cache, key: bytes, ex: Exchange, reply: Reply) -> None:
        self._cache = cache
        self._key = key
        self._ex = ex
        self._reply = reply
        self._parts: list[bytes] | None = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        parts = self._parts
        if parts is not None:
            self._size += len(data)
            if self._size > self._cache.max_entry:
                self._parts = None
            else:
                parts.append(data)
        return data

    def end(self, outcome: Outcome) -> bytes:
        if outcome is Outcome.OK and self._parts is not None:
            self._cache.keep(self._key, self._ex, self._reply, b"".join(self._parts))
        return b""
