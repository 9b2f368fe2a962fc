"""The gateway as a whole, in this process: scopes, ids, model lists, errors, overload, and its end."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from edgegate.server.surfaces import Surfaces, relayed
from tests.unit.core.parts import CHAIN, CHAT, MESSAGES, Provider, Seen, chunk, live, providers, reply, until

KEYS: list[dict[str, Any]] = [
    {"name": "all", "key": "gw-all-all-all-1"},
    {"name": "models", "key": "gw-models-models-1", "models": ["gpt-4o", "fast*"]},
    {"name": "provider", "key": "gw-provider-provider-1", "providers": ["two"]},
]
ALL: dict[str, str]
MODELS: dict[str, str]
PROVIDER: dict[str, str]
ALL, MODELS, PROVIDER = ({"x-api-key": str(key["key"])} for key in KEYS)


def scoped(url: str) -> dict[str, Any]:
    made = providers(url, url)
    made["two"]["models"] = ["claude-x"]
    return {"providers": made, "keys": KEYS, "models": {"aliases": {"fast-one": "two/claude-x"}}}


async def hang(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Says nothing until the other side is gone."""
    await seen.reader.read(1)
    writer.close()


async def drip(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + chunk("a"))
    await writer.drain()
    await asyncio.sleep(30)


# -- scopes


@pytest.mark.parametrize(
    ("key", "model", "status"),
    [
        (ALL, "gpt-4o", 200),
        (ALL, "claude-x", 200),
        (MODELS, "gpt-4o", 200),
        (MODELS, "fast-one", 200),
        (MODELS, "claude-x", 403),
        (MODELS, "two/claude-x", 403),
        (MODELS, "one/gpt-4o", 403),
        (PROVIDER, "claude-x", 200),
        (PROVIDER, "two/anything", 200),
        (PROVIDER, "gpt-4o", 403),
        (PROVIDER, "nobody-has-it", 404),
    ],
)
async def test_what_a_key_may_ask_for(tmp_path: Path, key: dict[str, str], model: str, status: int) -> None:
    async with Provider() as origin, live(scoped(origin.url), tmp_path) as gateway:
        got, body, _ = await gateway.post(body=CHAT | {"model": model}, headers=key)
        assert got == status, body
        assert len(origin.seen) == (status == 200)


@pytest.mark.parametrize(
    ("key", "status"), [(ALL, 200), (MODELS, 403), (PROVIDER, 403), ({}, 401)], ids=["all", "models", "provider", "none"]
)
async def test_relayed_paths_are_for_keys_that_may_use_every_model_of_their_provider(
    tmp_path: Path, key: dict[str, str], status: int
) -> None:
    async with Provider(reply(b"{}")) as origin, live(scoped(origin.url), tmp_path) as gateway:
        assert (await gateway.get("/one/v1/files", key))[0] == status
        assert len(origin.seen) == (status == 200)


async def test_a_fallback_at_a_provider_the_key_may_not_use_is_left_out(tmp_path: Path) -> None:
    async with Provider(reply(b"{}", 500)) as one, Provider() as two:
        config = {
            "providers": providers(one.url, two.url),
            "keys": [{"name": "k", "key": "gw-only-one-only-1", "providers": ["one"]}],
            "models": {"fallbacks": {"gpt-4o": ["two/gpt-4o"]}},
            "chain": ["auth", "route", {"failover": {"retries": 0}}, "translate", "forward", "meter"],
        }
        async with live(config, tmp_path) as gateway:
            status, _, _ = await gateway.post(headers={"x-api-key": "gw-only-one-only-1"})
        assert (status, two.seen) == (500, [])


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (ALL, {"gpt-4o", "text-embedding-3-small", "claude-x", "fast-one"}),
        (MODELS, {"gpt-4o", "fast-one"}),
        (PROVIDER, {"claude-x", "fast-one"}),
    ],
    ids=["all", "models", "provider"],
)
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_a_key_sees_the_models_it_may_use(tmp_path: Path, key: dict[str, str], names: set[str], dialect: str) -> None:
    more = {"anthropic-version": "2023-06-01"} if dialect == "anthropic" else {}
    async with live(scoped("http://127.0.0.1:9"), tmp_path) as gateway:
        status, body, _ = await gateway.get("/v1/models", key | more)
        page = json.loads(body)
        assert (status, {item["id"] for item in page["data"]}) == (200, names)
        assert ("has_more" in page) is (dialect == "anthropic")
        assert ("object" in page) is (dialect == "openai")
        assert page["data"][0].get("object" if dialect == "openai" else "type") == "model"
        one, _, _ = await gateway.get("/v1/models/gpt-4o", key | more)
        assert one == (200 if "gpt-4o" in names else 404)
        assert (await gateway.get("/v1/models/two%2Fclaude-x", ALL | more))[0] == 200
        assert (await gateway.get("/v1/models/ghost", key | more))[0] == 404
        assert (await gateway.get("/v1/models", more))[0] == 401


