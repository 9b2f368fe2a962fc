"""The client sides of `generateContent` and `countTokens`: apps that speak Gemini's API to us, with google-genai or by hand.

The model stands in the path and is the gateway's business: no request here has one. Whether an answer streams is the method's
to say, not the body's, so there is a side for each. Answers come in the shape of AI Studio, which is Vertex' too.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Chat, ClientSide, Json, Operation
from edgegate.dialects.failure import parsed
from edgegate.dialects.gemini.answer import response_of
from edgegate.dialects.gemini.asking import chat_of
from edgegate.dialects.gemini.check import check_count, check_generate
from edgegate.dialects.gemini.embed_client import BatchEmbedClient, EmbedClient
from edgegate.dialects.gemini.encode import Encode
from edgegate.dialects.gemini.errors import DIALECT, error_body, error_line
from edgegate.dialects.gemini.fields import pick
from edgegate.dialects.gemini.framing import ArrayOfEvents, Events, Items
from edgegate.errors import GatewayError
from edgegate.taps import Tap

__all__ = ["BatchEmbedClient", "CountTokensClient", "EmbedClient", "GenerateClient", "StreamClient"]


class GenerateClient(ClientSide):
    """`:generateContent`."""

    format = "gemini.generate"
    dialect = DIALECT
    operation = Operation.CHAT
    model_in_body = False

    def streams(self, request: Json) -> bool:
        return False

    def temperature(self, request: Json) -> Any:
        config = pick(request, "generationConfig", "generation_config")
        return config.get("temperature") if isinstance(config, dict) else None

    def check(self, request: Json) -> None:
        check_generate(request)

    def neutral(self, request: Json) -> Chat:
        return chat_of(request)

    def whole(self, request: Json, reply: bytes) -> bytes:
        return response_of(reply)

    def stream(self, request: Json, id: str) -> Tap:
        raise GatewayError(500, "internal_error", f"{self.format} has no streams")

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error, request_id)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return Events().item(error_line(error, request_id))


class StreamClient(GenerateClient):
    """`:streamGenerateContent`: events with `?alt=sse`, one JSON array (`array`) without."""

    format = "gemini.stream"

    def __init__(self, array: bool = False) -> None:
        self._array = array
        if array:
            self.stream_type = b"application/json; charset=utf-8"

    def streams(self, request: Json) -> bool:
        return True

    def frames(self) -> Tap | None:
        return ArrayOfEvents() if self._array else None

    def neutral(self, request: Json) -> Chat:
        return {**chat_of(request), "stream": True, "stream_options": {"include_usage": True}}

    def stream(self, request: Json, id: str) -> Tap:
        return Encode(Items() if self._array else Events(), id)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Of an array: the last item and the bracket. What must stand before it, the tap's `end` has written."""
        return error_line(error, request_id) + b"]" if self._array else super().error_event(error, request_id)


class CountTokensClient(GenerateClient):
    """`:countTokens`, of `contents` or of a whole `generateContentRequest`."""

    format = "gemini.count"
    operation = Operation.COUNT_TOKENS

    def check(self, request: Json) -> None:
        check_count(request)

    def neutral(self, request: Json) -> Chat:
        inner = pick(request, "generateContentRequest", "generate_content_request")
        return chat_of(request if inner is None else inner)

    def whole(self, request: Json, reply: bytes) -> bytes:
        counted = parsed(reply)
        return orjson.dumps({"totalTokens": counted["input_tokens"] if isinstance(counted, dict) else 0})
