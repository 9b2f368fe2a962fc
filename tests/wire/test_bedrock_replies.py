"""Recorded Converse replies, plain and streamed: OpenAI's SDK reads from the translation what boto3 reads from the recording."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.bedrock.reply import finish_of
from edgegate.dialects.chat import DONE
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.eventstream import FrameReader
from tests.corpus import Recording, corpus, recordings
from tests.wire.bedrock_sdk import SIDE, ask_for, by_boto, fed, translated
from tests.wire.mistral_ollama_sdks import by_openai


def is_stream(recording: Recording) -> bool:
    return recording.status == 200 and recording.path.endswith("/converse-stream")


def is_plain(recording: Recording) -> bool:
    return recording.status == 200 and recording.path.endswith("/converse")


def ask_of(recording: Recording) -> Ask:
    return ask_for(model=unquote(recording.path.split("/")[2]), stream=is_stream(recording))


STREAMS = recordings("bedrock/converse", where=is_stream)


def messages(body: bytes, *, stream: bool) -> list[dict[str, Any]]:
    """The messages or deltas of choice 0 in a translation."""
    if not stream:
        return [orjson.loads(body)["choices"][0]["message"]]
    chunks = [orjson.loads(event[6:]) for event in body.removesuffix(DONE).split(b"\n\n") if event]
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


@corpus("bedrock/converse", where=lambda r: r.status == 200)
def test_openai_sdk_reads_from_the_translation_what_boto3_reads_from_the_recording(recording: Recording) -> None:
    ask = ask_of(recording)
    expected = by_boto(recording.body, stream=ask.stream)
    body, progress = translated(recording.body, ask)
    answer = by_openai(body, stream=ask.stream)
    assert (answer.text, answer.reasoning, answer.calls) == (expected.text, expected.reasoning, expected.calls)
    assert answer.finish == progress.finish_reason == finish_of(expected.stop, bool(expected.calls))
    usage = progress.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens) == expected.counts
    assert answer.counts == (usage.input_tokens, usage.output_tokens, usage.input_tokens + usage.output_tokens)
    assert usage.reported
    assert progress.started
    assert progress.finished
    assert progress.error is None
    thinking = [block for message in messages(body, stream=ask.stream) for block in message.get("thinking_blocks", [])]
    assert [block["signature"] for block in thinking if block["type"] == "thinking"] == expected.signatures
    assert [block["data"] for block in thinking if block["type"] == "redacted_thinking"] == expected.redacted


@corpus("bedrock/converse", where=lambda r: is_plain(r) and "reasoning" in r.file.stem)
def test_signed_reasoning_comes_back_to_bedrock_as_it_was(recording: Recording) -> None:
    ask = ask_of(recording)
    message = messages(translated(recording.body, ask)[0], stream=False)[0]
    chat = {"messages": [{"role": "user", "content": "Why?"}, message, {"role": "user", "content": "Go on"}]}
    sent = orjson.loads(SIDE.request(ask_for(chat, model=ask.model)).body)["messages"][1]["content"]
    original = orjson.loads(recording.body)["output"]["message"]["content"]
    signed = [block for block in original if "signature" in block.get("reasoningContent", {}).get("reasoningText", {})]
    signed += [block for block in original if "redactedContent" in block.get("reasoningContent", {})]
    assert [block for block in sent if "reasoningContent" in block] == signed


@corpus("bedrock/converse", where=is_stream)
def test_a_stream_fed_byte_by_byte_is_translated_the_same(recording: Recording) -> None:
    ask = ask_of(recording)
    expected = translated(recording.body, ask)
    progress = Progress()
    body = recording.body
    assert fed(SIDE.stream(ask, progress), [body[at : at + 1] for at in range(len(body))]) == expected[0]
    assert progress == expected[1]


@pytest.mark.skipif(not STREAMS, reason="no recordings")
@settings(max_examples=60)
@given(st.data())
def test_a_stream_cut_anyhow_is_translated_the_same(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(STREAMS))
    body, ask = recording.body, ask_of(recording)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=12))
    parts = [body[a:b] for a, b in pairwise([0, *sorted(cuts), len(body)])]
    assert fed(SIDE.stream(ask, Progress()), parts) == translated(body, ask)[0]


@corpus("bedrock/converse", where=is_stream)
def test_every_event_goes_out_with_the_frame_that_brings_it(recording: Recording) -> None:
    ask = ask_of(recording)
    tap, reader, progress = SIDE.stream(ask, Progress()), FrameReader(), Progress()
    body, at = recording.body, 0
    watch = SIDE.watch("converse", ask, progress)
    while at < len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        piece = body[at : at + length]
        (frame,) = reader.feed(piece)
        out = tap.feed(piece)
        delta = orjson.loads(frame.payload).get("delta", {})
        if delta.get("text") or delta.get("toolUse", {}).get("input") or delta.get("reasoningContent", {}).get("text"):
            assert out
        assert watch.feed(piece) is piece
        at += length
    assert watch.end(Outcome.OK) == b""
    assert progress == translated(body, ask)[1]


@corpus("bedrock/converse", where=is_stream)
def test_a_stream_that_breaks_off_before_its_stop_is_never_presented_as_whole(recording: Recording) -> None:
    body, ask = recording.body, ask_of(recording)
    stop = body.rfind(b"messageStop")
    for at in range(0, stop, max(1, stop // 40)):
        for outcome in Outcome:
            progress = Progress()
            out = fed(SIDE.stream(ask, progress), [body[:at]], outcome)
            assert not progress.finished
            assert b"[DONE]" not in out
            assert b'"finish_reason":"' not in out


@corpus("bedrock/converse", where=is_stream)
def test_an_answer_whose_counts_never_come_is_whole_all_the_same(recording: Recording) -> None:
    body, ask = recording.body, ask_of(recording)
    last = body.rfind(b":event-type\x07\x00\x08metadata") - 13
    progress = Progress()
    out = fed(SIDE.stream(ask, progress), [body[:last]])
    assert out.endswith(DONE)
    assert progress.finished
    assert not progress.usage.reported
    assert by_openai(out, stream=True).text == by_boto(body, stream=True).text
    assert DONE not in fed(SIDE.stream(ask, Progress()), [body[:last]], Outcome.UPSTREAM_BROKE)


@corpus("bedrock/converse", where=is_plain)
def test_half_a_plain_reply_is_an_error(recording: Recording) -> None:
    for at in range(0, len(recording.body), max(1, len(recording.body) // 25)):
        with pytest.raises(GatewayError) as caught:
            SIDE.whole(ask_of(recording), recording.body[:at], Progress())
        assert (caught.value.status, caught.value.code) == (502, "bad_reply")


@corpus("bedrock/", where=lambda r: r.status >= 400)
def test_recorded_errors_keep_their_words(recording: Recording) -> None:
    error = SIDE.error(recording.status, recording.headers, recording.body)
    assert error.status == 400
    assert error.message == orjson.loads(recording.body)["message"]
    assert error.code == ("model_not_found" if "identifier" in error.message else "invalid_request")
    assert not error.retryable
    assert error.wire is not None
    assert error.wire.body == recording.body


@corpus("bedrock/count_tokens", where=lambda r: r.status == 200)
def test_recorded_counts_are_read(recording: Recording) -> None:
    assert SIDE.counted(ask_for(), recording.body) == orjson.loads(recording.body)["inputTokens"]


@corpus("bedrock/invoke", where=lambda r: "embed" in r.path)
def test_recorded_embeddings_are_read_in_both_encodings(recording: Recording) -> None:
    request: dict[str, Any] = {"input": recording.request["texts"], "encoding_format": "float"}
    model = unquote(recording.path.split("/")[2])
    vectors = orjson.loads(recording.body)["embeddings"]
    for encoding in ("float", "base64"):
        reply = orjson.loads(SIDE.embedded({**request, "encoding_format": encoding}, model, recording.body, Progress()))
        found = [item["embedding"] for item in reply["data"]]
        assert found == vectors if encoding == "float" else all(len(base64.b64decode(item)) == 4 * len(vectors[0]) for item in found)
        assert [item["index"] for item in reply["data"]] == list(range(len(vectors)))
    wire = SIDE.embed({"model": "m", "input": recording.request["texts"], "truncate": "END"}, model)
    assert wire.path == recording.path
    assert orjson.loads(wire.body) == {
        "texts": recording.request["texts"],
        "input_type": "search_document",
        "truncate": "END",
        "embedding_types": ["float"],
    }
