"""Requests of apps that know only Ollama: the recorded ones, those its SDK writes, and odd ones.

Through the chat and back to Ollama they say the same; to other providers they are valid; bad ones are a 400 in Ollama's words.
"""

from __future__ import annotations

from typing import Any

import httpx
import ollama
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.base import Ask, ClientSide, Progress
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.client import OllamaChatClient, OllamaGenerateClient
from edgegate.dialects.ollama.embedding import OllamaEmbedClient, OllamaOldEmbedClient
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus
from tests.wire.odd_json import OBJECTS, VALUES
from tests.wire.request_checks import assert_mistral_takes, assert_ollama_takes

CHAT, GENERATE, EMBED, OLD_EMBED = OllamaChatClient(), OllamaGenerateClient(), OllamaEmbedClient(), OllamaOldEmbedClient()
OLLAMA, MISTRAL, ANTHROPIC = OllamaProvider(), MistralProvider(), AnthropicProvider()
CLIENTS: dict[str, ClientSide] = {"/api/chat": CHAT, "/api/generate": GENERATE}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


NO_CHAT = ("suffix", "raw", "context")
OLLAMAS_OWN = {"options", "keep_alive", "think", "template", "min_p", "repetition_penalty", "logprobs", "top_logprobs"}


def is_native(recording: Recording) -> bool:
    return recording.path.startswith("/api/")


