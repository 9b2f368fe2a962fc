"""Functions that stand for what Anthropic has no field for, and how their calls are read back.

OpenAI's custom tools take plain text: each becomes a function with one string. For models without structured output a JSON
schema becomes a function that must be called, whose arguments are the answer. The reply to such a request is read with the
request at hand: `Stands` says of a call's name what it stands for.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.anthropic.abilities import abilities_of
from edgegate.dialects.base import Ask, Chat, Json
from edgegate.dialects.chat import server_tool

TEXT = "input"
"""The one argument of a custom tool's function."""

ANSWER = "respond_with_json"
"""The function that stands for a JSON schema."""


class Stands:
    """What the calls in a reply stand for. `answer`: the request's schema was sent as a function."""

    __slots__ = ("_customs", "answer")

    def __init__(self, ask: Ask) -> None:
        self.answer = ask.approximate and schema_as_tool(ask.chat, ask.model) is not None
        self._customs = frozenset(custom_names(ask.chat)) if ask.approximate else frozenset()

    def __bool__(self) -> bool:
        return self.answer or bool(self._customs)

    def is_answer(self, name: str) -> bool:
        return self.answer and name == ANSWER

    def is_custom(self, name: str) -> bool:
        return name in self._customs


def custom_names(chat: Chat) -> list[str]:
    """Names of the custom tools on offer."""
    tools = chat.get("tools")
    found = []
    for tool in tools if isinstance(tools, list) else []:
        custom = tool.get("custom") if isinstance(tool, dict) and tool.get("type") == "custom" else None
        if isinstance(custom, dict) and isinstance(custom.get("name"), str):
            found.append(custom["name"])
    return found


def custom_tool(custom: Json) -> Json:
    """A custom tool as Anthropic's tool. A grammar can only be asked for, in the description."""
    lines = [custom["description"]] if isinstance(custom.get("description"), str) else []
    format = custom.get("format")
    grammar = format.get("grammar", format) if isinstance(format, dict) and format.get("type") == "grammar" else None
    if isinstance(grammar, dict) and isinstance(grammar.get("definition"), str):
        lines.append(f"The input must match this {grammar.get('syntax') or ''} grammar:\n{grammar['definition']}")
    tool: Json = {"name": custom.get("name")}
    if lines:
        tool["description"] = "\n\n".join(lines)
    text = {"type": "string", "description": "The tool's input, as plain text"}
    return {**tool, "input_schema": {"type": "object", "properties": {TEXT: text}, "required": [TEXT]}}


def text_in(arguments: Any) -> str:
    """The text out of a call's arguments (an object, or JSON that may be cut off); what is not of that form, as it is."""
    value = arguments
    if isinstance(arguments, str):
        try:
            value = orjson.loads(arguments or "{}")
        except orjson.JSONDecodeError:
            return arguments
    text = value.get(TEXT, "") if isinstance(value, dict) else value
    return text if isinstance(text, str) else orjson.dumps(text).decode()


def schema_of(chat: Chat) -> Json | None:
    """The JSON schema the answer is to match."""
    format = chat.get("response_format")
    wanted = format.get("json_schema") if isinstance(format, dict) and format.get("type") == "json_schema" else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    return schema if isinstance(schema, dict) else None


def schema_as_tool(chat: Chat, model: str) -> Json | None:
    """The function for the answer's schema, None where there is none, or it is not the way: the model has structured output,
    it is to think or to use tools first (a forced call would end both), or the answer is no object."""
    schema = schema_of(chat)
    if schema is None or abilities_of(model).schema:
        return None
    kind = schema.get("type")
    if kind != "object" and not (kind is None and "properties" in schema):
        return None
    thinking = chat.get("thinking")
    thinks = (isinstance(thinking, dict) and thinking.get("type") != "disabled") or chat.get("reasoning_effort") not in (None, "none")
    if thinks or any(chat.get(name) for name in ("tools", "web_search_options", "mcp_servers")):
        return None
    format: Json = chat["response_format"]["json_schema"]
    description = format.get("description") if isinstance(format.get("description"), str) else "Gives the answer, in this form."
    return {"name": ANSWER, "description": description, "input_schema": {"type": "object", **schema}}


def searches(chat: Chat) -> bool:
    """Whether a tool for searching the web is among the tools."""
    tools = chat.get("tools")
    return isinstance(tools, list) and any(isinstance(tool, dict) and server_tool(tool) == "web_search" for tool in tools)
