"""Clients that are slow, half there, old-fashioned or gone again before they have said what they want."""

from __future__ import annotations

import time

import pytest

from tests.hard.live import BODY_S, HEAD_S, MAX_BODY, Live
from tests.hard.misbehaving import Play, Provider, send, sleep
from tests.hard.raw_client import RawClient, chunked, request
from tests.hard.speech import AUTH, CHAT, JSON_TYPE, OPENAI_REPLY, PATHS, ask, assert_openai_error, good_answer, http

TICK_S = 0.1
SLACK_S = 0.6  # the machine is shared
LOCAL = ["/health", "/health/liveness", "/ready", "/health/readiness", "/startup", "/health/startup", "/metrics"]


# -- Expect


def test_expect_gets_its_100_before_the_body_and_then_the_answer(client: RawClient, provider: Provider) -> None:
    head = request("/v1/chat/completions", CHAT, AUTH, JSON_TYPE, "expect: 100-continue")[: -len(CHAT)]
    client.send(head)
    assert client.head().status == 100
    provider.nothing()
    client.send(CHAT)
    assert client.reply().status == 200
    assert provider.only().header("expect") is None
    client.assert_usable()


def test_expect_on_an_upload_gets_its_100(client: RawClient, provider: Provider) -> None:
    client.send(request("/openai/v1/files", b"x" * 10, AUTH, "expect: 100-continue")[:-10])
    assert client.head().status == 100
    client.send(b"x" * 10)
    assert client.reply().status == 200
    assert provider.only().body == b"x" * 10
    assert provider.only().header("expect") is None


def test_expect_with_the_body_at_once_gets_one_answer(client: RawClient, provider: Provider) -> None:
    client.send(request("/v1/chat/completions", CHAT, AUTH, "Expect: 100-Continue"))
    assert client.reply().status == 200
    client.assert_usable()


def test_expect_with_too_much_announced_gets_413_and_no_100(client: RawClient, provider: Provider) -> None:
    client.send(
        request("/v1/chat/completions", b"", AUTH, "expect: 100-continue").replace(
            b"content-length: 0", b"content-length: %d" % (MAX_BODY + 1)
        )
    )
    reply = client.head()
    assert reply.status == 413
    assert b"".join(client.body(reply))
    client.assert_closed()
    provider.nothing()


def test_expect_on_an_unknown_path_gets_404_and_no_100(client: RawClient, provider: Provider) -> None:
    client.send(request("/nowhere", CHAT, AUTH, "expect: 100-continue")[: -len(CHAT)])
    assert client.head().status == 404
    provider.nothing()


def test_expect_whose_body_never_comes_gets_408(client: RawClient, provider: Provider) -> None:
    client.send(request("/v1/chat/completions", CHAT, AUTH, "expect: 100-continue")[: -len(CHAT)])
    assert client.head().status == 100
    reply = client.reply()
    assert reply.status == 408
    client.assert_closed()
    provider.nothing()


# -- HTTP/1.0


def old(path: str, body: bytes, *headers: str) -> bytes:
    return request(path, body, AUTH, *headers).replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", 1)


@pytest.mark.parametrize("keep", [False, True], ids=["close", "keep-alive"])
def test_http_1_0_gets_a_plain_answer_that_ends_with_the_connection(keep: bool, client: RawClient, provider: Provider) -> None:
    client.send(old("/v1/chat/completions", CHAT, *(["connection: keep-alive"] if keep else [])))
    reply = client.reply()
    assert reply.status == 200
    assert reply.body == OPENAI_REPLY
    if reply.closes:
        client.assert_closed()
    else:
        assert keep, "an HTTP/1.0 client that did not ask for keep-alive waits for the close"
        client.assert_usable()
    provider.only()


@pytest.mark.parametrize("keep", [False, True], ids=["close", "keep-alive"])
def test_http_1_0_gets_a_stream_without_chunks(keep: bool, client: RawClient, provider: Provider) -> None:
    client.send(old("/v1/chat/completions", ask("openai", "openai", stream=True), *(["connection: keep-alive"] if keep else [])))
    reply = client.reply()
    assert reply.header("transfer-encoding") is None
    assert reply.closes
    assert reply.body.startswith(b"data: {")
    assert reply.body.endswith(b"data: [DONE]\n\n")


def test_http_1_0_without_host_is_served(client: RawClient, provider: Provider) -> None:
    client.send(old("/v1/chat/completions", CHAT).replace(b"host: gateway\r\n", b""))
    assert client.reply().status == 200
    assert provider.only().header("host") == f"127.0.0.1:{provider.port}"


