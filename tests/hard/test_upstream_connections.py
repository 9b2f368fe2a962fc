"""Connections to providers: used again, stale, closed, poisoned, out of reach; and where a failed call goes next."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from edgegate.config.model import ProviderOptions
from edgegate.config.option import Secret
from edgegate.config.stages import FailoverOptions
from tests.hard.combine import kinds
from tests.hard.live import CONNECT_S, FIRST_TOKEN_S, Live, Loop, chain, config
from tests.hard.misbehaving import Play, Provider, Step, close, half_close, reset, send, sleep, wait_gone
from tests.hard.raw_client import RawClient, request
from tests.hard.speech import (
    AUTH,
    CHAT,
    ERROR_SHAPES,
    OPENAI_KEY,
    OPENAI_REPLY,
    PATHS,
    SDKS,
    TEXT,
    ask,
    good_answer,
    http,
    whole_stream,
)

SLACK_S = 0.8


GOOD = http(OPENAI_REPLY)


# -- connections


def test_a_connection_is_used_again(gateway: Live, client: RawClient, provider: Provider) -> None:
    before = provider.connections
    for _ in range(10):
        client.send(request("/v1/chat/completions", CHAT, AUTH))
        assert client.reply().status == 200
    assert provider.connections == before + 1
    assert len({got.connection for got in provider.requests}) == 1
    assert gateway.pooled() == 1


@kinds
def test_a_connection_is_used_again_after_a_stream(stream: bool, client: RawClient, provider: Provider) -> None:
    for _ in range(3):
        client.send(request("/v1/chat/completions", ask("openai", "openai", stream=stream), AUTH))
        assert client.reply().status == 200
    assert len({got.connection for got in provider.requests}) == 1


def test_a_provider_that_says_close_gets_a_new_connection(client: RawClient, provider: Provider) -> None:
    provider.says(GOOD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1), wait_gone)
    for _ in range(2):
        client.send(request("/v1/chat/completions", CHAT, AUTH))
        assert client.reply().status == 200
    assert len({got.connection for got in provider.requests}) == 2


@pytest.mark.parametrize("how", [close, reset, half_close], ids=["close", "reset", "half close"])
def test_a_connection_closed_between_two_calls_is_not_felt(how: Step, client: RawClient, provider: Provider) -> None:
    provider.plays(Play([send(GOOD), how, *([wait_gone] if how is half_close else [])]))
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert client.reply().status == 200
    time.sleep(0.05)
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert client.reply().status == 200
    assert len(provider.requests) == 2


@pytest.mark.parametrize("how", [close, reset], ids=["close", "reset"])
@kinds
def test_a_connection_that_closes_as_the_next_call_is_sent_is_not_felt(
    stream: bool, how: Step, client: RawClient, provider: Provider
) -> None:
    """The provider's idle limit and our request cross: the request is sent once more, on a fresh connection."""
    provider.plays(Play([]), Play([how]))
    for _ in range(2):
        client.send(request("/v1/chat/completions", ask("openai", "openai", stream=stream), AUTH))
        assert client.reply().status == 200
    assert [got.body for got in provider.requests[1:]] == [provider.requests[1].body] * 2


def test_a_fresh_connection_that_closes_is_not_asked_again(client: RawClient, provider: Provider) -> None:
    provider.always(Play([close]))
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert client.reply().status == 502
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1", b"rubbish\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["half a head", "half a status line", "rubbish", "100 Continue"],
)
@kinds
def test_a_provider_that_had_begun_to_answer_is_not_asked_again(stream: bool, said: bytes, client: RawClient, provider: Provider) -> None:
    """Only a connection that gave no byte was stale; this call may already have cost money."""
    provider.plays(Play([]), Play([send(said), sleep(0.03), close]), Play([]))
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert client.reply().status == 200
    client.send(request("/v1/chat/completions", ask("openai", "openai", stream=stream), AUTH))
    assert client.reply().status == 502
    assert len(provider.requests) == 2, "the call was sent twice although its first sending had begun to be answered"


STRANGER = http(OPENAI_REPLY.replace(b"Hello", b"POISON"))


def test_a_reply_that_nobody_asked_for_is_never_given_to_the_next_caller(client: RawClient, provider: Provider) -> None:
    provider.plays(Play([send(GOOD), sleep(0.03), send(STRANGER), wait_gone]))
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert b"POISON" not in client.reply().body
    time.sleep(0.1)
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    reply = client.reply()
    assert reply.status == 200
    assert b"POISON" not in reply.body
    assert len({got.connection for got in provider.requests}) == 2