def back(client: ClientSide, request: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """A client's request as Ollama gets it by way of the chat; what was dropped; what was mapped."""
    client.check(request)
    sent = OLLAMA.request(Ask(client.neutral(request), request["model"], client.streams(request), "i", 1))
    return orjson.loads(sent.body), sent.dropped, sent.mapped


_MADE = ("id", "index", "tool_call_id", "tool_name", "type")
"""What a chat needs of calls and results, and Ollama's clients mostly do not give."""


def normal(request: dict[str, Any]) -> dict[str, Any]:
    """Without what says no more than its absence, what is made where it was missing; with the stream that absence means."""
    said = {name: value for name, value in request.items() if value not in (None, "", [], {}, False) or name in ("think", "stream")}
    said["stream"] = request.get("stream") is not False
    if "messages" in said:
        said["messages"] = [_message(message) for message in said["messages"]]
    return said


def _message(message: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if value not in (None, [], "") and key not in _MADE}
    functions = [call["function"] for call in kept.pop("tool_calls", [])]
    return {**kept, "calls": [(function["name"], function["arguments"]) for function in functions]}


def as_chat(request: dict[str, Any]) -> dict[str, Any]:
    """A request of /api/generate in the words of /api/chat."""
    rest = {name: value for name, value in request.items() if name not in ("prompt", "system", "images")}
    system = [{"role": "system", "content": request["system"]}] if request.get("system") else []
    user = {"role": "user", "content": request["prompt"], "images": request.get("images") or None}
    return {**rest, "messages": [*system, user]}


@corpus("ollama/chat", "ollama/completions", where=is_native)
def test_a_recorded_request_reaches_ollama_by_way_of_the_chat_as_it_was(recording: Recording) -> None:
    request = recording.request
    if any(request.get(name) for name in NO_CHAT):
        pytest.skip("says what a chat has no place for")
    body, dropped, mapped = back(CLIENTS[recording.path], request)
    assert normal(body) == normal(as_chat(request) if recording.path == "/api/generate" else request)
    assert (dropped, mapped) == ([], [])
    assert_ollama_takes(body)


@corpus("ollama/chat", "ollama/completions", where=is_native)
def test_a_recorded_request_becomes_a_valid_one_for_other_providers(recording: Recording) -> None:
    client = CLIENTS[recording.path]
    if any(recording.request.get(name) for name in NO_CHAT):
        pytest.skip("says what a chat has no place for")
    chat = client.neutral(recording.request)
    ask = Ask(chat, "m", client.streams(recording.request), "i", 1)
    sent = MISTRAL.request(ask)
    assert_mistral_takes(orjson.loads(sent.body))
    assert set(sent.dropped) <= OLLAMAS_OWN
    assert set(ANTHROPIC.request(ask).dropped) <= OLLAMAS_OWN | {"seed", "presence_penalty", "frequency_penalty", "reasoning_effort"}


def written_by_sdk(method: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """(path, request) that Ollama's SDK sends."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(500, json={"error": "seen"})

    client = ollama.Client(host="http://gateway", transport=httpx.MockTransport(answer))
    with pytest.raises(ollama.ResponseError):
        list(getattr(client, method)(**arguments))  # a stream asks when it is first read
    return seen[0].url.path, orjson.loads(seen[0].content)


def weather(city: str) -> str:
    """Says the weather.

    Args:
      city: Where.
    """
    return city


FULL: dict[str, Any] = {
    "model": "llama3",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?", "images": [PIXEL]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [
                {"function": {"name": "weather", "arguments": {"city": "Oslo"}}},
                {"function": {"name": "now", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "12:00", "tool_name": "now"},
        {"role": "tool", "content": "rain", "tool_name": "weather"},
        {"role": "user", "content": "And?"},
    ],
    "tools": [weather],
    "options": {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "num_predict": 100, "num_ctx": 8192, "stop": ["a"], "mirostat": 1,
        "repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.2, "min_p": 0.05,
    },
    "format": {"type": "object", "properties": {"a": {"type": "string"}}},
    "think": "low",
    "keep_alive": "5m",
    "logprobs": True,
    "top_logprobs": 2,
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
def test_all_that_ollamas_sdk_can_say_in_a_chat_survives_it(stream: bool) -> None:
    path, request = written_by_sdk("chat", **FULL, stream=stream)
    assert path == "/api/chat"
    body, dropped, mapped = back(CHAT, request)
    assert normal(body) == normal(request)
    assert (dropped, mapped) == ([], [])


def test_a_chat_is_in_openais_words() -> None:
    _, request = written_by_sdk("chat", **FULL, stream=True)
    chat = CHAT.neutral(request)
    said = {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "max_completion_tokens": 100, "stop": ["a"], "repetition_penalty": 1.1,
        "min_p": 0.05, "presence_penalty": 0.1, "frequency_penalty": 0.2, "reasoning_effort": "low", "keep_alive": "5m", "logprobs": True,
        "top_logprobs": 2, "stream": True, "stream_options": {"include_usage": True}, "options": {"num_ctx": 8192, "mirostat": 1},
    }  # fmt: skip
    assert {name: chat[name] for name in said} == said
    assert chat["response_format"]["json_schema"]["schema"] == FULL["format"]
    system, user, called, now, rain, _ = chat["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["content"][1] == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert called["reasoning_content"] == "hm"
    assert [call["id"] for call in called["tool_calls"]] == ["call_0", "call_1"]
    assert called["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert [now["tool_call_id"], rain["tool_call_id"]] == ["call_1", "call_0"]
    assert_mistral_takes(orjson.loads(MISTRAL.request(Ask(chat, "m", True, "i", 1)).body))
    assert set(MISTRAL.request(Ask(chat, "m", True, "i", 1)).dropped) == {"options", "min_p", "keep_alive", "think"}


def test_all_that_ollamas_sdk_can_say_in_generate_survives_it() -> None:
    given = {"prompt": "Why?", "system": "Be brief.", "images": [PIXEL], "options": {"num_predict": -1}, "format": "json", "think": True}
    path, request = written_by_sdk("generate", model="m", keep_alive=0, stream=True, **given)
    assert path == "/api/generate"
    body, dropped, _ = back(GENERATE, request)
    assert normal(body) == normal(as_chat(request))
    assert dropped == []


@pytest.mark.parametrize("field", [{"suffix": "}"}, {"raw": True}, {"context": [1, 2]}])
def test_what_a_chat_has_no_place_for_is_a_400_that_names_it(field: dict[str, Any]) -> None:
    request = {"model": "m", "prompt": "p", **field}
    GENERATE.check(request)
    with pytest.raises(GatewayError) as caught:
        GENERATE.neutral(request)
    (name,) = field
    assert (caught.value.status, caught.value.param) == (400, name)
    assert orjson.loads(GENERATE.error(caught.value, "r"))["error"].startswith(f"{name}: ")


def test_embeddings_of_ollamas_sdk_go_through_openais_form_and_back() -> None:
    path, request = written_by_sdk(
        "embed", model="m", input=["a", "b"], truncate=True, dimensions=8, options={"num_ctx": 1}, keep_alive="1m"
    )
    assert path == "/api/embed"
    EMBED.check(request)
    neutral = EMBED.neutral(request)
    assert (neutral["input"], neutral["encoding_format"], neutral["dimensions"]) == (["a", "b"], "float", 8)
    assert orjson.loads(OLLAMA.embed(neutral, "m").body) == request
    reply = OLLAMA.embedded(neutral, "m", b'{"model":"m","embeddings":[[1.5,2],[3,4]],"prompt_eval_count":5}', Progress())
    read = ollama.EmbedResponse.model_validate_json(EMBED.whole(request, reply))
    assert (read.embeddings, read.prompt_eval_count, read.model) == ([[1.5, 2], [3, 4]], 5, "m")

    path, request = written_by_sdk("embeddings", model="m", prompt="a")
    assert path == "/api/embeddings"
    OLD_EMBED.check(request)
    neutral = OLD_EMBED.neutral(request)
    reply = OLLAMA.embedded(neutral, "m", b'{"embeddings":[[1.5,2]]}', Progress())
    assert ollama.EmbeddingsResponse.model_validate_json(OLD_EMBED.whole(request, reply)).embedding == [1.5, 2]
    old = Progress()
    OLLAMA.glance("ollama.embeddings", b'{"embedding":[1.5,2]}', old)
    assert old.finished


MESSAGES = st.builds(
    lambda message, role: {**message, "role": role}, OBJECTS, st.sampled_from(["user", "assistant", "tool", "system", "Assistant"])
)
ODD = st.builds(
    lambda request, messages, model: {**request, "messages": messages, "model": model},
    OBJECTS | st.dictionaries(st.sampled_from(["prompt", "images", "options", "context", "system", "input", "keep_alive"]), VALUES),
    st.lists(MESSAGES, max_size=4) | VALUES,
    st.just("m") | VALUES,
)


@given(ODD)
def test_any_request_becomes_a_request_or_a_400_in_ollamas_words(request: dict[str, Any]) -> None:
    for client in (CHAT, GENERATE, EMBED, OLD_EMBED):
        try:
            client.check(request)
            neutral = client.neutral(request)
        except GatewayError as error:
            refused = error.status, bool(error.param), list(orjson.loads(client.error(error, "r")))
            assert refused == (400, True, ["error"])
            continue
        for side in (OLLAMA, MISTRAL):
            try:
                if client in (CHAT, GENERATE):
                    side.request(Ask(neutral, "m", client.streams(request), "i", 1))
                else:
                    side.embed(neutral, "m")
            except GatewayError as error:
                status = error.status
                assert status == 400


@given(st.lists(OBJECTS | VALUES, max_size=5))
def test_any_chat_stream_is_written_in_whole_lines_and_ended_at_most_once(chunks: list[Any]) -> None:
    for client in (CHAT, GENERATE):
        tap = client.stream({"model": "m"}, "i")
        out = b"".join([tap.feed(b"data: " + orjson.dumps(chunk) + b"\n\n") for chunk in chunks]) + tap.end(Outcome.OK)
        lines = [orjson.loads(line) for line in out.splitlines()]
        assert sum(line.get("done") is True or "error" in line for line in lines) <= 1
