"""A request that is sent again with its Idempotency-Key is answered again, not carried out again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgegate.config.check import check
from edgegate.config.load import load
from edgegate.config.stages import IdempotencyOptions
from edgegate.server.gateway import Gateway
from edgegate.stages import idempotency
from edgegate.stages.idempotency import Idempotency
from edgegate.stores.base import STALE_S
from edgegate.stores.sqlite import Answers, SqliteStore
from tests.unit.core.parts import (
    CHAT,
    MESSAGES,
    STREAM,
    Live,
    Log,
    Provider,
    completion,
    exchange,
    live,
    providers,
    reply,
    sse,
    until,
)
from tests.unit.core.test_drain_policy import Script, leave, plain_script, stream_script

STREAMED = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
KEY = {"idempotency-key": "order-1"}
REPLAY = "x-edgegate-idempotent-replay"


def chain(policy: str = "cancel", *, more: tuple[Any, ...] = (), **options: Any) -> list[Any]:
    own: Any = {"idempotency": options} if options else "idempotency"
    return [
        "auth",
        *more,
        own,
        "route",
        {"failover": {"attempts": 1, "retries": 0}},
        "translate",
        {"forward": {"client_gone": policy}},
        "meter",
    ]


@contextlib.asynccontextmanager
async def served(
    *answers: Any, tmp_path: Path, stages: list[Any] | None = None, share: Path | None = None, **more: Any
) -> AsyncIterator[tuple[Live, Provider]]:
    async with Provider(*answers) as provider:
        config = {"providers": providers(provider.url), "chain": stages or chain()} | more
        async with live(config, tmp_path, share=share) as app:
            yield app, provider
            await until(lambda: app.gateway.gate.in_flight == 0)
            await until(lambda: not stage_of(app)._runs and not stage_of(app)._tasks)
            assert app.faults() == []


def stage_of(app: Live) -> Idempotency:
    (stage,) = [resource for resource in app.gateway._resources if isinstance(resource, Idempotency)]
    return stage


async def settled(app: Live) -> None:
    await until(lambda: not stage_of(app)._runs)


# -- replays


@pytest.mark.parametrize(
    ("answer", "path", "body"),
    [
        (reply(completion()), "/v1/chat/completions", CHAT),
        (sse(STREAM), "/v1/chat/completions", STREAMED),
        (reply(completion()), "/v1/messages", MESSAGES),
        (sse(STREAM), "/v1/messages", MESSAGES | {"stream": True}),
        (sse(STREAM), "/v1beta/models/gpt-4o:streamGenerateContent", {"contents": [{"parts": [{"text": "hi"}]}]}),
        (reply(b'{"error":{"message":"no","type":"invalid_request_error","code":"bad_thing"}}', 400), "/v1/chat/completions", CHAT),
        (reply(b'{"error":{"message":"no","type":"invalid_request_error","code":"bad_thing"}}', 422), "/v1/messages", MESSAGES),
    ],
    ids=["plain", "stream", "anthropic", "anthropic stream", "gemini array", "error", "anthropic error"],
)
async def test_the_answer_is_replayed_byte_for_byte(answer: bytes, path: str, body: Any, tmp_path: Path) -> None:
    async with served(answer, tmp_path=tmp_path) as (app, provider):
        first = await app.post(path, body, KEY)
        await settled(app)
        again = await app.post(path, body, KEY)
        assert again[:2] == first[:2]
        assert again[2]["content-type"] == first[2]["content-type"]
        assert again[2].get("x-edgegate-error-source") == first[2].get("x-edgegate-error-source")
        assert (REPLAY in first[2], again[2][REPLAY]) == (False, "true")
        assert again[2]["x-request-id"] != first[2]["x-request-id"]
        assert len(provider.seen) == 1
        await until(lambda: len(app.lines()) == 2)
        lines = app.lines()
        assert [(line["attempts"], line.get("replayed", False)) for line in lines] == [(1, False), (0, True)]
        assert [line["status"] for line in lines] == [first[0]] * 2
        assert lines[0]["outcome"] == lines[1]["outcome"] == ("ok" if first[0] == 200 else "rejected")
        assert sum(app.gateway.metrics.attempts.values.values()) == 1


async def test_a_relayed_path_with_a_body_that_is_read_is_replayed(tmp_path: Path) -> None:
    async with served(reply(b"\x89PNG", content_type="image/png"), tmp_path=tmp_path) as (app, provider):
        body = {"model": "gpt-4o", "prompt": "a cat"}
        first = await app.post("/v1/images/generations", body, KEY)
        await settled(app)
        again = await app.post("/v1/images/generations", body, KEY)
        assert first[:2] == again[:2] == (200, b"\x89PNG")
        assert (again[2]["content-type"], again[2][REPLAY], len(provider.seen)) == ("image/png", "true", 1)


async def test_without_the_header_nothing_is_kept(tmp_path: Path) -> None:
    async with served(reply(completion()), tmp_path=tmp_path) as (app, provider):
        for _ in range(2):
            assert REPLAY not in (await app.post())[2]
        assert len(provider.seen) == 2


async def test_an_upload_that_is_streamed_has_no_key(tmp_path: Path) -> None:
    async with served(reply(b"{}"), tmp_path=tmp_path) as (app, provider):
        for _ in range(2):
            assert REPLAY not in (await app.post("/one/v1/files", b"data", KEY))[2]
        assert len(provider.seen) == 2


async def test_the_cache_behind_it_and_before_it_does_not_take_replays_for_answers(tmp_path: Path) -> None:
    body = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"temperature": 0}}
    path = "/v1beta/models/gpt-4o:streamGenerateContent"
    async with served(sse(STREAM), tmp_path=tmp_path, stages=chain(more=({"cache": {"ttl": "50ms"}},))) as (app, provider):
        first = await app.post(path, body, KEY)
        await settled(app)
        await asyncio.sleep(0.06)  # the cache's own time
        replayed = await app.post(path, body, KEY)
        third = await app.post(path, body)
        assert first[1] == replayed[1]
        assert replayed[2][REPLAY] == "true"
        assert (third[2]["x-edgegate-cache"], len(provider.seen)) == ("miss", 2)
        assert isinstance(orjson.loads(third[1]), list)


# -- keys


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "smörgås", "\t"], ids=["empty", "blank", "long", "not ASCII", "tab"])
async def test_a_key_that_is_none_is_a_400(key: str, tmp_path: Path) -> None:
    async with served(tmp_path=tmp_path) as (app, provider):
        status, body, _ = await app.post(headers={"Idempotency-Key": key})
        error = orjson.loads(body)["error"]
        assert (status, error["code"], error["param"]) == (400, "invalid_request", "Idempotency-Key")
        assert provider.seen == []


async def test_the_longest_key_is_taken(tmp_path: Path) -> None:
    async with served(tmp_path=tmp_path) as (app, _):
        assert (await app.post(headers={"Idempotency-Key": "~" * 255}))[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/chat/completions", CHAT | {"temperature": 1}, {}),
        ("/v1/chat/completions?a=b", CHAT, {}),
        ("/v1/chat/completions", CHAT, {"openai-beta": "x"}),
    ],
    ids=["body", "query", "header"],
)
async def test_the_same_key_with_another_request_is_a_409(path: str, body: Any, headers: dict[str, str], tmp_path: Path) -> None:
    async with served(tmp_path=tmp_path) as (app, provider):
        assert (await app.post(headers=KEY))[0] == 200
        await settled(app)
        status, told, given = await app.post(path, body, KEY | headers)
        error = orjson.loads(told)["error"]
        assert (status, error["code"], error["param"]) == (409, "idempotency_key_reused", "Idempotency-Key")
        assert given["x-edgegate-error-source"] == "client"
        assert "order-1" not in told.decode()
        assert len(provider.seen) == 1


async def test_keys_belong_to_their_caller_and_path(tmp_path: Path) -> None:
    keys = [{"name": name, "key": f"secret-of-{name}", "tenant": name[0]} for name in ("a1", "a2", "b1")]
    async with served(tmp_path=tmp_path, keys=keys) as (app, provider):
        found = []
        for name in ("a1", "a2", "b1"):
            found.append(REPLAY in (await app.post(headers=KEY | {"authorization": f"Bearer secret-of-{name}"}))[2])
            await settled(app)
        assert found == [False, True, False]
        status, _, headers = await app.post("/chat/completions", CHAT, KEY | {"authorization": "Bearer secret-of-a1"})
        assert (status, REPLAY in headers, len(provider.seen)) == (200, False, 3)


# -- while the first runs


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_duplicates_wait_and_the_provider_sees_one(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    async with served(script, tmp_path=tmp_path) as (app, provider):
        body = STREAMED if streamed else CHAT
        calls = [asyncio.create_task(app.post(body=body, headers=KEY)) for _ in range(10)]
        await until(lambda: app.gateway.gate.in_flight == 10)
        async with asyncio.timeout(5):
            await script.began.wait()
        other = await app.post(body=body | {"user": "x"}, headers=KEY)
        assert other[0] == 409
        script.go_on.set()
        answers = await asyncio.gather(*calls)
        assert {(status, body) for status, body, _ in answers} == {(200, STREAM if streamed else completion())}
        assert sum(REPLAY in headers for _, _, headers in answers) == 9
        assert len(provider.seen) == 1


async def test_duplicates_of_a_failing_request_get_its_error_and_a_later_one_runs(tmp_path: Path) -> None:
    script = Script(b"", reply(b'{"error":{"message":"down"}}', 500))
    async with served(script, reply(completion()), tmp_path=tmp_path) as (app, provider):
        calls = [asyncio.create_task(app.post(headers=KEY)) for _ in range(5)]
        await until(lambda: app.gateway.gate.in_flight == 5)
        async with asyncio.timeout(5):
            await script.began.wait()
        script.go_on.set()
        answers = await asyncio.gather(*calls)
        assert {status for status, _, _ in answers} == {500}
        assert len({headers["x-request-id"] for _, _, headers in answers}) == 5
        assert len(provider.seen) == 1
        await settled(app)
        assert (await app.post(headers=KEY))[0] == 200
        assert len(provider.seen) == 2


async def test_a_duplicate_takes_over_when_the_first_caller_leaves(tmp_path: Path) -> None:
    script = plain_script()
    async with served(script, reply(completion("second")), tmp_path=tmp_path) as (app, provider):
        first = asyncio.create_task(app.post(headers=KEY))
        async with asyncio.timeout(5):
            await script.began.wait()
        second = asyncio.create_task(app.post(headers=KEY))
        await until(lambda: app.gateway.gate.in_flight == 2)
        first.cancel()
        assert (await second)[:2] == (200, completion("second"))
        assert len(provider.seen) == 2


# -- what is not kept


@pytest.mark.parametrize(
    "answer",
    [
        reply(b'{"error":{"message":"down"}}', 500),
        reply(b'{"error":{"message":"slow down"}}', 429),
        reply(b'{"error":{"message":"no credit"}}', 402),
        reply(b'{"error":{"message":"bad key"}}', 401),
        b"",
    ],
    ids=["500", "429", "402", "401", "cut"],
)
async def test_after_a_failure_that_may_pass_the_retry_really_runs(answer: bytes, tmp_path: Path) -> None:
    async with served(answer, reply(completion()), tmp_path=tmp_path) as (app, provider):
        assert (await app.post(headers=KEY))[0] >= 400
        await settled(app)
        status, body, headers = await app.post(headers=KEY)
        assert (status, body, REPLAY in headers) == (200, completion(), False)
        assert len(provider.seen) == 2


async def test_a_broken_stream_frees_the_key(tmp_path: Path) -> None:
    script = stream_script()
    script.rest = b"zz\r\n"
    script.go_on.set()
    async with served(script, sse(STREAM), tmp_path=tmp_path) as (app, _):
        assert b'"error"' in (await app.post(body=STREAMED, headers=KEY))[1]
        await settled(app)
        assert (await app.post(body=STREAMED, headers=KEY))[1] == STREAM


async def test_a_request_that_the_gateway_refuses_frees_the_key(tmp_path: Path) -> None:
    async with served(tmp_path=tmp_path) as (app, _):
        for _ in range(2):
            status, _, headers = await app.post(body=b"{", headers=KEY)
            assert (status, REPLAY in headers) == (400, False)
            await settled(app)
        assert (await app.post(headers=KEY))[0] == 200


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_a_caller_who_leaves_frees_the_key(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    body = STREAMED if streamed else CHAT
    async with served(script, sse(STREAM) if streamed else reply(completion()), tmp_path=tmp_path) as (app, provider):
        await leave(app, body, script, "idempotency-key: order-1\r\n")
        await until(lambda: app.gateway.gate.in_flight == 0)
        await settled(app)
        status, _, headers = await app.post(body=body, headers=KEY)
        assert (status, REPLAY in headers, len(provider.seen)) == (200, False, 2)


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])
async def test_with_the_policy_drain_the_retry_gets_the_whole_answer(streamed: bool, tmp_path: Path) -> None:
    script = stream_script() if streamed else plain_script()
    body = STREAMED if streamed else CHAT
    async with served(script, tmp_path=tmp_path, stages=chain("drain")) as (app, provider):
        await leave(app, body, script, "idempotency-key: order-1\r\n")
        await until(lambda: app.gateway.gate._adrift.size == 1)
        retry = asyncio.create_task(app.post(body=body, headers=KEY))
        await until(lambda: app.gateway.gate.in_flight == 2)
        script.go_on.set()
        status, got, headers = await retry
        assert (status, got, headers[REPLAY]) == (200, STREAM if streamed else completion(), "true")
        assert len(provider.seen) == 1


async def test_an_answer_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    async with served(reply(completion("x" * 2000)), tmp_path=tmp_path, stages=chain(max_entry=1024)) as (app, provider):
        for _ in range(2):
            status, _, headers = await app.post(headers=KEY)
            assert (status, REPLAY in headers) == (200, False)
            await settled(app)
        assert len(provider.seen) == 2


# -- several workers, restarts, deaths


async def test_workers_see_each_others_keys(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    async with Provider(reply(completion())) as provider:
        config = {"providers": providers(provider.url), "chain": chain()}
        async with live(config, tmp_path, share=share, worker="0") as one, live(config, tmp_path, share=share, worker="1") as two:
            first = await one.post(headers=KEY)
            await settled(one)
            again = await two.post(headers=KEY)
            assert first[:2] == again[:2]
            assert (again[2][REPLAY], len(provider.seen)) == ("true", 1)


async def test_a_duplicate_on_another_worker_waits_for_the_first(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    script = stream_script()
    async with Provider(script) as provider:
        config = {"providers": providers(provider.url), "chain": chain()}
        async with live(config, tmp_path, share=share, worker="0") as one, live(config, tmp_path, share=share, worker="1") as two:
            first = asyncio.create_task(one.post(body=STREAMED, headers=KEY))
            async with asyncio.timeout(5):
                await script.began.wait()
            second = asyncio.create_task(two.post(body=STREAMED, headers=KEY))
            await until(lambda: two.gateway.gate.in_flight == 1)
            assert (await two.post(headers=KEY))[0] == 409
            script.go_on.set()
            assert (await first)[:2] == (await second)[:2] == (200, STREAM)
            assert len(provider.seen) == 1


async def test_answers_outlive_a_restart_with_a_file(tmp_path: Path) -> None:
    stages = chain(file=str(tmp_path / "kept.sqlite"))
    async with Provider(reply(completion())) as provider:
        config = {"providers": providers(provider.url), "chain": stages}
        for number in range(2):
            async with live(config, tmp_path) as app:
                assert (REPLAY in (await app.post(headers=KEY))[2]) == bool(number)
        assert len(provider.seen) == 1
    with sqlite3.connect(tmp_path / "kept.sqlite") as db:
        assert all(b"order-1" not in value for row in db.execute("SELECT key, fingerprint, token FROM answers") for value in row)


async def test_the_claim_of_a_worker_that_died_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept.sqlite"
    async with served(tmp_path=tmp_path, stages=chain(file=str(file))) as (app, provider):
        await app.post(headers=KEY)
        await settled(app)
        with sqlite3.connect(file) as db:  # as its worker left it: running, and silent since
            db.execute("UPDATE answers SET status = NULL, beat = ?", (time.time() - STALE_S + 0.5,))
        waiting = asyncio.create_task(app.post(headers=KEY))
        await until(lambda: app.gateway.gate.in_flight == 1)
        status, _, headers = await waiting
        assert (status, REPLAY in headers, len(provider.seen)) == (200, False, 2)


async def test_a_running_claim_says_so_again_and_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(idempotency, "BEAT_S", 0.02)
    file = tmp_path / "kept.sqlite"
    script = plain_script()
    async with served(script, tmp_path=tmp_path, stages=chain(file=str(file))) as (app, _):
        call = asyncio.create_task(app.post(headers=KEY))
        async with asyncio.timeout(5):
            await script.began.wait()

        def beat() -> float:
            with contextlib.closing(sqlite3.connect(file)) as db:
                return float(db.execute("SELECT beat FROM answers").fetchone()[0])

        first = beat()
        await until(lambda: beat() > first)
        script.go_on.set()
        assert (await call)[0] == 200


async def test_a_caller_who_only_sees_others_fail_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims that come and go on other workers: the wait has an end."""
    monkeypatch.setattr(idempotency, "POLL_S", (0.001, 0.001))
    store = SqliteStore("", 100, 1 << 20)
    await store.open()
    calls = 0

    async def claim(key: bytes, fingerprint: bytes, token: bytes) -> Any:
        nonlocal calls
        calls += 1
        await SqliteStore.release(store, key, b"%d" % (calls - 1))
        await SqliteStore.claim(store, key, fingerprint, b"%d" % calls)
        found = await SqliteStore.look(store, key, fingerprint)
        await SqliteStore.release(store, key, b"%d" % calls)
        return found

    monkeypatch.setattr(store, "claim", claim)
    stage = Idempotency(IdempotencyOptions(), store)
    with pytest.raises(Exception, match="come and go") as told:
        await stage(exchange(headers=KEY), never)
    assert (told.value.status, told.value.code) == (409, "idempotency_key_in_use")  # type: ignore[attr-defined]
    await store.close()


