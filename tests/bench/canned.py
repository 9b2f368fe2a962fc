"""A provider that answers at once from prepared bytes, as cheaply as Python can: OpenAI chat and Anthropic messages, plain and
streaming, on one port. Run as a process of its own: `python -m tests.bench.canned PORT CHUNKS`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast


def _chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _reply(content_type: str, body: bytes, *, chunked: bool) -> bytes:
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nx-request-id: req_1\r\n{framing}\r\n\r\n".encode() + body


def _sse(value: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def openai_plain() -> bytes:
    message = {"role": "assistant", "content": "The quick brown fox jumps over the lazy dog. " * 6, "refusal": None}
    usage = {"prompt_tokens": 250, "completion_tokens": 60, "total_tokens": 310, "prompt_tokens_details": {"cached_tokens": 0}}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [choice], "usage": usage}
    return _reply("application/json", json.dumps(body).encode(), chunked=False)


def openai_stream(chunks: int) -> bytes:
    def chunk(delta: object, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _sse({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", "choices": [choice]})

    usage = {"prompt_tokens": 250, "completion_tokens": chunks, "total_tokens": 250 + chunks}
    last = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", "choices": [], "usage": usage}
    events = [chunk({"role": "assistant", "content": ""}), *[chunk({"content": f" word{n}"}) for n in range(chunks)], chunk({}, "stop")]
    return _reply("text/event-stream", _chunked(*events, _sse(last), b"data: [DONE]\n\n"), chunked=True)


def anthropic_plain() -> bytes:
    usage = {"input_tokens": 250, "output_tokens": 60, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    content = [{"type": "text", "text": "The quick brown fox jumps over the lazy dog. " * 6}]
    body: dict[str, object] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content}
    return _reply(
        "application/json", json.dumps({**body, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}).encode(), chunked=False
    )


def anthropic_stream(chunks: int) -> bytes:
    message: dict[str, object] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
    }
    events: list[tuple[str, dict[str, object]]] = [
        ("message_start", {"message": {**message, "usage": {"input_tokens": 250, "output_tokens": 1}}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *[("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": f" word{n}"}}) for n in range(chunks)],
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": chunks}}),
        ("message_stop", {}),
    ]
    return _reply("text/event-stream", _chunked(*[_sse({"type": name, **value}, name) for name, value in events]), chunked=True)


class Canned(asyncio.Protocol):
    """Keep-alive HTTP/1.1 for well-behaved clients: a head with Content-Length, then the body."""

    def __init__(self, replies: dict[tuple[bool, bool], bytes]) -> None:
        self._replies = replies
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length: ")
            length = int(head[at + 16 : at + 26].split(b"\r")[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            stream = b'"stream":true' in body or b'"stream": true' in body
            self._transport.write(self._replies[b"/messages" in head[:80], stream])


async def serve(port: int, chunks: int) -> None:
    replies = {
        (False, False): openai_plain(),
        (False, True): openai_stream(chunks),
        (True, False): anthropic_plain(),
        (True, True): anthropic_stream(chunks),
    }
    server = await asyncio.get_running_loop().create_server(lambda: Canned(replies), "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
