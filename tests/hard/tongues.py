"""The client dialects as tests see them: where each is asked, what a good request is, how its errors look, what ends a stream.

Written from the vendors' documentation, not from edgegate's own encoders: a reader here that finds its stream in order has read
it to the letter (whole events, whole lines, one JSON array).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.hard.raw_client import Reply, request
from tests.hard.speech import GATEWAY_KEY, dumps

Json = dict[str, Any]

BEARER = f"authorization: Bearer {GATEWAY_KEY}"
GOOGLE = f"x-goog-api-key: {GATEWAY_KEY}"
AZURE = f"api-key: {GATEWAY_KEY}"
ANTHROPIC = f"x-api-key: {GATEWAY_KEY}"

USER = [{"role": "user", "content": "Hi"}]
CONTENTS = [{"role": "user", "parts": [{"text": "Hi"}]}]


@dataclass(frozen=True)
class Surface:
    """One path of one dialect. `{m}` in the path is the model's place; where it is not, `body` gets a `model`.

    key: the header line in which this dialect's SDK sends its key. stream: how a stream is asked for: a field, or by the path.
    """

    name: str
    dialect: str
    path: str
    body: Json
    key: str = BEARER
    streams: bool = False
    stream_path: str = ""

    @property
    def in_path(self) -> bool:
        return "{m}" in self.path

    def good(self, model: str, **more: Any) -> Json:
        return self.body | ({} if self.in_path else {"model": model}) | more

    def post(self, model: str, body: bytes, *headers: str, key: str | None = None, method: str = "POST", stream: bool = False) -> bytes:
        path = (self.stream_path if stream and self.stream_path else self.path).replace("{m}", model)
        lines = [line for line in (self.key if key is None else key, *headers) if line]
        return request(path, body, "content-type: application/json", *lines, method=method)

    def ask(self, model: str, *headers: str, stream: bool = False, **more: Any) -> bytes:
        """A good request, plain or for a stream."""
        flag = {} if self.stream_path or not self.streams else {"stream": stream}
        return self.post(model, dumps(self.good(model, **flag, **more)), *headers, stream=stream)


CHAT: Json = {"messages": USER}
GEMINI: Json = {"contents": CONTENTS}
SURFACES = {
    surface.name: surface
    for surface in (
        Surface("chat", "openai", "/v1/chat/completions", CHAT, streams=True),
        Surface("azure", "openai", "/openai/deployments/{m}/chat/completions?api-version=2024-10-21", CHAT, AZURE, streams=True),
        Surface("responses", "openai", "/v1/responses", {"input": "Hi"}, streams=True),
        Surface("messages", "anthropic", "/v1/messages", CHAT | {"max_tokens": 9}, ANTHROPIC, streams=True),
        Surface("count_tokens", "anthropic", "/v1/messages/count_tokens", CHAT, ANTHROPIC),
        Surface(
            "gemini",
            "gemini",
            "/v1beta/models/{m}:generateContent",
            GEMINI,
            GOOGLE,
            streams=True,
            stream_path="/v1beta/models/{m}:streamGenerateContent?alt=sse",
        ),
        Surface(
            "gemini array",
            "gemini",
            "/v1beta/models/{m}:streamGenerateContent",
            GEMINI,
            GOOGLE,
            streams=True,
            stream_path="/v1beta/models/{m}:streamGenerateContent",
        ),
        Surface("gemini v1", "gemini", "/v1/models/{m}:generateContent", GEMINI, GOOGLE),
        Surface("vertex", "gemini", "/v1beta1/projects/p/locations/l/publishers/google/models/{m}:generateContent", GEMINI, BEARER),
        Surface("vertex v1", "gemini", "/v1/projects/p/locations/l/publishers/google/models/{m}:generateContent", GEMINI, BEARER),
        Surface("gemini count", "gemini", "/v1beta/models/{m}:countTokens", GEMINI, GOOGLE),
        Surface("gemini embed", "gemini", "/v1beta/models/{m}:embedContent", {"content": {"parts": [{"text": "Hi"}]}}, GOOGLE),
        Surface(
            "gemini batch",
            "gemini",
            "/v1beta/models/{m}:batchEmbedContents",
            {"requests": [{"model": "models/m", "content": {"parts": [{"text": "Hi"}]}}]},
            GOOGLE,
        ),
        Surface("ollama chat", "ollama", "/api/chat", CHAT, streams=True),
        Surface("ollama generate", "ollama", "/api/generate", {"prompt": "Hi"}, streams=True),
        Surface("ollama embed", "ollama", "/api/embed", {"input": "Hi"}),
        Surface("ollama embeddings", "ollama", "/api/embeddings", {"prompt": "Hi"}),
        Surface("cohere chat", "cohere", "/v2/chat", CHAT, streams=True),
        Surface("cohere embed", "cohere", "/v2/embed", {"texts": ["Hi"], "input_type": "search_query", "embedding_types": ["float"]}),
        Surface("cohere rerank", "cohere", "/v2/rerank", {"query": "q", "documents": ["a", "b"]}),
        Surface("loose rerank", "cohere", "/v1/rerank", {"query": "q", "documents": ["a", "b"]}),
    )
}

STREAMING = ("chat", "azure", "responses", "messages", "gemini", "gemini array", "ollama chat", "ollama generate", "cohere chat")


# -- errors


def openai_error(reply: Reply | None, value: Any) -> str:
    error = value["error"]
    assert set(error) >= {"message", "type", "param", "code"}, value
    assert isinstance(error["type"], str), value
    return f"{error['message']} {error['param'] or ''}" if _words(error["message"]) else ""


def anthropic_error(reply: Reply | None, value: Any) -> str:
    assert value["type"] == "error", value
    assert isinstance(value["error"]["type"], str), value
    assert _words(value["error"]["message"])
    return str(value["error"]["message"])


def gemini_error(reply: Reply | None, value: Any) -> str:
    error = value["error"]
    assert isinstance(error["code"], int), value
    assert reply is None or reply.status != 200 or 400 <= error["code"] < 600, value
    assert reply is None or reply.status == 200 or error["code"] == reply.status, value
    assert error["status"].isupper(), value
    assert _words(error["message"])
    return f"{error['message']} {json.dumps(error.get('details', []))}"


def ollama_error(reply: Reply | None, value: Any) -> str:
    assert list(value) == ["error"], value
    assert _words(value["error"])
    return str(value["error"])


def cohere_error(reply: Reply | None, value: Any) -> str:
    assert set(value) == {"id", "message"}, value
    assert _words(value["message"])
    return str(value["message"])


def _words(message: Any) -> bool:
    assert isinstance(message, str), message
    assert message.strip(), "an error without words"
    return True


SHAPES: dict[str, Callable[[Reply | None, Any], str]] = {
    "openai": openai_error,
    "anthropic": anthropic_error,
    "gemini": gemini_error,
    "ollama": ollama_error,
    "cohere": cohere_error,
}


def said(dialect: str, reply: Reply) -> str:
    """What a plain error reply says, its field included. Fails unless it is one of this dialect to the letter."""
    assert reply.status >= 400, (reply.status, reply.body[:300])
    assert reply.header("content-type") == "application/json", reply.headers
    return SHAPES[dialect](reply, json.loads(reply.body))


# -- streams


@dataclass
class Told:
    """What a stream told its client. `ends`: how often it ended as a whole answer does; `errors`: what it said went wrong."""

    text: str = ""
    arguments: str = ""
    ends: int = 0
    errors: tuple[str, ...] = ()
    last_is_error: bool = False


def _sse(body: bytes) -> list[tuple[str, bytes]]:
    """(name, data) of every event; fails on half an event at the end and on lines that are none."""
    text = body.replace(b"\r\n", b"\n")
    assert text == b"" or text.endswith(b"\n\n"), f"half an event at the end: {text[-200:]!r}"
    events = []
    for block in text.split(b"\n\n"):
        name, data = "", []
        for line in block.split(b"\n"):
            if line.startswith(b"event: "):
                name = line[7:].decode()
            elif line.startswith(b"data: "):
                data.append(line[6:])
            else:
                assert not line or line.startswith(b":"), f"an odd line {line[:100]!r}"
        if data:
            events.append((name, b"\n".join(data)))
    return events


def _chat(body: bytes) -> Told:
    told = Told()
    for _, data in _sse(body):
        assert not told.ends, "something behind [DONE]"
        if data == b"[DONE]":
            told.ends += 1
            continue
        value = json.loads(data)
        told.last_is_error = "error" in value
        if "error" in value:
            told.errors += (openai_error(None, value),)
            continue
        for choice in value["choices"]:
            told.text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or []:
                told.arguments += call["function"].get("arguments") or ""
    return told


def _responses(body: bytes) -> Told:
    told = Told()
    numbers = []
    for name, data in _sse(body):
        value = json.loads(data)
        assert name == value["type"], (name, value)
        numbers.append(value["sequence_number"])
        told.last_is_error = name == "error"
        if name == "response.output_text.delta":
            told.text += value["delta"]
        elif name == "response.function_call_arguments.delta":
            told.arguments += value["delta"]
        elif name in ("response.completed", "response.incomplete"):
            assert value["response"]["status"] == name.partition(".")[2]
            told.ends += 1
        elif name == "error":
            assert value["message"]
            told.errors += (value["message"],)
        elif name == "response.failed":
            assert value["response"]["status"] == "failed"
            assert value["response"]["error"]["message"]
    return told


def _messages(body: bytes) -> Told:
    told = Told()
    for name, data in _sse(body):
        assert not told.ends, "something behind message_stop"
        value = json.loads(data)
        assert name == value["type"], (name, value)
        told.last_is_error = name == "error"
        if name == "content_block_delta":
            told.text += value["delta"].get("text", "")
            told.arguments += value["delta"].get("partial_json", "")
        elif name == "message_stop":
            told.ends += 1
        elif name == "error":
            told.errors += (anthropic_error(None, value),)
    return told


def _gemini(values: list[Any]) -> Told:
    told = Told()
    for value in values:
        told.last_is_error = "error" in value
        if "error" in value:
            told.errors += (gemini_error(None, value),)
            continue
        for candidate in value.get("candidates", []):
            assert not told.ends, "something behind the finishReason"
            for part in candidate.get("content", {}).get("parts", []):
                told.text += part.get("text", "")
                told.arguments += json.dumps(part["functionCall"]["args"]) if "functionCall" in part else ""
            told.ends += "finishReason" in candidate
    return told


def _lines(body: bytes) -> list[Any]:
    assert body == b"" or body.endswith(b"\n"), f"half a line at the end: {body[-200:]!r}"
    return [json.loads(line) for line in body.splitlines()]


def _ollama(body: bytes) -> Told:
    told = Told()
    for value in _lines(body):
        assert not told.ends, "something behind done"
        told.last_is_error = "error" in value
        if "error" in value:
            told.errors += (ollama_error(None, value),)
            continue
        message = value.get("message", {})
        told.text += message.get("content", "") + value.get("response", "")
        told.arguments += "".join(json.dumps(call["function"]["arguments"]) for call in message.get("tool_calls", []))
        told.ends += value["done"] is True
    return told


def _cohere(body: bytes) -> Told:
    told = Told()
    for name, data in _sse(body):
        if data == b"[DONE]":
            assert told.ends == 1, "[DONE] without a whole answer"
            continue
        assert not told.ends, "something behind message-end"
        value = json.loads(data)
        assert value["type"] == name, (name, value)
        told.last_is_error = False
        if name == "content-delta":
            told.text += value["delta"]["message"]["content"].get("text", "")
        elif name in ("tool-call-start", "tool-call-delta"):
            told.arguments += value["delta"]["message"]["tool_calls"]["function"].get("arguments", "")
        elif name == "message-end":
            if value["delta"]["finish_reason"] in ("ERROR", "TIMEOUT"):
                assert _words(value["delta"]["error"])
                told.errors += (value["delta"]["error"],)
                told.last_is_error = True
            else:
                told.ends += 1
    return told


def _array(body: bytes) -> Told:
    values = json.loads(body)  # one JSON array, whatever happened
    assert isinstance(values, list), body[:200]
    return _gemini(values)


READERS: dict[str, Callable[[bytes], Told]] = {
    "chat": _chat,
    "azure": _chat,
    "responses": _responses,
    "messages": _messages,
    "gemini": lambda body: _gemini([json.loads(data) for _, data in _sse(body)]),
    "gemini array": _array,
    "ollama chat": _ollama,
    "ollama generate": _ollama,
    "cohere chat": _cohere,
}
TYPES = {
    "gemini array": "application/json",
    "ollama chat": "application/x-ndjson",
    "ollama generate": "application/x-ndjson",
}


def told(surface: str, reply: Reply) -> Told:
    """What a stream's client was told. Fails on anything that is not this dialect's framing to the letter."""
    assert reply.status == 200, (reply.status, reply.body[:300])
    assert reply.whole, "the stream was cut instead of ended"
    kind = (reply.header("content-type") or "").partition(";")[0]
    assert kind == TYPES.get(surface, "text/event-stream"), kind
    return READERS[surface](reply.body)
