"""OpenAI's custom tools for providers that know functions only.

A custom tool takes plain text. Each becomes a function with one string, its calls in the history become calls of that function,
and a choice of it the choice of that function. The provider's calls of the function become the custom tool's again in
`custom_calls.py`, so that whoever offered a custom tool gets a call of one.
"""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from edgegate.dialects.base import Chat, Json

NAME = "tools.custom"
"""Under which they are named as mapped or dropped."""

TEXT = "input"
"""The one argument of a custom tool's function."""


class Near(Protocol):
    """Who notes what is written another way: `losses.Losses` and its like."""

    def near(self, name: str) -> bool: ...


def custom_names(chat: Chat) -> list[str]:
    """Names of the custom tools on offer."""
    tools = chat.get("tools")
    return [tool["custom"]["name"] for tool in tools if _is_custom(tool)] if isinstance(tools, list) else []


def as_functions(chat: Chat, losses: Near) -> Chat:
    """The chat with functions in their place; the chat itself if it has none. Where nothing may be written another way they are
    not offered, but calls in the history stay calls, of a function: their results would hang in the air."""
    tools, messages, choice = chat.get("tools"), chat.get("messages"), chat.get("tool_choice")
    offered, chosen = bool(custom_names(chat)), _named_in(choice)
    called = isinstance(messages, list) and any(_calls_custom(message) for message in messages)
    if not (offered or called or chosen):
        return chat
    near = losses.near(NAME)
    changed: Chat = dict(chat)
    if offered and isinstance(tools, list):
        changed["tools"] = [_tool(tool) if _is_custom(tool) else tool for tool in tools if near or not _is_custom(tool)]
    if isinstance(choice, dict) and chosen and near:
        changed["tool_choice"] = _choice(choice)
    elif chosen:
        losses.near("tool_choice")
        del changed["tool_choice"]
    if called and isinstance(messages, list):
        changed["messages"] = [_message(message) if _calls_custom(message) else message for message in messages]
    return changed


def function_of(custom: Json) -> Json:
    """A custom tool as a function. A grammar can only be asked for, in the description."""
    lines = [custom["description"]] if isinstance(custom.get("description"), str) else []
    format = custom.get("format")
    grammar = format.get("grammar", format) if isinstance(format, dict) and format.get("type") == "grammar" else None
    if isinstance(grammar, dict) and isinstance(grammar.get("definition"), str):
        lines.append(f"The input must match this {grammar.get('syntax') or ''} grammar:\n{grammar['definition']}")
    function: Json = {"name": custom.get("name")}
    if lines:
        function["description"] = "\n\n".join(lines)
    text = {"type": "string", "description": "The tool's input, as plain text"}
    return {**function, "parameters": {"type": "object", "properties": {TEXT: text}, "required": [TEXT]}}


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


def _is_custom(tool: Any) -> bool:
    custom = tool.get("custom") if isinstance(tool, dict) and tool.get("type") == "custom" else None
    return isinstance(custom, dict) and isinstance(custom.get("name"), str)


def _tool(tool: Json) -> Json:
    rest = {name: value for name, value in tool.items() if name not in ("type", "custom")}
    return {"type": "function", "function": function_of(tool["custom"]), **rest}


def _calls_custom(message: Any) -> bool:
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    return isinstance(calls, list) and any(_is_custom(call) for call in calls)


def _message(message: Json) -> Json:
    return {**message, "tool_calls": [_function_call(call) if _is_custom(call) else call for call in message["tool_calls"]]}


def _function_call(call: Json) -> Json:
    custom = call["custom"]
    said = custom.get("input")
    arguments = orjson.dumps({TEXT: said if isinstance(said, str) else ""}).decode()
    rest = {name: value for name, value in call.items() if name not in ("type", "custom")}
    return {**rest, "type": "function", "function": {"name": custom["name"], "arguments": arguments}}


def _named_in(choice: Any) -> bool:
    """Whether a custom tool is chosen, or is among those that are allowed."""
    return _is_custom(choice) or any(_is_custom(tool) for tool in _allowed(choice))


def _allowed(choice: Any) -> list[Any]:
    inner = choice.get("allowed_tools") if isinstance(choice, dict) and choice.get("type") == "allowed_tools" else None
    tools = inner.get("tools") if isinstance(inner, dict) else None
    return tools if isinstance(tools, list) else []


def _choice(choice: Json) -> Json:
    if _is_custom(choice):
        return {"type": "function", "function": {"name": choice["custom"]["name"]}}
    tools = [{"type": "function", "function": {"name": tool["custom"]["name"]}} if _is_custom(tool) else tool for tool in _allowed(choice)]
    return {**choice, "allowed_tools": {**choice["allowed_tools"], "tools": tools}}