@pytest.mark.parametrize(
    "extra",
    [STRANGER, STRANGER[:60], STRANGER[:-10], http(b"x" * 10, status=b"500 Oops"), b"rubbish", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["a reply", "half a head", "half a body", "an error", "rubbish", "100 Continue"],
)
@kinds
def test_bytes_behind_a_reply_in_the_same_write_belong_to_nobody(stream: bool, extra: bytes, client: RawClient, provider: Provider) -> None:
    good = good_answer("/v1/chat/completions", ask("openai", "openai", stream=stream))
    provider.plays(Play([send(good + extra), sleep(0.1), send(STRANGER)]))
    client.send(request("/v1/chat/completions", ask("openai", "openai", stream=stream), AUTH))
    reply = client.reply()
    assert b"POISON" not in reply.body
    if reply.status == 200 and not stream:
        assert reply.body == OPENAI_REPLY
    elif reply.status == 200:
        assert SDKS["openai"](reply.body).text == TEXT
    else:
        assert reply.status == 502
    for _ in range(2):
        client.send(request("/v1/chat/completions", CHAT, AUTH))
        reply = client.reply()
        assert reply.status == 200
        assert b"POISON" not in reply.body
    assert len({got.connection for got in provider.requests}) == 2, "the connection was used again"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files/f/content"])
def test_a_connection_whose_reply_met_a_full_client_serves_the_next_call(path: str, gateway: Live, provider: Provider) -> None:
    """The end of a reply arrives with so much that the client's buffer is full: reading from the provider pauses, and must
    not stay so when the connection goes back to the pool."""
    with RawClient(gateway.port, receive_buffer=4096) as slow:
        if path.startswith("/openai"):
            provider.says(http(b"x" * 250_000, type=b"application/octet-stream"))
            slow.send(request(path, b"", AUTH, method="GET"))
        else:
            line = (
                b'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "'
                + b"x" * 6_000_000
                + b'"}, "finish_reason": null}]}\n\n'
            )
            end = b'data: {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
            provider.says(http(line + end, type=b"text/event-stream"))
            slow.send(request(path, ask("openai", "openai", stream=True), AUTH))
        provider.wait_requests(1)
        time.sleep(0.2)  # the buffers fill
        reply = slow.reply()
        assert reply.status == 200
        assert reply.whole
        with RawClient(gateway.port) as other:
            began = time.monotonic()
            other.send(request("/v1/chat/completions", ask("openai", "openai", stream=True), AUTH))
            answer = other.reply()
            assert answer.status == 200, "the next call met a connection that does not read"
            assert time.monotonic() - began < FIRST_TOKEN_S


# -- connecting


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: connecting to it hangs."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port: int = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


class Secure(NamedTuple):
    provider: Provider
    ca_file: str


@pytest.fixture(scope="module")
def secure(provider_loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A provider that speaks TLS."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    file: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    provider = Provider(tls=context)
    provider_loop.run(provider.start())
    yield Secure(provider, str(file))
    provider_loop.run(provider.stop())


@pytest.fixture(scope="module")
def far(_provider: Provider, deaf_port: int, secure: Secure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A gateway whose providers cannot be reached, each in a way of its own; some have a fallback."""
    wrong: Path = tmp_path_factory.mktemp("tls") / "wrong.pem"
    trustme.CA().cert_pem.write_to_path(str(wrong))
    basis = config(_provider.port, _provider.port)
    addresses = {
        "refused": f"http://127.0.0.1:{_closed_port()}/v1",
        "deaf": f"http://127.0.0.1:{deaf_port}/v1",
        "mute": f"https://127.0.0.1:{_provider.port}/v1",
        "good": f"https://127.0.0.1:{secure.provider.port}/v1",
        "untrusted": f"https://127.0.0.1:{secure.provider.port}/v1",
        "misnamed": f"https://localhost.localdomain.invalid:{secure.provider.port}/v1",
        "plain": f"http://127.0.0.1:{secure.provider.port}/v1",
    }
    files = {"good": secure.ca_file, "untrusted": str(wrong), "mute": secure.ca_file}
    providers = {
        name: ProviderOptions(
            dialect="openai", base_url=url, api_key=Secret(OPENAI_KEY), models=(f"m-{name}", f"f-{name}"), ca_file=files.get(name, "")
        )
        for name, url in addresses.items()
    }
    fallbacks: dict[str, tuple[str, ...]] = {f"f-{name}": ("gpt-4o",) for name in addresses}
    models = replace(basis.models, fallbacks=fallbacks)
    live = Live(
        replace(basis, providers=basis.providers | providers, models=models, chain=chain(failover=FailoverOptions(attempts=2, retries=0)))
    )
    yield live
    live.close()


UNREACHABLE = {"refused": (502,), "deaf": (504,), "mute": (504,), "untrusted": (502,), "misnamed": (502,), "plain": (502,)}


@pytest.mark.parametrize("name", list(UNREACHABLE))
@kinds
def test_a_provider_that_cannot_be_reached_is_an_error_in_time(name: str, stream: bool, far: Live, provider: Provider) -> None:
    provider.always(Play([wait_gone], "nothing"))
    with RawClient(far.port) as client:
        client.send(request("/v1/chat/completions", ask("openai", "openai", model=f"m-{name}", stream=stream), AUTH))
        began = time.monotonic()
        reply = client.reply()
        assert time.monotonic() - began < CONNECT_S + SLACK_S
        assert reply.status in UNREACHABLE[name], reply.body
        ERROR_SHAPES["openai"](reply.body)
        client.assert_usable()
    assert far.connecting() == 0
    assert OPENAI_KEY.encode() not in provider.everything


@pytest.mark.parametrize("name", ["refused", "deaf", "untrusted", "misnamed", "plain"])
@kinds
def test_a_provider_that_cannot_be_reached_is_replaced_by_its_fallback(name: str, stream: bool, far: Live, provider: Provider) -> None:
    with RawClient(far.port) as client:
        client.send(request("/v1/chat/completions", ask("openai", "openai", model=f"f-{name}", stream=stream), AUTH))
        reply = client.reply()
    assert reply.status == 200, reply.body
    assert reply.header("x-edgegate-fallback") == "true"
    assert reply.header("x-edgegate-attempts") == "2"
    assert provider.only().target == "/v1/chat/completions"


def test_tls_with_the_right_authority_is_fine(far: Live, secure: Secure, provider: Provider) -> None:
    secure.provider.clear()
    with RawClient(far.port) as client:
        for _ in range(2):
            client.send(request("/v1/chat/completions", ask("openai", "openai", model="m-good"), AUTH))
            assert client.reply().status == 200
    assert len({got.connection for got in secure.provider.requests}) == 1


def test_no_key_goes_to_a_server_that_cannot_prove_its_name(far: Live, secure: Secure) -> None:
    secure.provider.clear()
    with RawClient(far.port) as client:
        client.send(request("/v1/chat/completions", ask("openai", "openai", model="m-untrusted"), AUTH))
        assert client.reply().status == 502
    secure.provider.nothing()


# -- failing over

FAILS_OVER: list[tuple[str, Sequence[Step], bool]] = [
    ("500", [send(http(b"{}", status=b"500 Oops"))], True),
    ("503", [send(http(b"{}", status=b"503 Busy"))], True),
    ("429", [send(http(b"{}", status=b"429 Slow"))], True),
    ("408", [send(http(b"{}", status=b"408 Late"))], True),
    ("closed", [close], True),
    ("reset", [reset], True),
    ("silence", [wait_gone], True),
    ("HTML in a 200", [send(http(b"<html>", type=b"text/html"))], True),
    ("an error in a 200", [send(http(b'{"error": {"message": "x", "code": 500}}'))], True),
    ("an empty 200", [send(http(b""))], True),
    ("400", [send(http(b"{}", status=b"400 Bad"))], False),
    ("401", [send(http(b"{}", status=b"401 No"))], False),
    ("403", [send(http(b"{}", status=b"403 No"))], False),
    ("404", [send(http(b"{}", status=b"404 No"))], False),
    ("413", [send(http(b"{}", status=b"413 Large"))], False),
    ("422", [send(http(b"{}", status=b"422 No"))], False),
    ("302", [send(http(b"{}", b"location: http://evil.example/", status=b"302 Found"))], False),
]


@pytest.mark.parametrize(("steps", "over"), [(s, o) for _, s, o in FAILS_OVER], ids=[name for name, _, _ in FAILS_OVER])
@kinds
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_what_may_succeed_elsewhere_is_tried_there_and_nothing_else(
    dialect: str, stream: bool, steps: Sequence[Step], over: bool, client: RawClient, provider: Provider
) -> None:
    if steps[0] is wait_gone and not stream:
        pytest.skip("a plain call has only its total limit")
    provider.plays(Play(steps))
    client.send(request(PATHS[dialect], ask(dialect, "openai", model="gpt-fallback", stream=stream), AUTH))
    reply = client.reply()
    if over:
        assert reply.status == 200, reply.body
        assert reply.header("x-edgegate-model") == "claude-haiku-4-5"
        assert [got.target for got in provider.requests] == ["/v1/chat/completions", "/v1/messages"]
        if stream:
            assert SDKS[dialect](reply.body).text == TEXT
    else:
        assert reply.status >= 400
        assert len(provider.requests) == 1
    client.assert_usable()


def test_nothing_is_tried_again_once_the_client_has_seen_a_byte(client: RawClient, provider: Provider) -> None:
    half = whole_stream("openai").partition(b'"content": " w')[0]
    provider.plays(Play([send(half[: half.rindex(b"\r\n") + 2]), sleep(0.05), close]))
    client.send(request("/v1/chat/completions", ask("openai", "openai", model="gpt-fallback", stream=True), AUTH))
    reply = client.reply()
    assert reply.status == 200
    assert b"[DONE]" not in reply.body
    assert len(provider.requests) == 1
