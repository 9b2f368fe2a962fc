"""budget: what attempts may cost, and limits per model and provider.

It stands behind failover, so that each attempt is weighed with its own target's price. What the attempt may cost at most is
reserved in every budget that it counts in, or in none, and settled with its real cost. An attempt that nobody can pay for is not
made: failover goes on to the next target, which may be cheaper.

A caller may set a ceiling for all attempts of its request together: `x-max-cost-usd`, or `max_cost_usd` in the body.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from multidict import istr

from edgegate.access.address import subject_of
from edgegate.access.keys import Key
from edgegate.access.rules import Rules, Who, nano, today
from edgegate.chain import Proceed
from edgegate.config.stages import BudgetStageOptions
from edgegate.dialects.base import Operation
from edgegate.dialects.chat import tier_of
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.exchange import Attempt, Exchange, Reply
from edgegate.ledger.prices import Prices
from edgegate.ledger.rates import Rate
from edgegate.limiting.account import MONEY, PLACES, Account
from edgegate.limiting.limiter import NOTHING, Hold, Limiter, OverLimit
from edgegate.limiting.refusal import over_limit
from edgegate.observe.metrics import Metrics
from edgegate.routing.catalog import Target
from edgegate.stages.unasked import NotAsked
from edgegate.tokens.bounds import most_tokens
from edgegate.tokens.estimate import Estimates, count_input, needs_estimate

HEADER = istr("x-max-cost-usd")
FIELD = "max_cost_usd"
HIGHEST_USD = 1_000_000.0
REMEMBERED = 4096

FREE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class Unpaid(NotAsked):
    """An attempt that was not made because of what it may cost."""


class Known:
    """The accounts of one caller at one target, places last, and the target's price; until the day ends."""

    __slots__ = ("accounts", "generation", "key", "money", "pairs", "rate", "until", "version")

    def __init__(
        self, key: Key | None, accounts: Sequence[Account], generation: int, until: float, rate: Rate | None, version: str
    ) -> None:
        self.key = key
        self.accounts = sorted(accounts, key=lambda account: account.sort == PLACES)
        self.pairs = [(account, account.sort) for account in self.accounts]
        self.generation = generation
        self.until = until
        self.money = next((account.counter for account in accounts if account.sort == MONEY and account.counter.hard), None)
        self.rate = rate
        self.version = version


