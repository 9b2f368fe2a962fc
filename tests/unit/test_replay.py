"""`edgegate replay`: what it says of exchanges made by hand, of files that are none, and that it has something to say of every
recording there is."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgegate.cli import main
from edgegate.dialects.base import Operation
from edgegate.server.recorded import read, understand
from edgegate.server.replay import ReplayError, replay
from edgegate.server.surfaces import Surfaces
from edgegate.wire.eventstream import frame
from tests.corpus import ABSENT, ROOT

CHAT: dict[str, Any] = {
    "provider": "openai",
    "path": "/v1/chat/completions",
    "request": {
        "json": {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "Weather?"}],
            "seed": 7,
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
        }
    },
    "status": 200,
    "response": {
        "headers": {"Content-Type": "application/json"},
        "json": {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Fair."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 4}},
        },
    },
}
MESSAGES_STREAM = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    '"model":"claude-sonnet-4-5","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Salut"}}\n\n'
)
MESSAGES_END = (
    'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}\n\n'
    'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
MESSAGES: dict[str, Any] = {
    "provider": "anthropic",
    "path": "/v1/messages?beta=true",
    "request": {
        "json": {"model": "claude-sonnet-4-5", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    },
    "status": 200,
    "response": {"headers": {"content-type": "text/event-stream"}, "text": MESSAGES_STREAM + MESSAGES_END},
}


def frames(*events: tuple[str, dict[str, Any]]) -> str:
    """A Bedrock stream, as recordings hold it."""
    headers = {":content-type": "application/json", ":message-type": "event"}
    return base64.b64encode(b"".join(frame({":event-type": name, **headers}, json.dumps(body).encode()) for name, body in events)).decode()


@pytest.fixture
def shown(tmp_path: Path) -> Any:
    """The report on a recording."""

    def report(recording: Any, provider: str = "", client: str = "") -> str:
        file = tmp_path / "recording.json"
        file.write_text(json.dumps(recording))
        return "\n".join(replay(file, provider, client))

    return report


def part(report: str, title: str) -> str:
    """What stands below a title."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=\n\n#|\Z)", report, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no {title!r} in\n{report}"
    return found[1]


# -- requests


def test_the_request_is_shown_in_neutral_form_and_as_its_provider_gets_it(shown: Any) -> None:
    report = shown(CHAT)
    assert json.loads(part(report, "request, from openai.chat to the neutral form"))["seed"] == 7
    sent = part(report, "request, from the neutral form to openai")
    assert "would pass the bytes on" in sent
    assert "POST /chat/completions" in sent
    assert "# dropped: nothing" in sent


def test_another_provider_gets_it_in_its_words_and_what_is_lost_is_named(shown: Any) -> None:
    sent = part(shown(CHAT, provider="anthropic"), "request, from the neutral form to anthropic")
    assert "POST /v1/messages" in sent
    assert re.search(r"^# dropped: .*\bseed\b", sent, re.MULTILINE)
    ollama = part(shown(CHAT, provider="ollama"), "request, from the neutral form to ollama")
    assert '"seed": 7' in ollama
    older = CHAT | {"request": {"json": CHAT["request"]["json"] | {"model": "claude-3-haiku-20240307"}}}
    sent = part(shown(older, provider="anthropic"), "request, from the neutral form to anthropic")
    assert "# written another way: response_format" in sent


def test_a_request_that_cannot_be_sent_says_why_in_the_words_of_its_client(shown: Any) -> None:
    video = {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}]}
    report = shown(CHAT | {"request": {"json": {"model": "gpt-4o", "messages": [video]}}}, provider="anthropic")
    assert json.loads(part(report, "request, refused for anthropic"))["status"] == 400
    assert "messages" in json.loads(part(report, "error, in openai.chat"))["error"]["param"]
    assert part(report, "reply, in openai.chat")


def test_a_request_that_was_refused_here_is_shown_as_its_error(shown: Any) -> None:
    report = shown(CHAT | {"request": {"json": {"model": "gpt-4o", "messages": "Hello"}}})
    assert json.loads(part(report, "request, refused by openai.chat"))["param"] == "messages"
    assert "Fair." in part(report, "reply, in openai.chat")


def test_a_reply_can_be_looked_at_without_its_request(shown: Any) -> None:
    report = shown(CHAT | {"request": {}})
    assert "# the request is not in the recording" in report
    assert "Fair." in part(report, "reply, in openai.chat")


# -- replies


def test_a_plain_reply_in_the_format_of_another_client(shown: Any) -> None:
    report = shown(CHAT, client="anthropic.messages")
    message = json.loads(part(report, "reply, in anthropic.messages"))
    assert (message["content"][0]["text"], message["stop_reason"]) == ("Fair.", "end_turn")
    assert "# finish: stop; model: gpt-4o-2024-08-06" in report
    assert "# tokens: 9 in (4 cached, 0 written to a cache), 2 out (0 reasoning)" in report


