"""What an SDK's user hears: one value for plain replies and streams, and for both SDKs, so that they can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai


@dataclass
class Heard:
    """An answer. Lists have an entry per choice (one for Anthropic). `usage` is (input with cached, output), None if none was given."""

    texts: list[str] = field(default_factory=lambda: [""])
    calls: list[tuple[str, Any]] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    finish: list[str | None] = field(default_factory=lambda: [None])
    usage: tuple[int, int] | None = None
    reasoning: str = ""
    reasoning_tokens: int = 0
    thinking_blocks: list[dict[str, Any]] = field(default_factory=list)
    pieces: int = 0  # events with text
    id: str = ""
    model: str = ""

    @property
    def text(self) -> str:
        return self.texts[0]

    @property
    def said(self) -> tuple[Any, ...]:
        """What must be the same whether streamed or not."""
        return self.texts, self.calls, self.finish, self.reasoning


def hear_openai(client: openai.OpenAI, stream: bool, **request: Any) -> Heard:
    """Chat completions through the openai SDK; streams ask for the usage chunk."""
    if not stream:
        return of_completion(client.chat.completions.create(**request))
    options = request.pop("stream_options", {"include_usage": True})
    return of_chunks(client.chat.completions.create(stream=True, stream_options=options, **request))


def of_completion(reply: Any) -> Heard:
    heard = Heard(texts=[], finish=[], id=reply.id, model=reply.model)
    for choice in reply.choices:
        heard.texts.append(choice.message.content or "")
        heard.finish.append(choice.finish_reason)
        heard.reasoning += _extra(choice.message, "reasoning_content", "reasoning") or ""
        heard.thinking_blocks += _extra(choice.message, "thinking_blocks") or []
        for call in choice.message.tool_calls or []:
            heard.calls.append((call.function.name, _arguments(call.function.arguments)))
            heard.call_ids.append(call.id)
    _openai_usage(reply.usage, heard)
    return heard


def of_chunks(chunks: Iterable[Any]) -> Heard:
    texts: dict[int, str] = {}
    finish: dict[int, str | None] = {}
    calls: dict[tuple[int, int], list[str]] = {}
    heard = Heard()
    for chunk in chunks:
        heard.id, heard.model = heard.id or chunk.id, heard.model or chunk.model
        assert chunk.id == heard.id, "one id for the whole stream"
        _openai_usage(chunk.usage, heard)
        for choice in chunk.choices:
            at, delta = choice.index, choice.delta
            texts[at] = texts.get(at, "") + (delta.content or "")
            heard.pieces += bool(delta.content)
            heard.reasoning += _extra(delta, "reasoning_content", "reasoning") or ""
            heard.thinking_blocks += _extra(delta, "thinking_blocks") or []
            for call in delta.tool_calls or []:
                kept = calls.setdefault((at, call.index or 0), ["", "", ""])
                kept[0] = kept[0] or call.id or ""
                kept[1] += (call.function and call.function.name) or ""
                kept[2] += (call.function and call.function.arguments) or ""
            if choice.finish_reason:
                assert finish.get(at) in (None, choice.finish_reason), "a choice finishes in one way"  # OpenRouter says it twice
                finish[at] = choice.finish_reason
    count = max([*texts, *finish, 0]) + 1
    heard.texts = [texts.get(at, "") for at in range(count)]
    heard.finish = [finish.get(at) for at in range(count)]
    for _, (id, name, arguments) in sorted(calls.items()):
        heard.calls.append((name, _arguments(arguments)))
        heard.call_ids.append(id)
    return heard


def hear_anthropic(client: anthropic.Anthropic, stream: bool, **request: Any) -> Heard:
    """Messages through the anthropic SDK; a stream is put together by the SDK's own accumulator."""
    if not stream:
        return of_message(client.messages.create(**request))
    pieces = 0
    with client.messages.stream(**request) as events:
        for event in events:
            pieces += event.type == "content_block_delta" and event.delta.type == "text_delta"
        heard = of_message(events.get_final_message())
    heard.pieces = pieces
    return heard


def of_message(reply: Any) -> Heard:
    heard = Heard(finish=[reply.stop_reason], id=reply.id, model=reply.model)
    for block in reply.content:
        if block.type == "text":
            heard.texts[0] += block.text
        elif block.type == "thinking":
            heard.reasoning += block.thinking
            heard.thinking_blocks.append({"type": "thinking", "thinking": block.thinking, "signature": block.signature})
        elif block.type == "tool_use":
            heard.calls.append((block.name, block.input))
            heard.call_ids.append(block.id)
    usage = reply.usage
    read = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    heard.usage = (read, usage.output_tokens)
    return heard


def _openai_usage(usage: Any, heard: Heard) -> None:
    if usage is None:
        return
    assert heard.usage is None or heard.usage == (usage.prompt_tokens, usage.completion_tokens), "usage is told once, or the same"
    heard.usage = (usage.prompt_tokens, usage.completion_tokens)
    if usage.completion_tokens_details is not None:
        heard.reasoning_tokens = usage.completion_tokens_details.reasoning_tokens or 0


def _extra(value: Any, *names: str) -> Any:
    for name in names:
        if (value.model_extra or {}).get(name):
            return value.model_extra[name]
    return None


def _arguments(text: str) -> Any:
    """Arguments are compared as values; what is no JSON (a cut call) as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
