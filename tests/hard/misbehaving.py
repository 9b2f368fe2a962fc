"""A provider that misbehaves on order: raw sockets, no HTTP library, one script per request, everything recorded.

It answers whatever comes with its next `Play`; without one, with a good answer for the path. What it receives it parses
strictly: a byte that does not belong to a well-formed HTTP/1.1 request lands in `stray`, which no test may find filled.
It runs on an event loop of its own; tests stand outside and wait with a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.hard.speech import good_answer

HOLD_S = 20.0
"""The longest a script waits for the gateway; a test has failed long before."""


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    head: bytes
    connection: int
    at: float

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} stands {len(values)} times upstream"
        return values[0] if values else None


class Peer:
    """One connection from the gateway, as a script sees it."""

    def __init__(self, provider: Provider, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.provider = provider
        self.number = number
        self.reader = reader
        self.writer = writer
        self.keep = True

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def wait_gone(self) -> None:
        """Until the gateway has closed; notes when. Bytes that still come are noted as well."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(HOLD_S):
                while piece := await self.reader.read(65536):
                    self.provider.late += piece
        self.provider.gone_at[self.number] = time.monotonic()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.keep = False

    def close(self) -> None:
        self.writer.close()
        self.keep = False


Step = Callable[[Peer], Awaitable[None]]


def send(data: bytes) -> Step:
    async def step(peer: Peer) -> None:
        await peer.send(data)

    return step


def sleep(seconds: float) -> Step:
    async def step(peer: Peer) -> None:
        await asyncio.sleep(seconds)

    return step


def trickle(data: bytes, pause_s: float, size: int = 1) -> Step:
    async def step(peer: Peer) -> None:
        for at in range(0, len(data), size):
            await peer.send(data[at : at + size])
            await asyncio.sleep(pause_s)

    return step


def repeat(data: bytes, pause_s: float, for_s: float = HOLD_S) -> Step:
    """The same bytes over and over, until the gateway has had enough."""

    async def step(peer: Peer) -> None:
        until = time.monotonic() + for_s
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < until and not peer.reader.at_eof():
                await peer.send(data)
                await asyncio.sleep(pause_s)

    return step


async def _wait_gone(peer: Peer) -> None:
    await peer.wait_gone()
    peer.close()


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _close(peer: Peer) -> None:
    peer.close()


async def _half_close(peer: Peer) -> None:
    peer.writer.write_eof()


async def _turn(peer: Peer) -> None:
    await peer.provider.turns.acquire()


wait_gone: Step = _wait_gone
reset: Step = _reset
close: Step = _close
half_close: Step = _half_close
turn: Step = _turn
"""Waits until the test says `provider.go()`: the order of events without a clock."""


@dataclass
class Play:
    """What to do with one request. `read`: "all" of it first, only its "head", or "nothing"."""

    steps: Sequence[Step]
    read: str = "all"


def answer(data: bytes, *more: Step, read: str = "all") -> Play:
    return Play([send(data), *more], read)


