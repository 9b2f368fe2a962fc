"""Which counters a request, or one attempt of it, is counted in.

Rules come from `limits`, `budgets`, the `limits` stage's own options (one of each caller) and from what a key is allowed. A rule
that names what a caller does not have (a tenant, a user) is not about it. Rules on models and providers are about attempts, as are
budgets: only an attempt has a model, a provider and a price. All others are about requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from edgegate.access.counters import Counter, Kind, Scope, Unit, matches
from edgegate.access.keys import NO_ALLOWANCE, Key
from edgegate.config.model import BudgetOptions, LimitOptions
from edgegate.config.option import Rate
from edgegate.config.stages import LimitsOptions

NANO_PER_USD = 1_000_000_000
OF_ATTEMPTS = frozenset({"model", "provider"})


class Who(NamedTuple):
    """Whom something is counted for. Empty where it is not known, or not there yet. `address`: what is counted as one, see
    `address.subject_of`."""

    key: Key | None
    user: str
    address: str
    model: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """A UTC day or calendar month, in Unix seconds."""

    label: str
    since: float
    ends: float


class Rules:
    """See the module."""

    def __init__(self, limits: Sequence[LimitOptions], budgets: Sequence[BudgetOptions], caller: LimitsOptions | None = None) -> None:
        self._requests = [rule for rule in limits if not OF_ATTEMPTS & {*rule.per, *_filters(rule)}]
        self._attempts = [rule for rule in limits if OF_ATTEMPTS & {*rule.per, *_filters(rule)}]
        self._budgets = list(budgets)
        self._caller = caller if caller is not None and (caller.requests or caller.tokens or caller.concurrency) else None
        every: list[LimitOptions | BudgetOptions] = [*limits, *budgets]
        self.by_user = any("user" in rule.per or rule.users for rule in every) or self._caller is not None
        self.by_address = any("ip" in rule.per for rule in every) or self._caller is not None
        """Whether users and addresses make a difference."""

    def of_request(self, who: Who) -> tuple[Counter, ...]:
        """The counters of a request, whatever becomes of it."""
        found = [counter for rule in self._requests for counter in _limit(rule, who)]
        key = who.key
        if key is not None and key.allowance is not NO_ALLOWANCE:
            allowance = key.allowance
            found += _rates("key", key.name, allowance.requests, allowance.tokens, allowance.concurrency)
        if self._caller is not None:
            subject = key.name if key is not None else who.user or who.address
            if subject:
                found += _rates("caller", subject, self._caller.requests, self._caller.tokens, self._caller.concurrency)
        return tuple(found)

    def of_attempt(self, who: Who, unix: float) -> tuple[Counter, ...]:
        """The counters of an attempt that begins at this moment. They hold until `today(unix).ends`."""
        found = [counter for rule in self._attempts for counter in _limit(rule, who)]
        for rule in self._budgets:
            found += _budget(rule, who, month(unix) if rule.period == "month" else today(unix))
        key = who.key
        if key is not None and key.allowance is not NO_ALLOWANCE:
            found += _own_budgets(key, unix)
        return tuple(found)


def today(unix: float) -> Period:
    day = datetime.fromtimestamp(unix, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(day.strftime("%Y-%m-%d"), day.timestamp(), (day + timedelta(days=1)).timestamp())


def month(unix: float) -> Period:
    first = datetime.fromtimestamp(unix, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=31)).replace(day=1)
    return Period(first.strftime("%Y-%m"), first.timestamp(), following.timestamp())


def nano(usd: float) -> int:
    """Dollars as written in a configuration, in nano-dollars."""
    return round(usd * NANO_PER_USD)


def _filters(rule: LimitOptions) -> Iterator[str]:
    if rule.models:
        yield "model"
    if rule.providers:
        yield "provider"


def _scope(rule: LimitOptions | BudgetOptions, who: Who) -> Scope | None:
    """What the rule counts together with this caller; None if it is not about it."""
    key = who.key
    name, tenant = (key.name, key.tenant) if key is not None else ("", "")
    if not (
        matches(rule.keys, name)
        and matches(rule.users, who.user)
        and matches(rule.tenants, tenant)
        and matches(rule.models, who.model)
        and matches(rule.providers, who.provider)
    ):
        return None
    equal: dict[str, str] = {}
    for dimension in rule.per:
        match dimension:
            case "key":
                equal["key"] = name
            case "tenant":
                equal["tenant"] = tenant
            case "user":
                equal["user"] = who.user
                if tenant:  # a user is somebody within a tenant, or within the key that names it
                    equal["tenant"] = tenant
                elif name:
                    equal["key"] = name
            case "ip":
                equal["ip"] = who.address
            case "model":
                equal["model"] = who.model
            case "provider":
                equal["provider"] = who.provider
    if not all(equal.values()):
        return None
    return Scope(tuple(sorted(equal.items())), rule.keys, rule.users, rule.tenants, rule.models, rule.providers)


def _limit(rule: LimitOptions, who: Who) -> list[Counter]:
    scope = _scope(rule, who)
    if scope is None:
        return []
    label = rule.name or _label("limit", rule)
    subject = ", ".join(value for _, value in scope.equal)
    bucket = rule.burst if rule.algorithm == "token_bucket" else None
    return _rates(label, subject, rule.requests, rule.tokens, rule.concurrency, bucket, bucket is not None)


def _rates(
    label: str, subject: str, requests: Rate | None, tokens: Rate | None, concurrency: int, burst: int | None = None, bucket: bool = False
) -> list[Counter]:
    found = []
    for unit, rate in ((Unit.REQUESTS, requests), (Unit.TOKENS, tokens)):
        if rate is not None:
            kind = Kind.BUCKET if bucket else Kind.WINDOW
            name = f"{kind}|{label}|{unit}|{rate.window_s}|{subject}"
            found.append(Counter(name, kind, unit, rate.units, label, subject, float(rate.window_s), burst or 0))
    if concurrency:
        name = f"held|{label}|concurrency|{subject}"
        found.append(Counter(name, Kind.HELD, Unit.CONCURRENCY, concurrency, label, subject))
    return found


def _budget(rule: BudgetOptions, who: Who, period: Period) -> list[Counter]:
    scope = _scope(rule, who)
    if scope is None:
        return []
    label = rule.name or _label("budget", rule)
    subject = ", ".join(value for _, value in scope.equal)
    return _amounts(label, subject, scope, period, nano(rule.usd), rule.tokens, rule.hard, rule.alerts)


def _own_budgets(key: Key, unix: float) -> list[Counter]:
    own = key.allowance
    scope = Scope((("key", key.name),))
    alerts = (0.8, 0.95)
    return [
        *_amounts("key", key.name, scope, today(unix), own.nano_usd_per_day, own.tokens_per_day, True, alerts),
        *_amounts("key", key.name, scope, month(unix), own.nano_usd_per_month, own.tokens_per_month, True, alerts),
    ]


def _amounts(
    label: str, subject: str, scope: Scope, period: Period, nano_usd: int, tokens: int, hard: bool, alerts: tuple[float, ...]
) -> list[Counter]:
    return [
        Counter(
            f"held|{label}|{unit}|{period.label}|{subject}",
            Kind.HELD,
            unit,
            limit,
            label,
            subject,
            since=period.since,
            ends=period.ends,
            spends=True,
            hard=hard,
            alerts=alerts,
            scope=scope,
        )
        for unit, limit in ((Unit.NANO_USD, nano_usd), (Unit.TOKENS, tokens))
        if limit
    ]


def _label(what: str, rule: LimitOptions | BudgetOptions) -> str:
    """A rule's name where it has none: the same as long as it is about the same."""
    about = [f"per {', '.join(rule.per)}"] if rule.per else []
    filters = ("keys", "users", "tenants", "models", "providers")
    about += [f"{name} {', '.join(getattr(rule, name))}" for name in filters if getattr(rule, name)]
    return " ".join([what, *about]) if about else what
