"""The provider side: we speak `POST /v1/messages` upstream."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from edgegate.dialects.anthropic.abilities import abilities_of
from edgegate.dialects.anthropic.counting import count_body, counted
from edgegate.dialects.anthropic.errors import reply_error
from edgegate.dialects.anthropic.notes import Notes
from edgegate.dialects.anthropic.reply import chat_completion, read_message
from edgegate.dialects.anthropic.request import messages_request
from edgegate.dialects.anthropic.stream import MessageStream
from edgegate.dialects.anthropic.watch import Watch
from edgegate.dialects.anthropic.words import COUNT_FORMAT, COUNT_PATH, DIALECT, FORMAT, PATH
from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.errors import GatewayError, bad_request
from edgegate.taps import Tap

_NATIVE: Mapping[str, str] = {FORMAT: PATH, COUNT_FORMAT: COUNT_PATH}


class AnthropicProvider:
    """See `ProviderSide`, `TokenCounter` and `Prefiller`. `default_max_tokens` is sent where the chat has no limit: the API wants one."""

    name = DIALECT
    native = _NATIVE

    def __init__(self, default_max_tokens: int = 4096, version: str = "2023-06-01") -> None:
        self._default_max_tokens = default_max_tokens
        self._version = version.encode()

    def authorize(self, key: str) -> HeaderList:
        return [(b"x-api-key", key.encode()), (b"anthropic-version", self._version)]

    def request(self, ask: Ask) -> WireRequest:
        body, notes = messages_request(ask, self._default_max_tokens)
        return _wire(PATH, body, notes)

    def count(self, ask: Ask) -> WireRequest:
        body, notes = count_body(ask, self._default_max_tokens)
        return _wire(COUNT_PATH, body, notes)

    def counted(self, ask: Ask, body: bytes) -> int:
        return counted(body, Progress())

    def prefills(self, model: str) -> bool:
        return abilities_of(model).prefill

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return chat_completion(ask, body, progress)

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return MessageStream(ask, progress)

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        return Watch(progress)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        if format == COUNT_FORMAT:
            counted(body, progress)
        else:
            read_message(body, progress)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return reply_error(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        raise _no_embeddings(model)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        raise _no_embeddings(model)


def _wire(path: str, body: Json, notes: Notes) -> WireRequest:
    headers: HeaderList = [(b"content-type", b"application/json")]
    if notes.betas:
        headers.append((b"anthropic-beta", ",".join(notes.betas).encode()))
    return WireRequest(path, orjson.dumps(body), headers, notes.dropped, notes.mapped)


def _no_embeddings(model: str) -> GatewayError:
    return bad_request(f"Anthropic has no embeddings: the model {model!r} cannot make any", "model", code="unsupported_operation")
