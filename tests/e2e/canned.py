"""A provider that answers what it is told to and keeps what it was sent: for endpoints that the simulator does not have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.recorded_server import Received


@dataclass(frozen=True)
class Canned:
    """An answer: JSON, or bytes of another type."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


class CannedServer:
    """`answers` by `METHOD /path`; a path that ends in `*` stands for all below it. `start` and `stop` run in the loop that serves."""

    def __init__(self, answers: dict[str, Canned]) -> None:
        self.answers = answers
        self.received: list[Received] = []
        self.url = ""

    @property
    def last(self) -> Received:
        return self.received[-1]

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.method, request.raw_path, headers, await request.read()))
        answer = self._find(f"{request.method} {request.path}")
        if answer is None:
            return web.json_response({"error": {"message": f"nothing is served at {request.path}"}}, status=404)
        return web.Response(status=answer.status, body=answer.data, headers={"content-type": answer.content_type, **answer.headers})

    def _find(self, asked: str) -> Canned | None:
        found = self.answers.get(asked)
        if found is not None:
            return found
        return next((answer for place, answer in self.answers.items() if place.endswith("*") and asked.startswith(place[:-1])), None)
