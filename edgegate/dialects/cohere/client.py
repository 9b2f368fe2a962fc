"""The client sides: apps that speak Cohere's API to us (`cohere.ClientV2`, or Jina's and version 1's rerank)."""

from __future__ import annotations

from edgegate.dialects.base import Chat, ClientSide, Json, Operation
from edgegate.dialects.cohere import check, errors
from edgegate.dialects.cohere.answer import reply_of
from edgegate.dialects.cohere.asking import chat_of
from edgegate.dialects.cohere.encode import Encode
from edgegate.dialects.cohere.ranking import loose_answer, neutral_rerank, rerank_answer
from edgegate.dialects.cohere.vectors import embedding_reply, neutral_embedding
from edgegate.dialects.cohere.words import CHAT, DIALECT, EMBED, RERANK
from edgegate.errors import GatewayError
from edgegate.taps import Tap


class CohereClient(ClientSide):
    """What the formats share: how errors look."""

    dialect = DIALECT

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.error_body(error, request_id)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return errors.error_event(error, request_id)


class CohereChatClient(CohereClient):
    """`POST /v2/chat`.

    Signed or encrypted reasoning of other vendors does not survive a turn through this format: see `answer.py`.
    """

    format = CHAT
    operation = Operation.CHAT
    stream_type = b"text/event-stream"

    def check(self, request: Json) -> None:
        check.check_chat(request)

    def neutral(self, request: Json) -> Chat:
        return chat_of(request)

    def whole(self, request: Json, reply: bytes) -> bytes:
        return reply_of(reply)

    def stream(self, request: Json, id: str) -> Tap:
        return Encode(id)


class CohereEmbedClient(CohereClient):
    """`POST /v2/embed`."""

    format = EMBED
    operation = Operation.EMBEDDINGS

    def check(self, request: Json) -> None:
        check.check_embed(request)

    def neutral(self, request: Json) -> Json:
        return neutral_embedding(request)

    def whole(self, request: Json, reply: bytes) -> bytes:
        return embedding_reply(request, reply)


class RerankClient(CohereClient):
    """`POST /v2/rerank`."""

    format = RERANK
    operation = Operation.RERANK

    def check(self, request: Json) -> None:
        check.check_rerank(request)

    def neutral(self, request: Json) -> Json:
        return neutral_rerank(request)

    def whole(self, request: Json, reply: bytes) -> bytes:
        return rerank_answer(request, reply)


class LooseRerankClient(RerankClient):
    """`POST /v1/rerank` and `/rerank`, which Cohere's version 1, Jina, vLLM and others share: always translated, for no provider
    takes all of their forms (documents as objects, `return_documents`, `top_k`)."""

    format = "rerank"

    def whole(self, request: Json, reply: bytes) -> bytes:
        return loose_answer(request, reply)
