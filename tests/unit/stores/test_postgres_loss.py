"""A PostgreSQL that is away, frozen, wrong or not yet migrated: calls fail in time, the next ones at once, and it is found again."""

# ruff: noqa: S608 (names of schemas)

from __future__ import annotations

import asyncio
import builtins
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from edgegate.stores.base import StoreError
from edgegate.stores.postgres import Postgres
from edgegate.stores.postgres_driver import Session, place_of, transaction
from edgegate.stores.postgres_records import PostgresRecords
from edgegate.stores.postgres_schema import Schema, shipped
from tests.servers.postgres import PostgresServer, free_port
from tests.unit.core.parts import Clock
from tests.unit.stores.records_contract import all_rows, batch, row

WITHIN_S = 0.5


@pytest.fixture
async def server(postgres: PostgresServer, schema: str) -> AsyncIterator[Postgres]:
    made = Postgres(postgres.url, schema, connect_s=WITHIN_S, call_s=WITHIN_S)
    await made.open()
    yield made
    await made.close()


async def one(session: Session) -> int:
    return int(await session.fetchval("SELECT 1"))


async def fails(call: Callable[[], Awaitable[object]]) -> tuple[float, str]:
    """How long it took, and what was said."""
    began = time.monotonic()
    with pytest.raises(StoreError) as failed:
        await call()
    return time.monotonic() - began, str(failed.value)


async def back(call: Callable[[], Awaitable[object]]) -> float:
    """How long it took until a call succeeded again."""
    began = time.monotonic()
    while True:
        try:
            await call()
        except StoreError:
            assert time.monotonic() - began < 10
            await asyncio.sleep(0.01)
        else:
            return time.monotonic() - began


@pytest.fixture
async def slow_to_return(postgres: PostgresServer, schema: str) -> AsyncIterator[Postgres]:
    """Whose breaker always waits as long as it may."""
    made = Postgres(postgres.url, schema, call_s=0.25, chance=lambda: 1.0)
    await made.open()
    yield made
    await made.close()


async def long_outage(server: Postgres) -> None:
    """Until the breaker waits for more than a second."""
    end = time.monotonic() + 10
    while server.wait_s < 1.5:
        with pytest.raises(StoreError):
            await server.run(one)
        await asyncio.sleep(0.01)
        assert time.monotonic() < end


# -- stopped


async def test_a_stopped_server_fails_calls_at_once_and_is_found_again(postgres: PostgresServer, slow_to_return: Postgres) -> None:
    server = slow_to_return
    assert await server.run(one) == 1
    await postgres.stop()
    took, said = await fails(lambda: server.run(one))
    assert took < WITHIN_S + 0.2
    assert server.reason == said
    assert postgres.password not in said
    await long_outage(server)
    began = time.monotonic()
    for _ in range(1000):
        await fails(lambda: server.run(one))
    assert time.monotonic() - began < WITHIN_S
    await postgres.start()
    assert await back(lambda: server.run(one)) < 3
    assert server.reason == ""


async def test_rows_written_before_a_crash_are_there_after_it(postgres: PostgresServer, schema: str) -> None:
    records = PostgresRecords(Postgres(postgres.url, schema))
    await records.open("one")
    await records.write(batch([row(1), row(2)]))
    await postgres.stop()
    failed = batch([row(3)])
    await fails(lambda: records.write(failed))
    await postgres.start()
    await back(lambda: records.write(failed))
    assert await all_rows(records) == [row(1), row(2), row(3)]
    await records.close()


async def test_a_gateway_that_starts_before_its_database_connects_later(postgres: PostgresServer, schema: str) -> None:
    await postgres.stop()
    records = PostgresRecords(Postgres(postgres.url, schema))
    await records.open("one")
    failed = batch([row(1)])
    await fails(lambda: records.write(failed))
    await postgres.start()
    assert await back(lambda: records.write(failed)) < 3
    assert await all_rows(records) == [row(1)]
    await records.close()


