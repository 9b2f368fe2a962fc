"""No stream is free: what providers charge for and do not report is counted here, and marked as estimated wherever it shows."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from edgegate.dialects.base import Operation, Progress, Usage
from edgegate.exchange import Attempt, Exchange
from edgegate.taps import Outcome
from edgegate.tokens import count, estimate
from edgegate.tokens.count import Estimator
from edgegate.tokens.estimate import Estimates, needs_estimate
from tests.unit.core.parts import (
    CHAT,
    DONE,
    MESSAGES,
    Live,
    Provider,
    Seen,
    chunk,
    completion,
    exchange,
    live,
    never,
    providers,
    reply,
    sse,
    until,
)

SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAMED = CHAT | {"stream": True}
PRICES = {"models": {"gpt-4o": {"input": 2, "output": 8}}}
CLAUDE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"claude",'
    b'"content":[],"stop_reason":null,"usage":{"input_tokens":50,"cache_read_input_tokens":20,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoding takes half a second to load, and is the same for every gateway."""
    monkeypatch.setattr(count, "load", _load)


_load = functools.cache(count.load)


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def claude_delta(text: str) -> bytes:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: " + json.dumps(delta).encode() + b"\n\n"


class Begun:
    """A stream that begins, and then says nothing more, or is cut."""

    def __init__(self, first: bytes, *, cut: bool = False) -> None:
        self.first = first
        self.cut = cut

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE_HEAD + framed(self.first))
        await writer.drain()
        if self.cut:
            writer.close()
        else:
            await never(seen, writer)


