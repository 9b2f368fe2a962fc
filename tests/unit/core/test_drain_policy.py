"""What becomes of an answer whose caller is gone: cancelled within a second, or read to its end and metered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.core.parts import CHAT, DONE, STREAM, USAGE_CHUNK, Live, Provider, Seen, chunk, completion, live, providers, reply, until

SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAMED = CHAT | {"stream": True, "stream_options": {"include_usage": True}}


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Script:
    """A provider that begins, waits until it is told, and goes on; it notices a connection that is closed meanwhile."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self.first, self.rest = first, rest
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closed_early = asyncio.Event()
        self.asked = 0

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        writer.write(self.first)
        await writer.drain()
        self.began.set()
        closed = asyncio.ensure_future(seen.reader.read(1))
        told = asyncio.ensure_future(self.go_on.wait())
        await asyncio.wait([closed, told], return_when=asyncio.FIRST_COMPLETED)
        if closed.done() and not told.done():
            self.closed_early.set()
            told.cancel()
            return
        closed.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closed
        writer.write(self.rest)
        await writer.drain()


def stream_script() -> Script:
    return Script(SSE_HEAD + framed(chunk("hel")), framed(chunk("lo") + chunk(finish="stop") + USAGE_CHUNK + DONE) + b"0\r\n\r\n")


def plain_script() -> Script:
    return Script(b"", reply(completion()))


