"""Cohere's endpoints that are no chat: embed, rerank and models, of v2 and of v1."""

from __future__ import annotations

import base64
import struct
from typing import Any

from edgegate.simulate.cohere import refuse_unknown, uuid_of
from edgegate.simulate.mind import count, embedding
from edgegate.simulate.strict import fields
from edgegate.simulate.vendor import Asked, Json, Refusal, Reply, Whole, need

MODELS = ("command-a-03-2025", "command-a-reasoning-08-2025", "command-r", "embed-v4.0", "rerank-v3.5")
_EMBED = fields("texts images model input_type inputs max_tokens output_dimension embedding_types truncate priority")
_RERANK = fields("model query documents top_n max_tokens_per_doc priority")
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")


def embed(asked: Asked) -> Reply:
    """POST /v2/embed"""
    refuse_unknown(asked.body, _EMBED)
    need(asked.body.get("input_type") in _INPUT_TYPES, "invalid request: valid input_type must be provided with the provided model")
    return _embed(asked, list(asked.body.get("embedding_types") or ["float"]))


def old_embed(asked: Asked) -> Reply:
    """POST /v1/embed: without `embedding_types` the vectors stand in a list of their own"""
    return _embed(asked, list(asked.body.get("embedding_types") or []))


def _embed(asked: Asked, kinds: list[str]) -> Reply:
    body = asked.body
    need(bool(asked.model), "invalid request: model is required")
    texts = _texts(body)
    size = body.get("output_dimension") or 1536
    need(size in (256, 384, 512, 768, 1024, 1536), "invalid request: output_dimension must be one of 256, 512, 1024, 1536")
    vectors = [embedding(text, size) for text in texts]
    made: Any = {kind: [_as(kind, vector) for vector in vectors] for kind in kinds} if kinds else vectors
    meta = {"api_version": {"version": "2" if kinds else "1"}, "billed_units": {"input_tokens": sum(map(count, texts))}}
    kind = "embeddings_by_type" if kinds else "embeddings_floats"
    return Whole({"id": uuid_of(repr(texts)), "texts": texts, "embeddings": made, "meta": meta, "response_type": kind})


def _texts(body: Json) -> list[str]:
    texts = body.get("texts")
    if texts is None and body.get("inputs"):
        texts = ["".join(str(part.get("text", "")) for part in one["content"]) for one in body["inputs"]]
    if texts is None:
        texts = body.get("images")
    need(isinstance(texts, list) and bool(texts), "invalid request: at least one of texts, images or inputs must be provided")
    assert isinstance(texts, list)
    need(len(texts) <= 96, f"invalid request: total number of texts must be at most 96 - received {len(texts)}")
    need(all(isinstance(text, str) for text in texts), "invalid request: texts must be strings")
    return texts


def _as(kind: str, vector: list[float]) -> Any:
    if kind == "float":
        return vector
    if kind == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    need(kind in ("int8", "uint8", "binary", "ubinary"), f"invalid request: embedding type {kind!r} is not valid")
    if kind in ("int8", "uint8"):
        whole = [max(-128, min(127, round(value * 127))) for value in vector]
        return whole if kind == "int8" else [value + 128 for value in whole]
    packed = [sum(1 << (7 - bit) for bit in range(8) if vector[at + bit] > 0) for at in range(0, len(vector) - 7, 8)]
    return packed if kind == "ubinary" else [value - 128 for value in packed]


def rerank(asked: Asked) -> Reply:
    """POST /v2/rerank and /v1/rerank: the more words a document shares with the query, the more relevant it is"""
    body = asked.body
    old = "return_documents" in body or "rank_fields" in body or "max_chunks_per_doc" in body
    if not old:
        refuse_unknown(body, _RERANK)
    need(bool(asked.model), "invalid request: model is required")
    need(isinstance(body.get("query"), str), "invalid request: query is required")
    documents = body.get("documents")
    need(isinstance(documents, list) and bool(documents), "invalid request: documents must not be empty")
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in documents or []]
    query = embedding(body["query"], 512)
    scores = [max(0.0, sum(a * b for a, b in zip(query, embedding(text, 512), strict=True))) for text in texts]
    order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))[: body.get("top_n") or len(texts)]
    results: list[Json] = [{"index": at, "relevance_score": round(scores[at], 7)} for at in order]
    if body.get("return_documents"):
        results = [one | {"document": {"text": texts[one["index"]]}} for one in results]
    return Whole(
        {"id": uuid_of(repr(texts)), "results": results, "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}}
    )


def models(asked: Asked) -> Reply:
    """GET /v1/models"""
    return Whole({"models": [_model(name) for name in MODELS]})


def model(asked: Asked) -> Reply:
    """GET /v1/models/{model}"""
    if asked.model not in MODELS:
        raise Refusal(404, model=asked.model)
    return Whole(_model(asked.model))


def _model(name: str) -> Json:
    kind = "embed" if name.startswith("embed") else "rerank" if name.startswith("rerank") else "chat"
    return {"name": name, "endpoints": [kind], "finetuned": False, "context_length": 128000, "tokenizer_url": "", "default_endpoints": []}
