"""`GeminiProvider`: the Gemini API of Google AI Studio, below `https://generativelanguage.googleapis.com`.

A stream is always asked for with `alt=sse`: without it Gemini answers one JSON array. Embeddings are translated even for Gemini's
own clients: their bodies name a model (each item of a batch, and the documented form of one), which need not be the target's.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.custom_calls import as_customs, custom_calls
from edgegate.dialects.gemini.counting import glance_at_count, studio_count, tokens_in
from edgegate.dialects.gemini.embeddings import embed_body, embed_reply
from edgegate.dialects.gemini.faults import fault_of
from edgegate.dialects.gemini.flavours import AI_STUDIO, Flavour
from edgegate.dialects.gemini.names import path_of
from edgegate.dialects.gemini.native import Watcher, glance_at, glance_at_embedding
from edgegate.dialects.gemini.prompt import body_of
from edgegate.dialects.gemini.reply import whole_reply
from edgegate.dialects.gemini.stream import ChatStream
from edgegate.dialects.losses import Losses
from edgegate.errors import GatewayError, bad_request
from edgegate.taps import Tap

JSON = (b"content-type", b"application/json")

_NATIVE: Mapping[str, str] = {
    "gemini.generate": "/v1beta/models/{model}:generateContent",
    "gemini.stream": "/v1beta/models/{model}:streamGenerateContent?alt=sse",
    "gemini.count": "/v1beta/models/{model}:countTokens",
}


class GeminiProvider:
    """The provider side of Gemini. Stateless; see `ProviderSide` for the contract of each method."""

    name = "gemini"
    native: Mapping[str, str] = _NATIVE
    flavour: Flavour = AI_STUDIO

    def authorize(self, key: str) -> HeaderList:
        """The key as a header: in the query, where Google takes it too, it would reach logs."""
        return [(b"x-goog-api-key", key.encode())]

    def path(self, model: str, verb: str) -> str:
        """The path of a model's endpoint; a 400 for what is no model's name."""
        return path_of(model, verb)

    def relocated(self, path: str, model: str) -> str:
        """A model's other verbs, such as `:predict` of Imagen. What names no model (files, caches) stays where it is."""
        _, colon, verb = path.rpartition(":")
        return self.path(model, verb) if model and colon else path

    def request(self, ask: Ask) -> WireRequest:
        path = self.path(ask.model, "streamGenerateContent?alt=sse" if ask.stream else "generateContent")
        losses = Losses(ask.approximate)
        body = body_of(ask.chat, ask.model, self.flavour, losses)
        return WireRequest(path, written(body), [JSON], losses.dropped, losses.mapped)

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return as_customs(ask, whole_reply(ask, body, progress))

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return custom_calls(ask, progress, ChatStream(ask, progress))

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        if format not in ("gemini.generate", "gemini.stream"):
            raise ValueError(f"Gemini does not stream {format}")
        return Watcher(progress)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        if format in ("gemini.generate", "gemini.stream"):
            glance_at(body, progress)
        elif format == "gemini.count":
            glance_at_count(body, progress)
        elif format in ("gemini.embed", "gemini.batch_embed"):
            glance_at_embedding(body, progress)
        else:
            raise ValueError(f"Gemini does not speak {format}")

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return fault_of(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        path, body, dropped = embed_body(request, model)
        return WireRequest(path, body, [JSON], dropped)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return embed_reply(request, model, body, progress)

    def count(self, ask: Ask) -> WireRequest:
        losses = Losses(ask.approximate)
        body = body_of(ask.chat, ask.model, self.flavour, losses)
        return WireRequest(
            self.path(ask.model, "countTokens"), written(studio_count(body, ask.model)), [JSON], losses.dropped, losses.mapped
        )

    def counted(self, ask: Ask, body: bytes) -> int:
        return tokens_in(body)


def written(body: Json) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:  # more than 254 levels: what is read may be deeper than what is written
        raise bad_request("expected JSON of fewer than 254 levels") from None
