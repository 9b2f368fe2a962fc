"""The official openai SDK as a reader of bytes: what it understands of a reply is what a client understands."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import openai

from edgegate.dialects.base import Ask, Progress
from edgegate.taps import Outcome, Tap


@dataclass
class Answer:
    """What a client would show, call and count, by choice."""

    text: dict[int, str] = field(default_factory=dict)
    reasoning: dict[int, str] = field(default_factory=dict)
    refusal: dict[int, str] = field(default_factory=dict)
    calls: dict[int, list[list[str]]] = field(default_factory=dict)
    finish: dict[int, str] = field(default_factory=dict)
    usage: tuple[int, int, int, int] | None = None  # prompt, completion, cached, reasoning
    chunks: list[Any] = field(default_factory=list, compare=False)


@functools.cache
def _sdk() -> tuple[openai.OpenAI, list[tuple[bytes, str]]]:
    replies: list[tuple[bytes, str]] = []

    def answer(_: httpx.Request) -> httpx.Response:
        body, content_type = replies.pop()
        return httpx.Response(200, headers={"content-type": content_type}, content=body)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="unused", base_url="http://test.invalid/v1", http_client=client, max_retries=0), replies


def _count(usage: Any) -> tuple[int, int, int, int] | None:
    if usage is None:
        return None
    prompt = getattr(usage, "prompt_tokens_details", None)
    completion = getattr(usage, "completion_tokens_details", None)
    cached = getattr(prompt, "cached_tokens", 0) or getattr(usage, "cached_tokens", 0) or getattr(usage, "prompt_cache_hit_tokens", 0)
    return usage.prompt_tokens, usage.completion_tokens, cached or 0, getattr(completion, "reasoning_tokens", 0) or 0


def _add(texts: dict[int, str], index: int, piece: Any) -> None:
    if piece:
        texts[index] = texts.get(index, "") + piece


def read_stream(body: bytes) -> Answer:
    """A chat stream as the SDK reads it. Raises what it raises."""
    client, replies = _sdk()
    replies.append((body, "text/event-stream"))
    answer = Answer()
    for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
        answer.chunks.append(chunk)
        answer.usage = _count(chunk.usage or getattr(getattr(chunk, "x_groq", None), "usage", None)) or answer.usage
        for choice in chunk.choices:
            at, delta = choice.index, choice.delta
            _add(answer.text, at, delta.content)
            _add(answer.refusal, at, delta.refusal)
            _add(answer.reasoning, at, getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None))
            for call in delta.tool_calls or []:
                calls = answer.calls.setdefault(at, [])
                while len(calls) <= call.index:
                    calls.append(["", "", ""])
                function = call.function
                parts = (call.id, function.name if function else None, function.arguments if function else None)
                calls[call.index] = [old + (new or "") for old, new in zip(calls[call.index], parts, strict=True)]
            if choice.finish_reason:
                answer.finish[at] = choice.finish_reason
    return answer


def read_whole(body: bytes) -> Answer:
    """A plain chat completion as the SDK reads it."""
    client, replies = _sdk()
    replies.append((body, "application/json"))
    reply = client.chat.completions.create(model="m", messages=[])
    answer = Answer(usage=_count(reply.usage), chunks=[reply])
    for choice in reply.choices:
        at, message = choice.index, choice.message
        _add(answer.text, at, message.content)
        _add(answer.refusal, at, message.refusal)
        _add(answer.reasoning, at, getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None))
        for call in message.tool_calls or []:
            assert call.type == "function"
            answer.calls.setdefault(at, []).append([call.id, call.function.name, call.function.arguments])
        if choice.finish_reason:
            answer.finish[at] = choice.finish_reason
    return answer


def read_text(body: bytes, stream: bool) -> tuple[dict[int, str], dict[int, str], Any]:
    """A legacy completion: texts and finish reasons by choice, and the usage."""
    client, replies = _sdk()
    replies.append((body, "text/event-stream" if stream else "application/json"))
    texts: dict[int, str] = {}
    finish: dict[int, str] = {}
    usage = None
    created = client.completions.create(model="m", prompt="", stream=stream)
    for chunk in created if isinstance(created, openai.Stream) else [created]:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            _add(texts, choice.index, choice.text)
            if choice.finish_reason:
                finish[choice.index] = choice.finish_reason
    return texts, finish, usage


def read_embeddings(body: bytes) -> list[list[float]]:
    """Vectors as the SDK gives them; it asks for base64 and decodes it."""
    client, replies = _sdk()
    replies.append((body, "application/json"))
    return [item.embedding for item in client.embeddings.create(model="m", input="x").data]


def ask_for(request: dict[str, Any], *, include_usage: bool = True, model: str = "") -> Ask:
    """An ask as the translate stage makes it."""
    return Ask(request, model or request.get("model") or "m", bool(request.get("stream")), "chatcmpl-77", 1_700_000_000, include_usage)


def run(tap: Tap, pieces: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    """All that a tap lets through."""
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)


def state(progress: Progress) -> tuple[Any, ...]:
    """What two ways of feeding the same bytes must agree on."""
    error = progress.error and (progress.error.status, progress.error.code)
    return progress.started, progress.finished, progress.events, progress.model, progress.finish_reason, progress.usage, error
