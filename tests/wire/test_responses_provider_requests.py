"""Requests to the Responses API: those of recorded chats and messages are valid, those of recorded responses come back equal."""

from __future__ import annotations

import copy
import json
from typing import Any

from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming, ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from edgegate.dialects.anthropic import MessagesClient
from edgegate.dialects.base import Ask, ClientSide, Progress, WireRequest
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.responses.client import ResponsesClient
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus

PROVIDER = ResponsesProvider()
STREAMED: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsStreaming)
PLAIN: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsNonStreaming)
STATE = ("previous_response_id", "conversation", "background", "prompt")

chats = corpus(*(f"{name}/chat" for name in ("openai", "groq", "openrouter", "deepseek", "azure")), where=lambda r: r.status == 200)
messages = corpus("anthropic/messages", where=lambda r: r.status == 200)
responses = corpus(
    *(f"{name}/responses" for name in ("openai", "azure", "bedrock-mantle", "deepseek")),
    where=lambda r: r.status == 200 and r.path.endswith("/responses") and not any(r.request.get(name) for name in STATE),
)
answered = corpus(
    *(f"{name}/responses" for name in ("openai", "azure", "bedrock-mantle", "deepseek")),
    where=lambda r: r.status == 200 and r.body.startswith(b"{") and json.loads(r.body).get("status") in ("completed", "complete"),
)


def sent(client: ClientSide, request: dict[str, Any]) -> tuple[dict[str, Any], WireRequest]:
    client.check(request)
    chat = client.neutral(request)
    before = copy.deepcopy(chat)
    wire = PROVIDER.request(Ask(chat, request.get("model") or "m", bool(request.get("stream")), "chatcmpl-1", 1))
    assert chat == before, "a chat is not changed"
    body: dict[str, Any] = json.loads(wire.body)
    (STREAMED if body.get("stream") else PLAIN).validate_python(with_ids(body))
    return body, wire


def with_ids(body: dict[str, Any]) -> dict[str, Any]:
    """The SDK's type wants an id of reasoning, which the API does without (openai/responses-reasoning-545d1e97)."""
    return {**body, "input": [{"id": "rs_1", **item} if item.get("type") == "reasoning" else item for item in body["input"]]}


CANNOT = {"input_audio", "container_upload", "audio"}
"""What some recordings ask that this API cannot be asked."""


def sent_or_refused(client: ClientSide, request: dict[str, Any]) -> tuple[dict[str, Any], WireRequest] | None:
    try:
        return sent(client, request)
    except GatewayError as error:
        refused = error
    assert refused.status == 400
    assert refused.param
    assert (request.get("n") or 1) > 1 or any(name in json.dumps(request) for name in CANNOT)
    return None


def assert_keeps_the_turns(body: dict[str, Any], chat: dict[str, Any]) -> None:
    """Every call has its result, every text is there, in order."""
    made = json.dumps(body, ensure_ascii=False)
    asked = [item["call_id"] for item in body["input"] if item.get("type") in ("function_call", "custom_tool_call")]
    answered = [item["call_id"] for item in body["input"] if str(item.get("type")).endswith("_call_output")]
    assert [call["id"] for message in chat["messages"] for call in message.get("tool_calls") or []] == asked
    assert [message["tool_call_id"] for message in chat["messages"] if message["role"] == "tool"] == answered
    for message in chat["messages"]:
        content = message.get("content")
        texts = [content] if isinstance(content, str) else [part.get("text") for part in content or [] if part["type"] == "text"]
        assert all(json.dumps(text, ensure_ascii=False)[1:-1] in made for text in texts if text)


@chats
def test_a_recorded_chat_is_a_valid_request(recording: Recording) -> None:
    found = sent_or_refused(ChatClient(), recording.request)
    if found is None:
        return
    body, wire = found
    assert_keeps_the_turns(body, ChatClient().neutral(recording.request))
    assert body["store"] is bool(recording.request.get("store"))
    assert not set(wire.dropped) & {"messages", "tools", "tool_choice", "response_format", "max_tokens", "max_completion_tokens"}
    functions = [tool for tool in body.get("tools", []) if tool["type"] == "function"]
    offered = [
        tool["function"]["name"] for tool in ChatClient().neutral(recording.request).get("tools") or [] if tool["type"] == "function"
    ]
    assert [tool["name"] for tool in functions] == offered


@messages
def test_a_recorded_message_request_is_a_valid_request(recording: Recording) -> None:
    found = sent_or_refused(MessagesClient(), recording.request)
    if found is not None:
        assert_keeps_the_turns(found[0], MessagesClient().neutral(recording.request))
        assert found[0]["max_output_tokens"] == max(recording.request["max_tokens"], 16)


