"""What a limit or a budget counts: one counter for each rule, subject, unit and, for budgets, period.

Units are whole numbers: requests, tokens, exchanges at once, nano-dollars. A counter's name is the same in every worker and in
every store, so that all count the same thing.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """How units come back. WINDOW: `window_s` after they were taken (see `window.py`). BUCKET: evenly (`bucket.py`). HELD: when
    somebody gives them back, else never (`held.py`): concurrency, and the money and tokens of one period."""

    WINDOW = "window"
    BUCKET = "bucket"
    HELD = "held"


class Unit(enum.StrEnum):
    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENCY = "concurrency"
    NANO_USD = "usd"


@dataclass(frozen=True, slots=True)
class Counter:
    """See the module. `rule` and `subject` are for people: `budget of tenant`, `acme`. `since` and `ends` are Unix seconds: the
    period of a budget. `spends`: what is settled stays spent (budgets), so that the ledger knows it too. A soft counter (`hard`
    false) counts and alerts, but never refuses."""

    name: str
    kind: Kind
    unit: Unit
    limit: int
    rule: str = ""
    subject: str = ""
    window_s: float = 0.0  # WINDOW: the stretch; BUCKET: the time in which `limit` units come back
    burst: int = 0  # BUCKET: units it holds when full
    since: float = 0.0
    ends: float = math.inf
    spends: bool = False
    hard: bool = True
    alerts: tuple[float, ...] = ()
    scope: Scope | None = None  # of budgets: which rows of the ledger count


@dataclass(frozen=True, slots=True)
class Scope:
    """Which attempts a rule is about: `equal` has the subject, by dimension; the others are patterns, `*` at the end matching any
    rest, of which one must match where there are any."""

    equal: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()

    def covers(self, key: str, user: str, tenant: str, model: str, provider: str) -> bool:
        """Whether an attempt of this key, user, tenant, model and provider counts."""
        values = {"key": key, "user": user, "tenant": tenant, "model": model, "provider": provider}
        return all(values.get(name) == value for name, value in self.equal) and (
            matches(self.keys, key)
            and matches(self.users, user)
            and matches(self.tenants, tenant)
            and matches(self.models, model)
            and matches(self.providers, provider)
        )


def matches(patterns: tuple[str, ...], value: str) -> bool:
    """Whether a value is one of these; `*` at a pattern's end matches any rest. No patterns match everything."""
    if not patterns:
        return True
    return any(value == p or (p.endswith("*") and value.startswith(p[:-1])) for p in patterns)
