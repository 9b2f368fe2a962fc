"""Paths that the gateway answers itself, outside the chain: health, readiness, metrics, and those for operators (`server/api.py`).
They never touch a provider."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from prometheus_async.aio.web import server_stats
from prometheus_client import REGISTRY

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from edgegate.observe.health import Health
    from edgegate.server.api import Api

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class LocalPaths:
    """See the module. `status` gives (draining, exchanges in flight)."""

    def __init__(self, health: Health, collector: Collector, status: Callable[[], tuple[bool, int]], started: float, api: Api) -> None:
        self._health = health
        self._collector = collector
        self._status = status
        self._started = started
        self._paths: dict[str, Handler] = {
            "/health": self._alive,
            "/health/liveness": self._alive,
            "/ready": self._ready,
            "/health/readiness": self._ready,
            "/startup": self._ready,
            "/health/startup": self._ready,
            "/metrics": self._metrics,
        }
        self._api = dict.fromkeys(api.paths, api)

    def find(self, method: str, path: str) -> Handler | None:
        found: Handler | None = self._paths.get(path) if method in ("GET", "HEAD") else None
        return found or self._api.get(path)

    async def _alive(self, request: web.BaseRequest) -> web.StreamResponse:
        _, active = self._status()
        return _json(200, self._health.liveness(time.monotonic() - self._started, active))

    async def _ready(self, request: web.BaseRequest) -> web.StreamResponse:
        draining, _ = self._status()
        return _json(*self._health.readiness(draining))

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        """prometheus-async serves the process-wide registry; ours is in it for this call only, which does not wait anywhere, so
        that several gateways in one process do not mix."""
        REGISTRY.register(self._collector)
        try:
            return await server_stats(request)  # type: ignore[arg-type]  # it only reads headers
        finally:
            REGISTRY.unregister(self._collector)


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store", "Server": "edgegate"}
    )
