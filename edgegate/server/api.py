"""The paths for operators: how the targets are, closing a breaker by hand, and what happens as it happens.

They are answered beside the chain, like `/health`, also while the gateway is overloaded or draining; unlike `/health` they are
behind the auth stage. Errors have OpenAI's shape. What they tell is this worker's view.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import orjson
from aiohttp import web

from edgegate.chain import Proceed
from edgegate.dialects.openai.client import ChatClient
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.exchange import Exchange, Reply
from edgegate.observe.events import KEPT, Event, Events
from edgegate.server.body import read_body
from edgegate.server.feed import Feed
from edgegate.server.framing import check_framing
from edgegate.wire.document import parse_object

MAX_FEEDS = 100
"""Subscribers at once, per worker."""

MAX_BODY = 16 * 1024
BODY_S = 10.0
LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC).timestamp()

Answer = Callable[[web.BaseRequest, Exchange], Awaitable[web.StreamResponse]]


class Api:
    """See the module. `snapshot` gives the state of each target by its label, as `Board.snapshot` does; `reset` forgets what is
    held against one target or against all, and gives their labels, none for a target that is not known. `exchange` makes an
    exchange of a request, `guarded` puts the auth stage before an answer, `draining` says whether new feeds are refused. `usage`
    tells what the caller of an exchange has used; without it there is no `/v1/usage`."""

    def __init__(
        self,
        events: Events,
        *,
        snapshot: Callable[[], Mapping[str, Any]],
        reset: Callable[[str | None], list[str]],
        exchange: Callable[[web.BaseRequest, str, str], Exchange],
        guarded: Callable[[Proceed], Proceed],
        draining: Callable[[], bool],
        unix_clock: Callable[[], float],
        usage: Callable[[Exchange], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._forget = reset
        self._events = events
        self._exchange = exchange
        self._guarded = guarded
        self._draining = draining
        self._unix_clock = unix_clock
        self._client = ChatClient()
        self._feeds: set[Feed] = set()
        self.paths: dict[str, tuple[tuple[str, ...], Answer]] = {
            "/api/circuit-breakers": (("GET", "HEAD"), self._show),
            "/api/circuit-breakers/reset": (("POST",), self._reset),
            "/api/events": (("GET", "HEAD"), self._tell),
        }
        if usage is not None:

            async def tell_usage(request: web.BaseRequest, ex: Exchange) -> web.StreamResponse:
                return _json(200, ex, await usage(ex))

            self.paths["/v1/usage"] = (("GET", "HEAD"), tell_usage)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a request for one of `paths`."""
        path, _, query = request._message.path.partition("?")
        ex = self._exchange(request, path, query)
        methods, answer = self.paths[path]
        try:
            check_framing(request, ex)
            if request.method not in methods:
                message = f"{path} takes {', '.join(methods)}, not {request.method}."
                raise GatewayError(405, "method_not_allowed", message, source=Source.CLIENT)
            await self._guarded(_let_in)(ex)
            return await answer(request, ex)
        except GatewayError as error:
            return self._refuse(ex, error, methods)

    def end_feeds(self) -> None:
        """Ends every feed at once."""
        for feed in list(self._feeds):
            feed.end()

    # -- the paths

    async def _show(self, request: web.BaseRequest, ex: Exchange) -> web.StreamResponse:
        unix = self._unix_clock()
        return _json(200, ex, {label: _shown(state, unix) for label, state in self._snapshot().items()})

    async def _reset(self, request: web.BaseRequest, ex: Exchange) -> web.StreamResponse:
        target = _target(await read_body(request, MAX_BODY, BODY_S))
        done = self._forget(target)
        if target is not None and not done:
            message = f"Nothing is known of a target {target[:200]!r}; GET /api/circuit-breakers lists those that were used."
            raise GatewayError(404, "unknown_target", message, param="target", source=Source.CLIENT)
        self._events.emit("breaker_reset", target=target or "*", targets=len(done), by=ex.key.name if ex.key is not None else "")
        return _json(200, ex, {"reset": done})

    async def _tell(self, request: web.BaseRequest, ex: Exchange) -> web.StreamResponse:
        limit = _limit(ex.query)
        accept = request.headers.get("Accept", "")
        if request.method == "HEAD" or ("application/json" in accept and "text/event-stream" not in accept):
            return _json(200, ex, {"events": self._events.latest(KEPT if limit is None else limit, private=False)})
        if self._draining():
            raise GatewayError(503, "draining", "The gateway is shutting down.", retry_after_s=1.0)
        if len(self._feeds) >= MAX_FEEDS:
            raise GatewayError(503, "overloaded", f"There are {MAX_FEEDS} readers of events already.", retry_after_s=5.0)
        feed = Feed(request, self._earlier(request, limit))
        self._feeds.add(feed)
        self._events.subscribe(feed.push)
        try:
            return await feed.run(_headers(ex))
        finally:
            self._events.unsubscribe(feed.push)
            self._feeds.discard(feed)

    def _earlier(self, request: web.BaseRequest, limit: int | None) -> list[Event]:
        """What a feed begins with: what came behind `Last-Event-ID`, or as many of the last events as were asked for, or nothing."""
        last = request.headers.get("Last-Event-ID", "")
        if not last:
            return self._events.latest(limit or 0, private=False)
        if not _digits(last):
            raise bad_request("Last-Event-ID: expected the id of an event, a whole number", "Last-Event-ID")
        return self._events.after(int(last), private=False)

    def _refuse(self, ex: Exchange, error: GatewayError, methods: tuple[str, ...]) -> web.Response:
        headers = {**_headers(ex), "x-edgegate-error-source": error.source.value}
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        if error.status == 405:
            headers["Allow"] = ", ".join(methods)
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = self._client.error(error, ex.id)
        response = web.Response(status=error.status, body=body, content_type="application/json", headers=headers)
        if ex.close:
            response.force_close()
        return response


