"""The pool: which connection is given out, how many there are, who waits, and what cancellation leaves behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgegate.dialects.base import Progress
from edgegate.errors import GatewayError
from edgegate.upstream import pool as pool_module
from edgegate.upstream.call import Call, Kind, Limits
from edgegate.upstream.connection import Connection
from edgegate.upstream.deadlines import Deadlines
from edgegate.upstream.origin import Origin, Upstream
from edgegate.upstream.pool import Pool
from tests.unit.core.parts import Provider, reply, until

LIMITS = Limits(connect_s=1, first_token_s=1, idle_s=1, total_s=5, max_reply=1 << 20)


def pool_at(port: int, most: int = 10) -> Pool:
    return Pool("127.0.0.1", port, None, most, asyncio.get_running_loop())


def upstream_at(port: int, most: int = 10) -> Upstream:
    return Upstream(Origin.parse(f"http://127.0.0.1:{port}/v1"), [[]], [], most, "", asyncio.get_running_loop())


def whole(deadlines: Deadlines | None = None) -> Call:
    loop = asyncio.get_running_loop()
    return Call(loop, deadlines or Deadlines(loop, 0.02), LIMITS, Kind.WHOLE, Progress())


async def fetch(upstream: Upstream, call: Call | None = None, connect_s: float = 1) -> bytes:
    head = upstream.head(b"POST", b"/x", [], 2)
    answer = await upstream.fetch(call or whole(), head, b"{}", connect_s)
    assert isinstance(answer.body, bytes)
    return answer.body


def assert_sound(pool: Pool, expected: int) -> None:
    assert (pool.size, pool._connecting, len(pool._waiters)) == (expected, 0, 0)


async def test_the_most_recently_used_connection_is_given_out_first() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port)
        a, b = await pool.take(1), await pool.take(1)
        pool.release(a)
        pool.release(b)
        assert await pool.take(1) is b
        assert await pool.take(1) is a
        assert pool.take_nowait() is None


async def test_a_connection_that_the_provider_closed_is_not_given_out() -> None:
    async def once(seen: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"{}"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.close()

    async with Provider(once) as origin:
        upstream = upstream_at(origin.port)
        await fetch(upstream)
        await until(lambda: upstream.pool.size == 0)
        assert upstream.pool.take_nowait() is None
        await fetch(upstream)
        assert origin.connections == 2


async def test_a_connection_idle_for_too_long_is_closed_instead() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port)
        a = await pool.take(1)
        pool.release(a)
        a.idle_since -= pool_module.MAX_IDLE_S + 1
        assert pool.take_nowait() is None
        assert a.closed
        await until(lambda: pool.size == 0)


async def test_the_oldest_idle_connection_ages_out_while_others_are_used() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port)
        a, b = await pool.take(1), await pool.take(1)
        pool.release(a)
        a.idle_since -= pool_module.MAX_IDLE_S + 1
        pool.release(b)
        assert a.closed
        await until(lambda: pool.size == 1)


async def test_at_the_limit_callers_wait_in_order() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port, 1)
        held = await pool.take(1)
        order: list[int] = []

        async def caller(number: int) -> None:
            connection = await pool.take(2)
            order.append(number)
            await asyncio.sleep(0)
            pool.release(connection)

        tasks = []
        for number in range(4):
            tasks.append(asyncio.ensure_future(caller(number)))
            await asyncio.sleep(0)
        assert order == []
        pool.release(held)
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2, 3]
        assert_sound(pool, 1)


async def test_a_newcomer_does_not_overtake_whoever_waits() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port, 1)
        held = await pool.take(1)
        waiting = asyncio.ensure_future(pool.take(1))
        await asyncio.sleep(0.01)
        pool.release(held)
        overtaking = pool.take_nowait()  # the way of nearly every call
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        waiting.cancel()
        assert overtaking is None
        assert done


async def test_whoever_waits_too_long_is_told_503_and_when_to_come_back() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port, 1)
        held = await pool.take(1)
        with pytest.raises(GatewayError) as caught:
            await pool.take(0.05)
        error = caught.value
        assert (error.status, error.code, error.retryable, error.retry_after_s) == (503, "upstream_busy", True, 1.0)
        pool.release(held)
        assert await pool.take(1) is held
        assert_sound(pool, 1)


async def test_a_closed_connection_makes_room_for_a_waiting_caller() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port, 1)
        held = await pool.take(1)
        waiting = asyncio.ensure_future(pool.take(1))
        await asyncio.sleep(0.01)
        held.abort()
        assert (await waiting) is not held
        assert_sound(pool, 1)


class Gated:
    """`loop.create_connection` that waits for a word, and may fail then."""

    def __init__(self, pool: Pool) -> None:
        self.tries: list[asyncio.Future[bool]] = []
        loop = asyncio.get_running_loop()
        pool._loop = self  # type: ignore[assignment]
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Connection], *args: Any, **kwargs: Any) -> Any:
        word: asyncio.Future[bool] = self._loop.create_future()
        self.tries.append(word)
        if not await word:
            raise ConnectionRefusedError(111, "Connection refused")
        return await self._loop.create_connection(factory, *args, **kwargs)


async def test_a_connect_that_fails_lets_the_next_in_line_try() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port, 1)
        gate = Gated(pool)
        first = asyncio.ensure_future(pool.take(5))
        second = asyncio.ensure_future(pool.take(5))
        await until(lambda: len(gate.tries) == 1)
        gate.tries[0].set_result(False)
        with pytest.raises(GatewayError) as caught:
            await first
        assert caught.value.code == "upstream_unreachable"
        try:
            await until(lambda: len(gate.tries) == 2, 0.5)
            gate.tries[1].set_result(True)
            await second
        finally:
            second.cancel()


async def test_a_caller_that_leaves_while_connecting_lets_the_next_in_line_try() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port, 1)
        gate = Gated(pool)
        first = asyncio.ensure_future(pool.take(5))
        second = asyncio.ensure_future(pool.take(5))
        await until(lambda: len(gate.tries) == 1)
        first.cancel()
        try:
            await until(lambda: len(gate.tries) == 2, 0.5)
            gate.tries[1].set_result(True)
            await second
        finally:
            second.cancel()


async def test_a_caller_that_leaves_while_waiting_leaves_nothing_behind() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port, 1)
        held = await pool.take(1)
        waiting = [asyncio.ensure_future(pool.take(5)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        pool.release(held)  # wakes the second
        waiting[1].cancel()  # which leaves at that very moment
        assert await asyncio.wait_for(waiting[2], 1) is held
        assert_sound(pool, 1)


async def test_a_caller_that_leaves_while_connecting_leaves_no_connection() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port)
        for steps in range(12):
            task = asyncio.ensure_future(pool.take(1))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, Connection):
                result.abort()
        await until(lambda: origin.open == 0 and pool.size == 0)
        assert_sound(pool, 0)


async def test_a_provider_that_hangs_up_at_once_leaves_no_connection() -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(hangs_up, "127.0.0.1", 0)
    upstream = upstream_at(server.sockets[0].getsockname()[1], 4)
    outcomes = await asyncio.gather(*[fetch(upstream, connect_s=0.5) for _ in range(40)], return_exceptions=True)
    server.close()
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, GatewayError)}
    assert codes <= {"upstream_closed", "upstream_unreachable"}, codes
    await until(lambda: upstream.pool.size == 0)
    assert_sound(upstream.pool, 0)


async def test_no_connection_within_the_limit_is_a_timeout_of_the_provider() -> None:
    with socket.socket() as full:  # a backlog that is full answers no SYN
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        pool = pool_at(port)
        with pytest.raises(GatewayError) as caught:
            await pool.take(0.1)
        for filler in fillers:
            filler.close()
    assert (caught.value.status, caught.value.code, caught.value.source.value) == (504, "connect_timeout", "provider")
    assert_sound(pool, 0)


async def test_nobody_there_is_said_with_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(GatewayError, match=f"127.0.0.1:{port}") as caught:
        await pool_at(port).take(1)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (502, "upstream_unreachable", True)


async def test_a_host_that_does_not_exist_is_an_unreachable_provider() -> None:
    pool = Pool("no-such-host.invalid", 80, None, 1, asyncio.get_running_loop())
    with pytest.raises(GatewayError) as caught:
        await pool.take(3)
    assert caught.value.code in ("upstream_unreachable", "connect_timeout")


async def test_a_closed_pool_closes_idle_connections_now_and_busy_ones_when_they_are_released() -> None:
    async with Provider() as origin:
        pool = pool_at(origin.port)
        idle, busy = await pool.take(1), await pool.take(1)
        pool.release(idle)
        pool.close()
        assert (idle.closed, busy.closed) == (True, False)
        pool.release(busy)
        assert (idle.closed, busy.closed) == (True, True)
        await until(lambda: pool.size == 0)


# -- the second try


async def test_a_stale_connection_is_replaced_once_and_the_other_idle_ones_are_dropped() -> None:
    async with Provider() as origin:
        upstream = upstream_at(origin.port)
        await asyncio.gather(*[fetch(upstream) for _ in range(3)])
        assert origin.connections == 3
        origin.answers = [b"", reply(b"fresh")]
        assert await fetch(upstream) == b"fresh"
        assert origin.connections == 4
        await until(lambda: upstream.pool.size == 1)


async def test_a_fresh_connection_that_dies_is_not_replaced() -> None:
    async with Provider(b"", reply(b"{}")) as origin:
        upstream = upstream_at(origin.port)
        with pytest.raises(GatewayError) as caught:
            await fetch(upstream)
        assert caught.value.code == "upstream_closed"
        assert len(origin.seen) == 1


async def test_two_stale_connections_in_a_row_are_an_error() -> None:
    async with Provider() as origin:
        upstream = upstream_at(origin.port)
        await fetch(upstream)
        origin.answers = [b""]
        with pytest.raises(GatewayError):
            await fetch(upstream)
        assert len(origin.seen) == 3


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"H",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"garbage",
    ],
    ids=["half a head", "one byte", "early hints", "half a body", "garbage"],
)
async def test_a_request_whose_reply_had_begun_is_not_sent_again(begun: bytes) -> None:
    """The provider was at work on it: a second request may cost a second answer."""

    async def begins(seen: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await writer.drain()
        writer.close()

    async with Provider() as origin:
        upstream = upstream_at(origin.port)
        await fetch(upstream)
        origin.seen.clear()
        origin.answers = [begins, reply(b"twice")]
        with pytest.raises(GatewayError):
            await fetch(upstream)
        assert len(origin.seen) == 1


async def test_a_caller_that_leaves_closes_its_connection_at_once() -> None:
    async def hangs(seen: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with Provider(hangs) as origin:
        upstream = upstream_at(origin.port)
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop, 0.02)
        task = asyncio.ensure_future(fetch(upstream, whole(deadlines)))
        await until(lambda: len(origin.seen) == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(deadlines) == 0
        await until(lambda: upstream.pool.size == 0)
        assert_sound(upstream.pool, 0)


async def test_bytes_on_an_idle_connection_close_it() -> None:
    async def says_more(seen: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"{}"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(reply(b"poison"))
        await writer.drain()

    async with Provider(says_more) as origin:
        upstream = upstream_at(origin.port)
        assert await fetch(upstream) == b"{}"
        await until(lambda: upstream.pool.size == 0)


# -- any order of events


class PoolMachine(RuleBasedStateMachine):
    """Callers take, wait, leave, release and lose connections in any order. Connections are made at once or fail."""

    MOST = 2

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.pool = Pool("h", 1, None, self.MOST, self)  # type: ignore[arg-type]
        self.fails = False
        self.tasks: list[asyncio.Task[Connection]] = []
        self.busy: list[Connection] = []

    # what the pool uses of a loop

    def time(self) -> float:
        return self.loop.time()

    def create_future(self) -> asyncio.Future[None]:
        return self.loop.create_future()

    async def create_connection(self, factory: Callable[[], Connection], *args: Any, **kwargs: Any) -> Any:
        for _ in range(3):
            await asyncio.sleep(0)
        if self.fails:
            raise ConnectionRefusedError(111, "refused")
        connection = factory()
        pool = self.pool

        class Transport:
            closing = False

            def is_closing(self) -> bool:
                return self.closing

            def abort(self) -> None:
                if not self.closing:
                    self.closing = True
                    connection.closed = True
                    pool.lost(connection)

        connection.connection_made(Transport())  # type: ignore[arg-type]
        return connection.transport, connection

    def turn(self, times: int) -> None:
        for _ in range(times):
            self.loop.run_until_complete(asyncio.sleep(0))
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and task.exception() is None:
                connection = task.result()
                assert connection not in self.busy, "one connection for two callers"
                assert not connection.closed
                self.busy.append(connection)

    @rule(callers=st.integers(1, 4), turns=st.integers(0, 4))
    def take(self, callers: int, turns: int) -> None:
        self.tasks += [self.loop.create_task(self.pool.take(60)) for _ in range(callers)]
        self.turn(turns)

    @rule(turns=st.integers(0, 6))
    def wait(self, turns: int) -> None:
        self.turn(turns)

    @rule(fails=st.booleans())
    def refuse(self, fails: bool) -> None:
        self.fails = fails

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), turns=st.integers(0, 4))
    def leave(self, data: st.DataObject, turns: int) -> None:
        data.draw(st.sampled_from(self.tasks)).cancel()
        self.turn(turns)

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), lost=st.booleans(), turns=st.integers(0, 4))
    def give_back(self, data: st.DataObject, lost: bool, turns: int) -> None:
        connection = data.draw(st.sampled_from(self.busy))
        self.busy.remove(connection)
        connection.abort() if lost else self.pool.release(connection)
        self.turn(turns)

    @precondition(lambda self: self.pool._idle)
    @rule()
    def idle_one_dies(self) -> None:
        self.pool._idle[0].abort()

    @invariant()
    def never_more_than_allowed(self) -> None:
        assert self.pool.size + self.pool._connecting <= self.MOST

    @rule()
    def nobody_waits_for_nothing(self) -> None:
        self.turn(20)
        if self.pool._waiters:
            assert self.pool.size + self.pool._connecting >= self.MOST, "a caller waits although there is room"
            assert not self.pool._idle, "a caller waits although a connection is idle"

    def teardown(self) -> None:
        self.nobody_waits_for_nothing()
        for task in self.tasks:
            task.cancel()
        self.turn(20)
        for task in self.tasks:
            if not task.cancelled() and task.exception() is None:
                self.busy.append(task.result())
        for connection in self.busy:
            self.pool.release(connection)
        assert (self.pool._connecting, len(self.pool._waiters)) == (0, 0)
        assert self.pool.size == len(self.pool._idle), "a connection that nobody holds is still counted"
        self.loop.close()


TestAnyOrderOfEvents = PoolMachine.TestCase
TestAnyOrderOfEvents.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
