"""Requests recorded at OpenAI and Anthropic, written for Bedrock: boto3's own service model takes every one of them.

There is no client that speaks Converse, so that recorded Converse requests are compared with what an Anthropic or OpenAI
client asks for in the same conversation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given, settings

from edgegate.dialects.anthropic.client import MessagesClient
from edgegate.dialects.base import Ask, WireRequest
from edgegate.dialects.openai.client import ChatClient
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus, recordings
from tests.wire.bedrock_sdk import MODEL, SIDE, ask_for, faults
from tests.wire.odd_json import CHATS

MODELS = (
    MODEL,
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
    "anthropic.claude-v2",
    "amazon.nova-lite-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "mistral.mistral-large-3-675b-instruct",
    "openai.gpt-oss-120b-1:0",
    "amazon.titan-text-express-v1",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/mi1dadi0g15f",
)
LIMITS = (
    "this provider gives one choice",
    "this provider loads no URLs",
    "this provider has no file ids",
    "this provider takes text, images, documents, video and audio",
    "this provider needs at least one message with content besides the system's",
)
"""What Converse cannot be asked: several choices, files that it would have to fetch, a provider's own kinds of parts."""


def neutral(recording: Recording) -> dict[str, Any] | None:
    """The recorded request as a chat; None for one that its own client side refuses."""
    client = MessagesClient() if recording.file.parent.name == "anthropic" else ChatClient()
    try:
        client.check(recording.request)
        return client.neutral(recording.request)
    except GatewayError:
        return None


def attempt(build: Callable[[Ask], WireRequest], ask: Ask) -> tuple[WireRequest | None, GatewayError | None]:
    try:
        return build(ask), None
    except GatewayError as error:
        return None, error


@corpus("openai/chat", "anthropic/messages", where=lambda r: bool(r.request))
def test_boto3_takes_every_request_or_a_limit_is_named(recording: Recording) -> None:
    chat = neutral(recording)
    if chat is None:
        pytest.skip("the client side refuses it")
    for model in MODELS:
        for approximate in (True, False):
            wire, error = attempt(SIDE.request, ask_for(chat, model=model, approximate=approximate))
            if error is not None:
                assert (error.status, bool(error.param)) == (400, True)
                assert error.message.startswith(LIMITS) or (not approximate and "begin with the user" in error.message)
            elif wire is not None:
                assert faults(orjson.loads(wire.body)) == ""
                assert len(set(wire.dropped)) == len(wire.dropped)
                assert len(set(wire.mapped)) == len(wire.mapped)
                assert approximate or not wire.mapped


