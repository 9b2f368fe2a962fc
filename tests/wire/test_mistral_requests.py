"""Chats as Mistral's requests: valid for its SDK's own types, and what came in from recorded OpenAI clients."""

from __future__ import annotations

import re
from typing import Any

import mistralai.client.models as mistral
import orjson
import pytest

from edgegate.dialects.anthropic.client import MessagesClient
from edgegate.dialects.base import Ask
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus
from tests.wire.request_checks import assert_kept, assert_mistral_takes

SIDE = MistralProvider()
PIXEL = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Looks up",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
    },
}
CALL = {"id": "call_abc", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
AFTER_TOOL: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_abc", "content": "rain"},
]
TURNS: dict[str, list[dict[str, Any]]] = {
    "a user": [{"role": "user", "content": "hi"}],
    "system and developer": [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "hi"},
    ],
    "text and pictures": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                {"type": "image_url", "image_url": "https://example.org/a.png"},
            ],
        }
    ],
    "sound and documents": [
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                {"type": "document_url", "document_url": "https://example.org/a.pdf"},
            ],
        }
    ],
    "a tool's result": AFTER_TOOL,
    "a tool's result and a user": [*AFTER_TOOL, {"role": "user", "content": "and now?"}],
    "an echo of an OpenAI reply": [
        {"role": "user", "content": "hi", "name": "ann"},
        {
            "role": "assistant",
            "content": "hello",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": [],
        },
        {"role": "user", "content": "more"},
    ],
    "a refusal": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "oh"},
    ],
    "thinking": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello", "reasoning_content": "greet", "thinking_blocks": [{"type": "thinking"}]},
        {"role": "user", "content": "more"},
    ],
    "a prefix": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Sure,", "prefix": True}],
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True, "description": "d"}}
OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "sampling": {
        "temperature": 0.2,
        "top_p": 0.9,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "n": 2,
        "stop": ["a", "b"],
    },
    "one stop": {"stop": "x", "max_tokens": 5},
    "limits": {"max_completion_tokens": 100, "max_tokens": 5},
    "tools": {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
    "a bare tool": {
        "tools": [{"type": "function", "function": {"name": "now"}, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": "auto",
    },
    "a named tool": {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
    "json": {"response_format": {"type": "json_object"}},
    "schema": {"response_format": SCHEMA},
    "schema without schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
    "reasoning": {"reasoning_effort": "high", "prompt_mode": "reasoning"},
    "prediction": {"prediction": {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "tier and key": {"service_tier": "default", "prompt_cache_key": "k", "metadata": {"a": "b"}, "safe_prompt": True},
    "nulls": dict.fromkeys(("temperature", "tools", "tool_choice", "stop", "user", "logit_bias", "response_format", "seed", "n")),
    "what Mistral lacks": {"user": "u", "logit_bias": {"1": 2}, "store": True, "verbosity": "low", "service_tier": "flex"},
}


@pytest.mark.parametrize("model", ["mistral-small-latest", "magistral-medium-latest"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("messages", TURNS.values(), ids=TURNS.keys())
def test_every_request_is_valid_for_mistrals_own_types(
    messages: list[dict[str, Any]], options: dict[str, Any], stream: bool, model: str
) -> None:
    chat = {"model": "asked", "messages": messages, "stream": stream, "stream_options": {"include_usage": True}, **options}
    request = SIDE.request(Ask(chat, model, stream, "chatcmpl-1", 1))
    body = orjson.loads(request.body)
    assert_mistral_takes(body)
    assert body["model"] == model
    assert body["stream"] is stream
    assert request.path == "/chat/completions"


LIMITS = frozenset(
    {
        "messages[].tool_calls[]: this provider takes calls of functions only: expected function.name",
        "messages[].content[].source: this provider takes documents as text, inline, or by URL",
        *(
            f"messages[].content[].type: this provider takes no part of type {kind!r} in a {role} message"
            for kind in ("video_url", "image", "container_upload")
            for role in ("user", "tool")
        ),
    }
)
"""What Mistral has no way to be sent: videos, and files that only another vendor holds."""

MESSAGES = MessagesClient()


@corpus("openai/chat", "anthropic/messages")
def test_a_recorded_request_of_another_client_becomes_a_valid_one_or_a_400_for_a_real_limit(recording: Recording) -> None:
    chat = recording.request
    if recording.raw["kind"] == "messages":
        try:
            MESSAGES.check(chat)
        except GatewayError:
            return  # refused before it gets here: recordings of bad requests
        chat = MESSAGES.neutral(chat)
    try:
        request = SIDE.request(Ask(chat, "mistral-small-latest", bool(chat.get("stream")), "chatcmpl-1", 1))
    except GatewayError as error:
        limit = error.status, re.sub(r"\[\d+\]", "[]", f"{error.param}: {error.message}")
        assert limit[0] == 400
        assert limit[1] in LIMITS or recording.status == 400  # what its own provider refused may be refused here
    else:
        assert_mistral_takes(orjson.loads(request.body))
        assert all(isinstance(name, str) for name in (*request.dropped, *request.mapped))


@corpus("mistral/chat")
def test_recorded_mistral_requests_lose_nothing_but_defaults(recording: Recording) -> None:
    chat = recording.request
    request = SIDE.request(Ask(chat, chat["model"], bool(chat.get("stream")), "chatcmpl-1", 1))
    body = orjson.loads(request.body)
    assert request.dropped == []
    assert_mistral_takes(body)
    assert {key for key, value in chat.items() if value is not None} <= set(body)
    assert [message["role"] for message in body["messages"]] == [message["role"] for message in chat["messages"]]
    for sent, given in zip(body["messages"], chat["messages"], strict=True):
        assert sent.get("tool_call_id") == given.get("tool_call_id")
        assert sent["content"] == given["content"]


@pytest.mark.parametrize(
    "request_",
    [{"input": "a"}, {"input": ["a", "b"], "dimensions": 64, "encoding_format": "base64"}, {"input": ["a"], "metadata": {"a": "b"}}],
)
def test_embeddings_requests_are_valid_for_mistrals_own_types(request_: dict[str, Any]) -> None:
    body = orjson.loads(SIDE.embed({"model": "x", **request_}, "mistral-embed").body)
    known = mistral.EmbeddingRequest.model_validate(body).model_dump(by_alias=True, mode="json")
    assert_kept(body, known)
    assert body["model"] == "mistral-embed"
