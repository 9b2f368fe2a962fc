"""What a chat request must look like, and how it is said when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from edgegate.dialects.openai.client import ChatClient
from edgegate.errors import GatewayError

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def call(**changes: Any) -> dict[str, Any]:
    made = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, **changes}
    return {"role": "assistant", "content": None, "tool_calls": [{k: v for k, v in made.items() if v is not ...}]}


def parts(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": ...}, "model"),
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"model": 4}, "model"),
    ({"model": ["gpt-4o"]}, "model"),
    ({"messages": ...}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [USER, None]}, "messages[1]"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": 1, "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
    ({"messages": [{"role": "system", "content": True}]}, "messages[0].content"),
    (parts("hi"), "messages[0].content[0]"),
    (parts({"text": "hi"}), "messages[0].content[0].type"),
    (parts({"type": 3}), "messages[0].content[0].type"),
    (parts({"type": "text"}), "messages[0].content[0].text"),
    (parts({"type": "text", "text": "a"}, {"type": "text", "text": 1}), "messages[0].content[1].text"),
    (parts({"type": "image_url"}), "messages[0].content[0].image_url"),
    (parts({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url"),
    (parts({"type": "image_url", "image_url": {"url": 1}}), "messages[0].content[0].image_url.url"),
    (parts({"type": "image_url", "image_url": 5}), "messages[0].content[0].image_url"),
    (parts({"type": "input_audio"}), "messages[0].content[0].input_audio"),
    (parts({"type": "file", "file": "x"}), "messages[0].content[0].file"),
    ({"messages": [{"role": "tool", "content": "4"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "tool", "content": "4", "tool_call_id": 4}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "function", "content": "4"}]}, "messages[0].name"),
    ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "assistant", "tool_calls": ["f"]}]}, "messages[0].tool_calls[0]"),
    ({"messages": [call(id=...)]}, "messages[0].tool_calls[0].id"),
    ({"messages": [call(id=7)]}, "messages[0].tool_calls[0].id"),
    ({"messages": [call(type=7)]}, "messages[0].tool_calls[0].type"),
    ({"messages": [call(function=...)]}, "messages[0].tool_calls[0].function"),
    ({"messages": [call(function="f")]}, "messages[0].tool_calls[0].function"),
    ({"messages": [call(function={"arguments": "{}"})]}, "messages[0].tool_calls[0].function.name"),
    ({"messages": [call(function={"name": "f"})]}, "messages[0].tool_calls[0].function.arguments"),
    ({"messages": [call(function={"name": "f", "arguments": {}})]}, "messages[0].tool_calls[0].function.arguments"),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": True}, "stream_options"),
    ({"stream_options": {"include_usage": "true"}}, "stream_options.include_usage"),
    ({"tools": TOOL}, "tools"),
    ({"tools": [None]}, "tools[0]"),
    ({"tools": [{"name": "f"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [TOOL, {"type": "function", "function": {}}]}, "tools[1].function.name"),
    ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "f", "description": 1}}]}, "tools[0].function.description"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": "{}"}}]}, "tools[0].function.parameters"),
    ({"tool_choice": 1}, "tool_choice"),
    ({"tool_choice": {"function": {"name": "f"}}}, "tool_choice.type"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
    ({"functions": [{}]}, "functions[0].name"),
    ({"function_call": {}}, "function_call.name"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": []}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": 1}}}, "response_format.json_schema.name"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": "{}"}}}, "response_format.json_schema.schema"),
    ({"stop": 1}, "stop"),
    ({"stop": ["a", None]}, "stop[1]"),
    ({"n": 0}, "n"),
    ({"n": True}, "n"),
    ({"n": 1.5}, "n"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": "100"}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": []}, "top_p"),
    ({"seed": 1.5}, "seed"),
    ({"logprobs": "yes"}, "logprobs"),
    ({"top_logprobs": -1}, "top_logprobs"),
    ({"logit_bias": []}, "logit_bias"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"user": 5}, "user"),
    ({"metadata": "x"}, "metadata"),
    ({"modalities": ["text", 1]}, "modalities[1]"),
]


def request(**changes: Any) -> dict[str, Any]:
    whole = {"model": "gpt-4o", "messages": [USER], **changes}
    return {name: value for name, value in whole.items() if value is not ...}


@pytest.mark.parametrize(("changes", "param"), BAD, ids=[f"{number}-{param}" for number, (_, param) in enumerate(BAD)])
def test_a_bad_field_is_refused_by_its_name(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ChatClient().check(request(**changes))
    error = caught.value
    assert error.status == 400
    assert error.param == param
    assert f"'{param}'" in error.message
    assert not error.retryable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stream": "yes"}, "Invalid type for 'stream': expected a boolean, but got a string instead."),
        ({"temperature": None, "top_p": {}}, "Invalid type for 'top_p': expected a number, but got an object instead."),
        ({"n": 0}, "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead."),
        ({"messages": []}, "Invalid 'messages': empty array. Expected an array with minimum length 1."),
        ({"messages": [{}]}, "Missing required parameter: 'messages[0].role'."),
    ],
)
def test_the_message_says_what_was_expected_and_what_came(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ChatClient().check(request(**changes))
    assert caught.value.message == message


def test_no_message_repeats_what_the_client_wrote() -> None:
    secret = "my diary"
    for changes in ({"messages": [{"role": secret}]}, {"messages": secret}, {"stop": {"a": secret}}, {"stream": secret}):
        with pytest.raises(GatewayError) as caught:
            ChatClient().check(request(**changes))
        assert secret not in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(("stream", "stream_options", "tools", "tool_choice", "stop", "n", "temperature", "response_format")),
        {"a_field_of_tomorrow": {"x": [1]}, "top_k": 40, "provider": {"order": ["a"]}},
        {"messages": [{"role": role, "content": "x"} for role in ("system", "developer", "user", "assistant")]},
        {"messages": [call(), {"role": "tool", "tool_call_id": "c1", "content": "4"}]},
        {"messages": [call(type=...)]},
        {"messages": [call(type="custom", function=..., custom={"name": "f", "input": "x"})]},
        {"messages": [{"role": "user", "content": "x", "tool_calls": None}]},
        {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]}]},
        {"tools": [TOOL, {"type": "openrouter:web_search", "parameters": {}}], "tool_choice": "any"},
        {"response_format": {"type": "text"}, "stop": "x", "logprobs": 1, "seed": -5, "temperature": 1},
        {"stream": True, "stream_options": {"include_usage": None, "something": 1}},
    ],
)
def test_what_a_provider_may_accept_passes(changes: dict[str, Any]) -> None:
    ChatClient().check(request(**changes))


def test_the_neutral_form_of_a_chat_is_the_request_itself() -> None:
    asked = request()
    assert ChatClient().neutral(asked) is asked
    assert ChatClient().whole(asked, b"{}") == b"{}"
    tap = ChatClient().stream(asked, "id")
    data = b"data: [DONE]\n\n"
    assert tap.feed(data) is data
