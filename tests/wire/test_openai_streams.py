"""Recorded streams of OpenAI and its likes: passed through unchanged, and put right for translators, however they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Progress
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus, recordings
from tests.wire.openai_sdk import ask_for, read_stream, read_text, run, state

SIDE = OpenAIProvider()
CHAT = ("openai/chat", "groq/chat", "together/chat", "deepseek/chat", "openrouter/chat", "cerebras/chat", "huggingface/chat",
        "writer/chat", "snowflake/chat", "zai/chat", "azure/chat")  # fmt: skip


def streamed(recording: Recording) -> bool:
    return recording.streamed and recording.status == 200 and bool(recording.body)


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]


def sent(body: bytes) -> bytes:
    """What a client gets of a stream: its bytes, and `[DONE]` if it had none (writer/chat-stream-tools-toolcall-stop-be13155f)."""
    return body if b"data: [DONE]" in body else body + b"data: [DONE]\n\n"


def positions(size: int, short: int) -> Iterator[int]:
    """Every position of a short stream, and of a long one those that matter most and a comb over the rest."""
    if size <= short:
        return iter(range(1, size))
    return iter(sorted({*range(1, 300), *range(300, size - 300, 97), *range(size - 300, size)}))


@corpus(*CHAT, where=streamed)
def test_a_native_stream_passes_byte_for_byte(recording: Recording) -> None:
    progress = Progress()
    tap = SIDE.watch("openai.chat", ask_for(recording.request), progress)
    assert tap.feed(recording.body) is recording.body
    assert recording.body + tap.end(Outcome.OK) == sent(recording.body)
    assert progress.started
    assert progress.finished
    assert progress.error is None


@corpus(*CHAT, where=streamed)
def test_a_native_stream_is_understood_as_the_sdk_understands_it(recording: Recording) -> None:
    progress = Progress()
    run(SIDE.watch("openai.chat", ask_for(recording.request), progress), [recording.body])
    answer = read_stream(recording.body)
    usage = progress.usage
    counted = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    assert (counted if usage.reported else None) == answer.usage
    assert progress.finish_reason == answer.finish.get(0, "stop")
    assert progress.model == next(chunk.model for chunk in answer.chunks if chunk.model)
    assert progress.events == len(answer.chunks)


@corpus(*CHAT, where=streamed)
def test_a_client_that_did_not_ask_for_usage_gets_all_but_the_usage_chunk(recording: Recording) -> None:
    tap = SIDE.watch("openai.chat", ask_for(recording.request, include_usage=False), Progress())
    out = run(tap, [recording.body])
    kept = [event for event in recording.body.split(b"\n\n") if not (b'"choices":[]' in event and b'"usage":{' in event)]
    assert out == sent(b"\n\n".join(kept))


@corpus(*CHAT, where=streamed)
def test_a_native_stream_is_the_same_wherever_it_is_cut(recording: Recording) -> None:
    body, ask = recording.body, ask_for(recording.request)
    whole = Progress()
    run(SIDE.watch("openai.chat", ask, whole), [body])
    for at in positions(len(body), 6144):
        progress = Progress()
        tap = SIDE.watch("openai.chat", ask, progress)
        head = tap.feed(body[:at])
        assert head.endswith(b"\n\n") or not head
        assert head + tap.feed(body[at:]) + tap.end(Outcome.OK) == sent(body), at
        assert progress == whole, at


@corpus(*CHAT, where=streamed)
def test_a_native_stream_is_the_same_byte_by_byte(recording: Recording) -> None:
    whole, progress = Progress(), Progress()
    run(SIDE.watch("openai.chat", ask_for(recording.request), whole), [recording.body])
    tap = SIDE.watch("openai.chat", ask_for(recording.request), progress)
    assert run(tap, [bytes([byte]) for byte in recording.body]) == sent(recording.body)
    assert progress == whole


@corpus(*CHAT, where=streamed)
def test_a_stream_put_right_reads_the_same_in_the_sdk(recording: Recording) -> None:
    progress = Progress()
    out = run(SIDE.stream(ask_for(recording.request), progress), [recording.body])
    before, after = read_stream(recording.body), read_stream(out)
    before.finish = before.finish or {0: "stop"}  # Snowflake writes none
    assert after == before
    assert out.endswith(b"data: [DONE]\n\n")
    assert progress.finished


@corpus(*CHAT, where=streamed)
def test_a_stream_put_right_is_as_openai_would_write_it(recording: Recording) -> None:
    out = run(SIDE.stream(ask_for(recording.request), Progress()), [recording.body])
    chunks = chunks_of(out)
    told: set[int] = set()
    for chunk in chunks:
        assert chunk["id"]
        assert chunk["created"]
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["choices"] or chunk is chunks[-1]
        for choice in chunk["choices"]:
            assert ("role" in choice["delta"]) == (choice["index"] not in told)
            told.add(choice["index"])
            assert choice["finish_reason"] in (None, "stop", "length", "tool_calls", "content_filter", "function_call")
            assert all(type(call["index"]) is int for call in choice["delta"].get("tool_calls", ()))
    assert [chunk for chunk in chunks if chunk.get("usage")] in ([], chunks[-1:])
    assert b"\n:" not in out


@corpus(*CHAT, where=streamed)
def test_a_stream_put_right_is_the_same_wherever_it_is_cut(recording: Recording) -> None:
    body, ask = recording.body, ask_for(recording.request)
    whole = Progress()
    expected = run(SIDE.stream(ask, whole), [body])
    for at in positions(len(body), 1500):
        progress = Progress()
        assert run(SIDE.stream(ask, progress), [body[:at], body[at:]]) == expected, at
        assert progress == whole, at
    progress = Progress()
    assert run(SIDE.stream(ask, progress), [bytes([byte]) for byte in body]) == expected
    assert progress == whole


@corpus(*CHAT, "openai/completions", where=streamed)
def test_a_stream_cut_before_its_finish_never_looks_finished(recording: Recording) -> None:
    events = recording.body.split(b"\n\n")
    format = f"openai.{'completions' if recording.raw['kind'] == 'completions' else 'chat'}"
    last = max(at for at, event in enumerate(events) if b'"finish_reason":null' in event or b'"finish_reason": null' in event
               or (b'"delta"' in event and b'"finish_reason"' not in event))  # fmt: skip
    for at in range(last + 1):
        head = b"".join(event + b"\n\n" for event in events[:at])
        watched, translated = Progress(), Progress()
        out = run(SIDE.watch(format, ask_for(recording.request), watched), [head, events[at][:20]], Outcome.UPSTREAM_BROKE)
        assert out == head
        assert not watched.finished
        if format == "openai.chat":
            out = run(SIDE.stream(ask_for(recording.request), translated), [head, events[at][:20]], Outcome.UPSTREAM_BROKE)
            assert b"[DONE]" not in out
            assert not translated.finished


@corpus("openai/completions", where=streamed)
def test_a_native_completions_stream_passes_and_is_understood(recording: Recording) -> None:
    progress = Progress()
    tap = SIDE.watch("openai.completions", ask_for(recording.request), progress)
    assert run(tap, [recording.body]) == recording.body
    texts, finish, _ = read_text(recording.body, stream=True)
    assert progress.finished
    assert progress.finish_reason == finish[0]
    assert progress.model.startswith("davinci")
    assert progress.events >= len(texts)


@corpus("openai/chat", where=lambda r: r.streamed and not r.body)
def test_an_empty_stream_is_neither_started_nor_finished(recording: Recording) -> None:
    progress = Progress()
    assert run(SIDE.watch("openai.chat", ask_for(recording.request), progress), [b""]) == b""
    assert not progress.started
    assert not progress.finished


STREAMS = recordings(*CHAT, where=streamed)


@pytest.mark.skipif(not STREAMS, reason="no recordings")
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_cuts_of_any_stream_give_the_same_bytes_and_progress(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(STREAMS))
    body, ask = recording.body, ask_for(recording.request)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    whole, progress = Progress(), Progress()
    assert run(SIDE.watch("openai.chat", ask, progress), pieces) == run(SIDE.watch("openai.chat", ask, whole), [body])
    assert state(progress) == state(whole)
    whole, progress = Progress(), Progress()
    assert run(SIDE.stream(ask, progress), pieces) == run(SIDE.stream(ask, whole), [body])
    assert state(progress) == state(whole)


@pytest.mark.skipif(not STREAMS, reason="no recordings")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_line_ends_of_any_kind_change_nothing(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(STREAMS))
    ask = ask_for(recording.request)
    body = recording.body.replace(b"\n", data.draw(st.sampled_from([b"\r\n", b"\r"])))
    at = data.draw(st.integers(0, len(body)))
    watched, translated, plain = Progress(), Progress(), Progress()
    expected = run(SIDE.stream(ask, plain), [recording.body])
    out = run(SIDE.watch("openai.chat", ask, watched), [body[:at], body[at:]])
    # the LF of the very last CR LF, cut off, comes after the end
    assert out in (sent(body), sent(body[:-1]), body[:-1])
    assert run(SIDE.stream(ask, translated), [body[:at], body[at:]]) == expected
    assert state(watched) == state(translated) == state(plain)
