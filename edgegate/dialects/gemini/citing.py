"""`annotations` -> grounding metadata: the way back from `grounding.py`. Offsets are characters there, bytes here."""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json


def grounding_of(annotations: Any, text: str) -> Json:
    """Sources as chunks, and which piece of `text` each supports; empty if nothing is cited. Sources of other kinds than
    addresses (files, documents) become retrieved contexts."""
    chunks: list[Json] = []
    supports: list[Json] = []
    places: dict[str, int] = {}
    for note in annotations if isinstance(annotations, list) else []:
        if not isinstance(note, dict):
            continue
        cited = note.get("url_citation")
        cited = cited if isinstance(cited, dict) else note
        chunk = _chunk(cited)
        if chunk is None:
            continue
        at = places.setdefault(repr(chunk), len(chunks))
        if at == len(chunks):
            chunks.append(chunk)
        segment = _segment(cited, text)
        if segment:
            supports.append({"segment": segment, "groundingChunkIndices": [at]})
    found: Json = {"groundingChunks": chunks} if chunks else {}
    if supports:
        found["groundingSupports"] = supports
    return found


def _chunk(cited: Json) -> Json | None:
    url = cited.get("url")
    title = next((cited[name] for name in ("title", "document_title", "filename", "file_id") if isinstance(cited.get(name), str)), "")
    if isinstance(url, str) and url:
        return {"web": {"uri": url, **({"title": title} if title else {})}}
    said = cited.get("cited_text")
    context: Json = {**({"title": title} if title else {}), **({"text": said} if isinstance(said, str) else {})}
    return {"retrievedContext": context} if context else None


def _segment(cited: Json, text: str) -> Json:
    start, end = cited.get("start_index"), cited.get("end_index")
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end <= len(text):
        return {}
    begin = len(text[:start].encode())
    piece = text[start:end]
    return {**({"startIndex": begin} if begin else {}), "endIndex": begin + len(piece.encode()), "text": piece}
