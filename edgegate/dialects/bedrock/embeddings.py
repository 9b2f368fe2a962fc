"""Embeddings by InvokeModel, which takes each maker's own body: Titan's, Nova's and Cohere's.

Titan and Nova embed one text a call, and one request here is one call: several inputs are a 400 that says so.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json, Progress, WireRequest
from edgegate.dialects.bedrock.errors import inner_error, kind_inside, message_inside
from edgegate.dialects.bedrock.families import base_id, path_of
from edgegate.dialects.chat import count
from edgegate.dialects.embedding import count_of, embeddings, is_vector, texts_of
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.errors import bad_request

_COHERE = ("input_type", "truncate", "max_tokens")
_JSON = [(b"content-type", b"application/json"), (b"accept", b"application/json")]


def embed_request(request: Json, model: str) -> WireRequest:
    id = base_id(model)
    texts = texts_of(request)
    used = {"model", "input", "encoding_format", "dimensions"}
    dimensions = request.get("dimensions")
    dropped: list[str] = []
    if id.startswith("cohere."):
        body: Json = {"texts": [texts] if isinstance(texts, str) else texts, "input_type": "search_document"}
        body |= {name: request[name] for name in _COHERE if request.get(name) is not None}
        body["embedding_types"] = ["float"]
        if dimensions is not None:
            if "embed-v4" in id:
                body["output_dimension"] = dimensions
            else:
                dropped.append("dimensions")
        used.update(_COHERE)
    elif id.startswith("amazon.nova"):
        parameters: Json = {"embeddingPurpose": "GENERIC_INDEX", "text": {"truncationMode": "END", "value": _only(texts)}}
        if dimensions is not None:
            parameters["embeddingDimension"] = dimensions
        body = {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": parameters}
    elif id.startswith("amazon.titan-embed"):
        body = {"inputText": _only(texts)}
        if "embed-image" in id:
            if dimensions is not None:
                body["embeddingConfig"] = {"outputEmbeddingLength": dimensions}
        elif "text-v1" in id or "g1-text" in id:
            dropped += ["dimensions"] if dimensions is not None else []
        else:
            if dimensions is not None:
                body["dimensions"] = dimensions
            if isinstance(request.get("normalize"), bool):
                body["normalize"] = request["normalize"]
            used.add("normalize")
    else:
        raise bad_request(
            "this provider embeds with models of the amazon.titan-embed, amazon.nova and cohere.embed families",
            "model",
            code="unsupported_operation",
        )
    dropped += [name for name, value in request.items() if name not in used and value is not None]
    return WireRequest(path_of(model, "invoke"), orjson.dumps(body), list(_JSON), dropped)


def embedded(request: Json, model: str, body: bytes, progress: Progress) -> bytes:
    """Cohere's replies have no token count in the body."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Bedrock's reply is no JSON object")
    vectors = [vector for vector in _vectors(reply) if is_vector(vector)]
    if len(vectors) != count_of(request):
        kind, said = kind_inside(reply), message_inside(reply)
        raise inner_error(kind, said) if kind or said else bad_reply("Bedrock's reply does not hold one vector for each input")
    if reply.get("inputTextTokenCount") is not None:
        progress.usage.input_tokens = count(reply["inputTextTokenCount"])
        progress.usage.reported = True
    progress.model = model
    progress.started = progress.finished = True
    try:
        return embeddings(request, model, vectors, progress.usage)
    except OverflowError:
        raise bad_reply("Bedrock's reply holds a number that float32 cannot") from None


def _vectors(reply: Json) -> list[Any]:
    """Titan: one `embedding`. Cohere: a list of `embeddings`, or lists by type. Nova: objects with an `embedding` each."""
    given = reply.get("embeddings")
    if isinstance(given, dict):
        given = given.get("float")
    if isinstance(given, list):
        return [item.get("embedding") if isinstance(item, dict) else item for item in given]
    return [reply.get("embedding")]


def _only(texts: str | list[str]) -> str:
    if isinstance(texts, str):
        return texts
    if len(texts) != 1:
        raise bad_request("this model embeds one text a request: send one input at a time", "input")
    return texts[0]
