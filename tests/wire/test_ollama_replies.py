"""Recorded replies of Ollama's native API, and hand-made ones where recordings are thin, read by both SDKs.

Two recordings under ollama/chat are of its OpenAI facade (`/v1/chat/completions`) and belong to the `openai` dialect; those
under ollama/completions are of `/api/generate`, whose lines are read as well.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Progress
from edgegate.dialects.chat import DONE
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus, recordings
from tests.wire.mistral_ollama_sdks import ask_for, by_ollama, by_openai, fed, translated

SIDE = OllamaProvider()


def is_native(recording: Recording) -> bool:
    return recording.path.startswith("/api/") and recording.status == 200


def is_stream(recording: Recording) -> bool:
    return is_native(recording) and recording.streamed


FOLDERS = ("ollama/chat", "ollama/completions")
STREAMED = [recording.body for recording in recordings(*FOLDERS, where=is_stream)]


def line(message: dict[str, Any], done: bool = False, **more: Any) -> bytes:
    head = {"model": "qwen3", "created_at": "2025-05-27T22:54:57.641643Z"}
    return orjson.dumps({**head, "message": {"role": "assistant", **message}, "done": done, **more}) + b"\n"


def call(name: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**more, "function": {"name": name, "arguments": arguments}}


COUNTS = {"done_reason": "stop", "total_duration": 1, "prompt_eval_count": 169, "eval_count": 15}
THINKING = b"".join(
    [
        line({"content": "", "thinking": "Okay"}),
        line({"content": "", "thinking": ", \u00e9\U0001f600"}),
        line({"content": "Hello"}),
        line({"content": " there"}),
        line({"content": ""}, True, **COUNTS),
    ]
)
CALLS = b"".join(
    [
        line({"content": "", "thinking": "tools"}),
        line({"content": "", "tool_calls": [call("weather", {"city": "Oslo", "days": 2}), call("now", {})]}),
        line({"content": "", "tool_calls": [{"function": {"index": 2, "name": "now", "arguments": {"zone": None}}}]}),
        line({"content": ""}, True, **COUNTS),
    ]
)
CALL_ON_THE_LAST_LINE = line({"content": "", "tool_calls": [call("now", {}, id="call_8k2j")]}, True, **COUNTS)
OLD = line({"content": "Hi"}) + line({"content": ""}, True, eval_count=2)  # no done_reason, no prompt_eval_count
CUT_BY_LENGTH = line({"content": "Hi"}) + line({"content": ""}, True, **{**COUNTS, "done_reason": "length"})
MADE = {
    "thinking": THINKING,
    "calls": CALLS,
    "a call on the last line": CALL_ON_THE_LAST_LINE,
    "an old server": OLD,
    "length": CUT_BY_LENGTH,
    "carriage returns": THINKING.replace(b"\n", b"\r\n"),
}


@corpus(*FOLDERS, where=is_native)
def test_openai_sdk_reads_from_the_translation_what_ollama_sdk_reads_from_the_recording(recording: Recording) -> None:
    body, progress = translated(SIDE, recording.body, stream=recording.streamed)
    expected = by_ollama(recording.body, stream=recording.streamed, generate=recording.path == "/api/generate")
    assert by_openai(body, stream=recording.streamed).without_ids() == expected
    assert progress.started
    assert progress.finished
    assert progress.finish_reason == expected.finish
    assert expected.counts
    assert (progress.usage.input_tokens, progress.usage.output_tokens) == expected.counts[:2]
    assert progress.usage.reported
    assert progress.model == expected.model


@pytest.mark.parametrize("body", MADE.values(), ids=MADE.keys())
def test_hand_made_streams_read_the_same_by_both_sdks(body: bytes) -> None:
    out, progress = translated(SIDE, body, stream=True)
    assert by_openai(out, stream=True).without_ids() == by_ollama(body, stream=True)
    assert progress.finished
    assert out.endswith(DONE)


@pytest.mark.parametrize("body", MADE.values(), ids=MADE.keys())
def test_the_last_line_of_a_stream_alone_reads_like_a_plain_reply(body: bytes) -> None:
    last = body.strip().split(b"\n")[-1]
    out, _ = translated(SIDE, last, stream=False)
    assert by_openai(out, stream=False).without_ids() == by_ollama(last, stream=False)


@pytest.mark.parametrize("body", [*STREAMED, *MADE.values()], ids=range(len(STREAMED) + len(MADE)))
def test_a_stream_cut_in_two_anywhere_is_translated_the_same(body: bytes) -> None:
    expected, _ = translated(SIDE, body, stream=True)
    for at in range(len(body) + 1):
        assert fed(SIDE.stream(ask_for(stream=True), Progress()), [body[:at], body[at:]]) == expected


@pytest.mark.parametrize("body", [*STREAMED, *MADE.values()], ids=range(len(STREAMED) + len(MADE)))
def test_a_stream_fed_byte_by_byte_is_translated_the_same(body: bytes) -> None:
    expected, _ = translated(SIDE, body, stream=True)
    assert fed(SIDE.stream(ask_for(stream=True), Progress()), [body[at : at + 1] for at in range(len(body))]) == expected


@given(st.sampled_from([*STREAMED, *MADE.values()]), st.lists(st.integers(0, 9_000), max_size=12))
def test_a_stream_cut_anyhow_is_translated_the_same(body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    parts = [body[a:b] for a, b in pairwise(edges)]
    expected, _ = translated(SIDE, body, stream=True)
    assert fed(SIDE.stream(ask_for(stream=True), Progress()), parts) == expected


@pytest.mark.parametrize("body", [*STREAMED, *MADE.values()], ids=range(len(STREAMED) + len(MADE)))
def test_a_stream_that_breaks_off_before_its_last_line_is_never_presented_as_whole(body: bytes) -> None:
    last = body.rstrip().rfind(b"\n") + 1
    for at in range(0, last + 1, 5):
        progress = Progress()
        tap = SIDE.stream(ask_for(stream=True), progress)
        out = tap.feed(body[:at])
        assert tap.end(Outcome.UPSTREAM_BROKE) == b""
        assert not progress.finished
        assert b"[DONE]" not in out
        assert b'"finish_reason":"' not in out


@pytest.mark.parametrize("body", [*STREAMED, *MADE.values()], ids=range(len(STREAMED) + len(MADE)))
def test_a_last_line_without_its_line_end_still_ends_the_answer(body: bytes) -> None:
    expected, _ = translated(SIDE, body, stream=True)
    assert fed(SIDE.stream(ask_for(stream=True), Progress()), [body.rstrip()]) == expected


@pytest.mark.parametrize("body", [*STREAMED, *MADE.values()], ids=range(len(STREAMED) + len(MADE)))
def test_reading_along_changes_no_byte_and_knows_the_same(body: bytes) -> None:
    _, expected = translated(SIDE, body, stream=True)
    progress = Progress()
    tap = SIDE.watch("ollama.chat", ask_for(stream=True), progress)
    assert fed(tap, [body[at : at + 33] for at in range(0, len(body), 33)]) == body
    assert progress == expected


@corpus(*FOLDERS, where=lambda r: is_native(r) and not r.streamed)
def test_glance_knows_what_whole_knows(recording: Recording) -> None:
    _, expected = translated(SIDE, recording.body, stream=False)
    progress = Progress()
    SIDE.glance("ollama.chat", recording.body, progress)
    assert progress == expected


@corpus("ollama/chat", where=lambda r: r.status == 404)
def test_the_recorded_404_names_the_model(recording: Recording) -> None:
    error = SIDE.error(recording.status, recording.headers, recording.body)
    assert (error.status, error.code, error.retryable) == (404, "model_not_found", False)
    assert error.message == "model 'nonexistent-model:latest' not found"
    assert error.wire is not None
    assert error.wire.body == recording.body


@corpus(*FOLDERS, where=lambda r: is_native(r) and not r.streamed)
def test_half_a_plain_reply_is_an_error(recording: Recording) -> None:
    for at in range(0, len(recording.body), max(1, len(recording.body) // 50)):
        with pytest.raises(GatewayError) as caught:
            SIDE.whole(ask_for(stream=False), recording.body[:at], Progress())
        assert (caught.value.status, caught.value.code) == (502, "bad_reply")
