"""A stream that breaks at 40 of 60 words, read by each kind of client, with the SDKs where there is one: the whole answer with its
proper ending when another provider goes on, an explicit error when none does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anthropic
import cohere
import ollama
import openai
import pytest
from cohere.core.api_error import ApiError
from google import genai
from google.genai.errors import APIError

from tests.unit.core.parts import CHAIN, Answer, Live, Provider, Seen, chunk, live, reply

WORDS = [f"w{n} " for n in range(60)]
STORY = "".join(WORDS).strip()
FIRST, REST = WORDS[:40], WORDS[40:]
PREFILL = "".join(FIRST).rstrip()
QUESTION = "Count to sixty."
SENT_ON = {"role": "assistant", "content": [{"type": "text", "text": PREFILL}]}

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000000\r\n\r\n"


def cut(data: bytes, content_type: bytes = b"text/event-stream") -> Answer:
    """A stream whose connection closes within the body."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.replace(b"text/event-stream", content_type) + data)
        await writer.drain()
        writer.close()

    return answer


def openai_words(words: list[str]) -> bytes:
    return b"".join(chunk(word) for word in words)


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def anthropic_words(words: list[str], *, whole: bool) -> bytes:
    usage = {"input_tokens": 50, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": [], "usage": usage}
    out = event("message_start", message=message) + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for word in words:
        out += event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    if whole:
        out += event("content_block_stop", index=0)
        out += event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 20})
        out += event("message_stop")
    return out


def ollama_words(words: list[str]) -> bytes:
    lines = [
        {"model": "llama3.2", "created_at": "2025-01-01T00:00:00Z", "message": {"role": "assistant", "content": w}, "done": False}
        for w in words
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def gemini_words(words: list[str]) -> bytes:
    parts = [{"candidates": [{"content": {"role": "model", "parts": [{"text": word}]}, "index": 0}]} for word in words]
    return b"".join(b"data: " + json.dumps(part).encode() + b"\r\n\r\n" for part in parts)


BREAKS: dict[str, tuple[dict[str, str], Answer]] = {
    "openai": ({"dialect": "openai"}, cut(openai_words(FIRST))),
    "anthropic": ({"dialect": "anthropic"}, cut(anthropic_words(FIRST, whole=False))),
    "ollama": ({"dialect": "ollama"}, cut(ollama_words(FIRST), b"application/x-ndjson")),
    "gemini": ({"dialect": "gemini"}, cut(gemini_words(FIRST))),
}
"""Providers that break, by dialect: for a client of the same dialect nothing would be translated, did it not have to go on."""


@contextlib.asynccontextmanager
async def broken(
    directory: Path, dialect: str, second: bytes | Answer, midstream: str = "continue"
) -> AsyncIterator[tuple[Live, Provider]]:
    """A provider of this dialect that breaks, and a Claude behind it."""
    options, breaks = BREAKS[dialect]
    async with Provider(breaks) as one, Provider(second) as two:
        base = one.url + ("/v1" if dialect == "openai" else "")
        providers = {
            "one": {**options, "base_url": base, "api_key": "k", "models": ["m"]},
            "two": {"dialect": "anthropic", "base_url": two.url, "api_key": "k"},
        }
        failover = {"failover": {"attempts": 4, "retries": 0, "midstream": midstream}}
        chain = [failover if isinstance(entry, dict) else entry for entry in CHAIN]
        config = {"providers": providers, "models": {"fallbacks": {"m": ["two/claude-haiku-4-5"]}}, "chain": chain}
        async with live(config, directory) as gateway:
            yield gateway, two


Told = tuple[str, str, int | None]  # text, finish, output tokens


async def chat(url: str) -> Told:
    text, finish, tokens = "", "", None
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as sdk:
        stream = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": QUESTION}], stream=True, stream_options={"include_usage": True}
        )
        async for piece in stream:
            for choice in piece.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
            tokens = piece.usage.completion_tokens if piece.usage else tokens
    return text, finish, tokens


async def responses(url: str) -> Told:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as sdk:
        async for piece in await sdk.responses.create(model="m", input=QUESTION, stream=True):
            if piece.type == "response.failed":
                raise RuntimeError(str(piece.response.error))
            if piece.type == "error":
                raise RuntimeError(piece.message)
            if piece.type == "response.completed":
                usage = piece.response.usage
                return piece.response.output_text, piece.response.status or "", usage.output_tokens if usage else None
    return "", "", None


async def messages(url: str) -> Told:
    async with (
        anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as sdk,
        sdk.messages.stream(model="m", max_tokens=500, messages=[{"role": "user", "content": QUESTION}]) as stream,
    ):
        message = await stream.get_final_message()
    return "".join(block.text for block in message.content if block.type == "text"), message.stop_reason or "", message.usage.output_tokens


