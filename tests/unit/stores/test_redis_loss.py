"""A Redis that is killed, frozen, restarted, slow or strange: nobody waits for it, no answer reaches the wrong caller, it is back soon."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trustme

from edgegate.access.counters import Counter, Kind, Unit
from edgegate.stores.authority import Want
from edgegate.stores.base import StoreError
from edgegate.stores.redis import CONNECTIONS, RedisLink, Script
from edgegate.stores.redis_authority import RedisAuthority
from tests.servers.valkey import ValkeyServer
from tests.unit.core.parts import until

FAILS_S = 0.06
AT_ONCE_S = 0.01
BACK_S = 3.0


@pytest.fixture
async def server() -> AsyncIterator[ValkeyServer]:
    """One of its own for each test: it is killed and frozen here."""
    found = ValkeyServer()
    await found.start()
    yield found
    found.close()


@asynccontextmanager
async def linked(url: str, deadline_s: float = 0.05) -> AsyncIterator[RedisLink]:
    link = RedisLink(url, deadline_s=deadline_s)
    await link.open()
    try:
        yield link
    finally:
        await link.close()


async def failing(link: RedisLink) -> float:
    """Seconds until a call fails."""
    began = time.perf_counter()
    with pytest.raises(StoreError):
        await link.call("PING")
    return time.perf_counter() - began


async def back(link: RedisLink) -> None:
    """Waits until calls are answered again."""
    end = time.monotonic() + BACK_S
    while True:
        with contextlib.suppress(StoreError):
            assert await link.call("ECHO", "back") == b"back"
            return
        assert time.monotonic() < end, "it did not come back"
        await asyncio.sleep(0.01)


# -- away


async def test_calls_to_a_killed_server_fail_at_once_and_it_is_back_after_a_restart(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        assert await link.call("ECHO", "there") == b"there"
        await server.stop()
        assert await failing(link) < FAILS_S
        for _ in range(20):
            assert await failing(link) < AT_ONCE_S
        await asyncio.sleep(1)
        assert await failing(link) < AT_ONCE_S
        assert not link.up
        await server.start()
        await back(link)
        assert link.up


async def test_calls_to_a_frozen_server_fail_within_their_deadline_then_at_once(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        await link.call("PING")
        server.freeze()
        assert 0.045 < await failing(link) < FAILS_S
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert await failing(link) < AT_ONCE_S
            await asyncio.sleep(0.02)
        server.thaw()
        await back(link)


async def test_many_calls_to_a_frozen_server_fail_together(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        await asyncio.gather(*(link.call("PING") for _ in range(20)))
        server.freeze()
        began = time.perf_counter()
        results = await asyncio.gather(*(link.call("PING") for _ in range(200)), return_exceptions=True)
        assert time.perf_counter() - began < 2 * FAILS_S
        assert all(isinstance(result, StoreError) for result in results)


async def test_a_server_that_froze_while_nothing_was_connected_holds_only_the_first_call(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(0.02)  # its hanging up arrives
        server.freeze()
        assert await failing(link) < FAILS_S
        assert await failing(link) < AT_ONCE_S
        server.thaw()
        await back(link)


@pytest.mark.parametrize("state", ["killed", "frozen"])
async def test_a_server_that_is_away_at_the_start_is_no_error(server: ValkeyServer, state: str) -> None:
    await server.stop() if state == "killed" else server.freeze()
    began = time.perf_counter()
    async with linked(server.url) as link:
        assert time.perf_counter() - began < 0.6
        assert await failing(link) < AT_ONCE_S
        await server.start()
        await back(link)


async def test_a_connection_that_the_server_closed_while_idle_costs_no_call(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        for _ in range(3):
            assert await link.call("ECHO", "a") == b"a"
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            await asyncio.sleep(0.02)
        assert await link.call("ECHO", "b") == b"b"


async def test_a_server_restarted_between_two_calls_is_found_again(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        await link.call("PING")
        await server.stop()
        await server.start()
        await back(link)


async def test_loss_and_return_are_logged_once_without_the_password(server: ValkeyServer) -> None:
    with structlog.testing.capture_logs() as lines:
        async with linked(server.url) as link:
            await server.stop()
            for _ in range(10):
                await failing(link)
            await server.start()
            await back(link)
    assert [line["event"] for line in lines] == ["redis_lost", "redis_back"]
    assert server.password not in str(lines)


async def test_takes_of_an_authority_fail_and_work_again(server: ValkeyServer) -> None:
    counter = Counter("w", Kind.WINDOW, Unit.REQUESTS, 5, window_s=60.0)
    async with linked(server.url) as link:
        one = RedisAuthority(link, "n")
        await one.open("one")
        assert isinstance(await one.take([Want(counter, 5)]), list)
        await server.stop()
        for _ in range(3):
            with pytest.raises(StoreError):
                await one.take([Want(counter, 1)])
            with pytest.raises(StoreError):
                await one.tell([], [])
        await server.start()
        await back(link)
        assert isinstance(await one.take([Want(counter, 5)]), list), "an empty server has empty counters, and is given the script again"
        await server.stop()
        await one.close()


# -- answers


async def test_answers_reach_their_callers_whoever_gives_up(server: ValkeyServer) -> None:
    """Callers that are cancelled at any moment of a call must not leave their answer to the next one."""
    randomness = random.Random(7)
    right = 0

    async def caller(link: RedisLink, name: str) -> None:
        nonlocal right
        for number in range(40):
            word = f"{name}-{number}".encode()
            call = asyncio.create_task(link.call("ECHO", word))
            if randomness.random() < 0.5:
                await asyncio.sleep(randomness.random() * 0.002)
                call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert await call == word
                right += 1

    async with linked(server.url, deadline_s=2.0) as link:
        await asyncio.gather(*(caller(link, str(number)) for number in range(10)))
        assert right > 100
        assert link.up


async def test_a_late_answer_is_never_anothers(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        for number in range(3):
            with pytest.raises(StoreError, match="no answer within"):
                await link.call("BLPOP", "nothing", "0.1")
            await back(link)
            for word in range(5):
                assert await link.call("ECHO", f"{number}-{word}") == f"{number}-{word}".encode()


async def test_many_calls_share_a_few_connections(server: ValkeyServer) -> None:
    async with linked(server.url, deadline_s=2.0) as link:
        words = [f"word {number}".encode() for number in range(300)]
        assert await asyncio.gather(*(link.call("ECHO", word) for word in words)) == words
        clients = (await link.call("CLIENT", "LIST")).decode().splitlines()
        assert 1 < len(clients) <= CONNECTIONS


async def test_an_error_answer_fails_its_call_only(server: ValkeyServer) -> None:
    async with linked(server.url) as link:
        with pytest.raises(StoreError, match="unknown command"):
            await link.call("NO-SUCH-COMMAND")
        assert link.up
        assert await link.call("ECHO", "a") == b"a"


async def test_a_script_is_sent_when_the_server_does_not_know_it(server: ValkeyServer) -> None:
    script = Script.of("return {KEYS[1], ARGV[1]}")
    async with linked(server.url) as link:
        for _ in range(2):
            assert await link.run(script, ["k"], ["v"]) == [b"k", b"v"]
            assert await link.run(script, ["k"], [7]) == [b"k", b"7"]
            server.flush()
        with pytest.raises(StoreError):
            await link.run(Script.of("return nonsense("), [], [])
        assert link.up


# -- URLs


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://:hidden@host", "begins with one of redis://"),
        ("hidden", "begins with one of redis://"),
        ("redis://:hidden@host:port/0", "cannot be read"),
        ("redis://:hid/den@host:6379/0", "cannot be read"),
        ("redis://:hidden@host:99999999/0", "cannot be read"),
        ("redis://:hidden@host:6379/zero", "the number of a database"),
        ("redis://:hidden@host:6379/0?retry_on_timeout=yes", "the option retry_on_timeout is not known"),
        ("redis://:hidden@host:6379/0?ssl_check_hostname=no", "those of TLS are for rediss://"),
        ("rediss://:hidden@host:6379/0?ssl_cert_reqs=hidden", "those of TLS are for rediss://"),
        ("unix://", "the path of a socket"),
    ],
)
async def test_a_wrong_url_is_refused_without_showing_its_password(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        await RedisLink(url).open()
    assert "hid" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("user", ["", "nobody"])
async def test_a_wrong_password_is_refused_and_not_shown(valkey: ValkeyServer, user: str) -> None:
    link = RedisLink(f"redis://{user}:not-the-password@127.0.0.1:{valkey.port}")
    with pytest.raises(ValueError, match="Redis does not let edgegate in") as caught:
        await link.open()
    assert "not-the-password" not in str(caught.value)
    await link.close()


@pytest.mark.parametrize("ending", ["/0", "/99"])
async def test_no_password_and_a_database_that_is_not_there_are_refused(valkey: ValkeyServer, ending: str) -> None:
    secret = "" if ending == "/0" else f":{valkey.password}@"
    link = RedisLink(f"redis://{secret}127.0.0.1:{valkey.port}{ending}")
    with pytest.raises(ValueError, match="Redis does not let edgegate in"):
        await link.open()
    await link.close()


# -- servers as they should not be


class Pretender:
    """Something that listens where Redis should. `answers`: by the command's first word; others get `+OK`."""

    def __init__(self, tls: ssl.SSLContext | None = None, **answers: bytes) -> None:
        self.answers = answers
        self._tls = tls
        self.words: list[str] = []
        self.connections = 0

    async def __aenter__(self) -> Pretender:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2].decode())
                self.words.append(words[0])
                answer = self.answers.get(words[0], b"+OK\r\n")
                if not answer:
                    break
                writer.write(answer)
        writer.close()