def test_a_stream_in_the_format_of_another_client(shown: Any) -> None:
    report = shown(MESSAGES, client="openai.chat")
    assert '"content":"Salut"' in part(report, "stream, in neutral form")
    assert "data: [DONE]" in part(report, "stream, in openai.chat")
    assert "# tokens: 3 in (0 cached, 0 written to a cache), 5 out (0 reasoning)" in report
    assert "event: message_stop" in part(shown(MESSAGES), "stream, in anthropic.messages")


def test_a_stream_with_an_error_in_it_ends_with_that_of_the_client(shown: Any) -> None:
    error = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    report = shown(MESSAGES | {"response": {"text": MESSAGES_STREAM + error}}, client="openai.chat")
    stream = part(report, "stream, in openai.chat")
    assert "Salut" in stream
    assert "Overloaded" in stream
    assert "[DONE]" not in stream
    assert json.loads(part(report, "reply, an error"))["message"] == "Overloaded"


def test_a_stream_that_breaks_off_is_an_error(shown: Any) -> None:
    broken = shown(MESSAGES | {"response": {"text": MESSAGES_STREAM}}, client="openai.chat")
    assert json.loads(part(broken, "reply, an error"))["code"] == "upstream_cut"
    assert "[DONE]" not in broken
    empty = shown(MESSAGES | {"response": {"text": ""}})
    assert json.loads(part(empty, "reply, an error"))["code"] == "empty_reply"


def test_an_error_is_shown_in_neutral_words_and_in_those_of_the_client(shown: Any) -> None:
    body = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}, "request_id": "req_1"}
    limited = MESSAGES | {"status": 429, "response": {"headers": {"Retry-After": "7"}, "json": body}}
    report = shown(limited)
    neutral = json.loads(part(report, "reply, an error"))
    assert (neutral["status"], neutral["retryable"], neutral["retry_after_s"]) == (429, True, 7.0)
    assert json.loads(part(report, "error, in anthropic.messages")) == body
    other = json.loads(part(shown(limited, client="openai.chat"), "error, in openai.chat"))
    assert other["error"]["message"] == "Slow down"


def test_a_converse_stream_is_read_though_no_app_asks_like_that(shown: Any) -> None:
    b64 = frames(
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Ciao"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 10}}),
    )
    path = "/model/us.amazon.nova-lite-v1%3A0/converse-stream"
    report = shown({"path": path, "request": {"json": {}}, "status": 200, "response": {"b64": b64}}, client="gemini.generate")
    assert "Ciao" in part(report, "stream, in gemini.stream")
    assert "# tokens: 13 in (10 cached" in report


