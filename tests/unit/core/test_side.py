"""Side calls: small HTTP requests beside the traffic, bounded in time and size, that never show an address's credentials."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from edgegate.upstream.side import Side, SideError, shown
from tests.unit.core.parts import Provider, Seen, never, reply, until


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    side = Side()
    yield side
    await side.close()


async def test_get_returns_the_body_of_a_200_answer(side: Side) -> None:
    async with Provider(reply(b'{"keys": []}')) as provider:
        assert await side.get(f"{provider.url}/jwks?x=1", limit=12, timeout_s=5) == b'{"keys": []}'
    assert (provider.seen[0].method, provider.seen[0].path) == ("GET", "/jwks?x=1")
    assert provider.seen[0].all("accept-encoding") == ["identity"]


async def test_calls_share_a_connection(side: Side) -> None:
    async with Provider(reply(b"1")) as provider:
        for _ in range(3):
            await side.get(provider.url, limit=10, timeout_s=5)
    assert provider.connections == 1


async def test_post_sends_body_and_headers_and_tells_the_status(side: Side) -> None:
    async with Provider(reply(b"busy", 503)) as provider:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer t"}
        assert await side.post(f"{provider.url}/hook", b'{"a": 1}', headers, timeout_s=5) == 503
    seen = provider.seen[0]
    assert (seen.method, seen.path, seen.json) == ("POST", "/hook", {"a": 1})
    assert seen.all("content-type") == ["application/json"]
    assert seen.all("authorization") == ["Bearer t"]


@pytest.mark.parametrize("status", [204, 301, 404, 500])
async def test_anything_but_200_is_an_error_of_get(side: Side, status: int) -> None:
    async with Provider(reply(b"", status, location="http://127.0.0.1:1/elsewhere")) as provider:
        with pytest.raises(SideError, match=f"answered with status {status}$"):
            await side.get(provider.url, limit=10, timeout_s=5)
        assert len(provider.seen) == 1


async def test_a_body_beyond_the_limit_is_not_read_to_its_end(side: Side) -> None:
    async def endless(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)

    async with Provider(endless) as provider:
        with pytest.raises(SideError, match=r"answered with more than 100000 bytes$"):
            await side.get(provider.url, limit=100_000, timeout_s=5)
        await until(lambda: provider.open == 0)


async def test_the_deadline_holds_for_the_head(side: Side) -> None:
    async with Provider(never) as provider:
        started = time.monotonic()
        with pytest.raises(SideError, match=r"did not answer within 0\.1 s$"):
            await side.post(provider.url, b"", {}, timeout_s=0.1)
        assert time.monotonic() - started < 2
        await until(lambda: provider.open == 0)


async def test_the_deadline_holds_for_a_body_that_trickles_in(side: Side) -> None:
    async def trickle(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with Provider(trickle) as provider:
        with pytest.raises(SideError, match="did not answer within"):
            await side.get(provider.url, limit=10_000, timeout_s=0.2)


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"], ids=["none", "no HTTP", "cut off"]
)
async def test_an_answer_that_breaks_off_is_an_error(side: Side, answer: bytes) -> None:
    async def write(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with Provider(write) as provider:
        with pytest.raises(SideError, match="cannot be reached"):
            await side.get(provider.url, limit=100, timeout_s=5)


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host/x", "http://", "http://[::1", "http://127.0.0.1:1/x", "http://h:99999/"])
async def test_an_address_that_cannot_be_used_is_an_error(side: Side, url: str) -> None:
    with pytest.raises(SideError):
        await side.get(url, limit=10, timeout_s=5)


async def test_a_header_that_cannot_be_sent_is_an_error(side: Side) -> None:
    async with Provider() as provider:
        with pytest.raises(SideError):
            await side.post(provider.url, b"", {"X": "a\r\nb"}, timeout_s=5)
        assert provider.seen == []


async def test_neither_proxies_of_the_environment_nor_cookies_are_used(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with Provider(reply(b"1", set_cookie="a=b")) as provider:
        url = f"http://localhost:{provider.port}/"
        await side.get(url, limit=10, timeout_s=5)
        await side.get(url, limit=10, timeout_s=5)
    assert provider.seen[1].header("cookie") is None


@pytest.mark.parametrize("status", [200, 500])
async def test_messages_show_no_credentials(side: Side, status: int) -> None:
    async with Provider(reply(b"too long", status)) as provider:
        secret = f"http://user:hunter2@127.0.0.1:{provider.port}/services/T0/hunter2?token=hunter2"
        with pytest.raises(SideError) as failed:
            await side.get(secret, limit=3, timeout_s=5)
    assert "hunter2" not in str(failed.value)
    assert str(failed.value).startswith(f"http://127.0.0.1:{provider.port} ")
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://u:p@example.com:8443/a?b", "https://example.com:8443"),
        ("https://example.com/services/secret", "https://example.com"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("secret", "the address"),
        ("http://h:port/", "the address"),
    ],
)
def test_an_address_is_shown_by_its_host(url: str, text: str) -> None:
    assert shown(url) == text


async def test_close_ends_running_calls_and_refuses_further_ones() -> None:
    side = Side()
    async with Provider(never) as provider:
        running = asyncio.create_task(side.get(provider.url, limit=10, timeout_s=30))
        await until(lambda: len(provider.seen) == 1)
        await side.close()
        with pytest.raises(SideError):
            await asyncio.wait_for(running, 5)
        with pytest.raises(SideError, match="closing"):
            await side.get(provider.url, limit=10, timeout_s=5)
    await side.close()


async def test_a_side_that_was_never_used_closes() -> None:
    await Side().close()
