"""Which counters a request, or one attempt of it, is counted in.

Rules come from `limits`, `budgets`, the `limits` stage's own options (one of each caller) and from what a key is allowed. A rule
that names what a caller does not have (a tenant, a user) is not about it. Rules on models and providers are about attempts, as are
budgets: only an attempt has a model, a provider and a price. All others are about requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from edgegate.access.counters import Counter, Kind, Scope, Unit, matches
from edgegate.access.keys import NO_ALLOWANCE, Key
from edgegate.config.model import BudgetOptions, LimitOptions
from edgegate.config.option import Rate
from edgegate.config.stages import LimitsOptions

NANO_PER_USD = 1_000_000_000
OF_ATTEMPTS = frozenset({"model", "provider"})

Ruling = TypeVar("Ruling", LimitOptions, BudgetOptions)


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


class Label(NamedTuple):
    """What counters of one rule and subject are called. For people: `rule` and `subject`. For stores: `mark` and `name`, which no
    other rule and no other subject has, whatever callers call themselves."""

    mark: str
    rule: str
    subject: str
    name: str


class Rules:
    """See the module."""

    def __init__(self, limits: Sequence[LimitOptions], budgets: Sequence[BudgetOptions], caller: LimitsOptions | None = None) -> None:
        marked = _marked(limits, "limit")
        self._requests = [(mark, rule) for mark, rule in marked if not OF_ATTEMPTS & {*rule.per, *_filters(rule)}]
        self._attempts = [(mark, rule) for mark, rule in marked if OF_ATTEMPTS & {*rule.per, *_filters(rule)}]
        self._budgets = _marked(budgets, "budget")
        self._caller = caller if caller is not None and (caller.requests or caller.tokens or caller.concurrency) else None
        every: list[LimitOptions | BudgetOptions] = [*limits, *budgets]
        self.by_user = any("user" in rule.per or rule.users for rule in every) or self._caller is not None
        self.by_address = any("ip" in rule.per for rule in every) or self._caller is not None
        """Whether users and addresses make a difference."""

    def of_request(self, who: Who) -> tuple[Counter, ...]:
        """The counters of a request, whatever becomes of it."""
        found = [counter for mark, rule in self._requests for counter in _limit(mark, rule, who)]
        key = who.key
        if key is not None and key.allowance is not NO_ALLOWANCE:
            allowance = key.allowance
            label = Label("key", "key", key.name, _name((("key", key.name),)))
            found += _rates(label, allowance.requests, allowance.tokens, allowance.concurrency)
        if self._caller is not None:
            kind = "key" if key is not None else "user" if who.user else "ip"
            subject = key.name if key is not None else who.user or who.address
            if subject:
                label = Label("caller", "caller", subject, _name(((kind, subject),)))
                found += _rates(label, self._caller.requests, self._caller.tokens, self._caller.concurrency)
        return tuple(found)

    def of_attempt(self, who: Who, unix: float) -> tuple[Counter, ...]:
        """The counters of an attempt that begins at this moment. They hold until `today(unix).ends`."""
        found = [counter for mark, rule in self._attempts for counter in _limit(mark, rule, who)]
        for mark, budget in self._budgets:
            found += _budget(mark, budget, who, month(unix) if budget.period == "month" else today(unix))
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
                equal["model"] = who.model.replace("\0", "")  # callers choose it, and databases take no NUL
            case "provider":
                equal["provider"] = who.provider
    if not all(equal.values()):
        return None
    return Scope(tuple(sorted(equal.items())), rule.keys, rule.users, rule.tenants, rule.models, rule.providers)


def _limit(mark: str, rule: LimitOptions, who: Who) -> list[Counter]:
    scope = _scope(rule, who)
    if scope is None:
        return []
    bucket = rule.burst if rule.algorithm == "token_bucket" else None
    label = _about(mark, rule.name or _label("limit", rule), scope)
    return _rates(label, rule.requests, rule.tokens, rule.concurrency, bucket, bucket is not None)


def _rates(
    label: Label, requests: Rate | None, tokens: Rate | None, concurrency: int, burst: int | None = None, bucket: bool = False
) -> list[Counter]:
    mark, rule, subject, name = label
    found = []
    for unit, rate in ((Unit.REQUESTS, requests), (Unit.TOKENS, tokens)):
        if rate is not None:
            kind = Kind.BUCKET if bucket else Kind.WINDOW
            full = f"{kind}|{mark}|{unit}|{rate.window_s}|{name}"
            found.append(Counter(full, kind, unit, rate.units, rule, subject, float(rate.window_s), burst or 0))
    if concurrency:
        found.append(Counter(f"held|{mark}|concurrency|{name}", Kind.HELD, Unit.CONCURRENCY, concurrency, rule, subject))
    return found


def _budget(mark: str, rule: BudgetOptions, who: Who, period: Period) -> list[Counter]:
    scope = _scope(rule, who)
    if scope is None:
        return []
    label = _about(mark, rule.name or _label("budget", rule), scope)
    return _amounts(label, scope, period, nano(rule.usd), rule.tokens, rule.hard, rule.alerts)


def _own_budgets(key: Key, unix: float) -> list[Counter]:
    own = key.allowance
    scope = Scope((("key", key.name),))
    label = _about("key", "key", scope)
    alerts = (0.8, 0.95)
    return [
        *_amounts(label, scope, today(unix), own.nano_usd_per_day, own.tokens_per_day, True, alerts),
        *_amounts(label, scope, month(unix), own.nano_usd_per_month, own.tokens_per_month, True, alerts),
    ]


def _amounts(
    label: Label, scope: Scope, period: Period, nano_usd: int, tokens: int, hard: bool, alerts: tuple[float, ...]
) -> list[Counter]:
    return [
        Counter(
            f"held|{label.mark}|{unit}|{period.label}|{label.name}",
            Kind.HELD,
            unit,
            limit,
            label.rule,
            label.subject,
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


def _about(mark: str, rule: str, scope: Scope) -> Label:
    return Label(mark, rule, ", ".join(value for _, value in scope.equal), _name(scope.equal))


def _name(equal: tuple[tuple[str, str], ...]) -> str:
    """A subject for stores. Each part says what it is and how long, so that no two subjects have one name."""
    return ",".join(f"{dimension}={len(value)}:{value}" for dimension, value in equal)


def _marked(rules: Sequence[Ruling], what: str) -> list[tuple[str, Ruling]]:
    """Rules with marks: their names, which begin with what they are, and of rules of the same name which one it is."""
    marks: dict[str, int] = {}
    found = []
    for rule in rules:
        mark = f"{what} {rule.name or _label(what, rule)}"
        marks[mark] = number = marks.get(mark, 0) + 1
        found.append((mark if number == 1 else f"{mark} #{number}", rule))
    return found


def _label(what: str, rule: LimitOptions | BudgetOptions) -> str:
    """A rule's name where it has none: the same as long as it is about the same."""
    about = [f"per {', '.join(rule.per)}"] if rule.per else []
    filters = ("keys", "users", "tenants", "models", "providers")
    about += [f"{name} {', '.join(getattr(rule, name))}" for name in filters if getattr(rule, name)]
    return " ".join([what, *about]) if about else what