def config(*urls: str, failover: dict[str, Any] | None = None, forward: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    chain = ["auth", "route", {"failover": {"retries": 0} | (failover or {})}, "translate", {"forward": forward or {}}, "meter"]
    return {"chain": chain, "providers": providers(*urls, **more), "prices": PRICES}


async def line_of(gateway: Live) -> dict[str, Any]:
    """The only line of the log, once it is there."""
    await until(lambda: bool(gateway.lines()))
    (line,) = gateway.lines()
    return line


def input_of(request: dict[str, Any]) -> int:
    return Estimator().count(request)


def used(line: dict[str, Any]) -> tuple[str, int, int]:
    return line["usage"], line["input_tokens"], line["output_tokens"]


async def leave_after(gateway: Live, body: dict[str, Any], text: bytes, path: str = "/v1/chat/completions") -> None:
    """Asks, reads until the text is there, and goes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    data = json.dumps(body).encode()
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
    async with asyncio.timeout(5):
        await reader.readuntil(text)
    writer.close()
    await writer.wait_closed()


# -- what is charged


async def test_a_stream_that_is_cut_is_charged_for_its_input_and_what_came(tmp_path: Path) -> None:
    async with Provider(Begun(chunk("x" * 40) + chunk("y" * 40), cut=True)) as one, live(config(one.url), tmp_path) as gateway:
        await gateway.post(body=STREAMED)
        line = await line_of(gateway)
    assert line["attempt_outcome"] == "upstream_broke"
    assert used(line) == ("estimated", input_of(CHAT), 20)
    assert float(line["cost_usd"]) == pytest.approx(input_of(CHAT) * 2e-6 + 20 * 8e-6)


async def test_a_caller_that_leaves_in_the_middle_is_charged(tmp_path: Path) -> None:
    async with Provider(Begun(chunk("x" * 400))) as one, live(config(one.url), tmp_path) as gateway:
        await leave_after(gateway, STREAMED, b"xxxx")
        line = await line_of(gateway)
    assert (line["outcome"], line["attempt_outcome"]) == ("client_gone", "client_gone")
    assert used(line) == ("estimated", input_of(CHAT), 100)


async def test_a_stream_that_falls_silent_is_charged(tmp_path: Path) -> None:
    async with Provider(Begun(chunk("hello"))) as one, live(config(one.url, forward={"idle": "100ms"}), tmp_path) as gateway:
        await gateway.post(body=STREAMED)
        line = await line_of(gateway)
    assert line["attempt_outcome"] == "timeout"
    assert used(line) == ("estimated", input_of(CHAT), 1)


async def test_a_request_that_is_never_answered_is_charged_for_its_input(tmp_path: Path) -> None:
    async with Provider(never) as one, live(config(one.url, forward={"total": "150ms"}), tmp_path) as gateway:
        status, _, _ = await gateway.post()
        line = await line_of(gateway)
    assert (status, line["attempt_outcome"]) == (504, "timeout")
    assert used(line) == ("estimated", input_of(CHAT), 0)


async def test_the_loser_of_a_race_is_charged(tmp_path: Path) -> None:
    async with Provider(never) as one, Provider() as two:
        racing = config(one.url, two.url, failover={"hedge": {"delay": "50ms"}})
        racing["models"] = {"fallbacks": {"gpt-4o": ["two/gpt-4o"]}}
        async with live(racing, tmp_path) as gateway:
            await gateway.post()
            await until(lambda: bool(gateway.lines()))
            lines = {line["provider"]: line for line in gateway.lines("attempt") + gateway.lines()}
    assert (lines["one"]["attempt_outcome"], *used(lines["one"])) == ("cancelled", "estimated", input_of(CHAT), 0)
    assert used(lines["two"]) == ("reported", 7, 3)


async def test_a_stream_whose_provider_reports_nothing_is_charged_by_its_text(tmp_path: Path) -> None:
    answer = sse(chunk("x" * 60) + chunk(finish="stop") + DONE)
    async with Provider(answer) as one, live(config(one.url), tmp_path) as gateway:
        _, body, _ = await gateway.post(body=STREAMED)
        line = await line_of(gateway)
    assert b"usage" not in body  # what is counted here is not told to the caller
    assert (line["attempt_outcome"], *used(line)) == ("ok", "estimated", input_of(CHAT), 15)


@pytest.mark.parametrize(("path", "asked"), [("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGES)], ids=["native", "translated"])
async def test_a_plain_reply_without_usage_is_charged_by_its_text(tmp_path: Path, path: str, asked: dict[str, Any]) -> None:
    answer = json.loads(completion("x" * 60))
    del answer["usage"]
    async with Provider(reply(json.dumps(answer).encode())) as one, live(config(one.url), tmp_path) as gateway:
        status, _, _ = await gateway.post(path, asked)
        line = await line_of(gateway)
    assert (status, *used(line)) == (200, "estimated", input_of(CHAT), 15)


async def test_embeddings_without_usage_are_charged_by_the_length_of_the_request(tmp_path: Path) -> None:
    answer = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "text-embedding-3-small"}
    asked = json.dumps({"model": "text-embedding-3-small", "input": "word " * 100}).encode()
    async with Provider(reply(json.dumps(answer).encode())) as one, live(config(one.url), tmp_path) as gateway:
        status, _, _ = await gateway.post("/v1/embeddings", asked)
        line = await line_of(gateway)
    assert (status, *used(line)) == (200, "estimated", len(asked) // 4, 0)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"], ids=["native", "translated"])
async def test_of_a_cut_stream_the_reported_input_stands_and_the_output_is_counted(tmp_path: Path, path: str) -> None:
    first = CLAUDE_START + claude_delta("x" * 200) + claude_delta("y" * 200)
    async with Provider(Begun(first, cut=True)) as one, live(config(one.url, dialect="anthropic"), tmp_path) as gateway:
        await gateway.post(path, MESSAGES | {"stream": True})
        line = await line_of(gateway)
    assert line["attempt_outcome"] == "upstream_broke"
    assert (*used(line), line["cached_tokens"]) == ("estimated", 70, 100, 20)


# -- what is not


async def test_what_was_reported_to_the_end_is_not_counted_again(tmp_path: Path) -> None:
    async with Provider() as one, live(config(one.url), tmp_path) as gateway:
        await gateway.post()
        assert used(gateway.lines()[0]) == ("reported", 7, 3)  # and nothing waits


async def test_a_provider_that_cannot_be_reached_charges_nothing(tmp_path: Path) -> None:
    async with live(config("http://127.0.0.1:9"), tmp_path) as gateway:
        status, _, _ = await gateway.post()
        assert (status, used(gateway.lines()[0]), gateway.lines()[0]["cost_usd"]) == (502, ("none", 0, 0), None)


@pytest.mark.parametrize("status", [400, 429, 500, 504])
async def test_what_a_provider_refuses_is_not_charged(tmp_path: Path, status: int) -> None:
    async with Provider(reply(b'{"error":{"message":"no"}}', status)) as one, live(config(one.url), tmp_path) as gateway:
        await gateway.post()
        assert used(gateway.lines()[0]) == ("none", 0, 0)


async def test_an_error_in_place_of_a_stream_is_not_charged(tmp_path: Path) -> None:
    async with Provider(sse(b'data: {"error":{"message":"overloaded"}}\n\n')) as one, live(config(one.url), tmp_path) as gateway:
        await gateway.post(body=STREAMED)
        assert used(gateway.lines()[0]) == ("none", 0, 0)


async def test_relayed_paths_are_not_counted(tmp_path: Path) -> None:
    async with Provider(reply(b'{"text":"hello"}')) as one, live(config(one.url), tmp_path) as gateway:
        await gateway.post("/one/v1/anything", {"a": 1})
        assert used(gateway.lines()[0]) == ("none", 0, 0)


def ended(outcome: Outcome, status: int = 200, *, sent: bool = True, finished: bool = False, reported: bool = False) -> Attempt:
    attempt = Attempt("a-1", "one", "openai", "m", 0.0, Progress(finished=finished, usage=Usage(reported=reported)))
    attempt.outcome, attempt.status, attempt.sent = outcome, status, sent
    return attempt


@pytest.mark.parametrize("outcome", sorted(estimate.CUT))
def test_every_way_to_stop_part_way_needs_an_estimate_if_anything_was_sent(outcome: Outcome) -> None:
    assert needs_estimate(ended(outcome))
    assert needs_estimate(ended(outcome, 0))
    assert needs_estimate(ended(outcome, reported=True))
    assert needs_estimate(ended(outcome, finished=True))
    assert not needs_estimate(ended(outcome, finished=True, reported=True))
    assert not needs_estimate(ended(outcome, 0, sent=False))


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.FAILED, None])
def test_what_came_to_nothing_needs_none(outcome: Outcome) -> None:
    assert not needs_estimate(ended(outcome, 500))


# -- where it shows


async def test_metrics_count_what_is_estimated(tmp_path: Path) -> None:
    async with Provider(Begun(chunk("x" * 40), cut=True)) as one, live(config(one.url), tmp_path) as gateway:
        await gateway.post(body=STREAMED)
        line = await line_of(gateway)
        metrics = gateway.gateway.metrics
        assert metrics.tokens.values[("one", "gpt-4o", "input")] == input_of(CHAT)
        assert metrics.tokens.values[("one", "gpt-4o", "output")] == 10
        assert metrics.cost.values[("one", "gpt-4o")] == pytest.approx(float(line["cost_usd"]))
        assert sum(metrics.requests.values.values()) == 1


# -- the count


def cut_exchange(body: Any, path: str = "/v1/chat/completions", text_bytes: int = 0) -> Exchange:
    ex = exchange(body, path=path)
    attempt = ended(Outcome.UPSTREAM_BROKE)
    attempt.progress.text_bytes = text_bytes
    ex.attempts = [attempt]
    return ex


async def test_the_input_is_counted_once_for_all_attempts() -> None:
    counted = 0

    class Counting(Estimator):
        def count(self, chat: dict[str, Any]) -> int:
            nonlocal counted
            counted += 1
            return 11

    ex = cut_exchange(CHAT)
    ex.attempts.append(ended(Outcome.CANCELLED, 0))
    ex.attempts.append(ended(Outcome.OK, finished=True, reported=True))
    await Estimates(Counting()).fill(ex)
    assert counted == 1
    assert [attempt.usage.input_tokens for attempt in ex.attempts] == [11, 11, 0]
    assert [attempt.estimated for attempt in ex.attempts] == [True, True, False]


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (3, 1), (400, 100)])
async def test_any_text_is_at_least_a_token(size: int, tokens: int) -> None:
    ex = cut_exchange(CHAT, text_bytes=size)
    await Estimates(Estimator()).fill(ex)
    assert ex.attempts[0].usage.output_tokens == tokens


async def test_a_larger_number_that_was_reported_stands() -> None:
    ex = cut_exchange(CHAT, text_bytes=40)
    ex.attempts[0].progress.usage = Usage(5, 1000, cached_tokens=2, reported=True)
    await Estimates(Estimator()).fill(ex)
    assert (ex.attempts[0].usage.input_tokens, ex.attempts[0].usage.output_tokens, ex.attempts[0].usage.cached_tokens) == (5, 1000, 2)


async def test_a_large_text_is_not_cut_into_tokens() -> None:
    class Idle(Estimator):
        def count(self, chat: dict[str, Any]) -> int:
            raise AssertionError("a large text is not counted at length")

    ex = cut_exchange({"model": "m", "messages": [{"role": "user", "content": "word" * 300_000}]})
    await Estimates(Idle()).fill(ex)
    assert ex.attempts[0].usage.input_tokens == pytest.approx(300_000, rel=0.001)


async def test_a_picture_is_counted_as_a_picture_however_large_it_is() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000_000}}
    ex = cut_exchange({"model": "m", "messages": [{"role": "user", "content": [picture]}]})
    await Estimates(Estimator()).fill(ex)
    assert 765 <= ex.attempts[0].usage.input_tokens < 800


@pytest.mark.parametrize("text", [" " * 900_000, "\t\n" * 400_000, "a" * 900_000, "\u6f22" * 300_000], ids=["blanks", "lines", "a", "han"])
async def test_no_text_is_too_odd_or_takes_long(text: str) -> None:
    ex = cut_exchange({"model": "m", "messages": [{"role": "user", "content": text}]})
    async with asyncio.timeout(estimate.COUNT_S + 1):
        await Estimates(Estimator()).fill(ex)
    assert ex.attempts[0].usage.input_tokens > 10


@pytest.mark.parametrize("fault", [MemoryError, RuntimeError, ValueError, KeyError, OSError])
async def test_a_count_that_fails_is_made_by_length(fault: type[Exception]) -> None:
    class Broken(Estimator):
        def count(self, chat: dict[str, Any]) -> int:
            raise fault

    ex = cut_exchange(CHAT)
    await Estimates(Broken()).fill(ex)
    assert ex.attempts[0].usage.input_tokens == len(ex.body) // 4
    assert ex.attempts[0].estimated


async def test_a_request_without_a_neutral_form_is_counted_by_its_length() -> None:
    ex = cut_exchange({"model": "m", "prompt": ["several", "prompts"]}, "/v1/completions")
    await Estimates(Estimator()).fill(ex)
    assert ex.attempts[0].usage.input_tokens == len(ex.body) // 4


async def test_a_count_that_takes_too_long_is_made_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "COUNT_S", 0.05)
    free = threading.Event()

    class Slow(Estimator):
        def count(self, chat: dict[str, Any]) -> int:
            free.wait(5)
            return 1

    waiting = [cut_exchange(CHAT) for _ in range(3)]  # the others wait for the one thread
    estimates = Estimates(Slow())
    await asyncio.gather(*[estimates.fill(ex) for ex in waiting])
    free.set()
    estimates.close()
    assert {ex.attempts[0].usage.input_tokens for ex in waiting} == {len(waiting[0].body) // 4}


@pytest.mark.parametrize("operation", [Operation.COUNT_TOKENS, Operation.RERANK, Operation.RELAY, Operation.MODELS])
def test_operations_without_tokens_are_not_estimated(operation: Operation) -> None:
    ex = cut_exchange(CHAT)
    assert Estimates(Estimator()).needed(ex)
    ex.operation = operation
    assert not Estimates(Estimator()).needed(ex)


# -- the end


class Held(Estimator):
    """Counts when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def count(self, chat: dict[str, Any]) -> int:
        self.go_on.wait(5)
        return 123


async def broken_off(gateway: Live, counter: Held) -> None:
    gateway.gateway.accounting.estimates._estimator = counter
    await gateway.post(body=STREAMED)
    await until(lambda: len(gateway.gateway.gate._books) == 1)


async def test_only_the_books_wait_for_the_count(tmp_path: Path) -> None:
    counter = Held()
    async with Provider(Begun(chunk("hello"), cut=True)) as one, live(config(one.url), tmp_path) as gateway:
        await broken_off(gateway, counter)
        assert gateway.gateway.gate.in_flight == 0  # places are free, breakers know
        assert [state["in_flight"] for state in gateway.gateway._board.snapshot(0.0).values()] == [0]
        assert gateway.lines() == []
        counter.go_on.set()
        assert used(await line_of(gateway)) == ("estimated", 123, 1)


async def test_nothing_is_lost_at_shutdown(tmp_path: Path) -> None:
    counter = Held()
    async with Provider(Begun(chunk("hello"), cut=True)) as one, live(config(one.url), tmp_path) as gateway:
        await broken_off(gateway, counter)
        closing = asyncio.ensure_future(gateway.gateway.close())
        await until(lambda: gateway.gateway.gate._books_closed)
        assert not closing.done()
        counter.go_on.set()
        async with asyncio.timeout(3):
            await closing
        assert used(await line_of(gateway)) == ("estimated", 123, 1)
        assert gateway.faults() == []


async def test_a_count_that_outlasts_the_shutdown_is_made_by_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgegate.server.gate.BOOKS_S", 0.05)
    counter = Held()
    async with Provider(Begun(chunk("hello"), cut=True)) as one, live(config(one.url), tmp_path) as gateway:
        await broken_off(gateway, counter)
        async with asyncio.timeout(3):
            await gateway.gateway.close()
        counter.go_on.set()
        assert used(await line_of(gateway)) == ("estimated", len(json.dumps(STREAMED)) // 4, 1)


async def test_what_ends_after_the_books_are_closed_is_recorded_at_once(tmp_path: Path) -> None:
    async with Provider(Begun(chunk("hello"), cut=True)) as one, live(config(one.url), tmp_path) as gateway:
        await gateway.gateway.gate.close_books()
        await gateway.post(body=STREAMED)
        await until(lambda: gateway.gateway.gate.in_flight == 0)
        assert used(gateway.lines()[0]) == ("estimated", len(json.dumps(STREAMED)) // 4, 1)


async def test_streams_cut_by_the_shutdown_are_charged(tmp_path: Path) -> None:
    shutting = config("") | {"server": {"listen": "127.0.0.1:0", "drain": "0.05s"}}
    async with Provider(Begun(chunk("x" * 40))) as one:
        shutting["providers"] = providers(one.url)
        async with live(shutting, tmp_path) as gateway:
            asking = asyncio.ensure_future(gateway.post(body=STREAMED))
            await until(lambda: bool(gateway.gateway.gate.relays))
            await gateway.gateway.drain()
            await asking
            await gateway.gateway.close()
            line = await line_of(gateway)
    assert line["attempt_outcome"] == "drained"
    assert used(line) == ("estimated", input_of(CHAT), 10)
