"""Identical calls in flight share one call at the provider: same bytes for all, one account, nobody held up by another."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.config.stages import CoalesceOptions
from edgegate.errors import GatewayError
from edgegate.exchange import Reply
from edgegate.stages.coalesce import Coalesce
from edgegate.stages.flight import Flight, Seat
from edgegate.taps import Outcome
from tests.unit.core.parts import (
    CHAT,
    DONE,
    USAGE_CHUNK,
    Live,
    Provider,
    Sink,
    chunk,
    completion,
    exchange,
    live,
    providers,
    reply,
    until,
)
from tests.unit.core.test_drain_policy import SSE_HEAD, Script, framed, leave, plain_script, stream_script

STREAMED = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
WHOLE = chunk("hel") + chunk("lo") + chunk(finish="stop") + USAGE_CHUNK + DONE


def chain(policy: str = "cancel", *before: Any, **options: Any) -> list[Any]:
    return [
        "auth", *before, {"coalesce": options} if options else "coalesce", "route", {"failover": {"attempts": 1, "retries": 0}},
        "translate", {"forward": {"client_gone": policy}}, "meter",
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def served(answer: Any, tmp_path: Path, stages: list[Any] | None = None, **more: Any) -> AsyncIterator[tuple[Live, Provider]]:
    async with Provider(answer) as provider:
        async with live({"providers": providers(provider.url), "chain": stages or chain()} | more, tmp_path) as app:
            yield app, provider
            gate = app.gateway.gate
            await until(lambda: gate.in_flight == 0)
            stage = coalescing(app)
            await until(lambda: not stage.tasks and not stage._flights)
            assert app.faults() == []
        await until(lambda: provider.open == 0)


def coalescing(app: Live) -> Coalesce:
    (stage,) = [resource for resource in app.gateway._resources if isinstance(resource, Coalesce)]
    return stage


def aboard(app: Live) -> int:
    """Exchanges in the one flight there is."""
    return sum(len(flight._seats) for flight in coalescing(app)._flights.values())


def is_aboard(app: Live, number: int) -> bool:
    return aboard(app) == number


def accounts(app: Live) -> dict[str, float]:
    """What was counted in all."""
    metrics = app.gateway.metrics
    tokens = {key[2]: value for key, value in metrics.tokens.values.items()}
    return {"attempts": sum(metrics.attempts.values.values()), **tokens}


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_fifty_equal_calls_are_one_at_the_provider(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, tmp_path) as (app, provider):
        body = STREAMED if streamed else CHAT
        calls = [asyncio.create_task(app.post(body=body)) for _ in range(50)]
        await until(lambda: aboard(app) == 50)
        script.go_on.set()
        answers = await asyncio.gather(*calls)
        assert len(provider.seen) == 1
        assert {(status, body) for status, body, _ in answers} == {(200, WHOLE if streamed else completion())}
        assert sum("x-edgegate-coalesced" in headers for _, _, headers in answers) == 49
        assert {headers["x-edgegate-provider"] for _, _, headers in answers} == {"one"}
        await until(lambda: len(app.lines()) == 50)
        lines = app.lines()
        assert sorted(line["attempts"] for line in lines) == [0] * 49 + [1]
        assert sum(line.get("coalesced", False) for line in lines) == 49
        assert {line["outcome"] for line in lines} == {"ok"}
        assert accounts(app) == {"attempts": 1, "input": 7, "output": 3}


async def test_who_joins_late_gets_the_stream_from_its_beginning(tmp_path: Path) -> None:
    script = stream_script()
    async with served(script, tmp_path) as (app, provider):
        first = asyncio.create_task(app.post(body=STREAMED))
        await until(lambda: any(flight.total for flight in coalescing(app)._flights.values()))
        late = asyncio.create_task(app.post(body=STREAMED))
        await until(lambda: aboard(app) == 2)
        script.go_on.set()
        assert [body for _, body, _ in await asyncio.gather(first, late)] == [WHOLE, WHOLE]
        assert len(provider.seen) == 1


async def test_nobody_joins_a_stream_that_has_grown_too_long(tmp_path: Path) -> None:
    long = b"".join(chunk("x" * 900) for _ in range(4))
    script = Script(SSE_HEAD + framed(long), framed(chunk(finish="stop") + DONE) + b"0\r\n\r\n")
    async with served(script, tmp_path, chain(max_bytes=2048)) as (app, provider):
        first = asyncio.create_task(app.post(body=STREAMED))
        await until(lambda: any(flight.total > 2048 for flight in coalescing(app)._flights.values()))
        second = asyncio.create_task(app.post(body=STREAMED))
        await until(lambda: len(provider.seen) == 2)
        script.go_on.set()
        bodies = [body for _, body, _ in await asyncio.gather(first, second)]
        assert bodies[0] == bodies[1]
        await until(lambda: len(app.lines()) == 2)
        assert [line["attempts"] for line in app.lines()] == [1, 1]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (CHAT | {"temperature": 0.5}, {}),
        ({name: value for name, value in CHAT.items() if name != "temperature"}, {}),
        (CHAT, {"x-edgegate-coalesce": "false"}),
        (CHAT, {"cache-control": "no-store"}),
        (CHAT, {"cache-control": "no-cache"}),
        (CHAT, {"idempotency-key": "a"}),
    ],
    ids=["warm", "temperature left out", "refused", "no-store", "no-cache", "with an idempotency key"],
)
async def test_what_is_not_shared(body: Any, headers: dict[str, str], tmp_path: Path) -> None:
    script = plain_script()
    async with served(script, tmp_path) as (app, provider):
        calls = [asyncio.create_task(app.post(body=body, headers=headers)) for _ in range(2)]
        await until(lambda: len(provider.seen) == 2)
        script.go_on.set()
        for status, _, given_headers in await asyncio.gather(*calls):
            assert (status, "x-edgegate-coalesced" in given_headers) == (200, False)


async def test_another_tenant_shares_nothing(tmp_path: Path) -> None:
    script = plain_script()
    keys = [{"name": name, "key": f"secret-of-{name}", "tenant": name[0]} for name in ("a1", "a2", "b1")]
    async with served(script, tmp_path, keys=keys) as (app, provider):
        calls = [asyncio.create_task(app.post(headers={"authorization": f"Bearer secret-of-{name}"})) for name in ("a1", "a2", "b1")]
        await until(lambda: aboard(app) == 3 and len(provider.seen) == 2)
        script.go_on.set()
        shared = ["x-edgegate-coalesced" in headers for _, _, headers in await asyncio.gather(*calls)]
        assert sorted(shared) == [False, False, True]
        assert len(provider.seen) == 2


async def test_the_same_call_later_is_a_call_of_its_own(tmp_path: Path) -> None:
    async with served(reply(completion()), tmp_path) as (app, provider):
        for _ in range(2):
            assert (await app.post())[0] == 200
        assert len(provider.seen) == 2


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_the_first_leaves_and_the_next_carries_the_account(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, tmp_path) as (app, provider):
        body = STREAMED if streamed else CHAT
        first = asyncio.create_task(app.post(body=body))
        async with asyncio.timeout(5):
            await script.began.wait()
        others = [asyncio.create_task(app.post(body=body)) for _ in range(3)]
        await until(lambda: aboard(app) == 4)
        first.cancel()
        await until(lambda: aboard(app) == 3)
        script.go_on.set()
        assert {answer[1] for answer in await asyncio.gather(*others)} == {WHOLE if streamed else completion()}
        assert (len(provider.seen), script.closed_early.is_set()) == (1, False)
        await until(lambda: len(app.lines()) == 4)
        assert sorted((line["outcome"], line["attempts"]) for line in app.lines()) == [
            ("client_gone", 0),
            ("ok", 0),
            ("ok", 0),
            ("ok", 1),
        ]
        assert accounts(app) == {"attempts": 1, "input": 7, "output": 3}


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_the_last_to_leave_ends_the_call(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, tmp_path) as (app, _):
        body = STREAMED if streamed else CHAT
        calls = [asyncio.create_task(app.post(body=body)) for _ in range(3)]
        await until(lambda: aboard(app) == 3)
        async with asyncio.timeout(5):
            await script.began.wait()
        for left, call in zip((2, 1, 0), calls, strict=True):
            assert not script.closed_early.is_set()
            call.cancel()
            await until(functools.partial(is_aboard, app, left))
        async with asyncio.timeout(1):
            await script.closed_early.wait()
        await until(lambda: len(app.lines()) == 3)
        lines = app.lines()
        assert [line["outcome"] for line in lines] == ["client_gone"] * 3
        assert [line["attempt_outcome"] for line in lines if line["attempts"]] == ["client_gone"]
        assert accounts(app)["attempts"] == 1


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_with_the_policy_drain_the_call_is_read_to_its_end(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, tmp_path, chain("drain")) as (app, _):
        await leave(app, STREAMED if streamed else CHAT, script)
        await until(lambda: app.gateway.gate._adrift.size == 1)
        script.go_on.set()
        await until(lambda: len(app.lines()) == 1)
        assert [(line["outcome"], line["attempt_outcome"]) for line in app.lines()] == [("client_gone", "ok")]
        assert accounts(app) == {"attempts": 1, "input": 7, "output": 3}
        assert not script.closed_early.is_set()


async def test_all_get_the_error_and_it_is_counted_once(tmp_path: Path) -> None:
    script = Script(b"", reply(b'{"error":{"message":"not now","code":"busy","type":"x"}}', 429, retry_after="7"))
    async with served(script, tmp_path) as (app, provider):
        calls = [asyncio.create_task(app.post()) for _ in range(5)]
        await until(lambda: aboard(app) == 5)
        script.go_on.set()
        answers = await asyncio.gather(*calls)
        assert {status for status, _, _ in answers} == {429}
        assert {orjson.loads(body)["error"]["message"] for _, body, _ in answers} == {"not now"}
        assert {headers["retry-after"] for _, _, headers in answers} == {"7"}
        assert len({headers["x-request-id"] for _, _, headers in answers}) == 5
        assert len(provider.seen) == 1
        await until(lambda: len(app.lines()) == 5)
        assert sorted(line["attempts"] for line in app.lines()) == [0, 0, 0, 0, 1]
        assert accounts(app) == {"attempts": 1}


async def test_a_broken_stream_ends_for_all_with_one_error_event(tmp_path: Path) -> None:
    script = stream_script()
    script.rest = b"zz\r\n"
    async with served(script, tmp_path) as (app, _):
        calls = [asyncio.create_task(app.post(body=STREAMED)) for _ in range(3)]
        await until(lambda: aboard(app) == 3)
        script.go_on.set()
        bodies = [body for _, body, _ in await asyncio.gather(*calls)]
        assert all(body.startswith(chunk("hel")) and body.count(b'"error"') == 1 and b"[DONE]" not in body for body in bodies)
        await until(lambda: len(app.lines()) == 3)
        assert {line["outcome"] for line in app.lines()} == {"upstream_broke"}
        assert accounts(app)["attempts"] == 1


async def test_a_slow_reader_holds_nobody_up(tmp_path: Path) -> None:
    """16 MB for one that reads at once and one that does not read at all; the limit of what is kept is above that."""
    data = b"".join(chunk("x" * 8000) for _ in range(2000))
    script = Script(SSE_HEAD + framed(data), framed(chunk(finish="stop") + DONE) + b"0\r\n\r\n")
    script.go_on.set()
    async with served(script, tmp_path, chain(max_bytes="32MiB")) as (app, provider):
        asked = orjson.dumps(STREAMED)
        with socket.create_connection(("127.0.0.1", app.port)) as slow:
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(asked) + asked)
            await until(lambda: aboard(app) == 1)
            status, body, _ = await app.post(body=STREAMED)
            assert (status, body) == (200, data + chunk(finish="stop") + DONE)
        assert len(provider.seen) == 1
        await until(lambda: len(app.lines()) == 2)
        assert sorted((line["outcome"], line["attempts"]) for line in app.lines()) == [("client_gone", 1), ("ok", 0)]
        assert [line["attempt_outcome"] for line in app.lines() if line["attempts"]] == ["ok"]


async def test_calls_at_shutdown_are_ended_like_any_other(tmp_path: Path) -> None:
    script = plain_script()
    async with served(script, tmp_path, server={"listen": "127.0.0.1:0", "drain": "0.05s"}) as (app, _):
        calls = [asyncio.create_task(app.post()) for _ in range(3)]
        await until(lambda: aboard(app) == 3)
        async with asyncio.timeout(5):
            await app.gateway.drain()
            assert {status for status, _, _ in await asyncio.gather(*calls)} == {503}
        await until(lambda: len(app.lines()) == 3)
        assert accounts(app)["attempts"] == 1


async def test_a_fault_of_ours_is_a_500_for_all() -> None:
    stage = Coalesce(options())
    gate = asyncio.Event()

    async def fails(ex: Any) -> Reply:
        await gate.wait()
        raise ZeroDivisionError

    calls = [asyncio.ensure_future(stage(exchange(), fails)) for _ in range(2)]
    await until(lambda: stage.flights == 1)
    gate.set()
    assert [type(found) for found in await asyncio.gather(*calls, return_exceptions=True)] == [ZeroDivisionError] * 2
    assert stage.flights == 0


async def test_closing_ends_what_is_in_flight() -> None:
    stage = Coalesce(options())

    async def never(ex: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    call = asyncio.ensure_future(stage(exchange(), never))
    await until(lambda: stage.flights == 1)
    await stage.close()
    with pytest.raises(GatewayError, match="shutting down"):
        await call


def options() -> Any:
    return CoalesceOptions()


class Body:
    """A provider's stream by hand."""

    def __init__(self) -> None:
        self.sink: Any = None
        self.paused = self.aborted = False

    def attach(self, sink: Any) -> None:
        self.sink = sink

    def pause(self) -> None:
        assert not self.paused
        self.paused = True

    def resume(self) -> None:
        assert self.paused
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


