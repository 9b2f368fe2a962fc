"""What is known of the targets: which are broken, slow, full, or have asked for patience. One board per configuration and worker.

A target has a breaker and a record of its attempts; each credential it may be asked with is a lane of its own, with what the
vendor's headers said of its limits. What happens on one lane is told to `listener`, which passes it on to metrics, events and
the other workers; what they tell comes in by `heard`. Times are in seconds on a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from edgegate.config.stages import FailoverOptions
from edgegate.resilience.breaker import Breaker, BreakerState
from edgegate.resilience.limits import Learned, Quota
from edgegate.resilience.outlier import Record
from edgegate.resilience.retry import RetryBudget
from edgegate.routing.catalog import Target

MAX_TARGETS = 4096
"""Targets remembered. Clients may choose names (`provider/model`), so the memory has an end."""

KEY_RESTS_S = 60.0
"""How long a credential that was refused is used only where no other is left."""

HOLD_S = 60.0
"""Longest time for which nothing is sent on a lane because its vendor said so. If the vendor's own time is longer, one request at a
time asks again from then on: vendors recover early, and some say nonsense."""

ASKING_S = 10.0
"""How long the others wait for what becomes of a request that asks again."""

DOUBT_S = 600.0
"""How long a lane's limits are not believed after a request was answered that they forbade."""

ALL = "*"
"""Stands for every target in what workers tell each other of a reset."""

SCARCE = 0.1
"""Share of a vendor's limit below which what remains of it is told to the other workers."""


class Listener(Protocol):
    """Who wants to know of changes."""

    def breaker(self, target: Target, state: BreakerState, for_s: float) -> None: ...

    def ejected(self, target: Target, for_s: float) -> None: ...

    def held(self, target: Target, key: int, for_s: float) -> None: ...

    def key_rests(self, provider: str, key: int, for_s: float) -> None: ...

    def quotas(self, target: Target, key: int, quotas: Iterable[Quota]) -> None: ...


class Lane:
    """One credential at one target."""

    __slots__ = (
        "asked_until",
        "asking",
        "doubted_until",
        "doubts",
        "held_until",
        "in_flight",
        "key",
        "label",
        "learned",
        "state",
        "weight",
    )

    def __init__(self, state: TargetState, key: int) -> None:
        self.state = state
        self.key = key
        self.label = f"{state.label}#{key}"
        self.weight = 1.0
        self.in_flight = 0
        self.held_until = 0.0
        self.asked_until = 0.0  # the vendor's own time, where that is longer
        self.asking = 0  # ticket of the attempt that finds out whether it is over all the same
        self.doubts = False  # whether it goes against the limits that were learned
        self.doubted_until = 0.0
        self.learned: Learned | None = None

    @property
    def latency_s(self) -> float | None:
        return self.state.latency_s

    def hold(self, for_s: float, now: float) -> bool:
        """The vendor asked for so much patience. Whether that is longer than what was known."""
        if for_s > HOLD_S:
            self.asked_until = max(self.asked_until, now + for_s)
        until = now + min(for_s, HOLD_S)
        if until <= self.held_until:
            return False
        self.held_until = until
        return True

    def ask(self, ticket: int, tokens: int, now: float) -> None:
        """If the attempt that begins goes against the vendor's word, because that has stood for too long, it is the only one to do so."""
        learned = self.learned
        doubts = learned is not None and now >= learned.heard + HOLD_S and learned.ready_at(tokens, now) > now
        if doubts or now < self.asked_until:
            self.asking, self.doubts = ticket, doubts
            self.held_until = max(self.held_until, now + ASKING_S)

    def ready_at(self, tokens: int, now: float) -> float:
        """When a request of so many tokens may be sent on it: `now` or later. The target's own state is not asked."""
        at = self.held_until if self.held_until > now else now
        learned = self.learned
        return at if learned is None else max(at, min(learned.ready_at(tokens, now), learned.heard + HOLD_S))


