"""Any order of events: the breaker does what a slow and plain model of it does, and can always be closed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from edgegate.config.option import Duration
from edgegate.config.stages import BreakerOptions
from edgegate.resilience.breaker import LOST_S, Breaker

outcomes = st.sampled_from([True, False, False, None])


@dataclass
class Attempt:
    began: float
    outage: int  # how often the breaker had opened or closed by then; probes of one outage share it
    period: int  # how often its state had changed by then
    probe: bool
    out: bool = True
    kept_place: bool = True


@dataclass
class Model:
    """Remembers every attempt there ever was and works everything out anew."""

    options: BreakerOptions
    state: str = "closed"
    until: float = 0.0
    outage: int = 0
    period: int = 0
    row: list[float] = field(default_factory=list)
    attempts: dict[int, Attempt] = field(default_factory=dict)

    def become(self, state: str) -> str:
        if "closed" in (state, self.state):
            self.outage += 1
        self.period += 1
        self.state = state
        self.row = []
        return state

    def places_taken(self) -> list[Attempt]:
        return [a for a in self.attempts.values() if a.probe and a.outage == self.outage and a.out and a.kept_place]

    def lost(self, now: float) -> list[Attempt]:
        return [a for a in self.places_taken() if now - a.began >= max(self.options.reset, LOST_S)]

    def would_let_in(self, now: float) -> bool:
        if self.state == "closed":
            return True
        if self.state == "open" and now < self.until:
            return False
        return len(self.places_taken()) < self.options.probes or bool(self.lost(now))

    def enter(self, ticket: int, now: float) -> None:
        probe = self.state != "closed"
        if probe and len(self.places_taken()) >= self.options.probes:
            min(self.lost(now), key=lambda a: a.began).kept_place = False
        if self.state == "open":
            self.become("half_open")
        assert ticket not in self.attempts
        self.attempts[ticket] = Attempt(now, self.outage, self.period, probe)

    def leave(self, ticket: int, good: bool | None, now: float) -> str | None:
        attempt = self.attempts[ticket]
        attempt.out = False
        if good is None:
            return None
        if self.state == "closed":
            if good:
                self.row = []
            elif attempt.period == self.period:
                self.row = [t for t in self.row if now - t <= self.options.window] + [now]
                if self.options.failures and len(self.row) >= self.options.failures:
                    self.until = now + self.options.reset
                    return self.become("open")
        elif good:
            if attempt.probe and attempt.outage == self.outage and (self.state == "half_open" or now >= self.until):
                return self.become("closed")
        elif self.state == "half_open" and attempt.period == self.period:
            self.until = now + self.options.reset
            return self.become("open")
        return None


class BreakerMachine(RuleBasedStateMachine):
    @initialize(
        failures=st.sampled_from([0, 1, 1, 2, 2, 3, 4]),
        window=st.sampled_from([2, 10, 60]),
        reset=st.sampled_from([1, 5, 90]),
        probes=st.integers(1, 3),
    )
    def begin(self, failures: int, window: int, reset: int, probes: int) -> None:
        self.options = BreakerOptions(failures, Duration(window), Duration(reset), probes)
        self.breaker = Breaker(self.options)
        self.model = Model(self.options)
        self.now = 1000.0

    def out(self) -> list[int]:
        return [ticket for ticket, attempt in self.model.attempts.items() if attempt.out]

    def seen(self) -> tuple[object, ...]:
        it = self.breaker
        return it.state, it.until, it.failures, it.last_failure, it.ready_at(self.now), it.ready_at(self.now + 1000)

    @rule(by=st.sampled_from([0.5, 1.0, 3.0, 5.0, 20.0, 60.0]))
    def time_passes(self, by: float) -> None:
        self.now += by

    @precondition(lambda self: self.model.state == "open")
    @rule()
    def the_open_time_lapses(self) -> None:
        self.now = max(self.now, self.model.until)

    @precondition(lambda self: self.options.failures and self.model.state == "closed")
    @rule()
    def it_fails_until_it_opens(self) -> None:
        while self.breaker.state == "closed":
            ticket = self.breaker.enter(self.now)
            self.model.enter(ticket, self.now)
            assert self.breaker.leave(ticket, False, self.now) == self.model.leave(ticket, False, self.now)

    @precondition(lambda self: self.model.state == "half_open")
    @rule()
    def a_probe_closes_it(self) -> None:
        probes = [t for t, a in self.model.attempts.items() if a.out and a.probe and a.outage == self.model.outage]
        if probes:
            assert self.breaker.leave(probes[0], True, self.now) == self.model.leave(probes[0], True, self.now) == "closed"

    @rule(times=st.integers(1, 4))
    def attempts_begin(self, times: int) -> None:
        for _ in range(times):
            expected = self.model.would_let_in(self.now)
            ticket = self.breaker.enter(self.now)
            assert bool(ticket) is expected
            if ticket:
                self.model.enter(ticket, self.now)

    @precondition(lambda self: self.out())
    @rule(data=st.data(), good=outcomes)
    def an_attempt_ends(self, data: st.DataObject, good: bool | None) -> None:
        ticket = data.draw(st.sampled_from(self.out()))
        before = self.breaker.state
        changed = self.breaker.leave(ticket, good, self.now)
        assert changed == self.model.leave(ticket, good, self.now)
        assert (changed is None) == (self.breaker.state is before)
        if good is None:
            assert changed is None
        if good is False:
            assert self.breaker.last_failure == self.now

    @rule(data=st.data(), good=outcomes)
    def a_ticket_comes_back_that_is_not_out(self, data: st.DataObject, good: bool | None) -> None:
        ended = [ticket for ticket, attempt in self.model.attempts.items() if not attempt.out]
        before = self.seen()
        assert self.breaker.leave(data.draw(st.sampled_from([*ended, 0, -1, 10**6])), good, self.now) is None
        assert self.seen() == before

    @rule(after=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 4.0, 80.0, 1e9]))
    def another_worker_tells(self, after: float) -> None:
        until = min(self.now + after, self.now + self.options.reset)
        already = self.model.state == "open" and self.model.until >= until
        expected = self.options.failures > 0 and until > self.now and not already
        assert self.breaker.trip(self.now + after, self.now) is expected
        if expected:
            self.model.until = until
            if self.model.state != "open":
                self.model.become("open")

    @invariant()
    def it_is_in_the_state_of_the_model(self) -> None:
        assert self.breaker.state == self.model.state
        if self.model.state == "open":
            assert self.breaker.until == self.model.until
        if self.model.state == "closed" and self.options.failures:
            assert self.breaker.failures == len(self.model.row)

    @invariant()
    def what_it_says_of_the_time_is_true(self) -> None:
        ready = self.breaker.ready_at(self.now)
        assert (ready == self.now) is self.model.would_let_in(self.now)
        assert ready >= self.now

    @invariant()
    def there_are_never_more_probes_than_allowed(self) -> None:
        lost_before = self.now - max(self.options.reset, LOST_S)
        running = [
            a
            for a in self.model.attempts.values()
            if a.probe and a.outage == self.model.outage and a.out and a.kept_place and a.began > lost_before
        ]
        if self.model.state != "closed":
            assert len(running) <= self.options.probes

    @invariant()
    def it_never_opens_where_breakers_are_off(self) -> None:
        if not self.options.failures:
            assert self.breaker.state == "closed"

    @invariant()
    def when_all_goes_well_from_now_on_it_closes_after_one_probe(self) -> None:
        """Attempts under way end well too, when the open time is over at the latest."""
        it, later = copy.deepcopy(self.breaker), self.now + self.options.reset
        for ticket in self.out():
            it.leave(ticket, True, later)
        if it.state != "closed":
            assert it.ready_at(later) == later
            ticket = it.enter(later)
            assert ticket
            it.leave(ticket, True, later)
        assert it.state == "closed"

    @invariant()
    def when_nothing_under_way_ever_ends_it_closes_all_the_same(self) -> None:
        it, later = copy.deepcopy(self.breaker), self.now + max(self.options.reset, LOST_S)
        ticket = it.enter(later)
        assert ticket
        it.leave(ticket, True, later)
        assert it.state == "closed"


def test_the_breaker_does_what_its_model_does() -> None:
    run_state_machine_as_test(BreakerMachine, settings=settings(max_examples=200, stateful_step_count=50, deadline=None))
