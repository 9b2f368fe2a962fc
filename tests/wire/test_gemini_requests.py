"""Our requests against google-genai: its own types take them (they forbid unknown fields), and it would send the same itself."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google.genai import types

from edgegate.dialects.base import Progress
from edgegate.dialects.gemini import GeminiProvider
from tests.corpus import Recording, corpus
from tests.wire.gemini_sdks import Sdks, ask_for

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris", "id": 12345678901234567890123}'},
}
SIGNED = {**CALL, "extra_content": {"google": {"thought_signature": "AbCd+/+/"}}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


CHATS: dict[str, dict[str, Any]] = {
    "question": {},
    "system and developer": {
        "messages": [{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, user({"type": "text", "text": "C"})]
    },
    "picture by data": {
        "messages": [user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}, {"type": "text", "text": "?"})]
    },
    "picture by address": {"messages": [user({"type": "image_url", "image_url": {"url": "https://example.com/a.jpg?x=1"}})]},
    "sound": {"messages": [user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}})]},
    "file": {"messages": [user({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}})]},
    "file by address": {"messages": [user({"type": "file", "file": {"file_id": "gs://bucket/a.pdf"}})]},
    "video": {"messages": [user({"type": "video_url", "video_url": {"url": "https://youtu.be/lCdaVNyHtjU"}})]},
    "tools": {"tools": [WEATHER]},
    "tool without parameters": {"tools": [{"type": "function", "function": {"name": "now"}}]},
    **{f"tool choice {choice}": {"tools": [WEATHER], "tool_choice": choice} for choice in ("auto", "none", "required")},
    "tool choice named": {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    "tool choice of some": {
        "tools": [WEATHER],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
        },
    },
    "strict tool": {"tools": [{**WEATHER, "function": {**WEATHER["function"], "strict": True}}]},  # type: ignore[dict-item]
    "web search": {"web_search_options": {}},
    "hosted tools": {"tools": [{"codeExecution": {}}, {"urlContext": {}}]},
    "calls and results": {
        "messages": [
            user({"type": "text", "text": "?"}),
            {"role": "assistant", "content": "Let me see.", "tool_calls": [SIGNED, {**CALL, "id": "call_2"}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "call_2", "content": '{"sky": "blue"}'},
            user({"type": "text", "text": "thanks"}),
        ],
        "tools": [WEATHER],
    },
    "result with a picture": {
        "messages": [
            user({"type": "text", "text": "?"}),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
            },
        ]
    },
    "signed text": {
        "messages": [
            user({"type": "text", "text": "?"}),
            {"role": "assistant", "content": "!", "extra_content": {"google": {"thought_signature": "AAAA"}}},
            user({"type": "text", "text": "?"}),
        ]
    },
    "code that was run": {
        "messages": [
            user({"type": "text", "text": "?"}),
            {
                "role": "assistant",
                "content": "2",
                "extra_content": {
                    "google": {
                        "parts": [
                            {"index": 0, "executableCode": {"code": "1+1", "language": "PYTHON"}},
                            {"index": 1, "codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
                        ]
                    }
                },
            },
            user({"type": "text", "text": "?"}),
        ]
    },
    "sampling": {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "stop": ["a", "b"],
        "max_completion_tokens": 100,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "modalities": ["text", "image"],
        "service_tier": "flex",
    },
    "json": {"response_format": {"type": "json_object"}},
    "json of a schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "strict": True, "schema": {"type": "object", "$defs": {"a": {}}}},
        }
    },
    **{f"effort {effort}": {"reasoning_effort": effort} for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")},
    "thinking budget": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
}

MODELS = ("gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash-preview", "gemini-3-pro-preview", "gemini-flash-latest")


@pytest.fixture(scope="module")
def sdks() -> Sdks:
    found = Sdks()
    found.body = b'{"candidates":[{"content":{"parts":[{"text":"."}]},"finishReason":"STOP"}]}'
    return found


def as_google_reads_it(body: dict[str, Any]) -> tuple[list[types.Content], types.GenerateContentConfig]:
    """Our body as the SDK's arguments. Any field that its types do not know fails here."""
    contents = [types.Content.model_validate_json(json.dumps(content)) for content in body.pop("contents")]
    generation = body.pop("generationConfig", {})
    types.GenerationConfig.model_validate_json(json.dumps(generation))
    return contents, types.GenerateContentConfig.model_validate_json(json.dumps({**body, **generation}))


def plain(value: Any) -> Any:
    """What the SDK writes differently and Google takes either way: base64 in the URL-safe alphabet, some names in snake case,
    an empty generationConfig."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, item in value.items():
        name = re.sub("_([a-z])", lambda match: match[1].upper(), name)
        if name in ("data", "thoughtSignature") and isinstance(item, str):
            item = item.replace("-", "+").replace("_", "/")
        if (name, item) != ("generationConfig", {}):
            found[name] = plain(item)
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CHATS)
def test_googles_sdk_would_send_the_same(name: str, model: str, sdks: Sdks) -> None:
    wire = GeminiProvider().request(ask_for(CHATS[name], model=model))
    ours = json.loads(wire.body)
    contents, config = as_google_reads_it(json.loads(wire.body))
    sdks.google.models.generate_content(model=model, contents=contents, config=config)
    sent = sdks.sent[-1]
    theirs = json.loads(sent.content)
    assert ours == plain(theirs)
    assert sent.url.path.endswith(wire.path.removeprefix("/v1beta"))


def test_googles_sdk_streams_from_our_path(sdks: Sdks) -> None:
    wire = GeminiProvider().request(ask_for(stream=True))
    list(sdks.google.models.generate_content_stream(model="gemini-2.5-flash", contents="Why?"))
    assert sdks.sent[-1].url.raw_path.decode().endswith(wire.path.removeprefix("/v1beta"))


@corpus(
    "gemini/generate",
    where=lambda recording: recording.status == 200 and "toolcall" in recording.features and "stream" not in recording.features,
)
def test_our_reading_of_calls_goes_back_as_google_wrote_it(recording: Recording) -> None:
    """Reply -> chat -> request: the model's turn comes back with the same calls, arguments and signatures."""
    reply = json.loads(GeminiProvider().whole(ask_for(), recording.body, Progress()))
    message = reply["choices"][0]["message"]
    chat = {"messages": [user({"type": "text", "text": "?"}), message]}
    sent = json.loads(GeminiProvider().request(ask_for(chat)).body)["contents"][1]["parts"]
    for part in sent:
        if not any("id" in p["functionCall"] for p in recorded_calls(recording)):
            part.get("functionCall", {}).pop("id", None)
    assert [part for part in sent if "functionCall" in part] == recorded_calls(recording)


def recorded_calls(recording: Recording) -> list[dict[str, Any]]:
    parts = json.loads(recording.body)["candidates"][0]["content"]["parts"]
    return [part for part in parts if "functionCall" in part]
