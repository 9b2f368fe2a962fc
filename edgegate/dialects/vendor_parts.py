"""What one vendor alone has words for in a chat, for the providers that do not know it.

Content parts are of three cases. Some are text in another wrapping, which any model can be told (`told`). Some are the record
of what a vendor's own tools did in an earlier turn, which a history can do without (`is_record`). The rest, a file in a
vendor's container or a picture by an id, is what the question is about: leaving it out would change the question, so providers
refuse it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.chat import data_url, server_tool, text_of

_RECORDS = frozenset((
    "server_tool_use", "mcp_tool_use", "mcp_tool_listing", "tool_addition", "tool_removal", "fallback",  # Anthropic
    "executableCode", "codeExecutionResult", "toolCall", "toolResponse",  # Gemini
    "tool_file",  # Mistral
))  # fmt: skip
_THOUGHTS = frozenset(("thinking", "redacted_thinking"))


def is_record(kind: object) -> bool:
    """Whether parts of this type only note what was done: Anthropic's calls of its own tools, `web_search_tool_result` and
    the like, what Google's code execution did, changes of the tool list in the middle of a conversation, thinking that is not
    the provider's own. In an assistant's message any part of an unknown type is one."""
    return isinstance(kind, str) and (kind in _RECORDS or kind in _THOUGHTS or kind.endswith("_tool_result"))


def told(part: Json) -> str | None:
    """What a part says, as text: Anthropic's text documents, search results, compactions (a summary of what was before) and
    tool references; OpenAI's file if it is a text. None for any other part."""
    kind = part.get("type")
    if kind == "document":
        return _document(part)
    if kind == "search_result":
        texts = [part.get("title"), part.get("source"), text_of(part.get("content"))]
        return "\n".join(text for text in texts if isinstance(text, str) and text)
    if kind == "compaction":
        return part["content"] if isinstance(part.get("content"), str) else None
    if kind == "tool_reference":
        return part["tool_name"] if isinstance(part.get("tool_name"), str) else None
    if kind == "file":
        file = part.get("file")
        return _text_file(file.get("file_data")) if isinstance(file, dict) else None
    return None


def is_lost(owner: Json, own: str = "") -> bool:
    """Whether a message, call, part or tool has `extra_content` that a vendor other than `own` would want back. OpenAI's is none:
    the ids and places of items are of use in Responses only."""
    extra = owner.get("extra_content")
    return isinstance(extra, dict) and bool(extra.keys() - {"openai", own})


def name_of_tool(tool: Json) -> str:
    """The name under which a tool that is no function is reported as lost: `tools.web_search`, `tools.bash_20250124`."""
    kind = tool.get("type")
    return "tools." + (server_tool(tool) or (kind if isinstance(kind, str) else next(iter(tool), "")))


def _document(part: Json) -> str | None:
    source = part.get("source")
    source = source if isinstance(source, dict) else {}
    kind, text = source.get("type"), ""
    if kind == "text" and isinstance(source.get("data"), str):
        text = source["data"]
    elif kind == "content":
        content: Any = source.get("content")
        if isinstance(content, list) and any(not isinstance(item, dict) or item.get("type") != "text" for item in content):
            return None  # with pictures
        text = text_of(content)
    if not text:
        return None
    return "\n".join([said for said in (part.get("title"), part.get("context")) if isinstance(said, str) and said] + [text])


def _text_file(url: Any) -> str | None:
    found = data_url(url) if isinstance(url, str) else None
    if found is None or not (found[0].startswith("text/") or found[0] == "application/json"):
        return None
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
