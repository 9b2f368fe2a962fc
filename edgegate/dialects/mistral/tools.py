"""The tools of a chat, and which of them to call, as Mistral takes them.

Tools that another vendor runs, or whose call only that vendor's own clients understand, are left out and named.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_lost, name_of_tool
from edgegate.errors import bad_request

_OWN_TOOLS = ("image_generation", "document_library", "connector")
_NO_PARAMETERS: Json = {"type": "object", "properties": {}}
_SILENT = ("type", "function", "cache_control")


def write_tools(chat: Json, body: Json, losses: Losses) -> None:
    """Writes `tools` and `tool_choice`."""
    tools, choice = chat.get("tools"), chat.get("tool_choice")
    if tools is not None and not isinstance(tools, list):
        raise bad_request("expected a list of tools", "tools")
    written = [tool for at, given in enumerate(tools or []) if (tool := _tool(given, f"tools[{at}]", losses)) is not None]
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        choice = _allowed(choice, written, losses)
    if written:
        body["tools"] = written
    if choice is None:
        return
    if tools and not written and choice != "none":
        if choice != "auto":
            losses.drop("tool_choice")
    elif isinstance(choice, str) and choice in ("auto", "none", "any", "required"):
        body["tool_choice"] = choice
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict) and isinstance(choice["function"].get("name"), str):
        body["tool_choice"] = {"type": "function", "function": {"name": choice["function"]["name"]}}
    else:
        losses.drop("tool_choice")


def _allowed(choice: Json, written: list[Json], losses: Losses) -> Any:
    """OpenAI's `allowed_tools`: the others are not offered, which the model cannot tell from not being allowed."""
    allowed = choice.get("allowed_tools")
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(allowed, dict) or not isinstance(tools, list) or not losses.near("tool_choice"):
        losses.drop("tool_choice")
        return None
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    written[:] = [tool for tool in written if tool["type"] != "function" or tool["function"]["name"] in names]
    return "required" if allowed.get("mode") == "required" else "auto"


def _tool(tool: Any, param: str, losses: Losses) -> Json | None:
    if isinstance(tool, dict) and isinstance(tool.get("type"), str) and tool["type"] in _OWN_TOOLS:
        return {key: value for key, value in tool.items() if key != "cache_control"}
    if isinstance(tool, dict) and isinstance(tool.get("type"), str) and tool["type"] != "function":
        losses.drop(name_of_tool(tool))
        return None
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        if isinstance(tool, dict) and tool and "type" not in tool and "function" not in tool:
            losses.drop(name_of_tool(tool))  # Gemini's: `{"google_search": {}}`
            return None
        raise bad_request("this provider takes tools of type function with a name", param)
    for key in tool:
        if key not in _SILENT and tool[key] and (key != "extra_content" or is_lost(tool)):
            losses.drop(f"tools.{key}")
    written: Json = {"name": function["name"], "parameters": function.get("parameters") or _NO_PARAMETERS}
    for key in ("description", "strict"):
        if function.get(key) is not None:
            written[key] = function[key]
    return {"type": "function", "function": written}