async def test_a_call_that_was_on_its_way_fails_when_the_server_dies(postgres: PostgresServer, schema: str) -> None:
    server = Postgres(postgres.url, schema, call_s=20)
    await server.open()
    sleeping = asyncio.create_task(server.run(lambda session: session.execute("SELECT pg_sleep(20)")))
    await asyncio.sleep(0.1)
    await postgres.stop()
    took, _ = await fails(lambda: sleeping)
    assert took < 2
    await server.close()


async def test_each_failed_try_doubles_the_wait_up_to_two_seconds(schema: str) -> None:
    clock = Clock()
    server = Postgres(f"postgresql://u:p@127.0.0.1:{free_port()}/d", schema, clock=clock, chance=lambda: 1.0)
    await server.open()
    waits = []
    for _ in range(7):
        waits.append(round(server.wait_s, 6))
        clock.now += server.wait_s - 0.001
        await fails(lambda: server.run(one))  # too early: nothing is tried, nothing is longer
        assert server.wait_s < 0.01
        clock.now += 0.002
        await fails(lambda: server.run(one))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    await server.close()


# -- frozen


async def test_a_frozen_server_looks_like_a_dead_one_after_the_deadline(postgres: PostgresServer, slow_to_return: Postgres) -> None:
    server = slow_to_return
    postgres.freeze()
    took, said = await fails(lambda: server.run(one))
    assert 0.24 < took < 0.5
    assert "no answer" in said
    await long_outage(server)
    postgres.thaw()
    assert await back(lambda: server.run(one)) < 3


async def test_one_call_asks_a_frozen_server_and_the_others_do_not_wait(postgres: PostgresServer, server: Postgres) -> None:
    postgres.freeze()
    await fails(lambda: server.run(one))
    slow = 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        times = await asyncio.gather(*(fails(lambda: server.run(one)) for _ in range(20)))
        waited = [took for took, _ in times if took > 0.1]
        assert len(waited) <= 1
        slow += len(waited)
        await asyncio.sleep(0.01)
    assert slow >= 1  # it is still being asked
    postgres.thaw()
    assert await back(lambda: server.run(one)) < 3


async def test_calls_that_find_all_connections_stuck_fail_in_time_too(postgres: PostgresServer, server: Postgres) -> None:
    await asyncio.gather(*(server.run(one) for _ in range(4)))
    postgres.freeze()
    times = await asyncio.gather(*(fails(lambda: server.run(one)) for _ in range(12)))
    assert max(took for took, _ in times) < 2 * WITHIN_S


async def test_a_connection_that_was_given_up_is_not_used_again(postgres: PostgresServer, server: Postgres) -> None:
    before = await server.run(lambda session: session.fetchval("SELECT pg_backend_pid()"))
    postgres.freeze()
    await fails(lambda: server.run(lambda session: session.fetchval("SELECT 'of before'")))
    postgres.thaw()
    await back(lambda: server.run(one))
    assert await server.run(lambda session: session.fetchval("SELECT pg_backend_pid()")) != before
    assert await server.run(one) == 1


async def test_a_transaction_in_a_frozen_server_ends_in_time_and_is_undone(postgres: PostgresServer, server: Postgres) -> None:
    async def half(session: Session) -> None:
        async with transaction(session):
            await session.execute(f"INSERT INTO {server.schema}.holders (holder, beats) VALUES ('half', 1)")
            postgres.freeze()
            await session.fetchval("SELECT 1")

    took, _ = await fails(lambda: server.run(half))
    assert took < WITHIN_S + 0.3
    postgres.thaw()
    await back(lambda: server.run(one))
    assert await server.run(lambda session: session.fetch(f"SELECT * FROM {server.schema}.holders")) == []


