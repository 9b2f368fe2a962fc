"""Azure: OpenAI's bodies at other addresses, with other credentials and errors."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.azure import AzureProvider
from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.openai.client import ChatClient
from edgegate.taps import Outcome

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "data_sources": [{"type": "azure_search"}]}
DATED = AzureProvider("2024-10-21")


def ask(model: str = "gpt-4o", stream: bool = False, **chat: Any) -> Ask:
    return Ask({**CHAT, **chat}, model, stream, "chatcmpl-77", 1, True)


@pytest.mark.parametrize(
    ("version", "chat", "responses"),
    [
        ("", "/openai/v1/chat/completions", "/openai/v1/responses"),
        ("v1", "/openai/v1/chat/completions", "/openai/v1/responses"),
        ("preview", "/openai/v1/chat/completions?api-version=preview", "/openai/v1/responses?api-version=preview"),
        ("2024-02-01", "/openai/deployments/{model}/chat/completions?api-version=2024-02-01", None),
        ("2025-04-01-preview", "/openai/deployments/{model}/chat/completions?api-version=2025-04-01-preview", None),
    ],
)
def test_the_version_tells_the_addresses(version: str, chat: str, responses: str | None) -> None:
    native = AzureProvider(version).native
    assert native["openai.chat"] == chat
    assert native.get("openai.responses") == responses
    assert native["openai.embeddings"] == chat.replace("chat/completions", "embeddings")
    assert native["openai.completions"] == chat.replace("chat/completions", "completions")


def test_the_deployment_is_in_the_path_or_in_the_body() -> None:
    wire = DATED.request(ask("our model/1"))
    assert wire.path == "/openai/deployments/our%20model%2F1/chat/completions?api-version=2024-10-21"
    assert DATED.request(ask("other")).path.startswith("/openai/deployments/other/")
    assert DATED.embed({"input": "x"}, "our model/1").path.startswith("/openai/deployments/our%20model%2F1/embeddings")
    new = AzureProvider().request(ask("ours"))
    assert new.path == "/openai/v1/chat/completions"
    assert orjson.loads(new.body)["model"] == "ours"


def test_the_key_has_a_header_of_its_own() -> None:
    assert DATED.name == "azure"
    assert DATED.authorize("k") == [(b"api-key", b"k")]
    assert DATED.authorize("") == []


@pytest.mark.parametrize(
    ("version", "model", "limit"),
    [
        ("", "ours", "max_completion_tokens"),
        ("2024-10-21", "ours", "max_completion_tokens"),
        ("2024-02-01", "ours", "max_tokens"),
        ("2024-02-01", "o3-mini", "max_completion_tokens"),
    ],
)
def test_the_limit_s_name_follows_the_version(version: str, model: str, limit: str) -> None:
    wire = AzureProvider(version).request(ask(model))
    body = orjson.loads(wire.body)
    assert body[limit] == 9
    assert len({"max_tokens", "max_completion_tokens"} & body.keys()) == 1
    assert body["data_sources"] == CHAT["data_sources"]
    assert wire.dropped == []


def test_old_versions_are_not_asked_for_usage() -> None:
    assert "stream_options" not in orjson.loads(AzureProvider("2024-02-01").request(ask(stream=True)).body)
    assert orjson.loads(AzureProvider().request(ask(stream=True)).body)["stream_options"] == {"include_usage": True}


FILTERED = {
    "error": {
        "message": "The response was filtered",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"hate": {"filtered": False}, "jailbreak": {"filtered": True, "detected": True}},
        },
    }
}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"error": {"code": "401", "message": "Access denied"}}, "invalid_api_key"),
        (
            404,
            {"error": {"type": "invalid_request_error", "code": "DeploymentNotFound", "message": "No such deployment"}},
            "model_not_found",
        ),
        (400, FILTERED, "content_filter"),
        (400, {"error": {**FILTERED["error"], "code": None}}, "content_filter"),
        (429, {"error": {"code": "429", "message": "Slow down"}}, "rate_limit_exceeded"),
        (429, {"error": {"code": "NoCapacity", "message": "Full"}}, "overloaded"),
    ],
)
def test_errors_have_openai_s_codes_and_keep_their_bytes(status: int, body: dict[str, Any], code: str) -> None:
    raw = orjson.dumps(body)
    error = DATED.error(status, {"retry-after-ms": "1500"} if status == 429 else {}, raw)
    assert (error.status, error.code) == (status, code)
    assert error.message.startswith(body["error"]["message"])
    assert error.retry_after_s == (1.5 if status == 429 else None)
    assert ChatClient().error(error, "r") == raw


def test_what_was_filtered_is_said() -> None:
    assert DATED.error(400, {}, orjson.dumps(FILTERED)).message.endswith("(filtered: jailbreak)")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"innererror":3,"code":4}}', b"\xff"])
def test_any_error_body_will_do(body: bytes) -> None:
    assert DATED.error(500, {}, body).status == 500


FIRST = b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
SAFE = {"hate": {"filtered": False, "severity": "safe"}}


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "content_filter_results": SAFE}
    head = {"id": "chatcmpl-az", "object": "chat.completion.chunk", "created": 5, "model": "gpt-4o-2024"}
    return b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"


STREAM = FIRST + chunk({"role": "assistant", "content": ""}) + chunk({"content": "Hi"}) + chunk({}, "stop") + b"data: [DONE]\n\n"


def test_the_first_event_names_neither_the_answer_nor_the_model() -> None:
    progress = Progress()
    tap = DATED.stream(ask(stream=True), progress)
    assert tap.feed(FIRST) == b""
    assert not progress.started
    out = tap.feed(STREAM[len(FIRST) :]) + tap.end(Outcome.OK)
    events = [orjson.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]
    assert {(event["id"], event["model"], event["object"]) for event in events} == {("chatcmpl-az", "gpt-4o-2024", "chat.completion.chunk")}
    assert events[1]["choices"][0]["content_filter_results"] == SAFE
    assert (progress.model, progress.finished) == ("gpt-4o-2024", True)


def test_natively_nothing_changes() -> None:
    progress = Progress()
    tap = DATED.watch("openai.chat", ask(stream=True), progress)
    assert tap.feed(STREAM) + tap.end(Outcome.OK) == STREAM
    assert (progress.model, progress.finish_reason) == ("gpt-4o-2024", "stop")
