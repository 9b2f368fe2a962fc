"""OpenAI-shaped embeddings <-> `/v2/embed`, and the vectors of Cohere's replies.

A request may hold Cohere's own fields: `input_type` (which Cohere requires: `search_document` where nothing is said),
`truncate`, `max_tokens`, `priority`, `output_dimension`, one `embedding_types`, `images`, `inputs`. Pictures beside texts, as parts in
`input`, become `inputs`.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json, Progress, WireRequest
from edgegate.dialects.cohere.errors import error_inside
from edgegate.dialects.cohere.usage import read_units
from edgegate.dialects.embedding import count_of, embeddings, is_vector, texts_of
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.errors import bad_request

_SAME = ("truncate", "max_tokens", "priority", "images", "inputs")
_READ = frozenset(("model", "input", "input_type", "encoding_format", "dimensions", "output_dimension", "embedding_types", *_SAME))
_TYPES = ("float", "int8", "uint8", "binary", "ubinary")
_DEFAULT = "search_document"


def embed_request(path: str, request: Json, model: str) -> WireRequest:
    """`encoding_format` is not passed on: numbers are asked for, and packed here."""
    body: Json = {"model": model}
    if _is_made_of_parts(request.get("input")):
        body["inputs"] = [_input(item, f"input[{at}]") for at, item in enumerate(request["input"])]
    elif request.get("input") is not None or not (request.get("images") or request.get("inputs")):
        texts = texts_of(request)
        body["texts"] = [texts] if isinstance(texts, str) else texts
    mapped: list[str] = []
    kind = request.get("input_type")
    # other vendors say query and document for the same two
    body["input_type"] = {"query": "search_query", "document": _DEFAULT}.get(kind, kind) if isinstance(kind, str) else kind or _DEFAULT
    if body["input_type"] != kind:
        mapped.append("input_type")
    body["embedding_types"] = [_kind(request)]
    size = request.get("output_dimension") if request.get("dimensions") is None else request["dimensions"]
    if size is not None:
        body["output_dimension"] = size
    body.update((name, request[name]) for name in _SAME if request.get(name) is not None)
    dropped = [name for name, value in request.items() if name not in _READ and value is not None]
    headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
    return WireRequest(path, orjson.dumps(body), headers, dropped, mapped)


def _kind(request: Json) -> str:
    """The type of number to ask for: OpenAI's reply has room for one."""
    given = request.get("embedding_types")
    if given is None or given in (["base64"], ["float", "base64"], ["base64", "float"]):
        return "float"
    if not isinstance(given, list) or len(given) != 1 or given[0] not in _TYPES:
        raise bad_request(
            "expected one of float, int8, uint8, binary, ubinary: the reply holds one vector for each input", "embedding_types"
        )
    return str(given[0])


def _is_made_of_parts(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _input(item: Any, where: str) -> Json:
    if isinstance(item, str):
        return {"content": [{"type": "text", "text": item}]}
    parts = item.get("content") if isinstance(item, dict) else None
    if isinstance(parts, list) and parts:
        return {"content": [_part(part, f"{where}.content[{at}]") for at, part in enumerate(parts)]}
    return {"content": [_part(item, where)]}


def _part(part: Any, where: str) -> Json:
    if isinstance(part, dict):
        text, image = part.get("text"), part.get("image_url", part.get("image"))  # Jina writes {"text"} and {"image"}
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str):
            return {"type": "image_url", "image_url": {"url": url}}
        if isinstance(text, str):
            return {"type": "text", "text": text}
    raise bad_request("expected a text or an image_url", where)


def whole_embeddings(request: Json, model: str, body: bytes, progress: Progress) -> bytes:
    """A plain reply -> OpenAI embeddings JSON."""
    vectors = read_embeddings(body, progress)
    wanted = count_of(request) if request.get("input") is not None else _pictures(request)
    if len(vectors) != wanted or not all(is_vector(vector) for vector in vectors):
        raise bad_reply("Cohere's reply does not hold one vector for each input")
    progress.model = progress.model or model
    try:
        return embeddings(request, model, vectors, progress.usage)
    except OverflowError:
        raise bad_reply("Cohere's reply holds a number that float32 cannot") from None


def _pictures(request: Json) -> int:
    given = [request.get(name) for name in ("images", "inputs")]
    return sum(len(value) for value in given if isinstance(value, list))


def read_embeddings(body: bytes, progress: Progress) -> list[Any]:
    """The vectors of a plain reply, of the first type that is there, and its usage. Version 1 answers a list alone where no
    types were asked for."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Cohere's reply is no JSON object")
    given = reply.get("embeddings")
    if isinstance(given, dict):
        given = next((given[kind] for kind in (*_TYPES, "base64") if isinstance(given.get(kind), list)), None)
    if not isinstance(given, list):
        raise error_inside(reply)
    read_units(reply.get("meta"), progress.usage)
    progress.started = progress.finished = True
    return given
