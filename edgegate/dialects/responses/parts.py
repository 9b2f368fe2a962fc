"""Parts of the chat's messages as the Responses API takes them in what is asked and in results of tools.

Its own parts (`input_text`, ...) go as they are. A part that cannot be sent (audio, video) is an error: leaving out what the
question is about would change the answer. What only another vendor has words for is told as text where it is text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.chat import data_url
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_record, told
from edgegate.errors import bad_request

OWN_PARTS = frozenset(("input_text", "input_image", "input_file"))
_NAMES: Mapping[str, str] = {"application/pdf": "document.pdf", "text/plain": "document.txt", "text/csv": "document.csv"}
"""File names for files without: OpenAI reads the kind of a file from its name."""

_FILE = ("file_data", "file_id", "file_url", "filename", "detail")


def parts_in(content: Any, at: str, losses: Losses) -> str | list[Json]:
    """Content of a user, system or tool message. `at` is its path for errors."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = []
    for number, part in enumerate(content):
        if isinstance(part, dict) and (made := _part(part, f"{at}[{number}]", losses)) is not None:
            parts.append(made)
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text  # a string is understood by all that imitate this API, a list of parts is not
    return parts or ""


def _part(part: Json, at: str, losses: Losses) -> Json | None:
    kind = part.get("type")
    if not isinstance(kind, str):
        kind = ""
    if kind in OWN_PARTS:
        return part
    mark = part.get("prompt_cache_breakpoint")
    made = _translated(part, kind, at, losses)
    if made is not None and mark is not None:
        made["prompt_cache_breakpoint"] = mark
    if part.get("cache_control") is not None:
        losses.drop("cache_control")
    return made


def _translated(part: Json, kind: Any, at: str, losses: Losses) -> Json | None:
    if kind in ("text", "refusal") and isinstance(part.get(kind), str):
        return {"type": "input_text", "text": part[kind]}
    if kind == "image_url":
        return _image(part.get("image_url"), at)
    if kind == "file" and isinstance(part.get("file"), dict):
        return _file(part["file"])
    text = told(part)
    if text is not None:
        return {"type": "input_text", "text": text}
    if is_record(kind):
        losses.drop(f"content.{kind}")
        return None
    raise bad_request(f"This provider cannot take content of type '{str(kind)[:40]}'.", at, code="unsupported_value")


def _image(image: Any, at: str) -> Json:
    if isinstance(image, str):
        image = {"url": image}
    if not isinstance(image, dict) or not (image.get("url") or image.get("file_id")):
        raise bad_request("expected an image's URL or file id", f"{at}.image_url")
    made: Json = {"type": "input_image", "detail": image.get("detail") or "auto"}
    if image.get("url"):
        made["image_url"] = image["url"]
    else:
        made["file_id"] = image["file_id"]
    return made


def _file(file: Json) -> Json:
    made: Json = {"type": "input_file"}
    made.update((name, file[name]) for name in _FILE if file.get(name) is not None)
    data = file.get("file_data")
    if isinstance(data, str) and "filename" not in made:
        found = data_url(data)
        made["filename"] = _NAMES.get(found[0] if found else "", "document.pdf")
    return made
