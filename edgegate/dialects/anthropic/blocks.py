"""Parts of the chat's messages as Anthropic's content blocks.

A part that Anthropic itself named (`document`, `server_tool_use`, `web_search_tool_result`, ...; see `asking`) goes as it
is. A part that cannot be sent (audio, video) is an error: leaving out what the question is about would change the answer. In
an earlier answer of the model's it is left out and named.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from edgegate.dialects.anthropic.notes import Notes
from edgegate.dialects.base import Json
from edgegate.dialects.chat import arguments_of, data_url
from edgegate.dialects.sealed import is_sealed
from edgegate.errors import bad_request

FILES_BETA = "files-api-2025-04-14"

UNNAMED_PDF = "document.pdf"
"""The file name given to documents without a title: OpenAI wants one."""

_VENDOR = frozenset(
    {
        "compaction",
        "container_upload",
        "document",
        "fallback",
        "image",
        "mcp_tool_listing",
        "search_result",
        "tool_addition",
        "tool_reference",
        "tool_removal",
    }
)


def is_vendor(kind: str) -> bool:
    """Whether blocks of this type are Anthropic's own, with no counterpart among the chat's parts."""
    return kind in _VENDOR or kind.endswith(("_tool_result", "_tool_use"))


def is_signed(block: Json) -> bool:
    """Whether a thinking block is one that Anthropic made: it takes no other back, be it unsigned or a seal of other vendors'
    state (see `sealed`)."""
    mark = block.get("signature" if block.get("type") == "thinking" else "data")
    return isinstance(mark, str) and mark != "" and not is_sealed(mark)


def blocks_of(content: Any, at: str, notes: Notes, *, past: bool = False) -> list[Json]:
    """A message's content as blocks. `at` is its path for errors. Text of nothing but blanks is left out: the API refuses it.
    `past`: it is an earlier answer, not part of what is asked."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    if not isinstance(content, list):
        return []
    blocks = []
    for number, part in enumerate(content):
        block = _block(part, f"{at}[{number}]", notes, past)
        if block is not None:
            blocks.append(block)
    return blocks


def call_block(call: Any, at: str) -> Json:
    """A tool call as a `tool_use` block."""
    called = call.get("function") if isinstance(call, dict) else None
    if not isinstance(called, dict) or not isinstance(called.get("name"), str):
        raise bad_request("expected a call of a function or a custom tool, with its name", at)
    block: Json = {"type": "tool_use", "id": call.get("id"), "name": called["name"], "input": arguments_of(call, at)}
    extra = call.get("extra_content")
    ours = extra.get("anthropic") if isinstance(extra, dict) else None
    if isinstance(ours, dict) and "caller" in ours:
        block["caller"] = ours["caller"]
    return with_cache_mark(block, call)


def with_cache_mark(block: Json, source: Json) -> Json:
    """`block` with the `cache_control` of what it was made from."""
    mark = source.get("cache_control")
    if mark is not None:
        block["cache_control"] = mark
    return block


def _block(part: Any, at: str, notes: Notes, past: bool) -> Json | None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" or kind == "refusal":
        text = part.get(kind)
        if not isinstance(text, str) or not text.strip():
            return None
        block: Json = {"type": "text", "text": text}
        if isinstance(part.get("citations"), list):
            block["citations"] = part["citations"]
        return with_cache_mark(block, part)
    if kind == "image_url":
        return with_cache_mark(_image(part.get("image_url"), at, notes), part)
    if kind == "file":
        block = with_cache_mark(_document(part.get("file"), at, notes), part)
        if block["type"] == "document":
            block.update((name, part[name]) for name in ("citations", "context") if name in part)
        return block
    if kind == "thinking" or kind == "redacted_thinking":  # Anthropic's, or Mistral's, which it would refuse
        if is_signed(part):
            return dict(part)
        notes.drop("messages[].thinking")
        return None
    if isinstance(kind, str) and is_vendor(kind):
        source = part.get("source")
        if isinstance(source, dict) and source.get("type") == "file":
            notes.beta(FILES_BETA)
        return dict(part)
    if past:
        notes.drop(f"content.{str(kind)[:40]}")
        return None
    raise bad_request("this provider takes text, image and file parts", f"{at}.type")


def _image(image: Any, at: str, notes: Notes) -> Json:
    url = image.get("url") if isinstance(image, dict) else image  # a bare string is Mistral's way
    if not isinstance(url, str):
        raise bad_request("expected a URL", f"{at}.image_url.url")
    if isinstance(image, dict) and image.get("detail") not in (None, "auto"):
        notes.drop("messages[].image_url.detail")
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media, data = _inline(url, f"{at}.image_url.url")
    if media == "application/pdf":
        return {"type": "document", "source": {"type": "base64", "media_type": media, "data": data}}
    return {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg" if media == "image/jpg" else media, "data": data}}


def _document(file: Any, at: str, notes: Notes) -> Json:
    """A file as a document; one that holds a picture, or whose address ends like one's, as an image."""
    if not isinstance(file, dict):
        raise bad_request("expected an object", f"{at}.file")
    url = file.get("file_url") or file.get("file_data")  # OpenRouter's clients write an address into file_data
    if isinstance(file.get("file_id"), str):
        notes.beta(FILES_BETA)
        source: Json = {"type": "file", "file_id": file["file_id"]}
    elif isinstance(url, str) and url.startswith(("https:", "http:")):
        source = {"type": "url", "url": url}
        if url.partition("?")[0].lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp")):
            return {"type": "image", "source": source}
    else:
        data = file.get("file_data") or url
        if not isinstance(data, str):
            raise bad_request("expected a data: URL or a file_id", f"{at}.file.file_data")
        # OpenAI also takes bare base64 beside a file name, and then means PDF
        media, data = _inline(data, f"{at}.file.file_data") if data.startswith("data:") else ("application/pdf", data)
        if media.startswith("image/"):
            return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}
        if media.startswith("text/"):
            source = {"type": "text", "media_type": "text/plain", "data": _plain(data, f"{at}.file.file_data")}
        else:
            source = {"type": "base64", "media_type": media, "data": data}
    block: Json = {"type": "document", "source": source}
    title = file.get("filename")
    if isinstance(title, str) and title and title != UNNAMED_PDF:
        block["title"] = title
    return block


def _inline(url: str, at: str) -> tuple[str, str]:
    found = data_url(url)
    if found is None:
        raise bad_request("expected a data: URL with base64", at)
    return found


def _plain(data: str, at: str) -> str:
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_request("expected text in base64", at) from error
