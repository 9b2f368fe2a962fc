"""The relay: the one place where a reply's bytes move from the provider's connection to the client's.

It is the sink of a streaming body. Bytes arrive from the provider's `data_received`, run through the taps and are written to
the client's transport in the same call: no task wakes per chunk. A client that reads slower than the provider writes pauses
the provider's connection; one that does not read at all is dropped by its connection's own limit. Whatever happens there is one
ending: every tap is ended, an error becomes one error event of the client's dialect, the framing is closed only behind whole
events, and `done` is set.

A client that leaves ends its relay (`abandon`), or sets it adrift (`drift`): then it reads on without a client, is never paused,
and only the taps get what comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgegate.errors import GatewayError
from edgegate.taps import Outcome, Tap

if TYPE_CHECKING:
    from edgegate.exchange import Body, Exchange
    from edgegate.server.connection import ClientConnection

Ended = Callable[[Outcome, GatewayError | None], None]
"""Is told how an answer ended that was read without its client."""

JOIN_BELOW = 64 * 1024
"""Larger chunks are written without joining them to their framing: a copy costs more than a second write."""


class Relay:
    """Relays one streaming reply. `chunked` is False for bodies of known length and for HTTP/1.0, where the close is the end."""

    __slots__ = (
        "_body",
        "_chunked",
        "_connection",
        "_ended",
        "_error_event",
        "_ex",
        "_feeds",
        "_head",
        "_head_only",
        "_over",
        "_taps",
        "_transport",
        "done",
        "error",
        "outcome",
        "task",
    )

    def __init__(
        self,
        ex: Exchange,
        connection: ClientConnection,
        transport: asyncio.Transport,
        body: Body,
        taps: list[Tap],
        head: bytes,
        *,
        chunked: bool,
        head_only: bool,
        error_event: Callable[[GatewayError], bytes] | None,
        task: asyncio.Task[None],
        done: asyncio.Future[None],
    ) -> None:
        self._ex = ex
        self._connection = connection
        self._transport = transport
        self._body = body
        self._taps = taps
        self._feeds = [tap.feed for tap in taps]
        self._head = head
        self._chunked = chunked
        self._head_only = head_only
        self._error_event = error_event
        self._over = False
        self._ended: Ended | None = None  # adrift: who is told the end
        self.done = done
        self.outcome = Outcome.OK
        self.error: GatewayError | None = None
        self.task = task

    def start(self) -> None:
        """Takes the body over. What it held is written with the head, in one segment."""
        self._connection.relay = self
        self._body.attach(self)
        if self._head:
            self._write(b"")
        if self._connection.writing_paused and not self._over:
            self.pause()

    @property
    def over(self) -> bool:
        """Whether the answer has ended, or the client was given up."""
        return self._over

    # -- edgegate.exchange.Sink

    def push(self, data: bytes) -> None:
        for feed in self._feeds:
            data = feed(data)
            if not data:
                return
        self._write(data)

    def finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        if self._over:
            return
        self._over = True
        self.outcome, self.error = outcome, error
        if self._ended is not None:
            end_taps(self._taps, outcome)
            self._ended(outcome, error)
            return
        self._leave()
        tail = end_taps(self._taps, outcome)
        whole = error is None
        if error is not None and self._error_event is not None:
            tail += self._error_event(error)
            whole = True
        if tail:
            self._write(tail)
        if not whole:
            self._write(b"")
            # bytes of an unknown format cannot carry an error: a cut connection is the only honest end
            self._transport.close() if self._chunked else self._transport.abort()
        elif self._chunked:
            self._transport.write(self._take_head() + b"0\r\n\r\n")
        else:
            self._write(b"")
        if not self.done.done():
            self.done.set_result(None)

    # -- the client's side

    def pause(self) -> None:
        """The client's buffer is full."""
        if not self._over:
            self._body.pause()

    def resume(self) -> None:
        if not self._over:
            self._body.resume()

    def abandon(self, outcome: Outcome) -> None:
        """The client is gone: the provider's connection is closed and the taps are ended; nothing is written."""
        if not self._over:
            self._over = True
            self.outcome = outcome
            self._leave()
            self._body.abort()
            end_taps(self._taps, outcome)

    def drift(self, ended: Ended) -> None:
        """The client is gone, but its answer is wanted all the same: reads on to the end, without a pause. Not for relays that
        are over."""
        self._leave()
        self._ended = ended
        self._body.resume()

    def cut(self, error: GatewayError) -> None:
        """The gateway must end this stream now: an error event, not a silent cut."""
        if not self._over:
            self._body.abort()
            self.finish(Outcome.DRAINED, error)

    # -- inside

    def _leave(self) -> None:
        self._connection.relay = None

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _write(self, data: bytes) -> None:
        if self._ended is not None or self._transport.is_closing():
            return
        head = self._take_head() if self._head else b""
        if self._head_only or not data:
            if head:
                self._transport.write(head)
            return
        self._ex.bytes_out += len(data)
        if not self._chunked:
            self._transport.write(head + data if head else data)
        elif len(data) < JOIN_BELOW:
            self._transport.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))
        else:
            self._transport.writelines((b"%b%x\r\n" % (head, len(data)), data, b"\r\n"))


class Drain:
    """The sink of an answer whose client left before it began: nothing but the taps gets it."""

    __slots__ = ("_body", "_ended", "_feeds", "_over", "_taps")

    def __init__(self, body: Body, taps: list[Tap], ended: Ended) -> None:
        self._body = body
        self._taps = taps
        self._feeds = [tap.feed for tap in taps]
        self._ended = ended
        self._over = False

    def start(self) -> None:
        self._body.attach(self)

    def push(self, data: bytes) -> None:
        for feed in self._feeds:
            data = feed(data)
            if not data:
                return

    def finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        if not self._over:
            self._over = True
            end_taps(self._taps, outcome)
            self._ended(outcome, error)

    def cut(self, error: GatewayError) -> None:
        """The gateway shuts down."""
        if not self._over:
            self._body.abort()
            self.finish(Outcome.DRAINED, error)


def end_taps(taps: Sequence[Tap], outcome: Outcome) -> bytes:
    """Ends each tap in turn; what an inner one still held runs through the outer ones."""
    held = b""
    for tap in taps:
        held = (tap.feed(held) if held else b"") + tap.end(outcome)
    return held