async def test_suggestions_name_no_model_that_the_key_may_not_see(tmp_path: Path) -> None:
    async with live(scoped("http://127.0.0.1:9"), tmp_path) as gateway:
        status, body, _ = await gateway.post(body=CHAT | {"model": "claude-y"}, headers=MODELS)
    assert status in (403, 404)
    assert b"claude-x" not in body


# -- ids, errors, paths


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3:4", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False), ("{}", False)]
)
async def test_a_request_id_is_echoed_if_it_is_one_and_replaced_if_not(tmp_path: Path, given: str, kept: bool) -> None:
    async with Provider() as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        _, _, head = await gateway.post(headers={"X-Request-ID": given})
        _, _, failed = await gateway.post("/v1/nothing", headers={"X-Request-ID": given})
        lines = gateway.lines()
    assert (head["x-request-id"] == given) is kept
    assert (failed["x-request-id"] == given) is kept
    assert [line["request_id"] for line in lines] == [head["x-request-id"], failed["x-request-id"]]


async def test_ids_of_our_own_are_never_the_same(tmp_path: Path) -> None:
    async with Provider() as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        assert len({(await gateway.post())[2]["x-request-id"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("method", "path", "status", "dialect"),
    [
        ("GET", "/v1/chat/completions", 405, "openai"),
        ("DELETE", "/v1/messages", 405, "anthropic"),
        ("POST", "/v1/nothing", 404, "openai"),
        ("POST", "/v1/messages/batches", 404, "anthropic"),
        ("POST", "/nobody/v1/x", 404, "openai"),
        ("POST", "/", 404, "openai"),
        ("POST", "/v1/models", 405, "openai"),
        ("GET", "/one/../secret", 404, "openai"),
        ("GET", "/one/%2e%2e/secret", 404, "openai"),
    ],
)
async def test_errors_are_in_the_words_of_the_paths_dialect(tmp_path: Path, method: str, path: str, status: int, dialect: str) -> None:
    from yarl import URL

    async with Provider() as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        async with gateway.http.request(method, URL(gateway.url + path, encoded=True)) as response:
            body = await response.json()
            assert response.status == status
            assert response.headers["x-edgegate-error-source"] == "client"
        assert origin.seen == []
        (line,) = gateway.lines()
    assert body["error"]["message"]
    assert ("type" in body) is (dialect == "anthropic")
    assert (line["status"], line["outcome"]) == (status, "rejected")


async def test_a_fault_of_ours_is_a_500_without_details_and_a_line_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgegate.stages.route import Route

    def breaks(*_: Any) -> Any:
        raise ZeroDivisionError("inner words")

    monkeypatch.setattr(Route, "__call__", breaks)
    async with live({"providers": providers("http://127.0.0.1:9")}, tmp_path) as gateway:
        status, body, head = await gateway.post(body=CHAT | {"messages": [{"role": "user", "content": "THE PROMPT"}]})
        (fault,) = gateway.faults()
        assert (await gateway.get("/health"))[0] == 200
    assert (status, head["x-edgegate-error-source"]) == (500, "gateway")
    assert b"inner words" not in body
    assert "inner words" in fault["exception"]
    assert "THE PROMPT" not in str(fault)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/v1/models", ""), ("/models/", ""), ("/v1/models/a", "a"), ("/v1/models/a%2Fb", "a/b"), ("/v1/modelsx", None), ("/v1", None)],
)
def test_paths_of_model_lists(path: str, expected: str | None) -> None:
    listing = Surfaces().listing("GET", path, {})
    assert (None if listing is None else listing.model) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/p/v1/files", ("p", "/v1/files")),
        ("/p/", ("p", "/")),
        ("/p", None),
        ("/q/x", None),
        ("/p/a/../b", None),
        ("/p/a/./b", None),
        ("/p/..", None),
        ("/p/%2E%2e/x", None),
        ("/p/a%2f..%2fb", None),
        ("/p/a\\..\\b", None),
        ("/p/a..b/...", ("p", "/a..b/...")),
        ("/p//x", ("p", "//x")),
    ],
)
def test_paths_that_are_relayed(path: str, expected: tuple[str, str] | None) -> None:
    assert relayed(path, {"p": 1}) == expected


