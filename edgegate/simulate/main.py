"""The provider simulator: a server that speaks the real wire formats of the providers without any key.

`serve` runs it as a process, `start` inside another one. Which vendor answers at which path is in `paths.py`. No key is needed, and none is
looked at but by Azure and Bedrock, which want to see one. Answers are deterministic: see `mind.py` for what a prompt can ask for and
`faults.py` for the model names that make it fail. Every reply carries `x-edgegate-simulated: true`; `GET /` tells the traffic so far.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from aiohttp import web

from edgegate.simulate.delivery import deliver, refuse, spoil
from edgegate.simulate.faults import fault_of
from edgegate.simulate.paths import routes, shared_vendors
from edgegate.simulate.vendor import Asked, Endpoint, Refusal, Script, Vendor

MAX_BODY = 64 << 20  # several images in base64
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Traffic:
    """Counts since the start: requests, those under way, those whose client left before the end, and by model where it is `flaky`."""

    requests: int = 0
    open: int = 0
    client_gone: int = 0
    flaky: dict[str, int] = field(default_factory=dict)


class Simulator:
    """The application and what it has seen."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.on_response_prepare.append(_mark)
        for route in routes():
            app.router.add_route(route.method, route.path, self._handler(route.vendor, route.endpoint))
        shared = shared_vendors()
        app.router.add_get("/v1/models", self._by_header([(each.vendor, each.models) for each in shared]))
        app.router.add_get("/v1/models/{model:.+}", self._by_header([(each.vendor, each.model) for each in shared]))
        app.router.add_get("/", self._about)
        app.router.add_route("*", "/{rest:.*}", self._by_header([(each.vendor, _unknown) for each in shared]))
        return app

    def _by_header(self, answers: list[tuple[Vendor, Endpoint]]) -> _Handler:
        """One path, three vendors (see `shared_vendors`): told apart by the headers their SDKs send."""
        openais, anthropics, googles = [self._handler(vendor, endpoint) for vendor, endpoint in answers]

        async def handle(request: web.Request) -> web.StreamResponse:
            if "anthropic-version" in request.headers:
                return await anthropics(request)
            if "x-goog-api-key" in request.headers or "key" in request.query or request.path.startswith("/v1beta"):
                return await googles(request)
            return await openais(request)

        return handle

    def _handler(self, vendor: Vendor, endpoint: Endpoint) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            traffic = self.traffic
            traffic.requests += 1
            traffic.open += 1
            try:
                return await self._answer(request, vendor, endpoint)
            except (asyncio.CancelledError, ConnectionError):
                traffic.client_gone += 1
                raise
            finally:
                traffic.open -= 1

        return handle

    async def _answer(self, request: web.Request, vendor: Vendor, endpoint: Endpoint) -> web.StreamResponse:
        raw = await request.read()
        request_id = hashlib.sha256(request.raw_path.encode() + raw).hexdigest()[:24]
        headers = vendor.headers(request_id)
        try:
            asked = _read(request, raw)
            fault = fault_of(asked.model, self.traffic.flaky)
            if fault.kind == "error":
                raise Refusal(fault.status, model=asked.model, variant=fault.variant, retry_after_s=fault.retry_after_s)
            reply = endpoint(asked)
        except Refusal as refusal:
            return await refuse(vendor, refusal, headers, request_id)
        except (AttributeError, TypeError, LookupError, ValueError):  # JSON of another shape than the endpoints read
            return await refuse(vendor, Refusal(400, "A field of the request has the wrong type."), headers, request_id)
        spoiled = await spoil(fault, isinstance(reply, Script), headers)
        return spoiled or await deliver(request, vendor, reply, fault, headers, request_id)

    async def _about(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"simulated": True, "formats": sorted({route.vendor.name for route in routes()}), "traffic": asdict(self.traffic)}
        )


def _read(request: web.Request, raw: bytes) -> Asked:
    body: Any = {}
    if request.method == "POST":
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, "We could not parse the JSON body of your request.") from error
        if not isinstance(body, dict):
            raise Refusal(400, "The body of your request must be a JSON object.")
    model = request.match_info.get("model") or body.get("model") or body.get("name") or ""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Asked(body, raw, headers, request.query, str(model), request.method, request.raw_path)


def _unknown(asked: Asked) -> Any:
    raise Refusal(404, "The simulator has no such endpoint.", code="unknown_url")


async def _mark(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-edgegate-simulated"] = "true"


@dataclass(slots=True)
class Running:
    """A started simulator. `await stop()` closes it and every connection at once."""

    host: str
    port: int
    simulator: Simulator
    runner: web.AppRunner

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def traffic(self) -> Traffic:
        return self.simulator.traffic

    async def stop(self) -> None:
        await self.runner.cleanup()


async def start(host: str = "127.0.0.1", port: int = 0) -> Running:
    """Starts the simulator in the running loop; port 0 takes a free one."""
    simulator = Simulator()
    # handler_cancellation: a client that leaves ends its answer, as a provider's server would
    runner = web.AppRunner(simulator.application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return Running(host, runner.addresses[0][1], simulator, runner)


def serve(host: str = "127.0.0.1", port: int = 8090) -> int:
    """Runs the simulator until SIGINT or SIGTERM; returns the process's exit status."""
    try:
        asyncio.run(_serve(host, port))
    except OSError as error:
        print(f"edgegate: cannot listen on {host}:{port}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


async def _serve(host: str, port: int) -> None:
    running = await start(host, port)
    print(f"edgegate simulator on {running.url} (OpenAI: {running.url}/v1)", flush=True)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await stopping.wait()
    await running.stop()