class Budget:
    """See the module. `weigh`: what an attempt may cost is noted although no budget is about it, for the ledger, which charges it to
    attempts whose process died."""

    def __init__(
        self,
        options: BudgetStageOptions,
        rules: Rules,
        limiter: Limiter,
        prices: Prices,
        estimates: Estimates,
        metrics: Metrics,
        unix_clock: Callable[[], float],
        weigh: bool = True,
    ) -> None:
        self._options = options
        self._weigh = weigh
        self._estimates = estimates
        self._rules = rules
        self._limiter = limiter
        self._prices = prices
        self._metrics = metrics
        self._unix = unix_clock
        self._known: dict[tuple[str, str, str, str, str], Known] = {}

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        target = ex.target
        if target is None:
            raise GatewayError(500, "no_route", "the chain has no route stage before budget")
        ex.ceiling_nano_usd = ceiling(ex)  # each time: this may be a fork
        now = self._unix()
        known = self._accounts(ex, target, now)
        accounts = known.accounts
        if not accounts and ex.ceiling_nano_usd is None and not self._weigh:
            return proceed(ex)
        before, after = ex.bounds or most_tokens(ex, self._options.answer_tokens)
        if known.rate is None or ex.operation is Operation.RELAY or "service_tier" in ex.request:
            cost = self._cost(ex, target)
        else:
            cost = known.rate.most_nano(before, after)
        if ex.ceiling_nano_usd is None:
            if not accounts:
                ex.reserved_nano_usd = cost
                return proceed(ex)
            if cost is not None:
                units = (1, before + after or 1, 1, cost or 1)
                try:
                    hold = self._limiter.reserve_nowait([(account, units[sort]) for account, sort in known.pairs], now)
                except OverLimit:
                    hold = None
                if hold is not None:
                    ex.reserved_nano_usd = cost
                    ex.reserved = hold
                    return self._paid(ex, proceed)
        return self._weighed(ex, proceed, target, known, cost)

    async def _paid(self, ex: Exchange, proceed: Proceed) -> Reply:
        answered = False
        try:
            reply = await proceed(ex)
            answered = ex.reserved is None
            return reply
        finally:
            if not answered:  # it failed, even by a fault of ours, or it was answered without an attempt
                self._give_back(ex)

    async def _weighed(self, ex: Exchange, proceed: Proceed, target: Target, known: Known, cost: int | None) -> Reply:
        """An attempt that somebody has to pay for, or that must stay below a ceiling. One that is too dear by the bytes of its request
        is weighed again by its tokens."""
        hold: Hold = []
        while True:
            try:
                if ex.ceiling_nano_usd is not None:
                    self._check_ceiling(ex, target, cost)
                if known.accounts:
                    hold = await self._reserve(ex, target, known, cost)
                break
            except (Unpaid, OverLimit) as refusal:
                now = self._unix()
                if not ex.counted and self._may_fit(ex, target, known, now):
                    await count_input(ex, self._estimates)
                    known = self._accounts(ex, target, self._unix())  # some may have been forgotten meanwhile
                    cost = self._cost(ex, target)
                elif isinstance(refusal, OverLimit):
                    self._metrics.limited.add((refusal.counter.rule, refusal.counter.unit.value))
                    raise over_limit(ex, refusal, now, Unpaid) from None
                else:
                    raise
        ex.reserved_nano_usd = cost
        ex.reserved = hold
        return await self._paid(ex, proceed)

    async def _reserve(self, ex: Exchange, target: Target, known: Known, cost: int | None) -> Hold:
        if cost is None and known.money is not None and self._options.unpriced == "deny":
            raise _unpriced(ex, target, known.money.rule)
        units = (1, sum(ex.bounds or (0, 0)) or 1, 1, cost or 1)  # at least one of each: what is used up refuses
        asked = [(account, units[account.sort]) for account in known.accounts]
        hold = self._limiter.reserve_nowait(asked, self._unix())
        return hold if hold is not None else await self._limiter.reserve(asked)

    def _may_fit(self, ex: Exchange, target: Target, known: Known, now: float) -> bool:
        """Whether the longest answer and a short prompt may be paid for. If not, a budget is used up, and counting is no use."""
        if ex.operation is Operation.RELAY or ex.bounds is None:
            return False
        _, after = ex.bounds
        cost = self._most(ex, target, 1, after)
        if cost is None or (ex.ceiling_nano_usd is not None and cost > ex.ceiling_nano_usd):
            return False
        units = (1, after + 1, 1, cost or 1)
        return all(account.wait(units[account.sort], now) <= 0 for account in known.accounts)

    def _give_back(self, ex: Exchange) -> None:
        """An attempt was not made, or failed. What it may have cost all the same is settled with the books."""
        now = self._unix()
        reserved, ex.reserved = ex.reserved, None
        if reserved is not None:  # forward did not take it: nothing was sent
            self._limiter.settle(reserved, NOTHING, now)
        attempt = ex.attempt
        if attempt is not None and attempt.hold is not None:
            self._limiter.leave(attempt.hold, now)  # what it used is counted later, but it is over
            if is_free_of_charge(attempt):
                self._limiter.settle(attempt.hold, (1, 0, 0, 0), now)
                attempt.hold = None

    def _accounts(self, ex: Exchange, target: Target, now: float) -> Known:
        key, rules = ex.key, self._rules
        name = (
            "" if key is None else key.name,
            ex.user if rules.by_user else "",
            ex.ip if rules.by_address else "",
            target.model,
            target.provider.name,
        )
        known = self._known.get(name)
        if (
            known is None
            or known.key is not key
            or now >= known.until
            or known.generation != self._limiter.generation
            or known.version is not self._prices.version
        ):
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            who = Who(key, name[1], subject_of(name[2]) if name[2] else "", target.model, target.provider.name)
            accounts = [self._limiter.account(counter) for counter in rules.of_attempt(who, now)]
            provider = target.provider
            rate = None if provider.simulated else self._prices.rate(target.model, provider.name, provider.side.name)
            known = Known(key, accounts, self._limiter.generation, today(now).ends, rate, self._prices.version)
            self._known[name] = known
        return known

    def _cost(self, ex: Exchange, target: Target) -> int | None:
        """The most that an attempt may cost. Nobody knows that of what is relayed, unless it only asks or takes away."""
        if ex.operation is Operation.RELAY:
            return 0 if ex.method in FREE_METHODS else None
        before, after = ex.bounds or (0, 0)
        return self._most(ex, target, before, after)

    def _most(self, ex: Exchange, target: Target, before: int, after: int) -> int | None:
        provider = target.provider
        if provider.simulated:
            return 0
        tier = "" if ex.operation is Operation.RELAY else tier_of(ex.request.get("service_tier"))
        return self._prices.most_nano(before, after, target.model, provider.name, provider.side.name, tier)

    def _check_ceiling(self, ex: Exchange, target: Target, cost: int | None) -> None:
        """Raises if this attempt could bring the exchange over its ceiling."""
        most = ex.ceiling_nano_usd
        assert most is not None
        if cost is None:
            message = f"The price of '{target.model[:100]}' is not known, so the ceiling on the cost of this request cannot be kept."
            raise Unpaid(400, "cost_limit_exceeded", message, param=FIELD, retryable=True, source=Source.CLIENT)
        spent = sum(0 if is_free_of_charge(attempt) else attempt.reserved_nano_usd or 0 for attempt in ex.attempts)
        if spent + cost > most:
            message = f"This request may cost {(spent + cost) / 1e9:.6f} US dollars, more than its ceiling of {most / 1e9:g}."
            raise Unpaid(400, "cost_limit_exceeded", message, param=FIELD, retryable=True, source=Source.CLIENT)