def test_http_1_0_upload_reaches_the_provider_as_http_1_1(client: RawClient, provider: Provider) -> None:
    client.send(old("/openai/v1/files", b"abc"))
    assert client.reply().status == 200
    assert provider.only().body == b"abc"


def test_connection_close_is_obeyed(client: RawClient, provider: Provider) -> None:
    client.send(request("/v1/chat/completions", CHAT, AUTH, "connection: close"))
    reply = client.reply()
    assert reply.status == 200
    assert reply.closes
    client.assert_closed()


def test_connection_close_on_a_stream_is_obeyed(client: RawClient, provider: Provider) -> None:
    client.send(request("/v1/chat/completions", ask("openai", "openai", stream=True), AUTH, "connection: close"))
    reply = client.reply()
    assert reply.whole
    assert reply.closes
    client.assert_closed()


# -- HEAD


@pytest.mark.parametrize("path", [*LOCAL, "/v1/models", "/v1/models/gpt-4o", "/v1/chat/completions", "/nowhere"])
def test_head_gets_a_head_and_nothing_else(path: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, b"", AUTH, method="HEAD"))
    reply = client.reply(head_request=True)
    assert reply.status == {"/v1/chat/completions": 405, "/nowhere": 404}.get(path, 200)
    client.assert_silent_and_open(0.05)
    client.assert_usable()
    provider.nothing()


@pytest.mark.parametrize("path", LOCAL)
def test_local_paths_need_no_key_and_ignore_a_body(path: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, b"abc", method="GET"))
    assert client.reply().status == 200
    client.assert_usable()
    provider.nothing()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages"])
def test_another_method_is_405_and_says_which_is_allowed(path: str, method: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, b"", AUTH, method=method))
    reply = client.reply()
    assert reply.status == 405
    assert reply.header("allow") == "POST"
    client.assert_usable()
    provider.nothing()


# -- slow


def test_a_connection_that_says_nothing_is_closed(gateway: Live, client: RawClient) -> None:
    began = time.monotonic()
    client.assert_closed(HEAD_S + TICK_S + SLACK_S)
    assert time.monotonic() - began >= HEAD_S - 0.05


def test_a_head_that_trickles_in_is_cut_off_at_its_limit(client: RawClient, provider: Provider) -> None:
    began = time.monotonic()
    client.send_slowly(request("/v1/chat/completions", CHAT, AUTH), pause_s=0.1)
    assert HEAD_S - 0.05 <= time.monotonic() - began <= HEAD_S + TICK_S + SLACK_S
    provider.nothing()


def test_the_second_head_of_a_connection_has_the_same_limit(client: RawClient, provider: Provider) -> None:
    client.assert_usable()
    time.sleep(0.2)
    began = time.monotonic()
    client.send_slowly(request("/v1/chat/completions", CHAT, AUTH), pause_s=0.1)
    assert HEAD_S - 0.05 <= time.monotonic() - began <= HEAD_S + TICK_S + SLACK_S
    provider.nothing()


