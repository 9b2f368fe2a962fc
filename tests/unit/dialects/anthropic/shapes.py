"""Small requests, chats and streams that the tests of this folder vary."""

from __future__ import annotations

import json
from typing import Any

from edgegate.dialects.anthropic import AnthropicProvider, MessagesClient
from edgegate.dialects.base import Ask, Progress
from edgegate.taps import Outcome, Tap

CLIENT = MessagesClient()
PROVIDER = AnthropicProvider()
PNG = "iVBORw0KGgo="
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def messages(**more: Any) -> dict[str, Any]:
    """A valid Messages request."""
    return {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **more}


def ask(model: str = "claude-sonnet-4-5", stream: bool = False, include_usage: bool = True, **chat: Any) -> Ask:
    return Ask(
        {"model": "asked", "messages": [{"role": "user", "content": "hi"}], **chat}, model, stream, "chatcmpl-7", 1700000000, include_usage
    )


def sent(model: str = "claude-sonnet-4-5", **chat: Any) -> tuple[dict[str, Any], list[str]]:
    """(the body that goes to Anthropic, what was dropped) for a chat."""
    wire = PROVIDER.request(ask(model, **chat))
    return json.loads(wire.body), wire.dropped


def run(tap: Tap, *pieces: bytes) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(Outcome.OK)


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def start(**message: Any) -> bytes:
    given = {"id": "msg_1", "model": "claude-x", "role": "assistant", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}}
    return event("message_start", message={**given, **message})


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    pieces = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([event("content_block_start", index=index, content_block=content), *pieces, event("content_block_stop", index=index)])


def text(index: int, *pieces: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def stop(reason: str = "end_turn", **delta: Any) -> bytes:
    ended = event("message_delta", delta={"stop_reason": reason, "stop_sequence": None, **delta}, usage={"output_tokens": 9})
    return ended + event("message_stop")


def data_of(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of a stream's events, `[DONE]` left out."""
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [json.loads(line) for line in lines]


def translated(*pieces: bytes) -> tuple[list[dict[str, Any]], Progress]:
    """(chunks, progress) for an Anthropic stream."""
    progress = Progress()
    return data_of(run(PROVIDER.stream(ask(stream=True), progress), *pieces)), progress


def deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
