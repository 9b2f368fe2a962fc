"""Asks and frames made by hand."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, Progress, ProviderSide, TokenCounter, WireRequest
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.chat import DONE
from edgegate.taps import Outcome
from edgegate.wire.eventstream import frame

SIDE = BedrockProvider()
PROTOCOLS: tuple[ProviderSide, TokenCounter] = (SIDE, SIDE)  # for the type checker
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OLDER = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
NEWEST = "global.anthropic.claude-opus-4-8"
NOVA = "amazon.nova-lite-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
KIMI = "moonshot.kimi-k2-thinking"
SIGNED = {"type": "thinking", "thinking": "Hm", "signature": "EqkC"}
REDACTED = {"type": "redacted_thinking", "data": "EuQDCkg"}


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def call(id: str, name: str = "weather", arguments: str = "{}") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name: str = "weather", **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}, **more}}


def asked(*messages: Json, model: str = CLAUDE, approximate: bool = True, stream: bool = False, **fields: Any) -> Ask:
    return Ask({"messages": list(messages) or [user("Hi")], **fields}, model, stream, "chatcmpl-1", 1, True, approximate)


def sent(*messages: Json, **fields: Any) -> tuple[Json, WireRequest]:
    """The body and the request for a chat."""
    wire = SIDE.request(asked(*messages, **fields))
    body: Json = orjson.loads(wire.body)
    return body, wire


def blocks(*messages: Json, **fields: Any) -> list[Json]:
    """The content of the first message that is sent."""
    found: list[Json] = sent(*messages, **fields)[0]["messages"][0]["content"]
    return found


def event(name: str, **payload: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, orjson.dumps({**payload, "p": "abc"}))


def start(index: int, **what: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=index, start=what)


def delta(index: int, **what: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=what)


def stop(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def ended(reason: str = "end_turn", **more: Any) -> bytes:
    usage = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}
    return event("messageStop", stopReason=reason, **more) + event("metadata", usage=usage, metrics={"latencyMs": 1})


def exception(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, orjson.dumps({"message": message}))


def heard(stream: bytes, ask: Ask | None = None, outcome: Outcome = Outcome.OK) -> tuple[list[Json], Progress, bytes]:
    """(deltas of choice 0, progress, all bytes); the same when fed byte by byte."""
    ask = ask or asked(stream=True)
    progress, again = Progress(), Progress()
    tap = SIDE.stream(ask, progress)
    out = tap.feed(stream) + tap.end(outcome)
    tap = SIDE.stream(ask, again)
    assert b"".join([tap.feed(stream[at : at + 1]) for at in range(len(stream))]) + tap.end(outcome) == out
    assert repr(again) == repr(progress)
    chunks = [orjson.loads(part[6:]) for part in out.removesuffix(DONE).split(b"\n\n") if part]
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]], progress, out


def joined(deltas: list[Json], name: str = "content") -> str:
    return "".join(found.get(name) or "" for found in deltas)