def test_legacy_completions_go_by_as_they_are(shown: Any) -> None:
    reply = {
        "id": "cmpl-1",
        "object": "text_completion",
        "model": "gpt-3.5-turbo-instruct",
        "choices": [{"text": " there", "index": 0, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    request = {"json": {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"}}
    report = shown({"path": "/v1/completions", "request": request, "status": 200, "response": {"json": reply}}, client="openai.chat")
    assert json.loads(part(report, "reply, passed on as it is")) == reply
    assert "# tokens: 1 in" in report


# -- other operations


def test_vectors_pictures_and_long_texts_are_shown_in_short(shown: Any) -> None:
    embedding = {"object": "embedding", "index": 0, "embedding": [0.5] * 300}
    reply = {"object": "list", "data": [embedding], "model": "e", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    request = {"json": {"model": "e", "input": "x" * 5000}}
    report = shown({"path": "/v1/embeddings", "request": request, "status": 200, "response": {"json": reply}}, "cohere", "ollama.embed")
    assert "[... 300 numbers]" in part(report, "reply, in ollama.embed")
    assert "[... 5000 characters]" in part(report, "request, from the neutral form to cohere")


def test_ranked_documents(shown: Any) -> None:
    recording = {
        "provider": "cohere",
        "path": "/v2/rerank",
        "request": {"json": {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b"]}},
        "status": 200,
        "response": {"json": {"id": "1", "results": [{"index": 1, "relevance_score": 0.9}], "meta": {}}},
    }
    assert json.loads(part(shown(recording), "reply, in cohere.rerank"))["results"][0]["index"] == 1
    assert json.loads(part(shown(recording, client="rerank"), "reply, in rerank"))["results"][0]["relevance_score"] == 0.9
    assert "# gemini has no rerank" in shown(recording, provider="gemini")


def test_counted_tokens(shown: Any) -> None:
    recording = {
        "path": "/v1/messages/count_tokens",
        "request": {"json": {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hello"}]}},
        "status": 200,
        "response": {"json": {"input_tokens": 8}},
    }
    assert json.loads(part(shown(recording, client="gemini.count"), "reply, in gemini.count")) == {"totalTokens": 8}
    assert "POST /v1beta/models/claude-sonnet-4-5:countTokens" in shown(recording, provider="gemini")


def test_paths_that_are_not_translated_say_what_becomes_of_them(shown: Any) -> None:
    reply = {"json": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, "headers": {"content-type": "application/json"}}
    picture = {"path": "/v1/images/generations", "request": {"json": {"model": "gpt-image-1"}}, "status": 200, "response": reply}
    report = shown(picture)
    assert "passed byte for byte to the provider of the model that the request names" in report
    assert "# tokens: 3 in" in report
    assert "x-edgegate-provider" in shown(picture | {"path": "/v1/files/file-1", "method": "GET"})
    assert "/<provider>/... only" in shown(picture | {"path": "/model/amazon.titan-text-lite-v1/invoke"})
    assert "answers this itself" in shown(picture | {"path": "/v1/models", "method": "GET"})


# -- what is asked wrongly


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("[1]", "expected an object"),
        ('{"path": 1}', "`path` should be a text"),
        ('{"path": "/v1/x", "request": [], "status": 200}', "`request` should be an object"),
        ('{"path": "/v1/x", "request": {}, "status": "200"}', "`status` should be a number"),
        ('{"path": "/v1/x", "request": {}, "status": 200, "response": {}}', "`response` should be"),
        ('{"path": "/v1/x", "request": {}, "status": 200, "response": {"b64": "?"}}', "not base64"),
    ],
)
def test_a_file_that_is_no_recording_is_told_why(content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.json"
    file.write_text(content)
    assert main(["replay", str(file)], {}) == 1
    out, complaint = capsys.readouterr()
    assert (out, str(file) in complaint, said in complaint) == ("", True, True), complaint


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "none.json")], {}) == 1
    assert "No such file" in capsys.readouterr().err


def test_names_of_dialects_and_formats_are_checked(shown: Any) -> None:
    with pytest.raises(ReplayError, match=r"'parrot': there are anthropic, azure, .*groq"):
        shown(CHAT, provider="parrot")
    with pytest.raises(ReplayError, match=r"'parrot': there are anthropic\.count_tokens, "):
        shown(CHAT, client="parrot")
    with pytest.raises(ReplayError, match="the recording is of chat"):
        shown(CHAT, client="openai.embeddings")


def test_the_command_prints_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recording.json"
    file.write_text(json.dumps(CHAT))
    assert main(["replay", str(file), "--provider", "gemini", "--client", "ollama.chat"], {}) == 0
    out = capsys.readouterr().out
    assert "POST /v1beta/models/gpt-4o:generateContent" in out
    assert '"done_reason": "stop"' in out


# -- recordings


def test_the_recording_on_the_page_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "exchange.json"
    file.write_text(example)
    assert "# tokens: 8 in (0 cached, 0 written to a cache), 3 out (0 reasoning)" in list(replay(file))


OTHERS_WORDS = re.compile(r"/v1/(?:embed|chat)$|/invoke|/models/|/images/|/audio/|/moderations|/responses/")
"""Paths that are not translated: Cohere's version 1, InvokeModel, and what is passed through."""


@pytest.mark.skipif(not ROOT.is_dir(), reason=ABSENT)
def test_every_recording_can_be_replayed() -> None:
    surfaces, wrong, answers, faults = Surfaces(), [], 0, []
    for file in sorted(ROOT.glob("*/*.json")):
        name = f"{file.parent.name}/{file.name}"
        recorded = read(file)
        reading = understand(recorded, surfaces)
        report = "\n".join(replay(file))
        if reading is None:
            if "# not translated" not in report and "answers this itself" not in report:
                wrong.append(f"{name}: nothing is said of it")
            if not OTHERS_WORDS.search(recorded.path):
                wrong.append(f"{name}: {recorded.path} is a path of ours")
        elif reading.reader is None:
            if "no dialect reads" not in report:
                wrong.append(f"{name}: no reader, and that is not said")
        elif not 200 <= recorded.status < 300:
            if f'## reply, an error\n{{\n  "status": {recorded.status},' not in report:
                wrong.append(f"{name}: {recorded.status} is shown as another error")
        elif "## reply, an error" in report:
            faults.append(name)
        else:
            answers += 1
            usual = "\n# finish: none" not in report and "# finish: " in report
            if reading.operation is Operation.CHAT and not usual:
                wrong.append(f"{name}: an answer without an end")
            if not re.search(r"^## (?:reply|stream), (?:in|passed on as it is)", report, re.MULTILINE):
                wrong.append(f"{name}: no reply is shown")
    assert wrong == []
    assert answers > 20 * len(faults), faults  # a 200 that holds the vendor's own error, or an answer that is not there yet
