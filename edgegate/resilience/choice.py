"""Which target comes next, for one exchange: what was tried, what failed, and how.

A target is asked again only after a fault that may pass (`retries`), never after silence, and while the provider's share of
repeated attempts allows it. A credential that was refused, or that is out of its limits, gives way to another of the same
provider at once; then to an equal target; then, after a wait if the provider asked for a short one, the same again; then to the
next tier. A prompt that is too long goes to the larger models, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from edgegate.config.stages import FailoverOptions
from edgegate.errors import GatewayError
from edgegate.resilience.balance import choose
from edgegate.resilience.board import Board, Lane, TargetState
from edgegate.resilience.retry import Waits
from edgegate.resilience.verdict import Verdict
from edgegate.routing.catalog import Plan, Target


class Step(NamedTuple):
    """The next attempt: where, after how many seconds, and why (the words of the metric `edgegate_retries`)."""

    lane: Lane
    wait_s: float
    reason: str


class Seat(NamedTuple):
    """A target in its place in a plan, and its state: a candidate to choose."""

    target: Target
    state: TargetState

    @property
    def label(self) -> str:
        return self.target.label

    @property
    def weight(self) -> float:
        return self.target.weight

    @property
    def in_flight(self) -> int:
        return self.state.in_flight

    @property
    def latency_s(self) -> float | None:
        return self.state.latency_s


class Choice:
    """See the module. `affinity` gives what keeps one conversation at one target; `chance` a number from 0 to 1."""

    __slots__ = (
        "_affinity",
        "_board",
        "_chance",
        "_larger",
        "_options",
        "_refused",
        "_silent",
        "_spent",
        "_tokens",
        "_tries",
        "_waits",
        "plan",
    )

    def __init__(
        self, plan: Plan, board: Board, options: FailoverOptions, tokens: int, affinity: Callable[[], bytes], chance: Callable[[], float]
    ) -> None:
        self.plan = plan
        self._board = board
        self._options = options
        self._tokens = tokens
        self._affinity = affinity
        self._chance = chance
        self._larger = False  # whether `plan` has become that of the larger models
        self._tries: dict[str, int] = {}
        self._spent: set[str] = set()
        self._silent: set[str] = set()
        self._refused: set[str] = set()  # lanes whose credential this exchange saw refused
        self._waits: dict[str, Waits] = {}

    # -- where to go

    def next(self, now: float, accept: Callable[[Target], bool] | None = None) -> Lane | None:
        """The best lane that may be used now. Targets that are worse than their peers, and providers that were silent, come
        last of all. `accept` narrows the targets."""
        plan = self.plan
        if len(plan.targets) == 1 and accept is None:  # nearly every exchange
            state = self._board.of(plan.targets[0])
            return self._lane(state, now) if self._is_ready(state, now) else None
        seats = [Seat(target, self._board.of(target)) for target in plan.targets if accept is None or accept(target)]
        ready = [seat for seat in seats if self._is_ready(seat.state, now)]
        well = [s for s in ready if not s.state.record.ejected(now) and s.target.provider.name not in self._silent]
        for some in (well, ready):
            for tier, strategy in enumerate(plan.strategies):
                equal = [seat for seat in some if seat.target.tier == tier]
                if equal:
                    return self._chosen(equal, strategy, now)
        return None

    def beside(self, busy: Sequence[Lane], now: float) -> Lane | None:
        """A lane for an attempt beside others: at another target if there is one, else with another credential, else the same."""
        taken = {lane.state.label for lane in busy}
        other = self.next(now, lambda target: target.label not in taken)
        if other is not None:
            return other
        state = busy[0].state
        if not self._is_ready(state, now):
            return None
        fresh = [lane for lane in self._lanes(state, now) if lane not in busy and lane.ready_at(self._tokens, now) <= now]
        return fresh[0] if fresh else self._lane(state, now)

    def target(self, lane: Lane) -> Target:
        """The target of a lane as it stands in this plan; the lane itself may have been made for another."""
        targets = self.plan.targets
        return targets[0] if len(targets) == 1 else next((t for t in targets if t.label == lane.state.label), lane.state.target)

    def others(self, lane: Lane, now: float) -> bool:
        """Whether another target than this lane's could take over."""
        return any(
            target.label not in self._spent and target.label != lane.state.label and self._board.of(target).breaker.ready_at(now) <= now
            for target in self.plan.targets
        )

    def soonest(self, now: float) -> tuple[float, TargetState] | None:
        """When the first of the targets that are left may be used, and which; None if none is left. One whose breaker is open only
        where all are."""
        left = [state for target in self.plan.targets if (state := self._board.of(target)).label not in self._spent]
        well = [state for state in left if state.breaker.ready_at(now) <= now]
        times = [
            (max(state.breaker.ready_at(now), min(lane.ready_at(self._tokens, now) for lane in self._lanes(state, now))), state)
            for state in well or left
        ]
        return min(times, key=lambda pair: pair[0], default=None)

    # -- what failed

    def after(self, lane: Lane, error: GatewayError, verdict: Verdict, now: float) -> Step | None:
        """The next attempt after a failed one; None if the error is the caller's answer."""
        state = lane.state
        label = state.label
        tries = self._tries[label] = self._tries.get(label, 0) + 1
        match verdict:
            case Verdict.CONTEXT if self._larger or self.plan.larger is not None:
                self._spent.add(label)
                self.plan, self._larger = self.plan.larger or self.plan, True
                return self._on("context", now)
            case Verdict.KEY if len(state.lanes) > 1:
                self._board.rest(lane, now)
                self._refused.add(lane.label)
                if other := self._other_lane(lane, now):
                    return Step(other, 0.0, "key")
            case Verdict.SILENT:
                self._spent.add(label)
                self._silent.add(state.target.provider.name)
                return self._on("fallback", now)
            case Verdict.LIMITED | Verdict.RETRY:
                return self._again(lane, error, verdict, tries, now)
        if self._moves_on(error):
            self._spent.add(label)
            return self._on("fallback", now)
        return None

    def note(self, lane: Lane, error: GatewayError, verdict: Verdict, now: float) -> None:
        """An attempt beside others has failed: what it says of its target, without a next attempt."""
        state = lane.state
        tries = self._tries[state.label] = self._tries.get(state.label, 0) + 1
        match verdict:
            case Verdict.KEY if len(state.lanes) > 1:
                self._board.rest(lane, now)
                self._refused.add(lane.label)
            case Verdict.LIMITED:
                self._board.hold(lane, error.retry_after_s or 0.0, now)
            case Verdict.RETRY if tries <= self._options.retries:
                pass
            case _:
                self._spent.add(state.label)
        if verdict is Verdict.SILENT:
            self._silent.add(state.target.provider.name)

    def is_final(self, error: GatewayError, verdict: Verdict) -> bool:
        """Whether the error is the caller's answer, whatever other targets might say."""
        return verdict in (Verdict.FINAL, Verdict.FILTER) and not self._moves_on(error)

    def skip(self, lane: Lane) -> None:
        """This target is out for the rest of the exchange."""
        self._spent.add(lane.state.label)

    def _again(self, lane: Lane, error: GatewayError, verdict: Verdict, tries: int, now: float) -> Step | None:
        state = lane.state
        waits = self._waits.get(state.label)
        if waits is None:
            waits = self._waits[state.label] = Waits(self._options.backoff, self._options.max_backoff)
        wait_s = waits.after(error)
        if verdict is Verdict.LIMITED:
            asked = error.retry_after_s
            self._board.hold(lane, asked if asked is not None else wait_s or 0.0, now)
            if other := self._other_lane(lane, now):
                return Step(other, 0.0, "key")
        tier = next((target.tier for target in self.plan.targets if target.label == state.label), -1)
        if tries > self._options.retries:
            self._spent.add(state.label)
        equal = self.next(now, lambda target: target.label not in self._tries and target.tier == tier)
        if equal is not None:
            return Step(equal, 0.0, "fallback")
        well = wait_s is not None and state.breaker.ready_at(now) <= now + wait_s
        if state.label not in self._spent and wait_s is not None and well and state.may_repeat():
            return Step(lane, wait_s, "retry")
        self._spent.add(state.label)
        return self._on("fallback", now)

    def _on(self, reason: str, now: float) -> Step | None:
        lane = self.next(now)
        return None if lane is None else Step(lane, 0.0, reason)

    def _moves_on(self, error: GatewayError) -> bool:
        also = self._options.also_on
        return bool(also) and (str(error.status) in also or error.code in also)

    # -- what is ready

    def _is_ready(self, state: TargetState, now: float) -> bool:
        if len(state.lanes) == 1 and not self._spent:  # the usual case, in full
            return not state.full and state.breaker.ready_at(now) <= now and state.lanes[0].ready_at(self._tokens, now) <= now
        return (
            state.label not in self._spent
            and not state.full
            and state.breaker.ready_at(now) <= now
            and any(lane.ready_at(self._tokens, now) <= now for lane in self._lanes(state, now))
        )

    def _lanes(self, state: TargetState, now: float) -> list[Lane]:
        lanes = self._board.usable(state, now)
        if not self._refused:
            return lanes
        return [lane for lane in lanes if lane.label not in self._refused] or lanes

    def _lane(self, state: TargetState, now: float) -> Lane:
        """The lane of a target that is ready: by the provider's strategy over its credentials."""
        if len(state.lanes) == 1:
            return state.lanes[0]
        ready = [lane for lane in self._lanes(state, now) if lane.ready_at(self._tokens, now) <= now]
        strategy = state.target.provider.balance
        return ready[choose(strategy, ready, self._affinity() if strategy == "affinity" else b"", self._chance)]

    def _other_lane(self, lane: Lane, now: float) -> Lane | None:
        """Another credential at the same target that may be used now."""
        state = lane.state
        if len(state.lanes) == 1 or state.breaker.ready_at(now) > now:
            return None
        ready = [other for other in self._board.usable(state, now) if other is not lane and other.label not in self._refused]
        return next((other for other in ready if other.ready_at(self._tokens, now) <= now), None)

    def _chosen(self, equal: list[Seat], strategy: str, now: float) -> Lane:
        untried = [seat for seat in equal if seat.label not in self._tries] or equal
        index = choose(strategy, untried, self._affinity() if strategy == "affinity" else b"", self._chance) if len(untried) > 1 else 0
        return self._lane(untried[index].state, now)
