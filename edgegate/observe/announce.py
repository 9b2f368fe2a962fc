"""Who hears of it when a target breaks, recovers or is out of its limits, or prices change: metrics, the event feed, the other
workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from edgegate.observe.events import Events
from edgegate.observe.metrics import MAX_LABEL, Metrics
from edgegate.resilience.breaker import BreakerState
from edgegate.resilience.limits import Quota
from edgegate.routing.catalog import Target

LEVEL = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


class Announcer:
    """Listens to a board. `tell` sends an item to the other workers and never waits."""

    def __init__(self, metrics: Metrics, events: Events, tell: Callable[[dict[str, Any]], None]) -> None:
        self._metrics = metrics
        self._events = events
        self._tell = tell

    def breaker(self, target: Target, state: BreakerState, for_s: float) -> None:
        key = (target.provider.name, target.model[:MAX_LABEL])
        self._metrics.breakers.set(key, LEVEL[state])
        self._metrics.breaker_changes.add((*key, state.value))
        self._events.emit(f"breaker_{state.value}", target=target.label, for_s=round(for_s, 3))
        if state is not BreakerState.HALF_OPEN:
            self._tell({"what": "breaker", "target": target.label, "state": state.value, "for_s": for_s})

    def ejected(self, target: Target, for_s: float) -> None:
        self._events.emit("target_ejected", target=target.label, for_s=round(for_s, 3))

    def held(self, target: Target, key: int, for_s: float) -> None:
        self._tell({"what": "hold", "target": target.label, "key": key, "for_s": for_s})

    def key_rests(self, provider: str, key: int, for_s: float) -> None:
        self._events.emit("key_rests", provider=provider, key=key, for_s=round(for_s, 3))

    def quotas(self, target: Target, key: int, quotas: Iterable[Quota]) -> None:
        self._tell({"what": "quota", "target": target.label, "key": key, "quotas": [list(quota) for quota in quotas]})


def announce_prices(metrics: Metrics, events: Events) -> Callable[[bool, str], None]:
    """What `PriceWatch` tells a change to: whether it was taken, and the version in force or what is wrong."""

    def told(taken: bool, text: str) -> None:
        metrics.price_reloads.add(("taken" if taken else "refused",))
        if taken:
            events.emit("prices_changed", version=text)
        else:
            events.emit("prices_refused", reason=text)

    return told
