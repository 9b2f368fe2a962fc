"""A call: what it holds, when it stops reading, how it ends in each phase, and what is left of its connection."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.upstream import call as call_module
from edgegate.upstream.call import HELD_BYTES, Answer, Call, Kind, Limits
from edgegate.upstream.deadlines import Deadlines
from edgegate.upstream.origin import Origin, Upstream
from tests.unit.core.parts import CHAT, DONE, STREAM, Provider, Sink, chunk, completion, reply, sse, until

SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Bench:
    """One call to one provider."""

    def __init__(self, upstream: Upstream, deadlines: Deadlines) -> None:
        self.upstream, self.deadlines = upstream, deadlines

    def call(self, kind: Kind, **limits: float) -> Call:
        chosen: dict[str, Any] = {"connect_s": 1, "first_token_s": 2, "idle_s": 2, "total_s": 5, "max_reply": 1 << 20} | limits
        progress = self.progress = Progress()
        side = OpenAIProvider()
        tap = side.watch("openai.chat", Ask(CHAT, "gpt-4o", True, "id", 1, True), progress) if kind is Kind.STREAM else None
        return Call(asyncio.get_running_loop(), self.deadlines, Limits(**chosen), kind, progress, tap)

    async def fetch(self, call: Call) -> Answer:
        return await self.upstream.fetch(call, self.upstream.head(b"POST", b"/x", [], 0), b"", 1)

    async def refused(self, call: Call) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.fetch(call)
        assert len(self.deadlines) == 0
        return caught.value


@asynccontextmanager
async def bench(*answers: Any) -> AsyncIterator[tuple[Bench, Provider]]:
    async with Provider(*answers) as origin:
        loop = asyncio.get_running_loop()
        upstream = Upstream(Origin.parse(origin.url), [[]], [], 5, "", loop)
        yield Bench(upstream, Deadlines(loop, 0.01)), origin


def sends(*pieces: bytes, pause_s: float = 0.01, then: str = "hang") -> Any:
    """An answer in pieces, each in a segment of its own, and then silence, or a close."""

    async def answer(seen: Any, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if then == "hang":
            await asyncio.sleep(30)
        elif then == "close":
            writer.close()

    return answer


# -- results


async def test_a_whole_reply_is_one_answer() -> None:
    async with bench(reply(completion())) as (at, _):
        call = at.call(Kind.WHOLE)
        answer = await at.fetch(call)
        assert (answer.status, answer.body) == (200, completion())
        assert call.first > 0
        assert len(at.deadlines) == 0
        assert at.upstream.pool.size == 1


async def test_a_compressed_reply_is_gathered_as_what_it_says() -> None:
    async with bench(reply(gzip.compress(completion()), content_encoding="gzip")) as (at, _):
        assert (await at.fetch(at.call(Kind.WHOLE))).body == completion()


async def test_a_bomb_is_refused() -> None:
    async with bench(reply(gzip.compress(b"0" * (4 << 20)), content_encoding="gzip")) as (at, _):
        error = await at.refused(at.call(Kind.WHOLE))
        assert (error.status, error.code) == (502, "bad_reply")


@pytest.mark.parametrize("said", [True, False], ids=["announced", "found out"])
async def test_a_reply_beyond_the_limit_is_refused_and_not_tried_again(said: bool) -> None:
    body = b"x" * 5000
    data = reply(body) if said else b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed(body) + b"0\r\n\r\n"
    async with bench(data) as (at, _):
        error = await at.refused(at.call(Kind.WHOLE, max_reply=4999))
        assert (error.code, error.retryable) == ("reply_too_large", False)
        await until(lambda: at.upstream.pool.size == 0)


async def test_a_stream_is_ready_at_its_first_meaningful_event() -> None:
    role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    async with bench(sends(SSE_HEAD + framed(role), framed(b": ping\n\n"), framed(chunk("a")), pause_s=0.1)) as (at, _):
        call = at.call(Kind.STREAM)
        ready = asyncio.ensure_future(at.fetch(call))
        await asyncio.sleep(0.15)
        assert not ready.done()
        answer = await ready
        sink = Sink()
        assert answer.body is call
        call.attach(sink)
        assert sink.data == role + chunk("a") or sink.data == role + b": ping\n\n" + chunk("a")
        call.abort()


async def test_a_stream_that_ended_before_anybody_took_it_is_pushed_with_its_end() -> None:
    async with bench(sse(STREAM)) as (at, _):
        call = at.call(Kind.STREAM)
        await at.fetch(call)
        await until(lambda: at.upstream.pool.size == 1 and len(at.deadlines) == 0)
        sink = Sink()
        call.attach(sink)
        assert (sink.data, sink.ends) == (STREAM, [(Outcome.OK, None)])


async def test_a_stream_cut_before_anybody_took_it_tells_so_after_what_it_held() -> None:
    async with bench(sends(SSE_HEAD + framed(chunk("a")), then="close")) as (at, _):
        call = at.call(Kind.STREAM)
        await at.fetch(call)
        await until(lambda: at.upstream.pool.size == 0)
        sink = Sink()
        call.attach(sink)
        assert sink.data == chunk("a")
        ((outcome, error),) = sink.ends
        assert outcome is Outcome.UPSTREAM_BROKE
        assert error is not None
        assert error.code == "upstream_cut"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (sse(b""), "empty_reply"),
        (sse(b": only a comment\n\n"), "empty_reply"),
        (sse(b'data: {"error":{"message":"m","type":"server_error"}}\n\n'), None),
        (sse(DONE), "incomplete_reply"),
    ],
    ids=["empty", "comment", "error", "done"],
)
async def test_a_stream_that_ends_before_its_answer_is_an_ordinary_failure(answer: bytes, code: str | None) -> None:
    async with bench(answer) as (at, _):
        error = await at.refused(at.call(Kind.STREAM))
        assert error.status >= 500
        assert error.retryable
        assert code is None or error.code == code


async def test_a_json_reply_to_a_stream_is_gathered() -> None:
    async with bench(reply(b'{"error": 1}', 200)) as (at, _):
        assert (await at.fetch(at.call(Kind.STREAM))).body == b'{"error": 1}'


async def test_an_error_status_of_a_stream_is_gathered() -> None:
    async with bench(reply(b"data: no\n\n", 429, "text/event-stream")) as (at, _):
        answer = await at.fetch(at.call(Kind.STREAM))
        assert (answer.status, answer.body) == (429, b"data: no\n\n")


async def test_a_stream_without_its_terminal_line_is_whole_if_its_finish_reason_came() -> None:
    async with bench(sends(SSE_HEAD + framed(chunk("a") + chunk(finish="stop")), then="close")) as (at, _):
        call = at.call(Kind.STREAM)
        sink = Sink()
        await at.fetch(call)
        call.attach(sink)
        await until(lambda: bool(sink.ends))
        assert sink.ends == [(Outcome.OK, None)]


# -- holding and pausing


async def test_what_means_nothing_is_not_held_without_end() -> None:
    noise = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}\n\n'
    async with bench(sends(SSE_HEAD, framed(noise * (2 * HELD_BYTES // len(noise))))) as (at, _):
        error = await at.refused(at.call(Kind.STREAM))
        assert (error.status, error.code) == (502, "bad_reply")


async def test_a_raw_reply_that_nobody_takes_stops_being_read() -> None:
    async def floods(seen: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
        await asyncio.sleep(30)

    async with bench(floods) as (at, _):
        call = at.call(Kind.RAW)
        answer = await at.fetch(call)
        assert answer.length == 50_000_000
        await asyncio.sleep(0.2)
        assert HELD_BYTES <= call._held_size <= HELD_BYTES + (1 << 20)
        sink = Sink()
        call.attach(sink)
        await until(lambda: bool(sink.ends), 10)
        assert len(sink.data) == 50_000_000
        assert sink.ends == [(Outcome.OK, None)]


async def test_a_paused_call_pushes_nothing_until_it_is_resumed() -> None:
    async with bench(
        sends(SSE_HEAD, framed(chunk("a")), framed(chunk("b")), framed(chunk("c") + chunk(finish="stop")), b"0\r\n\r\n", pause_s=0.05)
    ) as (
        at,
        _,
    ):
        call = at.call(Kind.STREAM)
        await at.fetch(call)
        sink = Sink()
        call.attach(sink)
        call.pause()
        call.pause()
        before = sink.data
        await asyncio.sleep(0.25)
        assert sink.data == before
        call.resume()
        call.resume()
        await until(lambda: bool(sink.ends))
        assert sink.data == chunk("a") + chunk("b") + chunk("c") + chunk(finish="stop") + b"data: [DONE]\n\n"


class Pausing(Sink):
    """A sink whose client is slow: it pauses the call with every push, as the relay does when the client's buffer is full."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def push(self, data: bytes) -> None:
        super().push(data)
        self._call.pause()


