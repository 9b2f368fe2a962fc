"""Content parts that are not plain text: images, audio, files, video.

Data goes inline, addresses as `fileData` (Google fetches them; it wants a media type, which is read off the address where
the caller does not say). What only Gemini has a word for comes back from `extra_content.google` (see `parts.py`). A part that
Gemini has no form for is a 400 that names it, but in a turn of the model's: the text beside it tells what came of it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from edgegate.dialects.base import Json
from edgegate.dialects.chat import data_url, text_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.sealed import is_sealed
from edgegate.errors import bad_request

_MEDIA_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif", "heic": "image/heic",
    "heif": "image/heif", "bmp": "image/bmp", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv",
    "html": "text/html", "json": "application/json", "mp3": "audio/mpeg", "mpga": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac",
    "ogg": "audio/ogg", "aac": "audio/aac", "aiff": "audio/aiff", "m4a": "audio/mp4", "opus": "audio/opus", "pcm16": "audio/pcm",
    "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mpeg": "video/mpeg", "mpg": "video/mpeg", "avi": "video/x-msvideo",
}  # fmt: skip

_VIDEO_HOSTS = ("youtu.be", "youtube.com", "www.youtube.com")


_OWN = frozenset(("executableCode", "codeExecutionResult", "toolCall", "toolResponse"))
"""Kinds of parts that the chat has no word for and carries as they are."""

ASIDE = frozenset((
    "videoMetadata", "mediaResolution", "partMetadata", "mediaProcessing", "audioTranscription", "speechMetadata", "documentMetadata",
    "spreadsheetMetadata", "audioMetadata",
))  # fmt: skip
"""Fields that a part may have beside its kind."""

_OVERRIDES = ("mimeType", "displayName")
"""Fields of a part's data, not of the part, among what only Gemini knows."""


def part_of(part: Json, where: str, losses: Losses, *, by_model: bool = False) -> Json | None:
    """One content part of a chat as a part of Gemini's; None for empty text. `where` is its path, for errors."""
    made = _part_of(part, where, losses, by_model)
    google = google_of(part)
    if not google:
        return made
    if made is None:
        if "thought_signature" not in google:
            return None
        made = {"text": ""}
    kind = next(iter(made))
    for name, value in google.items():
        if name == "thought_signature":
            if isinstance(value, str) and not is_sealed(value):
                made["thoughtSignature"] = value
        elif name in _OVERRIDES:
            if isinstance(made[kind], dict) and isinstance(value, str):
                made[kind][name] = value
        elif name in ASIDE:
            made.setdefault(name, value)
        else:
            losses.drop(f"content.{str(name)[:40]}")
    return made


def google_of(value: Json) -> Json:
    """`extra_content.google` of a message, a call or a part."""
    extra = value.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    return google if isinstance(google, dict) else {}


def _part_of(part: Json, where: str, losses: Losses, by_model: bool) -> Json | None:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get("text") or part.get("refusal")
        return {"text": str(text)} if text else None
    if kind in ("image_url", "video_url"):
        return _linked(part.get(kind), f"{where}.{kind}", losses)
    if kind == "input_audio":
        return _audio(part.get("input_audio"), f"{where}.input_audio")
    if kind == "file":
        return _file(part.get("file"), f"{where}.file")
    if kind == "image_generation_call" and isinstance(part.get("result"), str) and part["result"]:  # an item of Responses
        form = part.get("output_format")
        return _inline(f"image/{form if isinstance(form, str) and form else 'png'}", part["result"])
    if isinstance(kind, str) and kind in _OWN and isinstance(part.get(kind), dict):
        return {kind: part[kind]}
    if kind in ("document", "search_result") and (made := _anthropics(part, f"{where}.source")) is not None:
        return made
    if by_model:
        losses.drop(f"content.{kind}")
        return None
    raise bad_request("expected a part of type text, image_url, input_audio, file or video_url", f"{where}.type")