@corpus("openai/chat", "anthropic/messages", where=lambda r: bool(r.request))
def test_nothing_is_lost_silently(recording: Recording) -> None:
    """Every field of the chat is sent, or named, or says nothing."""
    chat = neutral(recording)
    if chat is None:
        pytest.skip("the client side refuses it")
    sent = {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"}
    sent |= {"tools", "tool_choice", "response_format", "reasoning_effort", "thinking", "output_config", "cache_control", "n"}
    try:
        wire = SIDE.request(ask_for(chat))
    except GatewayError:
        return
    named = {*wire.dropped, *wire.mapped}
    text = wire.body.decode()
    for name, value in chat.items():
        if name in sent or name in named or value in (None, False, 0, {}, [], ["text"], "medium"):
            continue
        carried = {"metadata": "requestMetadata", "service_tier": "serviceTier", "parallel_tool_calls": "disable_parallel_tool_use"}
        if (name, value) in (("parallel_tool_calls", True), ("service_tier", "auto"), ("service_tier", "default")) or name.startswith("x-"):
            continue
        assert name in carried, name
        assert carried[name] in text or not chat.get("tools"), name


@corpus("openai/chat", "anthropic/messages", where=lambda r: bool(r.request))
def test_counting_asks_about_the_same_conversation(recording: Recording) -> None:
    chat = neutral(recording)
    try:
        wire = SIDE.count(ask_for(chat or {}))
        whole = orjson.loads(SIDE.request(ask_for(chat or {})).body)
    except GatewayError:
        return
    body = orjson.loads(wire.body)
    assert wire.path == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    assert body["input"]["converse"].items() <= whole.items()
    assert faults(body, "CountTokens") == ""


# -- the same conversation, asked by clients of other formats


def by_anthropic(recorded: dict[str, Any]) -> dict[str, Any] | None:
    """A recorded Converse request as an app would ask it through Anthropic's SDK; None where it has no words for it."""
    config, inference = recorded.get("toolConfig", {}), recorded.get("inferenceConfig", {})
    extra = recorded.get("additionalModelRequestFields", {})
    if recorded.keys() & {"guardrailConfig", "performanceConfig", "outputConfig", "requestMetadata", "promptVariables"}:
        return None
    request: dict[str, Any] = {"model": "claude", "max_tokens": inference.get("maxTokens", 4096), "messages": []}
    for message in recorded["messages"]:
        content = _anthropic_blocks(message["content"])
        if content is None:
            return None
        request["messages"].append({"role": message["role"], "content": content})
    if recorded.get("system"):
        request["system"] = _anthropic_blocks(recorded["system"])
    for tool in config.get("tools", []):
        if "cachePoint" in tool:
            request["tools"][-1]["cache_control"] = {"type": "ephemeral"}
        elif "toolSpec" in tool:
            spec = tool["toolSpec"]
            more = {name: spec[name] for name in ("description", "strict") if name in spec}
            request.setdefault("tools", []).append({"name": spec["name"], "input_schema": spec["inputSchema"]["json"], **more})
        else:
            return None
    for kind, value in config.get("toolChoice", {}).items():
        request["tool_choice"] = {"type": kind, **value}
    names = {"temperature": "temperature", "topP": "top_p", "stopSequences": "stop_sequences"}
    request |= {theirs: inference[ours] for ours, theirs in names.items() if ours in inference}
    return {**request, **extra} if extra.keys() <= {"thinking", "output_config", "top_k"} else None


def _anthropic_blocks(blocks: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = []
    for block in blocks:
        ((kind, value),) = block.items()
        if kind == "text":
            found.append({"type": "text", "text": value})
        elif kind == "cachePoint" and found:
            found[-1]["cache_control"] = {"type": "ephemeral"}
        elif kind == "toolUse" and "type" not in value:
            found.append({"type": "tool_use", "id": value["toolUseId"], "name": value["name"], "input": value["input"]})
        elif kind == "toolResult":
            content = _anthropic_blocks(value["content"])
            found.append({"type": "tool_result", "tool_use_id": value["toolUseId"], "content": content})
            if content is None:
                return None
        elif kind == "reasoningContent" and "reasoningText" in value:
            said = value["reasoningText"]
            found.append({"type": "thinking", "thinking": said["text"], "signature": said["signature"]})
        elif kind == "image" and "bytes" in value["source"] and isinstance(value["source"]["bytes"], str):
            source = {"type": "base64", "media_type": f"image/{value['format']}", "data": value["source"]["bytes"]}
            found.append({"type": "image", "source": source})
        else:
            return None
    return found


def settled(recorded: dict[str, Any]) -> dict[str, Any]:
    """What a recorded request says, without what says nothing: empty members, `status: success`, turns in two halves."""
    body = orjson.loads(orjson.dumps(recorded))
    turns: list[dict[str, Any]] = []
    for message in body["messages"]:
        for block in message["content"]:
            if block.get("toolResult", {}).get("status") == "success":
                del block["toolResult"]["status"]
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += message["content"]
        else:
            turns.append(message)
    body["messages"] = turns
    body.setdefault("inferenceConfig", {}).setdefault("maxTokens", 4096)
    return {name: value for name, value in body.items() if value not in ({}, [])}


def is_claude_or_nova(recording: Recording) -> bool:
    asked = ("claude-3", "claude-sonnet", "claude-haiku", "claude-opus", "nova")
    return recording.status == 200 and bool(recording.request) and any(word in recording.path for word in asked)


@corpus("bedrock/converse", where=is_claude_or_nova)
def test_an_anthropic_client_in_the_same_conversation_asks_the_same(recording: Recording) -> None:
    asked = by_anthropic(recording.request)
    if asked is None:
        pytest.skip("Anthropic has no words for it")
    client = MessagesClient()
    client.check(asked)
    model = unquote(recording.path.split("/")[2])
    stream = recording.path.endswith("-stream")
    wire = SIDE.request(Ask(client.neutral(asked), model, stream, "id", 0))
    body = orjson.loads(wire.body)
    body.pop("additionalModelResponseFieldPaths", None)
    expected = settled(recording.request)
    if wire.dropped or wire.mapped:  # pydantic sends Claude's and Nova's fields to all models alike
        pytest.skip(f"dropped {wire.dropped}, mapped {wire.mapped}")
    assert body == expected
    assert unquote(wire.path) == unquote(recording.path)


def test_most_recorded_conversations_are_compared() -> None:
    found = recordings("bedrock/converse", where=is_claude_or_nova)
    if not found:
        pytest.skip("no recordings")
    assert sum(by_anthropic(recording.request) is not None for recording in found) >= len(found) * 2 // 3


@corpus("bedrock/converse", where=lambda r: "outputConfig" in r.request)
def test_an_openai_client_that_wants_the_same_schema_asks_the_same(recording: Recording) -> None:
    recorded = recording.request
    wanted = recorded["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    chat = {"messages": [{"role": "system", "content": block["text"]} for block in recorded.get("system", [])]}
    chat["messages"] += [{"role": message["role"], "content": message["content"][0]["text"]} for message in recorded["messages"]]
    schema = {**wanted, "schema": orjson.loads(wanted["schema"])}
    request = {**chat, "response_format": {"type": "json_schema", "json_schema": schema}, "max_tokens": 4096}
    wire = SIDE.request(ask_for(request, model=unquote(recording.path.split("/")[2])))
    body = orjson.loads(wire.body)
    sent = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    sent["schema"], expected = orjson.loads(sent["schema"]), settled(recorded)
    expected["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"] = schema["schema"]
    assert body == expected
    assert (wire.dropped, wire.mapped) == ([], [])


@settings(max_examples=300)
@given(CHATS)
def test_odd_json_is_sent_or_refused(chat: dict[str, Any]) -> None:
    for model in (MODEL, "us.amazon.nova-2-lite-v1:0", "mistral.mistral-large-3-675b-instruct"):
        for build in (SIDE.request, SIDE.count):
            _, error = attempt(build, ask_for(chat, model=model))
            assert error is None or (error.status == 400 and error.param)
