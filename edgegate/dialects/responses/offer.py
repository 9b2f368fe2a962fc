"""The chat's tools, and which of them to use, as the Responses API takes them.

Its objects are flat: `{type: function, name, ...}`. A function is strict there unless told otherwise, in the chat it is the
other way round, so `strict` is always written. A tool that another vendor runs is replaced by OpenAI's of the same kind.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import server_tool
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_lost, name_of_tool
from edgegate.errors import bad_request

OWN_TOOLS = frozenset(
    (
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "namespace",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    )
)
"""Types of OpenAI's tools beside `function` and `custom`; they go as they are."""

_BESIDE = ("allowed_callers", "defer_loading", "output_schema")
_PLACE = ("city", "country", "region", "timezone")
_NOTHING: Json = {"type": "object", "properties": {}}


def write_tools(chat: Chat, body: Json, losses: Losses) -> None:
    """Writes `tools`, `tool_choice` and `parallel_tool_calls`."""
    tools = [made for tool in _listed(chat) if (made := _tool(tool, losses)) is not None]
    options = chat.get("web_search_options")
    if options is not None:
        tools.append(_search(options if isinstance(options, dict) else {}))
    choice = _choice(chat)
    if tools:
        body["tools"] = tools
    elif choice not in (None, "none", "auto") and not _brings_tools(chat):
        losses.drop("tool_choice")
        return
    if choice is not None:
        body["tool_choice"] = choice
    if chat.get("parallel_tool_calls") is not None and (tools or _brings_tools(chat)):
        body["parallel_tool_calls"] = chat["parallel_tool_calls"]


def _listed(chat: Chat) -> list[Any]:
    functions = [{"type": "function", "function": function} for function in chat.get("functions") or []]
    return [*(chat.get("tools") or []), *functions]


def _brings_tools(chat: Chat) -> bool:
    """Whether tools may come from elsewhere: the state of an earlier response, a stored prompt, items of the input."""
    if any(chat.get(name) for name in ("previous_response_id", "conversation", "prompt")):
        return True
    return any(
        isinstance(part, dict) and part.get("type") == "additional_tools"
        for message in chat["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def _tool(tool: Any, losses: Losses) -> Json | None:
    if not isinstance(tool, dict):
        raise bad_request("expected a list of objects", "tools")
    kind = tool.get("type")
    if kind == "function":
        return _function(tool, losses)
    if kind == "custom":
        return _custom(tool, losses)
    if isinstance(kind, str) and kind in OWN_TOOLS:
        return tool
    name = name_of_tool(tool)
    meant = server_tool(tool)
    if meant == "web_search" and losses.near(name):
        return _search_of(tool, losses)
    if meant == "code_execution" and losses.near(name):
        return {"type": "code_interpreter", "container": {"type": "auto"}}
    losses.drop(name)
    return None


def _function(tool: Json, losses: Losses) -> Json:
    given = tool.get("function")
    function: Json = given if isinstance(given, dict) else tool
    made: Json = {"type": "function", "name": function.get("name")}
    if "description" in function:
        made["description"] = function["description"]
    made["parameters"] = function.get("parameters") or _NOTHING
    made["strict"] = bool(function.get("strict"))
    made.update((name, tool[name]) for name in _BESIDE if tool.get(name) is not None)
    made.update((name, function[name]) for name in _BESIDE if function.get(name) is not None)
    if is_lost(tool):
        losses.drop("tools.extra_content")
    if tool.get("cache_control") is not None:
        losses.drop("cache_control")
    return made


def _custom(tool: Json, losses: Losses) -> Json:
    given = tool.get("custom")
    custom: Json = given if isinstance(given, dict) else tool
    made: Json = {"type": "custom", "name": custom.get("name")}
    if custom.get("description") is not None:
        made["description"] = custom["description"]
    format = custom.get("format")
    if isinstance(format, dict):
        grammar = format.get("grammar")
        made["format"] = {"type": "grammar", **grammar} if isinstance(grammar, dict) else format
    made.update((name, tool[name]) for name in _BESIDE if tool.get(name) is not None)
    if tool.get("cache_control") is not None:
        losses.drop("cache_control")
    return made


def _search(options: Json) -> Json:
    """Of the chat's `web_search_options`."""
    made: Json = {"type": "web_search"}
    if options.get("search_context_size") is not None:
        made["search_context_size"] = options["search_context_size"]
    place = options.get("user_location")
    if isinstance(place, dict):
        inner = place.get("approximate")
        _located(made, inner if isinstance(inner, dict) else place)
    return made


def _search_of(tool: Json, losses: Losses) -> Json:
    """Of Anthropic's or Gemini's search."""
    made: Json = {"type": "web_search"}
    domains = tool.get("allowed_domains")
    if isinstance(domains, list) and domains:
        made["filters"] = {"allowed_domains": domains}
    if isinstance(tool.get("user_location"), dict):
        _located(made, tool["user_location"])
    for name in ("blocked_domains", "max_uses"):
        if tool.get(name):
            losses.drop(f"tools.web_search.{name}")
    return made


def _located(made: Json, place: Json) -> None:
    made["user_location"] = {"type": "approximate", **{name: place[name] for name in _PLACE if place.get(name) is not None}}


def _choice(chat: Chat) -> Any:
    choice = chat.get("tool_choice")
    if choice is None:
        legacy = chat.get("function_call")
        return {"type": "function", "name": legacy.get("name")} if isinstance(legacy, dict) else legacy
    if isinstance(choice, str):
        return "required" if choice == "any" else choice
    if not isinstance(choice, dict):
        raise bad_request("expected a string or an object", "tool_choice")
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools")
        given: Json = allowed if isinstance(allowed, dict) else choice
        tools = [_chosen(tool) for tool in given.get("tools") or [] if isinstance(tool, dict)]
        return {"type": "allowed_tools", "mode": given.get("mode") or "auto", "tools": tools}
    return _chosen(choice)


def _chosen(choice: Json) -> Json:
    """`{type: function, function: {name}}`, the same of a custom tool, or one of OpenAI's as it is."""
    kind = choice.get("type")
    inner = choice.get(kind) if isinstance(kind, str) else None
    return {"type": kind, "name": inner.get("name")} if isinstance(inner, dict) else choice
