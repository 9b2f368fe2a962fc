"""The two wire shapes the wall speaks: what a healthy answer looks like, event by event, and what its errors look like.

Written from the vendors' documentation. Every answer is the same text of sixty words, so that a caller can tell a whole answer
from half of one, and from one that was put together wrongly.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

CANONICAL = (
    "Rivers carry naïve stones towards quiet harbours while lanterns measure every patient hour of winter, and "
    "behind the glass a careful clerk copies numbers into ledgers nobody reads; still the columns agree, because "
    "someone promised Größe would be written once, counted twice, and never guessed, until the last bright morning "
    "finally answers each and every waiting question with plain words."
)
WORDS = CANONICAL.split(" ")
TOKENS = [WORDS[0], *(" " + word for word in WORDS[1:])]
OTHER = " ".join(reversed(WORDS))
"""A whole answer too, but another one: nothing of it continues the canonical text."""

PROMPT_TOKENS = 12

Json = dict[str, Any]


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class Shape(Protocol):
    """One vendor's wire format. Events are whole, with their blank line."""

    def begin(self, model: str) -> bytes:
        """What a stream says before its first word: a role, with empty content."""
        ...

    def token(self, model: str, text: str) -> bytes: ...

    def finish(self, model: str) -> bytes: ...

    def usage(self, model: str, words: int) -> bytes: ...

    def done(self) -> bytes: ...

    def plain(self, model: str, text: str, words: int) -> bytes: ...

    def error(self, status: int, code: str, message: str) -> bytes:
        """An error body."""
        ...

    def error_event(self, code: str, message: str) -> bytes: ...


class OpenAI:
    """`/v1/chat/completions`."""

    def _chunk(self, model: str, choices: list[Json], **more: Any) -> bytes:
        head = {"id": f"chatcmpl-{model}", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model}
        return b"data: " + dumps(head | {"choices": choices} | more) + b"\n\n"

    def _delta(self, model: str, delta: Json, finish: str | None = None) -> bytes:
        return self._chunk(model, [{"index": 0, "delta": delta, "finish_reason": finish}])

    def begin(self, model: str) -> bytes:
        return self._delta(model, {"role": "assistant", "content": ""})

    def token(self, model: str, text: str) -> bytes:
        return self._delta(model, {"content": text})

    def finish(self, model: str) -> bytes:
        return self._delta(model, {}, "stop")

    def usage(self, model: str, words: int) -> bytes:
        return self._chunk(model, [], usage=self._usage(words))

    def _usage(self, words: int) -> Json:
        return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": words, "total_tokens": PROMPT_TOKENS + words}

    def done(self) -> bytes:
        return b"data: [DONE]\n\n"

    def plain(self, model: str, text: str, words: int) -> bytes:
        message = {"role": "assistant", "content": text}
        head = {"id": f"chatcmpl-{model}", "object": "chat.completion", "created": 1_700_000_000, "model": model}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return dumps(head | {"choices": [choice], "usage": self._usage(words)})

    def error(self, status: int, code: str, message: str) -> bytes:
        kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
        return dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})

    def error_event(self, code: str, message: str) -> bytes:
        return b"data: " + self.error(500, code, message) + b"\n\n"


class Anthropic:
    """`/v1/messages`."""

    def _event(self, name: str, **value: Any) -> bytes:
        return b"event: " + name.encode() + b"\ndata: " + dumps({"type": name} | value) + b"\n\n"

    def begin(self, model: str) -> bytes:
        message: Json = {"id": f"msg_{model}", "type": "message", "role": "assistant", "model": model, "content": []}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": 1}}
        start = self._event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        return self._event("message_start", message=message) + start + self._event("ping")

    def token(self, model: str, text: str) -> bytes:
        return self._event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def finish(self, model: str) -> bytes:
        return self._event("content_block_stop", index=0)

    def usage(self, model: str, words: int) -> bytes:
        return self._event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": words})

    def done(self) -> bytes:
        return self._event("message_stop")

    def plain(self, model: str, text: str, words: int) -> bytes:
        head = {"id": f"msg_{model}", "type": "message", "role": "assistant", "model": model}
        body = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None}
        return dumps(head | body | {"usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": words}})

    def error(self, status: int, code: str, message: str) -> bytes:
        kind = {429: "rate_limit_error", 500: "api_error", 503: "overloaded_error"}.get(status, "invalid_request_error")
        return dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_wall"})

    def error_event(self, code: str, message: str) -> bytes:
        return b"event: error\ndata: " + self.error(500, code, message) + b"\n\n"


SHAPES: dict[str, Shape] = {"/v1/chat/completions": OpenAI(), "/v1/messages": Anthropic()}
"""By path."""


def last_message(request: Json) -> tuple[str, str]:
    """Role and text of the message that a request ends with."""
    messages = request.get("messages") or [{}]
    last = messages[-1]
    content = last.get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return last.get("role", ""), content
