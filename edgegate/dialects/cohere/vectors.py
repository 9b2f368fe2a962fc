"""`/v2/embed` as apps speak it, and OpenAI's embeddings, the neutral form: request and reply.

Floats are what every provider answers, and `base64` is made of them (little-endian float32). Quantised types (int8, binary, ...)
cannot be: they are to be had from Cohere itself only, natively.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.chat import count
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.errors import bad_request

_MADE = ("float", "base64")
_SAID = frozenset(("texts", "inputs", "embedding_types", "output_dimension"))


def neutral_embedding(request: Json) -> Json:
    """The neutral request for one that passed `check_embed`. Pictures stay under their own names, as the other fields do:
    `images`, and `inputs` that hold any."""
    for at, kind in enumerate(request.get("embedding_types") or ()):
        if kind not in _MADE:
            raise bad_request(f"invalid request: this model gives embedding_types float and base64, not {kind}", f"embedding_types[{at}]")
    neutral: Json = {name: value for name, value in request.items() if name not in _SAID and value is not None}
    if request.get("texts") is not None:
        neutral["input"] = request["texts"]
    elif request.get("inputs") is not None:
        texts = [_only_text(item) for item in request["inputs"]]
        if None in texts:
            neutral["inputs"] = request["inputs"]
        else:
            neutral["input"] = texts
    if request.get("output_dimension") is not None:
        neutral["dimensions"] = request["output_dimension"]
    return neutral


def _only_text(item: Json) -> str | None:
    """The text of an input that is nothing else."""
    content = item["content"]
    return str(content[0]["text"]) if len(content) == 1 and content[0]["type"] == "text" else None


def embedding_reply(request: Json, reply: bytes) -> bytes:
    """A neutral reply -> Cohere's, by type. It has no id: one is made of its bytes."""
    value = parsed(reply)
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise bad_reply("the reply is not a list of embeddings")
    kinds = request.get("embedding_types") or ["float"]
    vectors = [_floats(item.get("embedding")) for item in data]
    embeddings: Json = {"float": vectors} if "float" in kinds else {}
    if "base64" in kinds:
        embeddings["base64"] = [_packed(vector) for vector in vectors]
    usage = value.get("usage")
    tokens = count(usage.get("prompt_tokens") or usage.get("total_tokens")) if isinstance(usage, dict) else 0
    answer: Json = {
        "id": _id(reply),
        "embeddings": embeddings,
        "texts": request.get("texts") or [],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
        "response_type": "embeddings_by_type",
    }
    return orjson.dumps(answer)


def _id(reply: bytes) -> str:
    """In the form of Cohere's own."""
    text = hashlib.sha256(reply).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def _floats(vector: Any) -> list[float]:
    """A vector of a neutral reply, which is base64 where a provider chose so."""
    try:
        if isinstance(vector, str):
            packed = base64.b64decode(vector, validate=True)
            return list(struct.unpack(f"<{len(packed) // 4}f", packed))
        if isinstance(vector, list) and all(type(number) in (float, int) for number in vector):
            return vector
    except (ValueError, struct.error):
        pass
    raise bad_reply("the reply holds an embedding that is no list of numbers")


def _packed(vector: list[float]) -> str:
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        raise bad_reply("the reply holds a number that float32 cannot") from None