async def _let_in(ex: Exchange) -> Reply:
    """The end of the guarded chain: whoever comes here may ask."""
    return Reply(204, [], b"", "")


def _json(status: int, ex: Exchange, body: Mapping[str, Any]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=_headers(ex))


def _headers(ex: Exchange) -> dict[str, str]:
    return {"Cache-Control": "no-store", "Server": "edgegate", "x-request-id": ex.id}


def _target(body: bytes) -> str | None:
    """The target that is to be reset; None for all."""
    if not body.strip():
        return None
    asked = parse_object(body)
    unknown = next((name for name in asked if name != "target"), None)
    if unknown is not None:
        raise bad_request(f"{unknown[:100]!r} is no field of this request; expected 'target', or no body for all", unknown[:100])
    if "target" not in asked:
        return None
    target = asked["target"]
    if not isinstance(target, str) or not target:
        raise bad_request("target: expected a text such as 'openai/gpt-4o'", "target")
    return target


def _limit(query: str) -> int | None:
    given = parse_qs(query, keep_blank_values=True).get("limit")
    if given is None:
        return None
    if len(given) != 1 or not _digits(given[0]) or not 1 <= int(given[0]) <= KEPT:
        raise bad_request(f"limit: expected a whole number from 1 to {KEPT}", "limit")
    return int(given[0])


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _shown(state: Mapping[str, Any], unix: float) -> dict[str, Any]:
    """A target's state as the world sees it: moments instead of spans, milliseconds, camelCase."""
    ago = state["last_failure_ago_s"]
    latency, errors = state["latency_s"], state["error_rate"]
    return {
        "state": state["state"],
        "failureCount": state["failure_count"],
        "lastFailureTime": None if ago is None else _moment(unix - ago),
        "openUntil": _until(state["open_for_s"], unix),
        "inFlight": state["in_flight"],
        "latencyMs": None if latency is None else round(latency * 1000, 3),
        "errorRate": None if errors is None else round(errors, 4),
        "ejectedUntil": _until(state["ejected_for_s"], unix),
        "keys": [
            {
                "heldUntil": _until(key["held_for_s"], unix),
                "refusedUntil": _until(key["refused_for_s"], unix),
                "inFlight": key["in_flight"],
            }
            for key in state["keys"]
        ],
    }


def _until(for_s: float | None, unix: float) -> str | None:
    return None if for_s is None or for_s <= 0 else _moment(unix + for_s)


def _moment(unix: float) -> str:
    """ISO 8601; what never ends does so in the year 9999."""
    return datetime.fromtimestamp(min(unix, LAST_MOMENT), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
