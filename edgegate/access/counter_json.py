"""A counter as JSON and back, for stores that remember it: whoever buries a holder reads from there what to look up in the ledger."""

from __future__ import annotations

import math
from typing import Any

from edgegate.access.counters import Counter, Kind, Scope, Unit

_PATTERNS = ("keys", "users", "tenants", "models", "providers")


def counter_json(counter: Counter) -> dict[str, Any]:
    """JSON knows no infinity: a counter without an end has `ends` null."""
    scope = counter.scope
    return {
        "name": counter.name,
        "kind": counter.kind.value,
        "unit": counter.unit.value,
        "limit": counter.limit,
        "rule": counter.rule,
        "subject": counter.subject,
        "window_s": counter.window_s,
        "burst": counter.burst,
        "since": counter.since,
        "ends": None if counter.ends == math.inf else counter.ends,
        "spends": counter.spends,
        "hard": counter.hard,
        "alerts": list(counter.alerts),
        "scope": None
        if scope is None
        else {"equal": [list(pair) for pair in scope.equal], **{name: list(getattr(scope, name)) for name in _PATTERNS}},
    }


def counter_of(state: dict[str, Any]) -> Counter:
    """Of what `counter_json` gave."""
    scope = state["scope"]
    return Counter(
        name=state["name"],
        kind=Kind(state["kind"]),
        unit=Unit(state["unit"]),
        limit=state["limit"],
        rule=state["rule"],
        subject=state["subject"],
        window_s=state["window_s"],
        burst=state["burst"],
        since=state["since"],
        ends=math.inf if state["ends"] is None else state["ends"],
        spends=state["spends"],
        hard=state["hard"],
        alerts=tuple(state["alerts"]),
        scope=None
        if scope is None
        else Scope(
            equal=tuple((name, value) for name, value in scope["equal"]),
            **{name: tuple(scope[name]) for name in _PATTERNS},
        ),
    )
