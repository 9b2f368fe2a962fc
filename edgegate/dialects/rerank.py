"""Ordering documents by relevance, as the providers that offer it ask for it and answer.

The neutral form is Cohere's version 2: request `{model, query, documents: [str], top_n?}`, reply `{id?, results: [{index,
relevance_score}], meta?}`. Most others copy it (Jina, Together, vLLM, DeepInfra); Voyage has names of its own. Replies are read
by what is in them, whatever the style: vLLM and Jina repeat the documents, text-embeddings-inference answers a list of
`{index, score}`, DeepInfra's own endpoint `{scores: [...]}`.

Only the OpenAI-shaped rows of `compat.py` and Cohere need this module; it knows no path.
"""

from __future__ import annotations

import enum
from typing import Any

import orjson

from edgegate.dialects.base import Json, Progress
from edgegate.dialects.chat import count
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.errors import bad_request, provider_error


class RerankStyle(enum.Enum):
    """Whose request is written."""

    COHERE = "cohere"  # {model, query, documents, top_n}
    VOYAGE = "voyage"  # {model, query, documents, top_k}


_CARRIED: dict[RerankStyle, dict[str, str]] = {
    RerankStyle.COHERE: {
        "top_n": "top_n",
        "max_tokens_per_doc": "max_tokens_per_doc",
        "relevant_spans": "relevant_spans",
        "priority": "priority",
    },
    RerankStyle.VOYAGE: {"top_n": "top_k", "truncation": "truncation"},
}
_READ = ("model", "query", "documents", "return_documents")


def rerank_body(style: RerankStyle, request: Json, model: str) -> tuple[Json, list[str]]:
    """(the request's body, names of what it has no room for). `return_documents` needs no provider: who asked has them."""
    query, documents = request.get("query"), request.get("documents")
    if not isinstance(query, str):
        raise bad_request("expected a string", "query")
    if not isinstance(documents, list) or not documents or not all(isinstance(text, str) for text in documents):
        raise bad_request("expected a list of strings that is not empty", "documents")
    body: Json = {"model": model, "query": query, "documents": documents}
    carried = _CARRIED[style]
    dropped = []
    for name, value in request.items():
        if value is None or name in _READ:
            continue
        if name in carried:
            body[carried[name]] = value
        else:
            dropped.append(name)
    return body, dropped


def rerank_reply(style: RerankStyle, body: bytes, progress: Progress) -> bytes:
    """A plain 200 reply -> the neutral one. Raises `GatewayError` for one that holds no results. Tokens, where they are
    counted, become the usage; what Cohere charges for is in `meta.billed_units.search_units`."""
    reply = parsed(body)
    fields: Json = reply if isinstance(reply, dict) else {"results": reply}
    given = fields.get("data" if style is RerankStyle.VOYAGE else "results")
    if not isinstance(given, list):
        given = next((fields[name] for name in ("results", "data") if isinstance(fields.get(name), list)), None)
    if given is None and isinstance(fields.get("scores"), list):
        given = [{"index": at, "relevance_score": score} for at, score in enumerate(fields["scores"])]
    if not isinstance(given, list):
        words = next((fields[name] for name in ("message", "detail", "error") if isinstance(fields.get(name), str)), "")
        raise provider_error(502, "provider_error", words) if words else bad_reply("the provider's reply holds no results")
    results = [_result(item) for item in given]
    results.sort(key=lambda result: -result["relevance_score"])
    value: Json = {"id": fields["id"]} if isinstance(fields.get("id"), str) else {}
    value["results"] = results
    meta = fields.get("meta")
    meta = dict(meta) if isinstance(meta, dict) else {}
    if _tokens(fields, meta, progress) and "tokens" not in meta:
        meta["tokens"] = {"input_tokens": progress.usage.input_tokens, "output_tokens": progress.usage.output_tokens}
    if meta:
        value["meta"] = meta
    if isinstance(fields.get("model"), str):
        progress.model = fields["model"]
    progress.started = progress.finished = True
    return orjson.dumps(value)


def _result(item: Any) -> Json:
    score = item.get("relevance_score", item.get("score")) if isinstance(item, dict) else None
    if type(score) not in (int, float) or type(item.get("index")) is not int or item["index"] < 0:
        raise bad_reply("the provider's reply holds a result without an index or a score")
    result: Json = {"index": item["index"], "relevance_score": score}
    if item.get("relevant_spans") is not None:
        result["relevant_spans"] = item["relevant_spans"]
    return result


def _tokens(fields: Json, meta: Json, progress: Progress) -> bool:
    """Takes over the tokens: Voyage's and Jina's `usage.total_tokens`, Together's `prompt_tokens`, Cohere's `meta.tokens`."""
    usage, tokens = fields.get("usage"), meta.get("tokens")
    if isinstance(usage, dict) and ("total_tokens" in usage or "prompt_tokens" in usage):
        progress.usage.output_tokens = count(usage.get("completion_tokens"))
        total = count(usage.get("total_tokens")) - progress.usage.output_tokens
        progress.usage.input_tokens = count(usage.get("prompt_tokens")) or max(total, 0)
    elif isinstance(tokens, dict):
        progress.usage.input_tokens = count(tokens.get("input_tokens"))
        progress.usage.output_tokens = count(tokens.get("output_tokens"))
    elif "input_tokens" in fields:  # DeepInfra
        progress.usage.input_tokens = count(fields["input_tokens"])
    else:
        return False
    progress.usage.reported = True
    return True
