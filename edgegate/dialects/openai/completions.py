"""The client side of the legacy completions: a prompt becomes one user message, the answer's text comes back as `text`.

What a chat can do, it does: `echo` (the prompt goes before the text here), `logprobs` as a number. What it cannot, several
prompts, token lists, `suffix`, `best_of` beyond `n`, is a 400 that names the field; sent to a provider that has completions
of its own, such a request passes untouched. The old default of 16 tokens is not applied: chat models count their reasoning
in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Chat, ClientSide, Json, Operation
from edgegate.dialects.chat import DONE, text_of
from edgegate.dialects.openai import fields
from edgegate.dialects.openai.errors import DIALECT, render, render_event
from edgegate.dialects.openai.fields import Check, missing
from edgegate.dialects.openai.follow import choices_of, index_of
from edgegate.errors import GatewayError, bad_request
from edgegate.taps import Outcome, Tap
from edgegate.wire.sse import Event, EventReader

_NOT_IN_A_CHAT = ("prompt", "suffix", "echo", "best_of", "logprobs")


class CompletionsClient(ClientSide):
    """How apps speak `POST /v1/completions`."""

    format = "openai.completions"
    dialect = DIALECT
    operation = Operation.COMPLETION

    def check(self, request: Json) -> None:
        model = request.get("model")
        if model is None:
            raise missing("model")
        fields.filled(model, "model")
        if request.get("prompt") is None:
            raise missing("prompt")
        fields.each(request, _CHECKS)

    def neutral(self, request: Json) -> Chat:
        chat = {name: value for name, value in request.items() if value is not None and name not in _NOT_IN_A_CHAT}
        chat["messages"] = [{"role": "user", "content": _prompt(request)}]
        if request.get("suffix"):
            raise _cannot("suffix", "has no place in a chat")
        best_of = request.get("best_of")
        if best_of is not None and best_of > (request.get("n") or 1):
            raise _cannot("best_of", "cannot be larger than 'n' for this model")
        logprobs = request.get("logprobs")
        if logprobs is not None:
            if request.get("echo"):
                raise _cannot("logprobs", "cannot be combined with 'echo' for this model")
            chat["logprobs"] = True
            chat["top_logprobs"] = logprobs
        return chat

    def whole(self, request: Json, reply: bytes) -> bytes:
        chat = orjson.loads(reply)
        prefix = _prompt(request) if request.get("echo") else ""
        choices = []
        for choice in choices_of(chat):
            message = choice.get("message") or {}
            text = prefix + (text_of(message.get("content")) or message.get("refusal") or "")
            choices.append(_choice(choice, text, len(prefix)))
        return orjson.dumps(_like(chat, choices))

    def stream(self, request: Json, id: str) -> Tap:
        return _ToCompletions(_prompt(request) if request.get("echo") else "")

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return render(error)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return render_event(error)


class _ToCompletions:
    """Chat SSE -> `text_completion` chunks. Chunks without text or finish reason (roles, reasoning) say nothing here."""

    __slots__ = ("_begun", "_offsets", "_prefix", "_reader")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._begun: set[int] = set()  # choices that have been given the prompt
        self._offsets: dict[int, int] = {}
        self._reader = EventReader()

    def feed(self, data: bytes) -> bytes:
        return self._events(self._reader.feed(data))

    def end(self, outcome: Outcome) -> bytes:
        return self._events([event for event in self._reader.end() if outcome is Outcome.OK or event.data != b"[DONE]"])

    def _events(self, events: list[Event]) -> bytes:
        return b"".join([self._event(event.data) for event in events])

    def _event(self, data: bytes) -> bytes:
        if data == b"[DONE]":
            return DONE
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return b""  # half an event: the stream broke
        choices = [done for choice in choices_of(chunk) if (done := self._one(choice)) is not None]
        if not choices and not chunk.get("usage"):
            return b""
        return b"data: " + orjson.dumps(_like(chunk, choices)) + b"\n\n"

    def _one(self, choice: Json) -> Json | None:
        delta = choice.get("delta") or {}
        text = text_of(delta.get("content")) or delta.get("refusal") or ""
        if not text and not choice.get("finish_reason"):
            return None
        index = index_of(choice)
        if self._prefix and index not in self._begun:
            self._begun.add(index)
            text = self._prefix + text
        offset = self._offsets.get(index, 0)
        self._offsets[index] = offset + len(text)
        return _choice(choice, text, offset)


def _like(chat: Json, choices: list[Json]) -> Json:
    """A completion or chunk with the head of the chat's."""
    body: Json = {
        "id": chat.get("id"),
        "object": "text_completion",
        "created": chat.get("created"),
        "model": chat.get("model"),
        "choices": choices,
    }
    for name in ("usage", "system_fingerprint"):
        if chat.get(name) is not None:
            body[name] = chat[name]
    return body


def _choice(choice: Json, text: str, offset: int) -> Json:
    reason = choice.get("finish_reason")
    return {
        "text": text,
        "index": index_of(choice),
        "logprobs": _logprobs(choice.get("logprobs"), offset),
        "finish_reason": reason if reason in ("length", "content_filter", None) else "stop",
    }


def _logprobs(value: Any, offset: int) -> Json | None:
    """A chat's logprobs in the older form: parallel lists."""
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list):
        return None
    tokens = _tokens(content)
    offsets = []
    for item in tokens:
        offsets.append(offset)
        offset += len(item["token"])
    return {
        "tokens": [item["token"] for item in tokens],
        "token_logprobs": [item.get("logprob") for item in tokens],
        "top_logprobs": [{top["token"]: top.get("logprob") for top in _tokens(item.get("top_logprobs"))} for item in tokens],
        "text_offset": offsets,
    }


def _tokens(value: Any) -> list[Json]:
    """What can be read of a list of tokens: foreign servers write all sorts of things."""
    return [item for item in value if isinstance(item, dict) and isinstance(item.get("token"), str)] if isinstance(value, list) else []


def _prompt(request: Json) -> str:
    """The one prompt of a request that is to become a chat."""
    prompt = request["prompt"]
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str):
        raise _cannot("prompt", "must be a single string for this model, not several")
    raise _cannot("prompt", "must be text for this model, not tokens")


def _cannot(param: str, why: str) -> GatewayError:
    return bad_request(f"Unsupported value: '{param}' {why}.", param, code="unsupported_value")


_CHECKS: Mapping[str, Check] = {
    "prompt": fields.text_or_tokens,
    "suffix": fields.string,
    "max_tokens": fields.at_least(0),
    "temperature": fields.number,
    "top_p": fields.number,
    "n": fields.at_least(1),
    "best_of": fields.at_least(1),
    "stream": fields.boolean,
    "stream_options": fields.stream_options,
    "logprobs": fields.at_least(0),
    "echo": fields.boolean,
    "stop": fields.string_or_strings,
    "presence_penalty": fields.number,
    "frequency_penalty": fields.number,
    "logit_bias": fields.object_,
    "seed": fields.integer,
    "user": fields.string,
}