def test_half_a_second_head_sent_together_with_the_first_request_has_the_same_limit(client: RawClient, provider: Provider) -> None:
    client.send(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\nPOST /v1/chat/comp")
    assert client.reply().status == 200
    client.assert_closed(HEAD_S + TICK_S + SLACK_S)
    provider.nothing()


def test_half_a_second_head_sent_while_the_first_request_runs_has_the_same_limit(client: RawClient, provider: Provider) -> None:
    provider.plays(Play([sleep(0.3), send(http(OPENAI_REPLY))]))
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    time.sleep(0.1)
    client.send(b"POST /v1/chat/comp")
    assert client.reply().status == 200
    client.assert_closed(HEAD_S + TICK_S + SLACK_S)


def test_a_long_request_does_not_count_as_a_slow_head(client: RawClient, provider: Provider) -> None:
    provider.plays(Play([sleep(HEAD_S * 2 + 0.3), send(http(OPENAI_REPLY))]))
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert client.reply().status == 200
    client.assert_usable()


def test_an_idle_connection_is_not_a_slow_head(client: RawClient, provider: Provider) -> None:
    client.assert_usable()
    time.sleep(HEAD_S + 0.4)
    client.assert_usable()


def test_many_half_open_connections_are_all_dropped(gateway: Live, client: RawClient) -> None:
    others = [RawClient(gateway.port) for _ in range(100)]
    for number, other in enumerate(others):
        if number % 2:
            other.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-")
    began = time.monotonic()
    for other in others:
        other.assert_closed(HEAD_S + TICK_S + SLACK_S * 2)
        other.socket.close()
    assert time.monotonic() - began < HEAD_S + TICK_S + SLACK_S * 2
    gateway.wait(lambda: gateway.client_connections() == 0, "all connections to be dropped")
    assert gateway.waiting() == 0


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
@pytest.mark.parametrize("client_dialect", ["openai", "anthropic"])
def test_a_body_that_trickles_in_is_answered_408(framing: str, client_dialect: str, client: RawClient, provider: Provider) -> None:
    body = ask(client_dialect, "openai")
    if framing == "chunked":
        head = request(PATHS[client_dialect], b"", AUTH).replace(b"content-length: 0", b"transfer-encoding: chunked")
        body = chunked(*[body[n : n + 1] for n in range(len(body))])
    else:
        head = request(PATHS[client_dialect], body, AUTH)[: -len(body)]
    client.send(head)
    began = time.monotonic()
    client.send_slowly(body, pause_s=0.05)
    assert BODY_S - 0.05 <= time.monotonic() - began <= BODY_S + SLACK_S + 2.2
    reply = client.reply()
    assert reply.status == 408
    assert reply.closes
    if client_dialect == "openai":
        assert_openai_error(reply.body)
    provider.nothing()


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(
    framing: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    if framing == "chunked":
        client.send(
            request("/v1/chat/completions", b"", AUTH).replace(b"content-length: 0", b"transfer-encoding: chunked"), chunked(CHAT)[:-9]
        )
    else:
        client.send(request("/v1/chat/completions", CHAT, AUTH)[:-9])
    time.sleep(0.05)
    client.socket.close()
    gateway.wait(lambda: gateway.client_connections() == 0 and gateway.in_flight() == 0, "the exchange to end", 1.0)
    provider.nothing()


def test_a_client_that_ends_its_input_in_the_middle_of_its_body_gets_no_answer_from_the_provider(
    client: RawClient, provider: Provider
) -> None:
    client.send(request("/v1/chat/completions", CHAT, AUTH)[:-9])
    client.end_of_input()
    rest = client.rest()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400")
    provider.nothing()


def test_a_client_that_resets_in_the_middle_of_its_head_leaves_nothing_behind(gateway: Live, client: RawClient, provider: Provider) -> None:
    client.send(b"POST /v1/chat/comp")
    time.sleep(0.02)
    client.reset()
    gateway.wait(lambda: gateway.client_connections() == 0, "the connection to end", 1.0)
    assert gateway.waiting() == 0
    provider.nothing()


# -- upgrades


@pytest.mark.parametrize(
    "lines",
    [
        ("connection: upgrade", "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version: 13"),
        ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA"),
        ("connection: upgrade", "upgrade: TLS/1.0"),
        ("upgrade: websocket",),
        ("connection: keep-alive, upgrade", "upgrade: foo/2"),
    ],
    ids=["websocket", "h2c", "TLS", "without Connection", "unknown"],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files"])
def test_an_upgrade_is_ignored_and_the_request_served(lines: tuple[str, ...], path: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, CHAT, AUTH, *lines))
    reply = client.reply()
    assert reply.status == 200
    got = provider.only()
    assert got.body == CHAT
    assert not {"upgrade", "connection", "http2-settings"} & {name for name, _ in got.headers}
    if not reply.closes:
        client.assert_usable()


@pytest.mark.parametrize("path", ["/openai/v1/realtime", "/v1/models", "/health"])
def test_an_upgrade_of_a_get_is_ignored(path: str, client: RawClient, provider: Provider) -> None:
    lines = ("connection: upgrade", "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version: 13")
    client.send(request(path, b"", AUTH, *lines, method="GET"))
    reply = client.reply()
    assert reply.status == 200
    assert b"".join([got.head for got in provider.requests]).lower().count(b"upgrade") == 0
    if not reply.closes:
        client.assert_usable()


# -- overload of one connection


def test_a_request_larger_than_a_socket_buffer_in_tiny_pieces_is_read_whole(client: RawClient, provider: Provider) -> None:
    body = CHAT + b" " * 100_000
    data = request("/v1/chat/completions", body, AUTH)
    for at in range(0, len(data), 997):
        client.send(data[at : at + 997])
    assert client.reply().status == 200
    assert provider.only().body == body


def test_the_default_answers_are_good(client: RawClient, provider: Provider) -> None:
    """The harness itself: what the provider says when nobody tells it what to say."""
    assert good_answer("/v1/chat/completions", CHAT).endswith(OPENAI_REPLY)
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert client.reply().body == OPENAI_REPLY
