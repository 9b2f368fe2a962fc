"""Content parts that are not plain text: images, audio, files, video.

Data goes inline, addresses as `fileData` (Google fetches them; it wants a media type, which is read off the address where
the caller does not say). A part that Gemini has no form for is a 400 that names it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from edgegate.dialects.base import Json
from edgegate.dialects.chat import data_url
from edgegate.errors import bad_request

_MEDIA_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif", "heic": "image/heic",
    "heif": "image/heif", "bmp": "image/bmp", "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv",
    "html": "text/html", "json": "application/json", "mp3": "audio/mpeg", "mpga": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac",
    "ogg": "audio/ogg", "aac": "audio/aac", "aiff": "audio/aiff", "m4a": "audio/mp4", "opus": "audio/opus", "pcm16": "audio/pcm",
    "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm", "mpeg": "video/mpeg", "mpg": "video/mpeg", "avi": "video/x-msvideo",
}  # fmt: skip

_VIDEO_HOSTS = ("youtu.be", "youtube.com", "www.youtube.com")


def part_of(part: Json, where: str, dropped: list[str]) -> Json | None:
    """One content part of a chat as a part of Gemini's; None for empty text. `where` is its path, for errors."""
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get("text") or part.get("refusal")
        return {"text": str(text)} if text else None
    if kind in ("image_url", "video_url"):
        return _linked(part.get(kind), f"{where}.{kind}", dropped)
    if kind == "input_audio":
        return _audio(part.get("input_audio"), f"{where}.input_audio")
    if kind == "file":
        return _file(part.get("file"), f"{where}.file")
    raise bad_request("expected a part of type text, image_url, input_audio, file or video_url", f"{where}.type")


def _linked(value: Any, where: str, dropped: list[str]) -> Json:
    """An image or video by address; `format` (an extension) says its media type."""
    if isinstance(value, str):
        value = {"url": value}
    url = value.get("url") if isinstance(value, dict) else None
    if not isinstance(url, str) or not url:
        raise bad_request("expected an address or a data: URL", f"{where}.url")
    if value.get("detail") in ("low", "high") and "image_url.detail" not in dropped:
        dropped.append("image_url.detail")
    return _from_url(url, value.get("format"), f"{where}.url")


def _audio(value: Any, where: str) -> Json:
    if not isinstance(value, dict) or not isinstance(value.get("data"), str):
        raise bad_request("expected base64 text", f"{where}.data")
    form = str(value.get("format") or "wav")
    return _inline(_MEDIA_TYPES.get(form, form if "/" in form else f"audio/{form}"), value["data"])


def _file(value: Any, where: str) -> Json:
    """OpenAI's file part. Its `file_id` names a file at OpenAI, unless it is an address (of Gemini's Files API, say)."""
    if not isinstance(value, dict):
        raise bad_request("expected an object", where)
    data, id, form = value.get("file_data"), value.get("file_id"), value.get("format")
    name = str(value.get("filename") or "")
    if isinstance(data, str) and data:
        if data.startswith(("data:", "https://", "http://", "gs://")):
            return _from_url(data, form or _type_of(name), f"{where}.file_data")
        return _inline(str(form or _type_of(name) or "application/pdf"), data)
    if isinstance(id, str) and id.startswith(("https://", "http://", "gs://")):
        return _from_url(id, form or _type_of(name), f"{where}.file_id")
    raise bad_request("Gemini takes a file as file_data (a data: URL) or by its address, not by an OpenAI file id", f"{where}.file_id")


def _from_url(url: str, form: Any, where: str) -> Json:
    data = data_url(url)
    if data is not None:
        return _inline(str(form or data[0]), data[1])
    if url.startswith("data:"):
        raise bad_request("expected a data: URL in base64", where)
    if not url.startswith(("https://", "http://", "gs://")):
        raise bad_request("expected a data:, https: or gs: URL", where)
    file = {"fileUri": url}
    media = form or _type_of_url(url)
    if media:
        file["mimeType"] = str(media)
    return {"fileData": file}


def _inline(media: str, data: str) -> Json:
    return {"inlineData": {"mimeType": media, "data": data}}


def _type_of(name: str) -> str | None:
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower())


def _type_of_url(url: str) -> str | None:
    try:
        address = urlsplit(url)
    except ValueError:
        return None
    return "video/mp4" if address.netloc in _VIDEO_HOSTS else _type_of(address.path)
