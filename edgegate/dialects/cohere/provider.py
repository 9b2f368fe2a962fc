"""Cohere as a provider. Its own clients' requests pass byte for byte; chats of other dialects are translated."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.cohere.embeddings import embed_request, read_embeddings, whole_embeddings
from edgegate.dialects.cohere.errors import read_error
from edgegate.dialects.cohere.reply import whole_chat
from edgegate.dialects.cohere.request import chat_request
from edgegate.dialects.cohere.stream import CohereStream
from edgegate.dialects.cohere.watch import Watch
from edgegate.dialects.cohere.words import CHAT, EMBED, RERANK
from edgegate.dialects.custom_calls import as_customs, custom_calls
from edgegate.dialects.rerank import RerankStyle, rerank_body, rerank_reply
from edgegate.errors import GatewayError
from edgegate.taps import Tap

_PATHS: Mapping[str, str] = {CHAT: "/v2/chat", EMBED: "/v2/embed", RERANK: "/v2/rerank"}
_JSON: HeaderList = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
_NOBODY = Ask(chat={}, model="", stream=False, id="", created=0)


class CohereProvider:
    """`ProviderSide` and `Reranker` of api.cohere.com."""

    name = "cohere"
    native: Mapping[str, str] = _PATHS

    def authorize(self, key: str) -> HeaderList:
        return [(b"authorization", b"Bearer " + key.encode())] if key else []

    def request(self, ask: Ask) -> WireRequest:
        return chat_request(_PATHS[CHAT], ask)

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return as_customs(ask, whole_chat(ask, body, progress))

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return custom_calls(ask, progress, CohereStream(ask, progress))

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        return Watch(CohereStream(ask, progress), progress)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        if format == EMBED:
            read_embeddings(body, progress)
        elif format == RERANK:
            rerank_reply(RerankStyle.COHERE, body, progress)
        else:
            whole_chat(_NOBODY, body, progress)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        return embed_request(_PATHS[EMBED], request, model)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return whole_embeddings(request, model, body, progress)

    def rerank(self, request: Json, model: str) -> WireRequest:
        body, dropped = rerank_body(RerankStyle.COHERE, request, model)
        return WireRequest(_PATHS[RERANK], orjson.dumps(body), list(_JSON), dropped)

    def reranked(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        progress.model = progress.model or model
        return rerank_reply(RerankStyle.COHERE, body, progress)
