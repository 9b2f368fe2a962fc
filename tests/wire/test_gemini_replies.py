"""Every recorded reply of Gemini and Vertex, as the openai SDK reads our translation and as google-genai reads the original."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Progress
from edgegate.dialects.gemini import GeminiProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome, Tap
from tests.corpus import Recording, corpus, recordings
from tests.wire.gemini_sdks import Answer, Sdks, ask_for, documents

PROVIDER = GeminiProvider()
FOLDERS = ("gemini/generate", "vertex/generate")
MINUTE_LIMIT = 6 * 1024


@pytest.fixture(scope="module")
def sdks() -> Sdks:
    return Sdks()


def is_plain(recording: Recording) -> bool:
    return recording.status == 200 and "stream" not in recording.features


def is_stream(recording: Recording) -> bool:
    return recording.status == 200 and "stream" in recording.features


def translate(recording: Recording, pieces: list[bytes] | None = None, **more: Any) -> tuple[bytes, Progress]:
    progress = Progress()
    tap = PROVIDER.stream(ask_for(stream=True, **more), progress)
    return feed(tap, pieces or [recording.body]), progress


def feed(tap: Tap, pieces: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)


def assert_same(ours: Answer, theirs: Answer) -> None:
    """Equal in all but the ids of calls that Gemini gave none."""
    assert len(ours.calls) == len(theirs.calls)
    ids = [id for id, *_ in ours.calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    calls = [
        (theirs_id and id, name, args, signature)
        for (id, name, args, signature), (theirs_id, *_) in zip(ours.calls, theirs.calls, strict=True)
    ]
    assert replace(ours, calls=calls) == theirs


@corpus(*FOLDERS, where=is_plain)
def test_plain_reply_reads_the_same_in_both_sdks(recording: Recording, sdks: Sdks) -> None:
    theirs = sdks.by_google(recording)
    progress = Progress()
    if theirs.finish == "OTHER":
        with pytest.raises(GatewayError) as error:
            PROVIDER.whole(ask_for(), recording.body, progress)
        assert (error.value.status, error.value.code) == (502, "bad_reply")
        return
    body = PROVIDER.whole(ask_for(), recording.body, progress)
    assert_same(sdks.by_openai(body, stream=False), theirs)
    assert progress.finished
    assert progress.started
    assert progress.model == theirs.model
    assert progress.finish_reason == theirs.finish
    usage = progress.usage
    assert theirs.counts == (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens)


@corpus(*FOLDERS, where=is_plain)
def test_our_sum_of_tokens_is_googles_total(recording: Recording) -> None:
    progress = Progress()
    PROVIDER.glance("gemini.generate", recording.body, progress)
    assert progress.usage.input_tokens + progress.usage.output_tokens == documents(recording)[0]["usageMetadata"].get("totalTokenCount", 0)


@corpus(*FOLDERS, where=is_stream)
def test_stream_reads_the_same_in_both_sdks(recording: Recording, sdks: Sdks) -> None:
    out, progress = translate(recording)
    theirs = sdks.by_google(recording)
    assert_same(sdks.by_openai(out, stream=True), theirs)
    assert progress.finished
    assert progress.events == len(documents(recording))
    assert out.endswith(b"data: [DONE]\n\n")
    assert out.count(b"[DONE]") == 1


@corpus(*FOLDERS, where=is_stream)
def test_stream_without_usage_asked_for_has_no_usage_chunk(recording: Recording) -> None:
    with_usage, _ = translate(recording)
    without, progress = translate(recording, include_usage=False)
    assert b'"usage"' not in without
    *chunks, usage, done, last = with_usage.split(b"\n\n")
    assert (done, last) == (b"data: [DONE]", b"")
    assert json.loads(usage[6:])["choices"] == []
    assert without.split(b"\n\n") == [*chunks, done, last]
    assert progress.usage.reported


@corpus(*FOLDERS, where=is_stream)
def test_stream_cut_anywhere_in_two_reads_the_same(recording: Recording) -> None:
    body = recording.body
    expected, _ = translate(recording)
    for at in range(1, len(body), 1 if len(body) <= MINUTE_LIMIT else 97):
        assert translate(recording, [body[:at], body[at:]])[0] == expected


@corpus(*FOLDERS, where=is_stream)
def test_stream_byte_by_byte_reads_the_same(recording: Recording) -> None:
    body = recording.body
    out, progress = translate(recording, [body[at : at + 1] for at in range(len(body))])
    assert out == translate(recording)[0]
    assert progress.finished


@corpus(*FOLDERS, where=is_stream)
def test_watched_stream_goes_by_unchanged(recording: Recording) -> None:
    """Fed whole and in pieces; what is noted agrees with the translating side."""
    body = recording.body
    _, expected = translate(recording)
    for pieces in ([body], [body[at : at + 61] for at in range(0, len(body), 61)]):
        progress = Progress()
        assert feed(PROVIDER.watch("gemini.generate", ask_for(stream=True), progress), pieces) == body
        assert progress == expected


@corpus(*FOLDERS, where=is_plain)
def test_glance_notes_what_translation_does(recording: Recording) -> None:
    glanced, translated = Progress(), Progress()
    PROVIDER.glance("gemini.generate", recording.body, glanced)
    try:
        PROVIDER.whole(ask_for(), recording.body, translated)
    except GatewayError:
        assert glanced.finish_reason == "other"  # noted, not judged
        return
    assert glanced == translated


@corpus(*FOLDERS, where=lambda recording: is_stream(recording) and recording.streamed)
def test_stream_without_its_last_event_is_not_finished(recording: Recording) -> None:
    blocks = recording.body.replace(b"\r\n", b"\n").split(b"\n\n")
    cut = b"\n\n".join(blocks[:-2]) + b"\n\n"
    for outcome in (Outcome.OK, Outcome.UPSTREAM_BROKE):
        progress = Progress()
        out = feed(PROVIDER.stream(ask_for(stream=True), progress), [cut], outcome)
        assert not progress.finished
        assert b"[DONE]" not in out
        assert b'"finish_reason":"' not in out


@corpus(*FOLDERS, where=lambda recording: recording.status != 200)
def test_recorded_error_keeps_its_words(recording: Recording) -> None:
    error = PROVIDER.error(recording.status, recording.headers, recording.body)
    assert error.status == recording.status
    assert error.code == "invalid_request"
    assert error.message == json.loads(recording.body)["error"]["message"]
    assert not error.retryable
    assert error.wire is not None
    assert error.wire.body == recording.body


@corpus("gemini/count_tokens", where=lambda recording: recording.status == 404)
def test_unknown_model_is_model_not_found(recording: Recording) -> None:
    error = PROVIDER.error(recording.status, recording.headers, recording.body)
    assert (error.status, error.code, error.retryable) == (404, "model_not_found", False)


@corpus("gemini/embeddings")
def test_recorded_embeddings_become_openais(recording: Recording, sdks: Sdks) -> None:
    texts = [request["content"]["parts"][0]["text"] for request in recording.request["requests"]]
    request = {"model": "any", "input": texts}
    wire = PROVIDER.embed(request, "gemini-embedding-2")
    assert wire.path == recording.path
    assert json.loads(wire.body) == recording.request
    vectors = [embedding["values"] for embedding in json.loads(recording.body)["embeddings"]]
    for form in ("float", "base64"):
        progress = Progress()
        sdks.body = PROVIDER.embedded({**request, "encoding_format": form}, "gemini-embedding-2", recording.body, progress)
        sdks.kind = "application/json"
        reply = sdks.openai.embeddings.create(model="any", input=texts)  # decodes base64 by itself
        for item, vector in zip(reply.data, vectors, strict=True):
            assert item.embedding == pytest.approx(vector, rel=1e-6)
        assert reply.usage.prompt_tokens == progress.usage.input_tokens == 11


STREAMS = recordings("gemini/generate", where=is_stream)


@pytest.mark.skipif(not STREAMS, reason="no recordings")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_stream_in_any_pieces_reads_the_same(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(STREAMS))
    body = recording.body
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=20)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert translate(recording, pieces)[0] == translate(recording)[0]
