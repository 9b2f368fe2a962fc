"""The gateway as a process: memory under sleeping readers, the end on SIGTERM, several workers.

Memory is what /proc says of the process; the provider and the clients are in this one.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import Gateway
from tests.hard.misbehaving import Peer, Play, Provider, send, turn, wait_gone
from tests.hard.raw_client import Gone, RawClient, request
from tests.hard.speech import (
    ANTHROPIC_KEY,
    AUTH,
    CHAT,
    ERROR_SHAPES,
    GATEWAY_KEY,
    LAST_CHUNK,
    OPENAI_KEY,
    OPENAI_REPLY,
    PATHS,
    STREAM_HEAD,
    STREAMS,
    TERMINAL,
    ask,
    chunk,
    error_events,
    http,
)

MB = 1024 * 1024
WRITE_S = 1.0
Start = Callable[..., Gateway]


@pytest.fixture
def start(provider: Provider, tmp_path: Path) -> Iterator[Start]:
    """Starts gateways in front of the provider. Each must end with 0 on SIGTERM, unless the test has seen to that."""
    running: list[Gateway] = []

    def begin(**server: Any) -> Gateway:
        config: dict[str, Any] = {
            "server": {"write_timeout": f"{WRITE_S}s", "drain": "1s", "max_lag": 0, **server},
            "providers": {
                "openai": {"base_url": f"http://127.0.0.1:{provider.port}/v1", "api_key": OPENAI_KEY, "models": ["gpt-4o"]},
                "anthropic": {"base_url": f"http://127.0.0.1:{provider.port}", "api_key": ANTHROPIC_KEY, "models": ["claude-haiku-4-5"]},
            },
            "keys": [{"name": "app", "key": GATEWAY_KEY}],
            "chain": [
                "auth",
                "route",
                {"failover": {"attempts": 1}},
                "translate",
                {"forward": {"idle": "20s", "max_reply": "16MiB"}},
                "meter",
            ],
        }
        gateway = Gateway(tmp_path, config).start()
        running.append(gateway)
        return gateway

    yield begin
    for gateway in running:
        assert gateway._process is not None
        if gateway._process.poll() is None:
            assert gateway.stop() == 0, gateway.said()


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def until(condition: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"waited {within_s} s in vain: {what}"
        time.sleep(0.02)


# -- memory

EVENT = b'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "' + b"x" * 16_000 + b'"}, "finish_reason": null}]}\n\n'
LAST = b'data: {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def flood(piece: bytes, size: int) -> Callable[[Peer], Any]:
    """Sends the piece again and again as fast as the gateway takes it."""

    async def step(peer: Peer) -> None:
        for _ in range(size // len(piece)):
            await peer.send(piece)

    return step


CASES: dict[str, tuple[bytes, Callable[[int], Play]]] = {
    "a stream that passes through": (
        request("/v1/chat/completions", ask("openai", "openai", stream=True), AUTH),
        lambda size: Play([send(STREAM_HEAD), flood(chunk(EVENT * 4), size), send(chunk(LAST) + LAST_CHUNK)]),
    ),
    "a translated stream": (
        request("/v1/messages", ask("anthropic", "openai", stream=True), AUTH),
        lambda size: Play([send(STREAM_HEAD), flood(chunk(EVENT * 4), size), send(chunk(LAST) + LAST_CHUNK)]),
    ),
    "a download": (
        request("/openai/v1/files/f/content", b"", AUTH, method="GET"),
        lambda size: Play([send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (size // 65536 * 65536)), flood(b"x" * 65536, size)]),
    ),
    "a chunked download": (
        request("/openai/v1/files/f/content", b"", AUTH, method="GET"),
        lambda size: Play(
            [send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), flood(chunk(b"x" * 65536), size), send(LAST_CHUNK)]
        ),
    ),
}


def test_200_mb_to_sleeping_readers_cost_little_and_they_are_dropped(start: Start, provider: Provider) -> None:
    gateway = start()
    with RawClient(gateway.port) as client:  # warm: what grows once does not count
        client.send(request("/v1/chat/completions", CHAT, AUTH))
        assert client.reply().status == 200
        data, play = CASES["a stream that passes through"]
        provider.plays(play(200 * MB))
        client.send(data)
        assert client.socket.recv(1000)
    until(lambda: gateway.logs('"usage":"estimated"'), "the estimate of what was cut, for which the tokenizer is loaded")
    provider.requests.clear()
    before = resident(gateway.pid)
    sleepers = []
    for data, play in CASES.values():
        provider.plays(play(200 * MB))
        sleeper = RawClient(gateway.port, receive_buffer=16384)
        sleeper.send(data)
        sleepers.append(sleeper)
        provider.wait_requests(len(sleepers))
    most = before
    began = time.monotonic()
    while provider.open_connections and time.monotonic() - began < WRITE_S + 2.5:
        most = max(most, resident(gateway.pid))
        time.sleep(0.02)
    took = time.monotonic() - began
    assert not provider.open_connections, f"sleeping readers were not dropped within {took:.1f} s"
    assert took > WRITE_S * 0.7, "they were dropped too early"
    assert most - before < 20 * MB, f"{(most - before) / MB:.1f} MB for {len(sleepers)} sleeping readers"
    for sleeper in sleepers:
        sleeper.socket.close()


@pytest.mark.parametrize("name", ["a stream that passes through", "a download", "a chunked download"])
def test_a_slow_reader_gets_every_byte_within_little_memory(name: str, start: Start, provider: Provider) -> None:
    gateway = start()
    data, play = CASES[name]
    size = 24 * MB
    provider.plays(play(size))
    expected = hashlib.sha256()
    if "stream" in name:
        piece = chunk(EVENT * 4)
        for _ in range(size // len(piece)):
            expected.update(EVENT * 4)
        expected.update(LAST)
    else:
        piece = chunk(b"x" * 65536) if name == "a chunked download" else b"x" * 65536
        for _ in range(size // len(piece)):
            expected.update(b"x" * 65536)
    got = hashlib.sha256()
    with RawClient(gateway.port, receive_buffer=65536) as client:
        client.send(data)
        reply = client.head()
        assert reply.status == 200
        before = most = resident(gateway.pid)
        began = time.monotonic()
        for number, received in enumerate(client.body(reply)):
            got.update(received)
            if number % 8 == 0 and time.monotonic() - began < WRITE_S * 2:
                time.sleep(0.01)
                most = max(most, resident(gateway.pid))
        assert got.hexdigest() == expected.hexdigest()
        assert most - before < 20 * MB
        client.assert_usable()


def test_bombs_from_both_sides_cost_little(start: Start, provider: Provider) -> None:
    gateway = start(max_body="1MiB")
    bomb = gzip.compress(b" " * 300 * MB)
    with RawClient(gateway.port) as client:
        client.send(request("/v1/chat/completions", CHAT, AUTH))
        assert client.reply().status == 200
        before = most = resident(gateway.pid)
        for stream in (False, True):
            for kind in (b"application/json", b"text/event-stream"):
                provider.says(http(bomb, b"content-encoding: gzip", type=kind))
                client.send(request("/v1/chat/completions", ask("openai", "openai", stream=stream), AUTH))
                assert client.reply().status == 502
                most = max(most, resident(gateway.pid))
        client.send(request("/v1/chat/completions", bomb, AUTH, "content-encoding: gzip"))
        assert client.reply().status in (400, 413)
        most = max(most, resident(gateway.pid))
    assert most - before < 24 * MB, f"{(most - before) / MB:.1f} MB for bombs"


def test_an_endless_event_costs_no_more_than_its_limit(start: Start, provider: Provider) -> None:
    gateway = start()
    before = resident(gateway.pid)
    provider.plays(Play([send(STREAM_HEAD + chunk(bytes(STREAMS["openai"][1]))), flood(chunk(b"x" * 65536), 300 * MB)]))
    with RawClient(gateway.port) as client:
        client.send(request("/v1/chat/completions", ask("openai", "openai", stream=True), AUTH))
        reply = client.reply()
    assert error_events("openai", reply.body) == 1
    assert resident(gateway.pid) - before < 64 * MB


# -- the end


def begun(gateway: Gateway, provider: Provider, dialect: str = "openai", target: str = "openai") -> RawClient:
    """A client in the middle of a stream whose provider waits for its turn."""
    lines = STREAMS[target]
    first = 3 if target == "openai" else 5
    provider.plays(
        Play(
            [
                send(STREAM_HEAD + b"".join(chunk(bytes(line)) for line in lines[:first])),
                turn,
                send(b"".join(chunk(bytes(line)) for line in lines[first:]) + LAST_CHUNK),
            ]
        )
    )
    client = RawClient(gateway.port)
    client.send(request(PATHS[dialect], ask(dialect, target, stream=True), AUTH))
    client.wait_for(b"Hello")
    return client


def term(gateway: Gateway) -> None:
    os.kill(gateway.pid, signal.SIGTERM)


def ended(gateway: Gateway, within_s: float) -> int:
    assert gateway._process is not None
    return gateway._process.wait(within_s)


def test_sigterm_lets_a_stream_finish_refuses_new_work_and_ends_with_0(start: Start, provider: Provider) -> None:
    gateway = start(drain="10s")
    idle, early = RawClient(gateway.port), RawClient(gateway.port)
    idle.assert_usable()
    early.assert_usable()
    stream = begun(gateway, provider)
    term(gateway)

    def draining() -> bool:
        with RawClient(gateway.port) as probe:
            probe.send(b"GET /ready HTTP/1.1\r\nhost: t\r\n\r\n")
            return probe.reply().status == 503

    until(draining, "readiness to be off", 2)
    with RawClient(gateway.port) as probe:
        probe.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n")
        assert probe.reply().status == 200, "it is alive all the same"
    for client in (early, RawClient(gateway.port)):
        for path in ("/v1/chat/completions", "/v1/messages"):
            if path == "/v1/messages":
                client = RawClient(gateway.port)
            client.send(request(path, CHAT, AUTH))
            reply = client.reply()
            assert reply.status == 503
            assert reply.closes
            assert reply.header("retry-after")
            ERROR_SHAPES["anthropic" if path == "/v1/messages" else "openai"](reply.body)
            client.assert_closed()
    assert gateway._process is not None
    assert gateway._process.poll() is None
    provider.go()
    reply = stream.reply()
    assert reply.whole
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert ended(gateway, 4) == 0
    idle.assert_closed()
    stream.assert_closed()
    lines = [line for line in gateway.logs() if line.get("event") == "request"]
    assert [line["outcome"] for line in lines if line["status"] == 200] == ["ok"]
    assert len([line for line in lines if line["status"] == 503]) == 4, "refused requests are missing in the log"


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("target", ["openai", "anthropic"])
def test_a_stream_that_outlasts_the_drain_ends_with_one_error_event(dialect: str, target: str, start: Start, provider: Provider) -> None:
    gateway = start(drain="0.4s")
    stream = begun(gateway, provider, dialect, target)
    began = time.monotonic()
    term(gateway)
    reply = stream.reply()
    assert reply.whole
    assert error_events(dialect, reply.body) == 1
    assert TERMINAL[dialect] not in reply.body
    ERROR_SHAPES[dialect](reply.body.rstrip(b"\n").rpartition(b"data: ")[2])
    assert ended(gateway, 4) == 0
    assert time.monotonic() - began < 3.0
    (line,) = [line for line in gateway.logs() if line.get("event") == "request"]
    assert line["outcome"] == "drained"


def test_what_is_no_stream_and_outlasts_the_drain_gets_an_error_too(start: Start, provider: Provider) -> None:
    """Plain calls, streams before their first event, calls in the middle of their request body, uploads."""
    gateway = start(drain="0.4s")
    provider.always(Play([wait_gone]))
    waiting: dict[str, tuple[RawClient, str]] = {}
    for name, dialect, stream in (("plain", "openai", False), ("plain anthropic", "anthropic", False), ("stream", "openai", True)):
        client = RawClient(gateway.port)
        client.send(request(PATHS[dialect], ask(dialect, "openai", stream=stream), AUTH))
        waiting[name] = (client, dialect)
    provider.wait_requests(3)
    body = RawClient(gateway.port)
    body.send(request("/v1/chat/completions", CHAT, AUTH)[:-5])
    waiting["half a body"] = (body, "openai")
    upload = RawClient(gateway.port)
    upload.send(request("/openai/v1/files", b"x" * 100, AUTH)[:-5])
    waiting["half an upload"] = (upload, "openai")
    time.sleep(0.15)
    term(gateway)
    failures = []
    for name, (client, dialect) in waiting.items():
        try:
            reply = client.reply()
            assert reply.status == 503, f"status {reply.status}"
            assert reply.closes
            ERROR_SHAPES[dialect](reply.body)
        except (Gone, AssertionError) as failure:
            failures.append(f"{name}: {failure}")
    assert ended(gateway, 4) == 0
    assert not failures, "\n".join(failures)


def test_a_download_that_outlasts_the_drain_is_cut_and_not_ended(start: Start, provider: Provider) -> None:
    gateway = start(drain="0.3s")
    provider.plays(Play([send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"x" * 1000)), wait_gone]))
    with RawClient(gateway.port) as client:
        client.send(request("/openai/v1/files/f/content", b"", AUTH, method="GET"))
        provider.wait_requests(1)
        time.sleep(0.1)
        term(gateway)
        assert not client.reply().whole
    assert ended(gateway, 4) == 0


def test_sigterm_without_work_ends_at_once(start: Start, provider: Provider) -> None:
    gateway = start(drain="20s")
    idle = [RawClient(gateway.port) for _ in range(10)]
    for client in idle[:5]:
        client.assert_usable()
    idle[7].send(b"POST /v1/chat")
    began = time.monotonic()
    term(gateway)
    assert ended(gateway, 5) == 0
    assert time.monotonic() - began < 2.5
    for client in idle:
        client.assert_closed()


def test_sigterm_again_and_again_ends_with_0_all_the_same(start: Start, provider: Provider) -> None:
    """Whoever stops a process may ask more than once; its last moments are no exception."""
    gateway = start(drain="5s")
    with RawClient(gateway.port) as client:
        client.assert_usable()
    process = gateway._process
    assert process is not None
    end = time.monotonic() + 6
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.002)
    assert process.wait(1) == 0


def test_a_client_that_does_not_read_cannot_hold_up_the_end(start: Start, provider: Provider) -> None:
    gateway = start(drain="0.5s", write_timeout="60s")
    provider.plays(CASES["a download"][1](200 * MB))
    sleeper = RawClient(gateway.port, receive_buffer=4096)
    sleeper.send(CASES["a download"][0])
    provider.wait_requests(1)
    time.sleep(0.3)
    began = time.monotonic()
    term(gateway)
    assert ended(gateway, 6) == 0
    assert time.monotonic() - began < 4.0
    sleeper.socket.close()


def test_requests_in_the_pipe_at_sigterm_are_answered_or_refused(start: Start, provider: Provider) -> None:
    gateway = start(drain="5s")
    provider.plays(Play([turn, send(http(OPENAI_REPLY))]))
    with RawClient(gateway.port) as client:
        for _ in range(3):
            client.send(request("/v1/chat/completions", CHAT, AUTH))
        provider.wait_requests(1)
        term(gateway)
        time.sleep(0.1)
        provider.go()
        first = client.reply()
        assert first.status == 200
        if not first.closes:
            assert client.reply().status in (200, 503)
    assert ended(gateway, 4) == 0


# -- workers


def test_two_workers_both_serve_and_a_killed_one_is_replaced(start: Start, provider: Provider) -> None:
    gateway = start(workers=2)
    until(lambda: len(children(gateway.pid)) == 2, "two workers")
    first = children(gateway.pid)

    def sockets(pid: int) -> int:
        return sum(1 for fd in Path(f"/proc/{pid}/fd").iterdir() if _link(fd).startswith("socket:"))

    def serve(number: int = 40) -> None:
        clients = [RawClient(gateway.port) for _ in range(number)]
        for client in clients:
            client.send(request("/v1/chat/completions", CHAT, AUTH))
        for client in clients:
            assert client.reply().status == 200
            client.socket.close()

    until(lambda: _answers(gateway), "both to serve")
    time.sleep(0.3)
    before = {pid: sockets(pid) for pid in first}
    clients = [RawClient(gateway.port) for _ in range(60)]
    for client in clients:
        client.assert_usable()
    grown = {pid: sockets(pid) - before[pid] for pid in first}
    assert all(number > 5 for number in grown.values()), f"connections went to one worker only: {grown}"
    for client in clients:
        client.socket.close()
    serve()
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(children(gateway.pid)) == 2 and victim not in children(gateway.pid), "another worker", 8)
    assert len(children(gateway.pid) & first) == 1
    time.sleep(0.8)
    serve()
    term(gateway)
    assert ended(gateway, 8) == 0
    for pid in first:
        assert not Path(f"/proc/{pid}").exists() or _zombie(pid)


def _answers(gateway: Gateway) -> bool:
    with RawClient(gateway.port) as client:
        client.send(b"GET /ready HTTP/1.1\r\nhost: t\r\n\r\n")
        return client.reply().status == 200


def _link(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except OSError:
        return ""


def _zombie(pid: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_workers_finish_their_streams_on_sigterm(start: Start, provider: Provider) -> None:
    gateway = start(workers=2, drain="10s")
    streams = [begun(gateway, provider) for _ in range(6)]
    term(gateway)
    time.sleep(0.3)
    provider.go(6)
    for stream in streams:
        reply = stream.reply()
        assert reply.whole
        assert reply.body.endswith(b"data: [DONE]\n\n")
    assert ended(gateway, 5) == 0
