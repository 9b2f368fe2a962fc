"""How a chat is written as a Messages request, and what it names as dropped."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from edgegate.dialects.sealed import seal
from edgegate.errors import GatewayError
from tests.unit.dialects.anthropic.shapes import FUNCTION, PNG, PROVIDER, ask, sent

NEW = "claude-opus-4-8"
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}}


def turns(*given: dict[str, Any], model: str = "claude-sonnet-4-5") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(model, messages=list(given))[0]["messages"]
    return found


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"model": "claude-sonnet-4-5", "max_tokens": 4096}),
    ({"max_tokens": 5}, {"max_tokens": 5}),
    ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_tokens": 7}),
    ({"stop": "x"}, {"stop_sequences": ["x"]}),
    ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
    ({"temperature": 0.3}, {"temperature": 0.3}),
    ({"top_p": 0.3}, {"top_p": 0.3}),
    ({"top_k": 4}, {"top_k": 4}),
    ({"user": "u"}, {"metadata": {"user_id": "u"}}),
    ({"safety_identifier": "u"}, {"metadata": {"user_id": "u"}}),
    ({"metadata": {"user_id": "u"}}, {"metadata": {"user_id": "u"}}),
    ({"service_tier": "auto"}, {"service_tier": "auto"}),
    ({"service_tier": "default"}, {"service_tier": "standard_only"}),
    ({"tools": [FUNCTION], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    ({"tools": [FUNCTION], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    ({"tools": [FUNCTION], "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "look"}}},
        {"tool_choice": {"type": "tool", "name": "look"}},
    ),
    ({"tools": [FUNCTION], "parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    ({"container": "c", "mcp_servers": [{"name": "n"}]}, {"container": "c", "mcp_servers": [{"name": "n"}]}),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ({"response_format": {"type": "text"}}, {"model": "claude-sonnet-4-5"}),
]
DROPPED: list[tuple[dict[str, Any], list[str]]] = [
    ({"seed": 0}, ["seed"]),
    ({"logprobs": True, "top_logprobs": 3}, ["logprobs", "top_logprobs"]),
    ({"logit_bias": {"5": 1}}, ["logit_bias"]),
    ({"frequency_penalty": 0.5, "presence_penalty": -1}, ["frequency_penalty", "presence_penalty"]),
    ({"prediction": {"type": "content"}}, ["prediction"]),
    ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, ["modalities", "audio"]),
    ({"store": True, "metadata": {"app": "x"}}, ["metadata", "store"]),
    ({"functions": [{"name": "f"}]}, ["functions"]),
    ({"verbosity": "low"}, ["verbosity"]),
    ({"field_of_tomorrow": 1}, ["field_of_tomorrow"]),
    ({"service_tier": "scale"}, ["service_tier"]),
    ({"min_p": 0.1, "repetition_penalty": 1.1}, ["min_p", "repetition_penalty"]),
    ({"response_format": {"type": "grammar"}}, ["response_format"]),
    ({"stop": ["\n", "x"]}, ["stop"]),
    ({"tool_choice": "required"}, ["tool_choice"]),
    ({"tools": [{"type": "image_generation"}]}, ["tools.image_generation"]),
    ({"tools": [{"google_maps": {}}]}, ["tools.google_maps"]),
    (
        {"messages": [user("q"), {"role": "assistant", "content": [{"type": "video_url", "video_url": {"url": "https://x"}}]}]},
        ["content.video_url"],
    ),
    (
        {
            "messages": [
                user("q"),
                {"role": "assistant", "content": "a", "annotations": [{}], "reasoning_details": [{}], "extra_content": {"google": {}}},
            ]
        },
        ["messages[].reasoning_details", "messages[].annotations", "messages[].extra_content"],
    ),
    ({"temperature": 0.2, "top_p": 0.9}, ["top_p"]),
    ({"messages": [{"role": "user", "content": "hi", "name": "bob"}]}, ["messages[].name"]),
    ({"messages": [user([{"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}}])]}, ["messages[].image_url.detail"]),
    ({"messages": [user("q"), {"role": "assistant", "content": "a", "reasoning_content": "r"}]}, ["messages[].reasoning_content"]),
    (
        {"messages": [user("q"), {"role": "assistant", "content": "a", "thinking_blocks": [{**SIGNED, "signature": ""}]}]},
        ["messages[].thinking_blocks"],
    ),
    # defaults written out, and what the gateway itself reads
    ({"seed": None, "n": 1, "logprobs": False, "store": False, "frequency_penalty": 0, "logit_bias": {}, "verbosity": "medium"}, []),
    ({"modalities": ["text"], "stream_options": {"include_usage": True}, "x-prefer-provider": "anthropic", "temperature": 1}, []),
    ({"tool_choice": "auto", "parallel_tool_calls": False}, []),
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"),
    ({"messages": [{"role": "system", "content": " "}]}, "messages"),
    ({"messages": [user("  ")]}, "messages"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
    ({"messages": [user([{"type": "input_audio", "input_audio": {}}])]}, "messages[0].content[0].type"),
    ({"messages": [user([{"type": "image_url", "image_url": {"url": "data:image/png,raw"}}])]}, "messages[0].content[0].image_url.url"),
    ({"messages": [user([{"type": "file", "file": {"filename": "a"}}])]}, "messages[0].content[0].file.file_data"),
    (
        {"messages": [user("q"), {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "[1]"}}]}]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    (
        {"messages": [user("q"), {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]}]},
        "messages[1].tool_calls[0]",
    ),
    ({"tools": [FUNCTION], "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools.tools"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "mcp"}}, "tool_choice"),
    ({"messages": [user([{"type": "video_url", "video_url": {"url": "https://x"}}])]}, "messages[0].content[0].type"),
]


@pytest.mark.parametrize(("given", "expected"), FIELDS)
def test_fields(given: dict[str, Any], expected: dict[str, Any]) -> None:
    body, dropped = sent(**given)
    assert expected.items() <= body.items()
    assert dropped == []


@pytest.mark.parametrize(("given", "expected"), DROPPED)
def test_what_is_lost_is_named_once(given: dict[str, Any], expected: list[str]) -> None:
    body, dropped = sent(**given)
    assert dropped == expected
    taken = {"model", "max_tokens", "messages", "system", "temperature", "stop_sequences"}
    assert body.keys() <= taken, "nothing that the API does not know is sent"


@pytest.mark.parametrize(("given", "param"), REFUSED)
def test_what_cannot_be_sent_is_a_400_that_names_the_field(given: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(**given)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_limit_and_the_version_are_the_configured_ones() -> None:
    provider = type(PROVIDER)(default_max_tokens=77, version="2099-01-01")
    assert json.loads(provider.request(ask()).body)["max_tokens"] == 77
    assert provider.authorize("k") == [(b"x-api-key", b"k"), (b"anthropic-version", b"2099-01-01")]


def test_a_stream_is_asked_for_in_the_body() -> None:
    assert json.loads(PROVIDER.request(ask(stream=True)).body)["stream"] is True
    assert "stream" not in sent()[0]


def test_system_and_developer_messages_are_joined_in_order() -> None:
    marked = [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]
    given = [{"role": "system", "content": "a"}, {"role": "developer", "content": marked}, user("q"), {"role": "system", "content": "c"}]
    body, _ = sent(messages=given)
    assert body["system"] == [{"type": "text", "text": "a"}, *marked, {"type": "text", "text": "c"}]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
    assert sent(messages=[given[0], user("q")])[0]["system"] == "a"


def test_a_system_message_with_a_block_of_anthropics_own_stays_in_its_place() -> None:
    block = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "look"}}
    body, _ = sent(messages=[user("q"), {"role": "system", "content": [block]}])
    assert body["messages"][1] == {"role": "system", "content": [block]}
    assert "system" not in body


def test_images_and_files_become_blocks() -> None:
    text = base64.b64encode("é".encode()).decode()
    given = [
        {"type": "image_url", "image_url": {"url": f"data:image/jpg;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "file", "file": {"file_data": f"data:text/markdown;base64,{text}"}},
        {"type": "text", "text": "   "},
    ]
    assert turns(user(given))[0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}, "title": "a.pdf"},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
    ]


def test_results_of_one_turn_go_into_one_user_message_before_its_text() -> None:
    calls = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "b"}]}
    image = {"type": "image_url", "image_url": {"url": "https://x"}}
    given = [
        user("q"),
        calls,
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        user("and?"),
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "text", "text": "2"}, image],
            "is_error": True,
            "cache_control": {"type": "ephemeral"},
        },
    ]
    found = turns(*given)
    assert [turn["role"] for turn in found] == ["user", "assistant", "user"]
    assert found[1]["content"] == [{"type": "tool_use", "id": id, "name": "look", "input": {}} for id in "ab"]
    assert found[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "content": [{"type": "text", "text": "2"}, {"type": "image", "source": {"type": "url", "url": "https://x"}}],
            "is_error": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "text", "text": "and?"},
    ]


def test_thinking_blocks_go_back_first_in_order_and_unchanged() -> None:
    hidden = {"type": "redacted_thinking", "data": "d"}
    answer = {
        "role": "assistant",
        "content": "I look",
        "reasoning_content": "hm",
        "thinking_blocks": [SIGNED, hidden],
        "tool_calls": [CALL],
    }
    body, dropped = sent(messages=[user("q"), answer])
    assert [block["type"] for block in body["messages"][1]["content"]] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert body["messages"][1]["content"][:2] == [SIGNED, hidden]
    assert dropped == []


@pytest.mark.parametrize("mark", ["", None, 3, seal({"extra_content": {"google": {}}})])
def test_thinking_that_anthropic_did_not_sign_is_not_sent(mark: Any) -> None:
    answer = {"role": "assistant", "content": "x", "thinking_blocks": [{**SIGNED, "signature": mark}, SIGNED]}
    body, dropped = sent(messages=[user("q"), answer])
    assert body["messages"][1]["content"] == [SIGNED, {"type": "text", "text": "x"}]
    assert dropped == ["messages[].thinking_blocks"]


def test_a_cache_mark_on_a_message_goes_to_its_last_block() -> None:
    mark = {"type": "ephemeral"}
    found = turns({**user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "cache_control": mark})
    assert found[0]["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": mark}]
    tool = {**FUNCTION, "cache_control": mark}
    assert sent(tools=[tool])[0]["tools"][0]["cache_control"] == mark


def test_a_tool_without_parameters_gets_an_empty_schema() -> None:
    body, _ = sent(
        tools=[{"type": "function", "function": {"name": "f", "description": "d"}}, {"type": "web_search_20250305", "name": "web_search"}]
    )
    assert body["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}, "description": "d"},
        {"type": "web_search_20250305", "name": "web_search"},
    ]


def test_strict_tools_are_sent_where_models_take_them() -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True}}
    assert sent("claude-sonnet-4-5", tools=[tool])[0]["tools"][0]["strict"] is True
    body, dropped = sent("claude-3-haiku-20240307", tools=[tool])
    assert "strict" not in body["tools"][0]
    assert dropped == ["tools.strict"]


def test_a_json_schema_is_closed_as_the_api_wants_it() -> None:
    format = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    body, dropped = sent(response_format=format)
    inner = {"type": "object", "properties": {}, "additionalProperties": False}
    assert body["output_config"] == {
        "format": {"type": "json_schema", "schema": {**SCHEMA, "properties": {"a": inner}, "additionalProperties": False}}
    }
    assert dropped == []
    assert "additionalProperties" not in SCHEMA


THINKING: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("claude-3-5-sonnet-20241022", {"reasoning_effort": "high"}, {"max_tokens": 4096}, ["reasoning_effort"]),
    ("claude-sonnet-4-5", {"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 6144}, []),
    (
        "claude-sonnet-4-5",
        {"reasoning_effort": "high", "max_tokens": 4000},
        {"thinking": {"type": "enabled", "budget_tokens": 3200}, "max_tokens": 4000},
        [],
    ),
    ("claude-sonnet-4-5", {"reasoning_effort": "high", "max_tokens": 1024}, {"max_tokens": 1024}, ["reasoning_effort"]),
    ("claude-sonnet-4-5", {"reasoning_effort": "none"}, {"max_tokens": 4096}, []),
    ("claude-sonnet-4-5", {"reasoning_effort": "turbo"}, {"max_tokens": 4096}, ["reasoning_effort"]),
    (
        "claude-sonnet-4-5",
        {"reasoning_effort": "low", "tools": [FUNCTION], "tool_choice": "required"},
        {"tool_choice": {"type": "any"}},
        ["reasoning_effort"],
    ),
    (
        "claude-sonnet-4-5",
        {"reasoning_effort": "low", "temperature": 0.2, "top_k": 3, "top_p": 0.5},
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ["temperature", "top_p", "top_k"],
    ),
    (NEW, {"reasoning_effort": "minimal"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "max_tokens": 4096}, []),
    (NEW, {"reasoning_effort": "xhigh"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, []),
    (NEW, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, []),
    (NEW, {"reasoning_effort": "low", "output_config": {"effort": "max"}}, {"output_config": {"effort": "max"}}, []),
    (NEW, {"reasoning_effort": "low", "thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}, []),
    (NEW, {"temperature": 0.2, "top_p": 0.5}, {"max_tokens": 4096}, ["temperature", "top_p"]),
    (NEW, {"temperature": 1, "top_p": 1}, {"max_tokens": 4096}, []),
    ("claude-sonnet-5", {"temperature": 0.2}, {"max_tokens": 4096}, ["temperature"]),
    ("claude-3-haiku-20240307", {"temperature": 0.2, "top_p": 0.5}, {"temperature": 0.2, "top_p": 0.5}, []),
    ("claude-sonnet-4-20250514", {"temperature": 0.2, "top_p": 0.5}, {"temperature": 0.2, "top_p": 0.5}, []),
    (
        "glm-4.6",
        {"temperature": 0.2, "reasoning_effort": "low", "max_tokens": 9000},
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ["temperature"],
    ),
]


@pytest.mark.parametrize(("model", "given", "expected", "lost"), THINKING)
def test_effort_becomes_thinking_as_the_model_takes_it(
    model: str, given: dict[str, Any], expected: dict[str, Any], lost: list[str]
) -> None:
    body, dropped = sent(model, **given)
    assert expected.items() <= body.items()
    assert dropped == lost
    for name in ("temperature", "top_p", "top_k", "thinking", "output_config"):
        assert (name in body) == (name in expected)


def test_a_format_and_an_effort_stand_side_by_side() -> None:
    format = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "additionalProperties": False}}}
    body, _ = sent(NEW, response_format=format, reasoning_effort="low")
    assert body["output_config"].keys() == {"format", "effort"}
    body, _ = sent(NEW, response_format=format, output_config={"effort": "max"})
    assert body["output_config"]["effort"] == "max"
    assert "format" in body["output_config"]


@pytest.mark.parametrize(("blocks", "goes_on"), [([], False), ([SIGNED], True)])
def test_a_budget_is_not_given_in_the_middle_of_a_call_without_its_thinking(blocks: list[Any], goes_on: bool) -> None:
    answer = {"role": "assistant", "content": "x", "thinking_blocks": blocks, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "a", "content": "1"}
    body, dropped = sent(messages=[user("q"), answer, result], reasoning_effort="low", tools=[FUNCTION])
    assert ("thinking" in body) == goes_on
    assert dropped == ([] if goes_on else ["reasoning_effort"])
    assert (
        "thinking"
        in sent(messages=[user("q"), answer, result, {"role": "assistant", "content": "done"}, user("next")], reasoning_effort="low")[0]
    )


@pytest.mark.parametrize("field", ["output_config", "metadata", "thinking", "service_tier", "reasoning_effort", "top_k", "container"])
@pytest.mark.parametrize("value", ["x", 3, ["x"], {"x": []}])
def test_an_extension_of_a_wrong_type_is_no_crash(field: str, value: Any) -> None:
    for model in ("claude-sonnet-4-5", NEW):
        sent(model, **{field: value})


def test_there_are_no_embeddings() -> None:
    with pytest.raises(GatewayError) as caught:
        PROVIDER.embed({"input": "x"}, "claude")
    assert (caught.value.status, caught.value.param) == (400, "model")
    assert "embeddings" in caught.value.message
