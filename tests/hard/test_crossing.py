"""What crosses the gateway and what does not: keys, hop-by-hop lines, lines that `Connection` names, redirects, echoes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from edgegate.config.model import Config, ServerOptions
from edgegate.config.stages import AuthOptions
from tests.hard.combine import combinations
from tests.hard.live import Live, chain, config, quick_server
from tests.hard.misbehaving import Provider
from tests.hard.raw_client import RawClient, request
from tests.hard.speech import (
    ANTHROPIC_KEY,
    AUTH,
    CHAT,
    ERROR_SHAPES,
    GATEWAY_KEY,
    OPENAI_KEY,
    OPENAI_REPLY,
    PATHS,
    STREAM_HEAD,
    STREAMS,
    ask,
    chunk,
    dumps,
    http,
)

KEY_LINES = [
    f"authorization: Bearer {GATEWAY_KEY}",
    f"Authorization: bearer   {GATEWAY_KEY}",
    f"x-api-key: {GATEWAY_KEY}",
    f"api-key: {GATEWAY_KEY}",
    f"x-goog-api-key: {GATEWAY_KEY}",
]


def no_gateway_key(provider: Provider) -> None:
    assert GATEWAY_KEY.encode() not in provider.everything, "the caller's key went to the provider"


def no_provider_key(data: bytes) -> None:
    for key in (OPENAI_KEY, ANTHROPIC_KEY):
        assert key.encode() not in data, f"the provider's key came back: {data[:600]!r}"


# -- keys going out


@pytest.mark.parametrize("line", KEY_LINES)
@combinations
def test_the_callers_key_is_replaced_by_the_providers(dialect: str, target: str, line: str, client: RawClient, provider: Provider) -> None:
    client.send(request(PATHS[dialect], ask(dialect, target), line))
    assert client.reply().status == 200
    got = provider.only()
    assert (got.header("authorization"), got.header("x-api-key")) == (
        (f"Bearer {OPENAI_KEY}", None) if target == "openai" else (None, ANTHROPIC_KEY)
    )
    no_gateway_key(provider)
    no_provider_key(bytes(client.received))


@pytest.mark.parametrize("line", KEY_LINES)
@pytest.mark.parametrize("target", ["openai", "anthropic"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_callers_key_is_replaced_on_relayed_paths(method: str, target: str, line: str, client: RawClient, provider: Provider) -> None:
    client.send(request(f"/{target}/v1/files", b"abc" if method == "POST" else b"", line, method=method))
    assert client.reply().status == 200
    got = provider.only()
    assert OPENAI_KEY in (got.header("authorization") or "") or got.header("x-api-key") == ANTHROPIC_KEY
    no_gateway_key(provider)


@pytest.mark.parametrize("line", KEY_LINES)
def test_every_line_with_the_callers_key_stays_here(line: str, client: RawClient, provider: Provider) -> None:
    client.send(
        request(
            "/openai/v1/files",
            b"",
            *KEY_LINES,
            f"proxy-authorization: Bearer {GATEWAY_KEY}",
            f"cookie: key={GATEWAY_KEY}",
            line,
            method="GET",
        )
    )
    assert client.reply().status == 200
    provider.only()
    no_gateway_key(provider)


@combinations
def test_a_key_in_the_body_stays_here(dialect: str, target: str, client: RawClient, provider: Provider) -> None:
    client.send(request(PATHS[dialect], ask(dialect, target, **{"x-budget-key": GATEWAY_KEY})))
    assert client.reply().status == 200
    provider.only()
    no_gateway_key(provider)


def test_a_key_that_stands_in_the_body_twice_stays_here(client: RawClient, provider: Provider) -> None:
    field = f'"x-budget-key": "{GATEWAY_KEY}"'.encode()
    client.send(request("/v1/chat/completions", b"{" + field + b", " + CHAT[1:-1] + b", " + field + b"}"))
    assert client.reply().status == 200
    provider.only()
    no_gateway_key(provider)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_a_key_in_the_body_of_other_operations_stays_here(path: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, dumps({"model": "gpt-4o", "prompt": "x", "input": "x", "x-budget-key": GATEWAY_KEY})))
    assert client.reply().status == 200
    provider.only()
    no_gateway_key(provider)


@pytest.fixture(scope="module")
def query_gateway(_provider: Provider) -> Iterator[Live]:
    live = Live(replace(config(_provider.port, _provider.port), chain=chain(auth=AuthOptions(query=True))))
    yield live
    live.close()


@pytest.mark.parametrize("query", ["api_key={}", "key={}", "alt=sse&key={}", "key={}&alt=sse", "%6bey={}", "a=b&api_key={}&c=d"])
@pytest.mark.parametrize("path", ["/openai/v1/files", "/gemini/v1beta/models"])
def test_a_key_in_the_query_stays_here(path: str, query: str, query_gateway: Live, provider: Provider) -> None:
    with RawClient(query_gateway.port) as client:
        client.send(request(f"{path}?{query.format(GATEWAY_KEY)}", b"", method="GET"))
        assert client.reply().status == 200
    got = provider.only()
    no_gateway_key(provider)
    for other in ("alt=sse", "a=b", "c=d"):
        assert (other in query) == (other in got.target), "the rest of the query went with it"


# -- who is who


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("authorization: Bearer wrong-key-000000",),
        ("authorization: Bearer",),
        ("authorization: Bearer ",),
        (f"authorization: Basic {GATEWAY_KEY}",),
        (f"authorization: {GATEWAY_KEY}",),
        (f"authorization: Bearer {GATEWAY_KEY}x",),
        (f"authorization: Bearer {GATEWAY_KEY[:-1]}",),
        (f"authorization: Bearer {GATEWAY_KEY.upper()}",),
        (f"authorization: Bearer {GATEWAY_KEY}, Bearer {GATEWAY_KEY}",),
        (f"authorization: Bearer wrong, {GATEWAY_KEY}",),
        ("authorization: Bearer wrong-key-000000", f"x-api-key: {GATEWAY_KEY}"),
        ("authorization: Bearer wrong-key-000000", f"authorization: Bearer {GATEWAY_KEY}"),
        (f"x-user-id: {GATEWAY_KEY}",),
        ("x-user-id: admin",),
        ("x-forwarded-for: 127.0.0.1", "x-user-id: admin"),
        (f"cookie: authorization={GATEWAY_KEY}",),
        ("authorization: Bearer sha256:" + "0" * 64,),
        ("authorization: Bearer " + "a" * 7000,),
        ("x-api-key: ' OR 1=1 --",),
        ("authorization: Bearer \xff\xfe\xfd",),
        ("x-api-key: k\xe9y",),
        (f"authorization: Bearer {OPENAI_KEY}",),
        (f"x-api-key: {ANTHROPIC_KEY}",),
    ],
    ids=lambda lines: " + ".join(line[:40] for line in lines) or "none",
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/openai/v1/files"])
def test_a_wrong_key_is_401_in_the_words_of_the_dialect(path: str, lines: tuple[str, ...], client: RawClient, provider: Provider) -> None:
    dialect = "anthropic" if path == "/v1/messages" else "openai"
    client.send(request(path, ask(dialect, "openai"), *lines))
    reply = client.reply()
    assert reply.status == 401, reply.body
    ERROR_SHAPES[dialect](reply.body)
    for line in lines:
        secret = line.split()[-1]
        assert len(secret) < 8 or secret.encode("latin-1") not in reply.body, "the key that was tried is quoted"
    provider.nothing()
    client.assert_usable()


def test_models_need_a_key_too(client: RawClient) -> None:
    client.send(request("/v1/models", b"", method="GET"))
    assert client.reply().status == 401


@pytest.fixture(scope="module")
def user_gateway(_provider: Provider) -> Iterator[Live]:
    server: ServerOptions = quick_server(trusted_proxies=("127.0.0.0/8",))
    basis: Config = config(_provider.port, _provider.port)
    live = Live(replace(basis, server=server, keys=(), chain=chain(auth=AuthOptions(user_id=True))))
    yield live
    live.close()


@pytest.mark.parametrize(
    "user", ["alice", "a" * 5000, "\xff\xfe", "a\xe9b", '"}{', "${jndi:ldap://x}", "\U0001f600".encode().decode("latin-1")]
)
def test_a_user_id_of_any_bytes_is_served_and_logged_as_json(user: str, user_gateway: Live, provider: Provider) -> None:
    with RawClient(user_gateway.port) as client:
        client.send(request("/v1/chat/completions", CHAT, f"x-user-id: {user}", "x-request-id: user-1"))
        reply = client.reply()
        assert reply.status == 200, reply.body
        client.assert_usable()
    assert provider.only().header("x-user-id") is None
    assert user_gateway.logged("user-1")["outcome"] == "ok"
    user_gateway.forget_log()
    assert not user_gateway.faults()


# -- hop-by-hop lines

HOP_BY_HOP = [
    "keep-alive: timeout=5",
    "proxy-connection: keep-alive",
    "te: trailers",
    "trailer: x-checksum",
    "proxy-authenticate: Basic",
    "proxy-authorization: Basic abc",
    "http2-settings: AAMAAABkAARAAAAAAAIAAAAA",
    "expect: 100-continue",
    "via: 1.1 other",
    "forwarded: for=1.2.3.4",
    "x-forwarded-for: 1.2.3.4",
    "x-forwarded-host: evil",
    "x-real-ip: 1.2.3.4",
    "max-forwards: 1",
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files"])
def test_hop_by_hop_lines_go_no_further(path: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, CHAT, AUTH, *HOP_BY_HOP))
    assert client.reply().status == 200
    names = {name for name, _ in provider.only().headers}
    assert not names & {line.partition(":")[0] for line in HOP_BY_HOP}


@pytest.mark.parametrize(
    "connection",
    [
        "x-secret",
        "X-Secret",
        "keep-alive, x-secret",
        "close, X-SECRET",
        "x-other,x-secret",
        " , x-secret ,",
        "x-secret\r\nconnection: x-other",
        "x-other\r\nConnection: x-secret",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files"])
def test_lines_that_connection_names_go_no_further(path: str, connection: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, CHAT, AUTH, f"connection: {connection}", "x-secret: 1", "x-kept: 2"))
    assert client.reply().status == 200
    got = provider.only()
    assert got.header("x-secret") is None
    assert got.header("connection") is None
    if path.startswith("/openai"):
        assert got.header("x-kept") == "2"


@pytest.mark.parametrize("named", ["host", "authorization", "content-length", "content-type", "transfer-encoding"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files"])
def test_connection_cannot_take_lines_of_ours_away(path: str, named: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, CHAT, AUTH, f"connection: {named}"))
    assert client.reply().status in (200, 400)
    if provider.requests:
        got = provider.only()
        assert got.header("host") == f"127.0.0.1:{provider.port}"
        assert got.header("authorization") == f"Bearer {OPENAI_KEY}"
        assert got.body == CHAT


@pytest.mark.parametrize("line", ["x-edgegate-provider: x", "x-edgegate-cache: hit", "host: evil", "content-length: 3"])
def test_our_own_lines_cannot_be_forged_upstream(line: str, client: RawClient, provider: Provider) -> None:
    client.send(request("/openai/v1/files", b"abc", AUTH, line))
    reply = client.reply()
    if reply.status != 200:
        assert reply.status == 400
        provider.nothing()
        return
    got = provider.only()
    assert got.body == b"abc"
    assert not [name for name, _ in got.headers if name.startswith("x-edgegate")]


PROVIDER_LINES = [
    b"connection: keep-alive, x-secret",
    b"x-secret: 1",
    b"keep-alive: timeout=5",
    b"proxy-authenticate: Basic",
    b"trailer: x",
    b"upgrade: h2c",
    b"set-cookie: session=abc",
    b"server: provider",
    b"alt-svc: h3=':443'",
    b"x-edgegate-cache: hit",
    b"x-edgegate-error-source: gateway",
    b"access-control-allow-origin: *",
    b"strict-transport-security: max-age=1",
    b"openai-organization: org-secret",
    b"x-request-id: req_up1",
    b"x-ratelimit-remaining-requests: 7",
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files"])
def test_the_providers_lines_pass_a_list(path: str, client: RawClient, provider: Provider) -> None:
    body = http(b"{}" if "files" in path else OPENAI_REPLY, *PROVIDER_LINES)
    provider.says(body)
    client.send(request(path, CHAT, AUTH))
    reply = client.reply()
    assert reply.status == 200
    names = {name for name, _ in reply.headers}
    forbidden = {line.partition(b":")[0].decode() for line in PROVIDER_LINES} - {
        "x-request-id",
        "x-ratelimit-remaining-requests",
        "server",
        "connection",
    }
    assert not names & forbidden
    assert reply.header("x-upstream-request-id") == "req_up1"
    assert reply.header("x-request-id") != "req_up1"
    assert reply.header("x-ratelimit-remaining-requests") == "7"
    client.assert_usable()


# -- keys coming back

ECHOES = [
    "Incorrect API key provided: {}. You can find your API key at https://example.com.",
    "invalid x-api-key {}",
    "key={}&x=1",
    "Authorization: Bearer {}",
    '{{"authorization": "Bearer {}"}}',
    "{}",
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"500 Oops"])
@combinations
def test_a_provider_that_quotes_its_key_in_an_error_is_not_passed_on(
    dialect: str, target: str, status: bytes, echo: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    key = OPENAI_KEY if target == "openai" else ANTHROPIC_KEY
    message = echo.format(key)
    shape = {"error": {"message": message, "type": "x", "param": None, "code": message}}
    if target == "anthropic":
        shape = {"type": "error", "error": {"type": "authentication_error", "message": message}}  # type: ignore[dict-item]
    provider.says(http(dumps(shape), f"x-ratelimit-key: {key}".encode(), status=status))
    client.send(request(PATHS[dialect], ask(dialect, target), AUTH, "x-request-id: echo-1"))
    reply = client.reply()
    assert reply.status == int(status[:3])
    ERROR_SHAPES[dialect](reply.body)
    gateway.logged("echo-1")
    no_provider_key(reply.body)
    no_provider_key(reply.raw)
    no_provider_key(gateway.log.getvalue())


@pytest.mark.parametrize("kind", ["text", "html", "json string", "detail"])
@combinations
def test_a_provider_that_quotes_its_key_in_a_page_is_not_passed_on(
    dialect: str, target: str, kind: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    key = OPENAI_KEY if target == "openai" else ANTHROPIC_KEY
    body, type = {
        "text": (f"bad key {key}".encode(), b"text/plain"),
        "html": (f"<html>{key}</html>".encode(), b"text/html"),
        "json string": (dumps(f"bad key {key}"), b"application/json"),
        "detail": (dumps({"detail": [{"loc": ["header", key], "msg": key}]}), b"application/json"),
    }[kind]
    provider.says(http(body, status=b"403 Forbidden", type=type))
    client.send(request(PATHS[dialect], ask(dialect, target), AUTH))
    reply = client.reply()
    assert reply.status == 403
    ERROR_SHAPES[dialect](reply.body)
    no_provider_key(bytes(client.received))
    no_provider_key(gateway.log.getvalue())


@combinations
def test_a_provider_that_quotes_its_key_in_a_stream_is_not_passed_on(
    dialect: str, target: str, client: RawClient, provider: Provider
) -> None:
    key = OPENAI_KEY if target == "openai" else ANTHROPIC_KEY
    error = {"message": f"no such key {key}", "type": "authentication_error", "code": None, "param": None}
    event = b"data: " + dumps({"error": error}) + b"\n\n"
    if target == "anthropic":
        event = b"event: error\ndata: " + dumps({"type": "error", "error": error}) + b"\n\n"
    provider.says(STREAM_HEAD + b"".join(chunk(bytes(line)) for line in STREAMS[target][:5]) + chunk(event))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=True), AUTH))
    assert client.reply().status == 200
    no_provider_key(bytes(client.received))


def test_metrics_show_no_key(client: RawClient, provider: Provider) -> None:
    client.send(request("/v1/chat/completions", CHAT, AUTH))
    assert client.reply().status == 200
    client.send(request("/metrics", b"", method="GET"))
    body = client.reply().body
    no_provider_key(body)
    assert GATEWAY_KEY.encode() not in body
    assert CHAT not in body


def test_the_log_shows_neither_keys_nor_words(gateway: Live, client: RawClient, provider: Provider) -> None:
    client.send(request("/v1/chat/completions", ask("openai", "openai", user="u-1"), AUTH, "x-request-id: log-1", "x-private: hush"))
    assert client.reply().status == 200
    line = gateway.logged("log-1")
    assert line["key"] == "app"
    text = json.dumps(line)
    for secret in (GATEWAY_KEY, OPENAI_KEY, "Hello", '"Hi"', "hush"):
        assert secret not in text


# -- redirects


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 Temporary", b"308 Permanent", b"300 Multiple"])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@combinations
def test_a_redirect_is_never_followed(
    dialect: str, target: str, streamed: bool, status: bytes, client: RawClient, provider: Provider
) -> None:
    here = f"http://127.0.0.1:{provider.port}/stolen".encode()
    provider.says(http(b"{}", b"location: " + here, status=status))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=streamed), AUTH))
    reply = client.reply()
    assert reply.status == 502
    ERROR_SHAPES[dialect](reply.body)
    assert reply.header("location") is None
    assert provider.only().target != "/stolen"
    client.assert_usable()


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
def test_a_redirect_on_a_relayed_path_goes_to_the_client_who_decides(status: bytes, client: RawClient, provider: Provider) -> None:
    here = f"http://127.0.0.1:{provider.port}/stolen"
    provider.says(http(b"", b"location: " + here.encode(), status=status))
    client.send(request("/openai/v1/files/f/content", b"", AUTH, method="GET"))
    reply = client.reply()
    assert reply.status == int(status[:3])
    assert reply.header("location") == here
    provider.only()
    client.assert_usable()