@pytest.mark.parametrize(
    "target", ["/one/v1/fil\xc3\xa9s", "/one/v1/x?q=\xc3\xa9", "/one/v1/\xff", "/v1/\xff"], ids=["path", "query", "no utf-8", "no surface"]
)
async def test_a_target_that_is_no_ascii_is_passed_as_it_is_or_refused(tmp_path: Path, target: str) -> None:
    async with Provider(reply(b"{}")) as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode("latin-1"))
        status = int((await asyncio.wait_for(reader.read(), 3)).split(b" ")[1])
        writer.close()
        assert not gateway.faults()
        assert status in (200, 400, 404)
        assert len(gateway.lines()) == (status != 400) or status == 400
        if status == 200:
            assert origin.seen[0].path.encode("latin-1") == target.removeprefix("/one").encode("latin-1")


async def test_a_user_name_that_is_no_utf8_ends_no_exchange_badly(tmp_path: Path) -> None:
    chain: list[Any] = [{"auth": {"user_id": True}}, *CHAIN[1:]]
    server = {"listen": "127.0.0.1:0", "trusted_proxies": ["127.0.0.0/8"]}
    async with Provider() as origin, live({"providers": providers(origin.url), "chain": chain, "server": server}, tmp_path) as gateway:
        body = json.dumps(CHAT).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        for _ in range(2):
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nx-user-id: \xff\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
        assert len(gateway.lines()) == 2


# -- trust


async def test_a_caller_whose_address_is_gone_is_not_taken_for_one_on_a_unix_socket(tmp_path: Path) -> None:
    """A client that resets its connection right after its request has no peer name any more; its X-User-ID is not to be believed."""
    chain: list[Any] = [{"auth": {"user_id": True}}, *CHAIN[1:]]
    server = {"listen": "127.0.0.1:0", "trusted_proxies": ["10.0.0.0/8"]}
    keys = [{"name": "k", "key": "gw-key-gw-key-gw"}]
    config = {"chain": chain, "server": server, "keys": keys}
    async with Provider() as origin, live(config | {"providers": providers(origin.url)}, tmp_path) as gateway:
        await gateway.post(headers={"x-api-key": "gw-key-gw-key-gw"})  # leaves a connection that the next call takes at once
        body = json.dumps(CHAT).encode()
        request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nx-user-id: admin\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        for _ in range(5):  # before the loop can accept: it is busy here
            with socket.socket() as client:
                client.connect(("127.0.0.1", gateway.port))
                client.sendall(request)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.3)
        believed = [line for line in gateway.lines() if line.get("user") == "admin"]
        assert (len(origin.seen), believed) == (1, [])


# -- load and the end


