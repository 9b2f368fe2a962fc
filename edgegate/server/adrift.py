"""Answers that are read to their end although their callers are gone (`forward.client_gone: drain`).

Only what a provider has been asked for is read on: an exchange without an attempt is ended at once. An exchange that is adrift is
in flight until its answer ends, within the attempt's own time limits, and its books are closed then: its outcome is
`client_gone`, its attempt's what became of the answer. The taps run as always. What is still adrift when the gateway ends is cut.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from edgegate.server.clientward import all_taps, whole_body
from edgegate.server.relay import Drain, Relay
from edgegate.taps import Outcome

if TYPE_CHECKING:
    from edgegate.server.gateway import State


class Adrift:
    """See the module. Owns the tasks and the sinks. `close_books` is called once for each exchange that was taken."""

    def __init__(self, close_books: Callable[[Exchange, State], None]) -> None:
        self._close_books = close_books
        self._chains: set[asyncio.Task[Reply]] = set()
        self._bodies: set[Relay | Drain] = set()
        self._log = structlog.get_logger("gate")
        self.size = 0
        """Exchanges adrift."""

    def take_chain(self, task: asyncio.Task[Reply], ex: Exchange, state: State) -> None:
        """The caller left before its reply began: `task` runs the chain."""
        ex.adrift, ex.outcome = True, Outcome.CLIENT_GONE
        self._chains.add(task)
        self._count()
        if not ex.attempts:
            task.cancel()
        task.add_done_callback(partial(self._begun, ex, state))

    def take_relay(self, relay: Relay, ex: Exchange, state: State) -> None:
        """The caller left in the middle of its stream."""
        ex.adrift, ex.outcome = True, Outcome.CLIENT_GONE
        self._bodies.add(relay)
        self._count()
        relay.drift(partial(self._ended, relay, ex, state))

    def _count(self) -> None:
        self.size = len(self._chains) + len(self._bodies)

    def cut(self, error: GatewayError) -> None:
        """Ends whatever is adrift."""
        for body in list(self._bodies):
            body.cut(error)
        for task in self._chains:
            task.cancel()

    @property
    def tasks(self) -> set[asyncio.Task[Reply]]:
        """Chains that have not come to a reply."""
        return set(self._chains)

    def _begun(self, ex: Exchange, state: State, task: asyncio.Task[Reply]) -> None:
        """A chain has come to its reply, or to its error."""
        self._chains.discard(task)
        self._count()
        if task.cancelled():
            self._over(ex, state, Outcome.DRAINED if ex.attempts else Outcome.CLIENT_GONE, None)
            return
        fault = task.exception()
        if fault is not None:
            known = fault if isinstance(fault, GatewayError) else None
            if known is None:
                self._log.error("fault", request_id=ex.id, path=ex.path[:200], exc_info=fault)
            self._over(ex, state, Outcome.FAILED, known)
            return
        reply = task.result()
        try:
            if isinstance(reply.body, bytes):
                whole_body(ex, reply, reply.body)
                self._over(ex, state, Outcome.OK, None)
                return
            drain = Drain(reply.body, all_taps(ex, reply), lambda outcome, error: self._ended(drain, ex, state, outcome, error))
        except GatewayError as error:
            if not isinstance(reply.body, bytes):
                reply.body.abort()
            self._over(ex, state, Outcome.FAILED, error)
            return
        self._bodies.add(drain)
        self._count()
        drain.start()

    def _ended(self, body: Relay | Drain, ex: Exchange, state: State, outcome: Outcome, error: GatewayError | None) -> None:
        self._bodies.discard(body)
        self._count()
        self._over(ex, state, outcome, error)

    def _over(self, ex: Exchange, state: State, outcome: Outcome, error: GatewayError | None) -> None:
        ex.close_attempts(outcome, error, time.monotonic())
        self._close_books(ex, state)
