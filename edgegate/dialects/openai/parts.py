"""Content parts as an OpenAI-shaped provider takes them."""

from __future__ import annotations

from edgegate.dialects.base import Json

PARTS = frozenset(("text", "refusal", "image_url", "input_audio", "file"))
MORE_PARTS = frozenset(("video_url", "audio_url"))
"""Parts that some providers take beyond OpenAI's: `Quirks.keeps` says which."""


def file_part(part: Json, keeps: frozenset[str]) -> Json | None:
    """A file as the provider takes it; None if it cannot: OpenAI's chat has no files by address. OpenRouter takes an address
    in the place of the data."""
    file = part.get("file")
    url = file.get("file_url") if isinstance(file, dict) else None
    if not isinstance(file, dict) or not isinstance(url, str):
        return part
    if url.startswith("data:") or "file_url" in keeps:
        rest = {name: value for name, value in file.items() if name != "file_url"}
        return {**part, "file": {"filename": "document.pdf", **rest, "file_data": url}}
    return None
