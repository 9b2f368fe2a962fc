"""Counters in Redis or Valkey, for processes on several machines.

Each call is one script (`counters.lua`), so it happens as a whole, in one round trip and by the server's clock. The rules are
those of `access/tallies.py`. All keys share the hash tag `{namespace}`, so that they lie on one node of a cluster, and expire when
they say nothing any more. The server may be empty at any time: counters that spend are then begun again.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgegate.access.counter_json import counter_json, counter_of
from edgegate.access.counters import Counter, Kind
from edgegate.stores.authority import LEASE_S, PRESENT_S, Grant, Refused, Return, Unknown, Want
from edgegate.stores.base import StoreError
from edgegate.stores.redis import RedisLink, Script
from edgegate.stores.redis_server import Word

MOST = 4 * 10**15
"""The largest limit: 4 million dollars in nano-dollars. The server's scripts count exactly up to twice that."""

SPENDS = "spends"

AT_ONCE = 200
"""Counters that one script looks through when a holder is gone, and holders of which one script is told: more would keep others
waiting."""


class RedisAuthority:
    """See the module. The link's owner opens and closes it. `clock`: Unix seconds in place of the server's, for tests."""

    def __init__(self, link: RedisLink, namespace: str, *, clock: Callable[[], float] | None = None) -> None:
        self._link = link
        self._tag = f"{{{namespace}}}:"
        self._clock = clock
        self._holder = ""
        self._script = Script.of(Path(__file__).with_name("counters.lua").read_text())

    async def open(self, holder: str) -> None:
        self._holder = holder

    async def close(self) -> None:
        """As `Authority.close`. Where the server cannot be reached, its places are free again after `PRESENT_S`."""
        with contextlib.suppress(StoreError):
            await self._run("leave", self._holder, [], [])

    async def take(self, wants: Sequence[Want]) -> list[Grant] | Refused | Unknown:
        told = _Told(self._tag)
        words: list[Word] = [len(wants)]
        for want in wants:
            words += (told.index(want.counter), want.units, want.extra)
        kind, *answer = await self._run("take", self._holder, told.keys, [*told.words, *words])
        if kind == b"unknown":
            return Unknown(tuple(told.counters[index] for index in answer))
        if kind == b"refused":
            index, wait_s, used = answer
            return Refused(wants[index].counter, float(wait_s), used)
        return [Grant(units, slot) for units, slot in zip(answer[::2], answer[1::2], strict=True)]

    async def begin(self, counter: Counter, spent: Mapping[str, int]) -> None:
        remembered = json.dumps(counter_json(_checked(counter)))
        key = _key(self._tag, counter)
        staging = key + f":{self._holder}".encode()
        pairs = list(spent.items())
        while len(pairs) > AT_ONCE:
            await self._run("stage", self._holder, [staging], [word for pair in pairs[-AT_ONCE:] for word in pair])
            del pairs[-AT_ONCE:]
        staged = len(pairs) < len(spent)
        words: list[Word] = [_encoded(counter.name), remembered, "" if counter.ends == math.inf else repr(float(counter.ends)), int(staged)]
        words += (sum(spent.values()), *(word for pair in pairs for word in pair))
        await self._run("begin", self._holder, [key, self._begun, staging], words)

    async def tell(
        self, returns: Sequence[Return], spent: Sequence[tuple[Counter, int]], held: Sequence[tuple[Counter, int]] = ()
    ) -> dict[str, int]:
        told = _Told(self._tag)
        words: list[Word] = [len(returns)]
        for back in returns:
            words += (told.index(back.counter), back.slot, back.units)
        for pairs in (spent, held):
            words.append(len(pairs))
            for counter, units in pairs:
                words += (told.index(counter), units)
        totals = await self._run("tell", self._holder, told.keys, [*told.words, *words])
        return {counter.name: total for (counter, _), total in zip(spent, totals, strict=True) if total is not None}

    async def estate(self, holder: str) -> list[Counter]:
        found: dict[str, Counter] = {}
        async for names in self._all_begun():
            for remembered in await self._run("estate", holder, [self._spends(name) for name in names], []):
                counter = counter_of(json.loads(remembered))
                found[counter.name] = counter
        return list(found.values())

    async def bury(self, holder: str, spent: Mapping[str, int]) -> None:
        better = {_encoded(name): units for name, units in spent.items()}
        await self._run("bury", holder, [], [])  # it is not present any more, whatever it held
        async for names in self._all_begun():
            await self._run("bury", holder, [self._spends(name) for name in names], [better.get(name, "") for name in names])

    async def first(self, name: str, ends: float) -> bool:
        return bool(await self._run("first", self._holder, [f"{self._tag}first:".encode() + _encoded(name)], [repr(float(ends))]))

    # -- inside

    async def _run(self, act: str, holder: str, keys: Sequence[bytes], words: Sequence[Word]) -> Any:
        now = "" if self._clock is None else repr(self._clock())
        return await self._link.run(
            self._script, [f"{self._tag}present".encode(), *keys], [act, now, holder, str(LEASE_S), str(PRESENT_S), *words]
        )

    @property
    def _begun(self) -> bytes:
        return f"{self._tag}begun".encode()

    def _spends(self, name: bytes) -> bytes:
        return f"{self._tag}{SPENDS}:".encode() + name

    async def _all_begun(self) -> AsyncIterator[list[bytes]]:
        """Names of spending counters, the last to end first: what comes or goes meanwhile makes none of the others be missed."""
        start = 0
        while names := await self._link.call("ZREVRANGE", self._begun, start, start + AT_ONCE - 1):
            yield names
            start += AT_ONCE


class _Told:
    """The counters of one call, each once, as the script wants to be told of them."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._indexes: dict[str, int] = {}
        self.counters: list[Counter] = []
        self.keys: list[bytes] = []
        self.words: list[Word] = []

    def index(self, counter: Counter) -> int:
        found = self._indexes.get(counter.name)
        if found is None:
            found = self._indexes[counter.name] = len(self.counters)
            self.counters.append(_checked(counter))
            self.keys.append(_key(self._tag, counter))
            self.words += (_kind(counter), counter.limit, repr(float(counter.window_s)), counter.burst or counter.limit, int(counter.hard))
        return found


def _kind(counter: Counter) -> str:
    if counter.kind is Kind.HELD:
        return SPENDS if counter.spends else "places"
    return counter.kind.value


def _key(tag: str, counter: Counter) -> bytes:
    return f"{tag}{_kind(counter)}:".encode() + _encoded(counter.name)


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _checked(counter: Counter) -> Counter:
    if max(counter.limit, counter.burst) > MOST:
        raise ValueError(f"{counter.name}: a limit of {max(counter.limit, counter.burst)} is more than can be counted in Redis ({MOST})")
    return counter
