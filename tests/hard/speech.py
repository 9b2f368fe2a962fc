"""What the two dialects say: good requests, good answers, whole streams, and checks of error shapes and of what an SDK sees.

`seen_by_openai` and `seen_by_anthropic` hand the bytes that a client received to the official SDK and report what the app
behind it would get: the text, whether the SDK raised, and whether it saw the stream's regular end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import openai

GATEWAY_KEY = "gwkey-7f3a9c51e0d24b68"
OPENAI_KEY = "sk-provider-51bd0c7e99a04412"
ANTHROPIC_KEY = "plainkeywithoutprefix8841aa93cc02"
TEXT = "Hello wörld ✓"

AUTH = f"authorization: Bearer {GATEWAY_KEY}"
JSON_TYPE = "content-type: application/json"

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MODELS = {"openai": "gpt-4o", "anthropic": "claude-haiku-4-5"}


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


def ask(client: str, provider: str, **more: Any) -> bytes:
    """A good request in the client's dialect for the provider's model."""
    body: dict[str, Any] = {"model": MODELS[provider], "messages": [{"role": "user", "content": "Hi"}]}
    if client == "anthropic":
        body["max_tokens"] = 100
    return dumps(body | more)


CHAT = ask("openai", "openai")

# -- answers


def http(body: bytes, *headers: bytes, status: bytes = b"200 OK", type: bytes = b"application/json") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"content-type: " + type, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


OPENAI_REPLY = dumps(
    {
        "id": "chatcmpl-up1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": TEXT, "refusal": None}, "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }
)
ANTHROPIC_REPLY = dumps(
    {
        "id": "msg_up1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
)
COMPLETION_REPLY = dumps(
    {
        "id": "cmpl-up1",
        "object": "text_completion",
        "created": 1700000000,
        "model": "gpt-4o",
        "choices": [{"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }
)
EMBEDDING_REPLY = dumps(
    {
        "object": "list",
        "model": "gpt-4o",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
)


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    value = {
        "id": "chatcmpl-up1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-2024-08-06",
        "choices": [choice],
    }
    return json.dumps(value | more, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Line:
    """One event of a provider's stream."""

    data: bytes
    name: bytes = b""

    def __bytes__(self) -> bytes:
        return (b"event: " + self.name + b"\n" if self.name else b"") + b"data: " + self.data + b"\n\n"


USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
OPENAI_STREAM = (
    Line(_chunk({"role": "assistant", "content": ""})),
    Line(_chunk({"content": "Hello"})),
    Line(_chunk({"content": " wörld"})),
    Line(_chunk({"content": " ✓"})),
    Line(_chunk({}, "stop")),
    Line(_chunk({}, choices=[], usage=USAGE)),
    Line(b"[DONE]"),
)
OPENAI_FINISH = 4  # from this event on the answer is whole


def _named(name: str, **value: Any) -> Line:
    return Line(json.dumps({"type": name} | value, ensure_ascii=False).encode(), name.encode())


def _delta(text: str) -> Line:
    return _named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


ANTHROPIC_STREAM = (
    _named(
        "message_start",
        message={
            "id": "msg_up1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5-20251001",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 1},
        },
    ),
    _named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    _named("ping"),
    _delta("Hello"),
    _delta(" wörld"),
    _delta(" ✓"),
    _named("content_block_stop", index=0),
    _named("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}),
    _named("message_stop"),
)
ANTHROPIC_FINISH = 7

STREAMS = {"openai": OPENAI_STREAM, "anthropic": ANTHROPIC_STREAM}
FINISH = {"openai": OPENAI_FINISH, "anthropic": ANTHROPIC_FINISH}
FIRST_TEXT = {"openai": 1, "anthropic": 3}

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"


def whole_stream(provider: str) -> bytes:
    return STREAM_HEAD + b"".join(chunk(bytes(line)) for line in STREAMS[provider]) + LAST_CHUNK


def good_answer(target: str, body: bytes) -> bytes:
    """What a provider in good health answers."""
    stream = b'"stream": true' in body or b'"stream":true' in body
    if target.startswith("/v1/messages"):
        return whole_stream("anthropic") if stream else http(ANTHROPIC_REPLY)
    if target.endswith("/chat/completions"):
        return whole_stream("openai") if stream else http(OPENAI_REPLY)
    if target.endswith("/embeddings"):
        return http(EMBEDDING_REPLY)
    if target.endswith("/completions"):
        return http(COMPLETION_REPLY)
    return http(dumps({"object": "thing", "path": target}))


# -- errors


def assert_openai_error(body: bytes) -> dict[str, Any]:
    """What the SDK needs. The words of an OpenAI-shaped provider pass as they are, so only the message is certain."""
    error: dict[str, Any] = json.loads(body)["error"]
    assert isinstance(error["message"], str), body[:1000]
    assert error["message"], body[:1000]
    return error


def assert_anthropic_error(body: bytes) -> dict[str, Any]:
    value = json.loads(body)
    assert value.get("type") == "error", f"no Anthropic error: {body[:1000]!r}"
    error: dict[str, Any] = value["error"]
    assert isinstance(error["type"], str), body
    assert isinstance(error["message"], str), body
    assert error["message"], body
    return error


ERROR_SHAPES = {"openai": assert_openai_error, "anthropic": assert_anthropic_error}


# -- what an SDK sees


@dataclass
class Seen:
    """`regular`: the SDK saw the regular end of a whole answer. `error`: what it raised, or "" if nothing."""

    text: str = ""
    regular: bool = False
    error: str = ""
    events: list[Any] = field(default_factory=list)


_HEADERS = {"content-type": "text/event-stream; charset=utf-8"}


def seen_by_openai(body: bytes) -> Seen:
    seen = Seen()
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=_HEADERS, content=body))
    with httpx2.Client(transport=transport) as http_client:
        client = openai.OpenAI(api_key="x", base_url="http://t/v1", http_client=http_client, max_retries=0)
        try:
            for part in client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True):
                seen.events.append(part)
                for choice in part.choices or []:
                    seen.text += choice.delta.content or ""
                    seen.regular |= choice.finish_reason is not None
        except (openai.OpenAIError, json.JSONDecodeError) as error:
            seen.error = str(error) or type(error).__name__
    return seen


def seen_by_anthropic(body: bytes) -> Seen:
    seen = Seen()
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=_HEADERS, content=body))
    with httpx2.Client(transport=transport) as http_client:
        client = anthropic.Anthropic(api_key="x", base_url="http://t", http_client=http_client, max_retries=0)
        try:
            for event in client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}], stream=True):
                seen.events.append(event)
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    seen.text += event.delta.text
                seen.regular |= event.type == "message_stop"
        except (anthropic.AnthropicError, json.JSONDecodeError) as error:
            seen.error = str(error) or type(error).__name__
    return seen


SDKS = {"openai": seen_by_openai, "anthropic": seen_by_anthropic}
TERMINAL = {"openai": b"[DONE]", "anthropic": b'"message_stop"'}


def error_events(client: str, body: bytes) -> int:
    """How many error events a received stream holds."""
    mark = b"event: error\n" if client == "anthropic" else b'data: {"error"'
    return body.count(mark)
