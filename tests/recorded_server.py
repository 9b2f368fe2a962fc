"""A real HTTP server that answers with recordings, so that the gateway can be pointed at one: `base_url: <server>/r/<split>/<id>`.

Every recording has an address of its own, `/r/<split>/<id>` plus the path it was recorded at. `split` says in what pieces the
body is sent: `whole`, `events` (one event or line a piece) or `bytes` (byte by byte). A method or path that is not the
recorded one gets 404, so a request to the wrong endpoint does not pass for a right one. What was received is kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from tests.corpus import Recording

_DROPPED = {"transfer-encoding", "content-length", "content-encoding", "connection", "keep-alive", "date", "server"}
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\n|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived. Header names in lower case."""

    method: str
    path: str  # with query
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def identity(recording: Recording) -> str:
    """The recording's id in addresses and provider names, e.g. `anthropic-messages-30f73c0c`."""
    return f"{recording.file.parent.name}-{recording.file.stem}"


class RecordedServer:
    """Serves the recordings it was given. `start` and `stop` run in the loop that is to serve."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self._recordings = {identity(recording): recording for recording in recordings}
        self.received: dict[str, list[Received]] = {}
        self.url = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/r/{split:whole|events|bytes}/{id}/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def base_url(self, recording: Recording, below: str = "", split: str = "whole") -> str:
        """The provider address at which `recording` is served; `below` is the part of its path that belongs to the address,
        e.g. `/openai/v1`."""
        return f"{self.url}/r/{split}/{identity(recording)}{below}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        known = request.match_info["id"]
        recording = self._recordings.get(known)
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = "/" + request.raw_path.split("/", 4)[4]
        received = Received(request.method, path, headers, await request.read())
        self.received.setdefault(known, []).append(received)
        if (
            recording is None
            or request.method != recording.raw["method"].upper()
            or path.partition("?")[0] != recording.path.partition("?")[0]
        ):
            return web.Response(status=404, text=f"not the recorded request: {request.method} {path}")
        kept = {name: value for name, value in recording.headers.items() if name not in _DROPPED}
        kept.setdefault("content-type", "text/event-stream" if recording.streamed else "application/json")
        split = request.match_info["split"]
        if split == "whole":
            return web.Response(status=recording.status, body=recording.body, headers=kept)
        response = web.StreamResponse(status=recording.status, headers=kept)
        await response.prepare(request)
        for piece in pieces(recording.body, split):
            await response.write(piece)
            await asyncio.sleep(0)  # lets the piece leave as one of its own
        await response.write_eof()
        return response


def pieces(body: bytes, split: str) -> Iterable[bytes]:
    """The body in the pieces of `split`; joined they are the body."""
    if split == "bytes":
        return [body[at : at + 1] for at in range(len(body))]
    return [piece for piece in _EVENT.findall(body) if piece] if split == "events" else [body]