@responses
def test_a_recorded_request_comes_back_from_the_chat(recording: Recording) -> None:
    body, wire = sent(ResponsesClient(), recording.request)
    bare = bare_reasoning(recording.request)
    assert wire.dropped == (["reasoning_details"] if bare else [])
    assert wire.mapped == []
    assert items(body, bare) == items(recording.request, bare)
    assert options(body) == options(recording.request)


def bare_reasoning(request: dict[str, Any]) -> bool:
    """Whether it refers to reasoning that only OpenAI has, by nothing but its id: between requests of ours nothing is stored."""
    given = request["input"] if isinstance(request["input"], list) else []
    return any(is_bare(item) for item in given)


def is_bare(item: dict[str, Any]) -> bool:
    return item.get("type") == "reasoning" and not item.get("encrypted_content") and not item.get("content")


def items(request: dict[str, Any], bare: bool) -> list[dict[str, Any]]:
    given = request["input"]
    listed = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    if request.get("instructions"):
        listed.insert(0, {"role": "system", "content": request["instructions"]})
    return [normal(item, bare) for item in listed if not is_bare(item) and item.get("content") != ""]  # "" says nothing


def normal(item: dict[str, Any], bare: bool) -> dict[str, Any]:
    item = {"type": "message", **{name: value for name, value in item.items() if value is not None}}
    made = item["type"] in ("message", "function_call", "custom_tool_call", "reasoning")
    if made and item.get("status") == "completed":
        del item["status"]
    if made and bare:  # what it led to goes without its id then
        item.pop("id", None)
    for name in ("content", "output"):
        if item["type"] in ("message", "function_call_output") and isinstance(item.get(name), (str, list)):
            item[name] = parts(item[name], item.get("role") == "assistant" and bare)
    if item["type"] == "reasoning" and not item.get("content"):
        item.pop("content", None)
    return item


def parts(content: str | list[dict[str, Any]], plain: bool) -> list[dict[str, Any]]:
    out = []
    for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content:
        part = {name: value for name, value in part.items() if not (name in ("annotations", "logprobs") and (plain or not value))}
        if part["type"] in ("input_text", "output_text"):
            part["type"] = "text"
        if part["type"] == "input_image":
            part.setdefault("detail", "auto")
        out.append(part)
    return out


def options(request: dict[str, Any]) -> dict[str, Any]:
    """All but the conversation. A function is strict or not, whoever says it; encrypted reasoning is always asked for."""
    rest = {name: value for name, value in request.items() if name not in ("input", "instructions", "store")}
    rest["tools"] = [
        {name: value for name, value in tool.items() if value is not None and not (name == "strict" and not value)}
        for tool in request.get("tools") or []
    ]
    rest["include"] = sorted(set(request.get("include") or ()) - {"reasoning.encrypted_content"})
    rest["reasoning"] = {name: value for name, value in (request.get("reasoning") or {}).items() if value is not None}
    rest["text"] = {name: value for name, value in (request.get("text") or {}).items() if value != {"type": "text"}}
    if rest.get("truncation") == "disabled":
        del rest["truncation"]
    return {name: value for name, value in rest.items() if value not in (None, False, [], {}, "")}


@answered
def test_the_reply_to_a_recorded_request_can_be_sent_back(recording: Recording) -> None:
    """One turn further: the answer as a chat client has it goes into the next request as the items that it was."""
    reply = json.loads(recording.body)
    ask = Ask({}, "gpt-5", False, "chatcmpl-1", 1)
    message = json.loads(PROVIDER.whole(ask, recording.body, Progress()))["choices"][0]["message"]
    chat = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "And?"}]}
    body = json.loads(PROVIDER.request(Ask(chat, "gpt-5", False, "chatcmpl-1", 1)).body)
    PLAIN.validate_python(with_ids(body))
    bare = any(is_bare(item) for item in reply["output"])
    ours = {item["type"] for item in reply["output"] if item["type"] == "message" and not item["id"].startswith("msg")}
    expected = [normal(item, bare or bool(ours)) for item in reply["output"] if not is_bare(item) and said_something(item)]
    got = [normal(item, bare or bool(ours)) for item in body["input"][1:-1]]
    assert [item["type"] for item in got] == [item["type"] for item in expected]
    for one, other in zip(got, expected, strict=True):
        for name in ("call_id", "arguments", "input", "encrypted_content", "phase", "namespace", "caller", "action", "summary"):
            assert one.get(name) == other.get(name)
        if one["type"] == "message":
            assert "".join(part.get("text", "") for part in one["content"]) == "".join(part.get("text", "") for part in other["content"])


def said_something(item: dict[str, Any]) -> bool:
    return item["type"] != "message" or any(part.get("text") or part.get("refusal") for part in item["content"])
