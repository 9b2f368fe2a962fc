"""The gate: where a request becomes an exchange and a reply becomes bytes.

It reads the request, finds its surface, runs the chain, brings the reply into the client's format, writes it and ends the
exchange: once, whatever happened. Every error leaves here in the words of the client's dialect; what is not a `GatewayError`
is a fault of ours and becomes a 500 without details, logged with its trace.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import structlog
from aiohttp import web

from edgegate.chain import Proceed
from edgegate.dialects.base import HeaderList, Operation
from edgegate.errors import GatewayError, Source
from edgegate.exchange import UNIX, Exchange, Reply
from edgegate.routing.passing import Named, model_of, passed
from edgegate.server.adrift import Adrift
from edgegate.server.body import BodyStream, read_body
from edgegate.server.clientward import all_taps, whole_body
from edgegate.server.connection import ClientConnection
from edgegate.server.framing import check_framing
from edgegate.server.heads import HeadWriter, OwnHeaders, as_stream
from edgegate.server.models import asked_model
from edgegate.server.relay import Relay
from edgegate.server.surfaces import Listing, Surfaces, relayed
from edgegate.taps import Outcome
from edgegate.wire.headers import valid_request_id

if TYPE_CHECKING:
    from edgegate.server.gateway import State

JSON = (b"content-type", b"application/json")
CUT_S = 1.0
"""For exchanges that are being ended to write their last words."""

BOOKS_S = 6.0
"""For counts of what ended exchanges used: longer than any may take."""

UNDRAINED = frozenset({Operation.RELAY, Operation.MODELS})
"""What is never read on without its caller: nobody understands its body, or nothing was sent."""

NO_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


class Spliced(web.StreamResponse):
    """A response whose bytes went out already: nothing is left for aiohttp to do but keep the connection or close it."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

    @property
    def keep_alive(self) -> bool:
        return self._keep


