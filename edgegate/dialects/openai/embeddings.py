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

from edgegate.dialects.base import ClientSide, Json, Operation, Usage
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.openai import fields
from edgegate.dialects.openai.errors import DIALECT, render, render_event
from edgegate.dialects.openai.fields import Check, missing, unknown_value
from edgegate.dialects.openai.quirks import Quirks
from edgegate.errors import GatewayError, bad_request

FIELDS = frozenset(("model", "input", "dimensions", "encoding_format", "user"))
"""What OpenAI takes in an embeddings request. Other clients' words (`input_type`, `taskType`, `keep_alive`) it refuses."""

_FOREIGN = frozenset((
    "images", "inputs", "priority", "max_tokens", "embedding_types",  # Cohere
    "requests",  # Gemini
    "keep_alive", "options",  # Ollama
))  # fmt: skip

_OF_OTHERS = ("images", "inputs")
"""Where Cohere's clients put pictures."""


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


def request_body(request: Json, model: str, quirks: Quirks) -> tuple[Json, list[str], list[str]]:
    """(the body for a request that came from another client's format, what was left out, what is said in other words). OpenAI
    and Azure refuse a field that they do not know; others ignore it or have it, so they get all but what only another dialect
    can mean. A picture is the question itself: it is refused."""
    given = request.get("input")
    if given is None or (isinstance(given, list) and any(_is_parts(item) for item in given)):
        name = "input" if given is not None else next((name for name in _OF_OTHERS if request.get(name)), "input")
        raise bad_request("this provider embeds text only", name)
    body: Json = {"model": model}
    dropped: list[str] = []
    mapped: list[str] = []
    for name, value in request.items():
        if value is None or name == "model" or name.startswith("x-") or (name == "encoding_format" and not quirks.base64_embeddings):
            continue
        if not _is_known(name, quirks):
            dropped.append(name)
            continue
        if name == "input_type" and quirks.input_types is not None and value not in quirks.input_types.values():
            value = quirks.input_types.get(value) if isinstance(value, str) else None
            (dropped if value is None else mapped).append(name)
        if value is not None:
            body[quirks.embedding_names.get(name, name)] = value
    return body, dropped, mapped


def _is_known(name: str, quirks: Quirks) -> bool:
    if quirks.fields is not None:
        return name in FIELDS
    return name not in _FOREIGN and name not in quirks.refuses and name.islower()


def _is_parts(item: Any) -> bool:
    """A content part, or a list of them, as Gemini's clients embed pictures; lists of numbers are tokens."""
    return isinstance(item, dict) or (isinstance(item, list) and any(isinstance(part, dict) for part in item))


def base64_of(vector: list[Any]) -> str:
    """A vector as OpenAI writes it in base64: float32, little-endian."""
    try:
        numbers = array("f", vector)
    except (TypeError, OverflowError):
        raise bad_reply("The provider's answer has an embedding that is no list of numbers.") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode("ascii")


def encoded(request: Json, reply: Json, body: bytes, usage: Usage) -> bytes:
    """The reply with its vectors in base64 where the client asked for that and the provider gave lists, and with `prompt_tokens`
    where the provider only gave a total (voyage/embeddings-*); else `body` itself."""
    changes: Json = {}
    data, counts = reply["data"], reply.get("usage")
    if request.get("encoding_format") == "base64" and any(type(item["embedding"]) is list for item in data):
        packed = [{**item, "embedding": base64_of(item["embedding"])} if type(item["embedding"]) is list else item for item in data]
        changes["data"] = packed
    if isinstance(counts, dict) and usage.reported and "prompt_tokens" not in counts:
        changes["usage"] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens, **counts}
    return orjson.dumps({**reply, **changes}) if changes else body