async def test_too_many_at_once_are_refused_and_counted(tmp_path: Path) -> None:
    config = {"server": {"listen": "127.0.0.1:0", "max_in_flight": 2}}
    async with Provider(hang) as origin, live(config | {"providers": providers(origin.url)}, tmp_path) as gateway:
        running = [asyncio.ensure_future(gateway.post()) for _ in range(2)]
        await until(lambda: len(origin.seen) == 2)
        status, body, head = await gateway.post("/v1/messages", MESSAGES)
        assert (status, head["retry-after"]) == (503, "1")
        said = json.loads(body)
        assert (await gateway.get("/health"))[0] == 200
        refused = [line for line in gateway.lines() if line["status"] == 503]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await until(lambda: gateway.gateway.gate.in_flight == 0)
    assert len(refused) == 1, "an operator must see what was shed"
    assert said.get("type") == "error", "the words are those of the path's dialect"


async def test_a_draining_gateway_refuses_finishes_and_ends_the_rest_in_their_words(tmp_path: Path) -> None:
    config = {"server": {"listen": "127.0.0.1:0", "drain": "300ms"}}
    async with Provider(drip, hang) as origin, live(config | {"providers": providers(origin.url)}, tmp_path) as gateway:
        stream = asyncio.ensure_future(gateway.post(body=CHAT | {"stream": True}))
        await until(lambda: len(origin.seen) == 1)
        plain = asyncio.ensure_future(gateway.post())
        await until(lambda: len(origin.seen) == 2)
        draining = asyncio.ensure_future(gateway.gateway.drain())
        await asyncio.sleep(0.05)
        assert (await gateway.get("/ready"))[0] == 503
        assert (await gateway.get("/health"))[0] == 200
        status, _, head = await gateway.post()
        assert (status, head["connection"]) == (503, "close")
        await draining
        (stream_status, streamed, _), (plain_status, _, _) = await asyncio.gather(stream, plain)
        lines = gateway.lines()
    assert (stream_status, plain_status) == (200, 503)
    assert streamed.count(b'"error"') == 1
    assert b"[DONE]" not in streamed
    assert [line["outcome"] for line in lines if line["attempts"]] == ["drained", "drained"]


async def test_everything_is_given_back_at_the_end(tmp_path: Path) -> None:
    before = len(asyncio.all_tasks())
    async with Provider(reply(b"{}", 500), reply(b"{}")) as origin:
        async with live({"providers": providers(origin.url)}, tmp_path) as gateway:
            for _ in range(5):
                await gateway.post()
                await gateway.get("/one/v1/x")
            deadlines = gateway.gateway.deadlines
        await until(lambda: origin.open == 0)
        assert len(deadlines) == 0
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) == before


async def test_a_client_that_leaves_a_plain_call_ends_it_at_the_provider(tmp_path: Path) -> None:
    async with Provider(hang) as origin, live({"providers": providers(origin.url)}, tmp_path) as gateway:
        task = asyncio.ensure_future(gateway.post())
        await until(lambda: len(origin.seen) == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: origin.open == 0, 1)
        await until(lambda: len(gateway.lines()) == 1)
        (line,) = gateway.lines()
        assert (line["outcome"], line["attempt_outcome"]) == ("client_gone", "client_gone")
        assert gateway.gateway.gate.in_flight == 0


async def test_the_end_closes_the_clients_of_every_socket(tmp_path: Path) -> None:
    """`:8080` opens one socket for IPv4 and one for IPv6; the clients of both must see the end."""
    async with live({"providers": providers("http://127.0.0.1:9")}, tmp_path) as first:
        other = await asyncio.get_running_loop().create_server(first.gateway.listener(), "127.0.0.1", 0)
        ports = [first.port, other.sockets[0].getsockname()[1]]
        clients = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
        for reader, writer in clients:
            writer.write(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        other.close()
        await first.gateway.close_clients(0.1)
        for reader, writer in clients:
            async with asyncio.timeout(2):
                assert (await reader.read()).endswith(b"}")  # the rest of the answer, then the end
            writer.close()