async def test_nothing_but_password_and_a_first_question_is_said_on_connecting() -> None:
    async with Pretender() as pretender, linked(f"redis://:secret@127.0.0.1:{pretender.port}/0") as link:
        await link.call("GET", "k")
        assert pretender.words == ["AUTH", "PING", "GET"]


async def test_tls_is_checked_with_the_authority_that_the_url_names(tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ours.pem")
    theirs.cert_pem.write_to_path(tmp_path / "theirs.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    async with Pretender(context, GET=b"$1\r\nv\r\n") as pretender:
        url = f"rediss://:secret@127.0.0.1:{pretender.port}/0?ssl_ca_certs={tmp_path}"
        async with linked(f"{url}/ours.pem", deadline_s=1.0) as link:
            assert await link.call("GET", "k") == b"v"
        async with linked(f"{url}/theirs.pem") as link:
            assert await failing(link) < AT_ONCE_S
        assert pretender.words == ["AUTH", "PING", "GET"]


async def test_a_server_that_repeats_the_password_does_not_get_it_into_messages() -> None:
    repeats = b"-ERR unknown command 'AUTH', with args beginning with: 'secret-word'\r\n"
    async with Pretender(AUTH=repeats) as pretender:
        link = RedisLink(f"redis://:secret-word@127.0.0.1:{pretender.port}/0")
        with pytest.raises(ValueError, match=r"\*\*\*") as caught:
            await link.open()
        assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$x\r\n", b"*1\r\n$99999\r\nx\r\n", b""])
async def test_nonsense_is_a_store_error(nonsense: bytes) -> None:
    async with Pretender(GET=nonsense) as pretender, linked(f"redis://127.0.0.1:{pretender.port}") as link:
        with pytest.raises(StoreError):
            await link.call("GET", "k")
        assert not link.up


async def test_a_server_that_accepts_and_hangs_up_is_not_hammered() -> None:
    async with Pretender(PING=b"") as pretender, linked(f"redis://127.0.0.1:{pretender.port}") as link:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert await failing(link) < AT_ONCE_S
            await asyncio.sleep(0.001)
        assert 2 <= pretender.connections < 40


async def test_keys_that_moved_to_another_node_are_followed_there() -> None:
    async with Pretender(GET=b"$4\r\nhere\r\n") as new, Pretender(GET=b"-MOVED 7 127.0.0.1:%d\r\n" % new.port) as old:
        link = RedisLink(f"redis://127.0.0.1:{old.port}")
        await link.open()
        with pytest.raises(StoreError, match="MOVED"):
            await link.call("GET", "k")
        await until(lambda: link.up)
        assert await link.call("GET", "k") == b"here"
        await link.close()


async def test_a_server_that_became_a_replica_is_left() -> None:
    answer = b"-READONLY You can't write against a read only replica.\r\n"
    async with Pretender(SET=answer) as pretender, linked(f"redis://127.0.0.1:{pretender.port}") as link:
        with pytest.raises(StoreError, match="read only replica"):
            await link.call("SET", "k", "v")
        assert not link.up
        await until(lambda: pretender.connections == 2)


async def test_a_closed_link_fails_calls_and_leaves_no_task(server: ValkeyServer) -> None:
    before = asyncio.all_tasks()
    async with linked(server.url) as link:
        await server.stop()
        await failing(link)
    assert asyncio.all_tasks() == before
    with pytest.raises(StoreError, match="closed"):
        await link.call("PING")
