"""What the official `anthropic` and `openai` SDKs read out of given bytes, in plain values that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import Message

HELLO: list[Any] = [{"role": "user", "content": "hi"}]


@dataclass
class Seen:
    """An answer, as an app sees it."""

    text: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    thinking: list[tuple[str, str]] = field(default_factory=list)
    finish: str | None = None
    sequence: str | None = None
    model: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    indexes: list[int] = field(default_factory=list)


class _Canned(httpx2.BaseTransport):
    """Answers every request with the body set last."""

    def __init__(self) -> None:
        self.body = b""
        self.streamed = False
        self.status = 200
        self.sent: dict[str, Any] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent = json.loads(request.read())
        kind = "text/event-stream" if self.streamed else "application/json"
        return httpx2.Response(self.status, headers={"content-type": kind}, content=self.body)


@lru_cache
def _anthropic() -> tuple[anthropic.Anthropic, _Canned]:
    wire = _Canned()
    return anthropic.Anthropic(api_key="test", max_retries=0, http_client=httpx2.Client(transport=wire)), wire


@lru_cache
def _openai() -> tuple[openai.OpenAI, _Canned]:
    wire = _Canned()
    return openai.OpenAI(api_key="test", max_retries=0, http_client=httpx2.Client(transport=wire)), wire


def anthropic_message(body: bytes, *, streamed: bool, status: int = 200) -> Message:
    """The Message the SDK makes of a reply; raises the SDK's errors."""
    client, wire = _anthropic()
    wire.body, wire.streamed, wire.status = body, streamed, status
    if not streamed:
        return client.messages.create(model="m", max_tokens=1, messages=HELLO)
    with client.messages.stream(model="m", max_tokens=1, messages=HELLO) as stream:
        return stream.get_final_message()


def by_anthropic(body: bytes, *, streamed: bool) -> Seen:
    message = anthropic_message(body, streamed=streamed)
    seen = Seen(finish=message.stop_reason, sequence=message.stop_sequence, model=message.model)
    for block in message.content:
        if block.type == "text":
            seen.text += block.text
        elif block.type == "tool_use":
            seen.calls.append((block.id, block.name, block.input))
        elif block.type == "thinking":
            seen.thinking.append((block.thinking, block.signature))
        elif block.type == "redacted_thinking":
            seen.thinking.append(("", block.data))
    usage = message.usage
    lifetimes = usage.cache_creation
    seen.usage = {
        "input": usage.input_tokens,
        "written": usage.cache_creation_input_tokens or 0,
        "read": usage.cache_read_input_tokens or 0,
        "hour": lifetimes.ephemeral_1h_input_tokens if lifetimes else 0,
        "output": usage.output_tokens,
        "thinking": usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0,
    }
    return seen


def by_openai(body: bytes, *, streamed: bool) -> Seen:
    client, wire = _openai()
    wire.body, wire.streamed, wire.status = body, streamed, 200
    if streamed:
        return _read_chunks(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    completion = client.chat.completions.create(model="m", messages=HELLO)
    choice = completion.choices[0]
    extra = choice.message.model_extra or {}
    seen = Seen(text=choice.message.content or "", finish=choice.finish_reason, model=completion.model)
    for call in choice.message.tool_calls or []:
        assert call.type == "function"
        seen.calls.append((call.id, call.function.name, json.loads(call.function.arguments)))
    seen.thinking = _blocks(extra.get("thinking_blocks") or [])
    assert completion.object == "chat.completion"
    seen.usage = _usage(completion.usage)
    return seen


def _read_chunks(chunks: Iterator[Any]) -> Seen:
    seen = Seen()
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        assert chunk.object == "chat.completion.chunk"
        seen.model = chunk.model
        if chunk.usage is not None:
            assert chunk.choices == []
            seen.usage = _usage(chunk.usage)
        for choice in chunk.choices:
            assert seen.finish is None, "nothing follows the finish reason but usage"
            seen.finish = choice.finish_reason
            seen.text += choice.delta.content or ""
            seen.thinking += _blocks((choice.delta.model_extra or {}).get("thinking_blocks") or [])
            for call in choice.delta.tool_calls or []:
                if call.id:
                    assert call.index == len(calls), "indexes count tool calls only"
                    calls[call.index] = [call.id, call.function.name, ""]
                calls[call.index][2] += call.function.arguments or ""
    seen.calls = [(id, name, json.loads(arguments)) for id, name, arguments in calls.values()]
    return seen


def _blocks(blocks: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(block.get("thinking", ""), block.get("signature") or block["data"]) for block in blocks]


def _usage(usage: Any) -> dict[str, int]:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    more = prompt.model_extra or {}
    return {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "total": usage.total_tokens,
        "cached": prompt.cached_tokens,
        "written": more.get("cache_write_tokens", getattr(prompt, "cache_write_tokens", 0)) or 0,
        "hour": more.get("cache_write_1h_tokens", 0),
        "reasoning": completion.reasoning_tokens,
    }
