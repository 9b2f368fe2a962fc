"""The gateway: a configuration brought to life. Built from a `Config`, opened on a running loop, closed after draining.

`State` is what one configuration amounts to; the gate reads it once per exchange, so that a later configuration can be swapped
in whole while exchanges in flight keep theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web

from edgegate.chain import Proceed, Recorder, Resource, Stage, compose
from edgegate.config.model import Config, ServerOptions
from edgegate.errors import GatewayError, Source
from edgegate.exchange import Exchange, Reply
from edgegate.observe.announce import Announcer
from edgegate.observe.events import Events
from edgegate.observe.health import Health
from edgegate.observe.logs import ExchangeLog
from edgegate.observe.metrics import Metrics, WorkersCollector
from edgegate.observe.share import SharedMetrics
from edgegate.resilience.board import ALL
from edgegate.server.accounting import Accounting, Reread
from edgegate.server.api import Api
from edgegate.server.build import build_board, build_catalog, build_sides, build_stages
from edgegate.server.connection import Listener
from edgegate.server.gate import Gate
from edgegate.server.local import LocalPaths
from edgegate.server.models import Models
from edgegate.server.news import Channel, Item, News
from edgegate.server.overload import Overload
from edgegate.stages.auth import Auth
from edgegate.tokens.estimate import Estimates
from edgegate.upstream.deadlines import Deadlines


@dataclass(frozen=True, slots=True)
class State:
    """One configuration, ready to serve."""

    server: ServerOptions
    chain: Proceed
    auth: Sequence[Stage]
    recorders: Sequence[Callable[[Exchange], None]]
    relays: Mapping[str, object]
    models: Models
    local: LocalPaths
    metrics: Metrics
    log: ExchangeLog
    deadlines: Deadlines
    overload: Overload
    estimates: Estimates
    drains: bool  # what becomes of an answer whose caller is gone: read to its end, or cancelled

    def guarded(self, answer: Callable[[Exchange], Awaitable[Reply]]) -> Proceed:
        """A chain of nothing but authentication before an answer of our own."""

        def last(ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
            return answer(ex)

        return compose([*self.auth, last])


class Gateway:
    """See the module. `simulated` names the providers that the built-in simulator stands in for."""

    def __init__(
        self,
        config: Config,
        log_file: BinaryIO,
        *,
        simulated: frozenset[str] = frozenset(),
        share: Path | None = None,
        worker: str = "0",
        reread: Reread | None = None,
    ) -> None:
        self._config = config
        self._log_file = log_file
        self._simulated = simulated
        self._share = share
        self._worker = worker
        self._reread = reread
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False
        self._listener: Listener | None = None

    async def open(self) -> None:
        """Builds everything that needs the running loop. Raises `ValueError` for a configuration that cannot be served."""
        loop = asyncio.get_running_loop()
        config = self._config
        self.deadlines = Deadlines(loop)
        self.metrics = Metrics(config.metrics.max_series)
        self.metrics.started_unix_s = time.time()
        self.log = ExchangeLog(config.log, self._log_file)
        self.log.open()
        sides = build_sides(config)
        catalog = build_catalog(config, sides, self._simulated)
        self.events = Events(time.time)
        self.news: list[Channel] = [News(self._share, self._worker, self._hear, time.time, self._count_news)]
        self._board = build_board(config, Announcer(self.metrics, self.events, self._tell))
        self._catalog = catalog
        self.accounting = Accounting(config, self.metrics, self.events, share=self._share, reread=self._reread)
        stages = build_stages(config, catalog, sides, self.deadlines, self.metrics, self._board, loop.time, self.accounting, self._share)
        await self.accounting.open()
        self.health = Health(sides)
        self._resources = [stage for stage in stages if isinstance(stage, Resource)]
        for resource in self._resources:
            await resource.open()
        self._shared = SharedMetrics(self.metrics, self._share, self._worker)
        if config.store.redis:
            from edgegate.server.news_redis import RedisNews

            url, store = config.store.redis.reveal(), config.store
            self.news.append(RedisNews(url, store.namespace, self.accounting.holder, self._hear, time.time, self._count_news))
        for channel in self.news:
            await channel.open()
        collector = WorkersCollector(self.metrics, self._shared.others)
        self._overload = Overload(config.server)
        self._overload.open()
        self.gate = Gate(lambda: self._state, self._background)
        self.api = Api(
            self.events,
            snapshot=lambda: self._board.snapshot(time.monotonic()),
            reset=self._reset_breakers,
            exchange=self.gate.exchange,
            guarded=lambda answer: self._state.guarded(answer),
            draining=lambda: self.gate.draining,
            unix_clock=time.time,
            usage=self.accounting.usage,
        )
        self._state = State(
            server=config.server,
            chain=compose(stages),
            auth=[stage for stage in stages if isinstance(stage, Auth)],
            recorders=[
                *[stage.record for stage in stages if isinstance(stage, Recorder)],
                self.accounting.books.record,
                self.health.record,
            ],
            relays={name: options for name, options in config.providers.items() if options.relay},
            models=Models(catalog, int(time.time())),
            local=LocalPaths(self.health, collector, lambda: (self.gate.draining, self.gate.in_flight), time.monotonic(), self.api),
            metrics=self.metrics,
            log=self.log,
            deadlines=self.deadlines,
            overload=self._overload,
            estimates=self.accounting.estimates,
            drains=any(stage.name == "forward" and stage.options.client_gone == "drain" for stage in config.chain),
        )
        if self._share is not None:
            task = loop.create_task(self._shared.run())
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.gate(request)

    def listener(self) -> Listener:
        """The protocol factory for `loop.create_server`, one for all sockets: it knows every client's connection."""
        if self._listener is None:
            server = self._config.server
            self._listener = Listener(
                self.gate,
                deadlines=self.deadlines,
                head_timeout_s=server.head_timeout,
                write_timeout_s=server.write_timeout,
                on_bad_request=self._bad_request,
                keepalive_timeout=server.keepalive,
                max_line_size=server.max_header,
                max_field_size=server.max_header,
            )
        return self._listener

    def _bad_request(self, reason: str) -> bytes:
        self.metrics.bad_requests.add(())
        if not reason:
            return self.gate.plain_error(GatewayError(500, "internal_error", "An internal error of the gateway."))
        shown = reason.splitlines()[0][:200] if reason.splitlines() else ""
        return self.gate.plain_error(GatewayError(400, "bad_http", f"The request is not valid HTTP/1.1: {shown}", source=Source.CLIENT))

    def _reset_breakers(self, label: str | None) -> list[str]:
        """Forgets what is held against a target, or all, here and in the other workers."""
        self._tell({"what": "reset", "target": label or ALL})
        found = self._board.reset(label)
        if not found and label and self._catalog.labelled(label) is not None:
            return [label]  # one that this worker has not used yet
        return found

    def _tell(self, item: Item) -> None:
        """To the workers of this machine and, by Redis, to all others. Whoever hears it twice is no wiser."""
        for channel in self.news:
            channel.tell(item)

    def _count_news(self, result: str) -> None:
        self.metrics.news.add((result,))

    def _hear(self, item: Mapping[str, Any]) -> None:
        """News of another worker: what it learned of a target counts here too."""
        try:
            age_s = max(0.0, time.time() - float(item["unix"]))
            self._board.heard(item, self._catalog.labelled, time.monotonic(), age_s)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            self.metrics.news.add(("malformed",))

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """Refuses new work and waits, at most `server.drain` seconds or until `hurry` is set, for the exchanges in flight. What
        still runs then is ended: streams by an error event of their dialect, plain calls by a 503."""
        gate = self.gate
        gate.draining = self.metrics.draining = True
        self.api.end_feeds()
        if gate.in_flight:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.server.drain):
                    await _first(gate.idle, hurry or asyncio.Event())
        await gate.cut()

    async def close_clients(self, limit_s: float) -> None:
        """Closes the clients' connections, idle ones at once, others as soon as what was written to them is sent."""
        if self._listener is not None:
            await self._listener.shutdown(limit_s)

    async def close(self) -> None:
        """Ends what the gateway owns. Call `drain` before, for a clean end."""
        if self._closed:
            return
        self._closed = True
        await self.gate.abandon()
        await self.gate.close_books()
        for channel in self.news:
            await channel.close()
        for resource in self._resources:
            await resource.close()
        await self.accounting.close()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._overload.close()
        self._shared.write()
        self.log.close()


async def _first(*events: asyncio.Event) -> None:
    """Waits until one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
