"""Parts of messages that are files: images, documents, video and audio as Converse's blocks.

Bedrock loads nothing from the web: bytes come inline, as a `data:` URL, or from S3 (`s3://bucket/key`). Any other URL is a
400 that names the part: an answer about a picture that the model never saw is worse than an error. A document's name may
hold few characters, must be given, and be there once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.chat import data_url
from edgegate.errors import bad_request

_IMAGES: Mapping[str, str] = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "gif": "gif", "webp": "webp"}
_VIDEOS: Mapping[str, str] = {
    "mp4": "mp4",
    "quicktime": "mov",
    "mov": "mov",
    "x-matroska": "mkv",
    "mkv": "mkv",
    "webm": "webm",
    "x-flv": "flv",
    "flv": "flv",
    "mpeg": "mpeg",
    "mpg": "mpg",
    "x-ms-wmv": "wmv",
    "wmv": "wmv",
    "3gpp": "three_gp",
    "3gp": "three_gp",
    "three_gp": "three_gp",
}
_AUDIO: Mapping[str, str] = {
    **{name: name for name in ("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "m4a", "mpeg", "mpga", "pcm", "webm")},
    "x-wav": "wav",
    "wave": "wav",
    "x-m4a": "m4a",
    "x-aac": "x-aac",
    "pcm16": "pcm",
}
_DOCUMENTS: Mapping[str, str] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/markdown": "md",
    "text/x-markdown": "md",
    "text/plain": "txt",
}
DOCUMENT_FORMATS = ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
_ODD = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")
_BLANKS = re.compile(r"\s+")
_S3 = re.compile(r"s3://[a-z0-9][.\-a-z0-9]{1,61}[a-z0-9](?:/.*)?", re.DOTALL)


class DocumentNames:
    """Names for the documents of one request: the characters that Bedrock takes, and no name twice."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, wanted: Any, format: str) -> str:
        text = wanted if isinstance(wanted, str) else ""
        text = text.removesuffix(f".{format}")
        clean = _BLANKS.sub(" ", _ODD.sub("-", text)).strip(" -")[:180] or "Document"
        name, number = clean, 1
        while name in self._taken:
            number += 1
            name = f"{clean} ({number})"
        self._taken.add(name)
        return name


def image_block(image: Any, at: str, names: DocumentNames) -> Json:
    """An `image_url` part. A PDF sent as an image is a document."""
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise bad_request("expected a URL", f"{at}.image_url.url")
    found = data_url(url)
    if found is not None and found[0].lower() in _DOCUMENTS:
        format = _DOCUMENTS[found[0].lower()]
        source = {"bytes": _inline(found[1], f"{at}.image_url.url")}
        return {"document": {"format": format, "name": names.name("", format), "source": source}}
    return {"image": _media(url, "image", _IMAGES, f"{at}.image_url.url")}


def video_block(video: Any, at: str) -> Json:
    url = video.get("url") if isinstance(video, dict) else video
    if not isinstance(url, str):
        raise bad_request("expected a URL", f"{at}.video_url.url")
    return {"video": _media(url, "video", _VIDEOS, f"{at}.video_url.url")}


def audio_block(audio: Any, at: str) -> Json:
    data = audio.get("data") if isinstance(audio, dict) else None
    format = audio.get("format") if isinstance(audio, dict) else None
    if not isinstance(data, str) or not isinstance(format, str) or format.lower() not in _AUDIO:
        raise bad_request("expected data in base64 and a format such as wav or mp3", f"{at}.input_audio")
    return {"audio": {"format": _AUDIO[format.lower()], "source": {"bytes": _inline(data, f"{at}.input_audio.data")}}}


