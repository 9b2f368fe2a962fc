"""Grounding and citation metadata -> `annotations` (OpenAI's `url_citation`).

Gemini's segments are measured in bytes of the part's text, OpenAI's in characters. URL context reports them one off
(gemini/generate-builtin-reasoning-ea216686), so the segment's own text is what is searched for; the numbers only say where
to begin. Sources without an address (file search) have no place in an annotation and are left out.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json

_SLACK = 8


def annotations_of(candidate: Json, text: str) -> list[Json]:
    """The citations of one candidate, whose whole text is `text`."""
    found: list[Json] = []
    grounding = candidate.get("groundingMetadata")
    if isinstance(grounding, dict):
        chunks = _dicts(grounding.get("groundingChunks"), keep=True)
        for support in _dicts(grounding.get("groundingSupports")):
            span = _span(support.get("segment"), text)
            indices = support.get("groundingChunkIndices")
            for at in indices if isinstance(indices, list) else []:
                if isinstance(at, int) and 0 <= at < len(chunks):
                    source: Json = next(
                        (chunks[at][kind] for kind in ("web", "retrievedContext", "maps") if isinstance(chunks[at].get(kind), dict)), {}
                    )
                    _cite(found, span, source)
    citations = candidate.get("citationMetadata")
    if isinstance(citations, dict):
        for source in _dicts(citations.get("citations") or citations.get("citationSources")):
            _cite(found, _span(source, text), source)
    return found


def _cite(found: list[Json], span: tuple[int, int], source: Json) -> None:
    url = source.get("uri")
    if isinstance(url, str) and url:
        title = source.get("title") or source.get("domain") or ""
        found.append(
            {"type": "url_citation", "url_citation": {"start_index": span[0], "end_index": span[1], "url": url, "title": str(title)}}
        )


def _span(segment: Any, text: str) -> tuple[int, int]:
    """(start, end) of a segment, in characters of `text`."""
    if not isinstance(segment, dict):
        return 0, len(text)
    start, end, said = segment.get("startIndex", 0), segment.get("endIndex", 0), segment.get("text")
    begin = _characters(text, start)
    if isinstance(said, str) and said:
        at = text.find(said, max(0, begin - _SLACK))
        if at < 0:
            at = text.find(said)
        if at >= 0:
            return at, at + len(said)
    return begin, max(begin, _characters(text, end))


def _characters(text: str, offset: Any) -> int:
    """A byte offset as a character offset, within the text."""
    if not isinstance(offset, int) or offset <= 0:
        return 0
    return min(offset, len(text)) if text.isascii() else len(text.encode()[:offset].decode("utf-8", "ignore"))


def _dicts(value: Any, *, keep: bool = False) -> list[Json]:
    """The objects of a list; `keep` leaves an empty one where something else stood, so that positions stay."""
    items = value if isinstance(value, list) else []
    return [item if isinstance(item, dict) else {} for item in items] if keep else [item for item in items if isinstance(item, dict)]
