"""What the core's tests are made of: a scripted provider on real sockets, a gateway in this process, and an exchange by hand."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDict

from edgegate.config.load import load
from edgegate.config.model import KeyOptions
from edgegate.config.option import Secret
from edgegate.config.stages import AuthOptions
from edgegate.dialects.base import Operation
from edgegate.dialects.openai.client import ChatClient
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange
from edgegate.observe.logs import configure
from edgegate.resilience.breaker import BreakerState
from edgegate.resilience.limits import Quota
from edgegate.routing.catalog import Target
from edgegate.server.build import build_keys
from edgegate.server.gateway import Gateway
from edgegate.server.surfaces import Surfaces
from edgegate.stages.auth import Auth
from edgegate.taps import Outcome

CHAT = {"model": "gpt-4o", "temperature": 0, "messages": [{"role": "user", "content": "repeat 5"}]}
MESSAGES = {"model": "gpt-4o", "temperature": 0, "max_tokens": 99, "messages": [{"role": "user", "content": "repeat 5"}]}
CHAIN: list[Any] = ["auth", "route", {"failover": {"attempts": 1, "retries": 0}}, "translate", "forward", "meter"]
WITH_CACHE: list[Any] = ["auth", "cache", *CHAIN[1:]]


def completion(text: str = "hello", model: str = "gpt-4o", **usage: int) -> bytes:
    """A plain chat completion as OpenAI writes it."""
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10} | usage,
        }
    ).encode()


def chunk(text: str | None = None, finish: str | None = None) -> bytes:
    """One event of a chat stream."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [choice]}).encode() + b"\n\n"


USAGE_CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o","choices":[],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
)
DONE = b"data: [DONE]\n\n"
STREAM = chunk("hel") + chunk("lo") + chunk(finish="stop") + USAGE_CHUNK + DONE


