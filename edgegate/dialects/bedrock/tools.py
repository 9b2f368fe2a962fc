"""Tools and the choice among them. Converse has no `none`, and wants the tools wherever the history has calls.

Tools that Anthropic defined and the client runs (`bash_20250124`, `text_editor_20250728`) have no place in `toolConfig`: they
go beside it, in `additionalModelRequestFields`, to Claude only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.bedrock.families import Family
from edgegate.dialects.bedrock.turns import Turns, cache_point
from edgegate.dialects.chat import server_tool
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_lost, name_of_tool
from edgegate.errors import bad_request

_NO_CALLS: Json = {"text": "Do not call any tool in this turn: answer in words."}
_SYSTEM_TOOLS: Mapping[str, str] = {"web_search": "nova_grounding", "code_execution": "nova_code_interpreter"}
"""What Amazon runs for Nova, by the purpose of other vendors' tools (converse-tools-builtin-*)."""

_ANTHROPICS = re.compile(r"^(?:bash|text_editor)_20\d{6}$")
"""What Bedrock takes of them without a beta header (count_tokens-error-e400-ccd5191c)."""
_PLACEHOLDER = "not_in_use"


def anthropics_tools(chat: Chat, family: Family) -> list[Json]:
    """The tools that go beside `toolConfig`, as they are."""
    given = chat.get("tools")
    if family.claude is None or chat.get("tool_choice") == "none" or not isinstance(given, list):
        return []
    return [tool for tool in given if _is_anthropics(tool)]


def _is_anthropics(tool: Any) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and _ANTHROPICS.match(kind) is not None


def tool_config(chat: Chat, family: Family, turns: Turns, losses: Losses) -> Json | None:
    """`toolConfig`, None if there is none. Adds to `turns.system` what can be said in words only."""
    given = chat.get("tools") or []
    if not isinstance(given, list):
        raise bad_request("expected a list of tools", "tools")
    mode, allowed = _choice(chat.get("tool_choice"))
    tools: list[Json] = []
    beside = anthropics_tools(chat, family)
    for number, tool in enumerate(given):
        if tool in beside:
            continue
        written = _tool(tool, f"tools[{number}]", family, turns.names, losses)
        if written is None or (allowed is not None and written.get("toolSpec", {}).get("name") not in _sent(allowed, turns.names)):
            continue
        tools.append(written)
        if family.nova:  # caches system and messages, no tools
            if isinstance(tool, dict) and tool.get("cache_control") is not None:
                losses.drop("cache_control")
        elif (point := cache_point(tool, family, losses)) is not None:
            tools.append(point)
    if chat.get("web_search_options") is not None:
        _system_tool("web_search", "web_search_options", family, tools, losses)
    if mode == "none":
        if not turns.has_tools:
            return None  # without tools there are no calls: that is what `none` asks for
        if losses.near("tool_choice"):
            turns.system.append(_NO_CALLS)
    if not tools and turns.has_tools and losses.near("tools"):
        known = [tool.get("name") for tool in beside]
        names = [name for name in turns.called if name not in known] or [_PLACEHOLDER]
        tools = [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}} for name in names]
    if not tools:
        if mode in ("any", "tool"):  # toolConfig, which would say so, must not be without tools
            losses.drop("tool_choice")
        return None
    config: Json = {"tools": tools}
    choice = _written(mode, chat.get("tool_choice"), tools, family, turns.names, losses)
    if choice is not None:
        config["toolChoice"] = choice
    return config


def _tool(tool: Any, at: str, family: Family, names: Mapping[str, str], losses: Losses) -> Json | None:
    if not isinstance(tool, dict):
        raise bad_request("expected an object", at)
    if isinstance(tool.get("systemTool"), dict):
        return {"systemTool": tool["systemTool"]}
    if tool.get("type", "function") != "function" or "function" not in tool:
        found: list[Json] = []
        _system_tool(server_tool(tool), name_of_tool(tool), family, found, losses)
        return found[0] if found else None
    function = tool["function"]
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_request("expected a function with a name", f"{at}.function")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise bad_request("expected an object", f"{at}.function.parameters")
    schema = parameters or {"type": "object", "properties": {}}
    spec: Json = {"name": names[function["name"]], "inputSchema": {"json": schema if "type" in schema else {"type": "object", **schema}}}
    description = function.get("description")
    if isinstance(description, str) and description:
        spec["description"] = description
    if is_lost(tool):
        losses.drop("tools.extra_content")
    strict = function.get("strict")
    if strict is not None:
        if family.schema:
            spec["strict"] = strict is True
        elif strict:
            losses.drop("tools.strict")
    return {"toolSpec": spec}


def _system_tool(purpose: str, name: str, family: Family, tools: list[Json], losses: Losses) -> None:
    """Nova 2 runs both, the first generation (Premier) searches only."""
    ours = _SYSTEM_TOOLS.get(purpose) if family.nova == 2 or (family.nova and purpose == "web_search") else None
    tool: Json = {"systemTool": {"name": ours}}
    if ours is None:
        losses.drop(name)
    elif tool not in tools and losses.near(name):
        tools.append(tool)


def _choice(choice: Any) -> tuple[str, list[Any] | None]:
    """(auto, any, none or tool; the tools it is limited to). "" where nothing is said."""
    if choice is None:
        return "", None
    if isinstance(choice, str):
        kinds = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
        if choice in kinds:
            return kinds[choice], None
    elif isinstance(choice, dict):
        if (
            choice.get("type") == "function"
            and isinstance(choice.get("function"), dict)
            and isinstance(choice["function"].get("name"), str)
        ):
            return "tool", None
        allowed = choice.get("allowed_tools")
        if choice.get("type") == "allowed_tools" and isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
            return "any" if allowed.get("mode") == "required" else "auto", allowed["tools"]
    raise bad_request("expected auto, none, required or a function", "tool_choice")


def _sent(allowed: list[Any], names: Mapping[str, str]) -> set[str]:
    wanted = [tool.get("function") for tool in allowed if isinstance(tool, dict)]
    return {names.get(str(function.get("name")), "") for function in wanted if isinstance(function, dict)}


def _written(mode: str, choice: Any, tools: list[Json], family: Family, names: Mapping[str, str], losses: Losses) -> Json | None:
    if mode in ("", "none"):
        return None
    if not family.choice:
        if mode != "auto":  # which is what they do anyway
            losses.drop("tool_choice")
        return None
    if mode != "tool":
        return {mode: {}}
    name = names.get(choice["function"]["name"], choice["function"]["name"])
    if family.forced:
        return {"tool": {"name": name}}
    only = sum("toolSpec" in tool for tool in tools) == 1
    return {"any": {}} if only or losses.near("tool_choice") else None