@pytest.mark.parametrize("kind", [Kind.RAW, Kind.STREAM], ids=["raw", "stream"])
async def test_a_connection_whose_last_bytes_met_a_slow_client_serves_the_next_call(kind: Kind) -> None:
    """The last read completes the reply and fills the client's buffer at once: the pause must not stay with the connection."""
    first, last = (chunk("a"), chunk("b") + chunk(finish="stop")) if kind is Kind.STREAM else (b"a", b"b")
    media = b"text/event-stream" if kind is Kind.STREAM else b"text/plain"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (media, len(first + last))
    async with bench(sends(head + first, last, pause_s=0.1, then="go on"), reply(b"next")) as (at, _):
        call = at.call(kind)
        await at.fetch(call)
        sink = Pausing(call)
        call.attach(sink)
        call.resume()
        await until(lambda: bool(sink.ends))
        call.resume()
        assert at.upstream.pool.size == 1
        answer = await asyncio.wait_for(at.fetch(at.call(Kind.WHOLE)), 1)
        assert answer.body == b"next"


async def test_ending_a_call_whose_reply_is_complete_leaves_its_connection_to_the_next() -> None:
    """A client leaves just when its whole answer has arrived and another call already has the connection."""

    async with bench(reply(b"first"), sends(reply(b"second")[:-3], b"ond", pause_s=0.1)) as (at, origin):
        call = at.call(Kind.WHOLE)
        await at.fetch(call)
        other = asyncio.ensure_future(at.fetch(at.call(Kind.WHOLE)))
        await until(lambda: len(origin.seen) == 2)
        assert origin.connections == 1
        call.abort()
        answer = await asyncio.wait_for(other, 1)
        assert answer.body == b"second"


