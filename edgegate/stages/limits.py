"""limits: how much a key, a user, a tenant or an address may ask for: requests, tokens, and how many at once.

Tokens are reserved before, as many as the request may use at most, and settled when it is known how many it used. A request that
is refused does not count. An answer from the cache costs no tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from edgegate.access.address import subject_of
from edgegate.access.counters import Unit
from edgegate.access.keys import Key
from edgegate.access.rules import Rules, Who
from edgegate.chain import Proceed
from edgegate.config.stages import LimitsOptions
from edgegate.exchange import Exchange, Reply
from edgegate.limiting.account import PLACES, TOKENS, Account
from edgegate.limiting.limiter import Limiter, OverLimit
from edgegate.limiting.refusal import over_limit
from edgegate.observe.metrics import Metrics
from edgegate.tokens.bounds import most_tokens
from edgegate.tokens.estimate import Estimates, count_input

REMEMBERED = 4096
"""Callers whose accounts are remembered; then all are looked up again."""


class Known:
    """The accounts of one caller, as long as the limiter keeps them and the key stays what it is."""

    __slots__ = ("_pairs", "_tokens", "any", "generation", "key", "name", "places")

    def __init__(self, name: tuple[str, str, str], key: Key | None, accounts: Sequence[Account], generation: int) -> None:
        self.name = name
        self.key = key
        self.generation = generation
        self.any = bool(accounts)
        self._tokens = [account for account in accounts if account.sort == TOKENS]
        self.places = any(account.sort == PLACES for account in accounts)
        self._pairs = [(account, account.sort) for account in sorted(accounts, key=_places_last)]

    def asked(self, ex: Exchange, answer_tokens: int) -> list[tuple[Account, int]]:
        """What a request asks of them, places last."""
        before, after = (ex.bounds or most_tokens(ex, answer_tokens)) if self._tokens else (0, 0)
        units = (1, before + after or 1, 1, 0)  # nothing is known of a relayed path: a limit that is used up refuses it
        return [(account, units[sort]) for account, sort in self._pairs]

    def may_fit(self, ex: Exchange, now: float) -> bool:
        """Whether there may be room for the longest answer and a short prompt. If not, a limit is used up, and counting is no use."""
        if ex.bounds is None:
            return False
        _, after = ex.bounds
        return all(account.wait(after + 1, now) <= 0 for account in self._tokens)


class Limits:
    """See the module."""

    def __init__(
        self,
        options: LimitsOptions,
        rules: Rules,
        limiter: Limiter,
        estimates: Estimates,
        metrics: Metrics,
        unix_clock: Callable[[], float],
    ) -> None:
        self._options = options
        self._estimates = estimates
        self._rules = rules
        self._limiter = limiter
        self._metrics = metrics
        self._unix = unix_clock
        self._known: dict[tuple[str, str, str], Known] = {}

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        key = ex.key
        name = ("" if key is None else key.name, ex.user if self._rules.by_user else "", ex.ip if self._rules.by_address else "")
        known = self._known.get(name)
        if known is None or known.key is not key or known.generation != self._limiter.generation:
            known = self._find(name, key)
        if not known.any:
            return proceed(ex)
        asked = known.asked(ex, self._options.answer_tokens)
        now = self._unix()
        try:
            hold = self._limiter.reserve_nowait(asked, now)
        except OverLimit as over:
            if over.counter.unit is Unit.TOKENS and not ex.counted and known.may_fit(ex, now):
                return self._count(ex, proceed, known)
            raise self._refuse(ex, over, now) from None
        if hold is None:
            return self._ask(ex, proceed, asked, known)
        ex.hold = hold
        if known.places:
            ex.on_end.append(self._leave)
        return proceed(ex)

    def _find(self, name: tuple[str, str, str], key: Key | None) -> Known:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        _, user, ip = name
        counters = self._rules.of_request(Who(key, user, subject_of(ip) if ip else ""))
        accounts = [self._limiter.account(counter) for counter in counters]
        known = self._known[name] = Known(name, key, accounts, self._limiter.generation)
        return known

    async def _ask(self, ex: Exchange, proceed: Proceed, asked: list[tuple[Account, int]], known: Known) -> Reply:
        try:
            hold = await self._limiter.reserve(asked)
        except OverLimit as over:
            now = self._unix()
            if over.counter.unit is Unit.TOKENS and not ex.counted and known.may_fit(ex, now):
                return await self._count(ex, proceed, known)
            raise self._refuse(ex, over, now) from None
        ex.hold = hold
        if known.places:
            ex.on_end.append(self._leave)
        return await proceed(ex)

    async def _count(self, ex: Exchange, proceed: Proceed, known: Known) -> Reply:
        """There is no room for as many tokens as the request has bytes: perhaps there is for those it has."""
        await count_input(ex, self._estimates)
        if known.generation != self._limiter.generation:  # some may have been forgotten meanwhile
            known = self._find(known.name, known.key)
        return await self._ask(ex, proceed, known.asked(ex, self._options.answer_tokens), known)

    def _leave(self, ex: Exchange) -> None:
        """An exchange has ended: its place is free, also while its usage is still being counted."""
        if ex.hold is not None:
            self._limiter.leave(ex.hold, self._unix())

    def _refuse(self, ex: Exchange, over: OverLimit, now: float) -> Exception:
        self._metrics.limited.add((over.counter.rule, over.counter.unit.value))
        return over_limit(ex, over, now)


def _places_last(account: Account) -> bool:
    return account.sort == PLACES
