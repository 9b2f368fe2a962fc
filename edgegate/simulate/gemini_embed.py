"""Google's embeddings: embedContent and batchEmbedContents of the Gemini API, predict of Vertex AI."""

from __future__ import annotations

from typing import Any

from edgegate.simulate.gemini_fields import field
from edgegate.simulate.mind import count, embedding
from edgegate.simulate.vendor import Asked, Json, Reply, Whole, need


def embed(asked: Asked) -> Reply:
    """POST .../models/{model}:embedContent"""
    return Whole({"embedding": _embedding(asked.body, asked.model)})


def batch_embed(asked: Asked) -> Reply:
    """POST .../models/{model}:batchEmbedContents"""
    requests = asked.body.get("requests")
    need(isinstance(requests, list) and bool(requests), "* BatchEmbedContentsRequest.requests: at least one request is required")
    for one in requests or []:
        need(
            one.get("model") == f"models/{asked.model}",
            f"* BatchEmbedContentsRequest.requests[0].model: unexpected model {one.get('model')!r}, expected models/{asked.model}",
        )
    total = sum(count(text_of(field(one, "content") or {})) for one in requests or [])
    return Whole({"embeddings": [_embedding(one, asked.model) for one in requests or []], "usageMetadata": {"promptTokenCount": total}})


def predict(asked: Asked) -> Reply:
    """POST .../publishers/google/models/{model}:predict"""
    for name in asked.body:
        need(name in ("instances", "parameters"), f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    instances = asked.body.get("instances")
    need(isinstance(instances, list) and bool(instances), "Empty instances.")
    size = field(asked.body.get("parameters"), "outputDimensionality") or 768
    made: list[Json] = []
    for one in instances or []:
        text = one.get("content")
        need(isinstance(text, str) and bool(text), "The text content is empty.")
        statistics = {"truncated": False, "token_count": count(text)}
        made.append({"embeddings": {"values": embedding(text, int(size)), "statistics": statistics}})
    characters = sum(len(one["content"]) for one in instances or [])
    return Whole({"predictions": made, "metadata": {"billableCharacterCount": characters}})


def _embedding(body: Json, name: str) -> Json:
    content = field(body, "content")
    need(isinstance(content, dict) and bool(content.get("parts")), "* EmbedContentRequest.content: contents is not specified")
    size = (
        field(body, "outputDimensionality")
        or field(field(body, "embedContentConfig"), "outputDimensionality")
        or (3072 if "embedding" in name else 768)
    )
    return {"values": embedding(text_of(content), int(size))}


def text_of(content: Any) -> str:
    """The text of a content, without what was thought."""
    if isinstance(content, str):
        return content
    parts = content.get("parts") if isinstance(content, dict) else content
    parts = parts if isinstance(parts, list) else [parts]
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict) and not part.get("thought"))
