"""Recorded requests to `/v1/responses`: all pass the check, become chats, and come back from the chat saying the same."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from edgegate.dialects.base import Ask
from edgegate.dialects.openai.check import check_chat
from edgegate.dialects.responses.client import ResponsesClient
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus

Json = dict[str, Any]
CLIENT = ResponsesClient()
STATE = ("previous_response_id", "conversation", "prompt", "background")
FOLDERS = ("openai/responses", "azure/responses", "deepseek/responses", "bedrock-mantle/responses")


def asks(recording: Recording) -> bool:
    return recording.raw["method"] == "POST" and recording.path.endswith("/responses")


def keeps_state(request: Json) -> bool:
    return any(request.get(name) for name in STATE)


every = corpus(*FOLDERS, where=asks)
stateless = corpus(*FOLDERS, where=lambda r: asks(r) and not keeps_state(r.request))
stateful = corpus(*FOLDERS, where=lambda r: asks(r) and keeps_state(r.request))


@every
def test_the_check_passes(recording: Recording) -> None:
    CLIENT.check(recording.request)


@stateful
def test_what_needs_state_is_refused_by_name(recording: Recording) -> None:
    with pytest.raises(GatewayError) as caught:
        CLIENT.neutral(recording.request)
    assert (caught.value.status, caught.value.code) == (400, "unsupported_value")
    assert caught.value.param in STATE


@stateless
def test_a_request_becomes_a_chat_that_holds_all_of_its_text(recording: Recording) -> None:
    request = recording.request
    before = copy.deepcopy(request)
    chat = CLIENT.neutral(request)
    assert request == before, "a request is not changed"
    check_chat({**chat, "model": chat["model"] or "m"})
    written = json.dumps(chat, ensure_ascii=False)
    for text in texts(request.get("input")):
        assert json.dumps(text, ensure_ascii=False)[1:-1] in written
    calls = [call["id"] for message in chat["messages"] for call in message.get("tool_calls") or []]
    assert calls == [item["call_id"] for item in items_of(request) if item.get("type") in ("function_call", "custom_tool_call")]


@stateless
def test_a_request_comes_back_from_the_chat_saying_the_same(recording: Recording) -> None:
    request = recording.request
    ask = Ask(CLIENT.neutral(request), request["model"], bool(request.get("stream")), "chatcmpl-1", 1)
    wire = ResponsesProvider().request(ask)
    assert set(wire.dropped) <= {"reasoning_details"}, "of reasoning, nothing but an id that nobody knows"
    assert wire.mapped == []
    known = "reasoning_details" not in wire.dropped
    assert normal(json.loads(wire.body), known) == normal(request, known)


def items_of(request: Json) -> list[Json]:
    items = request.get("input")
    return items if isinstance(items, list) else [{"role": "user", "content": items}]


def texts(value: Any) -> list[str]:
    """All that was said, wherever it stands."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    if isinstance(value, dict):
        return [
            text for name in ("text", "content", "output", "summary", "arguments", "encrypted_content") for text in texts(value.get(name))
        ]
    return []


def normal(request: Json, known: bool) -> Json:
    """The same request with one spelling for what can be spelt in two ways. Left out: what says nothing (defaults, empty texts),
    `store` and the wish for encrypted reasoning, which are the gateway's to decide, and ids of reasoning. Not `known` is what only
    an id stands for, and no item may have an id whose reasoning is missing."""
    request = copy.deepcopy(request)
    for name in ("store", "include"):
        request.pop(name, None)
    items = [{"role": "system", "content": request.pop("instructions", None)}, *items_of(request)]
    request["input"] = [made for item in items if (made := normal_item(item, known)) is not None]
    for tool in request.get("tools") or []:
        if tool["type"] == "function":
            tool["strict"] = bool(tool.get("strict"))
            tool["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
    if (request.get("text") or {}).get("format") == {"type": "text"}:
        del request["text"]["format"]
    if request.get("truncation") == "disabled":
        del request["truncation"]
    bare: Json = stripped(request)
    return bare


def normal_item(item: Json, known: bool) -> Json | None:
    item = stripped(item)
    kind = item.pop("type", "message")
    if item.get("status") == "completed":
        del item["status"]
    if kind == "reasoning" or not known:
        item.pop("id", None)
    if kind == "reasoning" and not item and not known:
        return None
    if kind in ("message", "function_call_output"):
        field = "content" if kind == "message" else "output"
        content = item.get(field, "")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        item[field] = [{**part, "type": part["type"].replace("input_text", "text").replace("output_text", "text")} for part in parts]
        if not any(part.get("text", "x") for part in item[field]):
            return None
    return {"type": kind, **item}


def stripped(value: Any) -> Any:
    """Without what stands for nothing."""
    if isinstance(value, dict):
        return {name: made for name, inner in value.items() if (made := stripped(inner)) not in (None, [], {}, False)}
    return [stripped(inner) for inner in value] if isinstance(value, list) else value
