"""A Messages request as a chat.

What the chat has words for is said in them, so that any provider can answer. What it has none for stays under Anthropic's
name, at its place: fields (`thinking`, `top_k`, `container`), tools that Anthropic runs (`{"type": "web_search_20250305"}`)
and blocks of theirs in the history (`server_tool_use`, `web_search_tool_result`, `document` by URL). A provider that cannot
carry one of these says so by its name. Thinking that other vendors' state is sealed in is opened (see `sealed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from edgegate.dialects.anthropic.blocks import UNNAMED_PDF, is_signed, with_cache_mark
from edgegate.dialects.anthropic.check import check_foreign
from edgegate.dialects.anthropic.schema import is_strict
from edgegate.dialects.anthropic.thinking import effort_of
from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import parts_of
from edgegate.dialects.sealed import restore, unseal

_SAID = frozenset(
    {
        "model",
        "messages",
        "system",
        "max_tokens",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "output_config",
        "output_format",
        "metadata",
        "service_tier",
    }
)
"""Fields that the chat words differently; all others are kept as they are."""
_THINKING = ("thinking", "redacted_thinking")


def chat_of(request: Json) -> Chat:
    """A checked request as a chat. Raises a 400 for a field that only the chat knows and that is of the wrong type."""
    check_foreign(request)
    chat: Chat = {"model": request["model"], "messages": list(_messages(request))}
    if request.get("max_tokens") is not None:  # counting tokens needs none
        chat["max_completion_tokens"] = request["max_tokens"]
    chat.update((name, value) for name, value in request.items() if name not in _SAID and value is not None)
    if request.get("stream"):
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}
    if request.get("stop_sequences"):
        chat["stop"] = request["stop_sequences"]
    if request.get("tools"):
        chat["tools"] = [_tool(tool) for tool in request["tools"]]
    _choice(request.get("tool_choice"), chat)
    _output(request, chat)
    metadata = dict(request.get("metadata") or {})
    user = metadata.pop("user_id", None)
    if user is not None:
        chat["user"] = user
    if metadata:
        chat["metadata"] = metadata
    tier = request.get("service_tier")
    if tier is not None:
        chat["service_tier"] = "default" if tier == "standard_only" else tier
    return chat


def _messages(request: Json) -> Iterator[Json]:
    system = request.get("system")
    if system:
        yield {"role": "system", "content": _content(system)}
    turns = request["messages"]
    at = 0
    while at < len(turns):
        role = turns[at]["role"]
        if role == "assistant":
            # Anthropic joins turns of one role; OpenAI wants the results right after the message with the calls
            blocks: list[Json] = []
            while at < len(turns) and turns[at]["role"] == "assistant":
                blocks += _listed(turns[at]["content"])
                at += 1
            yield _assistant(blocks)
            continue
        content = turns[at]["content"]
        at += 1
        if role == "system" or isinstance(content, str):
            yield {"role": role, "content": _content(content)}
            continue
        yield from (_result(block) for block in content if block["type"] == "tool_result")
        rest = [block for block in content if block["type"] != "tool_result"]
        if rest or not content:
            yield {"role": "user", "content": _content(rest)}


def _listed(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _content(content: str | list[Json]) -> str | list[Json]:
    """One piece of plain text as a string, which every provider takes; a list of parts otherwise."""
    if isinstance(content, str):
        return content
    parts = [_part(block) for block in content]
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text" else parts


def _part(block: Json) -> Json:
    kind = block["type"]
    if kind == "text":
        part = {"type": "text", "text": block["text"]}
        if isinstance(block.get("citations"), list) and block["citations"]:
            part["citations"] = block["citations"]
        return with_cache_mark(part, block)
    if kind == "image":
        source = block["source"]
        if source["type"] == "base64":
            url = f"data:{source['media_type']};base64,{source['data']}"
        elif source["type"] == "url":
            url = source["url"]
        else:
            return block
        return with_cache_mark({"type": "image_url", "image_url": {"url": url}}, block)
    if kind == "document":
        return _document(block)
    return block


def _document(block: Json) -> Json:
    """A PDF as a file, by its data or its address. Plain text as text, unless its places are to be cited. The rest has no
    counterpart: files that Anthropic keeps, and content that is to be cited."""
    source = block["source"]
    cited = isinstance(block.get("citations"), dict) and block["citations"].get("enabled")
    if source.get("type") == "base64" and isinstance(source.get("data"), str):
        media = source.get("media_type") or "application/pdf"
        file = {"filename": block.get("title") or UNNAMED_PDF, "file_data": f"data:{media};base64,{source['data']}"}
        return _file(file, block)
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        title = {"filename": block["title"]} if block.get("title") else {}
        return _file({"file_url": source["url"], **title}, block)
    text = _plain(source)
    if text is not None and not cited:
        lines = [str(line) for line in (block.get("title"), block.get("context"), text) if line]
        return with_cache_mark({"type": "text", "text": "\n".join(lines)}, block)
    return block


def _file(file: Json, block: Json) -> Json:
    part: Json = {"type": "file", "file": file}
    part.update((name, block[name]) for name in ("citations", "context") if block.get(name) is not None)
    return with_cache_mark(part, block)


def _plain(source: Json) -> str | None:
    """A source that is nothing but text."""
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        return str(source["data"])
    if source.get("type") != "content":
        return None
    parts = parts_of(source.get("content"))
    texts = [part["text"] for part in parts if part.get("type") == "text" and isinstance(part.get("text"), str)]
    return "\n".join(texts) if len(texts) == len(parts) else None


def _assistant(blocks: list[Json]) -> Json:
    """Thinking that Anthropic did not sign is not kept as such: its text is reasoning like any vendor's, and a seal in the place
    of its signature holds what the vendor that made it wants back."""
    signed: list[Json] = []
    reasoning: list[str] = []
    seals: list[Json] = []
    for block in blocks:
        if block["type"] not in _THINKING:
            continue
        if is_signed(block):
            signed.append(block)
            continue
        fields = unseal(block.get("signature" if block["type"] == "thinking" else "data"))
        seals += [fields] if fields is not None else []
        reasoning += [block["thinking"]] if block.get("thinking") else []
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    images = [_part(block) for block in blocks if block["type"] == "image"]
    rest = [block for block in blocks if block["type"] not in (*_THINKING, "tool_use", "image")]
    message: Json = {"role": "assistant", "content": None if calls and not rest else _content(rest)}
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    if signed:
        message["thinking_blocks"] = signed
    if images:
        message["images"] = [{"index": at, **image} for at, image in enumerate(images)]
    if calls:
        message["tool_calls"] = calls
    for fields in seals:
        restore(message, fields)
    return message


def _call(block: Json) -> Json:
    arguments = orjson.dumps(block["input"]).decode()
    call: Json = {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}
    caller = block.get("caller")
    if isinstance(caller, dict) and caller.get("type") != "direct":
        call["extra_content"] = {"anthropic": {"caller": caller}}
    return with_cache_mark(call, block)


def _result(block: Json) -> Json:
    content = block.get("content")
    message: Json = {"role": "tool", "tool_call_id": block["tool_use_id"]}
    message["content"] = [_part(inner) for inner in content] if isinstance(content, list) else content or ""
    if block.get("is_error"):
        message["is_error"] = True
    return with_cache_mark(message, block)


def _tool(tool: Json) -> Json:
    if tool.get("type") not in (None, "custom"):
        return tool
    function: Json = {"name": tool["name"]}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    function["parameters"] = tool["input_schema"]
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    said = ("type", "name", "description", "input_schema", "strict")
    return {"type": "function", "function": function, **{name: value for name, value in tool.items() if name not in said}}


def _choice(choice: Any, chat: Chat) -> None:
    if choice is None:
        return
    kind = choice["type"]
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        chat["tool_choice"] = {"auto": "auto", "any": "required", "none": "none"}[kind]
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _output(request: Json, chat: Chat) -> None:
    """The format of the answer and the effort. What Anthropic itself was told stays beside, for Anthropic."""
    config = dict(request.get("output_config") or {})
    format = config.pop("format", None) or request.get("output_format")
    if format is not None and format.get("type") == "json_schema":
        schema = format["schema"]
        # a schema that OpenAI's strict mode would refuse is at least a wish there
        wanted = {"name": "response", "schema": schema, **({"strict": True} if is_strict(schema) else {})}
        chat["response_format"] = {"type": "json_schema", "json_schema": wanted}
    if config:
        chat["output_config"] = config
    effort = config.get("effort") or effort_of(request.get("thinking"))
    if effort is not None:
        chat["reasoning_effort"] = effort