def file_block(part: Json, at: str, names: DocumentNames) -> Json:
    """A `file` part: a document, or whatever else its media type says. Citations and context are Anthropic's, and Bedrock's."""
    file = part.get("file")
    if not isinstance(file, dict):
        raise bad_request("expected an object", f"{at}.file")
    given = file.get("file_data") if file.get("file_data") is not None else file.get("file_url")
    where = f"{at}.file.{'file_data' if file.get('file_data') is not None else 'file_url'}"
    if not isinstance(given, str):
        reason = "this provider has no file ids: send the file itself" if file.get("file_id") else "expected a data: URL"
        raise bad_request(reason, f"{at}.file.{'file_id' if file.get('file_id') else 'file_data'}")
    name = file.get("filename")
    ending = _ending(name) or _ending(given if given.startswith("s3://") else "")
    # OpenAI also takes bare base64 beside a file name, and then means PDF
    bare = "://" not in given[:16] and not given.startswith("data:")
    found = ("application/pdf", given) if bare else data_url(given)
    if found is not None:
        media = found[0].lower()
        kind = media.partition("/")[0]
        if kind in ("image", "video", "audio"):
            formats = {"image": _IMAGES, "video": _VIDEOS, "audio": _AUDIO}[kind]
            return {kind: _media(f"data:{media};base64,{found[1]}", kind, formats, where)}
        format = _DOCUMENTS.get(media) or (ending if ending in DOCUMENT_FORMATS else "") or ("txt" if _is_text(media) else "")
        if media == "text/plain" and ending in ("md", "csv", "html"):
            format = ending
        source: Json = {"bytes": _inline(found[1], where)}
    else:
        format, source = ending if ending in DOCUMENT_FORMATS else "", _s3(given, where)
    if not format:
        raise bad_request(f"this provider takes documents of these kinds only: {', '.join(DOCUMENT_FORMATS)}", where)
    return _document(format, name, source, part.get("context"), part.get("citations"), names)


def vendor_block(part: Json, at: str, names: DocumentNames) -> Json | None:
    """Anthropic's own `document` (plain text, blocks of text, base64), `search_result` and `image`; None for another type."""
    kind, source = part.get("type"), part.get("source")
    if kind == "document" and isinstance(source, dict):
        title, context, citations = part.get("title"), part.get("context"), part.get("citations")
        form = source.get("type")
        if form == "text" and isinstance(source.get("data"), str):
            return _document("txt", title, {"text": source["data"]}, context, citations, names)
        if form == "base64" and isinstance(source.get("data"), str):
            media = source.get("media_type")
            format = _DOCUMENTS.get(media, "pdf") if isinstance(media, str) else "pdf"
            return _document(format, title, {"bytes": _inline(source["data"], f"{at}.source.data")}, context, citations, names)
        if form == "content":
            content = source.get("content")
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            texts = [{"text": b["text"]} for b in blocks or () if isinstance(b, dict) and isinstance(b.get("text"), str)]
            if isinstance(blocks, list) and texts and len(texts) == len(blocks):
                return _document("txt", title, {"content": texts}, context, citations, names)
        raise bad_request("this provider takes documents as text or base64 only", f"{at}.source")
    if kind == "search_result" and isinstance(source, str) and isinstance(part.get("title"), str) and isinstance(part.get("content"), list):
        texts = [{"text": b["text"]} for b in part["content"] if isinstance(b, dict) and isinstance(b.get("text"), str)]
        result: Json = {"source": source, "title": part["title"], "content": texts}
        if isinstance(part.get("citations"), dict):
            result["citations"] = {"enabled": part["citations"].get("enabled") is True}
        return {"searchResult": result}
    if kind == "image":
        raise bad_request("this provider takes images inline or from S3 only", f"{at}.source")
    return None


def _document(format: str, name: Any, source: Json, context: Any, citations: Any, names: DocumentNames) -> Json:
    document: Json = {"format": format, "name": names.name(name, format), "source": source}
    if isinstance(context, str) and context:
        document["context"] = context
    if isinstance(citations, dict) and citations.get("enabled") is True:
        document["citations"] = {"enabled": True}
    return {"document": document}


def _media(url: str, kind: str, formats: Mapping[str, str], at: str) -> Json:
    found = data_url(url)
    if found is None:
        format = formats.get(_ending(url))
        source = _s3(url, at)
    else:
        group, _, subtype = found[0].lower().partition("/")
        format = formats.get(subtype) if group == kind else None
        source = {"bytes": _inline(found[1], at)}
    if format is None:
        raise bad_request(f"this provider takes {kind}s of these kinds only: {', '.join(dict.fromkeys(formats.values()))}", at)
    return {"format": format, "source": source}


def _s3(url: str, at: str) -> Json:
    if not _S3.fullmatch(url):
        raise bad_request("this provider loads no URLs: expected a base64 data: URL, or an object in S3 (s3://bucket/key)", at)
    return {"s3Location": {"uri": url}}


def _inline(data: str, at: str) -> str:
    text = "".join(data.split())
    if not text:
        raise bad_request("expected data in base64", at)
    return text


def _ending(name: Any) -> str:
    """The ending of a file's name, in lower case."""
    return name.rpartition(".")[2].lower() if isinstance(name, str) and "." in name else ""


def _is_text(media: str) -> bool:
    return media.startswith("text/") or media.endswith(("json", "xml", "yaml", "javascript"))
