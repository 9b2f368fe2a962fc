"""The chat's tools and tool choice as Anthropic's.

Functions are said in other words. Tools that another vendor runs become Anthropic's of the same kind, which count as mapped: it
searches, fetches and computes too. A tool with nothing like it here is left out and named.
"""

from __future__ import annotations

import re
from typing import Any

from edgegate.dialects.anthropic.abilities import Abilities
from edgegate.dialects.anthropic.custom import searches
from edgegate.dialects.anthropic.notes import Notes
from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import server_tool
from edgegate.dialects.vendor_parts import is_lost, name_of_tool
from edgegate.errors import bad_request

_OWN = re.compile(r"_20\d{6}$|^mcp_toolset$")
"""Tools of Anthropic's own have dated types: `web_search_20250305`."""
_SERVER: dict[str, Json] = {
    "web_search": {"type": "web_search_20250305", "name": "web_search"},
    "web_fetch": {"type": "web_fetch_20250910", "name": "web_fetch"},
    "code_execution": {"type": "code_execution_20250825", "name": "code_execution"},
}
"""In the versions that all models with such tools take. None of them needs a beta header any more."""
_PLACE = ("city", "region", "country", "timezone")


def write_tools(chat: Chat, body: Json, abilities: Abilities, notes: Notes) -> None:
    """Writes `tools` and `tool_choice`."""
    given = chat.get("tools") or []
    choice, only = _choice(chat.get("tool_choice"), notes)
    tools: list[Json] = []
    for tool in given:
        written = _tool(tool, abilities, notes)
        if written is not None and (only is None or _named(tool) in only) and written not in tools:
            tools.append(written)
    options = chat.get("web_search_options")
    if isinstance(options, dict) and not searches(chat) and notes.near("web_search_options"):
        tools.append(_search(options, "web_search_options", notes))
    if not tools and not chat.get("mcp_servers"):
        if choice is not None and choice["type"] in ("any", "tool"):
            notes.drop("tool_choice")
        return
    if tools:
        body["tools"] = tools
    if chat.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice is not None:
        body["tool_choice"] = choice


def _tool(tool: Any, abilities: Abilities, notes: Notes) -> Json | None:
    if not isinstance(tool, dict):
        raise bad_request("expected a list of objects", "tools")
    kind = tool.get("type")
    if kind == "function":
        return _function(tool, abilities, notes)
    if isinstance(kind, str) and _OWN.search(kind):
        return tool
    purpose = server_tool(tool)
    name = name_of_tool(tool)[:60]
    if not purpose:
        notes.drop(name)
        return None
    if not notes.near(name):
        return None
    inner = tool if isinstance(kind, str) else next(iter(tool.values()))  # Gemini: {"google_search": {...}}
    return _search(inner if isinstance(inner, dict) else {}, name, notes) if purpose == "web_search" else dict(_SERVER[purpose])


def _function(tool: Json, abilities: Abilities, notes: Notes) -> Json:
    function = tool.get("function") or {}
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if "type" not in parameters:
        parameters = {"type": "object", **parameters}
    value: Json = {"name": function.get("name"), "input_schema": parameters}
    if function.get("description") is not None:
        value["description"] = function["description"]
    if function.get("strict") is not None:
        if abilities.schema:
            value["strict"] = function["strict"]
        elif function["strict"]:
            notes.drop("tools.strict")
    if is_lost(tool):
        notes.drop("tools.extra_content")
    for name, extra in tool.items():
        if name == "output_schema" or (name == "allowed_callers" and isinstance(extra, list) and "programmatic" in extra):
            notes.drop(f"tools.{name}")  # words of Responses (openai/responses-stream-tools-toolcall-reasoning-a1a2096b)
        elif name not in ("type", "function", "extra_content"):
            value[name] = extra
    return value


def _search(said: Json, at: str, notes: Notes) -> Json:
    """Anthropic's web search with what another vendor's was told: the user's place (flat at Responses, one deeper in a chat),
    the domains (Responses, Gemini, xAI). How much context to use has no counterpart."""
    tool = dict(_SERVER["web_search"])
    if isinstance(said.get("max_uses"), int):
        tool["max_uses"] = said["max_uses"]
    place = said.get("user_location")
    if isinstance(place, dict):
        deeper = place.get("approximate")
        inner: Json = deeper if isinstance(deeper, dict) else place
        known = {name: inner[name] for name in _PLACE if isinstance(inner.get(name), str) and inner[name]}
        if known:
            tool["user_location"] = {"type": "approximate", **known}
    given = said.get("filters")
    filters: Json = given if isinstance(given, dict) else {}
    allowed = said.get("allowed_domains") or filters.get("allowed_domains")
    blocked = said.get("blocked_domains") or filters.get("blocked_domains") or said.get("exclude_domains") or said.get("excludeDomains")
    if allowed and isinstance(allowed, list):
        tool["allowed_domains"] = allowed
    elif blocked and isinstance(blocked, list):
        tool["blocked_domains"] = blocked
    if said.get("search_context_size") not in (None, "medium"):
        notes.drop(f"{at}.search_context_size")
    return tool


def _choice(choice: Any, notes: Notes) -> tuple[Json | None, frozenset[str] | None]:
    """(tool choice, names of the tools it leaves; None for all). A choice among some of the tools is made by sending no
    others."""
    if choice is None:
        return None, None
    if not isinstance(choice, dict):
        kinds = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
        if choice not in kinds:
            raise bad_request("expected auto, none, required or a function", "tool_choice")
        return {"type": kinds[choice]}, None
    kind = choice.get("type")
    inner = choice.get(kind) if isinstance(kind, str) else None
    if kind == "function" and isinstance(inner, dict):
        return {"type": "tool", "name": inner.get("name")}, None
    if kind == "allowed_tools":
        among = inner if isinstance(inner, dict) else choice  # flat at Responses
        tools = among.get("tools")
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            raise bad_request("expected a list of objects", "tool_choice.allowed_tools.tools")
        if not notes.near("tool_choice"):
            return None, None
        return {"type": "any" if among.get("mode") == "required" else "auto"}, frozenset(_named(tool) for tool in tools)
    purpose = server_tool(choice)
    if purpose:
        return {"type": "tool", "name": _SERVER[purpose]["name"]}, None
    raise bad_request("this provider takes auto, none, required or a function", "tool_choice")


def _named(tool: Json) -> str:
    """A tool's name, wherever it stands; for tools that a vendor runs what they are for."""
    for inner in (tool.get("function"), tool.get("custom"), tool):
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return str(inner["name"])
    return server_tool(tool) or str(tool.get("type"))