class TargetState:
    """One target."""

    __slots__ = ("_budget", "breaker", "in_flight", "label", "lanes", "max_in_flight", "record", "target")

    def __init__(self, target: Target, options: FailoverOptions, budget: RetryBudget) -> None:
        self.target = target
        self.label = target.label
        self.in_flight = 0
        self.max_in_flight = target.provider.max_in_flight
        self.breaker = Breaker(options.breaker)
        self.record = Record(options.outliers)
        self.lanes = tuple(Lane(self, key) for key in range(max(1, target.provider.keys)))
        self._budget = budget

    @property
    def latency_s(self) -> float | None:
        return self.record.latency_s

    @property
    def full(self) -> bool:
        return 0 < self.max_in_flight <= self.in_flight

    @property
    def harmless(self) -> bool:
        """Whether nothing is held against it that should be remembered."""
        return self.breaker.state is BreakerState.CLOSED and not any(lane.held_until for lane in self.lanes)

    def may_repeat(self) -> bool:
        """Whether the share of repeated attempts at this provider allows one more."""
        return self._budget.retry()

    def sent(self) -> None:
        """A first attempt of an exchange goes to this provider."""
        self._budget.sent()


class Board:
    """See the module."""

    def __init__(self, options: FailoverOptions, listener: Listener) -> None:
        self._options = options
        self._listener = listener
        self._states: dict[str, TargetState] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._resting: dict[tuple[str, int], float] = {}  # (provider, key) -> until when

    def of(self, target: Target) -> TargetState:
        """The state of a target. The same name has the same state, whatever its place in a plan."""
        state = self._states.get(target.label)
        if state is None:
            if len(self._states) >= MAX_TARGETS:
                self._forget()
            budget = self._budgets.setdefault(target.provider.name, RetryBudget(self._options.retry_budget))
            state = self._states[target.label] = TargetState(target, self._options, budget)
        return state

    def _forget(self) -> None:
        """Drops targets that are not in use: those of which nothing bad is known, else the older half. A caller that makes names
        up must not make the breakers of real targets forgotten."""
        idle = [label for label, state in self._states.items() if not state.in_flight]
        harmless = [label for label in idle if self._states[label].harmless]
        for label in harmless if len(harmless) >= MAX_TARGETS // 4 else idle[: MAX_TARGETS // 2]:
            del self._states[label]

    # -- attempts

    def enter(self, lane: Lane, tokens: int, now: float) -> int:
        """An attempt begins. Returns its ticket for `leave`, 0 if the breaker does not let it through."""
        state = lane.state
        before = state.breaker.state
        ticket = state.breaker.enter(now)
        if ticket:
            lane.in_flight += 1
            state.in_flight += 1
            if lane.asked_until or lane.learned is not None:
                lane.ask(ticket, tokens, now)
            if lane.learned is not None:
                lane.learned.spend(tokens)
            if state.breaker.state is not before:
                self._listener.breaker(state.target, state.breaker.state, 0.0)
        return ticket

    def answered(self, lane: Lane, ticket: int, now: float) -> None:
        """The vendor has begun to answer an attempt. If it went against the vendor's word, that was wrong."""
        lane.state.breaker.begun(ticket)
        if lane.asking == ticket:
            lane.asking = 0
            if lane.doubts:
                lane.learned = None
                lane.doubted_until = now + DOUBT_S
            lane.held_until = lane.asked_until = 0.0

    def leave(self, lane: Lane, ticket: int, good: bool | None, latency_s: float | None, now: float, peers: Iterable[Target] = ()) -> None:
        """An attempt has ended: well, badly, or in a way that says nothing of the target (None). Called once for each `enter`.
        `peers`: the targets it is compared with."""
        state = lane.state
        lane.in_flight -= 1
        state.in_flight -= 1
        if lane.asking == ticket:
            lane.asking = 0
        changed = state.breaker.leave(ticket, good, now)
        if changed is not None:
            self._listener.breaker(state.target, changed, max(0.0, state.breaker.until - now) if changed is BreakerState.OPEN else 0.0)
        if good is None:
            return
        state.record.add(good, latency_s, now)
        others = [self.of(peer).record for peer in peers if peer.label != state.label]
        if others and state.record.judge(others, now):
            self._listener.ejected(state.target, state.record.stands_back_s(now))

    def learn(self, lane: Lane, quotas: tuple[Quota, ...], now: float) -> None:
        """What a reply's headers said of the vendor's limits."""
        if now < lane.doubted_until:
            return
        if lane.learned is None:
            lane.learned = Learned()
        lane.learned.learn(quotas, now)
        if any(quota.remaining <= SCARCE * (quota.limit or 100.0) for quota in quotas):
            self._listener.quotas(lane.state.target, lane.key, quotas)

    def hold(self, lane: Lane, for_s: float, now: float) -> None:
        """The vendor refused a request for its rate: nothing is sent on this lane for so long, but see `HOLD_S`."""
        if lane.hold(for_s, now):
            self._listener.held(lane.state.target, lane.key, for_s)

    def rest(self, lane: Lane, now: float) -> None:
        """The vendor refused the credential itself."""
        provider = lane.state.target.provider.name
        self._resting[provider, lane.key] = now + KEY_RESTS_S
        self._listener.key_rests(provider, lane.key, KEY_RESTS_S)

    def usable(self, state: TargetState, now: float) -> list[Lane]:
        """The lanes whose credentials have not been refused of late; all of them if every one has."""
        if not self._resting or len(state.lanes) == 1:
            return list(state.lanes)
        provider = state.target.provider.name
        fresh = [lane for lane in state.lanes if self._resting.get((provider, lane.key), 0.0) <= now]
        return fresh or list(state.lanes)

    # -- other workers, and people

    def heard(self, item: Mapping[str, Any], find: Callable[[str], Target | None], now: float, age_s: float = 0.0) -> None:
        """What another worker told so long ago: the times in it count from then. `find`: the target of a label, None for one that
        this configuration does not have."""
        if item.get("what") == "reset":
            self.reset(None if item["target"] == ALL else item["target"])
            return
        target = find(str(item.get("target", "")))
        if target is None:
            return
        state = self.of(target)
        told = now - age_s
        match item.get("what"):
            case "breaker" if item.get("state") == BreakerState.OPEN:
                state.breaker.trip(told + float(item["for_s"]), now)
            case "hold":
                lane = state.lanes[int(item["key"])]
                lane.hold(float(item["for_s"]), told)
            case "quota":
                lane = state.lanes[int(item["key"])]
                if now >= lane.doubted_until:
                    lane.learned = lane.learned or Learned()
                    lane.learned.learn(tuple(Quota(*quota) for quota in item["quotas"]), told)

    def reset(self, label: str | None) -> list[str]:
        """Forgets what is held against a target, or against all; their labels."""
        found = [name for name in self._states if label is None or name == label]
        for name in found:
            state = self._states[name]
            changed = state.breaker.state is not BreakerState.CLOSED
            fresh = TargetState(state.target, self._options, self._budgets[state.target.provider.name])
            state.breaker, state.record = fresh.breaker, fresh.record
            for lane in state.lanes:
                lane.held_until = lane.asked_until = lane.doubted_until = 0.0
                lane.asking, lane.learned = 0, None
                self._resting.pop((state.target.provider.name, lane.key), None)
            if changed:
                self._listener.breaker(state.target, BreakerState.CLOSED, 0.0)
        return found

    def snapshot(self, now: float) -> dict[str, Any]:
        """Everything by target's label; times as seconds from now or ago, None where there is nothing to say."""
        return {label: self._shown(state, now) for label, state in self._states.items()}

    def _shown(self, state: TargetState, now: float) -> dict[str, Any]:
        breaker, provider = state.breaker, state.target.provider.name
        return {
            "state": breaker.state.value,
            "failure_count": breaker.failures,
            "last_failure_ago_s": now - breaker.last_failure if breaker.last_failure else None,
            "open_for_s": max(0.0, breaker.until - now) if breaker.state is BreakerState.OPEN else None,
            "in_flight": state.in_flight,
            "latency_s": state.latency_s,
            "error_rate": state.record.error_rate(now),
            "ejected_for_s": state.record.stands_back_s(now) or None,
            "keys": [
                {
                    "held_for_s": lane.held_until - now if lane.held_until > now else None,
                    "refused_for_s": rests - now if (rests := self._resting.get((provider, lane.key), 0.0)) > now else None,
                    "in_flight": lane.in_flight,
                }
                for lane in state.lanes
            ],
        }