async def gemini(url: str) -> Told:
    text, finish, tokens = "", "", None
    options = genai.types.HttpOptions(base_url=url)
    async with genai.Client(api_key="k", http_options=options).aio as sdk:
        async for piece in await sdk.models.generate_content_stream(model="m", contents=QUESTION):
            text += piece.text or ""
            for candidate in piece.candidates or []:
                finish = candidate.finish_reason.value if candidate.finish_reason else finish
            tokens = piece.usage_metadata.candidates_token_count if piece.usage_metadata else tokens
    return text, finish, tokens


async def ollamas(url: str) -> Told:
    text, finish, tokens = "", "", None
    sdk = ollama.AsyncClient(host=url)
    async for piece in await sdk.chat(model="m", messages=[{"role": "user", "content": QUESTION}], stream=True):
        text += piece.message.content or ""
        if piece.done:
            finish, tokens = piece.done_reason or "", piece.eval_count
    return text, finish, tokens


async def coheres(url: str) -> Told:
    text, finish, tokens = "", "", None
    sdk = cohere.AsyncClientV2(api_key="k", base_url=url)
    async for piece in sdk.chat_stream(model="m", messages=[cohere.UserChatMessageV2(content=QUESTION)]):
        if piece.type == "content-delta":
            text += piece.delta.message.content.text or ""  # type: ignore[union-attr]
        elif piece.type == "message-end" and piece.delta is not None:
            if piece.delta.finish_reason == "ERROR":
                raise RuntimeError(str(piece.delta))
            finish = piece.delta.finish_reason or ""
            tokens = int(piece.delta.usage.tokens.output_tokens or 0) if piece.delta.usage and piece.delta.usage.tokens else None
    return text, finish, tokens


CLIENTS: dict[str, tuple[Callable[[str], Awaitable[Told]], str]] = {
    "chat": (chat, "stop"),
    "responses": (responses, "completed"),
    "messages": (messages, "end_turn"),
    "gemini": (gemini, "STOP"),
    "ollama": (ollamas, "stop"),
    "cohere": (coheres, "COMPLETE"),
}
EVERY = [(name, "openai") for name in CLIENTS] + [
    ("messages", "anthropic"),
    ("ollama", "ollama"),
    ("gemini", "gemini"),
    ("chat", "anthropic"),
]
ERRORS = (openai.APIError, anthropic.APIError, APIError, ollama.ResponseError, ApiError, RuntimeError)


@pytest.mark.parametrize(("client", "dialect"), EVERY)
async def test_every_client_reads_the_whole_answer(client: str, dialect: str, tmp_path: Path) -> None:
    read, ending = CLIENTS[client]
    rest = reply(anthropic_words(REST, whole=True), content_type="text/event-stream")
    async with broken(tmp_path, dialect, rest) as (gateway, two):
        async with asyncio.timeout(10):
            text, finish, tokens = await read(gateway.url)
        assert text.strip() == STORY
        assert finish == ending
        asked = two.seen[0].json["messages"]
        assert asked[-1] == SENT_ON
        assert QUESTION in json.dumps(asked[:-1])
        assert tokens == (21 if dialect == "anthropic" else 20)  # the first Claude had counted one before it broke
        assert gateway.faults() == []


@pytest.mark.parametrize(("client", "dialect"), EVERY)
async def test_every_client_is_told_when_it_cannot_be_gone_on_with(client: str, dialect: str, tmp_path: Path) -> None:
    read, _ = CLIENTS[client]
    other = reply(anthropic_words(["Something ", "else."], whole=True), content_type="text/event-stream")
    async with broken(tmp_path, dialect, other, "restart") as (gateway, two):
        with pytest.raises(ERRORS):
            async with asyncio.timeout(10):
                await read(gateway.url)
        assert len(two.seen) == 1
        assert two.seen[0].json["messages"][-1]["role"] == "user"


async def test_a_claude_that_refuses_the_prefill_answers_anew(tmp_path: Path) -> None:
    refusal = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "This model does not support assistant message prefill."},
    }

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.json["messages"][-1]["role"] == "assistant":
            writer.write(reply(json.dumps(refusal).encode(), 400))
        else:
            writer.write(reply(anthropic_words(WORDS, whole=True), content_type="text/event-stream"))
        await writer.drain()

    async with broken(tmp_path, "openai", answer) as (gateway, two):
        text, finish, _ = await messages(gateway.url)
        assert (text.strip(), finish) == (STORY, "end_turn")
        assert len(two.seen) == 2


async def test_a_request_that_would_lose_something_in_translation_is_not_translated_for_this(tmp_path: Path) -> None:
    rest = reply(anthropic_words(REST, whole=True), content_type="text/event-stream")
    asked = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": QUESTION}], "unheard_of": {"a": 1}}
    async with broken(tmp_path, "anthropic", rest) as (gateway, two):
        status, data, headers = await gateway.post("/v1/messages", asked)
        assert (status, two.seen) == (200, [])
        assert b"event: error" in data
        assert "x-edgegate-midstream" not in headers
