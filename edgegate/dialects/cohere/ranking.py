"""Rerank as apps ask for it, in the neutral form and back.

The neutral form is version 2's. Version 1 and Jina add: documents as objects (`{"text": ...}`, or fields chosen by `rank_fields`),
`return_documents`, and Voyage `top_k` for `top_n`. Documents are given back from the request, as they came: no provider need repeat them.
What Jina's and Voyage's clients read beside `results` (`model`, `usage.total_tokens`, the same results as `data`) is added for
them, where it is version 1's path that they asked.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.chat import count
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.errors import bad_request

_SAID = frozenset(("query", "documents", "return_documents", "top_n", "top_k", "rank_fields"))


def neutral_rerank(request: Json) -> Json:
    """The neutral request for one that passed `check_rerank`."""
    fields = request.get("rank_fields") or []
    neutral: Json = {name: value for name, value in request.items() if name not in _SAID and value is not None}
    neutral["query"] = _text(request["query"], [], "query")
    neutral["documents"] = [_text(document, fields, f"documents[{at}]") for at, document in enumerate(request["documents"])]
    most = request.get("top_n") if request.get("top_n") is not None else request.get("top_k")
    if most is not None:
        neutral["top_n"] = most
    return neutral


def _text(document: Any, fields: list[str], at: str) -> str:
    """A document as one text. Structured ones become `name: value` lines, as Cohere recommends (YAML)."""
    if isinstance(document, str):
        return document
    if not fields and isinstance(document.get("text"), str):
        return str(document["text"])
    if isinstance(document.get("image"), str) or "image_url" in document:
        raise bad_request(f"invalid request: {at} must be text", at)
    chosen = [name for name in fields if name in document] or ([] if fields else list(document))
    if not chosen:
        raise bad_request(f"invalid request: {at} must be text or hold the rank_fields", at)
    lines = []
    for name in chosen:
        value = document[name]
        lines.append(f"{name}: {value if isinstance(value, str) else orjson.dumps(value).decode()}")
    return "\n".join(lines)


def rerank_answer(request: Json, reply: bytes) -> bytes:
    """The neutral reply, with what it lacks and the documents if they were asked for."""
    value = parsed(reply)
    results = value.get("results") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(results, list):
        raise bad_reply("the reply holds no results")
    given = request["documents"]
    # not every provider knows how many are wanted
    most = request.get("top_n") if request.get("top_n") is not None else request.get("top_k")
    if most is not None and most > 0:
        results = results[:most]
    if request.get("return_documents"):
        results = [{**result, "document": _document(given[result["index"]])} for result in results if _known(result, given)]
    meta = value.get("meta")
    meta = {"api_version": {"version": "2"}, **(meta if isinstance(meta, dict) else {})}
    return orjson.dumps({**value, "results": results, "meta": meta})


def loose_answer(request: Json, reply: bytes) -> bytes:
    """The same, with the words of others beside Cohere's."""
    value = orjson.loads(rerank_answer(request, reply))
    tokens = value["meta"].get("tokens")
    total = sum(count(number) for number in tokens.values()) if isinstance(tokens, dict) else 0
    beside: Json = {"model": request["model"], "usage": {"total_tokens": total}}
    if request.get("top_k") is not None or request.get("truncation") is not None:  # Voyage's
        beside.update(object="list", data=value["results"])
    return orjson.dumps({**value, **beside})


def _known(result: Any, documents: list[Any]) -> bool:
    index = result.get("index") if isinstance(result, dict) else None
    return type(index) is int and 0 <= index < len(documents)


def _document(document: Any) -> Json:
    return {"text": document} if isinstance(document, str) else document
