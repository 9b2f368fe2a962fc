"""The wall: an upstream of raw sockets whose faults are chosen by the model's name, and which writes down every attempt.

`fb-s08-anything` asks for fault `s08`; the second part of a name is always the fault. How often a model was asked is counted by
its whole name, so that scenarios side by side do not disturb each other. A request that comes while an answer is being written
means nothing to the wall; the end of the connection does: it stops and notes when the gateway hung up.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from tests.failover.shapes import SHAPES, Shape, last_message


class HungUp(Exception):
    """The gateway closed its connection while the wall was still answering."""


@dataclass
class Attempt:
    """One request that reached the wall. Times are monotonic seconds."""

    model: str
    at: float
    path: str
    stream: bool
    last_role: str
    prefill: str  # the assistant text that the request ends with
    usage_asked: bool
    number: int  # of the attempts at this model, from 1
    request: dict[str, Any]
    answered: str = ""
    gone_at: float | None = None  # when the gateway hung up before the wall was done
    ended: float = 0.0


class Line(asyncio.Protocol):
    """One connection from the gateway."""

    def __init__(self, wall: Wall) -> None:
        self._wall = wall
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self.served = 0  # requests answered on this connection
        self.gone: asyncio.Future[float] = wall.loop.create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wall.lines.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def eof_received(self) -> None:
        self._over()

    def connection_lost(self, error: Exception | None) -> None:
        self._over()
        self._wall.lines.discard(self)

    def _over(self) -> None:
        if not self.gone.done():
            self.gone.set_result(time.monotonic())

    def _next(self) -> None:
        """Starts on the next request, if one is there whole."""
        if self._task is not None and not self._task.done():
            return
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._task = self._wall.loop.create_task(self._answer(first.split(" ")[1].partition("?")[0], rest[:length]))
        self._wall.tasks.add(self._task)
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._wall.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._wall.complaints.append(repr(task.exception()))
        if not self.gone.done():
            self._next()

    async def _answer(self, path: str, body: bytes) -> None:
        request = json.loads(body)
        model = request["model"]
        role, text = last_message(request)
        wall = self._wall
        wall.counts[model] = wall.counts.get(model, 0) + 1
        options = request.get("stream_options") or {}
        attempt = Attempt(
            model,
            time.monotonic(),
            path,
            bool(request.get("stream")),
            role,
            text if role == "assistant" else "",
            bool(options.get("include_usage")),
            wall.counts[model],
            request,
        )
        wall.attempts.append(attempt)
        try:
            await wall.faults[model.split("-")[1]](Answer(self, attempt, SHAPES[path]))
        except HungUp:
            attempt.gone_at = self.gone.result()
            self.transport.abort()
        finally:
            attempt.ended = time.monotonic()
            self.served += 1


@dataclass
class Answer:
    """What a fault works with: one attempt, its connection and its wire format."""

    line: Line
    attempt: Attempt
    shape: Shape

    @property
    def model(self) -> str:
        return self.attempt.model

    def write(self, data: bytes) -> None:
        if self.line.gone.done() or self.line.transport.is_closing():
            raise HungUp
        self.line.transport.write(data)

    async def wait(self, seconds: float) -> None:
        """Waits, unless the gateway hangs up."""
        if self.line.gone not in (await asyncio.wait({self.line.gone}, timeout=seconds))[0]:
            return
        raise HungUp

    def said(self, what: str) -> None:
        self.attempt.answered = what

    def close(self) -> None:
        self.line.transport.close()

    def reset(self) -> None:
        sock = self.line.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.line.transport.abort()

    def whole(self, status: int, body: bytes, *headers: str, content_type: str = "application/json") -> None:
        """A whole reply with a length."""
        lines = [f"HTTP/1.1 {status} Wall", f"content-type: {content_type}", f"content-length: {len(body)}", *headers]
        self.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.said(str(status))

    def head(self) -> None:
        """The head of a stream, at once."""
        self.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    def event(self, data: bytes) -> None:
        self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """The chunk that ends a stream's HTTP message."""
        self.write(b"0\r\n\r\n")


Fault = Callable[[Answer], Awaitable[None]]


@dataclass
class Wall:
    """See the module. `async with` it."""

    faults: dict[str, Fault]
    port: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Wall:
        self.loop = asyncio.get_running_loop()
        self.lines: set[Line] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._server = await self.loop.create_server(lambda: Line(self), "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for line in list(self.lines):
            line.transport.abort()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def at(self, model: str) -> list[Attempt]:
        """The attempts at one model, in order."""
        return [attempt for attempt in self.attempts if attempt.model == model]
