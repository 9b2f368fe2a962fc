"""Embeddings: the client side, and vectors as base64.

The neutral form of embeddings is OpenAI's. Its Python SDK asks for `encoding_format: base64` unless told otherwise, which is
little-endian float32; providers that only know lists of numbers are asked for those, and the vectors are encoded here.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import ClientSide, Json, Operation
from edgegate.dialects.openai import fields
from edgegate.dialects.openai.errors import DIALECT, bad_reply, render, render_event
from edgegate.dialects.openai.fields import Check, missing, unknown_value
from edgegate.errors import GatewayError


class EmbeddingsClient(ClientSide):
    """How apps ask for embeddings. There is nothing to translate on this side: requests go to `ProviderSide.embed` and
    replies come from `ProviderSide.embedded` in this very format."""

    format = "openai.embeddings"
    dialect = DIALECT
    operation = Operation.EMBEDDINGS

    def check(self, request: Json) -> None:
        model = request.get("model")
        if model is None:
            raise missing("model")
        fields.filled(model, "model")
        if request.get("input") is None:
            raise missing("input")
        fields.each(request, _CHECKS)

    def neutral(self, request: Json) -> Json:
        return request

    def whole(self, request: Json, reply: bytes) -> bytes:
        return reply

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return render(error)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return render_event(error)


def _encoding(value: Any, param: str) -> None:
    fields.string(value, param)
    if value not in ("float", "base64"):
        raise unknown_value(param, ("float", "base64"))


_CHECKS: Mapping[str, Check] = {
    "input": fields.text_or_tokens,
    "encoding_format": _encoding,
    "dimensions": fields.at_least(1),
    "user": fields.string,
}


def base64_of(vector: list[Any]) -> str:
    """A vector as OpenAI writes it in base64: float32, little-endian."""
    try:
        numbers = array("f", vector)
    except (TypeError, OverflowError):
        raise bad_reply("The provider's answer has an embedding that is no list of numbers.") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode("ascii")


def encoded(request: Json, reply: Json, body: bytes) -> bytes:
    """The reply with its vectors in base64 where the client asked for that and the provider gave lists; else `body` itself."""
    if request.get("encoding_format") != "base64" or not any(type(item["embedding"]) is list for item in reply["data"]):
        return body
    data = [{**item, "embedding": base64_of(item["embedding"])} if type(item["embedding"]) is list else item for item in reply["data"]]
    return orjson.dumps({**reply, "data": data})
