"""The gateway under test, in this process but on an event loop of its own: a real listener, real sockets, short limits.

The loop is uvloop's, as in production. Whatever the loop reports to its exception handler (a task that nobody waited for,
a protocol callback that raised) is collected, and every test checks that there was nothing.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import structlog
import uvloop

from edgegate.config.model import Config, KeyOptions, ModelOptions, ProviderOptions, ServerOptions, StageOptions
from edgegate.config.option import Duration, Secret, Size
from edgegate.config.stages import STAGES, BreakerOptions, FailoverOptions, ForwardOptions
from edgegate.observe.logs import configure
from edgegate.server.gateway import Gateway
from edgegate.stages.forward import Forward
from tests.hard.speech import ANTHROPIC_KEY, GATEWAY_KEY, OPENAI_KEY

T = TypeVar("T")

MAX_BODY = 256 * 1024
MAX_HEADER = 8 * 1024
HEAD_S = 0.5
BODY_S = 0.5
WRITE_S = 1.0
KEEPALIVE_S = 30.0
FIRST_TOKEN_S = 0.6
IDLE_S = 0.6
TOTAL_S = 2.0
CONNECT_S = 0.5
MAX_REPLY = 24 * 1024 * 1024
NO_BREAKER = BreakerOptions(failures=0)
"""Most of these tests are about one fault each: what was learned from one must not show in the next."""


class Loop:
    """An event loop in a thread."""

    def __init__(self, name: str, fast: bool) -> None:
        self.loop = uvloop.new_event_loop() if fast else asyncio.new_event_loop()
        self.faults: list[str] = []
        self.loop.set_exception_handler(self._fault)
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def _fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def run(self, work: Coroutine[Any, Any, T], within_s: float = 20) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(within_s)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


class Log(io.BytesIO):
    """The gateway's log, in memory."""

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def chain(forward: ForwardOptions | None = None, failover: FailoverOptions | None = None, **more: Any) -> tuple[StageOptions, ...]:
    once = FailoverOptions(attempts=2, retries=0, breaker=NO_BREAKER)
    options = {"forward": forward or quick_forward(), "failover": failover or once, **more}
    names = ("auth", "route", "failover", "translate", "forward", "meter")
    return tuple(StageOptions(name, options.get(name) or STAGES[name]()) for name in names)


def quick_forward(**more: Any) -> ForwardOptions:
    limits: dict[str, Any] = {
        "connect": Duration(CONNECT_S),
        "first_token": Duration(FIRST_TOKEN_S),
        "idle": Duration(IDLE_S),
        "total": Duration(TOTAL_S),
        "max_reply": Size(MAX_REPLY),
    }
    return ForwardOptions(**(limits | more))


def quick_server(**more: Any) -> ServerOptions:
    options: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "max_body": Size(MAX_BODY),
        "max_header": Size(MAX_HEADER),
        "head_timeout": Duration(HEAD_S),
        "body_timeout": Duration(BODY_S),
        "write_timeout": Duration(WRITE_S),
        "keepalive": Duration(KEEPALIVE_S),
        "max_lag": Duration(0),
    }
    return ServerOptions(**(options | more))


def config(openai_port: int, anthropic_port: int, **more: Any) -> Config:
    """Two providers: `openai` with a base path, `anthropic` without. gpt-fallback falls back to claude-haiku-4-5."""
    providers = {
        "openai": ProviderOptions(
            dialect="openai",
            base_url=f"http://127.0.0.1:{openai_port}/v1",
            api_key=Secret(OPENAI_KEY),
            models=("gpt-4o", "gpt-fallback", "text-embedding-3-small"),
        ),
        "anthropic": ProviderOptions(
            dialect="anthropic",
            base_url=f"http://127.0.0.1:{anthropic_port}",
            api_key=Secret(ANTHROPIC_KEY),
            models=("claude-haiku-4-5",),
        ),
        "gemini": ProviderOptions(dialect="gemini", base_url=f"http://127.0.0.1:{openai_port}", api_key=Secret("gm-key-91827364aabb")),
    }
    basis = Config(
        server=quick_server(),
        providers=providers,
        models=ModelOptions(fallbacks={"gpt-fallback": ("claude-haiku-4-5",)}),
        keys=(KeyOptions(name="app", key=Secret(GATEWAY_KEY)),),
        chain=chain(),
    )
    return replace(basis, **more)


