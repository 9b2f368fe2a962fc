"""Recorded replies of Mistral, and hand-made ones where recordings are thin, read by both SDKs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Progress
from edgegate.dialects.chat import DONE
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus, recordings
from tests.wire.mistral_ollama_sdks import ask_for, by_mistral, by_openai, fed, translated

SIDE = MistralProvider()
STREAMED = [recording.body for recording in recordings("mistral/chat", where=lambda r: r.streamed)]


def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {"id": "c3c7", "object": "chat.completion.chunk", "created": 1762355135, "model": "magistral-medium-2509"}
    return b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n"


def delta(content: Any = "", finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": {"content": content, **more}, "finish_reason": finish}


def thinking(text: str) -> list[dict[str, Any]]:
    return [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]


USAGE = {"prompt_tokens": 9, "total_tokens": 21, "completion_tokens": 12}
THINKING = b"".join(
    [
        event([delta(role="assistant")]),
        event([delta("")]),
        event([delta(thinking("Let me "))]),
        event([delta(thinking("see: \u00e9\U0001f600."))], p="abcdef"),
        event([delta([{"type": "text", "text": "It is"}])]),
        event([delta(" four.")]),
        event([delta("", "stop")], usage=USAGE),
        b"data: [DONE]\n\n",
    ]
)
TWO_CALLS = b"".join(
    [
        event([delta(role="assistant")]),
        event([delta("Looking.")]),
        event(
            [
                delta(
                    None,
                    "tool_calls",
                    tool_calls=[
                        {"id": "EscTeQY62", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
                        {"id": "KikbB849t", "function": {"name": "now", "arguments": "{}"}},
                    ],
                )
            ],
            usage={**USAGE, "num_cached_tokens": 4},
        ),
        b"data: [DONE]\n\n",
    ]
)
CALLS_IN_TWO_CHUNKS = b"".join(
    [
        event([delta(None, role="assistant", tool_calls=[{"index": 0, "id": "EscTeQY62", "function": {"name": "a", "arguments": "{}"}}])]),
        event([delta(None, "tool_calls", tool_calls=[{"index": 0, "id": "KikbB849t", "function": {"name": "b", "arguments": "{}"}}])]),
        b"data: [DONE]\n\n",
    ]
)
MADE = {"thinking": THINKING, "two calls without index": TWO_CALLS, "calls in two chunks": CALLS_IN_TWO_CHUNKS}


@corpus("mistral/chat")
def test_openai_sdk_reads_from_the_translation_what_mistral_sdk_reads_from_the_recording(recording: Recording) -> None:
    body, progress = translated(SIDE, recording.body, stream=recording.streamed)
    expected = by_mistral(recording.body, stream=recording.streamed)
    assert by_openai(body, stream=recording.streamed) == expected
    assert progress.started
    assert progress.finished
    assert progress.finish_reason == expected.finish
    assert (progress.usage.input_tokens, progress.usage.output_tokens) == expected.counts[:2] if expected.counts else ()
    assert progress.usage.reported
    assert progress.model == expected.model


@pytest.mark.parametrize("body", MADE.values(), ids=MADE.keys())
def test_hand_made_streams_read_the_same_by_both_sdks(body: bytes) -> None:
    out, progress = translated(SIDE, body, stream=True)
    assert by_openai(out, stream=True) == by_mistral(body, stream=True)
    assert progress.finished
    assert out.endswith(DONE)


@corpus("mistral/chat", where=lambda r: r.streamed)
def test_a_stream_cut_in_two_anywhere_is_translated_the_same(recording: Recording) -> None:
    body = recording.body
    expected, _ = translated(SIDE, body, stream=True)
    for at in range(len(body) + 1):
        assert fed(SIDE.stream(ask_for(stream=True), Progress()), [body[:at], body[at:]]) == expected


@corpus("mistral/chat", where=lambda r: r.streamed)
def test_a_stream_fed_byte_by_byte_is_translated_the_same(recording: Recording) -> None:
    body = recording.body
    expected, _ = translated(SIDE, body, stream=True)
    assert fed(SIDE.stream(ask_for(stream=True), Progress()), [body[at : at + 1] for at in range(len(body))]) == expected


@given(st.sampled_from([*STREAMED, *MADE.values()]), st.lists(st.integers(0, 12_000), max_size=12))
def test_a_stream_cut_anyhow_is_translated_the_same(body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    parts = [body[a:b] for a, b in pairwise(edges)]
    expected, _ = translated(SIDE, body, stream=True)
    assert fed(SIDE.stream(ask_for(stream=True), Progress()), parts) == expected


@corpus("mistral/chat", where=lambda r: r.streamed)
def test_a_stream_that_breaks_off_before_its_finish_is_never_presented_as_whole(recording: Recording) -> None:
    body = recording.body
    finish = body.index(b'"finish_reason":"') + len(b'"finish_reason":"')
    for at in range(0, finish, 7):
        progress = Progress()
        tap = SIDE.stream(ask_for(stream=True), progress)
        out = tap.feed(body[:at])
        assert tap.end(Outcome.UPSTREAM_BROKE) == b""
        assert not progress.finished
        assert b"[DONE]" not in out
        assert b'"finish_reason":"' not in out


@corpus("mistral/chat", where=lambda r: r.streamed)
def test_even_an_outcome_of_ok_adds_no_done_to_half_an_answer(recording: Recording) -> None:
    body = recording.body
    cut = body[: body.index(b'"finish_reason":"')]
    assert b"[DONE]" not in fed(SIDE.stream(ask_for(stream=True), Progress()), [cut])


@corpus("mistral/chat", where=lambda r: r.streamed)
def test_a_stream_without_its_done_line_and_last_blank_line_is_still_whole(recording: Recording) -> None:
    whole, _ = translated(SIDE, recording.body, stream=True)
    cut = recording.body[: recording.body.index(b"data: [DONE]")].rstrip(b"\n")
    assert fed(SIDE.stream(ask_for(stream=True), Progress()), [cut]) == whole


@corpus("mistral/chat", where=lambda r: r.streamed)
def test_usage_is_removed_for_a_client_that_did_not_ask(recording: Recording) -> None:
    progress = Progress()
    out = fed(SIDE.stream(ask_for(stream=True, include_usage=False), progress), [recording.body])
    assert b'"usage"' not in out
    assert progress.usage.reported
    assert by_openai(out, stream=True).counts is None


@corpus("mistral/chat", where=lambda r: r.streamed)
def test_reading_along_changes_no_byte_and_knows_the_same(recording: Recording) -> None:
    _, expected = translated(SIDE, recording.body, stream=True)
    progress = Progress()
    tap = SIDE.watch("mistral.chat", ask_for(stream=True), progress)
    parts = [recording.body[at : at + 100] for at in range(0, len(recording.body), 100)]
    assert fed(tap, parts) == recording.body
    assert progress == expected


@corpus("mistral/chat", where=lambda r: not r.streamed)
def test_glance_knows_what_whole_knows(recording: Recording) -> None:
    _, expected = translated(SIDE, recording.body, stream=False)
    progress = Progress()
    SIDE.glance("mistral.chat", recording.body, progress)
    assert progress == expected


@corpus("mistral/chat", where=lambda r: not r.streamed)
def test_half_a_plain_reply_is_an_error(recording: Recording) -> None:
    for at in range(0, len(recording.body), max(1, len(recording.body) // 50)):
        with pytest.raises(GatewayError) as caught:
            SIDE.whole(ask_for(stream=False), recording.body[:at], Progress())
        assert (caught.value.status, caught.value.code) == (502, "bad_reply")
