"""Anthropic's sides never fail on JSON of the wrong shape: a 400 for a request, a 5xx for a reply, no end for half an answer."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.anthropic import AnthropicProvider, CountTokensClient, MessagesClient
from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.sealed import SEAL, seal
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.wire.odd_json import CHATS, OBJECTS, REPLIES, VALUES

SIDE = AnthropicProvider()
CLIENTS = (MessagesClient(), CountTokensClient())
ASKED = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
SEALS = st.dictionaries(st.sampled_from(["extra_content", "tool_calls", "reasoning_details", "thinking_blocks"]), VALUES).map(seal)
KINDS = ["text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result", "search_result", "x"]
BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS)},
        optional={
            "text": VALUES, "thinking": VALUES, "signature": VALUES, "data": VALUES, "source": VALUES, "id": VALUES,
            "name": VALUES, "input": VALUES, "tool_use_id": VALUES, "content": VALUES, "citations": VALUES, "title": VALUES,
            "cache_control": VALUES, "caller": VALUES,
        },
    ),
    max_size=4,
)  # fmt: skip
THOUGHTS = st.lists(
    st.builds(lambda text, mark: {"type": "thinking", "thinking": text, "signature": mark}, st.text() | VALUES, SEALS | VALUES)
    | st.builds(lambda mark: {"type": "redacted_thinking", "data": mark}, SEALS | VALUES),
    max_size=2,
)
BLOCKS = st.builds(lambda thoughts, blocks: thoughts + blocks, THOUGHTS, BLOCKS)
TURNS = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": BLOCKS | VALUES}), max_size=4)


@settings(max_examples=60, deadline=None)
@given(CHATS)
def test_any_chat_is_refused_by_name_or_can_be_sent(chat: dict[str, Any]) -> None:
    for approximate in (True, False):
        for model in ("claude-opus-4-8", "claude-3-5-haiku-20241022"):
            try:
                ChatClient().check(chat)
                ask = Ask(ChatClient().neutral(chat), model, True, "i", 1, True, approximate)
                body = orjson.loads(SIDE.request(ask).body)
                SIDE.count(ask)
                SIDE.stream(ask, Progress())
            except GatewayError as error:
                assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017
            else:
                assert body["stream"] is True
                assert body["messages"]


@settings(max_examples=60, deadline=None)
@given(OBJECTS, TURNS)
def test_any_messages_request_is_refused_by_name_or_can_be_sent(fields: dict[str, Any], turns: list[Any]) -> None:
    for request in ({**ASKED, **fields}, {**ASKED, "messages": turns}, {**ASKED, **fields, "messages": turns}):
        for client in CLIENTS:
            for side, model in ((SIDE, "claude-opus-4-8"), (OpenAIProvider(), "gpt-5")):
                try:
                    client.check(request)
                    body = side.request(Ask(client.neutral(request), model, False, "i", 1)).body
                except GatewayError as error:
                    assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017
                    assert orjson.loads(client.error(error, "r"))["type"] == "error"  # noqa: PT017
                else:
                    assert SEAL.encode() not in body


@settings(max_examples=60, deadline=None)
@given(REPLIES)
def test_any_chat_completion_becomes_a_message_or_an_error(reply: Any) -> None:
    body = orjson.dumps(reply)
    try:
        message = orjson.loads(CLIENTS[0].whole(ASKED, body))
    except GatewayError as error:
        assert error.status >= 500  # noqa: PT017
    else:
        assert message["stop_reason"]
        assert all(block["type"] for block in message["content"])


@settings(max_examples=60, deadline=None)
@given(VALUES, st.lists(OBJECTS, max_size=3))
def test_any_stream_is_read_without_failing(value: Any, objects: list[Any]) -> None:
    data = b"".join([b"data: " + orjson.dumps(item) + b"\n\n" for item in (value, *objects)])
    deltas = b"".join([b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": item}]}) + b"\n\n" for item in (value, *objects)])
    for piece in (data, deltas):
        tap = CLIENTS[0].stream(ASKED, "1")
        assert b"message_stop" not in tap.feed(piece) + tap.end(Outcome.UPSTREAM_BROKE)
        for watched in (
            SIDE.stream(Ask(ASKED, "m", True, "i", 1), Progress()),
            SIDE.watch("anthropic.messages", Ask({}, "m", True, "i", 1), Progress()),
        ):
            watched.feed(piece)
            watched.end(Outcome.UPSTREAM_BROKE)
