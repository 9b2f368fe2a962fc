"""`GeminiProvider`: the Gemini API of Google AI Studio, below `https://generativelanguage.googleapis.com`.

There is no client side yet, so `native` is empty; `watch` and `glance` know the format `gemini.generate` all the same, for
metering raw relays. A stream is always asked for with `alt=sse`: without it Gemini answers one JSON array.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.gemini.embeddings import embed_body, embed_reply
from edgegate.dialects.gemini.faults import fault_of
from edgegate.dialects.gemini.names import path_of
from edgegate.dialects.gemini.native import FORMAT, Watcher, glance_at
from edgegate.dialects.gemini.prompt import body_of
from edgegate.dialects.gemini.reply import whole_reply
from edgegate.dialects.gemini.stream import ChatStream
from edgegate.errors import GatewayError, bad_request
from edgegate.taps import Tap

_JSON = (b"content-type", b"application/json")


class GeminiProvider:
    """The provider side of Gemini. Stateless; see `ProviderSide` for the contract of each method."""

    name = "gemini"
    native: Mapping[str, str] = {}

    def authorize(self, key: str) -> HeaderList:
        """The key as a header: in the query, where Google takes it too, it would reach logs."""
        return [(b"x-goog-api-key", key.encode())]

    def request(self, ask: Ask) -> WireRequest:
        path = path_of(ask.model, "streamGenerateContent?alt=sse" if ask.stream else "generateContent")
        dropped: list[str] = []
        body = body_of(ask.chat, ask.model, dropped)
        try:
            return WireRequest(path, orjson.dumps(body), [_JSON], dropped)
        except orjson.JSONEncodeError:  # more than 254 levels: what is read may be deeper than what is written
            raise bad_request("expected JSON of fewer than 254 levels") from None

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return whole_reply(ask, body, progress)

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return ChatStream(ask, progress)

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        _check(format)
        return Watcher(progress)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        _check(format)
        glance_at(body, progress)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return fault_of(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        path, body, dropped = embed_body(request, model)
        return WireRequest(path, body, [_JSON], dropped)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return embed_reply(request, model, body, progress)


def _check(format: str) -> None:
    if format != FORMAT:
        raise ValueError(f"Gemini does not speak {format}")