async def leave(app: Live, body: Any, script: Script, headers: str = "") -> None:
    """Asks, reads what comes at first, and goes."""
    data = json.dumps(body).encode()  # the same bytes as those of `Live.post`
    with socket.create_connection(("127.0.0.1", app.port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        async with asyncio.timeout(5):
            await script.began.wait()
            if script.first:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_recv(client, 65536)


def chain(policy: str, *more: Any) -> list[Any]:
    return ["auth", *more, "route", {"failover": {"attempts": 1, "retries": 0}}, "translate", {"forward": {"client_gone": policy}}, "meter"]


@contextlib.asynccontextmanager
async def served(script: Script, policy: str, tmp_path: Path, *more: Any, **server: Any) -> AsyncIterator[tuple[Live, Provider]]:
    async with Provider(script) as provider:
        config = {"providers": providers(provider.url), "chain": chain(policy, *more)}
        config["server"] = {"listen": "127.0.0.1:0"} | server
        async with live(config, tmp_path) as app:
            yield app, provider
            await until(lambda: app.gateway.gate.in_flight == 0)
            assert app.faults() == []


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_a_drained_answer_is_read_to_its_end_and_metered(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, "drain", tmp_path) as (app, provider):
        await leave(app, STREAMED if streamed else CHAT, script)
        gate = app.gateway.gate
        await until(lambda: gate._adrift.size == 1)
        assert (gate.in_flight, app.gateway.metrics.in_flight) == (1, 1)
        assert app.lines() == []
        script.go_on.set()
        await until(lambda: bool(app.lines()))
        (line,) = app.lines()
        assert (line["outcome"], line["attempt_outcome"], line["attempts"]) == ("client_gone", "ok", 1)
        assert (line["input_tokens"], line["output_tokens"], line["usage"]) == (7, 3, "reported")
        assert (gate.in_flight, app.gateway.metrics.in_flight, script.closed_early.is_set()) == (0, 0, False)
        assert sum(app.gateway.metrics.attempts.values.values()) == 1
        assert app.gateway.metrics.attempts.values[("one", "gpt-4o", "ok")] == 1
        await until(lambda: provider.open == 1)  # it is idle, and may carry another


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_a_cancelled_answer_is_closed_at_the_provider_within_a_second(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, "cancel", tmp_path) as (app, _):
        await leave(app, STREAMED if streamed else CHAT, script)
        gone = time.monotonic()
        async with asyncio.timeout(2):
            await script.closed_early.wait()
        assert time.monotonic() - gone < 1
        await until(lambda: bool(app.lines()))
        assert [line["attempt_outcome"] for line in app.lines()] == ["client_gone"]


async def test_a_drained_answer_fills_the_cache(tmp_path: Path) -> None:
    script = stream_script()
    async with served(script, "drain", tmp_path, "cache") as (app, _):
        await leave(app, STREAMED, script)
        await until(lambda: app.gateway.gate._adrift.size == 1)
        script.go_on.set()
        await until(lambda: bool(app.lines()))
        status, body, headers = await app.post(body=STREAMED)
        assert (status, headers["x-edgegate-cache"], body) == (200, "hit", STREAM)
        assert script.asked == 1


async def test_a_stream_that_breaks_after_its_caller_left_is_recorded_as_broken(tmp_path: Path) -> None:
    script = stream_script()
    script.rest = b"zz\r\n"
    async with served(script, "drain", tmp_path) as (app, _):
        await leave(app, STREAMED, script)
        await until(lambda: app.gateway.gate._adrift.size == 1)
        script.go_on.set()
        await until(lambda: bool(app.lines()))
        (line,) = app.lines()
        assert (line["outcome"], line["attempt_outcome"], line["attempt_error"]) == ("client_gone", "upstream_broke", "bad_reply")


async def test_a_plain_call_that_fails_after_its_caller_left_is_recorded_once(tmp_path: Path) -> None:
    script = plain_script()
    script.rest = reply(b'{"error":{"message":"no"}}', 500)
    async with served(script, "drain", tmp_path) as (app, _):
        await leave(app, CHAT, script)
        await until(lambda: app.gateway.gate._adrift.size == 1)
        script.go_on.set()
        await until(lambda: bool(app.lines()))
        assert [(line["outcome"], line["attempt_outcome"]) for line in app.lines()] == [("client_gone", "failed")]


async def test_a_slow_reader_that_leaves_lets_the_provider_go_on(tmp_path: Path) -> None:
    """The relay was paused by a client that did not read: without it, nothing is paused."""
    script = stream_script()
    script.first = SSE_HEAD + framed(b"".join(chunk("x" * 8000) for _ in range(2000)))  # 16 MB
    async with served(script, "drain", tmp_path) as (app, _):
        data = orjson.dumps(STREAMED)
        client = socket.create_connection(("127.0.0.1", app.port))
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
        await until(lambda: any(relay._connection.writing_paused for relay in app.gateway.gate.relays), 10)
        client.close()
        async with asyncio.timeout(10):
            await script.began.wait()
        script.go_on.set()
        await until(lambda: bool(app.lines()), 10)
        assert [line["attempt_outcome"] for line in app.lines()] == ["ok"]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_shutdown_waits_for_drained_work(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, "drain", tmp_path, drain="5s") as (app, _):
        await leave(app, STREAMED if streamed else CHAT, script)
        await until(lambda: app.gateway.gate._adrift.size == 1)
        draining = asyncio.create_task(app.gateway.drain())
        await until(lambda: app.gateway.gate.draining)
        assert not draining.done()
        script.go_on.set()
        async with asyncio.timeout(3):
            await draining
        assert [line["attempt_outcome"] for line in app.lines()] == ["ok"]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_drained_work_is_cut_and_metered_when_the_time_is_over(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, "drain", tmp_path, drain="0.05s") as (app, _):
        await leave(app, STREAMED if streamed else CHAT, script)
        await until(lambda: app.gateway.gate._adrift.size == 1)
        async with asyncio.timeout(3):
            await app.gateway.drain()
            await script.closed_early.wait()
        assert app.gateway.gate.in_flight == 0
        await until(lambda: bool(app.lines()))
        assert [(line["outcome"], line["attempt_outcome"]) for line in app.lines()] == [("client_gone", "drained")]


async def test_a_caller_that_waits_at_shutdown_gets_a_503(tmp_path: Path) -> None:
    script = plain_script()
    async with served(script, "drain", tmp_path, drain="0.05s") as (app, _):
        asking = asyncio.create_task(app.post())
        async with asyncio.timeout(5):
            await script.began.wait()
            await app.gateway.drain()
            status, body, _ = await asking
        assert (status, orjson.loads(body)["error"]["code"]) == (503, "draining")
        await until(lambda: bool(app.lines()))
        assert [line["outcome"] for line in app.lines()] == ["drained"]


async def test_a_relayed_path_is_cancelled_whatever_the_policy(tmp_path: Path) -> None:
    script = Script(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", b"")
    async with served(script, "drain", tmp_path) as (app, _):
        with socket.create_connection(("127.0.0.1", app.port)) as client:
            client.sendall(b"GET /one/v1/files/x/content HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(5):
                await script.began.wait()
        async with asyncio.timeout(2):
            await script.closed_early.wait()
        await until(lambda: bool(app.lines()))
        assert [line["outcome"] for line in app.lines()] == ["client_gone"]


async def test_drained_work_ends_with_the_gateway(tmp_path: Path) -> None:
    script = stream_script()
    async with Provider(script) as provider:
        async with live({"providers": providers(provider.url), "chain": chain("drain")}, tmp_path) as app:
            await leave(app, STREAMED, script)
            await until(lambda: app.gateway.gate._adrift.size == 1)
        assert app.gateway.gate.in_flight == 0
        async with asyncio.timeout(2):
            await script.closed_early.wait()
