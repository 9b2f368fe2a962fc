"""Recorded plain replies, requests and errors of OpenAI and its likes."""

from __future__ import annotations

import orjson
import pytest

from edgegate.dialects.base import Progress
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.completions import CompletionsClient
from edgegate.dialects.openai.embeddings import EmbeddingsClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus
from tests.wire.openai_sdk import ask_for, read_embeddings, read_text, read_whole
from tests.wire.test_openai_streams import CHAT

SIDE = OpenAIProvider()
CHECKS = {"chat": ChatClient().check, "completions": CompletionsClient().check, "embeddings": EmbeddingsClient().check}


def plain(recording: Recording) -> bool:
    return recording.status == 200 and not recording.streamed


@corpus(*CHAT, "openai/completions", "openai/embeddings", where=lambda r: r.status == 200 and bool(r.request))
def test_every_recorded_request_that_was_answered_passes_the_checks(recording: Recording) -> None:
    CHECKS[recording.raw["kind"]](recording.request)


@corpus(*CHAT, where=plain)
def test_a_plain_reply_reads_the_same_in_the_sdk_once_put_right(recording: Recording) -> None:
    progress = Progress()
    out = SIDE.whole(ask_for(recording.request), recording.body, progress)
    before, after = read_whole(recording.body), read_whole(out)
    for index in after.finish:
        if before.finish.get(index) not in ("stop", "length", "tool_calls", "content_filter", "function_call"):
            before.finish[index] = "tool_calls" if before.calls.get(index) else "stop"  # Together's `eos`, Snowflake's ""
    assert after == before
    assert progress.finish_reason == after.finish[0]
    assert progress.started
    assert progress.finished
    reply = orjson.loads(out)
    assert reply["id"]
    assert all("reasoning" not in choice["message"] for choice in reply["choices"])


@corpus("openai/chat", where=plain)
def test_openai_s_own_reply_is_not_touched(recording: Recording) -> None:
    assert SIDE.whole(ask_for(recording.request), recording.body, Progress()) is recording.body


@corpus(*CHAT, where=plain)
def test_a_native_reply_is_understood_as_the_sdk_understands_it(recording: Recording) -> None:
    progress = Progress()
    SIDE.glance("openai.chat", recording.body, progress)
    answer = read_whole(recording.body)
    usage = progress.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) == answer.usage
    assert progress.model == answer.chunks[0].model


@corpus(*CHAT, "openai/completions", where=plain)
def test_a_reply_cut_anywhere_is_an_error_and_never_an_answer(recording: Recording) -> None:
    body = recording.body
    for at in {0, 1, len(body) // 3, len(body) // 2, len(body) - 1}:
        with pytest.raises(GatewayError) as caught:
            SIDE.whole(ask_for(recording.request), body[:at], Progress())
        assert caught.value.status == 502
        assert caught.value.code == "bad_reply"
        assert caught.value.retryable


@corpus("openai/completions", where=plain)
def test_a_native_completion_is_understood(recording: Recording) -> None:
    progress = Progress()
    SIDE.glance("openai.completions", recording.body, progress)
    _, finish, usage = read_text(recording.body, stream=False)
    assert progress.usage.input_tokens == usage.prompt_tokens
    assert progress.usage.output_tokens == (usage.completion_tokens or 0)
    assert progress.finish_reason == finish[0]


@corpus("openai/embeddings", where=plain)
def test_embeddings_pass_and_are_counted(recording: Recording) -> None:
    progress = Progress()
    request = recording.request
    assert SIDE.embedded(request, request["model"], recording.body, progress) is recording.body
    assert progress.usage.input_tokens == orjson.loads(recording.body)["usage"]["prompt_tokens"]
    assert progress.finished
    SIDE.glance("openai.embeddings", recording.body, Progress())
    assert all(read_embeddings(recording.body))


@corpus("openai/embeddings", where=lambda r: plain(r) and r.request.get("encoding_format") == "base64")
def test_vectors_are_encoded_for_a_client_that_asked_for_base64(recording: Recording) -> None:
    reply = orjson.loads(recording.body)
    vectors = read_embeddings(recording.body)
    for item, vector in zip(reply["data"], vectors, strict=True):
        item["embedding"] = vector
    out = SIDE.embedded(recording.request, "m", orjson.dumps(reply), Progress())
    assert read_embeddings(out) == vectors
    assert all(isinstance(item["embedding"], str) for item in orjson.loads(out)["data"])


ERRORS = {400: "invalid_request_error", 401: "authentication_error", 404: "invalid_request_error"}


@corpus("openai", "groq/chat", "azure/embeddings", where=lambda r: r.status >= 400)
def test_a_recorded_error_keeps_its_status_and_words(recording: Recording) -> None:
    error = SIDE.error(recording.status, recording.headers, recording.body)
    recorded = orjson.loads(recording.body)["error"]
    assert error.status == recording.status
    assert not error.retryable
    assert error.param == recorded.get("param")
    assert error.code in (recorded["code"], recorded.get("type"), "invalid_api_key")
    shown = orjson.loads(ChatClient().error(error, "r1"))["error"]
    if recording.status == 401 and recorded.get("code") == "invalid_api_key":
        assert shown["message"].startswith("Incorrect API key provided: ***")
        assert b"sk-fake-key" not in ChatClient().error(error, "r1")
        assert shown.keys() >= {"message", "type", "param", "code"}
    else:
        assert ChatClient().error(error, "r1") == recording.body
