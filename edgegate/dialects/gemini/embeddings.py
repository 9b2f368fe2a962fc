"""OpenAI-shaped embeddings <-> `:embedContent` (one input) and `:batchEmbedContents` (a list)."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson

from edgegate.dialects.base import Json, Progress
from edgegate.dialects.chat import count
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.gemini.names import path_of
from edgegate.dialects.gemini.reading import parse
from edgegate.errors import bad_request

_READ = frozenset(("model", "input", "dimensions", "encoding_format"))


def embed_body(request: Json, model: str) -> tuple[str, bytes, list[str]]:
    """(path, body, dropped)."""
    if request.get("encoding_format") not in (None, "float", "base64"):
        raise bad_request("expected float or base64", "encoding_format")
    given = request.get("input")
    dropped = [name for name, value in request.items() if name not in _READ and value is not None]
    if isinstance(given, str):
        path = path_of(model, "embedContent")
        return path, orjson.dumps(_content(given, request)), dropped
    if not isinstance(given, list) or not given:
        raise bad_request("expected a string or a list of at least one string", "input")
    for at, text in enumerate(given):
        if not isinstance(text, str):
            raise bad_request("expected text: Gemini takes no tokens", f"input[{at}]")
    path = path_of(model, "batchEmbedContents")
    name = model if "/" in model else f"models/{model}"
    return path, orjson.dumps({"requests": [{"model": name, **_content(text, request)} for text in given]}), dropped


def embed_reply(request: Json, model: str, body: bytes, progress: Progress) -> bytes:
    """The reply as OpenAI's list. Raises when it is an error or holds another number of vectors than there were inputs."""
    reply = parse(body)
    found = [reply["embedding"]] if "embedding" in reply else reply.get("embeddings")
    given = request.get("input")
    wanted = len(given) if isinstance(given, list) else 1
    if not isinstance(found, list) or len(found) != wanted:
        raise bad_reply(f"Gemini's reply does not hold {wanted} embedding{'s' if wanted > 1 else ''}")
    packed = request.get("encoding_format") == "base64"
    data = [{"object": "embedding", "index": at, "embedding": _vector(item, packed)} for at, item in enumerate(found)]
    meta = reply.get("usageMetadata")
    if isinstance(meta, dict):
        progress.usage.input_tokens = count(meta.get("promptTokenCount"))
        progress.usage.reported = True
    progress.model = model
    progress.started = progress.finished = True
    tokens = progress.usage.input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def _content(text: str, request: Json) -> Json:
    content: Json = {"content": {"parts": [{"text": text}]}}
    if request.get("dimensions") is not None:
        content["outputDimensionality"] = request["dimensions"]
    return content


def _vector(item: Any, packed: bool) -> Any:
    """The numbers, or OpenAI's base64 of little-endian 32-bit floats."""
    values = item.get("values") if isinstance(item, dict) else None
    if not isinstance(values, list) or not values:
        raise bad_reply("Gemini's reply holds an embedding without values")
    if not set(map(type, values)) <= {int, float}:
        raise bad_reply("Gemini's reply holds an embedding of other things than numbers")
    if not packed:
        return values
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except OverflowError:
        raise bad_reply("Gemini's reply holds an embedding of numbers beyond 32 bits") from None
