"""What `MessagesClient.check` refuses, and that it names the field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.errors import GatewayError, Source
from tests.unit.dialects.anthropic.shapes import CLIENT, PNG, TOOL, messages

LEFT_OUT = "left out"


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": LEFT_OUT}, "model"),
    ({"model": ""}, "model"),
    ({"model": 4}, "model"),
    ({"max_tokens": LEFT_OUT}, "max_tokens"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": "100"}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"messages": LEFT_OUT}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant"}]}, "messages[1].content"),
    (user(None), "messages[0].content"),
    (user({"type": "text", "text": "x"}), "messages[0].content"),
    (user(["x"]), "messages[0].content[0]"),
    (user([{"text": "x"}]), "messages[0].content[0].type"),
    (user([{"type": "text"}]), "messages[0].content[0].text"),
    (user([{"type": "text", "text": "x"}, {"type": "text", "text": 3}]), "messages[0].content[1].text"),
    (user([{"type": "image", "source": "x"}]), "messages[0].content[0].source"),
    (user([{"type": "image", "source": {"type": "base64", "media_type": "image/png"}}]), "messages[0].content[0].source.data"),
    (user([{"type": "image", "source": {"type": "base64", "data": PNG}}]), "messages[0].content[0].source.media_type"),
    (user([{"type": "image", "source": {"type": "url"}}]), "messages[0].content[0].source.url"),
    (user([{"type": "document"}]), "messages[0].content[0].source"),
    (user([{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}]), "messages[0].content[0].input"),
    (user([{"type": "tool_use", "id": "a", "input": {}}]), "messages[0].content[0].name"),
    (user([{"type": "tool_use", "name": "f", "input": {}}]), "messages[0].content[0].id"),
    (user([{"type": "tool_result", "content": "x"}]), "messages[0].content[0].tool_use_id"),
    (user([{"type": "tool_result", "tool_use_id": "a", "content": 3}]), "messages[0].content[0].content"),
    (user([{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}]), "messages[0].content[0].content[0].text"),
    (user([{"type": "tool_result", "tool_use_id": "a", "is_error": "no"}]), "messages[0].content[0].is_error"),
    (user([{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_result"}]}]), "messages[0].content[0].content"),
    (user([{"type": "thinking", "signature": "s"}]), "messages[0].content[0].thinking"),
    ({"system": 3}, "system"),
    ({"system": ["x"]}, "system[0]"),
    ({"system": [{"type": "image", "source": {"type": "url", "url": "u"}}]}, "system[0].type"),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream": None}, "stream"),
    ({"stop_sequences": "x"}, "stop_sequences"),
    ({"stop_sequences": ["x", 3]}, "stop_sequences[1]"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": []}, "top_p"),
    ({"top_k": 1.5}, "top_k"),
    ({"tools": {}}, "tools"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": [TOOL, {"name": "f"}]}, "tools[1].input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{**TOOL, "description": 3}]}, "tools[0].description"),
    ({"tools": [{**TOOL, "type": 3}]}, "tools[0].type"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"tool_choice": {"type": "required"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use"),
    ({"thinking": True}, "thinking"),
    ({"thinking": {}}, "thinking.type"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"output_config": {"effort": 3}}, "output_config.effort"),
    ({"output_format": "json"}, "output_format"),
    ({"metadata": "me"}, "metadata"),
    ({"metadata": {"user_id": 3}}, "metadata.user_id"),
    ({"mcp_servers": [3]}, "mcp_servers[0]"),
]

GOOD: list[dict[str, Any]] = [
    {},
    {"max_tokens": 0},  # fills the prompt cache, says the API
    {"system": None, "tools": None, "temperature": None},
    {"stream": False, "temperature": 1, "top_p": 0.5, "top_k": 3, "stop_sequences": []},
    {"temperature": 7, "thinking": {"type": "new", "depth": 3}, "field_of_tomorrow": [1]},  # taste is the provider's
    {"tools": [{"type": "web_search_20250305", "name": "web_search"}, {"type": "mcp_toolset", "mcp_server_name": "x"}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": [{"type": "tool_addition", "tool": {}}]}]},
    user([{"type": "block_of_tomorrow"}, {"type": "image", "source": {"type": "file", "file_id": "f"}}]),
    user([{"type": "tool_result", "tool_use_id": "a"}]),
]


@pytest.mark.parametrize(("change", "param"), BAD, ids=[f"{param} {change[min(change)]!r:.40}" for change, param in BAD])
def test_a_bad_request_is_a_400_that_names_the_field(change: dict[str, Any], param: str) -> None:
    request = {name: value for name, value in messages(**change).items() if value is not LEFT_OUT}
    with pytest.raises(GatewayError) as caught:
        CLIENT.check(request)
    error = caught.value
    assert (error.status, error.param, error.source) == (400, param, Source.CLIENT)
    assert not error.retryable
    body = orjson.loads(CLIENT.error(error, "req_1"))
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"].startswith(f"{param}: ")
    assert body["request_id"] == "req_1"


@pytest.mark.parametrize("change", GOOD)
def test_what_the_provider_may_judge_passes(change: dict[str, Any]) -> None:
    CLIENT.check(messages(**change))
    CLIENT.neutral(messages(**change))


def test_an_endless_nest_of_results_is_refused_and_not_followed() -> None:
    content: Any = "x"
    for _ in range(400):
        content = [{"type": "tool_result", "tool_use_id": "a", "content": content}]
    with pytest.raises(GatewayError):
        CLIENT.check(messages(**user(content)))


def test_no_message_of_an_error_repeats_what_the_request_said() -> None:
    with pytest.raises(GatewayError) as caught:
        CLIENT.check(messages(system={"secret prompt": 1}))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(("name", "value"), [("stop", 5), ("n", "two"), ("seed", []), ("response_format", 3)])
def test_a_field_that_only_the_chat_has_must_be_as_the_chat_has_it(name: str, value: Any) -> None:
    request = messages(**{name: value})
    CLIENT.check(request)  # natively it is Anthropic's to judge
    with pytest.raises(GatewayError) as caught:
        CLIENT.neutral(request)
    assert (caught.value.status, caught.value.param) == (400, name)
