"""Relayed paths: bytes as they are, both ways, of any size; credentials swapped; half a body is never passed off as a whole one."""

from __future__ import annotations

import gzip
import hashlib
import time

import pytest

from tests.hard.live import BODY_S, IDLE_S, TOTAL_S, Live
from tests.hard.misbehaving import Play, Provider, Step, close, reset, send, sleep, turn, wait_gone
from tests.hard.raw_client import Gone, RawClient, chunked, request
from tests.hard.speech import ANTHROPIC_KEY, AUTH, ERROR_SHAPES, OPENAI_KEY, http

MB = 1024 * 1024
BLOB = bytes(range(256)) * 4096  # 1 MiB of every byte


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return request(path, b"", AUTH, *headers, method=method)


def upload_head(path: str, *headers: str) -> bytes:
    return request(path, b"", AUTH, *headers).replace(b"content-length: 0\r\n", b"")


# -- up


@pytest.mark.parametrize("framing", ["Content-Length", "chunked", "chunks of odd sizes"])
def test_an_upload_of_20_mb_arrives_as_it_was(framing: str, client: RawClient, provider: Provider) -> None:
    data = BLOB * 20
    if framing == "Content-Length":
        client.send(upload_head("/openai/v1/files", f"content-length: {len(data)}"), data)
    elif framing == "chunked":
        client.send(upload_head("/openai/v1/files", "transfer-encoding: chunked"), chunked(*[BLOB] * 20))
    else:
        sizes = [1, 2, 3, 65535, 65536, 65537, 16384, 999_983]
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(data[at : at + size])
            at += size
        client.send(upload_head("/openai/v1/files", "transfer-encoding: chunked"), chunked(*pieces))
    assert client.reply().status == 200
    got = provider.only()
    assert len(got.body) == len(data)
    assert sha(got.body) == sha(data)
    assert (got.header("content-length") is None) == (framing != "Content-Length")
    client.assert_usable()


def test_a_multipart_upload_is_not_touched(client: RawClient, provider: Provider) -> None:
    body = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a\xff.bin"\r\n\r\n' + BLOB[:5000] + b"\r\n--b--\r\n"
    )
    client.send(request("/openai/v1/files", body, AUTH, "content-type: multipart/form-data; boundary=b"))
    assert client.reply().status == 200
    got = provider.only()
    assert got.body == body
    assert got.header("content-type") == "multipart/form-data; boundary=b"


@pytest.mark.parametrize("target", ["openai", "anthropic"])
@pytest.mark.parametrize("framing", ["content-length: 0", "transfer-encoding: chunked"])
def test_an_empty_upload_arrives_empty(target: str, framing: str, client: RawClient, provider: Provider) -> None:
    client.send(upload_head(f"/{target}/v1/files", framing), b"0\r\n\r\n" if "chunked" in framing else b"")
    assert client.reply().status == 200
    assert provider.only().body == b""
    client.assert_usable()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST", "OPTIONS"])
@pytest.mark.parametrize("body", [b"", b"abc"], ids=["without a body", "with a body"])
def test_any_method_goes_on(method: str, body: bytes, client: RawClient, provider: Provider) -> None:
    client.send(request("/openai/v1/things/1", body, AUTH, method=method))
    assert client.reply().status == 200
    got = provider.only()
    assert (got.method, got.body) == (method, body)
    client.assert_usable()


def test_a_get_with_a_body_goes_on_with_it(client: RawClient, provider: Provider) -> None:
    client.send(request("/openai/v1/things", b"abc", AUTH, method="GET"))
    assert client.reply().status == 200
    assert provider.only().body == b"abc"
    client.assert_usable()


