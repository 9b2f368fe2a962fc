"""What the official `cohere` SDK makes of given bytes, and whether a request is valid for its own types."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cohere
import httpx
import pydantic
from cohere import types
from cohere.types import content as user_content
from cohere.types import tool_content

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
_ROLES: dict[str, Any] = {
    "system": types.SystemChatMessageV2,
    "user": types.UserChatMessageV2,
    "assistant": types.AssistantChatMessageV2,
    "tool": types.ToolChatMessageV2,
}
_PARTS: dict[tuple[str, str], Any] = {
    ("system", "text"): types.TextSystemMessageV2ContentOneItem,
    ("user", "text"): user_content.TextContent,
    ("user", "image_url"): user_content.ImageUrlContent,
    ("assistant", "text"): types.TextAssistantMessageV2ContentOneItem,
    ("assistant", "thinking"): types.ThinkingAssistantMessageV2ContentOneItem,
    ("tool", "text"): tool_content.TextToolContent,
    ("tool", "document"): tool_content.DocumentToolContent,
}


@dataclass
class Seen:
    """An answer, as an app sees it. `text` is plan and content, which streams of other vendors cannot tell apart."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)


class Canned:
    """Answers every request with the body set last."""

    def __init__(self) -> None:
        self.body = b""
        self.streamed = False
        self.status = 200
        self.sent: dict[str, Any] = {}
        self.path = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.path = request.url.path
        self.sent = json.loads(request.content or b"{}")
        kind = "text/event-stream" if self.streamed else "application/json"
        return httpx.Response(self.status, headers={"content-type": kind}, content=self.body)


@lru_cache
def client() -> tuple[cohere.ClientV2, Canned]:
    wire = Canned()
    made = cohere.ClientV2(
        "key", base_url="http://edge.test", max_retries=0, httpx_client=httpx.Client(transport=httpx.MockTransport(wire))
    )
    return made, wire


def by_cohere(body: bytes, *, streamed: bool) -> Seen:
    """The answer that `cohere.ClientV2` reads out of a reply."""
    made, wire = client()
    wire.body, wire.streamed, wire.status = body, streamed, 200
    if streamed:
        return _stream(list(made.chat_stream(model="m", messages=HELLO)))
    reply = made.chat(model="m", messages=HELLO)
    seen = Seen(finish=reply.finish_reason, id=reply.id, text=reply.message.tool_plan or "")
    assert reply.message.role == "assistant"
    for part in reply.message.content or ():
        if part.type == "text":
            seen.text += part.text
        else:
            seen.thinking += part.thinking
    for call in reply.message.tool_calls or ():
        assert call.function is not None
        seen.calls.append((call.id, str(call.function.name), json.loads(call.function.arguments or "")))
    seen.citations = [cited.model_dump(exclude_none=True) for cited in reply.message.citations or ()]
    seen.logprobs = [item.model_dump(exclude_none=True) for item in reply.logprobs or ()]
    seen.usage = _usage(reply.usage)
    return seen


def _stream(events: list[Any]) -> Seen:
    """Checks the grammar on the way: parts and calls begin, go on and end one after the other."""
    seen = Seen()
    assert [event.type for event in events].count("message-start") == 1
    assert events[0].type == "message-start"
    seen.id = events[0].id
    open_part = open_call = None
    parts = -1
    arguments: list[str] = []
    heads: list[tuple[str, str]] = []
    for event in events[1:]:
        assert seen.finish is None, "nothing follows message-end"
        kind = event.type
        if kind == "content-start":
            assert (open_part, open_call) == (None, None)
            parts += 1
            assert event.index == parts
            open_part = event.index
            assert event.delta.message.content.type in ("text", "thinking")
        elif kind == "content-delta":
            assert event.index == open_part
            seen.text += event.delta.message.content.text or ""
            seen.thinking += event.delta.message.content.thinking or ""
            if event.logprobs is not None:
                seen.logprobs.append(event.logprobs.model_dump(exclude_none=True))
        elif kind == "content-end":
            assert event.index == open_part
            open_part = None
        elif kind == "tool-plan-delta":
            seen.text += event.delta.message.tool_plan
        elif kind == "tool-call-start":
            assert (open_part, open_call) == (None, None)
            assert event.index == len(heads)
            open_call = event.index
            call = event.delta.message.tool_calls
            heads.append((call.id, call.function.name))
            arguments.append(call.function.arguments or "")
        elif kind == "tool-call-delta":
            assert event.index == open_call
            arguments[-1] += event.delta.message.tool_calls.function.arguments
        elif kind == "tool-call-end":
            assert event.index == open_call
            open_call = None
        elif kind == "citation-start":
            assert event.index == len(seen.citations)
            seen.citations.append(event.delta.message.citations.model_dump(exclude_none=True))
        elif kind == "message-end":
            assert (open_part, open_call) == (None, None)
            seen.finish = event.delta.finish_reason
            seen.usage = _usage(event.delta.usage)
    seen.calls = [(id, name, json.loads(text or "{}")) for (id, name), text in zip(heads, arguments, strict=True)]
    return seen


def _usage(usage: Any) -> dict[str, Any]:
    if usage is None or usage.tokens is None:
        return {}
    units = usage.billed_units
    return {
        "input": usage.tokens.input_tokens,
        "output": usage.tokens.output_tokens,
        "cached": usage.cached_tokens or 0,
        "billed": (units.input_tokens, units.output_tokens) if units else None,
    }


def assert_cohere_takes(body: dict[str, Any]) -> None:
    """The body of `/v2/chat` is what the SDK itself could have written: its types accept it and know every key of it."""
    function = cohere.ClientV2.chat_stream if body["stream"] else cohere.ClientV2.chat
    known = set(inspect.signature(function).parameters) | {"stream"}
    assert set(body) <= known, set(body) - known
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            assert content, "no empty list of parts"
            for part in content:
                _valid(_PARTS[message["role"], part["type"]], part)
        _valid(_ROLES[message["role"]], message)
    kinds: dict[str, Any] = {
        "tools": types.ToolV2,
        "documents": types.Document,
        "citation_options": types.CitationOptions,
        "thinking": types.Thinking,
    }
    for name, kind in kinds.items():
        given = body.get(name, [])
        for item in given if isinstance(given, list) else [given]:
            if not isinstance(item, str):
                _valid(kind, item)
    if "response_format" in body:
        formats: dict[str, Any] = {"text": types.TextResponseFormatV2, "json_object": types.JsonObjectResponseFormatV2}
        _valid(formats[body["response_format"]["type"]], body["response_format"])
    assert body.get("tool_choice") in (None, "REQUIRED", "NONE")
    assert body.get("thinking", {}).get("type", "enabled") in ("enabled", "disabled")
    numbers = {"temperature": (0, 1), "p": (0.01, 0.99), "k": (0, 500), "frequency_penalty": (0, 1), "presence_penalty": (0, 1)}
    for name, (low, high) in numbers.items():
        assert name not in body or low <= body[name] <= high
    assert isinstance(body.get("max_tokens", 1), int)
    assert all(isinstance(text, str) for text in body.get("stop_sequences", ()))


def _valid(kind: type[pydantic.BaseModel], value: dict[str, Any]) -> None:
    no_extras(kind.model_validate(value), kind.__name__)


def no_extras(value: Any, path: str) -> None:
    """No key that the types do not know: they would keep it without a word."""
    if isinstance(value, pydantic.BaseModel):
        assert not value.model_extra, f"{path}: {value.model_extra}"
        for name in type(value).model_fields:
            no_extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for at, item in enumerate(value):
            no_extras(item, f"{path}[{at}]")
