"""A client that is gone, at any moment, takes the provider's connection with it within a second; a client that does not read
is dropped at its limit, whatever was being written to it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edgegate.config.model import ProviderOptions
from edgegate.config.option import Duration, Secret
from edgegate.config.stages import FailoverOptions
from tests.hard.combine import combinations, kinds
from tests.hard.live import BODY_S, WRITE_S, Live, chain, config, quick_forward, quick_server
from tests.hard.misbehaving import Play, Provider, repeat, send, sleep, wait_gone
from tests.hard.raw_client import RawClient, request
from tests.hard.speech import (
    ANTHROPIC_STREAM,
    AUTH,
    CHAT,
    FIRST_TEXT,
    OPENAI_KEY,
    PATHS,
    STREAM_HEAD,
    STREAMS,
    ask,
    chunk,
    dumps,
    http,
)

leaving = pytest.mark.parametrize("how", ["close", "reset"])


@pytest.fixture(scope="module")
def _patient(_provider: Provider) -> Iterator[Live]:
    """A gateway whose limits are too long to explain why anything ends: only the client's leaving can."""
    deaf = socket.socket()
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(0)
    port: int = deaf.getsockname()[1]
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    basis = config(_provider.port, _provider.port)
    long = Duration(30)
    forward = quick_forward(connect=long, first_token=long, idle=long, total=long)
    providers = basis.providers | {
        "deaf": ProviderOptions(dialect="openai", base_url=f"http://127.0.0.1:{port}/v1", api_key=Secret(OPENAI_KEY)),
        "mute": ProviderOptions(dialect="openai", base_url=f"https://127.0.0.1:{_provider.port}/v1", api_key=Secret(OPENAI_KEY)),
        "narrow": ProviderOptions(
            dialect="openai", base_url=f"http://127.0.0.1:{_provider.port}/v1", api_key=Secret(OPENAI_KEY), max_connections=1
        ),
    }
    server = quick_server(body_timeout=long, head_timeout=long, write_timeout=Duration(WRITE_S))
    failover = FailoverOptions(attempts=3, retries=2, backoff=Duration(20), max_backoff=Duration(20))
    live = Live(replace(basis, providers=providers, server=server, chain=chain(forward, failover)))
    yield live
    live.close()
    for sock in (deaf, *fillers):
        sock.close()


@pytest.fixture
def patient(_patient: Live, provider: Provider) -> Iterator[Live]:
    _patient.loop.faults.clear()
    _patient.forget_log()
    yield _patient
    try:
        _patient.wait(lambda: _patient.in_flight() == 0, "exchanges to end", 3)
        provider.clear()
        _patient.wait(lambda: _patient.pooled() == 0, "upstream connections to end", 3)
        assert _patient.connecting() == 0
        assert not _patient.faults()
    finally:
        _patient.drop_upstream_connections()


def leave(client: RawClient, how: str) -> float:
    if how == "reset":
        client.reset()
    else:
        client.socket.close()
    return time.monotonic()


def assert_upstream_closed(provider: Provider, left: float) -> None:
    provider.wait(lambda: not provider.open_connections, "the upstream connection to be closed", 2.0)
    assert max(provider.gone_at.values()) - left < 1.0


def assert_recorded(live: Live, attempts: int = 1) -> dict[str, object]:
    line = live.logged("gone-1")
    assert line["outcome"] == "client_gone"
    assert line["attempts"] == attempts
    if attempts:
        assert line["attempt_outcome"] == "client_gone"
    return line


def post(live: Live, dialect: str, body: bytes, path: str = "") -> RawClient:
    client = RawClient(live.port)
    client.send(request(path or PATHS[dialect], body, AUTH, "x-request-id: gone-1"))
    return client


@combinations
@leaving
def test_during_a_stream(dialect: str, target: str, how: str, patient: Live, provider: Provider) -> None:
    lines = STREAMS[target][: FIRST_TEXT[target] + 1]
    provider.plays(Play([send(STREAM_HEAD + b"".join(chunk(bytes(line)) for line in lines)), wait_gone]))
    client = post(patient, dialect, ask(dialect, target, stream=True))
    client.read_until(b"Hello")
    assert_upstream_closed(provider, leave(client, how))
    assert_recorded(patient)