@pytest.mark.parametrize("how", ["close", "reset", "end of input"])
@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_an_upload_that_the_client_breaks_off_never_looks_whole(
    framing: str, how: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    if framing == "chunked":
        client.send(upload_head("/openai/v1/files", "transfer-encoding: chunked"), b"5\r\nhello\r\n")
    else:
        client.send(upload_head("/openai/v1/files", "content-length: 100"), b"hello")
    provider.wait(lambda: b"hello" in provider.everything or provider.open_connections, "the upload to begin")
    time.sleep(0.05)
    left = time.monotonic()
    if how == "close":
        client.socket.close()
    elif how == "reset":
        client.reset()
    else:
        client.end_of_input()
    provider.wait(lambda: not provider.open_connections, "the upstream connection to be closed", 1.5)
    assert max(provider.gone_at.values()) - left < 1.0
    assert not provider.requests, "half an upload reached the provider as a whole one"
    gateway.wait(lambda: gateway.in_flight() == 0, "the exchange to end")


@pytest.mark.parametrize(
    "piece",
    [b"xyz\r\n", b"-5\r\nhello\r\n", b"5\r\nhelloXX", b"10000000000000000\r\n"],
    ids=["no number", "negative", "no line end", "2^64"],
)
def test_an_upload_whose_chunks_break_never_looks_whole_and_is_400(piece: bytes, client: RawClient, provider: Provider) -> None:
    client.send(upload_head("/openai/v1/files", "transfer-encoding: chunked"), b"5\r\nhello\r\n")
    provider.wait(lambda: provider.open_connections, "the upload to begin")
    time.sleep(0.05)
    client.send(piece)
    began = time.monotonic()
    reply = client.reply()
    assert reply.status == 400, reply.body
    assert time.monotonic() - began < BODY_S - 0.1
    provider.wait(lambda: not provider.open_connections, "the upstream connection to be closed", 1.5)
    assert not provider.requests
    client.assert_closed()


def test_an_upload_that_stalls_is_408(client: RawClient, provider: Provider) -> None:
    client.send(upload_head("/openai/v1/files", "content-length: 100"), b"hello")
    reply = client.reply()
    assert reply.status == 408
    ERROR_SHAPES["openai"](reply.body)
    assert not provider.requests
    client.assert_closed()


@pytest.mark.parametrize("line", [b"connection: close", b"x-a: b"], ids=["close", "no close"])
def test_an_upload_that_the_provider_refuses_early_gets_its_answer(line: bytes, client: RawClient, provider: Provider) -> None:
    provider.plays(Play([send(http(b'{"error": {"message": "too large"}}', line, status=b"413 Large")), sleep(0.1), close], "head"))
    client.send(upload_head("/openai/v1/files", f"content-length: {40 * MB}"))
    try:
        for _ in range(40):
            client.send(BLOB)
    except OSError:
        pass
    reply = client.reply()
    assert reply.status == 413
    assert b"too large" in reply.body
    if reply.closes:
        client.rest()
    else:
        client.assert_usable()


def test_an_upload_to_a_provider_that_does_not_read_ends_at_its_limit(gateway: Live, client: RawClient, provider: Provider) -> None:
    provider.plays(Play([wait_gone], "head"))
    provider.plays()
    client.socket.settimeout(6)
    began = time.monotonic()
    client.send(upload_head("/openai/v1/files", f"content-length: {200 * MB}"))
    try:
        for _ in range(200):
            client.send(BLOB)
    except OSError:
        pass
    assert time.monotonic() - began < TOTAL_S + 3
    gateway.wait(lambda: gateway.in_flight() == 0, "the exchange to end", 4)


# -- down


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1_000_003, 20 * MB])
@pytest.mark.parametrize("framing", ["Content-Length", "chunked", "until the close"])
def test_a_download_arrives_as_it_was(framing: str, size: int, client: RawClient, provider: Provider) -> None:
    data = (BLOB * 20)[:size]
    if framing == "Content-Length":
        provider.says(http(data, type=b"application/octet-stream"))
    elif framing == "chunked":
        provider.says(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            + chunked(*([data] if data else []))
        )
    else:
        provider.says(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\r\n" + data, close)
    client.send(get("/openai/v1/files/f/content"))
    reply = client.head()
    assert reply.status == 200
    assert reply.header("content-type") == "application/octet-stream"
    assert reply.header("content-length") == (str(size) if framing == "Content-Length" else None)
    digest = hashlib.sha256()
    for piece in client.body(reply):
        digest.update(piece)
    assert digest.hexdigest() == sha(data)
    client.assert_usable()


def test_a_compressed_download_stays_compressed(client: RawClient, provider: Provider) -> None:
    data = gzip.compress(BLOB)
    provider.says(http(data, b"content-encoding: gzip", b'etag: "x"'))
    client.send(get("/openai/v1/files/f/content", "accept-encoding: gzip"))
    reply = client.reply()
    assert reply.body == data
    assert reply.header("content-encoding") == "gzip"
    assert reply.header("etag") == '"x"'


def test_a_range_goes_both_ways(client: RawClient, provider: Provider) -> None:
    provider.says(http(b"bcd", b"content-range: bytes 1-3/10", status=b"206 Partial Content"))
    client.send(get("/openai/v1/files/f/content", "range: bytes=1-3", 'if-range: "x"'))
    reply = client.reply()
    assert (reply.status, reply.header("content-range"), reply.body) == (206, "bytes 1-3/10", b"bcd")
    assert provider.only().header("range") == "bytes=1-3"


@pytest.mark.parametrize("how", [close, reset], ids=["close", "reset"])
@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
@pytest.mark.parametrize("size", [5, 100_000])
def test_a_download_that_breaks_is_cut_and_never_looks_whole(
    size: int, framing: str, how: Step, gateway: Live, client: RawClient, provider: Provider
) -> None:
    if framing == "chunked":
        data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(b"x" * size)[:-5]
    else:
        data = http(b"x" * size + b"y" * 10)[:-10]
    provider.plays(Play([send(data), sleep(0.05), how]))
    client.send(get("/openai/v1/files/f/content", "x-request-id: cut-1"))
    try:
        reply = client.reply()
    except Gone:
        pass
    else:
        assert not reply.whole
    client.rest()
    assert gateway.logged("cut-1")["outcome"] == "upstream_broke"


def test_a_silent_download_is_cut_at_its_idle_limit(client: RawClient, provider: Provider) -> None:
    provider.plays(Play([send(http(b"x" * 100)[:-50]), wait_gone]))
    client.send(get("/openai/v1/files/f/content"))
    began = time.monotonic()
    assert not client.reply().whole
    assert time.monotonic() - began < IDLE_S + 0.8


def test_a_silent_provider_is_504_on_a_relayed_path(client: RawClient, provider: Provider) -> None:
    provider.plays(Play([wait_gone]))
    client.send(get("/anthropic/v1/files"))
    reply = client.reply()
    assert reply.status == 504
    ERROR_SHAPES["anthropic"](reply.body)
    client.assert_usable()


@pytest.mark.parametrize("length", [None, 12345])
def test_head_keeps_its_length_and_has_no_body(length: int | None, client: RawClient, provider: Provider) -> None:
    line = b"" if length is None else b"content-length: %d\r\n" % length
    provider.says(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n" + line + b"\r\n")
    client.send(get("/openai/v1/files/f", method="HEAD"))
    reply = client.reply(head_request=True)
    assert reply.status == 200
    assert reply.header("content-length") == (str(length) if length is not None else None)
    assert provider.only().method == "HEAD"
    if not reply.closes:
        client.assert_usable()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("line", [b"", b"content-length: 0\r\n", b"content-length: 5\r\n"], ids=["no length", "length 0", "length 5"])
def test_replies_without_a_body_have_none(status: bytes, line: bytes, client: RawClient, provider: Provider) -> None:
    provider.says(b"HTTP/1.1 " + status + b'\r\netag: "x"\r\n' + line + b"\r\n")
    client.send(get("/openai/v1/files/f", 'if-none-match: "x"'))
    reply = client.reply()
    assert reply.status == int(status[:3])
    assert reply.header("transfer-encoding") is None
    if reply.status == 204:
        assert reply.header("content-length") is None, "RFC 9110 8.6: no length with a 204"
    client.assert_usable()
    client.assert_usable()


@pytest.mark.parametrize(
    "status", [b"201 Created", b"202 Accepted", b"400 Bad", b"404 Gone", b"418 Teapot", b"429 Slow", b"500 Oops", b"599 Odd", b"999 Odder"]
)
def test_a_status_passes_as_it_is(status: bytes, client: RawClient, provider: Provider) -> None:
    provider.says(http(b"<odd>", b"retry-after: 7", status=status, type=b"text/odd"))
    client.send(get("/openai/v1/things"))
    reply = client.reply()
    assert reply.status == int(status[:3])
    assert reply.body == b"<odd>"
    assert reply.header("content-type") == "text/odd"
    assert reply.header("retry-after") == "7"
    client.assert_usable()


def test_events_on_a_relayed_path_are_not_held_back(client: RawClient, provider: Provider) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = [b'event: response.created\ndata: {"a": 1}\n\n', b": ping\n\n", b"data: half", b" an event\n\n"]
    steps: list[Step] = [send(head)]
    for piece in pieces:
        steps += [send(b"%x\r\n%b\r\n" % (len(piece), piece)), turn]
    provider.plays(Play([*steps, send(b"0\r\n\r\n")]))
    client.send(request("/openai/v1/responses", b"{}", AUTH))
    client.socket.settimeout(0.5)
    for piece in pieces:
        client.read_until(piece)
        provider.go()
    client.read_until(b"0\r\n\r\n")
    client.assert_usable()


# -- targets

EXACT = [
    "?a=b",
    "?",
    "?a=%20+%2B&a=b&&c",
    "?q=%ff%00%0a",
    "?next=http://evil.example/",
    "?a=b?c=d",
    "/%2f",
    "/a%2Fb",
    "/a%20b",
    "/%E2%9C%93",
    "/a;b=c",
    "/a//b",
    "/a/",
    "/a,b:c@d!$&'()*+=~",
    "/...",
    "/.a/..b/c..",
    "/a%25b",
]


@pytest.mark.parametrize("tail", EXACT)
def test_a_target_goes_on_exactly(tail: str, client: RawClient, provider: Provider) -> None:
    client.send(get(f"/openai/v1/files{tail}"))
    assert client.reply().status == 200
    got = provider.only()
    assert got.target == f"/v1/files{tail}" or (tail == "?" and got.target == "/v1/files")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/openai/v1/x", "/v1/x"),
        ("/openai/x", "/v1/x"),
        ("/openai/v1", "/v1"),
        ("/openai/v1/", "/v1/"),
        ("/openai/v1x/y", "/v1/v1x/y"),
        ("/openai/v2/x", "/v1/v2/x"),
        ("/openai/", "/v1/"),
        ("/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/anthropic/x", "/x"),
        ("/gemini/v1beta/models/m:embedContent", "/v1beta/models/m:embedContent"),
    ],
)
def test_a_path_stands_below_the_base_path(path: str, target: str, client: RawClient, provider: Provider) -> None:
    client.send(get(path))
    assert client.reply().status == 200
    assert provider.only().target == target


