"""What happens when a chat stream breaks after its first bytes went to the caller. Used by failover, which owns the targets.

`continue`: another target goes on writing. `restart`: another one is asked anew, and what the caller has is left out of its
answer, if it begins with just that. Else, and wherever nothing can be gone on with, the stream ends in the explicit error that
broke it: never in a silent cut, never in two answers mixed, never in an error of a further attempt that nobody asked for.

The first stream goes through in the same call, read along; a task exists only from a break until the next stream is attached.
The splice is in the neutral chat format, which `translate` provides for while `ex.midstream` is set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from edgegate.dialects.base import Usage
from edgegate.dialects.resume import Sent, Splice, is_continuable, prefilled, total
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.exchange import Attempt, Body, Exchange, Reply, Sink
from edgegate.stages.translate import CHAT_FORMAT
from edgegate.taps import Outcome

HEADER = "x-edgegate-midstream"
CONTINUE = "continue"
RESTART = "restart"
RANKS = {"error": 0, RESTART: 1, CONTINUE: 2}

NO_TARGET_LEFT = "no_target_left"

Another = Callable[[Exchange, bool], Awaitable[Reply]]
"""One attempt at the next target with a fork. The flag asks for a target that accepts a prefill. Raises `GatewayError` when the
attempt fails, or, with the code `NO_TARGET_LEFT`, when there is none to make. No number of attempts is without end."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Makes a task that its maker owns and, at the latest, cancels at the end."""


def wanted(ex: Exchange, allowed: str) -> str:
    """What `Exchange.midstream` should be where the operator allows this: `continue`, `restart` or "". A caller may ask for less
    by its header; more than is allowed is not given. Raises a 400 for any other word."""
    asked = ex.headers.get(HEADER)
    if asked is not None:
        asked = asked.strip().lower()
        if asked not in RANKS:
            raise bad_request(f"expected {HEADER} to be error, restart or continue", HEADER)
        if RANKS[asked] < RANKS[allowed]:
            allowed = asked
    return "" if allowed == "error" else allowed


def resumable(ex: Exchange, reply: Reply, another: Another, spawn: Spawn) -> Reply:
    """The reply with a body that survives the break of its stream, as far as `ex.midstream` says and the request lets it.
    `ex.midstream` becomes what is really in force: the reply's head tells the caller."""
    policy = ex.midstream = _policy(ex, reply)
    if policy and not isinstance(reply.body, bytes):
        reply.headers = [*reply.headers, (b"x-edgegate-midstream", policy.encode())]
        reply.body = Resumable(ex, reply.body, another, spawn)
    return reply


def _policy(ex: Exchange, reply: Reply) -> str:
    if not ex.midstream or not reply.stream or reply.format != CHAT_FORMAT or isinstance(reply.body, bytes):
        return ""
    request = ex.request
    chat = request if ex.client.format == CHAT_FORMAT else ex.neutral()
    if chat.get("functions") or chat.get("n") not in (None, 1):  # the old way of function calling is not that of other vendors
        return ""
    return ex.midstream if ex.midstream == RESTART or is_continuable(chat) else RESTART


