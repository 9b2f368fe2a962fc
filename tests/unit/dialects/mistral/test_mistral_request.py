"""How a chat becomes Mistral's request."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Ask, WireRequest
from edgegate.dialects.mistral.ids import fits
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.errors import GatewayError, Source

USER = {"role": "user", "content": "hi"}
SIDE = MistralProvider()


def sent(chat: dict[str, Any], model: str = "mistral-large-latest", stream: bool = False) -> tuple[dict[str, Any], WireRequest]:
    request = SIDE.request(Ask({"model": "asked", "messages": [USER], **chat}, model, stream, "chatcmpl-1", 1))
    return orjson.loads(request.body), request


def call(id: str, name: str = "f", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_the_target_s_model_and_the_stream_flag_are_always_written() -> None:
    body, request = sent({}, stream=True)
    assert (body["model"], body["stream"]) == ("mistral-large-latest", True)
    assert dict(request.headers)[b"accept"] == b"text/event-stream"
    assert request.dropped == []


def test_the_key_goes_into_the_authorization_header() -> None:
    assert SIDE.authorize("k") == [(b"authorization", b"Bearer k")]


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ({"seed": 5}, {"random_seed": 5}),
        ({"max_completion_tokens": 9, "max_tokens": 1}, {"max_tokens": 9}),
        ({"max_tokens": 1}, {"max_tokens": 1}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        (
            {"prediction": {"type": "content", "content": [{"type": "text", "text": "a"}]}},
            {"prediction": {"type": "content", "content": "a"}},
        ),
        ({"n": 2, "parallel_tool_calls": False}, {"n": 2, "parallel_tool_calls": False}),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ({"prompt_mode": "reasoning"}, {"prompt_mode": "reasoning"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"stream_options": {"include_usage": True}}, {}),
        ({"user": None, "store": False, "modalities": ["text"], "logit_bias": {}}, {}),
        ({"tools": []}, {}),
    ],
)
def test_fields_are_carried_under_mistrals_names(chat: dict[str, Any], expected: dict[str, Any]) -> None:
    body, request = sent(chat)
    assert {key: value for key, value in body.items() if key not in ("model", "messages", "stream")} == expected
    assert request.dropped == []


@pytest.mark.parametrize(
    "chat",
    [
        {"user": "u"},
        {"logit_bias": {"1": 5}},
        {"store": True},
        {"web_search_options": {}},
        {"invented_key": 1},
        {"service_tier": "flex"},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}},
        {"functions": [{"name": "f"}]},
    ],
)
def test_a_field_mistral_would_answer_with_422_is_left_out_and_named(chat: dict[str, Any]) -> None:
    body, request = sent(chat)
    assert request.dropped == list(chat)
    assert not set(chat) & set(body)


def test_tools_lose_extensions_and_get_parameters() -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": None, "odd": 1}, "cache_control": {"type": "ephemeral"}}
    body, _ = sent({"tools": [tool]})
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def test_foreign_tool_call_ids_are_replaced_in_calls_and_results_alike() -> None:
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call("call_a"), call("EscTeQY62")]},
        {"role": "tool", "tool_call_id": "EscTeQY62", "content": "1"},
        {"role": "tool", "tool_call_id": "call_a", "content": "2"},
    ]
    body, _ = sent({"messages": messages})
    calls = body["messages"][1]["tool_calls"]
    assert calls[1]["id"] == body["messages"][2]["tool_call_id"] == "EscTeQY62"
    assert calls[0]["id"] == body["messages"][3]["tool_call_id"]
    assert fits(calls[0]["id"])


def test_an_assistant_message_is_put_between_a_tool_and_a_user() -> None:
    messages = [
        {"role": "assistant", "tool_calls": [call("call_a")]},
        {"role": "tool", "tool_call_id": "call_a", "content": "1"},
        USER,
        {"role": "assistant", "content": "so"},
        USER,
    ]
    body, _ = sent({"messages": messages})
    assert [message["role"] for message in body["messages"]] == ["assistant", "tool", "assistant", "user", "assistant", "user"]
    assert body["messages"][2]["content"] == "OK"


def test_tool_results_of_one_turn_and_the_answer_to_them_get_nothing_in_between() -> None:
    messages = [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "assistant", "content": "so"},
    ]
    body, _ = sent({"messages": messages})
    assert [message["role"] for message in body["messages"]] == ["tool", "tool", "assistant"]


def test_developer_becomes_system_and_a_user_s_name_is_dropped_by_name() -> None:
    body, request = sent({"messages": [{"role": "developer", "content": "be"}, {**USER, "name": "ann"}, {**USER, "name": "bob"}]})
    assert body["messages"] == [{"role": "system", "content": "be"}, USER, USER]
    assert request.dropped == ["messages[].name"]


@pytest.mark.parametrize(
    ("model", "chat", "carried"),
    [
        ("magistral-medium-latest", {}, True),
        ("mistral-small-latest", {"reasoning_effort": "high"}, True),
        ("mistral-small-latest", {"prompt_mode": "reasoning"}, True),
        ("mistral-small-latest", {"reasoning_effort": "none"}, False),
        ("mistral-large-latest", {}, False),
    ],
)
def test_reasoning_goes_back_as_a_thinking_chunk_to_models_that_reason(model: str, chat: dict[str, Any], carried: bool) -> None:
    told = {"role": "assistant", "content": "four", "reasoning_content": "2 and 2"}
    body, request = sent({"messages": [USER, told, USER], **chat}, model)
    if carried:
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]}
        assert body["messages"][1]["content"] == [thinking, {"type": "text", "text": "four"}]
        assert request.dropped == []
    else:
        assert body["messages"][1]["content"] == "four"
        assert request.dropped == ["messages[].reasoning_content"]


def test_tool_call_arguments_are_text_and_empty_ones_an_empty_object() -> None:
    calls = [call("aaaaaaaaa", arguments=""), call("bbbbbbbbb", arguments={"x": 1})]
    body, _ = sent({"messages": [USER, {"role": "assistant", "tool_calls": calls}]})
    assert [c["function"]["arguments"] for c in body["messages"][1]["tool_calls"]] == ["{}", '{"x":1}']


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"role": None, "content": "1"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": ["text"]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "x"}}]}]}, "messages[0].content[0].file"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].input_audio.data"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]}, "messages[0].tool_calls[0].id"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file"}}]}]}, "messages[0].content[0].source"),
        ({"messages": [{"role": "tool", "content": "1"}]}, "messages[0].tool_call_id"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
        ({"prediction": "x"}, "prediction.content"),
    ],
)
def test_what_cannot_be_sent_is_a_400_that_names_the_field(chat: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(chat)
    assert (caught.value.status, caught.value.param, caught.value.source) == (400, param, Source.CLIENT)


def test_the_request_is_left_as_it_was() -> None:
    chat = {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}], "tool_calls": [call("call_a")]}], "seed": 1}
    before = orjson.dumps(chat)
    sent(chat)
    assert orjson.dumps(chat) == before


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, "tools.web_search"),
        ({"type": "web_search_preview"}, "tools.web_search"),
        ({"google_search": {}}, "tools.web_search"),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, "tools.code_execution"),
        ({"type": "web_fetch_20250910", "name": "web_fetch"}, "tools.web_fetch"),
        ({"type": "bash_20250124", "name": "bash"}, "tools.bash_20250124"),
        ({"type": "custom"}, "tools.custom"),
    ],
)
def test_tools_that_another_vendor_runs_are_left_out_and_named(tool: dict[str, Any], name: str) -> None:
    body, request = sent({"tools": [TOOL, tool], "tool_choice": "required"})
    assert (body["tools"], body["tool_choice"], request.dropped) == ([TOOL], "required", [name])
    body, request = sent({"tools": [tool], "tool_choice": "required"})
    assert not {"tools", "tool_choice"} & set(body)  # nothing is left that could be required
    assert request.dropped == [name, "tool_choice"]


def test_mistral_s_own_tools_pass() -> None:
    own = {"type": "document_library", "library_ids": ["l"]}
    assert sent({"tools": [own, TOOL]})[0]["tools"] == [own, TOOL]


def test_allowed_tools_are_the_only_ones_offered() -> None:
    other = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
    body, request = sent({"tools": [TOOL, other], "tool_choice": ALLOWED})
    assert (body["tools"], body["tool_choice"], request.mapped, request.dropped) == ([TOOL], "required", ["tool_choice"], [])


def test_without_approximations_what_would_be_written_another_way_is_dropped_and_named() -> None:
    summary = {"role": "assistant", "content": [{"type": "compaction", "content": "They said hello."}, {"type": "text", "text": "Hi"}]}
    chat = {
        "messages": [USER, summary, USER],
        "tools": [TOOL],
        "tool_choice": ALLOWED,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }
    chat["reasoning_effort"] = "low"
    request = SIDE.request(Ask(chat, "magistral-small", False, "i", 1, approximate=False))
    assert (request.dropped, request.mapped) == (["content.compaction", "thinking", "tool_choice"], [])
    assert orjson.loads(request.body)["messages"][1]["content"] == [{"type": "text", "text": "Hi"}]
    request = SIDE.request(Ask(chat, "magistral-small", False, "i", 1))
    assert (request.dropped, request.mapped) == ([], ["content.compaction", "thinking", "tool_choice"])
    assert orjson.loads(request.body)["messages"][1]["content"][0] == {"type": "text", "text": "They said hello."}


def test_records_of_another_vendor_s_tools_are_left_out_of_the_history_and_named() -> None:
    used = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    body, request = sent(
        {
            "messages": [
                USER,
                {"role": "assistant", "content": [used, found]},
                {"role": "system", "content": [{"type": "tool_addition", "tool": {"name": "f"}}]},
                {"role": "assistant", "content": [used, {"type": "text", "text": "Found."}]},
                USER,
            ]
        }
    )
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [{"type": "text", "text": "Found."}]
    assert request.dropped == ["content.server_tool_use", "content.web_search_tool_result", "content.tool_addition"]


def test_documents_of_every_vendor_become_mistral_s() -> None:
    parts = [
        {"type": "file", "file": {"file_url": "https://a/b.pdf", "filename": "b.pdf"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"file_data": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGVsbG8="}},
        {"type": "document", "source": {"type": "url", "url": "https://a/c.pdf"}, "title": "C"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "D"},
        {"type": "search_result", "source": "https://s", "title": "T", "content": [{"type": "text", "text": "found"}]},
    ]
    body, request = sent({"messages": [{"role": "user", "content": parts}]})
    assert body["messages"][0]["content"] == [
        {"type": "document_url", "document_url": "https://a/b.pdf", "document_name": "b.pdf"},
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0="},
        {"type": "image_url", "image_url": "data:image/png;base64,iVBORw0KGgo="},
        {"type": "text", "text": "hello"},
        {"type": "document_url", "document_url": "https://a/c.pdf", "document_name": "C"},
        {"type": "text", "text": "D\nwords"},
        {"type": "text", "text": "T\nhttps://s\nfound"},
    ]
    assert (request.dropped, request.mapped) == ([], ["content.file", "content.document", "content.search_result"])


def test_the_older_function_messages_are_calls_and_results_that_belong_together() -> None:
    body, _ = sent(
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
            ]
        }
    )
    id = body["messages"][1]["tool_calls"][0]["id"]
    assert body["messages"][2] == {"role": "tool", "tool_call_id": id, "content": "1", "name": "f"}


def test_a_last_message_of_the_assistant_s_is_the_beginning_of_the_answer() -> None:
    body, _ = sent({"messages": [USER, {"role": "assistant", "content": "Sure,"}]})
    assert body["messages"][-1] == {"role": "assistant", "content": "Sure,", "prefix": True}
    body, _ = sent({"messages": [USER, {"role": "assistant", "content": "Sure,"}, USER]})
    assert "prefix" not in body["messages"][1]


def test_signed_reasoning_goes_back_with_mistral_s_own_signature_and_no_other() -> None:
    details = [
        {"type": "reasoning.text", "text": "a", "signature": "theirs", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "b", "signature": "ours", "format": "mistral-v1"},
    ]
    told = {"role": "assistant", "content": "four", "reasoning_content": "ab", "reasoning_details": details}
    body, _ = sent({"messages": [USER, told, USER]}, "magistral-medium")
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "b"}], "signature": "ours"}
    assert body["messages"][1]["content"] == [thinking, {"type": "text", "text": "four"}]
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "claude's"}, {"type": "redacted_thinking", "data": "x"}]
    body, _ = sent({"messages": [USER, {"role": "assistant", "content": "four", "thinking_blocks": blocks}, USER]}, "magistral-medium")
    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert b"claude" not in orjson.dumps(body)


def test_an_error_of_a_tool_and_marks_of_a_tool_are_named() -> None:
    messages = [USER, {"role": "assistant", "tool_calls": [call("aaaaaaaaa")]}]
    messages.append({"role": "tool", "tool_call_id": "aaaaaaaaa", "content": "no", "is_error": True})
    _, request = sent({"messages": messages, "tools": [{**TOOL, "defer_loading": True}], "x-note": 1})
    assert request.dropped == ["messages[].is_error", "tools.defer_loading"]


def test_a_temperature_beyond_mistral_s_scale_is_its_highest() -> None:
    body, request = sent({"temperature": 2})
    assert (body["temperature"], request.mapped, request.dropped) == (1.5, ["temperature"], [])
    strict = SIDE.request(Ask({"messages": [USER], "temperature": 2}, "m", False, "i", 1, approximate=False))
    assert ("temperature" in orjson.loads(strict.body), strict.dropped) == (False, ["temperature"])
    assert sent({"temperature": 1.5})[1].mapped == []
