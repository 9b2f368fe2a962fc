"""Limits that need a gateway of their own: exchanges at once, idle client connections, TLS handshakes that never end."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from edgegate.config.option import Duration, Size
from tests.e2e.gateway import PROJECT, Gateway
from tests.hard.live import Live, config, quick_server
from tests.hard.misbehaving import Play, Provider, send, turn
from tests.hard.raw_client import RawClient, chunked, request
from tests.hard.speech import AUTH, CHAT, ERROR_SHAPES, OPENAI_REPLY, PATHS, ask, http


@pytest.fixture(scope="module")
def narrow(_provider: Provider) -> Iterator[Live]:
    """Two exchanges at once, bodies of 2 KiB; idle connections are kept for half a second."""
    server = quick_server(max_in_flight=2, keepalive=Duration(0.5), max_body=Size(2048))
    live = Live(replace(config(_provider.port, _provider.port), server=server))
    yield live
    live.close()


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_more_exchanges_than_allowed_are_503_with_retry_after(dialect: str, narrow: Live, provider: Provider) -> None:
    provider.always(Play([turn, send(http(OPENAI_REPLY))]))
    running = [RawClient(narrow.port) for _ in range(2)]
    for client in running:
        client.send(request("/v1/chat/completions", CHAT, AUTH))
    provider.wait_requests(2)
    with RawClient(narrow.port) as third:
        third.send(request(PATHS[dialect], ask(dialect, "openai"), AUTH))
        reply = third.reply()
        assert reply.status == 503
        assert reply.header("retry-after") is not None
        ERROR_SHAPES[dialect](reply.body)
        third.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n")
        assert third.reply().status == 200, "health is answered under load"
        provider.go(2)
        for client in running:
            assert client.reply().status == 200
            client.socket.close()
        narrow.wait(lambda: narrow.in_flight() == 0, "the two to end")
        provider.always(Play([]))
    with RawClient(narrow.port) as fourth:
        fourth.send(request("/v1/chat/completions", CHAT, AUTH))
        assert fourth.reply().status == 200
    assert len(provider.requests) == 3


@pytest.mark.parametrize("delivery", ["with the head", "after the head"])
@pytest.mark.parametrize("pieces", [1, 30])
def test_a_small_body_over_the_limit_is_413_however_it_arrives(pieces: int, delivery: str, narrow: Live, provider: Provider) -> None:
    """Also when all of it is there before the request is looked at."""
    body = CHAT + b" " * 3000
    size = len(body) // pieces
    head = request("/v1/chat/completions", b"", AUTH).replace(b"content-length: 0", b"transfer-encoding: chunked")
    data = chunked(*[body[at : at + size] for at in range(0, len(body), size)])
    with RawClient(narrow.port) as client:
        if delivery == "with the head":
            client.send(head, data)
        else:
            client.send(head)
            time.sleep(0.03)
            client.send(data)
        assert client.reply().status == 413
    provider.nothing()


def test_an_idle_client_connection_is_closed_at_its_limit(narrow: Live, provider: Provider) -> None:
    with RawClient(narrow.port) as client:
        client.assert_usable()
        began = time.monotonic()
        client.assert_closed(2.0)
        assert time.monotonic() - began > 0.3


@pytest.fixture
def secure(provider: Provider, tmp_path: Path) -> Iterator[tuple[Gateway, trustme.CA]]:
    """A gateway that serves HTTPS."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(chain), append=True)
    settings = {
        "server": {"tls": {"cert": str(chain), "key": str(key)}, "head_timeout": "0.5s", "drain": "0.5s"},
        "providers": {"openai": {"base_url": f"http://127.0.0.1:{provider.port}/v1", "api_key": "sk-provider", "models": ["gpt-4o"]}},
    }
    gateway = Gateway(tmp_path, settings)
    _start_secure(gateway)
    yield gateway, authority
    assert gateway.stop() == 0, gateway.said()


def _start_secure(gateway: Gateway) -> None:
    """As `Gateway.start`, which asks over plain HTTP whether it is ready."""
    with gateway._out.open("wb") as out, gateway._err.open("wb") as err:
        command = [sys.executable, "-m", "edgegate", "run", "--config", str(gateway.file)]
        gateway._process = subprocess.Popen(command, stdout=out, stderr=err, cwd=PROJECT, env=gateway._env)
    until = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", gateway.port), 1).close()
            return
        except OSError:
            assert gateway._process.poll() is None, gateway.said()
            assert time.monotonic() < until, gateway.said()
            time.sleep(0.05)


def test_tls_handshakes_that_never_end_are_dropped_like_heads_that_never_end(
    secure: tuple[Gateway, trustme.CA], provider: Provider
) -> None:
    gateway, authority = secure
    context = ssl.create_default_context()
    authority.configure_trust(context)
    silent, half, plain = (RawClient(gateway.port) for _ in range(3))
    half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 20)
    plain.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n")
    with RawClient(gateway.port) as client, context.wrap_socket(client.socket, server_hostname="127.0.0.1") as wrapped:
        client.socket = wrapped
        client.send(request("/v1/chat/completions", CHAT))
        assert client.reply().status == 200
    plain.rest(2.0)
    for name, client in (("silent", silent), ("half a hello", half)):
        try:
            client.rest(2.5)
        except TimeoutError:
            raise AssertionError(f"a TLS handshake that never ends ({name}) is kept open") from None
        client.socket.close()


def test_a_finished_handshake_without_a_request_is_dropped(secure: tuple[Gateway, trustme.CA]) -> None:
    gateway, authority = secure
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with RawClient(gateway.port) as client, context.wrap_socket(client.socket, server_hostname="127.0.0.1") as wrapped:
        client.socket = wrapped
        try:
            client.assert_closed(2.0)
        except ssl.SSLError:
            pass
