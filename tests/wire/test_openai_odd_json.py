"""OpenAI's side never fails on JSON of the wrong shape: a 400 for a request, a 5xx for a reply, no [DONE] for half an answer."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.completions import CompletionsClient
from edgegate.dialects.openai.embeddings import EmbeddingsClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.wire.odd_json import CHATS, OBJECTS, REPLIES, VALUES

SIDE = OpenAIProvider()
ASK = Ask({}, "m", True, "i", 1, True)


@settings(max_examples=60, deadline=None)
@given(CHATS)
def test_any_chat_is_refused_by_name_or_can_be_sent(chat: dict[str, Any]) -> None:
    try:
        ChatClient().check(chat)
        body = orjson.loads(SIDE.request(Ask(chat, "m", True, "i", 1)).body)
    except GatewayError as error:
        assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017
    else:
        assert body["stream"] is True
        assert body["model"] == "m"


@settings(max_examples=60, deadline=None)
@given(OBJECTS, VALUES)
def test_any_completions_request_is_refused_by_name_or_becomes_a_chat(request: dict[str, Any], prompt: Any) -> None:
    client = CompletionsClient()
    try:
        client.check({**request, "prompt": prompt})
        chat = client.neutral({**request, "prompt": prompt})
    except GatewayError as error:
        assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017
    else:
        assert isinstance(chat["messages"][0]["content"], str)


@settings(max_examples=60, deadline=None)
@given(OBJECTS, VALUES)
def test_any_embeddings_request_is_refused_by_name_or_fine(request: dict[str, Any], value: Any) -> None:
    try:
        EmbeddingsClient().check({**request, "input": value})
    except GatewayError as error:
        assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017


@settings(max_examples=60, deadline=None)
@given(REPLIES)
def test_any_plain_reply_becomes_an_answer_or_an_error(reply: Any) -> None:
    body = orjson.dumps(reply)
    try:
        out = SIDE.whole(ASK, body, Progress())
    except GatewayError as error:
        assert error.status >= 400  # noqa: PT017
        ChatClient().error(error, "r")
        ChatClient().error_event(error, "r")
    else:
        answer = orjson.loads(out)
        assert all(choice["finish_reason"] for choice in answer["choices"])
        CompletionsClient().whole({"prompt": "p"}, out)
    try:
        assert orjson.loads(SIDE.embedded({"input": "a", "encoding_format": "base64"}, "m", body, Progress()))["data"]
    except GatewayError as error:
        assert error.status >= 400  # noqa: PT017
    for status in (301, 400, 429, 500):
        assert SIDE.error(status, {}, body).message


@settings(max_examples=60, deadline=None)
@given(st.lists(REPLIES, max_size=5))
def test_any_stream_is_whole_events_and_done_only_if_finished(chunks: list[Any]) -> None:
    progress = Progress()
    data = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)
    tap = SIDE.stream(ASK, progress)
    out = tap.feed(data) + tap.end(Outcome.OK)
    *events, rest = out.split(b"\n\n")
    assert rest == b""
    for event in events:
        assert event == b"data: [DONE]" or orjson.loads(event.removeprefix(b"data: "))["object"] == "chat.completion.chunk"
    assert (b"[DONE]" in out) is (progress.finished and progress.error is None)
    texts = CompletionsClient().stream({"prompt": "p"}, "i")
    assert (b"[DONE]" in texts.feed(out) + texts.end(Outcome.OK)) is (b"[DONE]" in out)


@settings(max_examples=60, deadline=None)
@given(st.lists(REPLIES, max_size=5))
def test_any_native_stream_is_understood_or_ended_but_never_fails(chunks: list[Any]) -> None:
    data = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    one_by_one, at_once = Progress(), Progress()
    first, second = SIDE.watch("openai.chat", ASK, one_by_one), SIDE.watch("openai.chat", ASK, at_once)
    out = b"".join([first.feed(piece) for piece in data]) + first.end(Outcome.OK)
    assert second.feed(b"".join(data)) + second.end(Outcome.OK) == out
    assert one_by_one.finished == at_once.finished
    assert one_by_one.events == at_once.events
    assert one_by_one.usage == at_once.usage
