"""Functions that stand for what Anthropic has no field for, and how their calls are read back.

OpenAI's custom tools are written as functions (`dialects/custom.py`). For models without structured output a JSON schema
becomes a function that must be called, whose arguments are the answer. The reply to such a request is read with the request
at hand: `Stands` says of a call's name what it stands for.
"""

from __future__ import annotations

from edgegate.dialects.anthropic.abilities import abilities_of
from edgegate.dialects.base import Ask, Chat, Json
from edgegate.dialects.chat import server_tool
from edgegate.dialects.custom import custom_names

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
