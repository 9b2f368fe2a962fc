"""Chats as Ollama's requests: valid for its SDK's own types, and what came in from recorded OpenAI clients."""

from __future__ import annotations

from typing import Any

import ollama._types as ollama
import orjson
import pytest

from edgegate.dialects.base import Ask
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus
from tests.wire.request_checks import assert_ollama_takes
from tests.wire.test_mistral_requests import OPTIONS, PIXEL, TURNS

SIDE = OllamaProvider()
PICTURES = [{"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]}]
INLINE = {name: turns for name, turns in TURNS.items() if name not in ("text and pictures", "sound and documents")}
MORE: dict[str, dict[str, Any]] = {"ollama's own": {"options": {"num_ctx": 8192}, "keep_alive": "5m", "think": "low", "format": "json"}}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("options", [*OPTIONS.values(), *MORE.values()], ids=[*OPTIONS, *MORE])
@pytest.mark.parametrize("messages", [*INLINE.values(), PICTURES], ids=[*INLINE, "a picture"])
def test_every_request_is_valid_for_ollamas_own_types(messages: list[dict[str, Any]], options: dict[str, Any], stream: bool) -> None:
    chat = {"model": "asked", "messages": messages, "stream": stream, "stream_options": {"include_usage": True}, **options}
    request = SIDE.request(Ask(chat, "qwen3", stream, "chatcmpl-1", 1))
    body = orjson.loads(request.body)
    assert_ollama_takes(body)
    assert (body["model"], body["stream"], request.path) == ("qwen3", stream, "/api/chat")
    assert len(body["messages"]) == len(messages)


@corpus("openai/chat")
def test_recorded_openai_requests_become_a_valid_request_or_a_400_that_names_the_field(recording: Recording) -> None:
    chat = recording.request
    try:
        request = SIDE.request(Ask(chat, "qwen3", bool(chat.get("stream")), "chatcmpl-1", 1))
    except GatewayError as error:
        refused = error.status, bool(error.param)
        assert refused == (400, True)
    else:
        assert_ollama_takes(orjson.loads(request.body))


@pytest.mark.parametrize("request_", [{"input": "a"}, {"input": ["a", "b"], "dimensions": 64, "encoding_format": "base64", "user": "u"}])
def test_embeddings_requests_are_valid_for_ollamas_own_types(request_: dict[str, Any]) -> None:
    request = SIDE.embed({"model": "x", **request_}, "nomic-embed-text")
    body = orjson.loads(request.body)
    ollama.EmbedRequest.model_validate(body)
    assert set(body) <= set(ollama.EmbedRequest.model_fields)
    assert (body["model"], body["input"]) == ("nomic-embed-text", request_["input"])
    assert request.dropped == (["user"] if "user" in request_ else [])
