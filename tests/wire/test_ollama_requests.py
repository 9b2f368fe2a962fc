"""Chats as Ollama's requests: valid for its SDK's own types, and what came in from recorded OpenAI clients."""

from __future__ import annotations

import re
from typing import Any

import ollama._types as ollama
import orjson
import pytest

from edgegate.dialects.anthropic.client import MessagesClient
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
    chat.pop("n", None)  # Ollama gives one choice, and a 400 for more
    request = SIDE.request(Ask(chat, "qwen3", stream, "chatcmpl-1", 1))
    body = orjson.loads(request.body)
    assert_ollama_takes(body)
    assert (body["model"], body["stream"], request.path) == ("qwen3", stream, "/api/chat")
    assert len(body["messages"]) == len(messages)


_KINDS = ("input_audio", "video_url", "file", "document", "document_url", "image", "container_upload")
LIMITS = frozenset(
    {
        "n: this provider gives one choice",
        "messages[].content[].image_url.url: this provider takes images only inline, as a base64 data: URL",
        "messages[].tool_calls[]: this provider takes calls of functions only: expected function.name",
        *(f"messages[].content[].type: this provider takes text and images, no part of type {kind!r}" for kind in _KINDS),
    }
)
"""What Ollama has no way to be sent, and what the model would not have seen if it were left out."""

MESSAGES = MessagesClient()


@corpus("openai/chat", "anthropic/messages", "mistral/chat")
def test_a_recorded_request_of_another_client_becomes_a_valid_one_or_a_400_for_a_real_limit(recording: Recording) -> None:
    chat = recording.request
    if recording.raw["kind"] == "messages":
        try:
            MESSAGES.check(chat)
        except GatewayError:
            return  # refused before it gets here: recordings of bad requests
        chat = MESSAGES.neutral(chat)
    try:
        request = SIDE.request(Ask(chat, "qwen3", bool(chat.get("stream")), "chatcmpl-1", 1))
    except GatewayError as error:
        limit = error.status, re.sub(r"\[\d+\]", "[]", f"{error.param}: {error.message}")
        assert limit[0] == 400
        assert limit[1] in LIMITS or recording.status == 400  # what its own provider refused may be refused here
    else:
        assert_ollama_takes(orjson.loads(request.body))
        assert all(isinstance(name, str) for name in (*request.dropped, *request.mapped))


@pytest.mark.parametrize("request_", [{"input": "a"}, {"input": ["a", "b"], "dimensions": 64, "encoding_format": "base64", "user": "u"}])
def test_embeddings_requests_are_valid_for_ollamas_own_types(request_: dict[str, Any]) -> None:
    request = SIDE.embed({"model": "x", **request_}, "nomic-embed-text")
    body = orjson.loads(request.body)
    ollama.EmbedRequest.model_validate(body)
    assert set(body) <= set(ollama.EmbedRequest.model_fields)
    assert (body["model"], body["input"]) == ("nomic-embed-text", request_["input"])
    assert request.dropped == (["user"] if "user" in request_ else [])
