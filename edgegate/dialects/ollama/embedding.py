"""The client sides of `/api/embed` and of the older `/api/embeddings`, which takes one text."""

from __future__ import annotations

import orjson

from edgegate.dialects.base import Json, Operation
from edgegate.dialects.ollama.answer import embed_reply, old_embed_reply
from edgegate.dialects.ollama.asking import embeddings_of
from edgegate.dialects.ollama.check import check_embed, check_old_embed
from edgegate.dialects.ollama.client import OllamaErrors


class OllamaEmbedClient(OllamaErrors):
    """See `ClientSide`."""

    format = "ollama.embed"
    operation = Operation.EMBEDDINGS

    def streams(self, request: Json) -> bool:
        return False

    def check(self, request: Json) -> None:
        check_embed(request)

    def neutral(self, request: Json) -> Json:
        return embeddings_of(request, request.get("input") or "")

    def whole(self, request: Json, reply: bytes) -> bytes:
        return embed_reply(request, reply)

    def local(self, request: Json, created: int) -> bytes | None:
        """The reply to a request with nothing to embed, which loads the model; None for any other."""
        return None if request.get("input") else orjson.dumps({"model": request["model"], "embeddings": []})


class OllamaOldEmbedClient(OllamaErrors):
    """See `ClientSide`."""

    format = "ollama.embeddings"
    operation = Operation.EMBEDDINGS

    def streams(self, request: Json) -> bool:
        return False

    def check(self, request: Json) -> None:
        check_old_embed(request)

    def neutral(self, request: Json) -> Json:
        return embeddings_of(request, request.get("prompt") or "")

    def whole(self, request: Json, reply: bytes) -> bytes:
        return old_embed_reply(reply)

    def local(self, request: Json, created: int) -> bytes | None:
        """As for `/api/embed`."""
        return None if request.get("prompt") else b'{"embedding":[]}'
