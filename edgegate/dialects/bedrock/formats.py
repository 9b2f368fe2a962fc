"""Structured output: how a `response_format` is asked for, which decides how the reply is read.

Models that have it are sent the schema as `outputConfig.textFormat` (converse-json_schema-*). Of others a tool with that
schema can be forced, whose input is the answer, if the chat has no tools of its own and no reasoning is wanted. What
remains is asking for it in words.
"""

from __future__ import annotations

import enum
from typing import Any

import orjson

from edgegate.dialects.anthropic.schema import closed
from edgegate.dialects.base import Ask, Chat, Json
from edgegate.dialects.bedrock.families import Family
from edgegate.dialects.bedrock.reasoning import wants_thinking
from edgegate.errors import bad_request

TOOL = "json_answer"
"""Name of the tool that stands for the answer."""

_JSON = "Respond with a single valid JSON {what} and nothing else: no prose, no code fences."


class Format(enum.Enum):
    FREE = "free"
    SCHEMA = "schema"
    TOOL = "tool"
    WORDS = "words"


def format_of(ask: Ask, family: Family) -> Format:
    """How the answer's format is asked for; the same for a request and its reply."""
    wanted = ask.chat.get("response_format")
    if wanted is None:
        return Format.FREE
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise bad_request("expected type text, json_object or json_schema", "response_format")
    if kind == "text":
        return Format.FREE
    schema = schema_of(ask.chat)
    if schema is not None and family.schema:
        return Format.SCHEMA
    if not ask.approximate or schema is None or schema.get("type") != "object" or not (family.choice and family.maker):
        return Format.WORDS
    return Format.WORDS if _has_tools(ask.chat) or wants_thinking(ask.chat) or not can_force(family) else Format.TOOL


def can_force(family: Family) -> bool:
    """Whether a model calls a tool that it must: by name, or because it is the only one."""
    return family.forced or family.maker == "mistral"


def schema_of(chat: Chat) -> Json | None:
    wanted: Any = chat["response_format"].get("json_schema")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    return schema if isinstance(schema, dict) and schema else None


def text_format(chat: Chat, family: Family) -> Json:
    """`outputConfig.textFormat`. Claude wants every object closed."""
    schema = schema_of(chat)
    wanted = chat["response_format"]["json_schema"]
    definition: Json = {"schema": orjson.dumps(closed(schema) if family.claude is not None else schema).decode()}
    for name in ("name", "description"):
        if isinstance(wanted.get(name), str) and wanted[name]:
            definition[name] = wanted[name]
    return {"type": "json_schema", "structure": {"jsonSchema": definition}}


def forced_tool(chat: Chat, family: Family) -> Json:
    """`toolConfig` that makes the model answer with the input of a tool."""
    described = chat["response_format"]["json_schema"].get("description")
    words = described if isinstance(described, str) and described else "The answer. Call this tool once, with the whole answer."
    spec = {"name": TOOL, "description": words, "inputSchema": {"json": schema_of(chat)}}
    return {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": TOOL}} if family.forced else {"any": {}}}


def instruction(chat: Chat) -> Json:
    """A block for the system prompt."""
    schema = schema_of(chat)
    text = _JSON.format(what="object" if schema is None else "value")
    if schema is not None:
        text += " It must match this JSON Schema: " + orjson.dumps(schema).decode()
    return {"text": text}


def _has_tools(chat: Chat) -> bool:
    if chat.get("tools") or chat.get("web_search_options") is not None:
        return True
    messages = chat.get("messages")
    return isinstance(messages, list) and any(
        isinstance(message, dict)
        and (message.get("tool_calls") or message.get("function_call") or message.get("role") in ("tool", "function"))
        for message in messages
    )
