"""Recorded chat requests: neutral as they are, the same at an OpenAI-shaped provider, and valid at Anthropic."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from edgegate.dialects.anthropic import AnthropicProvider
from edgegate.dialects.azure import AzureProvider
from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus
from tests.wire.openai_requests import assert_anthropic_takes, assert_openai_takes, normal

OPENAI = ("openai/chat", "azure/chat")
SHAPED = ("groq", "together", "deepseek", "openrouter", "cerebras", "writer", "zai", "snowflake", "huggingface")
counted = corpus(*OPENAI, where=lambda r: r.status == 200 and r.streamed and b'"usage":{' in r.body)
every = corpus(*OPENAI, *(f"{name}/chat" for name in SHAPED), where=lambda r: r.status == 200 and "messages" in r.request)

MODELS = ("claude-opus-4-8", "claude-3-5-haiku-20241022", "claude-sonnet-4-5")
LOST_AT_OPENAI = {"cache_control", "reasoning", "reasoning_signature"}
"""What recorded requests to OpenAI hold and its API does not know: pydantic-ai and litellm put it there for other vendors."""


def chat_of(request: dict[str, Any]) -> dict[str, Any]:
    client = ChatClient()
    request = {"model": "deployment", **request}
    client.check(request)
    before = copy.deepcopy(request)
    chat = client.neutral(request)
    assert request == before, "a request is not changed"
    return chat


def provider_of(recording: Recording) -> OpenAIProvider:
    name = recording.raw["provider"]
    if name == "azure":
        return AzureProvider("2024-02-01")
    return COMPAT[name].provider() if name in COMPAT else OpenAIProvider()


@every
def test_a_recorded_request_is_the_same_at_its_provider(recording: Recording) -> None:
    request = recording.request
    chat = chat_of(request)
    side = provider_of(recording)
    model = recording.path.split("/")[3] if isinstance(side, AzureProvider) else chat["model"]
    wire = side.request(Ask(chat, model, bool(request.get("stream")), "chatcmpl-1", 1))
    body = json.loads(wire.body)
    if recording.raw["provider"] == "azure":
        assert wire.path == recording.path
    assert wire.mapped == []
    expected = normal(request)
    for name in wire.dropped:
        expected.pop(name, None)
        for message in expected["messages"]:
            message.pop(name, None)
            for part in message["content"] if isinstance(message["content"], list) else []:
                part.pop(name, None)
    for message in expected["messages"]:
        if message["role"] == "developer" and not side.quirks.developer_role:
            message["role"] = "system"
    assert normal(body) == normal(expected)
    if side.name in ("openai", "azure"):
        assert set(wire.dropped) <= LOST_AT_OPENAI
        assert_openai_takes(body)


@every
def test_anthropic_takes_what_is_written_from_it(recording: Recording) -> None:
    request = recording.request
    text = json.dumps(request)
    chat = chat_of(request)
    if (request.get("n") or 1) > 1 or '"input_audio"' in text or '"video_url"' in text:
        with pytest.raises(GatewayError, match=r"one choice|text, image and file") as caught:
            AnthropicProvider().request(Ask(chat, MODELS[0], False, "chatcmpl-1", 1))
        assert caught.value.status == 400
        return
    for model in MODELS:
        wire = AnthropicProvider().request(Ask(chat, model, bool(request.get("stream")), "chatcmpl-1", 1))
        body = json.loads(wire.body)
        assert_anthropic_takes(body)
    said = sum(len(message.get("tool_calls") or []) + bool(message.get("function_call")) for message in request["messages"])
    used = [block for turn in body["messages"] for block in turn["content"] if block["type"] == "tool_use"]
    assert len(used) == said
    results = {block["tool_use_id"] for turn in body["messages"] for block in turn["content"] if block["type"] == "tool_result"}
    assert results <= {block["id"] for block in used}


@every
def test_nothing_is_approximated_where_that_is_not_wanted(recording: Recording) -> None:
    chat = chat_of(recording.request)
    try:
        near = AnthropicProvider().request(Ask(chat, MODELS[0], False, "chatcmpl-1", 1))
        exact = AnthropicProvider().request(Ask(chat, MODELS[0], False, "chatcmpl-1", 1, approximate=False))
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017
        return
    assert exact.mapped == []
    assert set(near.dropped) <= set(exact.dropped)
    assert {name for name in near.mapped if name != "messages"} <= set(exact.dropped)


@counted
def test_a_client_sees_the_usage_only_if_it_asked(recording: Recording) -> None:
    side = provider_of(recording)
    for shown in (True, False):
        ask = Ask(chat_of(recording.request), "m", True, "chatcmpl-1", 1, include_usage=shown)
        for tap in (side.watch("openai.chat", ask, Progress()), side.stream(ask, Progress())):
            out = tap.feed(recording.body) + tap.end(Outcome.OK)
            assert (b'"usage":{' in out) is shown