async def never(ex: Any) -> Any:
    raise AssertionError


# -- the store fails


async def test_without_its_store_requests_are_served_without_idempotency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(reply(completion()), tmp_path=tmp_path) as (app, provider):

        def fails(*_: Any) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(Answers, "claim", fails)
        for _ in range(3):
            status, _, headers = await app.post(headers=KEY)
            assert (status, REPLAY in headers) == (200, False)
        assert len(provider.seen) == 3
        assert len(app.lines("idempotency_store")) == 1  # and not once for each


async def test_an_answer_that_cannot_be_kept_frees_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(reply(completion()), tmp_path=tmp_path) as (app, provider):

        def full(*_: Any) -> Any:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(Answers, "keep", full)
            assert (await app.post(headers=KEY))[0] == 200
            await settled(app)
        status, _, headers = await app.post(headers=KEY)
        assert (status, REPLAY in headers, len(provider.seen)) == (200, False, 2)


async def test_a_caller_who_leaves_while_the_key_is_claimed_holds_no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore("", 100, 1 << 20)
    await store.open()
    stage = Idempotency(IdempotencyOptions(), store)
    call = asyncio.ensure_future(stage(exchange(headers=KEY), never))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert store._thread is not None
    answers = store._answers
    assert answers is not None
    count = await asyncio.wrap_future(store._thread.submit(lambda: answers._db.execute("SELECT count(*) FROM answers").fetchone()))
    assert count == (0,)
    await store.close()