async def test_cancelling_a_caller_whose_reply_has_just_come_leaves_the_next_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through `fetch`: at the limit of connections, a waiting call gets the connection in the very turn in which the
    reply came, before the first caller runs again; that caller's client has left meanwhile."""
    loop = asyncio.get_running_loop()
    async with Provider(
        sends(b"", reply(b"first"), pause_s=0.05, then="go on"), sends(reply(b"second")[:-3], b"ond", pause_s=0.1)
    ) as origin:
        upstream = Upstream(Origin.parse(origin.url), [[]], [], 1, "", loop)
        at = Bench(upstream, Deadlines(loop, 0.01))
        one = at.call(Kind.WHOLE)
        first = asyncio.ensure_future(at.fetch(one))
        await until(lambda: len(origin.seen) == 1)
        second = asyncio.ensure_future(at.fetch(at.call(Kind.WHOLE)))
        await asyncio.sleep(0)
        real = Call.on_complete

        def then_the_client_leaves(call: Call) -> None:
            real(call)
            if call is one:
                first.cancel()

        monkeypatch.setattr(Call, "on_complete", then_the_client_leaves)
        answer = await asyncio.wait_for(second, 2)
        assert answer.body == b"second"
        assert origin.connections == 1


# -- time limits


async def test_a_plain_reply_has_its_total_limit_only() -> None:
    async with bench(sends(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", b"x", b"x", pause_s=0.05)) as (at, _):
        error = await at.refused(at.call(Kind.WHOLE, total_s=0.3, idle_s=0.02, first_token_s=0.02))
        assert (error.status, error.code) == (504, "total_timeout")
        await until(lambda: at.upstream.pool.size == 0)


async def test_a_stream_that_says_nothing_meaningful_ends_at_its_first_limit() -> None:
    pings = [framed(b": ping\n\n")] * 20
    async with bench(sends(SSE_HEAD, *pings, pause_s=0.05)) as (at, _):
        error = await at.refused(at.call(Kind.STREAM, first_token_s=0.2))
        assert (error.status, error.code, error.retryable) == (504, "first_token_timeout", True)


async def test_a_stream_of_pings_ends_at_its_idle_limit() -> None:
    pings = [framed(b": ping\n\n")] * 40
    async with bench(sends(SSE_HEAD + framed(chunk("a")), *pings, pause_s=0.02)) as (at, _):
        call, sink = at.call(Kind.STREAM, idle_s=0.2), Sink()
        await at.fetch(call)
        call.attach(sink)
        await until(lambda: bool(sink.ends))
        ((outcome, error),) = sink.ends
        assert outcome is Outcome.TIMEOUT
        assert error is not None
        assert error.code == "idle_timeout"
        assert len(at.deadlines) == 0


async def test_a_stream_that_never_ends_ends_at_its_total_limit() -> None:
    async with bench(sends(SSE_HEAD, *[framed(chunk("a"))] * 100, pause_s=0.01)) as (at, _):
        call, sink = at.call(Kind.STREAM, total_s=0.3), Sink()
        await at.fetch(call)
        call.attach(sink)
        await until(lambda: bool(sink.ends))
        assert sink.ends[0][1] is not None
        assert sink.ends[0][1].code == "total_timeout"


async def test_a_raw_reply_ends_at_its_idle_limit() -> None:
    async with bench(sends(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")) as (at, _):
        call, sink = at.call(Kind.RAW, idle_s=0.1), Sink()
        await at.fetch(call)
        call.attach(sink)
        await until(lambda: bool(sink.ends))
        assert sink.ends[0][0] is Outcome.TIMEOUT


async def test_a_finished_stream_whose_connection_stays_open_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "AFTER_FINISH_S", 0.1)
    async with bench(sends(SSE_HEAD + framed(chunk("a") + chunk(finish="stop")))) as (at, _):
        call, sink = at.call(Kind.STREAM, idle_s=20, total_s=30), Sink()
        await at.fetch(call)
        call.attach(sink)
        await until(lambda: bool(sink.ends), 1)
        assert sink.ends == [(Outcome.OK, None)]
        assert sink.data == chunk("a") + chunk(finish="stop") + b"data: [DONE]\n\n"
        await until(lambda: at.upstream.pool.size == 0)


async def test_a_slow_client_is_not_the_providers_silence() -> None:
    async with bench(sends(SSE_HEAD + framed(chunk("a")), framed(chunk(finish="stop")), b"0\r\n\r\n")) as (at, _):
        call, sink = at.call(Kind.STREAM, idle_s=0.1), Sink()
        await at.fetch(call)
        call.attach(sink)
        call.pause()
        await asyncio.sleep(0.35)
        assert sink.ends == []
        call.resume()
        await until(lambda: bool(sink.ends))
        assert sink.ends == [(Outcome.OK, None)]


# -- ending it


async def test_an_aborted_call_closes_its_connection_and_says_nothing_more() -> None:
    async with bench(sends(SSE_HEAD, *[framed(chunk("a"))] * 50)) as (at, origin):
        call, sink = at.call(Kind.STREAM), Sink()
        await at.fetch(call)
        call.attach(sink)
        call.abort()
        call.abort()
        seen = sink.data
        await until(lambda: origin.open == 0)
        assert (sink.data, sink.ends) == (seen, [])
        assert len(at.deadlines) == 0
        assert at.upstream.pool.size == 0


async def test_a_failure_of_the_callers_own_ends_the_call() -> None:
    async with bench(sends(b"")) as (at, _):
        call = at.call(Kind.WHOLE)
        waiting = asyncio.ensure_future(at.fetch(call))
        await asyncio.sleep(0.05)
        call.fail(GatewayError(408, "body_timeout", "x"))
        with pytest.raises(GatewayError) as caught:
            await waiting
        assert caught.value.status == 408


@pytest.mark.parametrize("status", [204, 304])
async def test_a_reply_without_a_body_ends_at_its_head(status: int) -> None:
    async with bench(b"HTTP/1.1 %d X\r\n\r\n" % status) as (at, _):
        answer = await asyncio.wait_for(at.fetch(at.call(Kind.WHOLE)), 1)
        assert (answer.status, answer.body) == (status, b"")


async def test_a_body_that_ends_with_the_connection_is_whole() -> None:
    async with bench(sends(b"HTTP/1.1 200 OK\r\n\r\nall", b" of it", then="close")) as (at, _):
        assert (await at.fetch(at.call(Kind.WHOLE))).body == b"all of it"


async def test_informational_replies_are_passed_over() -> None:
    async with bench(b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + reply(b"real")) as (at, _):
        assert (await at.fetch(at.call(Kind.WHOLE))).body == b"real"
