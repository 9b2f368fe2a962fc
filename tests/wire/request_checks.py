"""Checks on request bodies against a vendor SDK's own types: valid, and holding no key that the types do not know."""

from __future__ import annotations

from typing import Any

import mistralai.client.models as mistral
import ollama._types as ollama

_OLLAMA_NEWER = {"tool_call_id", "id"}  # in the server since 2026, not yet in the SDK's types; older servers ignore them


def assert_kept(sent: Any, known: Any, path: str = "body") -> None:
    """Every key and value that is sent is there after a round through the types, which drop what they do not know."""
    if isinstance(sent, dict):
        assert isinstance(known, dict), path
        for key, value in sent.items():
            assert key in known, f"{path}.{key} is not in the SDK's types"
            assert_kept(value, known[key], f"{path}.{key}")
    elif isinstance(sent, list):
        assert isinstance(known, list), path
        assert len(sent) == len(known), path
        for at, value in enumerate(sent):
            assert_kept(value, known[at], f"{path}[{at}]")
    else:
        assert sent == known, path


def assert_mistral_takes(body: dict[str, Any]) -> None:
    kind = mistral.ChatCompletionStreamRequest if body["stream"] else mistral.ChatCompletionRequest
    assert_kept(body, kind.model_validate(body).model_dump(by_alias=True, mode="json"))


def assert_ollama_takes(body: dict[str, Any]) -> None:
    """The SDK's types for parts of requests are looser than Mistral's: keys are checked level by level."""
    ollama.ChatRequest.model_validate(body)
    assert isinstance(body["stream"], bool)
    assert set(body) <= set(ollama.ChatRequest.model_fields)
    assert set(body.get("options", ())) <= set(ollama.Options.model_fields) | {"min_p"}
    for message in body["messages"]:
        images = message.get("images", [])
        ollama.Message.model_validate({**message, "images": [{"value": image} for image in images]})
        assert set(message) <= set(ollama.Message.model_fields) | _OLLAMA_NEWER
        assert isinstance(message["content"], str)
        assert message["role"] in ("system", "user", "assistant", "tool")
        for image in images:
            assert ollama.Image(value=image).model_dump() == image  # its serializer refuses what is not base64
        for call in message.get("tool_calls", ()):
            assert set(call) <= {"function", "id"}
            assert isinstance(call["function"]["arguments"], dict)
    for tool in body.get("tools", ()):
        assert set(tool) <= set(ollama.Tool.model_fields)
        assert set(tool["function"]) <= set(ollama.Tool.Function.model_fields)