def test_during_a_stream_that_is_being_written(patient: Live, provider: Provider) -> None:
    event = bytes(STREAMS["openai"][1])
    provider.plays(Play([send(STREAM_HEAD), repeat(chunk(event * 100), 0.005)]))
    client = post(patient, "openai", ask("openai", "openai", stream=True))
    client.read_until(b"Hello")
    assert_upstream_closed(provider, leave(client, "close"))
    assert_recorded(patient)


@combinations
@kinds
@leaving
def test_before_any_byte(dialect: str, target: str, stream: bool, how: str, patient: Live, provider: Provider) -> None:
    provider.plays(Play([wait_gone]))
    client = post(patient, dialect, ask(dialect, target, stream=stream))
    provider.wait_requests(1)
    assert_upstream_closed(provider, leave(client, how))
    assert_recorded(patient)


@pytest.mark.parametrize(
    "piece",
    [STREAM_HEAD, STREAM_HEAD + chunk(b": ping\n\n"), STREAM_HEAD + chunk(bytes(STREAMS["openai"][0])), b"HTTP/1.1 200 O"],
    ids=["head", "ping", "role", "half a head"],
)
def test_before_the_first_meaningful_event(piece: bytes, patient: Live, provider: Provider) -> None:
    provider.plays(Play([send(piece), wait_gone]))
    client = post(patient, "openai", ask("openai", "openai", stream=True))
    provider.wait_requests(1)
    time.sleep(0.05)
    assert_upstream_closed(provider, leave(client, "close"))
    assert_recorded(patient)


def test_in_the_middle_of_a_plain_reply(patient: Live, provider: Provider) -> None:
    provider.plays(Play([send(http(b"{" * 1000)[:-100]), wait_gone]))
    client = post(patient, "openai", CHAT)
    provider.wait_requests(1)
    time.sleep(0.05)
    assert_upstream_closed(provider, leave(client, "close"))
    assert_recorded(patient)


@pytest.mark.parametrize("name", ["deaf", "mute"])
@kinds
def test_before_the_provider_is_connected(name: str, stream: bool, patient: Live, provider: Provider) -> None:
    """In the middle of connecting, and of a TLS handshake."""
    provider.plays(Play([wait_gone], "nothing"))
    client = post(patient, "openai", ask("openai", "openai", model=f"{name}/m", stream=stream))
    patient.wait(lambda: patient.connecting() == 1, "the connecting to begin")
    leave(client, "close")
    patient.wait(lambda: patient.connecting() == 0 and patient.in_flight() == 0, "the connecting to end", 1.0)
    if name == "mute":
        provider.wait(lambda: not provider.open_connections, "the half-made connection to be closed", 1.0)
    assert_recorded(patient)


def test_while_waiting_for_a_connection_of_the_pool(patient: Live, provider: Provider) -> None:
    provider.always(Play([wait_gone]))
    first = post(patient, "openai", ask("openai", "openai", model="narrow/m"))
    provider.wait_requests(1)
    second = RawClient(patient.port)
    second.send(request("/v1/chat/completions", ask("openai", "openai", model="narrow/m"), AUTH))
    patient.wait(lambda: patient.in_flight() == 2, "the second to wait")
    time.sleep(0.05)
    leave(second, "close")
    patient.wait(lambda: patient.in_flight() == 1, "the second to end", 1.0)
    leave(first, "close")
    patient.wait(lambda: patient.in_flight() == 0, "the first to end", 1.0)
    provider.always(Play([]))
    with post(patient, "openai", ask("openai", "openai", model="narrow/m")) as third:
        assert third.reply().status == 200, "the place in the pool was lost"


def test_while_waiting_to_try_again(patient: Live, provider: Provider) -> None:
    provider.always(Play([send(http(b"{}", b"retry-after: 15", status=b"503 Busy"))]))
    client = post(patient, "openai", CHAT)
    provider.wait_requests(1)
    time.sleep(0.1)
    leave(client, "close")
    patient.wait(lambda: patient.in_flight() == 0, "the wait to end", 1.0)
    assert len(provider.requests) == 1
    assert patient.logged("gone-1")["outcome"] == "client_gone"