class Reader(Sink):
    """A client that can refuse to read."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self.seat = seat
        self.full_at = -1  # bytes after which its buffer is full

    def push(self, data: bytes) -> None:
        super().push(data)
        if 0 <= self.full_at <= len(self.data):
            self.seat.pause()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["join", "attach", "pause", "resume", "leave"]), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_everybody_gets_every_byte_once_and_memory_is_bounded(steps: list[tuple[str, int]], ends: bool) -> None:
    """Any order of reading, pausing, joining and leaving: a prefix for those who left, all of it for the others."""
    limit, largest = 100, 40
    loop = asyncio.new_event_loop()
    try:
        flight = Flight(exchange(), limit, loop.create_future())
        body = Body()
        seats = [flight.board(exchange())]
        readers: dict[Seat, Reader] = {}
        gone: set[Seat] = set()
        flight.begun(Reply(200, [], body, "openai.chat", True))
        sent = b""
        for step, number in steps:
            if flight.over:
                break
            seat = seats[number % len(seats)]
            if step == "push" and not body.paused:
                data = bytes(len(sent) + n & 255 for n in range(number))
                sent += data
                body.sink.push(data)
            elif step == "join" and flight.open:
                seats.append(flight.board(exchange()))
            elif step == "attach" and seat not in readers and seat not in gone:
                readers[seat] = Reader(seat)
                seat.attach(readers[seat])
            elif step == "pause" and seat in readers:
                seat.pause()
            elif step == "resume" and seat in readers and seat not in gone:
                seat.resume()
            elif step == "leave" and seat not in gone:
                gone.add(seat)
                assert seat.leave() == (len(gone) == len(seats))
            if not flight.over:
                kept = sum(map(len, flight._chunks))
                slowest = min(s.read for s in flight._seats)
                assert kept <= max(limit, len(sent) - slowest)
                assert len(sent) - slowest <= limit + largest
                carriers = [s for s in flight._seats if s.ex.attempts is flight.twin.attempts]
                assert carriers == flight._seats[:1] or len(carriers) == 1
        stayed = [seat for seat in seats if seat not in gone]
        assert flight.over == body.aborted == (not stayed)
        if stayed and ends:
            body.sink.finish(Outcome.OK, None)
        for seat in stayed:
            if seat not in readers:
                readers[seat] = Reader(seat)
                seat.attach(readers[seat])
            else:
                seat.resume()
        for seat in stayed:
            assert readers[seat].data == sent
            assert readers[seat].ends == ([(Outcome.OK, None)] if ends else [])
        for seat in gone & readers.keys():
            assert sent.startswith(readers[seat].data)
            assert readers[seat].ends == []
        assert not (stayed and body.paused and not ends)
        holders = [seat for seat in seats if seat.ex.attempts is flight.twin.attempts]
        assert len(holders) == 1
    finally:
        loop.close()
