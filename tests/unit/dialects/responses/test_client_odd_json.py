"""Odd JSON at the client side of Responses: a 400 or a chat, a 502 or a response, and never another exception."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegate.dialects.responses.client import ResponsesClient
from edgegate.errors import GatewayError
from edgegate.taps import Outcome

CLIENT = ResponsesClient()
REQUEST = {"model": "m", "input": "x", "tools": [{"type": "custom", "name": "id"}]}
WORDS = [
    "model",
    "input",
    "type",
    "role",
    "content",
    "text",
    "output_text",
    "input_text",
    "refusal",
    "reasoning",
    "summary",
    "encrypted_content",
    "id",
    "function_call",
    "name",
    "function_call_output",
    "call_id",
    "arguments",
    "output",
    "custom_tool_call",
    "input_image",
    "image_url",
    "file_id",
    "input_file",
    "file_data",
    "message",
    "index",
    "assistant",
    "user",
    "tools",
    "tool_choice",
    "allowed_tools",
    "mode",
    "function",
    "custom",
    "format",
    "json_schema",
    "schema",
    "strict",
    "include",
    "instructions",
    "phase",
    "metadata",
    "annotations",
    "url_citation",
    "status",
    "choices",
    "delta",
    "tool_calls",
    "extra_content",
    "openai",
    "google",
    "reasoning_details",
    "provider_items",
    "reasoning_content",
    "thinking_blocks",
    "images",
    "logprobs",
    "finish_reason",
    "usage",
    "url",
    "start",
    "messages",
    "start_index",
    "data",
    "created",
    "item_reference",
]
KEYS = st.sampled_from(WORDS)
NUMBERS = st.integers(-2, 3) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from([*WORDS, "", "{}", "stop", "length", "openai-responses-v1"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=8)
DETAILS = st.lists(st.builds(lambda detail: {**detail, "format": "openai-responses-v1"}, OBJECTS), max_size=3)
LISTS = {name: st.lists(OBJECTS, max_size=3) for name in ("tool_calls", "provider_items", "annotations", "images", "thinking_blocks")}
ANSWERS = st.builds(
    lambda odd, known: {**odd, **known},
    OBJECTS,
    st.fixed_dictionaries(
        {},
        optional={
            **LISTS,
            "reasoning_details": DETAILS,
            "content": st.text(max_size=3),
            "extra_content": st.fixed_dictionaries({"openai": OBJECTS}),
        },
    ),
)
odd = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@odd
@given(OBJECTS, st.lists(OBJECTS, max_size=4) | VALUES)
def test_a_request_is_a_chat_or_a_400(fields: dict[str, Any], items: Any) -> None:
    request = {"model": "m", **fields, "input": items}
    caught = None
    try:
        CLIENT.check(request)
        assert CLIENT.neutral(request)["messages"]
        CLIENT.whole(request, b'{"id":"x","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}')
    except GatewayError as error:
        caught = error
    assert caught is None or caught.status == 400


@odd
@given(ANSWERS, OBJECTS, OBJECTS)
def test_a_reply_is_a_response_or_a_502(message: dict[str, Any], reply: dict[str, Any], choice: dict[str, Any]) -> None:
    with suppress(GatewayError):
        response = orjson.loads(CLIENT.whole(REQUEST, orjson.dumps({**reply, "choices": [{**choice, "message": message}]})))
        assert response["object"] == "response"


@odd
@given(st.lists(ANSWERS, max_size=3), OBJECTS, OBJECTS)
def test_a_stream_never_raises(deltas: list[dict[str, Any]], chunk: dict[str, Any], choice: dict[str, Any]) -> None:
    tap = CLIENT.stream(REQUEST, "1")
    for delta in deltas:
        tap.feed(b"data: " + orjson.dumps({**chunk, "choices": [{**choice, "index": 0, "delta": delta}]}) + b"\n\n")
    tap.feed(b"data: [1]\n\ndata: {\n\n: ping\n\n")
    tap.end(Outcome.OK)


@pytest.mark.parametrize("nothing", [None, [], "", 0, {}])
def test_nothing_at_all_is_named(nothing: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        CLIENT.check({"model": nothing, "input": "a"})
    assert caught.value.param == "model"