@pytest.mark.parametrize("framing", ["content-length: 100000000", "transfer-encoding: chunked"])
@leaving
def test_during_an_upload(framing: str, how: str, patient: Live, provider: Provider) -> None:
    client = RawClient(patient.port)
    client.send(request("/openai/v1/files", b"", AUTH, "x-request-id: gone-1").replace(b"content-length: 0", framing.encode()))
    client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n" if "chunked" in framing else b"x" * 65536)
    provider.wait(lambda: provider.open_connections, "the upload to begin")
    time.sleep(0.05)
    assert_upstream_closed(provider, leave(client, how))
    assert not provider.requests
    assert_recorded(patient)


def test_during_an_upload_that_the_provider_does_not_read(gateway: Live, provider: Provider) -> None:
    """The one place where the client's leaving cannot be seen at once: its FIN stands behind bytes that nobody takes. The time
    limit on the body ends it."""
    provider.plays(Play([sleep(4.0)], "head"))
    client = RawClient(gateway.port)
    client.send(request("/openai/v1/files", b"", AUTH).replace(b"content-length: 0", b"content-length: 100000000"))
    client.socket.settimeout(0.2)
    try:
        while True:
            client.send(b"x" * 100_000)
    except OSError:
        pass  # every buffer on the way is full
    leave(client, "close")
    gateway.wait(lambda: gateway.in_flight() == 0, "the exchange to end", BODY_S + 1.0)
    gateway.wait(lambda: gateway.pooled() == 0, "the upstream connection to be closed", 1.0)


@pytest.mark.parametrize("path", ["/openai/v1/files/f/content", "/anthropic/v1/files/f"])
@leaving
def test_during_a_download(path: str, how: str, patient: Live, provider: Provider) -> None:
    provider.plays(Play([send(http(b"x" * 100_000)[:-50_000]), wait_gone]))
    client = RawClient(patient.port)
    client.send(request(path, b"", AUTH, "x-request-id: gone-1", method="GET"))
    client.read_exactly(20_000)
    assert_upstream_closed(provider, leave(client, how))
    assert_recorded(patient)


def test_with_more_requests_in_the_pipe(patient: Live, provider: Provider) -> None:
    provider.plays(Play([wait_gone]))
    client = post(patient, "openai", CHAT)
    for _ in range(5):
        client.send(request("/v1/chat/completions", CHAT, AUTH))
    provider.wait_requests(1)
    time.sleep(0.05)
    assert_upstream_closed(provider, leave(client, "close"))
    patient.wait(lambda: patient.in_flight() == 0, "all to end", 1.0)
    assert len(provider.requests) == 1, "requests of a client that is gone were sent"


def test_what_was_used_until_then_is_recorded(patient: Live, provider: Provider) -> None:
    provider.plays(Play([send(STREAM_HEAD + b"".join(chunk(bytes(line)) for line in ANTHROPIC_STREAM[:5])), wait_gone]))
    client = post(patient, "anthropic", ask("anthropic", "anthropic", stream=True))
    client.read_until(b"Hello")
    leave(client, "close")
    line = assert_recorded(patient)
    assert line["input_tokens"] == 5


def test_many_at_once(patient: Live, provider: Provider) -> None:
    provider.always(Play([wait_gone]))
    clients = [post(patient, "openai", ask("openai", "openai", stream=bool(n % 2))) for n in range(60)]
    provider.wait_requests(60)
    left = 0.0
    for client in clients:
        left = leave(client, "reset")
    assert_upstream_closed(provider, left)
    patient.wait(lambda: patient.in_flight() == 0 and patient.waiting() == 0, "everything to end")


# -- sleeping readers


def drowsy(live: Live, data: bytes) -> RawClient:
    client = RawClient(live.port, receive_buffer=4096)
    client.send(data)
    return client


