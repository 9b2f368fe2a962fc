"""Four providers as raw bytes: what OpenAI, Anthropic, Gemini and Bedrock send, whole and broken.

A stream is a list of pieces, one event or frame each, so that tests can cut it anywhere. Frames are written here by hand: the
gateway's own writer is not asked.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from tests.hard.speech import chunk, dumps

TEXT = "Hello wörld"
ARGUMENTS = '{"city": "Paris", "days": 3}'
SPLIT = 12
"""Where the arguments of a call are cut into two pieces: inside of a string."""


def sse(value: Any, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def frame(kind: str, payload: Any, message: str = "event", *, crc: int = 0) -> bytes:
    """One frame of `application/vnd.amazon.eventstream`. `crc` is added to the last checksum: 0 is right."""
    name = {"event": ":event-type", "exception": ":exception-type", "error": ":error-code"}[message]
    lines = [(":message-type", message), (name, kind), (":content-type", "application/json")]
    if message == "error":
        lines[2] = (":error-message", payload["message"])
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode() for key, value in lines
    )
    body = b"" if message == "error" else json.dumps(payload).encode()
    start = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    whole = start + struct.pack(">I", zlib.crc32(start)) + headers + body
    return whole + struct.pack(">I", (zlib.crc32(whole) + crc) & 0xFFFFFFFF)


def _chat(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    basis = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-2024-08-06"}
    return sse(basis | {"choices": [choice]} | more)


def _call(**call: Any) -> bytes:
    return _chat({"tool_calls": [{"index": 0, **call}]})


def _block(name: str, **fields: Any) -> bytes:
    return sse({"type": name, **fields}, name)


def _part(part: dict[str, Any], **candidate: Any) -> bytes:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
    value = {
        "candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0, **candidate}],
        "usageMetadata": usage,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    }
    return sse(value)


@dataclass(frozen=True)
class Vendor:
    """text: the pieces of a whole answer of `TEXT`; `mid`: so many of them are some of its text and no more; `finish`: so many of
    them are a whole answer but for what follows the finish reason.

    call: the pieces of a whole answer that is a call with `ARGUMENTS`; `in_call`: so many of them end inside of the arguments (with
    Gemini, whose calls come whole, the next piece has to be cut itself).
    filler: a piece of text so long. error: an event that says `no luck today`. hidden: the same in place of an answer.
    """

    name: str
    model: str
    type: bytes
    text: tuple[bytes, ...]
    mid: int
    finish: int
    call: tuple[bytes, ...]
    in_call: int
    error: bytes
    hidden: bytes
    whole: bytes

    def head(self, *lines: bytes) -> bytes:
        return b"\r\n".join([b"HTTP/1.1 200 OK", b"content-type: " + self.type, *lines, b"transfer-encoding: chunked"]) + b"\r\n\r\n"

    def stream(self, data: bytes, *lines: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
        return self.head(*lines) + chunk(data) + end

    def long(self, size: int) -> bytes:
        """A piece whose text is `size` letters."""
        text = "x" * size
        match self.name:
            case "openai":
                return _chat({"content": text})
            case "anthropic":
                return _block("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
            case "gemini":
                return _part({"text": text})
        return frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})

    def refusal(self, status: int) -> bytes:
        """The body of an error with this status."""
        error = {"message": WORDS, "type": "some_error", "param": None, "code": None}
        match self.name:
            case "openai":
                return dumps({"error": error})
            case "anthropic":
                return dumps({"type": "error", "error": {"type": "api_error", "message": WORDS}})
            case "gemini":
                return dumps({"error": {"code": status, "message": WORDS, "status": "UNKNOWN"}})
        return dumps({"message": WORDS})

    def rubbish(self) -> bytes:
        """A piece of text that is not whole JSON, properly framed."""
        match self.name:
            case "openai":
                return _chat({"content": "lost"})[:-5] + b"\n\n"
            case "anthropic":
                return _block("content_block_delta", index=0, delta={"type": "text_delta", "text": "lost"})[:-5] + b"\n\n"
            case "gemini":
                return _part({"text": "lost"})[:-5] + b"\n\n"
        return frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lost"}}, crc=1)


WORDS = "no luck today"
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}

OPENAI = Vendor(
    "openai",
    "gpt-4o",
    b"text/event-stream",
    (
        _chat({"role": "assistant", "content": ""}),
        _chat({"content": "Hello"}),
        _chat({"content": " wörld"}),
        _chat({}, "stop"),
        _chat({}, choices=[], usage=USAGE),
        b"data: [DONE]\n\n",
    ),
    2,
    4,
    (
        _chat({"role": "assistant", "content": None}),
        _call(id="call_1", type="function", function={"name": "weather", "arguments": ""}),
        _call(function={"arguments": ARGUMENTS[:SPLIT]}),
        _call(function={"arguments": ARGUMENTS[SPLIT:]}),
        _chat({}, "tool_calls"),
        _chat({}, choices=[], usage=USAGE),
        b"data: [DONE]\n\n",
    ),
    3,
    sse({"error": {"message": WORDS, "type": "server_error", "param": None, "code": None}}),
    dumps({"error": {"message": WORDS, "type": "server_error", "param": None, "code": None}}),
    dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "gpt-4o",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ),
)

_START = _block(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
    },
)


def _anthropic_end(reason: str) -> tuple[bytes, ...]:
    return (
        _block("content_block_stop", index=0),
        _block("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 3}),
        _block("message_stop"),
    )


def _input(piece: str) -> bytes:
    return _block("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": piece})


ANTHROPIC = Vendor(
    "anthropic",
    "claude-haiku-4-5",
    b"text/event-stream; charset=utf-8",
    (
        _START,
        _block("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        _block("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"}),
        _block("content_block_delta", index=0, delta={"type": "text_delta", "text": " wörld"}),
        *_anthropic_end("end_turn"),
    ),
    3,
    6,
    (
        _START,
        _block("content_block_start", index=0, content_block={"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}),
        _input(""),
        _input(ARGUMENTS[:SPLIT]),
        _input(ARGUMENTS[SPLIT:]),
        *_anthropic_end("tool_use"),
    ),
    4,
    sse({"type": "error", "error": {"type": "overloaded_error", "message": WORDS}}, "error"),
    dumps({"type": "error", "error": {"type": "api_error", "message": WORDS}}),
    dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": TEXT}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 3},
        }
    ),
)

GEMINI = Vendor(
    "gemini",
    "gemini-2.5-flash",
    b"text/event-stream",
    (_part({"text": "Hello"}), _part({"text": " wörld"}), _part({"text": ""}, finishReason="STOP")),
    1,
    3,
    (
        _part({"text": "Wait."}),
        _part({"functionCall": {"name": "weather", "args": json.loads(ARGUMENTS)}}),
        _part({"text": ""}, finishReason="STOP"),
    ),
    1,
    sse({"error": {"code": 503, "message": WORDS, "status": "UNAVAILABLE"}}),
    dumps({"error": {"code": 500, "message": WORDS, "status": "INTERNAL"}}),
    dumps(
        {
            "candidates": [{"content": {"parts": [{"text": TEXT}], "role": "model"}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8},
            "modelVersion": "gemini-2.5-flash",
        }
    ),
)


def _delta(delta: dict[str, Any]) -> bytes:
    return frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta})


def _bedrock_end(reason: str) -> tuple[bytes, ...]:
    usage = {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}
    return (
        frame("contentBlockStop", {"contentBlockIndex": 0}),
        frame("messageStop", {"stopReason": reason}),
        frame("metadata", {"usage": usage, "metrics": {"latencyMs": 9}}),
    )


BEDROCK = Vendor(
    "bedrock",
    "amazon.nova-lite-v1:0",
    b"application/vnd.amazon.eventstream",
    (frame("messageStart", {"role": "assistant"}), _delta({"text": "Hello"}), _delta({"text": " wörld"}), *_bedrock_end("end_turn")),
    2,
    5,
    (
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
        _delta({"toolUse": {"input": ARGUMENTS[:SPLIT]}}),
        _delta({"toolUse": {"input": ARGUMENTS[SPLIT:]}}),
        *_bedrock_end("tool_use"),
    ),
    3,
    frame("modelStreamErrorException", {"message": WORDS, "originalStatusCode": 500}, "exception"),
    dumps({"__type": "com.amazon.coral.service#InternalServerException", "message": WORDS}),
    dumps(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8},
            "metrics": {"latencyMs": 9},
        }
    ),
)

VENDORS = {vendor.name: vendor for vendor in (OPENAI, ANTHROPIC, GEMINI, BEDROCK)}