class Live:
    """A running gateway."""

    def __init__(self, config: Config) -> None:
        self.log = Log()
        self.loop = Loop("gateway", fast=True)
        configure(config.log, self.log)
        self.structlog_cached = structlog.is_configured()
        self.loop.run(self._open(config))

    async def _open(self, config: Config) -> None:
        self.gateway = Gateway(config, self.log)
        await self.gateway.open()
        self.listener = self.gateway.listener()
        self._server = await self.loop.loop.create_server(self.listener, "127.0.0.1", 0, backlog=1024)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self.gateway.close_clients(0.2)
        await self.gateway.close()

    def close(self) -> None:
        self.loop.run(self._close())
        self.loop.stop()

    # -- what is inside

    @property
    def forward(self) -> Forward:
        (forward,) = [resource for resource in self.gateway._resources if isinstance(resource, Forward)]
        return forward

    def pooled(self) -> int:
        """Connections to providers that exist, busy or idle."""
        return sum(upstream.pool.size for upstream in self.forward._upstreams.values())

    def connecting(self) -> int:
        return sum(upstream.pool._connecting for upstream in self.forward._upstreams.values())

    async def _drop(self) -> None:
        for upstream in self.forward._upstreams.values():
            for connection in list(upstream.pool._open):
                connection.abort()

    def drop_upstream_connections(self) -> None:
        """So that what one test left open does not make the next one fail."""
        self.loop.run(self._drop())

    async def _well(self) -> None:
        self.gateway._board.reset(None)

    def forgive(self) -> None:
        """What was learned of the targets is forgotten."""
        self.loop.run(self._well())

    def in_flight(self) -> int:
        return self.gateway.gate.in_flight

    def client_connections(self) -> int:
        return len(self.listener.connections)

    async def _unwritten(self) -> int:
        transports = [connection.transport for connection in self.listener.connections]
        return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)

    def unwritten(self) -> int:
        """Bytes that wait in this process for clients to read."""
        return self.loop.run(self._unwritten())

    def waiting(self) -> int:
        """What the sweep of time limits still watches."""
        return len(self.gateway.deadlines)

    async def _tasks(self) -> int:
        return len(asyncio.all_tasks()) - 1

    def tasks(self) -> int:
        return self.loop.run(self._tasks())

    def wait(self, condition: Any, what: str, within_s: float = 5.0) -> None:
        until = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < until, f"waited {within_s} s in vain: {what}"
            time.sleep(0.01)

    def logged(self, request_id: str, within_s: float = 3.0) -> dict[str, Any]:
        """The log line of an exchange. Written at once: no test waits for the log's timer."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            self.loop.run(self._flush())
            found[:] = [line for line in self.log.lines() if line.get("request_id") == request_id and line["event"] == "request"]
            return bool(found)

        self.wait(there, f"a log line for {request_id}", within_s)
        assert len(found) == 1, f"{len(found)} log lines for one exchange"
        return found[0]

    async def _flush(self) -> None:
        self.gateway.log._flush()

    async def _forget(self) -> None:
        self.gateway.log._flush()
        self.log.seek(0)
        self.log.truncate()

    def forget_log(self) -> None:
        self.loop.run(self._forget())

    def faults(self) -> list[str]:
        """What the event loop complained of, and 500s that were logged as faults of the gateway's own."""
        logged = [str(line)[:3000] for line in self.log.lines() if line.get("event") == "fault"]
        return self.loop.faults + logged


class Complaints(logging.Handler):
    """What aiohttp and asyncio write into their loggers at level error: never part of a test that passes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record)[-3000:])
