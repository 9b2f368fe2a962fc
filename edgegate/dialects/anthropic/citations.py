"""Citations of a text block and the chat's annotations. What names a web address becomes OpenAI's `url_citation`; places in
a document that the client sent have no counterpart there and keep Anthropic's name. Both keep every field of the original,
so that they come back whole."""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json


def annotation(citation: Json, start: int, end: int) -> Json:
    """`start` and `end` are the places, in characters of the answer's text, of the block that cites."""
    kind = citation.get("type")
    url = citation.get("url")
    if kind == "web_search_result_location" and isinstance(url, str):
        more = {name: value for name, value in citation.items() if name not in ("type", "url", "title")}
        cited = {"url": url, "title": citation.get("title") or "", "start_index": start, "end_index": end, **more}
        return {"type": "url_citation", "url_citation": cited}
    name = kind if isinstance(kind, str) else "citation"
    return {"type": name, name: {**citation, "start_index": start, "end_index": end}}


def citation(annotation: Any) -> Json | None:
    """The citation for an annotation of whatever provider; None if it names no source."""
    kind = annotation.get("type") if isinstance(annotation, dict) else None
    inner = annotation.get(kind) if isinstance(kind, str) else None
    if not isinstance(inner, dict):
        return None
    rest = {name: value for name, value in inner.items() if name not in ("start_index", "end_index")}
    if kind != "url_citation":
        return {**rest, "type": kind} if "cited_text" in rest else None
    if not isinstance(rest.get("url"), str):
        return None
    return {"type": "web_search_result_location", "cited_text": "", "encrypted_index": "", "title": None, **rest}
