"""Cohere's citations and the chat's annotations, both ways; every field of the original comes back.

A citation is `{start, end, text, sources: [{type: document | tool, id, document | tool_output}]}`. One whose source has a web
address becomes OpenAI's `url_citation`, any other keeps the name `citation`. Of other vendors' annotations the span and the
source are told in Cohere's words.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json

_SPAN = ("start_index", "end_index")


def annotation(citation: Any) -> Json | None:
    if not isinstance(citation, dict):
        return None
    kept = {name: value for name, value in citation.items() if name not in ("start", "end")}
    kept["start_index"], kept["end_index"] = _place(citation.get("start")), _place(citation.get("end"))
    sources = citation.get("sources")
    for source in sources if isinstance(sources, list) else ():
        about = (source.get("document") or source.get("tool_output")) if isinstance(source, dict) else None
        if isinstance(about, dict) and isinstance(about.get("url"), str):
            title = about.get("title")
            return {"type": "url_citation", "url_citation": {**kept, "url": about["url"], "title": title if isinstance(title, str) else ""}}
    return {"type": "citation", "citation": kept}


def noted(citations: Any) -> list[Json]:
    return [note for item in citations if (note := annotation(item)) is not None] if isinstance(citations, list) else []


def citation(note: Any, text: str) -> Json | None:
    """The citation for an annotation of whatever provider. `text` is the answer so far, which the span counts in."""
    kind = note.get("type") if isinstance(note, dict) else None
    inner = note.get(kind) if isinstance(kind, str) else None
    if not isinstance(inner, dict):
        return None
    span = {"start": _place(inner.get("start_index")), "end": _place(inner.get("end_index"))}
    if isinstance(inner.get("sources"), list):
        made = ("url", "title") if kind == "url_citation" else ()
        return {**span, **{name: value for name, value in inner.items() if name not in _SPAN and name not in made}}
    about = {name: value for name, value in inner.items() if name not in _SPAN}
    id = about.get("url") or about.get("document_title") or about.get("file_id") or about.get("title") or ""
    said = text[span["start"] : span["end"]]
    return {**span, "text": said, "sources": [{"type": "document", "id": str(id), "document": about}], "type": "TEXT_CONTENT"}


def own(notes: Any) -> list[Json]:
    """Of the annotations of a turn in the history those that Cohere made, as it takes them back."""
    found = []
    for note in notes if isinstance(notes, list) else ():
        kind = note.get("type") if isinstance(note, dict) else None
        inner = note.get(kind) if isinstance(kind, str) else None
        if isinstance(inner, dict) and isinstance(inner.get("sources"), list) and (cited := citation(note, "")) is not None:
            found.append(cited)
    return found


def _place(value: Any) -> int:
    return value if type(value) is int else 0
