"""How a Messages request reads as a chat, which is what every other provider gets to see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.dialects.anthropic.shapes import CLIENT, PNG, TOOL, messages


def chat(**more: Any) -> dict[str, Any]:
    request = messages(**more)
    CLIENT.check(request)
    return CLIENT.neutral(request)


def turns(*given: tuple[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat(messages=[{"role": role, "content": content} for role, content in given])["messages"]
    return found


FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"max_completion_tokens": 100}),
    ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
    ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
    ({"top_k": 40}, {"top_k": 40}),
    ({"metadata": {"user_id": "u"}}, {"user": "u"}),
    ({"service_tier": "standard_only"}, {"service_tier": "default"}),
    ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
    ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
    ({"tool_choice": {"type": "tool", "name": "look"}}, {"tool_choice": {"type": "function", "function": {"name": "look"}}}),
    ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "reasoning_effort": "low"},
    ),
    ({"thinking": {"type": "enabled", "budget_tokens": 30000}}, {"reasoning_effort": "high"}),
    ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
    ({"output_config": {"effort": "max"}}, {"reasoning_effort": "max", "output_config": {"effort": "max"}}),
    ({"container": "c", "mcp_servers": [{"url": "u"}]}, {"container": "c", "mcp_servers": [{"url": "u"}]}),
]


@pytest.mark.parametrize(("given", "expected"), FIELDS)
def test_fields(given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = chat(**given)
    assert expected.items() <= found.items()
    assert found["model"] == "claude-sonnet-4-5"


def test_a_field_that_is_absent_or_null_is_absent_from_the_chat() -> None:
    assert chat(temperature=None, system=None, stream=False).keys() <= {"model", "messages", "max_completion_tokens", "stream"}


def test_a_schema_is_strict_for_openai_only_if_openai_would_take_it() -> None:
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
    loose = {**closed, "required": []}
    for field in (
        {"output_config": {"format": {"type": "json_schema", "schema": closed}}},
        {"output_format": {"type": "json_schema", "schema": closed}},
    ):
        found = chat(**field)["response_format"]
        assert found == {"type": "json_schema", "json_schema": {"name": "response", "schema": closed, "strict": True}}
    assert "strict" not in chat(output_format={"type": "json_schema", "schema": loose})["response_format"]["json_schema"]


def test_system_blocks_keep_their_cache_marks() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]
    assert chat(system=blocks)["messages"][0] == {"role": "system", "content": blocks}
    assert chat(system="a")["messages"][0] == {"role": "system", "content": "a"}


def test_images_become_urls() -> None:
    given = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "text", "text": "what?"},
    ]
    assert turns(("user", given))[0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}, "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "text", "text": "what?"},
    ]


def test_documents_become_files_or_text_or_stay() -> None:
    by_url = {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}
    cited = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "t"}, "citations": {"enabled": True}}
    kept = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    custom = {"type": "content", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}
    pictured = {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {}}]}}
    given = [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}, "title": "a.pdf"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "t"}, "title": "T"},
        {**by_url, "title": "y", "citations": {"enabled": True}},
        {"type": "document", "source": custom},
        {"type": "document", "source": {"type": "content", "content": "plain"}},
        cited,
        kept,
        pictured,
    ]
    assert turns(("user", given))[0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "T\nt"},
        {"type": "file", "file": {"file_url": "https://x/y.pdf", "filename": "y"}, "citations": {"enabled": True}},
        {"type": "text", "text": "one\ntwo"},
        {"type": "text", "text": "plain"},
        cited,
        kept,
        pictured,
    ]


def test_results_of_tools_come_before_the_text_beside_them() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    given = [
        {"type": "text", "text": "so?"},
        {"type": "tool_result", "tool_use_id": "a", "content": "1", "is_error": False},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "2"}, image], "is_error": True},
        {"type": "tool_result", "tool_use_id": "c"},
    ]
    assert turns(("user", given)) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "text", "text": "2"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
            "is_error": True,
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "user", "content": "so?"},
    ]


def test_an_answer_becomes_thinking_text_and_calls() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "d"}
    given = [thinking, hidden, {"type": "text", "text": "I look"}, {"type": "tool_use", "id": "a", "name": "look", "input": {"é": 1}}]
    assert turns(("assistant", given)) == [
        {
            "role": "assistant",
            "content": "I look",
            "thinking_blocks": [thinking, hidden],
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"é":1}'}}],
        }
    ]


def test_answers_in_a_row_become_one_so_that_results_follow_their_calls() -> None:
    one = [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]
    two = [{"type": "tool_use", "id": "b", "name": "look", "input": {}}]
    results = [{"type": "tool_result", "tool_use_id": id, "content": "x"} for id in "ab"]
    found = turns(("user", "q"), ("assistant", one), ("assistant", two), ("user", results))
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in found[1]["tool_calls"]] == ["a", "b"]
    assert found[1]["content"] is None


def test_blocks_and_tools_that_anthropic_runs_keep_their_names() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    found = turns(("assistant", [search, result, {"type": "text", "text": "x"}]))
    assert found[0]["content"] == [search, result, {"type": "text", "text": "x"}]
    assert "tool_calls" not in found[0]
    tool = {"type": "web_search_20250305", "name": "web_search"}
    assert chat(tools=[tool])["tools"] == [tool]


def test_tools_keep_what_only_anthropic_reads_beside_the_function() -> None:
    given = {**TOOL, "type": "custom", "description": "", "strict": True, "cache_control": {"type": "ephemeral"}, "defer_loading": True}
    assert chat(tools=[given])["tools"] == [
        {
            "type": "function",
            "function": {"name": "look", "description": "", "parameters": TOOL["input_schema"], "strict": True},
            "cache_control": {"type": "ephemeral"},
            "defer_loading": True,
        }
    ]