BIG_TEXT = "x" * 10_000_000
BIG_CHAT = dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": BIG_TEXT}, "finish_reason": "stop"}],
    }
)
BIG_EVENT = b'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "' + b"x" * 10_000_000 + b'"}, "finish_reason": null}]}\n\n'
LAST_EVENTS = b'data: {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def sleepers() -> list[object]:
    def case(id: str, path: str, body: bytes, play: Play, method: str = "POST") -> object:
        return pytest.param(path, body, play, method, id=id)

    chat, stream = "/v1/chat/completions", ask("openai", "openai", stream=True)
    file = "/openai/v1/files/f/content"
    return [
        case("a plain reply", chat, CHAT, Play([send(http(BIG_CHAT))])),
        case("a translated plain reply", "/v1/messages", ask("anthropic", "openai"), Play([send(http(BIG_CHAT))])),
        case(
            "a stream that goes on",
            chat,
            stream,
            Play([send(STREAM_HEAD), repeat(chunk(BIG_EVENT[:70] + b"x" * 100_000 + BIG_EVENT[-30:]), 0.0005)]),
        ),
        case("a stream that has ended", chat, stream, Play([send(http(BIG_EVENT + LAST_EVENTS, type=b"text/event-stream"))])),
        case(
            "a translated stream that has ended",
            "/v1/messages",
            ask("anthropic", "openai", stream=True),
            Play([send(http(BIG_EVENT + LAST_EVENTS, type=b"text/event-stream"))]),
        ),
        case("a download", file, b"", Play([send(http(b"x" * 20_000_000))]), "GET"),
        case(
            "a chunked download",
            file,
            b"",
            Play([send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"x" * 20_000_000) + b"0\r\n\r\n")]),
            "GET",
        ),
    ]


@pytest.mark.parametrize(("path", "body", "play", "method"), sleepers())
def test_a_client_that_does_not_read_is_dropped_at_its_limit(
    path: str, body: bytes, play: Play, method: str, patient: Live, provider: Provider
) -> None:
    provider.plays(play)
    with drowsy(patient, request(path, body, AUTH, method=method)):
        patient.wait(lambda: patient.client_connections() == 1, "the connection")
        provider.wait_requests(1)
        began = time.monotonic()
        time.sleep(WRITE_S * 0.6)
        assert patient.client_connections() == 1, "it was dropped too early"
        patient.wait(lambda: patient.unwritten() == 0, "the bytes for the client that does not read to be dropped", WRITE_S + 1.5)
        assert time.monotonic() - began < WRITE_S + 2.0
    patient.wait(lambda: patient.in_flight() == 0, "the exchange to end")


def test_replies_that_nobody_reads_do_not_pile_up(patient: Live, provider: Provider) -> None:
    """Requests in the pipe are only taken up as their answers are read."""
    one = request("/v1/models", b"", AUTH, method="GET")
    with RawClient(patient.port, receive_buffer=4096) as client:
        client.socket.settimeout(0.2)
        most = 0
        until = time.monotonic() + WRITE_S * 0.8
        sent = 0
        try:
            while time.monotonic() < until and sent < 60_000_000:
                sent += client.socket.send(one * 500)
                most = max(most, patient.unwritten())
        except OSError:
            pass
        most = max(most, patient.unwritten())
    assert most < 2_000_000, f"{most} bytes of replies were waiting for one client"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files/f/content"])
def test_a_client_that_reads_slowly_but_steadily_is_not_dropped(path: str, patient: Live, provider: Provider) -> None:
    if path.startswith("/openai"):
        provider.says(http(b"x" * 10_000_000))
        data = request(path, b"", AUTH, method="GET")
    else:
        provider.says(http(BIG_EVENT + LAST_EVENTS, type=b"text/event-stream"))
        data = request(path, ask("openai", "openai", stream=True), AUTH)
    with RawClient(patient.port, receive_buffer=16384) as client:
        client.send(data)
        reply = client.head()
        size = 0
        began = time.monotonic()
        for piece in client.body(reply):
            size += len(piece)
            if time.monotonic() - began < WRITE_S * 2.5:
                time.sleep(0.002)
        assert size >= 10_000_000
        client.assert_usable()