DOTS = [
    "/openai/..",
    "/openai/../x",
    "/openai/../../etc/passwd",
    "/openai/v1/../admin",
    "/openai/v1/..",
    "/openai/./x",
    "/openai/v1/.",
    "/openai/%2e%2e/x",
    "/openai/%2E./x",
    "/openai/.%2e/x",
    "/openai/v1/..%2fadmin",
    "/openai/v1/%2e%2e%2fadmin",
    "/openai/v1/a%2f..%2fb",
    "/openai/v1/..\\admin",
    "/openai/v1/..%5cadmin",
    "/openai/v1\\..\\x",
    "/openai/v1/%2e",
    "/../openai/v1/x",
    "/%2e%2e/openai/v1/x",
    "//openai/v1/x",
    "/openai%2fv1/x",
    "/OPENAI/v1/x",
    "/openai;x/v1/x",
]


@pytest.mark.parametrize("path", DOTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_with_dot_segments_goes_nowhere(path: str, method: str, client: RawClient, provider: Provider) -> None:
    client.send(request(path, b"x" if method == "POST" else b"", AUTH, method=method))
    reply = client.reply()
    assert reply.status in (400, 404)
    provider.nothing()


@pytest.mark.parametrize(
    "path",
    [
        "/openai/v1/%2e%2e;/x",
        "/openai/v1/..;/x",
        "/openai/v1/%252e%252e/x",
        "/openai//evil.example/x",
        "/anthropic//evil.example/x",
        "/anthropic/http://evil.example/",
    ],
)
def test_a_path_that_some_servers_misread_reaches_only_its_own_provider(path: str, client: RawClient, provider: Provider) -> None:
    client.send(get(path))
    reply = client.reply()
    if reply.status == 200:
        assert provider.only().header("host") == f"127.0.0.1:{provider.port}"
    else:
        assert reply.status in (400, 404)
        provider.nothing()


@pytest.mark.parametrize(
    ("target", "name", "value"), [("openai", "authorization", f"Bearer {OPENAI_KEY}"), ("anthropic", "x-api-key", ANTHROPIC_KEY)]
)
def test_credentials_are_swapped_and_other_lines_kept(target: str, name: str, value: str, client: RawClient, provider: Provider) -> None:
    lines = [
        "openai-beta: assistants=v2",
        "anthropic-version: 2023-01-01",
        "anthropic-beta: files-api",
        "x-custom: é",
        "accept: text/x",
        "user-agent: t/1",
    ]
    client.send(get(f"/{target}/v1/files", *lines))
    assert client.reply().status == 200
    got = provider.only()
    assert got.header(name) == value
    assert got.header("anthropic-version") == "2023-01-01"
    assert got.header("x-custom") == "é"
    assert got.header("user-agent") == "t/1"
    assert got.header("host") == f"127.0.0.1:{provider.port}"


@pytest.mark.parametrize("length", [b"5", b"50"])
def test_two_downloads_on_one_connection_do_not_mix(length: bytes, client: RawClient, provider: Provider) -> None:
    provider.says(http(b"a" * 100_000))
    provider.says(http(b"b" * int(length)))
    client.send(get("/openai/v1/a"), get("/openai/v1/b"))
    assert client.reply().body == b"a" * 100_000
    assert client.reply().body == b"b" * int(length)
    client.assert_usable()