def _linked(value: Any, where: str, losses: Losses) -> Json:
    """An image or video by address; `format` (an extension) says its media type."""
    if isinstance(value, str):
        value = {"url": value}
    url = value.get("url") if isinstance(value, dict) else None
    if not isinstance(url, str) or not url:
        raise bad_request("expected an address or a data: URL", f"{where}.url")
    if value.get("detail") in ("low", "high"):
        losses.drop("image_url.detail")
    return _from_url(url, value.get("format"), f"{where}.url")


def _audio(value: Any, where: str) -> Json:
    if not isinstance(value, dict) or not isinstance(value.get("data"), str):
        raise bad_request("expected base64 text", f"{where}.data")
    form = str(value.get("format") or "wav")
    return _inline(_MEDIA_TYPES.get(form, form if "/" in form else f"audio/{form}"), value["data"])


def _file(value: Any, where: str) -> Json:
    """OpenAI's file part. Its `file_id` names a file at OpenAI, unless it is an address (of Gemini's Files API, say); `file_url`
    always is one."""
    if not isinstance(value, dict):
        raise bad_request("expected an object", where)
    data, id, form = value.get("file_data"), value.get("file_id") or value.get("file_url"), value.get("format")
    name = str(value.get("filename") or "")
    if isinstance(data, str) and data:
        if data.startswith(("data:", "https://", "http://", "gs://")):
            return _from_url(data, form or _type_of(name), f"{where}.file_data")
        return _inline(str(form or _type_of(name) or "application/pdf"), data)
    if isinstance(id, str) and id.startswith(("https://", "http://", "gs://")):
        return _from_url(id, form or _type_of(name), f"{where}.file_id")
    raise bad_request("Gemini takes a file as file_data (a data: URL) or by its address, not by an OpenAI file id", f"{where}.file_id")


def _anthropics(part: Json, where: str) -> Json | None:
    """Anthropic's own parts, as its clients leave them in the chat: a document by address or as text to be cited, a search
    result. None for forms that Gemini has not."""
    source = part.get("source")
    lines = [part.get("title"), part.get("context")]
    if isinstance(source, dict):
        if source.get("type") == "url" and isinstance(source.get("url"), str):
            return _from_url(source["url"], media_type_of(source["url"]) or "application/pdf", f"{where}.url")
        data = source.get("data")
        if source.get("type") == "base64" and isinstance(data, str):
            return _inline(str(source.get("media_type") or "application/pdf"), data)
        lines.append(data if source.get("type") == "text" else text_of(source.get("content")))
    else:
        lines += [source, text_of(part.get("content"))]
    said = [line for line in lines if isinstance(line, str) and line]
    return {"text": "\n".join(said)} if said else None


def _from_url(url: str, form: Any, where: str) -> Json:
    data = data_url(url)
    if data is not None:
        return _inline(str(form or data[0]), data[1])
    if url.startswith("data:"):
        raise bad_request("expected a data: URL in base64", where)
    if not url.startswith(("https://", "http://", "gs://")):
        raise bad_request("expected a data:, https: or gs: URL", where)
    file = {"fileUri": url}
    media = form or media_type_of(url)
    if media:
        file["mimeType"] = str(media)
    return {"fileData": file}


def _inline(media: str, data: str) -> Json:
    return {"inlineData": {"mimeType": media, "data": data}}


def _type_of(name: str) -> str | None:
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower())


def is_video_site(url: str) -> bool:
    """Whether the address is a video on YouTube, which has no file's ending."""
    try:
        return urlsplit(url).netloc in _VIDEO_HOSTS
    except ValueError:
        return False


def media_type_of(url: str) -> str | None:
    """The media type that an address tells by its ending."""
    try:
        address = urlsplit(url)
    except ValueError:
        return None
    return "video/mp4" if address.netloc in _VIDEO_HOSTS else _type_of(address.path)
