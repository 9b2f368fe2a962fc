"""The relay: framing, the order of taps, one ending, and what a slow or vanished client costs."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from edgegate.errors import GatewayError
from edgegate.server.relay import JOIN_BELOW, Relay, end_taps
from edgegate.taps import Outcome
from tests.unit.core.parts import CHAT, STREAM, Provider, chunk, completion, exchange, live, providers, reply, until

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CUT = GatewayError(502, "upstream_cut", "cut")


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.out = b""
        self.writes = 0
        self.ended = ""

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.out += data
        self.writes += 1

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Connection:
    def __init__(self) -> None:
        self.relay: Any = None
        self.writing_paused = False
        self._loop = asyncio.get_running_loop()


class Body:
    def __init__(self) -> None:
        self.sink: Any = None
        self.calls: list[str] = []

    def attach(self, sink: Any) -> None:
        self.sink = sink

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.calls.append("abort")


class Mark:
    """A tap that marks what passes and holds a last word."""

    def __init__(self, name: bytes, ends: list[tuple[bytes, Outcome]]) -> None:
        self._name, self._ends = name, ends

    def feed(self, data: bytes) -> bytes:
        return data + self._name

    def end(self, outcome: Outcome) -> bytes:
        self._ends.append((self._name, outcome))
        return self._name.upper()


class Desk:
    """A relay and all around it."""

    def __init__(
        self,
        *,
        chunked: bool = True,
        head_only: bool = False,
        event: bool = True,
        taps: Any = None,
        body: Body | None = None,
    ) -> None:
        self.ex, self.connection, self.transport, self.body = exchange(), Connection(), Transport(), body or Body()
        self.relay = Relay(
            self.ex,
            self.connection,  # type: ignore[arg-type]
            self.transport,  # type: ignore[arg-type]
            self.body,
            taps or [],
            HEAD,
            chunked=chunked,
            head_only=head_only,
            error_event=(lambda error: b"event: %b\n\n" % error.code.encode()) if event else None,
            done=asyncio.get_running_loop().create_future(),
            task=asyncio.current_task(),  # type: ignore[arg-type]
        )
        self.relay.start()


async def test_a_chunked_reply_is_framed_and_ended() -> None:
    desk = Desk()
    desk.relay.push(b"hello")
    desk.relay.finish(Outcome.OK, None)
    assert desk.transport.out == HEAD + b"5\r\nhello\r\n" + b"0\r\n\r\n"
    assert desk.relay.done.done()
    assert (desk.connection.relay, desk.ex.bytes_out, desk.transport.ended) == (None, 5, "")


async def test_a_reply_of_known_length_is_written_as_it_is() -> None:
    desk = Desk(chunked=False)
    desk.relay.push(b"hello")
    desk.relay.finish(Outcome.OK, None)
    assert desk.transport.out == HEAD + b"hello"


async def test_large_chunks_are_framed_alike() -> None:
    desk = Desk()
    data = b"x" * (JOIN_BELOW + 1)
    desk.relay.push(data)
    desk.relay.finish(Outcome.OK, None)
    assert desk.transport.out == HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


async def test_the_head_goes_out_even_if_nothing_follows() -> None:
    desk = Desk()
    assert desk.transport.out == HEAD
    desk.relay.finish(Outcome.OK, None)
    assert desk.transport.out == HEAD + b"0\r\n\r\n"


async def test_what_was_held_goes_out_with_the_head_in_one_write() -> None:
    class Held(Body):
        def attach(self, sink: Any) -> None:
            sink.push(b"held")
            sink.finish(Outcome.OK, None)

    desk = Desk(body=Held())
    assert desk.transport.out == HEAD + b"4\r\nheld\r\n0\r\n\r\n"
    assert desk.transport.writes <= 2


async def test_an_answer_to_head_has_no_body_in_either_framing() -> None:
    desk = Desk(chunked=False, head_only=True)
    desk.relay.push(b"hello")
    desk.relay.finish(Outcome.OK, None)
    assert desk.transport.out == HEAD
    assert desk.ex.bytes_out == 0


async def test_taps_run_in_order_and_what_one_held_runs_through_those_after_it() -> None:
    ends: list[tuple[bytes, Outcome]] = []
    desk = Desk(chunked=False, taps=[Mark(b"a", ends), Mark(b"b", ends)])
    desk.relay.push(b"1")
    desk.relay.push(b"2")
    desk.relay.finish(Outcome.OK, None)
    assert desk.transport.out == HEAD + b"1ab" + b"2ab" + b"AbB"
    assert ends == [(b"a", Outcome.OK), (b"b", Outcome.OK)]


async def test_a_tap_that_needs_more_holds_back_the_taps_after_it() -> None:
    class Waits(Mark):
        def feed(self, data: bytes) -> bytes:
            return b""

    ends: list[tuple[bytes, Outcome]] = []
    desk = Desk(chunked=False, taps=[Waits(b"a", ends), Mark(b"b", ends)])
    desk.relay.push(b"1")
    assert desk.transport.out == HEAD


def test_ending_no_taps_is_nothing() -> None:
    assert end_taps([], Outcome.OK) == b""


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "http/1.0"])
async def test_an_error_becomes_one_event_behind_whole_events(chunked: bool) -> None:
    desk = Desk(chunked=chunked)
    desk.relay.push(b"data\n\n")
    desk.relay.finish(Outcome.UPSTREAM_BROKE, CUT)
    desk.relay.finish(Outcome.OK, None)
    desk.relay.cut(CUT)
    assert desk.transport.out.count(b"event: upstream_cut") == 1
    assert desk.transport.out.endswith(b"0\r\n\r\n" if chunked else b"event: upstream_cut\n\n")
    assert (desk.relay.outcome, desk.relay.error) == (Outcome.UPSTREAM_BROKE, CUT)


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "of known length"])
async def test_a_format_without_error_events_ends_in_a_cut_connection(chunked: bool) -> None:
    desk = Desk(chunked=chunked, event=False)
    desk.relay.push(b"half")
    desk.relay.finish(Outcome.UPSTREAM_BROKE, CUT)
    assert not desk.transport.out.endswith(b"0\r\n\r\n")
    assert desk.transport.ended
    assert desk.relay.done.done()


async def test_a_slow_client_pauses_the_provider_and_a_reading_one_resumes_it() -> None:
    desk = Desk()
    desk.relay.pause()
    assert desk.body.calls == ["pause"]
    desk.relay.resume()
    assert desk.body.calls == ["pause", "resume"]


async def test_after_the_end_nothing_reaches_the_body_any_more() -> None:
    desk = Desk()
    desk.relay.finish(Outcome.OK, None)
    desk.relay.pause()
    desk.relay.resume()
    desk.relay.abandon(Outcome.CLIENT_GONE)
    assert desk.body.calls == []
    assert desk.relay.outcome is Outcome.OK


async def test_a_client_that_left_ends_the_body_and_the_taps_once() -> None:
    ends: list[tuple[bytes, Outcome]] = []
    desk = Desk(taps=[Mark(b"a", ends)])
    desk.relay.abandon(Outcome.CLIENT_GONE)
    desk.relay.abandon(Outcome.CLIENT_GONE)
    desk.relay.finish(Outcome.OK, None)
    assert desk.body.calls == ["abort"]
    assert ends == [(b"a", Outcome.CLIENT_GONE)]
    assert desk.transport.out == HEAD


async def test_the_gateways_own_cut_is_an_event_and_an_outcome_of_its_own() -> None:
    desk = Desk()
    desk.relay.cut(GatewayError(503, "draining", "bye"))
    assert desk.body.calls == ["abort"]
    assert desk.transport.out.endswith(b"event: draining\n\n\r\n0\r\n\r\n")
    assert desk.relay.outcome is Outcome.DRAINED


# -- through the gateway


async def test_http_1_0_clients_get_an_unframed_stream_that_ends_with_the_connection(tmp_path: Path) -> None:
    body = json.dumps(CHAT | {"stream": True, "stream_options": {"include_usage": True}}).encode()
    async with (
        Provider(reply(STREAM, content_type="text/event-stream")) as origin,
        live({"providers": providers(origin.url)}, tmp_path) as at,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.0\r\nhost: h\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        head, _, rest = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        writer.close()
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert rest == STREAM


async def test_a_relayed_head_has_the_length_and_no_body_and_the_connection_goes_on(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1234\r\n\r\n"
    async with Provider(answer) as origin, live({"providers": providers(origin.url)}, tmp_path) as at:
        for _ in range(2):
            async with at.http.head(f"{at.url}/one/v1/files/f") as response:
                assert (response.status, response.headers["content-length"]) == (200, "1234")
                assert await response.read() == b""


async def test_a_relayed_file_comes_back_byte_for_byte_with_its_length(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    async with Provider(reply(data, content_type="application/octet-stream")) as origin:
        async with live({"providers": providers(origin.url)}, tmp_path) as at:
            status, got, head = await at.get("/one/v1/files/f/content?x=1")
            assert (status, got, head["content-length"]) == (200, data, str(len(data)))
        assert origin.seen[0].path == "/v1/files/f/content?x=1"
        assert origin.seen[0].all("authorization") == ["Bearer provider-secret-one"]


async def test_a_relayed_reply_without_a_length_is_chunked_and_a_cut_one_is_not_whole(tmp_path: Path) -> None:
    async def cut(seen: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.close()

    async with Provider(cut) as origin, live({"providers": providers(origin.url)}, tmp_path) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(b"GET /one/v1/x HTTP/1.1\r\nhost: h\r\n\r\n")
        got = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert b"transfer-encoding: chunked" in got
    assert b"hello" in got
    assert not got.endswith(b"0\r\n\r\n")


async def test_a_provider_is_asked_again_after_a_slow_client_got_a_large_file(tmp_path: Path) -> None:
    """The end of the file meets a full buffer. The connection goes back into the pool and must be read again."""

    async def in_two(seen: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 200001\r\n\r\nx")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b"x" * 200_000)
        await writer.drain()

    async with Provider(in_two, reply(b"next")) as origin, live({"providers": providers(origin.url, max_connections=1)}, tmp_path) as at:
        at.server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, ("127.0.0.1", at.port))
            await loop.sock_sendall(slow, b"GET /one/v1/x HTTP/1.1\r\nhost: h\r\n\r\n")
            await asyncio.sleep(0.3)
            got = b""
            while len(got.partition(b"\r\n\r\n")[2]) < 200_001:
                got += await asyncio.wait_for(loop.sock_recv(slow, 1 << 16), 5)
        status, body, _ = await asyncio.wait_for(at.get("/one/v1/y"), 3)
    assert (status, body) == (200, b"next")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/one/v1/files"], ids=["plain", "relayed"])
async def test_a_client_that_never_reads_its_reply_is_dropped(tmp_path: Path, path: str) -> None:
    """Also when all of the reply is written already and only waits to be sent: it is the gateway's memory."""
    body = completion("x" * 6_000_000)
    config = {"providers": {}, "server": {"listen": "127.0.0.1:0", "write_timeout": "300ms", "keepalive": "500ms"}}
    async with Provider(reply(body)) as origin, live(config | {"providers": providers(origin.url)}, tmp_path) as at:
        at.server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with socket.socket() as asleep:
            asleep.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asleep.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(asleep, ("127.0.0.1", at.port))
            ask = json.dumps(CHAT).encode()
            await loop.sock_sendall(asleep, b"POST %b HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(ask), ask))
            listener = at.gateway._listener
            assert listener is not None
            await until(lambda: len(listener.connections) == 1)
            await until(lambda: len(listener.connections) == 0, 3)


async def test_a_client_that_leaves_a_stream_ends_it_at_the_provider_and_in_the_log(tmp_path: Path) -> None:
    async def endless(seen: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not writer.is_closing():
            writer.write(chunk("a"))
            await writer.drain()
            await asyncio.sleep(0.01)

    body = json.dumps(CHAT | {"stream": True}).encode()
    async with Provider(endless) as origin, live({"providers": providers(origin.url)}, tmp_path) as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.readuntil(b"\n\n")
        writer.transport.abort()
        await until(lambda: origin.open == 0, 1)
        await until(lambda: len(at.lines()) == 1)
        (line,) = at.lines()
        assert (line["outcome"], line["attempt_outcome"], line["status"]) == ("client_gone", "client_gone", 200)
        assert at.gateway.gate.in_flight == 0
        assert len(at.gateway.gate.relays) == 0
