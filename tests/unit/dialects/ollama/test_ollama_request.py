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
        ({"think": True, "reasoning_effort": "none"}, {"think": True}),
        ({"thinking": {"type": "adaptive"}}, {"think": True}),
        ({"thinking": {"type": "disabled"}}, {"think": False}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "reasoning_effort": "high"}, {"think": "high"}),
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
        ({"parallel_tool_calls": False, "logit_bias": {"1": 2}, "user": "u"}, ["parallel_tool_calls", "logit_bias", "user"]),
        ({"functions": [], "invented_key": 1}, ["functions", "invented_key"]),
        ({"tools": [{"type": "function", "function": {**TOOL["function"], "strict": True}}]}, ["tools.strict"]),  # type: ignore[dict-item]
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
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": [1]}}]}, "tools[0].function.parameters"),
        ({"n": 2}, "n"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages[0].content[0].type"),
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


ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}}


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, "tools.web_search"),
        ({"type": "web_search"}, "tools.web_search"),
        ({"url_context": {}}, "tools.web_fetch"),
        ({"type": "code_execution_20250825", "name": "code_execution"}, "tools.code_execution"),
        ({"type": "tool_search_tool_bm25_20251119", "name": "t"}, "tools.tool_search_tool_bm25_20251119"),
    ],
)
def test_tools_that_a_vendor_runs_are_left_out_and_named(tool: dict[str, Any], name: str) -> None:
    body, request = sent({"tools": [TOOL, tool]})
    assert (body["tools"], request.dropped) == ([TOOL], [name])
    body, request = sent({"tools": [tool]})
    assert ("tools" in body, request.dropped) == (False, [name])


def test_allowed_tools_are_the_only_ones_offered() -> None:
    other = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
    body, request = sent({"tools": [TOOL, other], "tool_choice": ALLOWED})
    assert (body["tools"], request.mapped, request.dropped) == ([TOOL], ["tool_choice"], [])


def test_approximations_are_named_and_left_out_where_they_are_not_wanted() -> None:
    notes = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}}
    messages = [{"role": "user", "content": [notes, {"type": "text", "text": "?"}]}]
    chat = {"messages": messages, "reasoning_effort": "xhigh", "tools": [TOOL], "tool_choice": ALLOWED}
    names = ["content.document", "reasoning_effort", "tool_choice"]
    _, request = sent(chat)
    assert (request.mapped, request.dropped) == (names, [])
    request = SIDE.request(Ask(chat, "qwen3", False, "i", 1, approximate=False))
    assert (request.mapped, request.dropped) == ([], names)
    body = orjson.loads(request.body)
    assert body["messages"][0]["content"] == "?"
    assert "think" not in body


def test_records_of_another_vendor_s_tools_are_left_out_of_the_history_and_named() -> None:
    used = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    mark = {"role": "system", "content": [{"type": "tool_addition", "tool": {"name": "f"}}]}
    body, request = sent({"messages": [USER, {"role": "assistant", "content": [used]}, mark, USER]})
    assert body["messages"] == [USER, USER]
    assert request.dropped == ["content.server_tool_use", "content.tool_addition"]


def test_reasoning_is_told_by_any_name_without_a_vendor_s_signature() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "claude's"}, {"type": "redacted_thinking", "data": "secret"}]
    for message in ({"reasoning": "hm"}, {"thinking_blocks": blocks}, {"reasoning_content": "hm", "thinking_blocks": blocks}):
        body, request = sent({"messages": [{"role": "assistant", "content": "yes", **message}]})
        assert body["messages"] == [{"role": "assistant", "content": "yes", "thinking": "hm"}]
        assert request.dropped == []


def test_a_property_that_allows_anything_is_an_empty_object() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": True, "b": {"type": "string"}}}}}
    body, _ = sent({"tools": [tool]})
    assert body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {"a": {}, "b": {"type": "string"}}}


def test_a_picture_of_an_earlier_answer_and_an_error_of_a_tool() -> None:
    pictures = [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    drew = {"role": "assistant", "content": "There", "images": pictures}
    failed = {"role": "tool", "tool_call_id": "x", "name": "f", "content": "no", "is_error": True}
    body, request = sent({"messages": [drew, failed]})
    assert body["messages"][0]["images"] == ["iVBORw0KGgo="]
    assert request.dropped == ["messages[].is_error"]
