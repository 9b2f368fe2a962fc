"""A stream that breaks after its first bytes: gone on with, begun anew, or ended by the error that broke it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Progress
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.errors import GatewayError, provider_error
from edgegate.exchange import Attempt, Exchange, Reply
from edgegate.stages.midstream import NO_TARGET_LEFT, resumable, wanted
from edgegate.taps import Outcome
from tests.unit.core.parts import CHAIN, CHAT, Answer, Live, Provider, Seen, Sink, chunk, exchange, live, reply, until

FIRST = ChunkWriter("chatcmpl-first", 1, "one")
SECOND = ChunkWriter("chatcmpl-second", 2, "two")
CUT = provider_error(502, "upstream_cut", "the provider's stream ended before its answer was complete")
WHOLE = "One and two and three and four."


class Stream:
    """A body by hand."""

    def __init__(self, *held: bytes) -> None:
        self.held = list(held)
        self.sink: Any = None
        self.paused = self.aborted = False

    def attach(self, sink: Any) -> None:
        self.sink = sink
        for data in self.held:
            if not self.aborted:
                sink.push(data)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True

    def end(self, outcome: Outcome = Outcome.OK, error: GatewayError | None = None) -> None:
        self.sink.finish(outcome, error)


class Ended(Stream):
    """One that ends as soon as it is attached."""

    def attach(self, sink: Any) -> None:
        super().attach(sink)
        self.end()


Step = Stream | GatewayError


class Stage:
    """Stands for the failover stage: what each further attempt meets, in turn, and then that nothing is left."""

    def __init__(self, *steps: Step, format: str = "openai.chat") -> None:
        self.steps = list(steps)
        self.format = format
        self.asked: list[tuple[bool, list[Any]]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def another(self, fork: Exchange, prefill: bool) -> Reply:
        await self.gate.wait()
        if not self.steps:
            raise provider_error(502, NO_TARGET_LEFT, "no other target", retryable=False)
        self.asked.append((prefill, fork.neutral()["messages"]))
        step = self.steps.pop(0)
        fork.progress = Progress()
        fork.attempt = Attempt(f"a-{len(fork.attempts)}", "p", "openai", "m", 0.0, fork.progress)
        fork.attempts.append(fork.attempt)
        if isinstance(step, GatewayError):
            fork.attempt.failed(step, 1.0)
            raise step
        return Reply(200, [], step, self.format, stream=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    async def done(self) -> None:
        for task in self.tasks:
            await asyncio.wait([task], timeout=2)


def begin(stage: Stage, first: Stream, policy: str = "continue", **request: Any) -> tuple[Exchange, Reply, Sink]:
    """A stream that has begun, with a caller at it."""
    ex = exchange({**CHAT, "stream": True, **request})
    ex.midstream = policy
    ex.attempt = Attempt("a-0", "p", "openai", "m", 0.0, ex.progress)
    ex.attempts.append(ex.attempt)
    assert ex.request
    made = resumable(ex, Reply(200, [], first, "openai.chat", stream=True), stage.another, stage.spawn)
    sink = Sink()
    assert not isinstance(made.body, bytes)
    made.body.attach(sink)
    return ex, made, sink


def text_of(data: bytes) -> str:
    chunks = [json.loads(event[6:]) for event in data.split(b"\n\n") if event.startswith(b"data: {")]
    return "".join(choice["delta"].get("content") or "" for c in chunks for choice in c.get("choices", ()))


async def broken(stage: Stage, first: Stream, policy: str = "continue", **request: Any) -> tuple[Exchange, Sink]:
    """The end of it all, after the first stream broke."""
    ex, _, sink = begin(stage, first, policy, **request)
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    await stage.done()
    return ex, sink


# -- what goes on


async def test_a_whole_stream_goes_through_untouched() -> None:
    stage, first = Stage(), Stream(FIRST.text("Hi"))
    _, made, sink = begin(stage, first)
    rest = FIRST.text(" you") + FIRST.finish("stop") + DONE
    first.sink.push(rest)
    first.end()
    assert sink.data == FIRST.text("Hi") + rest
    assert (sink.ends, stage.tasks) == ([(Outcome.OK, None)], [])
    assert (b"x-edgegate-midstream", b"continue") in made.headers


async def test_another_model_goes_on_writing() -> None:
    stage = Stage(Ended(SECOND.role() + SECOND.text("two"), SECOND.finish("stop") + DONE))
    ex, sink = await broken(stage, Stream(FIRST.text("One ")))
    assert text_of(sink.data) == "One two"
    assert sink.ends == [(Outcome.OK, None)]
    assert stage.asked == [(True, [*CHAT["messages"], {"role": "assistant", "content": "One", "prefix": True}])]  # type: ignore[misc]
    assert [(a.outcome, a.error) for a in ex.attempts] == [(Outcome.UPSTREAM_BROKE, "upstream_cut"), (None, "")]
    assert ex.attempt is ex.attempts[1]
    assert ex.neutral()["messages"] == CHAT["messages"]


async def test_who_refuses_to_go_on_is_asked_anew() -> None:
    refusal = provider_error(400, "invalid_request", "does not support assistant message prefill")
    stage = Stage(refusal, Ended(SECOND.text("One two") + SECOND.finish("stop") + DONE))
    _, sink = await broken(stage, Stream(FIRST.text("One ")))
    assert text_of(sink.data) == "One two"
    assert [prefill for prefill, _ in stage.asked] == [True, False]
    assert stage.asked[1][1] == CHAT["messages"]


async def test_an_attempt_to_go_on_that_just_fails_is_made_elsewhere() -> None:
    stage = Stage(provider_error(503, "overloaded", "busy"), Ended(SECOND.text("two") + SECOND.finish("stop") + DONE))
    _, sink = await broken(stage, Stream(FIRST.text("One ")))
    assert text_of(sink.data) == "One two"
    assert [prefill for prefill, _ in stage.asked] == [True, True]


async def test_a_continuation_that_breaks_is_gone_on_with() -> None:
    second = Stream(SECOND.text("two "))
    stage = Stage(second, Ended(SECOND.text("three") + SECOND.finish("stop") + DONE))
    ex, _, sink = begin(stage, first := Stream(FIRST.text("One ")))
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    await stage.done()
    second.end(Outcome.TIMEOUT, provider_error(504, "idle_timeout", "silent"))
    await stage.done()
    assert text_of(sink.data) == "One two three"
    assert stage.asked[1][1][-1]["content"] == "One two"
    assert [a.outcome for a in ex.attempts] == [Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT, None]


@pytest.mark.parametrize("policy", ["continue", "restart"])
async def test_before_the_first_word_the_question_is_asked_anew(policy: str) -> None:
    stage = Stage(Ended(SECOND.reasoning("so") + SECOND.text("Hi") + SECOND.finish("stop") + DONE))
    _, sink = await broken(stage, Stream(FIRST.reasoning("Hm, ")), policy)
    assert text_of(sink.data) == "Hi"
    assert sink.data.count(b"reasoning_content") == 2
    assert [prefill for prefill, _ in stage.asked] == [False]


@pytest.mark.parametrize("request_", [{"reasoning_effort": "high"}, {"response_format": {"type": "json_object"}}])
async def test_thoughts_and_json_are_begun_anew(request_: dict[str, Any]) -> None:
    stage = Stage(Ended(SECOND.text("One two") + SECOND.finish("stop") + DONE))
    ex, made, sink = begin(stage, first := Stream(FIRST.text("One ")), **request_)
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    await stage.done()
    assert (ex.midstream, text_of(sink.data)) == ("restart", "One two")
    assert (b"x-edgegate-midstream", b"restart") in made.headers


async def test_the_usage_is_that_of_both() -> None:
    first = Stream(FIRST.text("One "))
    second = Stream(SECOND.text("two") + SECOND.finish("stop"))
    stage = Stage(second)
    ex, _, sink = begin(stage, first)
    ex.progress.usage.input_tokens, ex.progress.usage.output_tokens, ex.progress.usage.reported = 7, 1, True
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    await stage.done()
    second.sink.push(b'data: {"id":"b","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\n\n' + DONE)
    second.end()
    assert b'"prompt_tokens":16,"completion_tokens":3,"total_tokens":19' in sink.data


# -- what does not


async def test_another_answer_is_given_up_and_the_first_error_told() -> None:
    second = Stream(SECOND.text("On"), SECOND.text("ce upon a time"))
    stage = Stage(second)
    ex, sink = await broken(stage, Stream(FIRST.text("One ")), "restart")
    assert sink.ends == [(Outcome.UPSTREAM_BROKE, CUT)]
    assert text_of(sink.data) == "One "
    assert second.aborted
    assert (ex.attempts[1].outcome, ex.attempts[1].error) == (Outcome.CANCELLED, "diverged")
    second.end()  # too late
    assert len(sink.ends) == 1


async def test_a_shorter_answer_is_another_answer() -> None:
    _, sink = await broken(Stage(Ended(SECOND.text("One"))), Stream(FIRST.text("One ")), "restart")
    assert sink.ends == [(Outcome.UPSTREAM_BROKE, CUT)]


async def test_when_nothing_works_the_first_error_is_told() -> None:
    stage = Stage(provider_error(400, "refused", "no"), provider_error(401, "invalid_api_key", "no"), provider_error(500, "x", "x"))
    _, sink = await broken(stage, Stream(FIRST.text("One ")))
    assert sink.ends == [(Outcome.UPSTREAM_BROKE, CUT)]
    assert [prefill for prefill, _ in stage.asked] == [True, False, False]


@pytest.mark.parametrize(
    "data",
    [
        FIRST.text("a") + FIRST.call(0, "id", "f"),
        FIRST.delta({"refusal": "I"}),
        FIRST.delta({"content": "b"}, 1),
        FIRST.delta({"audio": {"id": "x"}}),
        FIRST.text("a") + FIRST.finish("stop"),
    ],
)
async def test_what_cannot_be_gone_on_with_ends_in_its_error(data: bytes) -> None:
    stage = Stage(Stream())
    _, sink = await broken(stage, Stream(data))
    assert (sink.ends, stage.asked) == ([(Outcome.UPSTREAM_BROKE, CUT)], [])


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome.DRAINED, GatewayError(503, "draining", "bye")),
        (Outcome.UPSTREAM_BROKE, provider_error(400, "content_filter", "no")),
        (Outcome.CLIENT_GONE, GatewayError(499, "gone", "gone")),
    ],
)
async def test_only_a_fault_of_the_providers_that_may_pass_is_mended(outcome: Outcome, error: GatewayError) -> None:
    stage, first = Stage(Stream()), Stream(FIRST.text("a"))
    _, _, sink = begin(stage, first)
    first.end(outcome, error)
    assert (sink.ends, stage.tasks) == ([(outcome, error)], [])


@pytest.mark.parametrize("request_", [{"n": 2}, {"functions": [{"name": "f"}]}])
async def test_where_nothing_can_be_done_nothing_is_promised(request_: dict[str, Any]) -> None:
    first = Stream(FIRST.text("a"))
    ex, made, _ = begin(Stage(), first, **request_)
    assert (made.body, ex.midstream, made.headers) == (first, "", [])


async def test_a_further_reply_in_another_format_is_not_used() -> None:
    second = Stream(b"event: message_start\n\n")
    _, sink = await broken(Stage(second, format="anthropic.messages"), Stream(FIRST.text("One ")), "restart")
    assert second.aborted
    assert sink.ends == [(Outcome.UPSTREAM_BROKE, CUT)]


# -- the caller meanwhile


async def test_a_caller_that_leaves_in_the_gap_ends_the_attempt() -> None:
    stage = Stage(Stream())
    stage.gate.clear()
    first = Stream(FIRST.text("One "))
    _, made, sink = begin(stage, first)
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    await asyncio.sleep(0)
    assert not isinstance(made.body, bytes)
    made.body.abort()
    await stage.done()
    assert stage.tasks[0].cancelled()
    assert (sink.ends, stage.asked) == ([], [])


async def test_a_caller_that_leaves_later_ends_the_second_stream() -> None:
    second = Stream(SECOND.text("two"))
    stage = Stage(second)
    first = Stream(FIRST.text("One "))
    _, made, sink = begin(stage, first)
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    await stage.done()
    assert not isinstance(made.body, bytes)
    made.body.abort()
    assert second.aborted
    second.sink.push(SECOND.text("more"))
    second.end()
    assert (text_of(sink.data), sink.ends) == ("One two", [])


async def test_a_slow_caller_stays_slow() -> None:
    second = Stream()
    stage = Stage(second)
    first = Stream(FIRST.text("One "))
    _, made, _ = begin(stage, first)
    assert not isinstance(made.body, bytes)
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    made.body.pause()
    await stage.done()
    assert second.paused
    made.body.resume()
    assert not second.paused


async def test_an_attempt_that_is_cancelled_from_outside_ends_the_stream() -> None:
    stage = Stage(Stream())
    stage.gate.clear()
    first = Stream(FIRST.text("One "))
    _, _, sink = begin(stage, first)
    first.end(Outcome.UPSTREAM_BROKE, CUT)
    await asyncio.sleep(0)
    stage.tasks[0].cancel()
    await until(lambda: bool(sink.ends))
    assert sink.ends == [(Outcome.UPSTREAM_BROKE, CUT)]


@pytest.mark.parametrize(
    ("asked", "allowed", "given_"),
    [
        (None, "continue", "continue"),
        (None, "error", ""),
        ("error", "continue", ""),
        ("restart", "continue", "restart"),
        (" Continue ", "restart", "restart"),
        ("continue", "error", ""),
    ],
)
def test_a_caller_may_ask_for_less(asked: str | None, allowed: str, given_: str) -> None:
    ex = exchange(headers={} if asked is None else {"X-Edgegate-Midstream": asked})
    assert wanted(ex, allowed) == given_


def test_another_word_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        wanted(exchange(headers={"x-edgegate-midstream": "resume"}), "restart")
    assert (caught.value.status, caught.value.param) == (400, "x-edgegate-midstream")
    assert "restart" in caught.value.message


# -- any sequence of breaks

pieces = st.lists(st.integers(1, 6), min_size=1, max_size=12)
PLOTS = ("goes on", "anew", "another", "fails", "refuses")


def spoken(writer: ChunkWriter, text: str, sizes: list[int]) -> list[bytes]:
    out, at = [], 0
    for size in sizes * len(text):
        if at >= len(text):
            break
        out.append(writer.text(text[at : at + size]))
        at += size
    return out


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(WHOLE)),
    st.lists(st.tuples(st.sampled_from(PLOTS), st.integers(0, len(WHOLE))), max_size=4),
    pieces,
    st.sampled_from(["continue", "restart"]),
)
def test_the_caller_has_a_whole_answer_or_an_error(cut: int, plots: list[tuple[str, int]], sizes: list[int], policy: str) -> None:
    """Each further attempt goes on or begins anew (and may break again), tells another story, fails or refuses."""

    async def run() -> tuple[str, list[tuple[Outcome, GatewayError | None]]]:
        class Company(Stage):
            async def another(self, fork: Exchange, prefill: bool) -> Reply:
                if not plots:
                    raise provider_error(502, NO_TARGET_LEFT, "none", retryable=False)
                plot, until_ = plots.pop(0)
                if plot == "fails":
                    raise provider_error(503, "overloaded", "busy")
                if plot == "refuses":
                    raise provider_error(400, "invalid_request", "no")
                begun = fork.neutral()["messages"][-1]["content"] if prefill else ""
                assert WHOLE.startswith(begun)
                story = "Other words altogether, and many." if plot == "another" and not prefill else WHOLE
                stop = max(until_, len(begun))
                body = Broken(stop < len(story), *spoken(SECOND, story[len(begun) : stop], sizes))
                return Reply(200, [], body, "openai.chat", stream=True)

        class Broken(Stream):
            def __init__(self, breaks: bool, *held: bytes) -> None:
                super().__init__(*held, *(() if breaks else (SECOND.finish("stop"), DONE)))
                self.breaks = breaks

            def attach(self, sink: Any) -> None:
                super().attach(sink)
                if not self.aborted:
                    self.end(*((Outcome.UPSTREAM_BROKE, CUT) if self.breaks else (Outcome.OK, None)))

        stage = Company()
        first = Stream(*spoken(FIRST, WHOLE[:cut], sizes))
        _, _, sink = begin(stage, first, policy)
        first.end(Outcome.UPSTREAM_BROKE, CUT)
        for _ in range(40):
            if sink.ends:
                break
            await asyncio.sleep(0)
        return text_of(sink.data), sink.ends

    text, ends = asyncio.run(run())
    assert len(ends) == 1
    if ends[0] == (Outcome.OK, None):
        assert text in (WHOLE, "Other words altogether, and many.")
    else:
        assert ends == [(Outcome.UPSTREAM_BROKE, CUT)]
        assert WHOLE.startswith(text) or "Other words altogether, and many.".startswith(text)


# -- over real sockets

TOKENS = [f"w{n} " for n in range(60)]
STORY = "".join(TOKENS)


def said(tokens: list[str], *, whole: bool = True, usage: bool = True) -> bytes:
    out = b"".join(chunk(token) for token in tokens)
    if whole:
        out += chunk(finish="stop")
        if usage:
            out += b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":70,"completion_tokens":20,"total_tokens":90}}\n\n'
        out += b"data: [DONE]\n\n"
    return out


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000000\r\n\r\n"


def cut_off(data: bytes) -> bytes | Answer:
    """A stream that is cut: the connection closes within the body."""

    async def answer(seen: Seen, writer: Any) -> None:
        writer.write(HEAD + data)
        await writer.drain()
        writer.close()

    return answer


def stalled(data: bytes, released: asyncio.Event) -> Answer:
    """A stream that falls silent."""

    async def answer(seen: Seen, writer: Any) -> None:
        writer.write(HEAD + data)
        await writer.drain()
        await released.wait()
        writer.close()

    return answer


def whole(tokens: list[str]) -> bytes:
    return reply(said(tokens), content_type="text/event-stream")


@contextlib.asynccontextmanager
async def company(
    directory: Path, *answers: tuple[bytes | Answer, ...], midstream: str = "continue", idle: str = "30s"
) -> AsyncIterator[tuple[Live, list[Provider]]]:
    """A gateway and its providers: `one` is asked first, the others stand by and take a prefill."""
    async with contextlib.AsyncExitStack() as stack:
        providers = [await stack.enter_async_context(Provider(*given_)) for given_ in answers]
        made: dict[str, Any] = {}
        for name, provider in zip(("one", "two", "three"), providers, strict=False):
            made[name] = {"dialect": "openai", "base_url": f"{provider.url}/v1", "api_key": "k", "prefill": ["*"]}
        made["one"]["models"] = ["gpt-4o"]
        failover = {"failover": {"attempts": 5, "retries": 0, "midstream": midstream}}
        chain = [failover if isinstance(entry, dict) else {"forward": {"idle": idle}} if entry == "forward" else entry for entry in CHAIN]
        fallbacks = {"gpt-4o": [f"{name}/gpt-4o" for name in list(made)[1:]]}
        config = {"providers": made, "models": {"fallbacks": fallbacks}, "chain": chain}
        yield await stack.enter_async_context(live(config, directory)), providers


ASKED = {**CHAT, "stream": True}
BEGIN = (cut_off(said(TOKENS[:40], whole=False)),)
REST = (whole(TOKENS[40:]),)


async def ask(gateway: Live, **more: Any) -> tuple[str, bytes, Any]:
    status, data, headers = await gateway.post(body={**ASKED, **more})
    assert status == 200
    return text_of(data), data, headers


async def attempts(gateway: Live) -> list[tuple[str, str, str]]:
    """Provider, outcome and error of every attempt; the last one's stand in the request's line."""
    await until(lambda: bool(gateway.lines()))
    lines = gateway.lines("attempt") + gateway.lines()
    return [(line["provider"], line["attempt_outcome"], line.get("attempt_error", "")) for line in lines]


async def test_a_cut_stream_is_gone_on_with(tmp_path: Path) -> None:
    async with company(tmp_path, BEGIN, REST) as (gateway, (_, two)):
        text, data, headers = await ask(gateway, stream_options={"include_usage": True})
        assert text == STORY
        assert data.endswith(DONE)
        assert headers["x-edgegate-midstream"] == "continue"
        assert b'"completion_tokens":20' in data
        assert two.seen[0].json["messages"][-1] == {"role": "assistant", "content": "".join(TOKENS[:40]).rstrip()}
        assert [tried[:2] for tried in await attempts(gateway)] == [("one", "upstream_broke"), ("two", "ok")]
        (request,) = gateway.lines()
        assert (request["outcome"], request["provider"]) == ("ok", "two")


async def test_a_stalled_stream_is_gone_on_with(tmp_path: Path) -> None:
    released = asyncio.Event()
    silent = (stalled(said(TOKENS[:40], whole=False), released),)
    async with company(tmp_path, silent, REST, idle="300ms") as (gateway, _):
        text, data, _headers = await ask(gateway)
        released.set()
        assert text == STORY
        assert (await attempts(gateway))[0] == ("one", "timeout", "idle_timeout")
        assert data.endswith(DONE)


async def test_one_that_refuses_a_prefill_answers_anew(tmp_path: Path) -> None:
    refusal = reply(b'{"error":{"message":"last message must be from user","type":"invalid_request_error"}}', 400)
    async with company(tmp_path, BEGIN, (refusal, whole(TOKENS))) as (gateway, (_, two)):
        text, data, _headers = await ask(gateway)
        assert text == STORY
        assert b"error" not in data
        assert two.seen[1].json["messages"] == CHAT["messages"]


async def test_another_answer_ends_in_the_error_of_the_break(tmp_path: Path) -> None:
    async with company(tmp_path, BEGIN, (whole(["quite ", "another"]),), midstream="restart") as (gateway, _):
        text, data, headers = await ask(gateway)
        assert text == "".join(TOKENS[:40])
        assert headers["x-edgegate-midstream"] == "restart"
        assert b"[DONE]" not in data
        (event,) = [json.loads(e[6:]) for e in data.split(b"\n\n") if b'"error"' in e]
        broke, gave_up = await attempts(gateway)
        assert event["error"]["code"] == broke[2] != ""
        assert gave_up == ("two", "cancelled", "diverged")


async def test_a_stream_that_breaks_twice_is_gone_on_with_twice(tmp_path: Path) -> None:
    first, again = (cut_off(said(TOKENS[:20], whole=False)),), (cut_off(said(TOKENS[20:40], whole=False)),)
    async with company(tmp_path, first, again, REST) as (gateway, (_, _two, three)):
        assert (await ask(gateway))[0] == STORY
        assert three.seen[0].json["messages"][-1]["content"] == "".join(TOKENS[:40]).rstrip()


async def test_a_call_of_a_tool_that_has_begun_is_not_gone_on_with(tmp_path: Path) -> None:
    call = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{"}}]}
    event = b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, "delta": call, "finish_reason": None}]}).encode() + b"\n\n"
    async with company(tmp_path, (cut_off(event),), REST) as (gateway, (_, two)):
        _text, data, _headers = await ask(gateway)
        assert b'"error"' in data
        assert b"[DONE]" not in data
        assert two.seen == []


async def test_without_being_allowed_to_a_broken_stream_ends_in_its_error(tmp_path: Path) -> None:
    async with company(tmp_path, BEGIN, REST, midstream="error") as (gateway, (_, two)):
        text, data, headers = await ask(gateway)
        assert (text, two.seen) == ("".join(TOKENS[:40]), [])
        assert b'"error"' in data
        assert "x-edgegate-midstream" not in headers


async def test_a_caller_may_refuse_it(tmp_path: Path) -> None:
    async with company(tmp_path, BEGIN, REST) as (gateway, (_, two)):
        status, data, _ = await gateway.post(body=ASKED, headers={"x-edgegate-midstream": "error"})
        assert (status, two.seen) == (200, [])
        assert b'"error"' in data
        status, data, _ = await gateway.post(body=ASKED, headers={"x-edgegate-midstream": "perhaps"})
        assert (status, b"x-edgegate-midstream" in data) == (400, True)


async def test_a_caller_that_leaves_in_the_gap_frees_the_provider(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def silent(seen: Seen, writer: Any) -> None:
        assert await seen.reader.read() == b""  # until the gateway closes
        left.set()
        writer.close()

    async with company(tmp_path, BEGIN, (silent,)) as (gateway, (_, two)):
        async with gateway.http.post(gateway.url + "/v1/chat/completions", json=ASKED) as response:
            assert response.status == 200
            await until(lambda: len(two.seen) == 1)
            response.close()
        async with asyncio.timeout(3):
            await left.wait()
        assert [tried[:2] for tried in await attempts(gateway)] == [("one", "upstream_broke"), ("two", "client_gone")]
        assert gateway.lines()[0]["outcome"] == "client_gone"
        assert gateway.faults() == []
