"""The neutral form of embeddings, which is OpenAI's: what a provider side reads from a request and writes as a reply.

Providers that answer with lists of numbers get `encoding_format: base64` from here: the official Python SDK asks for it
unless told otherwise, and reads it as little-endian float32.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.errors import bad_request


def texts_of(request: Json) -> str | list[str]:
    """The request's `input` for a provider that embeds text only. Token ids are refused: only the model they were made
    for can read them."""
    value = request.get("input")
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        if all(isinstance(text, str) for text in value):
            return value
        if all(isinstance(item, (int, list)) for item in value):
            raise bad_request("this provider takes text, not token ids", "input")
    raise bad_request("expected a string or a list of strings that is not empty", "input")


def count_of(request: Json) -> int:
    """How many vectors the reply must hold."""
    value = request.get("input")
    return len(value) if isinstance(value, list) else 1


def is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(number) in (float, int) for number in value)


def embeddings(request: Json, model: str, vectors: list[list[float]], usage: Usage) -> bytes:
    """The reply, in the encoding that the request asks for. `vectors` passed `is_vector`. Raises `OverflowError` for base64
    and a number that is too large for float32."""
    packed = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector} for index, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": counts})


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
