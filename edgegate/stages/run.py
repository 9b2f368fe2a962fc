"""The attempts of one exchange, from the first target to the one that begins to answer, or to the last error."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from edgegate.chain import Proceed
from edgegate.dialects.base import Operation
from edgegate.dialects.quotas import quotas
from edgegate.errors import GatewayError, Source, provider_error
from edgegate.exchange import Attempt, Exchange, Reply
from edgegate.resilience.board import Lane
from edgegate.resilience.breaker import BreakerState
from edgegate.resilience.choice import Choice
from edgegate.resilience.timeouts import TIMEOUT, left_s
from edgegate.resilience.verdict import Verdict, verdict
from edgegate.routing.catalog import Plan
from edgegate.routing.prefill import accepts_prefill
from edgegate.stages.affinity import affinity
from edgegate.stages.midstream import NO_TARGET_LEFT, resumable, wanted
from edgegate.stages.unasked import BUSY, NotAsked, busy, held, unavailable
from edgegate.taps import Outcome

if TYPE_CHECKING:
    from edgegate.stages.failover import Failover

FAULTS = frozenset({Verdict.RETRY, Verdict.SILENT})
"""Verdicts that speak against a target. A rate limit, a refused credential or a bad request do not."""


class Running:
    """An attempt that has begun to answer. Its end is told to the board when the exchange ends, or when its stream breaks."""

    __slots__ = ("_attempt", "_lane", "_over", "_run", "_status", "_ticket")

    def __init__(self, run: Run, lane: Lane, ticket: int, attempt: Attempt, status: int) -> None:
        self._run = run
        self._lane = lane
        self._ticket = ticket
        self._attempt = attempt
        self._status = status
        self._over = False

    @property
    def lane(self) -> Lane:
        return self._lane

    @property
    def broken(self) -> bool:
        """Whether the attempt is known to have ended."""
        return self._attempt.outcome is not None

    def end(self, ex: Exchange) -> None:
        """Called at the end of the exchange, and perhaps before."""
        if self._over:
            return
        self._over = True
        attempt = self._attempt
        match attempt.outcome:
            case Outcome.OK:
                good: bool | None = self._status < 500  # a relayed path passes a provider's error on as a reply
            case Outcome.UPSTREAM_BROKE | Outcome.TIMEOUT | Outcome.FAILED:
                good = None if attempt.error in attempt.hurried else False
            case _:
                good = None
        first = attempt.first or attempt.ended
        self._run.stage.ended(self._lane, self._ticket, good, first - attempt.started if good else None, self._run.choice.plan.targets)


class Run:
    """The attempts of one exchange."""

    __slots__ = ("_begun", "_error", "_ex", "_held_until", "_left", "_proceed", "_tokens", "_until", "choice", "stage")

    def __init__(self, stage: Failover, ex: Exchange, proceed: Proceed, plan: Plan) -> None:
        self.stage = stage
        self._ex = ex
        self._proceed = proceed
        self._left = stage.options.attempts if ex.upload is None else 1  # a streamed upload cannot be sent twice
        self._tokens = len(ex.body) >> 2  # a rough count is enough to compare with what is left of a limit
        self._until = 0.0  # when no further attempt starts
        self._held_until: float | None = None  # when no lane is waited for any more
        self._begun: list[Running] = []
        self._error: GatewayError | None = None  # the last one of a provider
        self.choice = Choice(plan, stage.board, stage.options, self._tokens, lambda: affinity(ex), stage.chance)

    async def answer(self) -> Reply:
        """The reply of the first attempt that began to answer. Raises the error of the last one."""
        stage, ex = self.stage, self._ex
        now = stage.clock()
        self._until = now + stage.options.budget
        if TIMEOUT in ex.headers:
            self._until = min(self._until, now + self._allowed())
        if ex.stream and ex.operation is Operation.CHAT:
            ex.midstream = wanted(ex, stage.options.midstream if len(self.choice.plan.targets) > 1 else "error")
        lane = self.choice.next(now) or await self._wait()
        lane.state.sent()
        while True:
            try:
                if stage.hedges is not None and self._left > 1 and ex.operation is not Operation.RELAY:
                    reply = await stage.hedges.race(self, ex, lane)
                else:
                    reply = await self.attempt(ex, lane)
                break
            except GatewayError as error:
                lane = await self.following(lane, error)
        if ex.midstream and not isinstance(reply.body, bytes):
            return resumable(ex, reply, self.another, stage.tasks.spawn)
        return reply

    # -- one attempt

    async def attempt(self, ex: Exchange, lane: Lane) -> Reply:
        """One attempt on a lane, for the exchange or a fork of it. Raises the `GatewayError` that it ends with."""
        stage = self.stage
        now = stage.clock()
        if lane.state.full:  # since the lane was chosen
            raise busy(lane.state.target)
        ticket = stage.board.enter(lane, self._tokens, now)
        if not ticket:  # somebody else has just found it broken, or is trying it
            raise unavailable(lane, lane.state.breaker.ready_at(now) - now)
        self._left -= 1
        good: bool | None = None  # until it is known to have ended well or badly, whatever happens
        latency_s: float | None = None
        running: Running | None = None
        try:
            ex.aim(self.choice.target(lane), lane.key, self._patience(ex, lane, now))
            reply = await self._proceed(ex)
            attempt = ex.attempt
            if attempt is None:  # answered without asking the provider
                return reply
            if reply.status < 400 and (lane.asking or lane.state.breaker.state is not BreakerState.CLOSED):
                stage.board.answered(lane, ticket, stage.clock())
            if attempt.headers:
                self._learn(attempt, lane)
            if isinstance(reply.body, bytes):
                attempt.outcome = attempt.outcome or Outcome.OK
                attempt.ended = ended = attempt.ended or attempt.first
                good, latency_s = True, ended - attempt.started
            else:
                running = Running(self, lane, ticket, attempt, reply.status)
            return reply
        except GatewayError as error:
            if _is_fault(error, ex.attempt):
                good = False
            if ex.attempt is not None:
                self._learn(ex.attempt, lane)
            raise
        finally:
            if running is None:
                stage.ended(lane, ticket, good, latency_s, self.choice.plan.targets)
            else:
                self._begun.append(running)
                ex.on_end.append(running.end)

    def settle(self, left: bool = False) -> None:
        """Tells the board of those attempts that began to answer and are over before the exchange is; of all, if the caller left."""
        for running in self._begun:
            if left or running.broken:
                running.end(self._ex)

    async def following(self, lane: Lane, error: GatewayError) -> Lane:
        """The lane of the next attempt, when it is time for it. Raises the error if there is none."""
        stage = self.stage
        now = stage.clock()
        if isinstance(error, NotAsked):
            if error.code == BUSY:
                return await self._wait()
            self.choice.skip(lane)
            other = self.choice.next(now)
            if other is None:
                raise self._error or error
            return other
        self._error = error
        found = verdict(error)
        if found is Verdict.RETRY and self._was_slow() and self.choice.others(lane, now):
            found = Verdict.SILENT
        following = self.choice.after(lane, error, found, now) if self._left > 0 else None
        if following is None or now + following.wait_s > self._until:
            raise error
        stage.metrics.retries.add((following.lane.state.target.provider.name, following.reason))
        if following.wait_s:
            await asyncio.sleep(following.wait_s)
        return following.lane

    async def another(self, ex: Exchange, prefill: bool) -> Reply:
        """One attempt more for a fork of an exchange whose stream broke; with a prefill only where that is accepted. Raises
        `GatewayError` when it fails or no target is left."""
        stage = self.stage
        self.settle()
        for running in self._begun:
            if running.broken:
                self.choice.skip(running.lane)
        now = stage.clock()
        lane = self.choice.next(now, accepts_prefill if prefill else None)
        if lane is None or self._left <= 0 or self._allowed() <= 0:
            raise provider_error(502, NO_TARGET_LEFT, "no other target is left to go on with", retryable=False)
        stage.metrics.retries.add((lane.state.target.provider.name, "midstream"))
        try:
            return await self.attempt(ex, lane)
        except GatewayError as error:
            if not prefill or verdict(error) is not Verdict.FINAL:  # one that refuses the prefill may still answer anew
                self.choice.skip(lane)
            raise

    def note(self, lane: Lane, error: GatewayError) -> None:
        """An attempt beside others has failed; what comes next is decided by the first one's error."""
        if not isinstance(error, NotAsked):
            self._error = error
            self.choice.note(lane, error, verdict(error), self.stage.clock())

    def is_final(self, error: GatewayError, *, first: bool) -> bool:
        """Whether a failed attempt ends the others beside it: a refusal of the content does, and what is the caller's own fault if
        the first one says so."""
        found = verdict(error)
        return (first or found is Verdict.FILTER) and self.choice.is_final(error, found)

    def may_hedge(self, beside: Lane, first: Lane) -> bool:
        """Whether an attempt may be made beside the first. At the same provider it is a repeated one, which has its share."""
        state = beside.state
        return state.target.provider.name != first.state.target.provider.name or state.may_repeat()

    def beside(self, busy: list[Lane]) -> Lane | None:
        """The lane for an attempt beside those that run, while new ones may start."""
        now = self.stage.clock()
        return self.choice.beside(busy, now) if self._left > 0 and now <= self._until else None

    # -- inside

    def _allowed(self) -> float:
        """Seconds that are left of the time that the caller allows for everything."""
        ex = self._ex
        return left_s(ex.headers, time.monotonic() - ex.started)

    def _was_slow(self) -> bool:
        """Whether the last attempt took so long to fail that the same again would be too much to ask of the caller."""
        attempt, limit = self._ex.attempt, self.stage.options.first_token
        return attempt is not None and 0 < limit < attempt.ended - attempt.started

    def _patience(self, ex: Exchange, lane: Lane, now: float) -> float:
        """How long this attempt may take to begin, if another target could take over."""
        if self._left <= 0 or len(self.choice.plan.targets) == 1 or ex.operation is Operation.RELAY or not self.choice.others(lane, now):
            return 0.0
        return float(self.stage.options.first_token if ex.stream else self.stage.options.plain_reply)

    def _learn(self, attempt: Attempt, lane: Lane) -> None:
        found = quotas(attempt.headers, time.time())
        if found:
            self.stage.board.learn(lane, found, self.stage.clock())

    async def _wait(self) -> Lane:
        """A lane when none is ready: held back for the vendor's limits, or full. Raises what a provider said before, else a 429 or
        503, when it would take too long; an open breaker is not waited for."""
        stage = self.stage
        if self._held_until is None:
            self._held_until = min(stage.clock() + stage.options.max_backoff, self._until)
        until = self._held_until
        while True:
            now = stage.clock()
            lane = self.choice.next(now) if now < until else None
            if lane is not None:
                return lane
            soonest = self.choice.soonest(now)
            if soonest is None:
                raise self._error or GatewayError(500, "no_target", "route found no target")
            at, state = soonest
            if state.breaker.ready_at(now) > now:
                raise self._error or unavailable(state.lanes[0], at - now)
            if at > until or now >= until:
                raise self._error or (busy(state.target) if at <= now else held(state.target, at - now))
            if at > now:
                await asyncio.sleep(at - now)
            else:
                await stage.room(until - now)


def _is_fault(error: GatewayError, attempt: Attempt | None) -> bool:
    """Whether a failed attempt speaks against its target. Not if nobody was asked, or in less time than the operator allows."""
    if attempt is None or error.source is not Source.PROVIDER or error.code in attempt.hurried:
        return False
    return verdict(error) in FAULTS