def is_free_of_charge(attempt: Attempt) -> bool:
    """Whether an attempt is over and its provider will not have charged it: it was refused, or never reached anybody."""
    return attempt.outcome is not None and not attempt.usage.reported and not needs_estimate(attempt)


def ceiling(ex: Exchange) -> int | None:
    """The ceiling that a caller sets, in nano-dollars; the lower one of header and body. Raises a 400 for one that is no amount."""
    found: int | None = None
    given = ex.headers.get(HEADER)
    if given is not None:
        found = _amount(given, HEADER)
    if b'"max_cost_usd"' in ex.body and ex.operation is not Operation.RELAY and (value := ex.request.get(FIELD)) is not None:
        most = _amount(value, FIELD)
        found = most if found is None else min(found, most)
    return found


def _amount(value: object, name: str) -> int:
    try:
        usd = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except ValueError:
        usd = math.nan
    if not 0 <= usd <= HIGHEST_USD:
        raise bad_request(f"{name}: expected US dollars, from 0 to {HIGHEST_USD:g}", name)
    return nano(usd)


def _unpriced(ex: Exchange, target: Target, rule: str) -> GatewayError:
    if ex.operation is Operation.RELAY:
        what = f"What {ex.path[:100]} costs is not known beforehand"
        how = "use an API that edgegate understands, or let such requests pass with `unpriced: allow`"
    else:
        what = f"The price of '{target.model[:100]}' at '{target.provider.name}' is not known"
        how = "give it one under `prices.models`, or let such models pass with `unpriced: allow`"
    return Unpaid(403, "price_unknown", f"{what}, and budget '{rule[:100]}' is hard: {how}.", param="model", retryable=True)
