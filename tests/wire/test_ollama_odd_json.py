"""Ollama's side never fails on JSON of the wrong shape: a 400 for a request, a 5xx for a reply, no [DONE] for half an answer."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.wire.odd_json import CHATS, REPLIES

SIDE = OllamaProvider()


@given(CHATS)
def test_any_chat_becomes_a_request_or_a_400_that_names_the_field(chat: dict[str, Any]) -> None:
    try:
        request = SIDE.request(Ask(chat, "m", True, "i", 1))
    except GatewayError as error:
        refused = error.status, bool(error.param)
        assert refused == (400, True)
    else:
        assert orjson.loads(request.body)["stream"] is True


@given(REPLIES)
def test_any_plain_reply_becomes_an_answer_or_an_error(reply: Any) -> None:
    body = orjson.dumps(reply)
    try:
        answer = orjson.loads(SIDE.whole(Ask({}, "m", False, "i", 1), body, Progress()))
    except GatewayError as error:
        status = error.status
        assert status >= 400
    else:
        assert all(choice["finish_reason"] for choice in answer["choices"])
    try:
        assert orjson.loads(SIDE.embedded({"input": "a"}, "m", body, Progress()))["data"]
    except GatewayError as error:
        status = error.status
        assert status >= 400
    assert SIDE.error(500, {}, body).message


@given(st.lists(REPLIES, max_size=5))
def test_any_stream_is_whole_events_and_done_only_if_finished(chunks: list[Any]) -> None:
    progress = Progress()
    tap = SIDE.stream(Ask({}, "m", True, "i", 1, True), progress)
    out = b"".join([tap.feed(b"" + orjson.dumps(chunk) + b"\n") for chunk in chunks]) + tap.end(Outcome.OK)
    *events, rest = out.split(b"\n\n")
    assert rest == b""
    for event in events:
        assert event == b"data: [DONE]" or orjson.loads(event.removeprefix(b"data: "))["object"] == "chat.completion.chunk"
    assert (b"[DONE]" in out) is (progress.finished and progress.error is None)
