"""Recorded replies of `/v1/messages`: watched unchanged, translated to a chat, and from the chat back to a Message."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegate.dialects.anthropic import AnthropicProvider, MessagesClient
from edgegate.dialects.base import Ask, Progress
from edgegate.taps import Outcome, Tap
from tests.corpus import Recording, corpus, recordings
from tests.wire.anthropic_sdks import Seen, by_anthropic, by_openai

FORMAT = "anthropic.messages"
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
BACK = {"pause_turn": "end_turn", "model_context_window_exceeded": "max_tokens"}  # the chat has no word for these
PROVIDER = AnthropicProvider()
CLIENT = MessagesClient()
TERMINAL = (b"message_stop", b"message_delta", b"[DONE]", b'"finish_reason":"')

streams = corpus("anthropic/messages", where=lambda r: r.streamed and r.status == 200)
plain = corpus("anthropic/messages", where=lambda r: not r.streamed and r.status == 200)
errors = corpus("anthropic/messages", where=lambda r: r.status >= 400)


@cache
def recorded_streams() -> list[Recording]:
    return recordings("anthropic/messages", where=lambda r: r.streamed and r.status == 200)


def ask(stream: bool = True) -> Ask:
    return Ask({"model": "asked", "messages": []}, "asked", stream, "chatcmpl-1", 1700000000, True)


def run(tap: Tap, *pieces: bytes) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(Outcome.OK)


def halves(body: bytes, limit: int = 6144) -> list[int]:
    """Places to split a stream in two: everywhere, in a large one every 97th."""
    return list(range(1, len(body), 1 if len(body) <= limit else 97))


def counted(progress: Progress) -> dict[str, int]:
    usage = progress.usage
    assert usage.reported
    return {
        "input": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "written": usage.cache_write_tokens,
        "read": usage.cached_tokens,
        "hour": usage.cache_write_1h_tokens,
        "output": usage.output_tokens,
        "thinking": usage.reasoning_tokens,
    }


def in_chat(usage: dict[str, int]) -> dict[str, int]:
    """Anthropic's counts in the chat's algebra."""
    prompt = usage["input"] + usage["written"] + usage["read"]
    return {
        "prompt": prompt,
        "completion": usage["output"],
        "total": prompt + usage["output"],
        "cached": usage["read"],
        "written": usage["written"],
        "hour": usage["hour"],
        "reasoning": usage["thinking"],
    }


def assert_whole(progress: Progress, original: Seen) -> None:
    assert progress.error is None
    assert progress.started
    assert progress.finished
    assert progress.model == original.model
    assert progress.finish_reason == FINISH[str(original.finish)]
    assert counted(progress) == original.usage


def assert_same_in_chat(seen: Seen, original: Seen) -> None:
    assert seen.text == original.text
    assert seen.calls == original.calls
    assert seen.thinking == original.thinking
    assert seen.finish == FINISH[str(original.finish)]
    assert seen.usage == in_chat(original.usage)
    assert seen.model == original.model


def assert_same_again(seen: Seen, original: Seen) -> None:
    assert seen.text == original.text
    assert seen.calls == original.calls
    assert seen.thinking == original.thinking
    assert seen.finish == BACK.get(str(original.finish), original.finish)
    assert seen.sequence == original.sequence
    assert seen.usage == original.usage


@streams
def test_a_watched_stream_goes_on_unchanged_however_it_is_cut(recording: Recording) -> None:
    body = recording.body
    original = by_anthropic(body, streamed=True)
    once = Progress()
    assert run(PROVIDER.watch(FORMAT, ask(), once), body) == body
    assert_whole(once, original)
    byte_by_byte = Progress()
    assert run(PROVIDER.watch(FORMAT, ask(), byte_by_byte), *(bytes([byte]) for byte in body)) == body
    assert byte_by_byte == once
    for at in halves(body):
        progress = Progress()
        assert run(PROVIDER.watch(FORMAT, ask(), progress), body[:at], body[at:]) == body
        assert progress == once


@streams
def test_a_watched_stream_is_passed_on_in_whole_events_and_without_delay(recording: Recording) -> None:
    tap = PROVIDER.watch(FORMAT, ask(), Progress())
    sent = b""
    for at in range(0, len(recording.body), 7):
        sent += tap.feed(recording.body[at : at + 7])
        so_far = recording.body[: at + 7]
        assert sent == so_far[: so_far.rfind(b"\n\n") + 2 if b"\n\n" in so_far else 0]


@streams
def test_a_translated_stream_reads_the_same_in_the_openai_sdk(recording: Recording) -> None:
    body = recording.body
    progress = Progress()
    chunks = run(PROVIDER.stream(ask(), progress), body)
    original = by_anthropic(body, streamed=True)
    assert_whole(progress, original)
    assert chunks.endswith(b"data: [DONE]\n\n")
    assert chunks.count(b"[DONE]") == 1
    assert_same_in_chat(by_openai(chunks, streamed=True), original)


@streams
def test_a_translated_stream_is_the_same_however_it_is_cut(recording: Recording) -> None:
    body = recording.body
    once = Progress()
    chunks = run(PROVIDER.stream(ask(), once), body)
    byte_by_byte = Progress()
    assert run(PROVIDER.stream(ask(), byte_by_byte), *(bytes([byte]) for byte in body)) == chunks
    assert byte_by_byte == once
    for at in halves(body, 1536)[:: 1 if len(body) <= 1536 else 3]:
        progress = Progress()
        assert run(PROVIDER.stream(ask(), progress), body[:at], body[at:]) == chunks
        assert progress == once


@streams
def test_a_stream_comes_back_whole_from_the_chat(recording: Recording) -> None:
    chunks = run(PROVIDER.stream(ask(), Progress()), recording.body)
    again = run(CLIENT.stream(recording.request, "chatcmpl-1"), chunks)
    assert_same_again(by_anthropic(again, streamed=True), by_anthropic(recording.body, streamed=True))
    assert run(CLIENT.stream(recording.request, "chatcmpl-1"), *(bytes([byte]) for byte in chunks)) == again


@streams
def test_blocks_come_one_after_the_other_with_indexes_from_zero(recording: Recording) -> None:
    chunks = run(PROVIDER.stream(ask(), Progress()), recording.body)
    events = [
        json.loads(line[6:]) for line in run(CLIENT.stream(recording.request, "i"), chunks).splitlines() if line.startswith(b"data: ")
    ]
    assert [event["type"] for event in (events[0], *events[-2:])] == ["message_start", "message_delta", "message_stop"]
    current, is_open = -1, False
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == current + 1
            current, is_open = event["index"], True
        else:
            assert is_open
            assert event["index"] == current
            is_open = event["type"] != "content_block_stop"
    assert not is_open


@streams
def test_a_stream_cut_before_its_stop_reason_is_never_presented_as_whole(recording: Recording) -> None:
    body = recording.body
    stop = body.index(b"event: message_delta")
    for at in {stop, stop // 2, stop + 60, len(b"event: message_start\n")}:
        for outcome in (Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT, Outcome.DRAINED, Outcome.OK):
            watched, translated = Progress(), Progress()
            watch, stream, encode = (
                PROVIDER.watch(FORMAT, ask(), watched),
                PROVIDER.stream(ask(), translated),
                CLIENT.stream({"model": "m"}, "i"),
            )
            native = watch.feed(body[:at]) + watch.end(outcome)
            chunks = stream.feed(body[:at]) + stream.end(outcome)
            again = encode.feed(chunks) + encode.end(outcome)
            assert not watched.finished
            assert not translated.finished
            assert native == b"" or native.endswith(b"\n\n")
            for sent in (native, chunks, again):
                assert not [word for word in TERMINAL if word in sent]


@streams
def test_a_stream_without_message_stop_is_whole_once_it_has_its_stop_reason(recording: Recording) -> None:
    body = recording.body[: recording.body.index(b"event: message_stop")]
    for cut in (body, body[:-2]):  # also without the last blank line
        progress = Progress()
        sent = run(PROVIDER.watch(FORMAT, ask(), progress), cut)
        assert sent == body + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'  # clients wait for it
        assert progress.finished
        progress = Progress()
        assert run(PROVIDER.stream(ask(), progress), cut) == run(PROVIDER.stream(ask(), Progress()), recording.body)
        assert progress.finished


@streams
def test_an_error_event_is_kept_back_with_all_that_follows(recording: Recording) -> None:
    body = recording.body
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    at = body.index(b"event: message_delta")
    broken = body[:at] + error + body[at:]
    for pieces in ([broken], [broken[i : i + 50] for i in range(0, len(broken), 50)]):
        watched, translated = Progress(), Progress()
        assert run(PROVIDER.watch(FORMAT, ask(), watched), *pieces) == body[:at]
        chunks = run(PROVIDER.stream(ask(), translated), *pieces)
        assert b"[DONE]" not in chunks
        for progress in (watched, translated):
            assert not progress.finished
            assert progress.error is not None
            assert (progress.error.status, progress.error.message) == (529, "Overloaded")
            assert progress.error.retryable
            assert CLIENT.error_event(progress.error, "req_1") == error


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_random_cuts_change_nothing(data: st.DataObject) -> None:
    found = recorded_streams()
    if not found:
        pytest.skip("no recordings")
    body = data.draw(st.sampled_from(found)).body
    ending = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    body = body.replace(b"\n", ending)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    once, watched, translated = Progress(), Progress(), Progress()
    chunks = run(PROVIDER.stream(ask(), once), body)
    assert once.finished
    assert run(PROVIDER.watch(FORMAT, ask(), watched), *pieces) == body
    assert run(PROVIDER.stream(ask(), translated), *pieces) == chunks
    assert watched == translated == once


@plain
def test_a_plain_reply_reads_the_same_in_the_openai_sdk(recording: Recording) -> None:
    original = by_anthropic(recording.body, streamed=False)
    progress = Progress()
    completion = PROVIDER.whole(ask(False), recording.body, progress)
    assert_whole(progress, original)
    assert_same_in_chat(by_openai(completion, streamed=False), original)
    glanced = Progress()
    PROVIDER.glance(FORMAT, recording.body, glanced)
    assert glanced == progress


@plain
def test_a_plain_reply_comes_back_whole_from_the_chat(recording: Recording) -> None:
    completion = PROVIDER.whole(ask(False), recording.body, Progress())
    again = by_anthropic(CLIENT.whole(recording.request, completion), streamed=False)
    assert_same_again(again, by_anthropic(recording.body, streamed=False))


@errors
def test_a_recorded_error_keeps_its_words_and_its_bytes(recording: Recording) -> None:
    error = PROVIDER.error(recording.status, recording.headers, recording.body)
    said: Any = json.loads(recording.body)["error"]
    assert error.status == recording.status
    assert error.message == said["message"]
    assert error.details == {"type": said["type"]}
    assert not error.retryable
    assert CLIENT.error(error, "req_ours") == recording.body
