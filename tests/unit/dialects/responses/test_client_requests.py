"""Responses requests as chats: what the chat has words for, what keeps its name, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgegate.dialects.responses.client import ResponsesClient
from edgegate.dialects.sealed import RESPONSES, seal
from edgegate.errors import GatewayError

CLIENT = ResponsesClient()


def chat(input: Any = "hi", **more: Any) -> dict[str, Any]:
    request = {"model": "m", "input": input, **more}
    before = copy.deepcopy(request)
    CLIENT.check(request)
    made = CLIENT.neutral(request)
    assert request == before, "a request is not changed"
    return made


def messages(*items: Any, **more: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = chat(list(items), **more)["messages"]
    return made


def _translated(request: dict[str, Any]) -> None:
    CLIENT.check(request)
    CLIENT.neutral(request)


def refused(request: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        _translated(request)
    assert caught.value.status == 400
    return caught.value


def test_text_and_instructions() -> None:
    assert chat("hi", instructions="Be brief.") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
    }


def test_messages_with_and_without_type() -> None:
    assert messages(
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}], "status": "completed"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
    ) == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
    ]


def test_pictures_files_and_sound() -> None:
    (message,) = messages(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "https://a.test/b.png", "detail": "high"},
                {"type": "input_image", "file_id": "file-1", "detail": "auto"},
                {"type": "input_file", "file_url": "https://a.test/b.pdf"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "b.pdf"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "input_smell", "smell": "fresh"},
            ],
        }
    )
    assert message["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "high"}},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "file", "file": {"file_url": "https://a.test/b.pdf"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "b.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_smell", "smell": "fresh"},
    ]


def test_one_turn_of_the_model_is_one_message() -> None:
    user, turn, result, second = messages(
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look."}], "encrypted_content": "gAAA"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "One moment.", "annotations": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}", "status": "completed"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_image", "image_url": "https://a.test/i", "detail": "low"}],
        },
    )
    assert user == {"role": "user", "content": "Weather?"}
    assert turn == {
        "role": "assistant",
        "content": "One moment.",
        "extra_content": {"openai": {"id": "msg_1", "phase": "commentary"}},
        "reasoning_content": "Look.",
        "reasoning_details": [
            {"type": "reasoning.summary", "id": "rs_1", "summary": "Look.", "format": RESPONSES, "index": 0},
            {"type": "reasoning.encrypted", "id": "rs_1", "data": "gAAA", "format": RESPONSES, "index": 0},
        ],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}, "extra_content": {"openai": {"id": "fc_1"}}},
            {"id": "c2", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}},
        ],
    }
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    assert second["content"] == [{"type": "image_url", "image_url": {"url": "https://a.test/i", "detail": "low"}}]


def test_an_unusual_order_is_kept_by_index() -> None:
    (turn,) = messages(
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "a"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "b"},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
    )
    assert [detail["index"] for detail in turn["reasoning_details"]] == [0, 2]
    assert [call["extra_content"]["openai"]["index"] for call in turn["tool_calls"]] == [1, 3]


def test_what_a_vendor_ran_stays_in_the_turn_under_its_own_type() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    (turn,) = messages(
        search,
        {"role": "assistant", "content": "first"},
        {"type": "message", "role": "assistant", "id": "msg_2", "content": [{"type": "output_text", "text": "second"}]},
    )
    assert turn["content"] == [
        {**search, "index": 0},
        {"type": "text", "text": "first", "extra_content": {"openai": {"index": 1}}},
        {"type": "text", "text": "second", "extra_content": {"openai": {"id": "msg_2", "index": 2}}},
    ]


def test_what_the_app_adds_stands_alone() -> None:
    tools = {"type": "additional_tools", "role": "developer", "tools": []}
    screen = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "data:,"}}
    assert messages(tools, screen) == [{"role": "developer", "content": [tools]}, {"role": "user", "content": [screen]}]


def test_custom_tools_and_their_calls() -> None:
    made = chat(
        [
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
            {"type": "custom_tool_call_output", "call_id": "lost", "output": "ok"},
        ],
        tools=[
            {"type": "custom", "name": "patch", "description": "d", "format": {"type": "grammar", "syntax": "lark", "definition": "s: x"}}
        ],
        tool_choice={"type": "custom", "name": "patch"},
    )
    call, result, lost = made["messages"]
    assert call["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}, "extra_content": {"openai": {"id": "ctc_1"}}}
    ]
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    assert lost["extra_content"] == {"openai": {"type": "custom_tool_call_output"}}
    format = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "s: x"}}
    assert made["tools"] == [{"type": "custom", "custom": {"name": "patch", "description": "d", "format": format}}]
    assert made["tool_choice"] == {"type": "custom", "custom": {"name": "patch"}}


def test_tools() -> None:
    schema = {"type": "object", "properties": {}}
    search = {"type": "web_search", "search_context_size": "low"}
    made = chat(
        tools=[
            {"type": "function", "name": "f", "description": None, "parameters": schema, "strict": True, "defer_loading": True},
            search,
            {"type": "mcp", "server_label": "s", "server_url": "https://a.test"},
        ]
    )
    assert made["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}, "defer_loading": True},
        search,
        {"type": "mcp", "server_label": "s", "server_url": "https://a.test"},
    ]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "web_search_preview"}, {"type": "web_search_preview"}),
        ({"type": "mcp", "server_label": "s", "name": "n"}, {"type": "mcp", "server_label": "s", "name": "n"}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]},
            },
        ),
    ],
)
def test_tool_choice(given: Any, made: Any) -> None:
    assert chat(tool_choice=given)["tool_choice"] == made


def test_fields_with_another_name() -> None:
    made = chat(
        stream=True,
        stream_options={"include_obfuscation": False},
        max_output_tokens=50,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
        include=["message.output_text.logprobs", "reasoning.encrypted_content", "web_search_call.action.sources"],
        top_logprobs=2,
        truncation="auto",
        store=False,
    )
    del made["messages"], made["model"]
    assert made == {
        "stream": True,
        "stream_options": {"include_obfuscation": False, "include_usage": True},
        "max_completion_tokens": 50,
        "reasoning_effort": "low",
        "reasoning": {"summary": "auto"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        "verbosity": "low",
        "logprobs": True,
        "top_logprobs": 2,
        "include": ["web_search_call.action.sources"],
        "truncation": "auto",
        "store": False,
    }


def test_fields_with_the_same_name_and_unknown_ones_stay() -> None:
    fields: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 1,
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "parallel_tool_calls": False,
        "max_tool_calls": 3,
        "something_new": [1],
    }
    made = chat(**fields)
    assert {name: made[name] for name in fields} == fields


def test_what_asks_for_nothing_leaves_no_trace() -> None:
    made = chat(
        store=True,
        background=False,
        truncation="disabled",
        previous_response_id=None,
        conversation=None,
        prompt=None,
        tools=[],
        include=["reasoning.encrypted_content"],
        text={"format": {"type": "text"}},
        metadata=None,
    )
    assert made.keys() == {"model", "messages"}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"input": ["?", {"type": "item_reference", "id": "msg_1"}][1:]}, "input[0]"),
        ({"input": [{"role": "user", "content": "a"}, {"id": "rs_1"}]}, "input[1]"),
    ],
)
def test_state_is_refused_by_name_when_it_is_translated_and_only_then(more: dict[str, Any], param: str) -> None:
    request = {"model": "m", "input": "hi", **more}
    CLIENT.check(request)  # natively it is the provider's business
    error = refused(request)
    assert (error.code, error.param) == ("unsupported_value", param)
    assert param in error.message


def test_a_seal_becomes_again_what_it_was_made_of() -> None:
    blocks = [{"type": "thinking", "thinking": "Look.", "signature": "s"}]
    google = {"google": {"thought_signature": "g"}}
    (turn,) = messages(
        {
            "type": "reasoning",
            "id": "rs_x",
            "summary": [{"type": "summary_text", "text": "Look."}],
            "encrypted_content": seal({"thinking_blocks": blocks, "tool_calls": {"c1": google}}),
        },
        {"type": "function_call", "id": "fc_x", "call_id": "c1", "name": "f", "arguments": "{}"},
    )
    assert turn["thinking_blocks"] == blocks
    assert turn["reasoning_content"] == "Look."
    assert turn["tool_calls"][0]["extra_content"] == {"openai": {"id": "fc_x"}, **google}
    assert "reasoning_details" not in turn, "no vendor is sent an item that was made here"


def test_annotations_go_both_ways() -> None:
    cited = {"type": "url_citation", "url": "https://a.test", "title": "t", "start_index": 0, "end_index": 2}
    filed = {"type": "file_citation", "file_id": "f", "filename": "n", "index": 1}
    (turn,) = messages({"role": "assistant", "content": [{"type": "output_text", "text": "ab", "annotations": [cited, filed]}]})
    inner = {name: value for name, value in cited.items() if name != "type"}
    assert turn == {"role": "assistant", "content": "ab", "annotations": [{"type": "url_citation", "url_citation": inner}, filed]}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"input": "a"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": 3}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ["a"]}, "input[0]"),
        ({"model": "m", "input": [{"role": "robot", "content": "a"}]}, "input[0].role"),
        ({"model": "m", "input": [{"role": "user"}]}, "input[0].content"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"model": "m", "input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"model": "m", "input": [{"type": "function_call_output", "call_id": "c", "output": 3}]}, "input[0].output"),
        ({"model": "m", "input": [{"type": "reasoning", "summary": [{}]}]}, "input[0].summary[0].text"),
        ({"model": "m", "input": [{"type": 3}]}, "input[0].type"),
        ({"model": "m", "input": "a", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": "m", "input": "a", "tools": [{"name": "f"}]}, "tools[0].type"),
        ({"model": "m", "input": "a", "tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"model": "m", "input": "a", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"model": "m", "input": "a", "stream": "yes"}, "stream"),
        ({"model": "m", "input": "a", "max_output_tokens": 0}, "max_output_tokens"),
        ({"model": "m", "input": "a", "include": "x"}, "include"),
        ({"model": "m", "input": "a", "reasoning": "high"}, "reasoning"),
        ({"model": "m", "input": "a", "instructions": []}, "instructions"),
    ],
)
def test_bad_structure_is_named(request_: dict[str, Any], param: str) -> None:
    error = refused(request_)
    assert error.param == param
    assert param in error.message
