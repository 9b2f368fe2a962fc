"""Requests: what Cohere clients recorded survives the chat, and what others recorded becomes a valid request of Cohere's."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edgegate.dialects.anthropic.client import MessagesClient
from edgegate.dialects.base import Ask, Chat, WireRequest
from edgegate.dialects.cohere.client import CohereChatClient, CohereEmbedClient, LooseRerankClient
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.openai.client import ChatClient
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus
from tests.unit.dialects.cohere.sdk import assert_cohere_takes, client

SIDE = CohereProvider()
CHAT = CohereChatClient()
version_2 = corpus("cohere/chat", where=lambda r: r.path == "/v2/chat")
"""Version 1 (`/v1/chat`) is another format: some recordings are of it."""

LIMITS = {
    "n": "Cohere answers one choice",
    "functions": "the older form of tools",
    "content": "sound, files and videos: Cohere's models take text and pictures",
    "role": "function messages, the older form of tool messages",
    "function_call": "the older form of tool calls",
}
"""What may be refused, by the last name in the path of the field."""


def sent(chat: Chat, model: str = "command-a-reasoning-08-2025") -> WireRequest:
    return SIDE.request(Ask(chat, model, bool(chat.get("stream")), "chatcmpl-1", 1))


def normal(request: dict[str, Any]) -> dict[str, Any]:
    """What counts: null is absent, and so is false for the two switches; one text part is a string; the schema's newer name."""
    body = {name: value for name, value in request.items() if value is not None and value != []}
    for name in ("stream", "strict_tools"):
        if not body.get(name):
            body.pop(name, None)
    body["messages"] = [normal_message(message) for message in body["messages"]]
    if "response_format" in body:
        format = dict(body["response_format"])
        if format.get("schema") is not None:
            format["json_schema"] = format.pop("schema")
        body["response_format"] = {name: value for name, value in format.items() if value is not None}
    body["tools"] = [{"type": "function", "function": {k: v for k, v in t["function"].items() if v}} for t in body.get("tools", ())]
    return body


def normal_message(message: dict[str, Any]) -> dict[str, Any]:
    message = {name: value for name, value in message.items() if value not in (None, [], "")}
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
        message["content"] = content[0]["text"]
    if message["role"] == "assistant":
        message["tool_calls"] = [
            {"id": call["id"], "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in message.get("tool_calls", ())
        ]
    return message


@version_2
def test_a_recorded_request_survives_the_chat(recording: Recording) -> None:
    CHAT.check(recording.request)
    request = sent(CHAT.neutral(recording.request), recording.request["model"])
    assert (request.dropped, request.mapped) == ([], [])
    assert request.path == recording.path
    body = orjson.loads(request.body)
    assert normal(body) == normal(recording.request)
    assert_cohere_takes(body)


@version_2
def test_what_other_providers_read_of_a_recorded_request_is_a_chat(recording: Recording) -> None:
    chat = CHAT.neutral(recording.request)
    ChatClient().check(chat)
    called: list[str] = []
    for message in chat["messages"]:
        if message["role"] == "assistant":
            called += [call["id"] for call in message.get("tool_calls", ())]
        elif message["role"] == "tool":
            assert message["tool_call_id"] in called
            content = message["content"]
            assert isinstance(content, str) or all(part["type"] == "text" and part["text"] for part in content)


def neutral_of(recording: Recording) -> Chat:
    if recording.raw["kind"] != "messages":
        return recording.request
    chat: Chat = MessagesClient().neutral(recording.request)
    return chat


def usable(recording: Recording) -> bool:
    return recording.status == 200 and "messages" in recording.request


OTHERS = (*(f"{name}/chat" for name in ("openai", "groq", "mistral", "together", "deepseek", "openrouter")), "anthropic/messages")


@corpus(*OTHERS, where=usable)
def test_other_clients_recorded_requests_become_valid_ones_or_a_400_that_names_a_real_limit(recording: Recording) -> None:
    chat = neutral_of(recording)
    try:
        request = sent(chat)
    except GatewayError as error:
        last = (error.param or "").rpartition(".")[2].partition("[")[0]
        assert (error.status, last in LIMITS) == (400, True), error.param  # noqa: PT017
        return
    body = orjson.loads(request.body)
    assert_cohere_takes(body)
    assert body["stream"] is bool(chat.get("stream"))
    said = "".join(str(message.get("content")) + str(message.get("tool_plan")) for message in body["messages"])
    for message in chat["messages"]:
        if isinstance(message.get("content"), str):
            assert repr(message["content"])[1:-1] in said or message["content"] in said
    calls = [call["id"] for message in body["messages"] for call in message.get("tool_calls", ())]
    assert calls == [call["id"] for message in chat["messages"] for call in message.get("tool_calls") or ()]
    for name, value in chat.items():
        if value not in (None, [], {}, False) and name not in ("model", "messages", "stream", "stream_options"):
            assert name in request.dropped or name in request.mapped or name in CARRIED or value in ("auto", True, ["text"]), name


CARRIED = {
    *("temperature", "top_p", "top_k", "seed", "stop", "max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty"),
    *("tools", "tool_choice", "response_format", "reasoning_effort", "thinking", "output_config", "logprobs", "n"),
}


@corpus("cohere/embeddings", where=lambda r: "texts" in r.request)
def test_recorded_embed_requests_survive_the_neutral_form_but_for_quantised_types(recording: Recording) -> None:
    """They are version 1's, which differs in the path alone."""
    request = {name: value for name, value in recording.request.items() if value is not None}
    client = CohereEmbedClient()
    client.check(request)
    if request.get("embedding_types", ["float"]) != ["float"]:
        with pytest.raises(GatewayError) as caught:
            client.neutral(request)
        assert (caught.value.status, caught.value.param) == (400, "embedding_types[0]")
        return
    made = SIDE.embed(client.neutral(request), request["model"])
    assert (made.path, made.dropped, made.mapped) == ("/v2/embed", [], [])
    assert orjson.loads(made.body) == {"embedding_types": ["float"], **request}


@corpus("cohere/rerank")
def test_recorded_rerank_requests_survive_the_neutral_form(recording: Recording) -> None:
    client = LooseRerankClient()
    client.check(recording.request)
    made = SIDE.rerank(client.neutral(recording.request), recording.request["model"])
    assert (made.path, set(made.dropped) <= {"max_chunks_per_doc"}) == ("/v2/rerank", True)
    gone = ("return_documents", *made.dropped)
    expected = {name: value for name, value in recording.request.items() if value is not None and name not in gone}
    assert orjson.loads(made.body) == expected


@version_2
def test_the_sdk_can_send_what_we_write(recording: Recording) -> None:
    """Through its own serialisation, which knows its types."""
    body = orjson.loads(sent(CHAT.neutral(recording.request), recording.request["model"]).body)
    made, wire = client()
    wire.body, wire.streamed, wire.status = b'{"id":"1","finish_reason":"COMPLETE","message":{"role":"assistant"}}', False, 200
    made.chat(**{name: value for name, value in body.items() if name != "stream"})
    assert {name: value for name, value in wire.sent.items() if name != "stream"} == {n: v for n, v in body.items() if n != "stream"}