@dataclass
class Provider:
    """See the module. `port` is known once started."""

    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    stray: bytearray = field(default_factory=bytearray)
    late: bytearray = field(default_factory=bytearray)
    everything: bytearray = field(default_factory=bytearray)
    gone_at: dict[int, float] = field(default_factory=dict)
    connections: int = 0

    def __post_init__(self) -> None:
        self._plays: deque[Play] = deque()
        self._always: Play | None = None
        self._open: dict[int, Peer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = threading.Condition()

    # -- on its loop

    async def start(self, port: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self.turns = asyncio.Semaphore(0)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self.tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for peer in list(self._open.values()):
            peer.writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        peer = Peer(self, self.connections, reader, writer)
        self._open[peer.number] = peer
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._notify()
        try:
            while peer.keep and await self._one(peer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone_at.setdefault(peer.number, time.monotonic())
            self._open.pop(peer.number, None)
            self._tasks.discard(task)
            writer.transport.abort() if writer.transport.is_closing() is False else None
            self._notify()

    async def _one(self, peer: Peer) -> bool:
        """One request of a connection. False when the gateway has closed it."""
        play = self._next(only_unread=True)
        if play is not None:  # a script that does not wait for a request
            for step in play.steps:
                await step(peer)
            return peer.keep
        head = await self._head(peer)
        if not head:
            return False
        got = self._parse(head, peer.number)
        play = self._next() or Play([])
        if play.read == "all":
            await self._body(peer, got)
        self.requests.append(got)
        self._notify()
        for step in play.steps or [send(good_answer(got.target, got.body))]:
            await step(peer)
        if play.read != "all":
            peer.close()
        return peer.keep and not peer.writer.transport.is_closing()

    def _next(self, only_unread: bool = False) -> Play | None:
        play = self._plays[0] if self._plays else self._always
        if play is None or only_unread != (play.read == "nothing"):
            return None
        if self._plays:
            self._plays.popleft()
        return play

    async def _head(self, peer: Peer) -> bytes:
        try:
            head = await peer.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            self.stray += error.partial
            self.everything += error.partial
            return b""
        self.everything += head
        return head

    def _parse(self, head: bytes, number: int) -> Received:
        lines = head[:-4].split(b"\r\n")
        parts = lines[0].split(b" ")
        headers = []
        try:
            assert len(parts) == 3
            assert parts[2] == b"HTTP/1.1"
            assert parts[0].isalpha()
            assert parts[1].startswith(b"/")
            assert all(33 <= byte <= 126 for byte in parts[1])
            for line in lines[1:]:
                name, colon, value = line.partition(b":")
                assert colon
                assert name.replace(b"-", b"").replace(b"_", b"").isalnum()
                assert not any(byte < 32 and byte != 9 for byte in value)
                headers.append((name.decode().lower(), value.strip().decode("latin-1")))
            names = [name for name, _ in headers]
            assert names.count("host") == 1
            assert names.count("content-length") + names.count("transfer-encoding") <= 1
        except AssertionError:
            self.stray += head
        return Received(
            parts[0].decode(), parts[1].decode("latin-1") if len(parts) > 1 else "", headers, b"", head, number, time.monotonic()
        )

    async def _body(self, peer: Peer, got: Received) -> None:
        length = got.header("content-length")
        pieces: list[bytes] = []
        if length is not None:
            pieces.append(await peer.reader.readexactly(int(length)))
        elif got.header("transfer-encoding"):
            while True:
                line = await peer.reader.readuntil(b"\r\n")
                size = int(line, 16)
                piece = await peer.reader.readexactly(size + 2)
                if piece[-2:] != b"\r\n":
                    self.stray += piece[-20:]
                if size == 0:
                    break
                pieces.append(piece[:-2])
        got.body = b"".join(pieces)
        if len(got.body) < 1 << 20:
            self.everything += got.body

    def _notify(self) -> None:
        with self._change:
            self._change.notify_all()

    # -- for tests, from another thread

    def plays(self, *plays: Play) -> None:
        """Scripts for the next requests, one each."""
        self._plays.extend(plays)

    def always(self, play: Play) -> None:
        self._always = play

    def says(self, data: bytes, *more: Step) -> None:
        """The next request gets these bytes."""
        self.plays(answer(data, *more))

    def go(self, turns: int = 1) -> None:
        for _ in range(turns):
            self._loop.call_soon_threadsafe(self.turns.release)

    def wait(self, condition: Callable[[], object], what: str, within_s: float = 5.0) -> None:
        until = time.monotonic() + within_s
        with self._change:
            while not condition():
                left = until - time.monotonic()
                assert left > 0, f"waited {within_s} s in vain: {what}"
                self._change.wait(min(left, 0.02))

    def wait_requests(self, number: int, within_s: float = 5.0) -> None:
        self.wait(lambda: len(self.requests) >= number, f"{number} requests upstream, {len(self.requests)} came", within_s)

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def only(self) -> Received:
        """The one request that came, and it was well-formed."""
        assert bytes(self.stray) == b"", f"malformed bytes upstream: {bytes(self.stray)[:300]!r}"
        assert len(self.requests) == 1, f"{len(self.requests)} requests upstream: {[r.target for r in self.requests]}"
        return self.requests[0]

    def nothing(self) -> None:
        """No request came, and no part of one."""
        assert bytes(self.everything) == b"", f"upstream got {bytes(self.everything)[:300]!r}"
        assert not self.requests

    def clear(self) -> None:
        """Drops every connection and forgets what was."""
        done = threading.Event()

        def drop() -> None:
            self._plays.clear()
            self._always = None
            self.turns = asyncio.Semaphore(0)
            for peer in list(self._open.values()):
                peer.writer.transport.abort()
            for task in list(self._tasks):
                task.cancel()
            done.set()

        self._loop.call_soon_threadsafe(drop)
        assert done.wait(5)
        self.wait(lambda: not self._open, "connections of the test before to end")
        self.requests.clear()
        self.gone_at.clear()
        for record in (self.stray, self.late, self.everything):
            record.clear()
