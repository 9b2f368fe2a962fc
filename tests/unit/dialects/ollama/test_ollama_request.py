"""How a chat becomes a request to Ollama's native API."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Ask, WireRequest
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.errors import GatewayError, Source

SIDE = OllamaProvider()
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


def sent(chat: dict[str, Any], stream: bool = False) -> tuple[dict[str, Any], WireRequest]:
    request = SIDE.request(Ask({"model": "asked", "messages": [USER], **chat}, "qwen3", stream, "chatcmpl-1", 1))
    return orjson.loads(request.body), request


@pytest.mark.parametrize("stream", [True, False])
def test_stream_is_always_written_because_absent_means_true(stream: bool) -> None:
    body, _ = sent({}, stream)
    assert body == {"model": "qwen3", "messages": [USER], "stream": stream}


def test_a_key_is_sent_only_if_there_is_one() -> None:
    assert SIDE.authorize("") == []
    assert SIDE.authorize("k") == [(b"authorization", b"Bearer k")]


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ({"temperature": 0, "top_p": 0.5, "seed": 3, "stop": "x"}, {"options": {"temperature": 0, "top_p": 0.5, "seed": 3, "stop": ["x"]}}),
        ({"stop": ["a", "b"], "max_tokens": 4}, {"options": {"num_predict": 4, "stop": ["a", "b"]}}),
        ({"max_completion_tokens": 9, "max_tokens": 1}, {"options": {"num_predict": 9}}),
        ({"presence_penalty": 1, "frequency_penalty": 2}, {"options": {"presence_penalty": 1, "frequency_penalty": 2}}),
        ({"options": {"num_ctx": 8192, "temperature": 1}, "temperature": 0}, {"options": {"num_ctx": 8192, "temperature": 0}}),
        ({"keep_alive": "5m"}, {"keep_alive": "5m"}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}},
            {"format": {"type": "object"}},
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, {"format": "json"}),
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "minimal"}, {"think": "low"}),
        ({"reasoning_effort": "medium"}, {"think": "medium"}),
        ({"reasoning_effort": "xhigh"}, {"think": "high"}),
        ({"think": True}, {"think": True}),
        ({"think": True, "reasoning_effort": "none"}, {"think": False}),
        ({"logprobs": True, "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"tools": [TOOL]}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
        ({"tools": []}, {}),
        ({"n": 1, "parallel_tool_calls": True, "store": False, "user": None, "stream_options": {"include_usage": True}}, {}),
    ],
)
def test_fields_are_carried_under_ollamas_names(chat: dict[str, Any], expected: dict[str, Any]) -> None:
    body, request = sent(chat)
    assert {key: value for key, value in body.items() if key not in ("model", "messages", "stream")} == expected
    assert request.dropped == []


@pytest.mark.parametrize(
    ("chat", "dropped"),
    [
        ({"tools": [TOOL], "tool_choice": "required"}, ["tool_choice"]),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}, ["tool_choice"]),
        ({"parallel_tool_calls": False, "n": 2, "logit_bias": {"1": 2}, "user": "u"}, ["parallel_tool_calls", "n", "logit_bias", "user"]),
        ({"functions": [], "invented_key": 1}, ["functions", "invented_key"]),
        ({"tools": [{"type": "function", "function": {**TOOL["function"], "strict": True}}]}, ["tools[].function.strict"]),  # type: ignore[dict-item]
        ({"messages": [{**USER, "name": "ann"}, {**USER, "name": "bob"}]}, ["messages[].name"]),
    ],
)
def test_what_ollama_cannot_do_is_left_out_and_named(chat: dict[str, Any], dropped: list[str]) -> None:
    body, request = sent(chat)
    assert request.dropped == dropped
    assert not set(body) & {"tool_choice", "parallel_tool_calls", "n", "logit_bias", "user", "functions", "invented_key"}


def test_arguments_become_objects_and_results_carry_the_tool_s_name() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    empty = {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call, empty]},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "12"}, {"type": "text", "text": ":00"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    body, _ = sent({"messages": messages})
    assert body["messages"][1] == {
        "role": "assistant",
        "content": "",
        "thinking": "hm",
        "tool_calls": [
            {"id": "call_1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
            {"id": "call_2", "function": {"name": "now", "arguments": {}}},
        ],
    }
    assert body["messages"][2] == {"role": "tool", "tool_name": "now", "tool_call_id": "call_2", "content": "12:00"}
    assert body["messages"][3]["tool_name"] == "weather"


def test_an_id_used_again_means_the_latest_call() -> None:
    def turn(name: str) -> list[dict[str, Any]]:
        call = {"id": "call_0", "type": "function", "function": {"name": name, "arguments": "{}"}}
        return [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_0", "content": "1"}]

    body, _ = sent({"messages": [*turn("a"), *turn("b")]})
    assert [message.get("tool_name") for message in body["messages"]] == [None, "a", None, "b"]


def test_a_result_whose_call_is_unknown_keeps_its_own_name_or_none() -> None:
    body, _ = sent(
        {
            "messages": [
                {"role": "tool", "tool_call_id": "x", "name": "f", "content": "1"},
                {"role": "tool", "tool_call_id": "y", "content": "2"},
            ]
        }
    )
    assert [message.get("tool_name") for message in body["messages"]] == ["f", None]


def test_the_older_function_messages_are_calls_and_results_too() -> None:
    body, _ = sent(
        {
            "messages": [
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
            ]
        }
    )
    assert body["messages"][0]["tool_calls"] == [{"function": {"name": "f", "arguments": {}}}]
    assert body["messages"][1] == {"role": "tool", "content": "1", "tool_name": "f"}


def test_images_stand_beside_the_text_without_their_data_prefix() -> None:
    parts = [
        {"type": "text", "text": "What"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "text", "text": "?"},
        {"type": "image_url", "image_url": "data:image/webp;base64,UklGRg=="},
    ]
    body, _ = sent({"messages": [{"role": "user", "content": parts}]})
    assert body["messages"] == [{"role": "user", "content": "What?", "images": ["iVBORw0KGgo=", "UklGRg=="]}]


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "owner", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages[0].tool_calls[0]"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": "x"}, "tools"),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": 5}, "response_format"),
    ],
)
def test_what_cannot_be_sent_is_a_400_that_names_the_field(chat: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(chat)
    assert (caught.value.status, caught.value.param, caught.value.source) == (400, param, Source.CLIENT)


def test_the_request_is_left_as_it_was() -> None:
    chat = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "options": {"num_ctx": 1}, "temperature": 1}
    before = orjson.dumps(chat)
    sent(chat)
    assert orjson.dumps(chat) == before