class Gate:
    """See the module. `state()` gives the configuration in force; an exchange keeps the one it began with.

    A caller that leaves ends its exchange, or, where the configuration says so, only its part in it (see `Adrift`). Relayed paths,
    whose bodies nobody understands, always end.
    """

    def __init__(self, state: Callable[[], State], background: set[asyncio.Task[None]]) -> None:
        self._state = state
        self._background = background
        self._surfaces = Surfaces()
        self._heads = HeadWriter()
        self._log = structlog.get_logger("gate")
        self._kept, self._closed = Spliced(True), Spliced(False)
        # unique, not secret: random per process, counted within it (3 us cheaper than random bytes per request)
        self._id_prefix = secrets.token_hex(8)
        self._ids = itertools.count(1)
        self._own = OwnHeaders()
        self.relays: set[Relay] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._adrift = Adrift(self._close_books)
        self._books: set[asyncio.Task[None]] = set()  # of exchanges that have ended: what they used is being counted
        self._books_closed = False
        self._cutting = False
        self.draining = False
        self.idle = asyncio.Event()  # set when the last exchange ends while draining

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        state = self._state()
        if request.protocol.writing_paused:  # a client that asks on without reading gets no further answer prepared
            await request.protocol._drain_helper()
        path, _, query = request._message.path.partition("?")
        local = state.local.find(request.method, path)
        if local is not None:
            return await local(request)
        ex = self.exchange(request, path, query)
        running = self._running
        task = request.task  # the connection's; the handler's own would cost a microsecond to find out
        running.add(task)
        state.metrics.in_flight = len(running) + self._adrift.size
        try:
            return await self._serve(request, ex, state)
        except GatewayError as error:
            return self._refuse(request, ex, error)
        except asyncio.CancelledError:
            if self._cutting and ex.outcome is None and request.transport is not None:
                ended = GatewayError(503, "draining", "The gateway is shutting down and had to end this request.", retry_after_s=1.0)
                response = self._refuse(request, ex, ended)
                ex.outcome = Outcome.DRAINED
                return response
            ex.outcome = ex.outcome or Outcome.CLIENT_GONE
            raise
        except Exception as error:
            self._log.error("fault", request_id=ex.id, path=ex.path[:200], exc_info=error)
            return self._refuse(request, ex, GatewayError(500, "internal_error", "An internal error of the gateway; it has been logged."))
        finally:
            running.discard(task)
            if ex.adrift:
                self._count(state)
            else:
                self._close_books(ex, state)

    @property
    def in_flight(self) -> int:
        """Exchanges running now, also those without a caller."""
        return len(self._running) + self._adrift.size

    def plain_error(self, error: GatewayError) -> bytes:
        """An error body for a request that could not even be parsed, so that nobody knows its dialect: OpenAI's, with no id."""
        return self._surfaces.openai.error(error, "")

    # -- the request

    def _admit(self, state: State) -> None:
        """Refuses new work that could not be done well."""
        if self.draining:
            raise GatewayError(503, "draining", "The gateway is shutting down.", retry_after_s=1.0)
        if self.in_flight > state.server.max_in_flight:
            raise GatewayError(503, "overloaded", "The gateway has too many requests in flight.", retry_after_s=1.0)
        if state.overload.reason:
            raise GatewayError(503, "overloaded", state.overload.reason, retry_after_s=1.0)

    def exchange(self, request: web.BaseRequest, path: str, query: str) -> Exchange:
        headers = request.headers
        given = headers.get("X-Request-ID")
        peer = request._transport_peername
        unix = isinstance(request._transport_sockname, str)  # a TCP peer that is gone has no name either: that is no trust
        return Exchange(
            id=given if given is not None and valid_request_id(given) else f"{self._id_prefix}{next(self._ids):08x}",
            method=request.method,
            path=path,
            query=query,
            headers=headers,
            raw_headers=request._message.raw_headers,
            remote=peer[0] if isinstance(peer, tuple) else UNIX if unix else "",
            operation=Operation.RELAY,
            client=self._surfaces.openai,
            started=time.monotonic(),
            created=int(time.time()),
        )

    async def _serve(self, request: web.BaseRequest, ex: Exchange, state: State) -> web.StreamResponse:
        surface = self._surfaces.posts.get(ex.path) or self._surfaces.find(ex.path, ex.query)
        ex.client = surface.client if surface is not None else self._surfaces.guess(ex.path, ex.headers)
        self._admit(state)
        check_framing(request, ex)
        if surface is None:
            return await self._elsewhere(request, ex, state)
        if request.method != "POST":
            raise GatewayError(405, "method_not_allowed", f"{ex.path} takes POST, not {request.method}.", source=Source.CLIENT)
        ex.operation = surface.client.operation
        ex.model = surface.model
        ex.body = await read_body(request, state.server.max_body, state.server.body_timeout)
        return await self._run(request, ex, state, state.chain)

    async def _elsewhere(self, request: web.BaseRequest, ex: Exchange, state: State) -> web.StreamResponse:
        """Paths that are no surface: the list of models, and what goes on byte by byte."""
        listing = self._surfaces.listing(request.method, ex.path, ex.headers)
        if listing is not None:
            ex.operation, ex.client = Operation.MODELS, listing.client
            ex.model = listing.model
            if request.method == "POST":
                ex.body = await read_body(request, state.server.max_body, state.server.body_timeout)
            return await self._run(request, ex, state, _models(state, listing))
        found = relayed(ex.path, state.relays)
        through = passed(ex.path, ex.headers) if found is None else None
        if found is not None:
            ex.relay_provider, ex.relay_path = found
        elif through is not None:
            ex.relay_family, ex.relay_path, ex.model = through.family, ex.path, through.model
        elif allowed := self._surfaces.listed(ex.path):
            raise GatewayError(405, "method_not_allowed", f"{ex.path[:200]} takes {allowed}, not {request.method}.", source=Source.CLIENT)
        else:
            raise GatewayError(404, "unknown_path", _hint(ex.path, state), source=Source.CLIENT)
        if request.method in ("CONNECT", "TRACE"):  # TRACE would send back the headers, ours included
            raise GatewayError(405, "method_not_allowed", f"{request.method} is not supported.", source=Source.CLIENT)
        if through is not None and through.named is Named.BODY and request.method == "POST":
            ex.body = await read_body(request, state.server.max_body, state.server.body_timeout)
            ex.model = model_of(ex.body, ex.headers.get("Content-Type", ""))
        elif request.method not in NO_BODY or request.body_exists:
            length = request.content_length
            if length == 0 or not request.body_exists:
                ex.upload = BodyStream(request, 0)
            else:
                ex.upload = BodyStream(request, length)
        return await self._run(request, ex, state, state.chain)

    # -- the reply

    async def _run(self, request: web.BaseRequest, ex: Exchange, state: State, chain: Proceed) -> web.StreamResponse:
        if state.drains and ex.operation not in UNDRAINED:
            reply = await self._sheltered(ex, state, chain)
        else:
            reply = await chain(ex)
        body = reply.body
        ex.status = reply.status
        if not isinstance(body, bytes):
            return await self._relay(request, ex, state, reply)
        body = whole_body(ex, reply, body)
        ex.outcome = Outcome.OK if reply.status < 400 else Outcome.REJECTED
        headers = as_stream(reply.headers, ex.client.stream_type) if reply.stream else reply.headers
        return self._write(request, ex, reply.status, headers, body)

    async def _sheltered(self, ex: Exchange, state: State, chain: Proceed) -> Reply:
        """Runs the chain in a task of its own, which goes on when the caller leaves."""
        task = asyncio.get_running_loop().create_task(_all_of(chain, ex))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._cutting:
                task.cancel()
                await asyncio.wait([task], timeout=CUT_S)
            else:
                self._adrift.take_chain(task, ex, state)
            raise

    async def _relay(self, request: web.BaseRequest, ex: Exchange, state: State, reply: Reply) -> web.StreamResponse:
        client = ex.client
        taps = all_taps(ex, reply)
        raw = ex.operation is Operation.RELAY
        headers = self._own.lines(ex, reply.headers)
        if not raw:
            headers = as_stream(headers, client.stream_type)
        connection, transport = _sockets(request)
        old = request.version < (1, 1)
        length = reply.length if raw and reply.status != 204 else None  # a 204 has none (RFC 9110, 8.6)
        bodiless = request.method == "HEAD" or reply.status in (204, 304)
        chunked = length is None and not old and not bodiless
        framing = b"transfer-encoding: chunked\r\n" if chunked else b"" if length is None else b"content-length: %d\r\n" % length
        keep = request.keep_alive and not old and not self.draining and (chunked or length is not None or bodiless)
        head = self._heads.head(reply.status, headers, ex.created, framing, close=not keep)
        relay = Relay(
            ex,
            connection,
            transport,
            cast(Any, reply.body),
            taps,
            head,
            chunked=chunked,
            head_only=bodiless,
            error_event=None if raw else lambda error: client.error_event(error, ex.id),
            task=request.task,
            done=asyncio.get_running_loop().create_future(),
        )
        self.relays.add(relay)
        try:
            relay.start()
            await relay.done
        except asyncio.CancelledError:
            if state.drains and not raw and ex.attempts and not self._cutting and not relay.over:
                self._adrift.take_relay(relay, ex, state)
            else:
                relay.abandon(Outcome.CLIENT_GONE)
            raise
        finally:
            self.relays.discard(relay)
            if not ex.adrift:
                ex.outcome, ex.error = relay.outcome, relay.error
        return self._kept if keep and not transport.is_closing() else self._closed

    def _refuse(self, request: web.BaseRequest, ex: Exchange, error: GatewayError) -> web.StreamResponse:
        """Writes an error in the client's words."""
        ex.error = error
        ex.status = error.status
        ex.outcome = Outcome.TIMEOUT if error.status in (408, 504) else Outcome.REJECTED if error.status < 500 else Outcome.FAILED
        body = ex.client.error(error, ex.id)
        headers = [JSON, (b"x-edgegate-error-source", error.source.encode()), *error.headers]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
        if error.status == 405:
            headers.append((b"allow", self._surfaces.methods(ex.path, ex.query).encode()))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        return self._write(request, ex, error.status, headers, body)

    def _write(self, request: web.BaseRequest, ex: Exchange, status: int, headers: HeaderList, body: bytes) -> web.StreamResponse:
        """Writes a whole reply, and says what is to become of the connection."""
        transport = request.transport
        if transport is None or transport.is_closing():
            return self._closed
        close = not self._keeps(request, ex)
        response = self._closed if close else self._kept
        head = self._heads.head(status, self._own.lines(ex, headers), ex.created, b"content-length: %d\r\n" % len(body), close=close)
        if request.method == "HEAD":
            transport.write(head)
            return response
        ex.bytes_out = len(body)
        transport.write(head + body)
        return response

    def _keeps(self, request: web.BaseRequest, ex: Exchange) -> bool:
        """Whether the connection may carry another request: not while draining, not with a body left unread."""
        if ex.close or self.draining or not request.keep_alive or request.version < (1, 1):
            return False
        return request._payload.is_eof() and request._payload.exception() is None

    # -- the end

    def _count(self, state: State) -> None:
        """An exchange has ended, or is no longer its caller's."""
        state.metrics.in_flight = in_flight = len(self._running) + self._adrift.size
        if self.draining and not in_flight:
            self.idle.set()

    async def cut(self) -> None:
        """Ends whatever still runs: streams by an error event, plain calls by a 503."""
        self._cutting = True
        error = GatewayError(503, "draining", "The gateway is shutting down and had to end this stream.")
        streaming = {relay.task for relay in self.relays}
        for relay in list(self.relays):
            relay.cut(error)
        self._adrift.cut(error)
        for task in self._running - streaming:
            task.cancel()
        ending = self._running | self._adrift.tasks
        if ending:
            await asyncio.wait(ending, timeout=CUT_S)

    async def abandon(self) -> None:
        """Ends what nobody waits for any more."""
        self._adrift.cut(GatewayError(503, "draining", "The gateway is shutting down."))
        if chains := self._adrift.tasks:
            await asyncio.wait(chains, timeout=CUT_S)

    async def close_books(self) -> None:
        """Waits until every exchange that has ended is on the record. From here on nothing is counted at length."""
        self._books_closed = True
        if self._books:
            _, late = await asyncio.wait(self._books, timeout=BOOKS_S)
            for task in late:  # puts down what is known by now
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _close_books(self, ex: Exchange, state: State) -> None:
        self._count(state)
        try:
            self._end(ex, state)
        except Exception as error:  # the reply is out: a fault in the books must not become a second one
            self._fault_in_books(ex, error)

    def _fault_in_books(self, ex: Exchange, error: Exception) -> None:
        self._log.error("fault", request_id=ex.id, at="end", exc_info=error)

    def _end(self, ex: Exchange, state: State) -> None:
        """The one ending of every exchange. What providers did not report is counted before it is recorded; only that waits."""
        now = ex.ended = time.monotonic()
        if ex.attempts:
            ex.close_attempts(ex.outcome, ex.error, now)
        for call in ex.on_end:
            call(ex)
        if not ex.attempts or not state.estimates.needed(ex):
            self._record(ex, state)
        elif self._books_closed:
            state.estimates.fill_roughly(ex)
            self._record(ex, state)
        else:
            books = asyncio.get_running_loop().create_task(self._count_and_record(ex, state))
            self._books.add(books)
            books.add_done_callback(self._books.discard)
        for job in ex.later:
            task = asyncio.ensure_future(job())
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _count_and_record(self, ex: Exchange, state: State) -> None:
        try:
            await state.estimates.fill(ex)
        finally:
            try:
                self._record(ex, state)
            except Exception as error:
                self._fault_in_books(ex, error)

    def _record(self, ex: Exchange, state: State) -> None:
        for record in state.recorders:
            record(ex)
        state.metrics.exchange(ex)
        state.log.exchange(ex)


async def _all_of(chain: Proceed, ex: Exchange) -> Reply:
    return await chain(ex)


def _models(state: State, listing: Listing) -> Proceed:
    """The chain for model lists: whoever may call may see them, so its auth stage stands before the answer."""

    async def answer(ex: Exchange) -> Reply:
        model = listing.model
        if ex.method == "POST":
            model = asked_model(ex.body)
        return Reply(200, [JSON], state.models.render(listing.wanted, model, ex.client.dialect, ex.key, ex.query, ex.created), "")

    return state.guarded(answer)


def _sockets(request: web.BaseRequest) -> tuple[ClientConnection, asyncio.Transport]:
    transport = request.transport
    if transport is None:
        raise asyncio.CancelledError  # the client left while the chain ran
    return cast(ClientConnection, request.protocol), transport


def _hint(path: str, state: State) -> str:
    shown = path if len(path) <= 100 else path[:100] + "..."
    message = f"Nothing is served at {shown}."
    if path.startswith("/v1/") and state.relays:
        name = next(iter(state.relays))
        return f"{message} Other paths of a provider are relayed under its name, e.g. /{name}{shown}."
    return message