def reply(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    """A whole HTTP/1.1 reply."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


def sse(body: bytes) -> bytes:
    return reply(body, content_type="text/event-stream")


@dataclass
class Seen:
    """One request that reached the provider."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    raw: bytes
    reader: asyncio.StreamReader

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        found = self.all(name)
        return found[0] if found else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


def after(seconds: float, data: bytes) -> Answer:
    """An answer that takes its time."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(data)

    return answer


async def never(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """No answer, until the gateway hangs up."""
    await seen.reader.read(1)
    writer.close()


class Busy:
    """An answer that takes 50 ms and counts how many were in the making at once."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.05)
        self.running -= 1
        writer.write(reply(completion()))


class Provider:
    """An HTTP server that records whole requests and answers as told: `answers` in turn (the last one again and again). An
    answer is bytes to write, or a coroutine function that gets the request and the writer; b"" closes the connection."""

    def __init__(self, *answers: bytes | Answer) -> None:
        self.answers: list[bytes | Answer] = list(answers) or [reply(completion())]
        self.seen: list[Seen] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Provider:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen = await self._read(head, reader, number)
                self.seen.append(seen)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    if not answer:
                        return
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(seen, writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _read(self, head: bytes, reader: asyncio.StreamReader, number: int) -> Seen:
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, path, _ = first.split(" ")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        given = dict(headers)
        body = b""
        if "content-length" in given:
            body = await reader.readexactly(int(given["content-length"]))
        elif given.get("transfer-encoding") == "chunked":
            while size := int((await reader.readline()).strip(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        return Seen(method, path, headers, body, number, head + body, reader)


class Log(io.BytesIO):
    """A log in memory that survives its closing."""

    def close(self) -> None:
        return None


@dataclass
class Live:
    """A gateway that serves in this loop."""

    gateway: Gateway
    port: int
    http: aiohttp.ClientSession
    log: Log
    server: asyncio.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def post(
        self, path: str = "/v1/chat/completions", body: Any = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers. `body` bytes go as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(CHAT if body is None else body).encode()
        given = {"content-type": "application/json"} | dict(headers or {})
        async with self.http.post(self.url + path, data=data, headers=given, **more) as response:
            return response.status, await response.read(), response.headers

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes, Mapping[str, str]]:
        async with self.http.get(self.url + path, headers=headers) as response:
            return response.status, await response.read(), response.headers

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        self.gateway.log._flush()
        return [line for line in map(json.loads, self.log.getvalue().splitlines()) if line["event"] == event]

    def faults(self) -> list[dict[str, Any]]:
        return self.lines("fault")


def providers(*urls: str, dialect: str = "openai", **more: Any) -> dict[str, Any]:
    """`one`, `two`, ... of OpenAI's dialect; the first serves the models the tests ask for."""
    names = ("one", "two", "three")
    made: dict[str, Any] = {}
    for name, url in zip(names, urls, strict=False):
        made[name] = {"dialect": dialect, "base_url": f"{url}/v1", "api_key": f"provider-secret-{name}"} | more
    made["one"]["models"] = ["gpt-4o", "text-embedding-3-small"]
    return made


@contextlib.asynccontextmanager
async def live(config: dict[str, Any], directory: Path, *, share: Path | None = None, worker: str = "0") -> AsyncIterator[Live]:
    """Serves a configuration as it would stand in YAML. `share` makes it one worker of several."""
    file = directory / f"config-{time.monotonic_ns()}.yaml"
    file.write_text(json.dumps({"chain": CHAIN, "server": {"listen": "127.0.0.1:0"}} | config))  # JSON is YAML
    loaded = load(file, {})
    log = Log()
    configure(loaded.log, log)
    gateway = Gateway(loaded, log, share=share, worker=worker)
    await gateway.open()
    server = await asyncio.get_running_loop().create_server(gateway.listener(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(15), auto_decompress=False) as http:
            yield Live(gateway, port, http, log, server)
    finally:
        server.close()
        await gateway.close_clients(0.1)
        await gateway.close()


async def until(condition: Callable[[], bool], within_s: float = 3.0) -> None:
    """Waits for something that another task brings about."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


def exchange(
    body: Mapping[str, Any] | bytes | None = None,
    headers: Iterable[tuple[str, str]] | Mapping[str, str] = (),
    *,
    path: str = "/v1/chat/completions",
    query: str = "",
    remote: str = "127.0.0.1",
    id: str = "abc",
) -> Exchange:
    """An exchange as the gate makes it."""
    lines = CIMultiDict(headers)
    surface = Surfaces().posts.get(path)
    raw = body if isinstance(body, bytes) else json.dumps(CHAT if body is None else body).encode()
    return Exchange(
        id=id,
        method="POST",
        path=path,
        query=query,
        headers=lines,
        raw_headers=tuple((name.encode(), value.encode()) for name, value in lines.items()),
        remote=remote,
        operation=surface.client.operation if surface is not None else Operation.RELAY,
        client=surface.client if surface is not None else ChatClient(),
        started=time.monotonic(),
        created=1_700_000_000,
        body=raw,
    )


def auth(*secrets: str, trusted: tuple[str, ...] = (), **options: Any) -> Auth:
    """An auth stage that knows keys named `key-1`, ..."""
    return Auth(AuthOptions(**options), build_keys([KeyOptions(key=Secret(secret)) for secret in secrets]), trusted)


@dataclass
class Sink:
    """Gathers what a body pushes."""

    data: bytes = b""
    pushes: int = 0
    ends: list[tuple[Outcome, GatewayError | None]] = field(default_factory=list)

    def push(self, data: bytes) -> None:
        assert not self.ends, "bytes after the end"
        self.data += data
        self.pushes += 1

    def finish(self, outcome: Outcome, error: GatewayError | None) -> None:
        self.ends.append((outcome, error))


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class Deaf:
    """Who listens to a board in tests, and only notes what was said."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def breaker(self, target: Target, state: BreakerState, for_s: float) -> None:
        self.heard.append((state.value, target.label))

    def ejected(self, target: Target, for_s: float) -> None:
        self.heard.append(("ejected", target.label))

    def held(self, target: Target, key: int, for_s: float) -> None:
        self.heard.append(("held", target.label, key))

    def key_rests(self, provider: str, key: int, for_s: float) -> None:
        self.heard.append(("key_rests", provider, key))

    def quotas(self, target: Target, key: int, quotas: Iterable[Quota]) -> None:
        self.heard.append(("quotas", target.label, key))