class Resumable:
    """A `Body` to the caller, a `Sink` to the first stream. States: a stream is live; a gap, in which a task looks for the next
    one; over. `_cause` is the first break: what the caller is told if nothing can be gone on with."""

    __slots__ = (
        "_another",
        "_attempt",
        "_cause",
        "_ex",
        "_live",
        "_over",
        "_paused",
        "_policy",
        "_sent",
        "_sink",
        "_spawn",
        "_spent",
        "_task",
    )

    def __init__(self, ex: Exchange, body: Body, another: Another, spawn: Spawn) -> None:
        self._ex = ex
        self._another = another
        self._spawn = spawn
        self._policy = ex.midstream
        self._sent = Sent()
        self._spent = Usage()
        self._live: Body | None = body
        self._attempt = _attempt_of(ex)
        self._sink: Sink | None = None
        self._task: asyncio.Task[None] | None = None
        self._cause: tuple[Outcome, GatewayError] | None = None
        self._paused = False
        self._over = False

    # -- edgegate.exchange.Body, for the relay

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        if self._live is not None:
            self._live.attach(self)

    def pause(self) -> None:
        self._paused = True
        if self._live is not None:
            self._live.pause()

    def resume(self) -> None:
        self._paused = False
        if self._live is not None:
            self._live.resume()

    def abort(self) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()
        live, self._live = self._live, None
        if live is not None:
            live.abort()

    # -- edgegate.exchange.Sink, for the first stream

    def push(self, data: bytes) -> None:
        if self._sink is not None and not self._over:
            self._sink.push(data)
            self._sent.feed(data)

    def finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        self.ended(outcome, error)

    # -- for every stream

    def is_live(self, body: Body) -> bool:
        return self._live is body

    def write(self, data: bytes) -> None:
        if self._sink is not None and not self._over:
            self._sink.push(data)

    def ended(self, outcome: Outcome, error: GatewayError | None) -> None:
        """The live stream is over."""
        self._live = None
        if self._over:
            return
        if error is None:
            self._end(outcome, None)
            return
        _close(self._attempt, outcome, error.code)
        self._cause = self._cause or (outcome, error)
        if not self._may_go_on(outcome, error):
            self._give_up()
            return
        if self._attempt is not None and self._attempt.usage.reported:
            self._spent = total(self._spent, self._attempt.usage)
        task = self._task = self._spawn(self._go_on())
        task.add_done_callback(self._settled)

    def diverged(self, body: Body) -> None:
        """The live stream turned out to be another answer."""
        self._live = None
        body.abort()
        _close(self._attempt, Outcome.CANCELLED, "diverged")
        self._give_up()

    # -- inside

    def _may_go_on(self, outcome: Outcome, error: GatewayError) -> bool:
        fault = outcome in (Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT) and error.source is Source.PROVIDER and error.retryable
        return fault and not self._sent.fixed and not self._sent.finished

    async def _go_on(self) -> None:
        """Attempts until one begins to answer. It is attached in the same step: nothing of it can be lost."""
        while True:
            fork, prefill = self._fork()
            try:
                reply = await self._another(fork, prefill)
            except GatewayError as error:
                if prefill and not error.retryable:  # refused, or nobody accepts one
                    self._policy = RESTART
                elif error.code == NO_TARGET_LEFT:
                    self._give_up()
                    return
                continue
            body = reply.body
            if isinstance(body, bytes):
                continue
            if reply.format != CHAT_FORMAT:
                body.abort()
                _close(_attempt_of(fork), Outcome.CANCELLED, "not_resumable")
                continue
            self._join(fork, body, prefill)
            return

    def _fork(self) -> tuple[Exchange, bool]:
        """The exchange of the next attempt, and whether it is to go on writing."""
        ex = self._ex
        fork = ex.fork()
        chat = prefilled(ex.neutral(), self._sent) if self._policy == CONTINUE else None
        if chat is not None:
            fork.rewrite(chat)
        elif ex.client.format != CHAT_FORMAT:
            fork.rewrite(ex.neutral())  # the reply must come in neutral form
        return fork, chat is not None

    def _join(self, fork: Exchange, body: Body, prefill: bool) -> None:
        sent = self._sent
        text = sent.text
        blanks = text[len(text.rstrip()) :]
        splice = Splice(sent, self._spent, blanks=blanks) if prefill else Splice(sent, self._spent, again=text)
        self._ex.adopt(fork)
        self._attempt = _attempt_of(fork)
        self._live = body
        body.attach(_Further(self, body, splice))
        if self._paused and self._live is body:
            body.pause()

    def _settled(self, task: asyncio.Task[None]) -> None:
        """A task that ended without a stream to go on with, because it was cancelled or by a fault, must not leave the caller waiting."""
        if task is self._task:
            self._task = None
            if self._live is None:
                self._give_up()

    def _give_up(self) -> None:
        if not self._over and self._cause is not None:
            self._end(*self._cause)

    def _end(self, outcome: Outcome, error: GatewayError | None) -> None:
        self._over = True
        if self._sink is not None:
            self._sink.finish(outcome, error)


class _Further:
    """The sink of a further stream: what it says goes through the splice. Deaf once the stream was given up."""

    __slots__ = ("_body", "_owner", "_splice")

    def __init__(self, owner: Resumable, body: Body, splice: Splice) -> None:
        self._owner = owner
        self._body = body
        self._splice = splice

    def push(self, data: bytes) -> None:
        owner = self._owner
        if not owner.is_live(self._body):
            return
        data = self._splice.feed(data)
        if data:
            owner.write(data)
        if self._splice.diverged:
            owner.diverged(self._body)

    def finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        owner = self._owner
        if not owner.is_live(self._body):
            return
        if error is None:
            self._splice.end()
        if self._splice.diverged:
            owner.diverged(self._body)
        else:
            owner.ended(outcome, error)


def _attempt_of(ex: Exchange) -> Attempt | None:
    return ex.attempt or (ex.attempts[-1] if ex.attempts else None)


def _close(attempt: Attempt | None, outcome: Outcome, code: str) -> None:
    """The end of an attempt, in the log's and the books' words. The first word stands."""
    if attempt is not None and attempt.outcome is None:
        attempt.outcome, attempt.error, attempt.ended = outcome, code, time.monotonic()
