"""Documents as Mistral takes them: an uploaded file by its id, or a URL, which may be a `data:` URL."""

from __future__ import annotations

from edgegate.dialects.base import Json
from edgegate.dialects.chat import data_url
from edgegate.errors import bad_request


def document_of(part: Json, param: str) -> Json:
    """OpenAI's `file`, the Responses API's `file_url`, Mistral's own `file_id`, Anthropic's `document` by URL."""
    if part.get("type") == "document":
        return _by_url(part, param)
    file = part.get("file")
    if isinstance(part.get("file_id"), str):  # Mistral's own form
        return {"type": "file", "file_id": part["file_id"]}
    if isinstance(file, dict):
        if isinstance(file.get("file_id"), str):
            return {"type": "file", "file_id": file["file_id"]}
        name = file.get("filename")
        data, url = file.get("file_data"), file.get("file_url")
        found = data_url(data) if isinstance(data, str) else None
        if found is not None and found[0].startswith("image/"):
            return {"type": "image_url", "image_url": data}
        if found is not None and isinstance(data, str):
            return _document(data, name)
        if isinstance(url, str) and url:
            return _document(url, name)
    raise bad_request("expected file_id, file_url, or file_data as a base64 data: URL", f"{param}.file")


def _by_url(part: Json, param: str) -> Json:
    source = part.get("source")
    if isinstance(source, dict) and source.get("type") == "url" and isinstance(source.get("url"), str):
        return _document(source["url"], part.get("title"))
    raise bad_request("this provider takes documents as text, inline, or by URL", f"{param}.source")


def _document(url: str, name: object) -> Json:
    document: Json = {"type": "document_url", "document_url": url}
    return {**document, "document_name": name} if isinstance(name, str) and name else document
