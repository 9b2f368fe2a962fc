"""Recorded requests to `/v1/messages`: all pass the check, and come back from the chat saying the same."""

from __future__ import annotations

import copy
import json
from typing import Any

from edgegate.dialects.anthropic import AnthropicProvider, CountTokensClient, MessagesClient
from edgegate.dialects.anthropic.foreign import without_foreign
from edgegate.dialects.anthropic.schema import closed
from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.compat import COMPAT
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus
from tests.wire.openai_requests import assert_anthropic_counts, assert_anthropic_takes, assert_openai_takes

every = corpus("anthropic/messages", where=lambda r: r.status == 200)
counts = corpus("anthropic/count_tokens", where=lambda r: r.status == 200)
LAST = {"thinking": 0, "redacted_thinking": 0, "tool_use": 2}  # the rest between
SAMPLING = {"temperature", "top_p", "top_k"}  # what some models refuse, and what is therefore named as dropped


def there_and_back(request: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    client = MessagesClient()
    client.check(request)
    before = copy.deepcopy(request)
    chat = client.neutral(request)
    assert request == before, "a request is not changed"
    ask = Ask(chat, request["model"], bool(request.get("stream")), "chatcmpl-1", 1)
    wire = AnthropicProvider().request(ask)
    assert request == before
    assert (wire.method, wire.path) == ("POST", "/v1/messages")
    body = json.loads(wire.body)
    assert wire.mapped == []
    return body, wire.dropped


def normal(request: dict[str, Any]) -> dict[str, Any]:
    """The same request with one spelling for what can be spelt in two ways. What the chat cannot hold is taken out here, and
    nowhere else: the place of a system message, and of thinking and calls between other blocks; the title of a plain text
    document as something apart from its text."""
    request = copy.deepcopy(request)
    system = listed(request.pop("system", None) or [])
    turns: list[dict[str, Any]] = []
    for message in request.pop("messages"):
        blocks = [block for block in map(normal_block, listed(message["content"])) if block.get("text", "x").strip()]
        if message["role"] == "system" and all(block["type"] == "text" for block in blocks):
            system += blocks
        elif turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": message["role"], "content": blocks})
    for turn in turns:
        order = LAST if turn["role"] == "assistant" else {"tool_result": 0}
        turn["content"].sort(key=lambda block: order.get(block["type"], 1))
    config = request.setdefault("output_config", {})
    config.setdefault("format", request.pop("output_format", None))
    if config["format"]:
        config["format"] = {"type": "json_schema", "schema": closed(config["format"]["schema"])}
    else:
        del config["format"]
    for tool in request.get("tools") or []:
        if tool.get("type") == "custom":
            del tool["type"]
    request = {name: value for name, value in request.items() if value not in (None, False, [], {})}
    return {**request, **({"system": system} if system else {}), "messages": turns}


def listed(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def normal_block(block: dict[str, Any]) -> dict[str, Any]:
    block = {name: value for name, value in block.items() if value is not None}
    if block["type"] == "text" and not block.get("citations"):
        block.pop("citations", None)
    if block["type"] == "tool_result":
        if not block.get("is_error"):
            block.pop("is_error", None)
        block["content"] = [normal_block(inner) for inner in listed(block.get("content") or "")]
    if block.get("caller") == {"type": "direct"}:
        del block["caller"]
    if block["type"] == "document" and block["source"]["type"] == "text" and not block.get("citations"):
        lines = [text for text in (block.get("title"), block.get("context"), block["source"]["data"]) if text]
        mark = {"cache_control": block["cache_control"]} if "cache_control" in block else {}
        return {"type": "text", "text": "\n".join(lines), **mark}
    return block


@every
def test_a_recorded_request_survives_the_chat(recording: Recording) -> None:
    again, dropped = there_and_back(recording.request)
    assert set(dropped) <= SAMPLING, "nothing else is lost between Anthropic and Anthropic"
    expected = normal(recording.request)
    for name in dropped:
        del expected[name]
    assert normal(again) == expected
    assert_anthropic_takes(again)
    assert without_foreign(recording.request) is None


@every
def test_what_other_providers_read_of_a_recorded_request_is_a_chat(recording: Recording) -> None:
    chat = MessagesClient().neutral(recording.request)
    answered: set[str] = set()
    called: list[str] = []
    for message in chat["messages"]:
        assert message["role"] in ("system", "user", "assistant", "tool")
        if message["role"] == "tool":
            assert message["tool_call_id"] in called, "results follow the message with their calls"
            answered.add(message["tool_call_id"])
            continue
        if message["role"] == "assistant":
            called = [call["id"] for call in message.get("tool_calls", [])]
            for call in message.get("tool_calls", []):
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
        assert isinstance(message["content"], (str, list)) or message.get("tool_calls")
    for tool in chat.get("tools", []):
        assert tool["type"] != "function" or tool["function"]["name"]
    asked = sum(
        block["type"] == "tool_result" for m in recording.request["messages"] if isinstance(m["content"], list) for block in m["content"]
    )
    assert len(answered) == asked


UNTELLABLE = ("container_upload", "mcp_toolset", "tool_addition", "tool_removal", '"type": "file"', '"type": "url"')
"""What a recorded request may hold that no chat can be asked about."""


@every
def test_openai_takes_what_is_written_from_it(recording: Recording) -> None:
    chat = MessagesClient().neutral(recording.request)
    text = json.dumps(recording.request)
    for name, model in (("openai", "gpt-5"), ("openai", "gpt-4o"), ("groq", "llama-4")):
        try:
            wire = COMPAT[name].provider().request(Ask(chat, model, bool(recording.request.get("stream")), "chatcmpl-1", 1))
        except GatewayError as error:
            assert error.status == 400  # noqa: PT017
            assert any(kind in text for kind in UNTELLABLE)
            return
        body = json.loads(wire.body)
        assert_openai_takes(body)
        assert not any(name in body for name in wire.dropped)
    used = sum(
        block["type"] == "tool_use" for m in recording.request["messages"] if isinstance(m["content"], list) for block in m["content"]
    )
    assert sum(len(message.get("tool_calls", [])) for message in body["messages"]) == used


@counts
def test_a_recorded_count_survives_the_chat_and_its_reply_is_read(recording: Recording) -> None:
    client, side = CountTokensClient(), AnthropicProvider()
    request = recording.request
    client.check(request)
    chat = client.neutral(request)
    wire = side.count(Ask(chat, request["model"], False, "chatcmpl-1", 1))
    assert wire.path == recording.path.partition("?")[0]
    body = json.loads(wire.body)
    assert normal(body) == normal(request)
    assert_anthropic_counts(body)
    number = side.counted(Ask(chat, request["model"], False, "chatcmpl-1", 1), recording.body)
    assert number == json.loads(recording.body)["input_tokens"]
    side.glance(client.format, recording.body, Progress())
    assert json.loads(client.whole(request, b'{"input_tokens":%d}' % number)) == {"input_tokens": number}