# -- configuration


def test_the_directory_of_the_file_must_exist(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(orjson.dumps({"providers": providers("http://127.0.0.1:9"), "chain": chain(file=str(tmp_path / "a.sqlite"))}).decode())
    config = load(file, {})
    assert check(config) == []
    (tmp_path / "sub").mkdir()
    for bad, told in ((tmp_path / "no" / "a", "no directory"), (tmp_path / "sub", "is a directory")):
        changed = orjson.dumps({"providers": providers("http://127.0.0.1:9"), "chain": chain(file=str(bad))}).decode()
        file.write_text(changed)
        with pytest.raises(Exception, match=told) as problem:
            load(file, {})
        assert "idempotency.file" in str(problem.value)


async def test_a_file_that_cannot_be_opened_is_a_start_error(tmp_path: Path) -> None:
    bad = tmp_path / "text"
    bad.write_text("not a database " * 100)
    file = tmp_path / "c.yaml"
    file.write_text(orjson.dumps({"providers": providers("http://127.0.0.1:9"), "chain": chain(file=str(bad))}).decode())
    with pytest.raises(ValueError, match="cannot be opened"):
        await Gateway(load(file, {}), Log()).open()


async def test_without_the_header_the_stage_hands_on_what_it_was_given() -> None:
    stage = Idempotency(IdempotencyOptions(), SqliteStore("", 1, 1024))
    given = object()
    assert stage(exchange(), lambda ex: given) is given  # type: ignore[arg-type,return-value]
