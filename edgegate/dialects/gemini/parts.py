"""Parts of Gemini's as content parts of a chat: the way back from `media.py`.

A chat part says what others understand. What only Gemini has a word for stays beside it, in `extra_content.google`: the
part's further fields (`videoMetadata`, `mediaResolution`) under their own names, its signature as `thought_signature`, and
`mimeType` where the chat part would lead to another. Kinds of parts that the chat does not know stay whole, in place, with
their name as their type: `{"type": "executableCode", "executableCode": {...}}`.
"""

from __future__ import annotations

from edgegate.dialects.base import Json
from edgegate.dialects.gemini.fields import a_text, an_object, wrong
from edgegate.dialects.gemini.media import ASIDE, is_video_site, media_type_of, part_of
from edgegate.dialects.losses import Losses

_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_KINDS = ("text", "inlineData", "fileData", "executableCode", "codeExecutionResult", "toolCall", "toolResponse")
_NO_KIND = ASIDE | {"thought", "thoughtSignature"}
_EXTENSIONS = {"application/pdf": "pdf", "text/plain": "txt", "text/csv": "csv", "text/html": "html", "text/markdown": "md"}


def chat_part(part: Json, where: str, signature: str = "") -> Json:
    """One part, in camelCase. `signature` is Gemini's own, checked by the caller. A part of no kind is a 400."""
    kind = next((name for name in _KINDS if name in part), "") or next((name for name in part if name not in _NO_KIND), "")
    if not kind:
        raise wrong(where, "a part with text, inlineData, fileData, functionCall or functionResponse")
    aside = {name: value for name, value in part.items() if name not in (kind, "thoughtSignature", "thought")}
    if kind == "text":
        made: Json = {"type": "text", "text": a_text(part["text"], f"{where}.text")}
    elif kind == "inlineData":
        made = _inline(an_object(part[kind], f"{where}.inlineData"), f"{where}.inlineData", aside)
    elif kind == "fileData":
        made = _file(an_object(part[kind], f"{where}.fileData"), f"{where}.fileData", aside)
    else:
        made = {"type": kind, kind: part[kind]}
    if signature:
        aside["thought_signature"] = signature
    if aside:
        made["extra_content"] = {"google": aside}
    return made


def standard(data: str) -> str:
    """Base64 in the usual alphabet: Google's SDK writes the one for URLs."""
    return data.replace("-", "+").replace("_", "/") if "-" in data or "_" in data else data


def _inline(blob: Json, where: str, aside: Json) -> Json:
    media = a_text(blob.get("mimeType") or "application/octet-stream", f"{where}.mimeType")
    data = standard(a_text(blob.get("data", ""), f"{where}.data"))
    name = blob.get("displayName")
    if media.startswith("audio/"):
        made: Json = {"type": "input_audio", "input_audio": {"data": data, "format": _FORMATS.get(media, media)}}
    elif media.startswith(("image/", "video/")):
        kind = "image_url" if media.startswith("image/") else "video_url"
        made = {"type": kind, kind: {"url": f"data:{media};base64,{data}"}}
    else:
        filename = str(name or f"document.{_EXTENSIONS.get(media, 'bin')}")
        made = {"type": "file", "file": {"filename": filename, "file_data": f"data:{media};base64,{data}"}}
    if name:
        aside["displayName"] = name
    back = part_of(made, where, Losses())
    if back is None or back["inlineData"]["mimeType"] != media:
        aside["mimeType"] = media
    return made


def _file(file: Json, where: str, aside: Json) -> Json:
    uri = a_text(file.get("fileUri", ""), f"{where}.fileUri")
    if not uri:
        raise wrong(f"{where}.fileUri", "an address")
    given = file.get("mimeType")
    media = a_text(given, f"{where}.mimeType") if given is not None else media_type_of(uri) or ""
    if media.startswith(("image/", "video/")) or (not media and is_video_site(uri)):
        kind = "image_url" if media.startswith("image/") else "video_url"
        address: Json = {"url": uri}
        made: Json = {"type": kind, kind: address}
    else:
        address = {"file_url": uri}
        if file.get("displayName"):
            address["filename"] = str(file["displayName"])
        made = {"type": "file", "file": address}
    if given is not None and media_type_of(uri) != media:
        aside["mimeType"] = media
    if file.get("displayName"):
        aside["displayName"] = file["displayName"]
    return made