async def test_closing_a_frozen_server_takes_a_moment_only(postgres: PostgresServer, schema: str) -> None:
    records = PostgresRecords(Postgres(postgres.url, schema, call_s=WITHIN_S))
    await records.open("one")
    postgres.freeze()
    began = time.monotonic()
    await records.close()
    assert time.monotonic() - began < WITHIN_S + 1.5


async def test_idle_connections_to_a_frozen_server_are_closed_in_a_moment(postgres: PostgresServer, schema: str) -> None:
    server = Postgres(postgres.url, schema)
    await server.open()
    await asyncio.gather(*(server.run(one) for _ in range(4)))
    postgres.freeze()
    began = time.monotonic()
    await server.close()
    assert time.monotonic() - began < 1.5


async def test_nothing_is_left_behind_by_failures(postgres: PostgresServer, server: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()
    for _ in range(2):
        postgres.freeze()
        await fails(lambda: server.run(one))
        postgres.thaw()
        await back(lambda: server.run(one))
    await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() == before
    assert [record.getMessage() for record in caplog.records] == []  # no error of a task that nobody awaited


async def test_a_caller_that_gives_up_is_not_a_loss(server: Postgres) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await server.run(lambda session: session.execute("SELECT pg_sleep(5)"))
    assert await server.run(one) == 1


async def test_values_that_are_refused_are_not_a_loss(server: Postgres) -> None:
    await fails(lambda: server.run(lambda session: session.fetchval("SELECT $1::text", "a\0b")))
    await fails(lambda: server.run(lambda session: session.fetchval("SELECT 1 / $1::int", 0)))
    await fails(lambda: server.run(lambda session: session.fetchval("SELECT $1::int", "x")))
    assert server.reason == ""
    assert await server.run(one) == 1


# -- wrong


@pytest.mark.parametrize(
    "wrong",
    [
        lambda server: server.url.replace(server.password, "s3cret-wrong"),
        lambda server: server.url.replace("edgegate:", "nobody-known:"),
        lambda server: server.url.replace("/postgres", "/no-such-database"),
        lambda server: server.url + "?sslmode=nonsense",
        lambda server: server.url + "?target_session_attrs=nonsense",
        lambda server: server.url.replace("postgresql://", "mysql://"),
        lambda server: server.url.replace(server.password, "s3cret/wrong"),
        lambda server: server.url.replace(server.password, "12?s3cret"),
        lambda server: server.url.replace(server.password, "12#s3cret"),
        lambda server: "",
        lambda server: "s3cret",
    ],
)
async def test_a_server_that_can_never_be_used_is_refused_without_a_word_of_the_password(
    postgres: PostgresServer, schema: str, wrong: Callable[[PostgresServer], str]
) -> None:
    server = Postgres(wrong(postgres), schema)
    with pytest.raises(ValueError) as refused:
        await server.open()
    said = [str(refused.value), repr(refused.value), repr(server), str(refused.value.__cause__)]
    for text in said:
        assert postgres.password not in text
        assert "s3cret" not in text
    assert "PostgreSQL" in said[0]
    await server.close()


async def test_a_password_that_was_changed_later_is_told_and_not_shown(postgres: PostgresServer, schema: str) -> None:
    server = Postgres(postgres.url.replace(postgres.password, "s3cret"), schema)
    await postgres.stop()
    await server.open()
    await postgres.start()
    end = time.monotonic() + 5
    while "password" not in (await fails(lambda: server.run(one)))[1]:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
    assert "s3cret" not in server.reason
    await server.close()


async def test_no_message_of_a_failing_connection_has_the_password(schema: str) -> None:
    for url in (f"postgresql://u:s3cret@127.0.0.1:{free_port()}/d", "postgresql://u:s3cret@no-such-host.invalid/d"):
        server = Postgres(url, schema, connect_s=WITHIN_S, call_s=WITHIN_S)
        await server.open()
        _, said = await fails(lambda server=server: server.run(one))  # type: ignore[misc]
        assert "s3cret" not in said
        assert said.startswith("PostgreSQL at ")
        await server.close()


@pytest.mark.parametrize("name", ["", "a-b", 'a"b', "1a", "a b", "pg_mine", "é", "x" * 64, "a;b", "public.a"])
def test_a_schema_has_the_name_of_one(name: str) -> None:
    with pytest.raises(ValueError, match="schema"):
        Postgres("postgresql://localhost/x", name)


def test_places_of_several_hosts_are_accepted() -> None:
    assert place_of("postgresql://u:p@a:1,b:2/x") == "PostgreSQL at several hosts"
    assert place_of("postgresql://u:p@db.example:6000/x") == "PostgreSQL at db.example:6000"
    assert place_of("postgresql:///x?host=/run/postgresql") == "PostgreSQL at the usual place"


async def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, schema: str) -> None:
    usual = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "asyncpg":
            raise ImportError(name)
        return usual(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install edgegate\[postgres\]"):
        await Postgres("postgresql://localhost/x", schema).open()


# -- migrations


async def test_replicas_that_start_at_once_migrate_once(postgres: PostgresServer, schema: str) -> None:
    servers = [Postgres(postgres.url, schema) for _ in range(5)]
    await asyncio.gather(*(server.open() for server in servers))
    assert [server.reason for server in servers] == [""] * 5
    found = await servers[0].run(lambda session: session.fetch(f"SELECT number, name FROM {servers[0].schema}.migrations ORDER BY number"))
    assert [tuple(each) for each in found] == [(number, name) for number, (name, _) in enumerate(shipped(), 1)]
    await asyncio.gather(*(server.close() for server in servers))


def test_files_of_sql_are_numbered_without_a_gap() -> None:
    assert [int(name.partition("_")[0]) for name, _ in shipped()] == [*range(1, len(shipped()) + 1)]


async def test_a_schema_of_a_newer_version_is_refused(postgres: PostgresServer, server: Postgres, schema: str) -> None:
    await server.run(lambda session: session.execute(f"INSERT INTO {server.schema}.migrations (number, name) VALUES (99, 'later')"))
    with pytest.raises(ValueError, match="newer edgegate"):
        await Postgres(postgres.url, schema).open()


async def test_a_migration_is_run_once_and_one_that_fails_leaves_nothing(server: Postgres, schema: str) -> None:
    steps = shipped()

    async def migrate(session: Session, *more: tuple[str, str]) -> None:
        await Schema(schema, (*steps, *more)).prepare(session, lambda: None)

    with pytest.raises(StoreError):
        await server.run(lambda session: migrate(session, ("0003_a", "CREATE TABLE extra (n int)"), ("0004_b", "CREATE nonsense")))
    await back(lambda: server.run(one))
    for _ in range(2):
        await server.run(lambda session: migrate(session, ("0003_a", "CREATE TABLE extra (n int); INSERT INTO extra VALUES (1)")))
    assert await server.run(lambda session: session.fetchval(f"SELECT count(*) FROM {server.schema}.extra")) == 1


async def test_a_user_who_may_only_use_the_tables_will_do(postgres: PostgresServer, server: Postgres, schema: str) -> None:
    name = f"user_{schema}"
    for statement in (
        f"CREATE ROLE {name} LOGIN PASSWORD 'plain'",
        f"GRANT USAGE ON SCHEMA {server.schema} TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {server.schema} TO {name}",
    ):
        await server.run(lambda session, statement=statement: session.execute(statement))  # type: ignore[misc]
    url = f"postgresql://{name}:plain@127.0.0.1:{postgres.port}/postgres"
    records = PostgresRecords(Postgres(url, schema))
    await records.open("one")
    await records.write(batch([row(1)]))
    assert await all_rows(records) == [row(1)]
    await records.close()
    with pytest.raises(ValueError, match="permission denied"):
        await Postgres(url, f"{schema}_other").open()
