"""Content parts and annotations of Responses requests and replies as the chat has them, and annotations back.

Keys that have no word of their own (`prompt_cache_breakpoint`) stay beside; parts of other types stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Json

_FILE = ("file_data", "file_id", "file_url", "filename", "detail")
_OWN_NOTES = ("file_citation", "container_file_citation", "file_path")  # as flat in the chat; those of other vendors are nested
_URL_CITATION: Mapping[str, Any] = {"url": "", "title": "", "start_index": 0, "end_index": 0}


def chat_part(part: Json) -> Json:
    """An input or output part as a part of the chat. Its annotations are not: see `chat_annotations`."""
    kind = part["type"]
    if kind in ("input_text", "output_text", "summary_text", "reasoning_text"):
        return {"type": "text", "text": part["text"], **_rest(part, "text", "annotations", "logprobs")}
    if kind == "input_image" and part.get("image_url") is not None:
        image = {"url": part["image_url"]}
        if part.get("detail") is not None:
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image, **_rest(part, "image_url", "detail")}
    if kind == "input_file":
        file = {name: part[name] for name in _FILE if part.get(name) is not None}
        return {"type": "file", "file": file, **_rest(part, *_FILE)}
    return part


def chat_content(content: str | list[Json]) -> str | list[Json]:
    """One piece of plain text as a string, which every provider takes; a list of parts otherwise."""
    if isinstance(content, str):
        return content
    parts = [chat_part(part) for part in content]
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text" else parts


def chat_annotations(part: Json, before: int) -> list[Json]:
    """The annotations of an output part. `before`: characters of the answer in front of it."""
    found = []
    for note in part.get("annotations") or []:
        kind = note.get("type") if isinstance(note, dict) else None
        if not isinstance(kind, str):
            continue
        moved = _moved({name: value for name, value in note.items() if name != "type"}, before)
        found.append({"type": kind, **moved} if kind in _OWN_NOTES else {"type": kind, kind: moved})
    return found


def flat_annotation(note: Any, before: int = 0) -> Json | None:
    """An annotation of the chat as Responses has it, flat; None if it is none. `before`: as above, to be taken off."""
    kind = note.get("type") if isinstance(note, dict) else None
    if not isinstance(kind, str):
        return None
    inner = note.get(kind)
    flat = _moved({**inner, "type": kind} if isinstance(inner, dict) else dict(note), -before)
    if kind == "url_citation":
        flat = {**_URL_CITATION, **{name: value for name, value in flat.items() if value is not None}}
    return flat


def _moved(note: Json, by: int) -> Json:
    for name in ("start_index", "end_index"):
        if isinstance(note.get(name), int):
            note[name] = max(note[name] + by, 0)
    return note


def _rest(part: Json, *said: str) -> Json:
    return {name: value for name, value in part.items() if name != "type" and name not in said and value is not None}
