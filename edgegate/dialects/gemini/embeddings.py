"""OpenAI-shaped embeddings <-> `:embedContent` (one input) and `:batchEmbedContents` (a list).

An input is text, or, from clients of Gemini's (see `embed_client.py`), a list of content parts: Gemini's newest model embeds
pictures and sound too. Google's own settings come under their own names; `requests` holds those that differ between inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from edgegate.dialects.base import Json, Progress
from edgegate.dialects.chat import count
from edgegate.dialects.embedding import embeddings, is_vector
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.gemini.media import part_of
from edgegate.dialects.gemini.names import path_of
from edgegate.dialects.gemini.reading import parse
from edgegate.dialects.losses import Losses
from edgegate.errors import bad_request

SETTINGS = ("taskType", "title", "outputDimensionality")
"""What Gemini lets be set for each input; `dimensions` is the chat's word for the last."""

_READ = frozenset(("model", "input", "dimensions", "encoding_format", "requests", *SETTINGS))


def embed_body(request: Json, model: str) -> tuple[str, bytes, list[str]]:
    """(path, body, dropped)."""
    dropped = [name for name, value in request.items() if name not in _READ and value is not None]
    items = list(embed_items(request, SETTINGS))
    if not isinstance(request.get("input"), list):
        return path_of(model, "embedContent"), orjson.dumps(items[0]), dropped
    path = path_of(model, "batchEmbedContents")
    name = model if "/" in model else f"models/{model}"
    return path, orjson.dumps({"requests": [{"model": name, **item} for item in items]}), dropped


def embed_items(request: Json, settings: tuple[str, ...]) -> Iterator[Json]:
    """`{content, and what is set}` for each input."""
    if request.get("encoding_format") not in (None, "float", "base64"):
        raise bad_request("expected float or base64", "encoding_format")
    given = request.get("input")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise bad_request("expected a string or a list of at least one string", "input")
    common = {name: request[name] for name in settings if request.get(name) is not None}
    if request.get("dimensions") is not None:
        common["outputDimensionality"] = request["dimensions"]
    single = request.get("requests")
    for at, item in enumerate(given):
        own = single[at] if isinstance(single, list) and at < len(single) and isinstance(single[at], dict) else {}
        yield {"content": {"parts": _parts(item, f"input[{at}]")}, **common, **{name: own[name] for name in settings if name in own}}


def _parts(item: Any, where: str) -> list[Json]:
    if isinstance(item, str):
        return [{"text": item}]
    if not isinstance(item, list) or not item or not all(isinstance(part, dict) for part in item):
        raise bad_request("expected text: Gemini takes no tokens", where)
    made = [part_of(part, f"{where}[{at}]", Losses()) for at, part in enumerate(item)]
    return [part for part in made if part is not None] or [{"text": ""}]


def embed_reply(request: Json, model: str, body: bytes, progress: Progress) -> bytes:
    """The reply as OpenAI's list. Raises when it is an error or holds another number of vectors than there were inputs."""
    reply = parse(body)
    found = [reply["embedding"]] if "embedding" in reply else reply.get("embeddings")
    vectors = [item.get("values") if isinstance(item, dict) else None for item in found] if isinstance(found, list) else []
    meta = reply.get("usageMetadata")
    tokens = count(meta.get("promptTokenCount")) if isinstance(meta, dict) else None
    return vectors_reply(request, model, vectors, tokens, progress)


def vectors_reply(request: Json, model: str, vectors: list[Any], tokens: int | None, progress: Progress) -> bytes:
    """OpenAI's list of `vectors`, which may be anything that stood in their place."""
    given = request.get("input")
    wanted = len(given) if isinstance(given, list) else 1
    if len(vectors) != wanted:
        raise bad_reply(f"Gemini's reply does not hold {wanted} embedding{'s' if wanted > 1 else ''}")
    if not all(is_vector(vector) for vector in vectors):
        raise bad_reply("Gemini's reply holds an embedding that is no list of numbers")
    if tokens is not None:
        progress.usage.input_tokens = tokens
        progress.usage.reported = True
    progress.model = model
    progress.started = progress.finished = True
    try:
        return embeddings(request, model, vectors, progress.usage)
    except OverflowError:
        raise bad_reply("Gemini's reply holds an embedding of numbers beyond 32 bits") from None
