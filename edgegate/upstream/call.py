"""One request at a provider, from sending it to the last byte of its reply.

A call is in one of three kinds. WHOLE gathers the reply and resolves once with all of it. STREAM resolves at the first
meaningful event, so that an error, a cut or an empty end before it is still an ordinary failure, and from then on pushes
what its decoder makes of the bytes into a sink. RAW resolves at the head and pushes the bytes as they are. A STREAM whose
reply is not a stream (an error status, JSON, HTML) is gathered like a WHOLE.

Results: `ready` gives an `Answer`, or raises a `GatewayError`. After an answer whose body is the call itself: `attach` a
sink, which is told the end exactly once, or `abort`.
"""

from __future__ import annotations

import asyncio
import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgegate.dialects.base import HeaderList, Progress
from edgegate.errors import GatewayError, provider_error
from edgegate.taps import Outcome
from edgegate.wire.inflate import InflateError, Inflater
from edgegate.wire.sse import EventTooLarge

if TYPE_CHECKING:
    from edgegate.exchange import Sink
    from edgegate.taps import Tap
    from edgegate.upstream.connection import Connection
    from edgegate.upstream.deadlines import Deadlines

HELD_BYTES = 256 * 1024
"""What a call holds while nobody takes it (before the first meaningful event, or before `attach`) until it stops reading."""

AFTER_FINISH_S = 5.0
"""How long a stream whose finish reason has arrived may still take for its terminal line."""


STRUCK = b"***"
"""Stands for a credential that a provider quoted."""


