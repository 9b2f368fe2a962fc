"""Citations as the chat's annotations: of the web as `url_citation`, of documents in Anthropic's words, whose clients read
them, since the places that Converse knows are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.anthropic.citations import annotation
from edgegate.dialects.base import Json

_PLACES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "documentChar": (
        "char_location",
        {"documentIndex": "document_index", "start": "start_char_index", "end": "end_char_index"},
    ),
    "documentPage": (
        "page_location",
        {"documentIndex": "document_index", "start": "start_page_number", "end": "end_page_number"},
    ),
    "documentChunk": (
        "content_block_location",
        {"documentIndex": "document_index", "start": "start_block_index", "end": "end_block_index"},
    ),
    "searchResultLocation": (
        "search_result_location",
        {"searchResultIndex": "search_result_index", "start": "start_block_index", "end": "end_block_index"},
    ),
}


def annotation_of(citation: Json, start: int, end: int) -> Json:
    """`start` and `end` are the places, in characters of the answer's text, that it is about."""
    given = citation.get("sourceContent")
    content: list[Any] = given if isinstance(given, list) else []
    texts = [item["text"] for item in content if isinstance(item, dict) and isinstance(item.get("text"), str)]
    cited: Json = {"cited_text": "".join(texts)}
    where = citation.get("location")
    location: Json = where if isinstance(where, dict) else {}
    web = location.get("web")
    title, source = citation.get("title"), citation.get("source")
    if isinstance(web, dict) and isinstance(web.get("url"), str):
        more = {"domain": web["domain"]} if isinstance(web.get("domain"), str) else {}
        found = {"url": web["url"], "title": title if isinstance(title, str) else "", "start_index": start, "end_index": end}
        return {"type": "url_citation", "url_citation": {**found, **({"cited_text": cited["cited_text"]} if texts else {}), **more}}
    for name, (kind, fields) in _PLACES.items():
        place = location.get(name)
        if isinstance(place, dict):
            cited |= {"type": kind, **{ours: place[theirs] for theirs, ours in fields.items() if theirs in place}}
            break
    search = cited.get("type") == "search_result_location"
    if isinstance(title, str):
        cited["title" if search else "document_title"] = title
    if isinstance(source, str):
        cited["source"] = source
    return annotation(cited, start, end)