class Kind(enum.Enum):
    WHOLE = 1
    STREAM = 2
    RAW = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds, and the size in bytes of a reply that is gathered."""

    connect_s: float
    first_token_s: float
    idle_s: float
    total_s: float
    max_reply: int


@dataclass(slots=True)
class Answer:
    """`body` is the whole body, or the call, still arriving. `length` as announced, if it was."""

    status: int
    headers: HeaderList
    body: bytes | Call
    length: int | None = None


class _Identity:
    """The decoder of a RAW call."""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self, outcome: Outcome) -> bytes:
        return b""


class Call:
    """See the module. Made for one attempt; `restart` allows a second connection when the first was stale."""

    __slots__ = (
        "_connection",
        "_deadlines",
        "_decoder",
        "_gather",
        "_head",
        "_held",
        "_held_size",
        "_inflater",
        "_kind",
        "_limits",
        "_loop",
        "_over",
        "_parts",
        "_paused",
        "_progress",
        "_secrets",
        "_sink",
        "_size",
        "_total",
        "_verdict",
        "deadline",
        "first",
        "head_only",
        "ready",
        "sent",
        "stale",
        "uploading",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        limits: Limits,
        kind: Kind,
        progress: Progress,
        decoder: Tap | None = None,
        *,
        head_only: bool = False,
        secrets: tuple[bytes, ...] = (),
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._limits = limits
        self._kind = kind
        self._progress = progress
        self._secrets = secrets  # struck out of errors inside a stream: some providers quote the key they refuse
        self._decoder = decoder if decoder is not None else _Identity()
        self.head_only = head_only
        self.uploading = False  # a streamed request body is not all sent yet
        self.sent = False  # a connection was there, and the request was being written to it
        self.stale = False  # set by a used connection that broke before the first byte of a reply
        self.first = (
            0.0  # monotonic seconds: the first meaningful event, or the head; finer than the loop's clock, which uvloop keeps in ms
        )
        self._connection: Connection | None = None
        self._sink: Sink | None = None
        self._held: list[bytes] = []
        self._held_size = 0
        self._verdict: tuple[Outcome, GatewayError | None] | None = None  # the end came before the sink
        now = loop.time()
        self._total = now + limits.total_s
        self._reset()

    def _reset(self) -> None:
        self.ready: asyncio.Future[Answer] = self._loop.create_future()
        self._head: Answer | None = None
        self._gather = self._kind is Kind.WHOLE
        self._inflater: Inflater | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._over = False
        self._paused = False
        self.deadline = self._total
        if self._kind is Kind.STREAM:
            self.deadline = min(self._total, self._loop.time() + self._limits.first_token_s)

    # -- for whoever sends the call

    def begin(self, connection: Connection) -> None:
        """The request is being written to this connection."""
        self._connection = connection
        self.sent = True
        self._deadlines.add(self)

    def fail(self, error: GatewayError) -> None:
        """Ends the call with an error of the caller's, such as a request body that stalls."""
        self._break_off(error)

    def restart(self) -> None:
        """Ready to be sent again, after `stale`. The total limit goes on."""
        self.stale = self.sent = False
        self._reset()

    def let_go(self) -> None:
        """The connection has delivered everything and is no longer this call's to pause or to close."""
        if self._paused and self._connection is not None:
            self._connection.transport.resume_reading()
        self._paused = False
        self._connection = None

    # -- edgegate.exchange.Body

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        held, self._held = self._held, []
        self._held_size = 0
        if held:
            sink.push(held[0] if len(held) == 1 else b"".join(held))
        if self._verdict is not None:
            sink.finish(*self._verdict)
        elif self._paused:
            self.resume()

    def pause(self) -> None:
        if not self._over and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.transport.pause_reading()

    def resume(self) -> None:
        if not self._over and self._paused and self._connection is not None:
            self._paused = False
            self._connection.transport.resume_reading()
            # waiting for the client was not the provider's silence
            self._extend()

    def abort(self) -> None:
        self._close()
        self._sink = None
        if not self.ready.done():
            self.ready.cancel()

    # -- called by the connection

    def on_head(self, status: int, headers: HeaderList, length: int | None) -> None:
        self._head = Answer(status, headers, self, length)
        if self._kind is Kind.RAW:
            self.first = time.monotonic()
            self._extend()
            self.ready.set_result(self._head)
            return
        encoding = content_type = b""
        for name, value in headers:
            if name == b"content-encoding":
                encoding = value.lower()
            elif name == b"content-type":
                content_type = value.lower()
        if encoding not in (b"", b"identity"):
            try:
                self._inflater = Inflater(encoding.decode("latin-1"), max_bytes=self._limits.max_reply)
            except InflateError as error:
                self._break_off(provider_error(502, "bad_reply", f"the provider's reply cannot be decompressed: {error}"))
                return
        if self._kind is Kind.STREAM and (status != 200 or content_type.startswith((b"application/json", b"text/html"))):
            self._gather = True
        if self._gather and length is not None and length > self._limits.max_reply:
            self._break_off(self._too_large())

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)
        if self._gather:
            self._size += len(data)
            if self._size > self._limits.max_reply:
                self._break_off(self._too_large())

    def on_read(self) -> None:
        """One read of the socket has been parsed; `on_body` has seen its pieces."""
        parts = self._parts
        if self._gather or not parts or self._over:
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        progress = self._progress
        events = progress.events
        try:
            if self._inflater is not None:
                data = self._inflater.feed(data)
            data = self._decoder.feed(data)
        except (InflateError, EventTooLarge) as error:
            self._break_off(provider_error(502, "bad_reply", f"the provider's stream is broken: {error}"))
            return
        if progress.events != events or self._kind is Kind.RAW:
            self._extend()
        self._pass_on(data)
        if progress.error is not None:
            self._break_off(progress.error)

    def on_complete(self) -> None:
        """The reply's framing says that it is whole."""
        self.on_read()
        if self._over:
            return
        try:
            rest = self._inflater.end() if self._inflater is not None else b""
        except InflateError as error:
            self._break_off(provider_error(502, "bad_reply", f"the provider's reply cannot be decompressed: {error}"))
            return
        self._over = True
        self._deadlines.discard(self)
        head = self._head
        if head is None:
            self._fail(provider_error(502, "upstream_closed", "the provider closed the connection without a reply"))
        elif self._gather:
            self._gathered(head)
        else:
            self._streamed(rest)

    def on_broken(self, error: GatewayError) -> None:
        """The connection failed before the reply was whole."""
        if self._over:
            return
        self.on_read()
        if not self._over:
            self._over = True
            self._deadlines.discard(self)
            if self._progress.finished and not self._gather and self._kind is Kind.STREAM:
                self._streamed(b"")  # all that matters had arrived
            else:
                self._fail(error)

    # -- called by the sweep

    def expire(self, now: float) -> None:
        if self._paused:  # the client is slow, which has its own limit
            self.deadline = now + self._limits.idle_s
            return
        if self._progress.finished and not self._gather and self._kind is Kind.STREAM:
            self._close()
            self._streamed(b"")
            return
        limits = self._limits
        if now >= self._total:
            error = _timeout("total_timeout", f"the provider did not finish within {limits.total_s:g} s")
        elif self._kind is Kind.STREAM and not self._progress.started:
            error = _timeout("first_token_timeout", f"the provider sent nothing within {limits.first_token_s:g} s")
        else:
            error = _timeout("idle_timeout", f"the provider was silent for {limits.idle_s:g} s")
        self._break_off(error)

    # -- inside

    def _extend(self) -> None:
        """Something arrived: the idle limit starts anew. Before the first meaningful event its own limit stands."""
        progress = self._progress
        if self._kind is Kind.STREAM and not progress.started:
            return
        wait = AFTER_FINISH_S if progress.finished and self._kind is Kind.STREAM else self._limits.idle_s
        deadline = self._loop.time() + wait
        self.deadline = deadline if deadline < self._total else self._total

    def _pass_on(self, data: bytes) -> None:
        sink = self._sink
        if sink is not None:
            if data:
                sink.push(data)
            return
        if data:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size > HELD_BYTES:
                if not self._progress.started and self._kind is Kind.STREAM:
                    self._break_off(provider_error(502, "bad_reply", "the provider's stream begins with too much that means nothing"))
                    return
                self.pause()
        if self._progress.started and not self.ready.done() and self._head is not None:
            self.first = time.monotonic()
            self._extend()
            self.ready.set_result(self._head)

    def _gathered(self, head: Answer) -> None:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        if self._inflater is not None:
            try:
                body = self._inflater.feed(body) + self._inflater.end()
            except InflateError as error:
                self._fail(provider_error(502, "bad_reply", f"the provider's reply cannot be decompressed: {error}"))
                return
        head.body = body
        self.first = time.monotonic()
        if not self.ready.done():
            self.ready.set_result(head)

    def _streamed(self, rest: bytes) -> None:
        """The stream is over; whether it is whole, its decoder knows."""
        if self._kind is Kind.RAW:
            self._finish(Outcome.OK, None)
            return
        progress = self._progress
        if rest:
            self._pass_on(self._decoder.feed(rest))
        tail = self._decoder.end(Outcome.OK)
        if progress.error is not None:
            self._fail(progress.error)
        elif not progress.finished:
            if not progress.started:
                self._fail(provider_error(502, "empty_reply", "the provider's stream ended without an answer"))
            else:
                self._pass_on(tail)
                self._fail(provider_error(502, "upstream_cut", "the provider's stream ended before its answer was complete"))
        else:
            self._pass_on(tail)
            if self._sink is None and not self.ready.done() and self._head is not None:
                self.ready.set_result(self._head)
            self._finish(Outcome.OK, None)

    def _break_off(self, error: GatewayError) -> None:
        if not self._over:
            self._close()
            self._fail(error)

    def _fail(self, error: GatewayError) -> None:
        for secret in self._secrets:
            _strike(error, secret)
        if not self.ready.done():
            self.ready.set_exception(error)
        else:
            self._finish(Outcome.TIMEOUT if error.status == 504 else Outcome.UPSTREAM_BROKE, error)

    def _finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        sink = self._sink
        if sink is None:
            self._verdict = (outcome, error)
        else:
            self._sink = None
            sink.finish(outcome, error)

    def _close(self) -> None:
        self._over = True
        self._deadlines.discard(self)
        if self._connection is not None:
            self._connection.abort()

    def _too_large(self) -> GatewayError:
        return provider_error(502, "reply_too_large", f"the provider's reply exceeds {self._limits.max_reply} bytes", retryable=False)


def _strike(error: GatewayError, secret: bytes) -> None:
    """Takes a credential out of all that an error says. What quotes it beside the message is no loss."""
    text, instead = secret.decode("latin-1"), STRUCK.decode()
    error.message = error.message.replace(text, instead)
    error.code = error.code.replace(text, instead)
    if error.param is not None and text in error.param:
        error.param = None
    if error.details is not None and text in str(error.details):
        error.details = None
    if error.wire is not None and secret in error.wire.body:
        error.wire = None


def _timeout(code: str, message: str) -> GatewayError:
    return provider_error(504, code, message)
