"""The tools of a chat as Ollama takes them: functions with a schema whose properties are objects, and no say in which is called.

Tools that a vendor runs, or whose call only a vendor's own clients understand, are left out and named.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_lost, name_of_tool
from edgegate.errors import bad_request

_NO_PARAMETERS: Json = {"type": "object", "properties": {}}
_SILENT = ("type", "function", "cache_control")


def write_tools(chat: Json, body: Json, losses: Losses) -> None:
    """Writes `tools`, if any are left and may be called."""
    tools, choice = chat.get("tools"), chat.get("tool_choice")
    if tools is not None and not isinstance(tools, list):
        raise bad_request("expected a list of tools", "tools")
    allowed = allowed_names(choice)
    if choice not in (None, "auto", "none") and (allowed is None or choice["allowed_tools"].get("mode") == "required"):
        losses.drop("tool_choice")
    if not tools or choice == "none":
        return
    written = [tool for at, given in enumerate(tools) if (tool := _tool(given, f"tools[{at}]", losses)) is not None]
    if allowed is not None and losses.near("tool_choice"):
        written = [tool for tool in written if tool["function"]["name"] in allowed]
    if written:
        body["tools"] = written


def allowed_names(choice: Any) -> set[str] | None:
    """The functions that OpenAI's `tool_choice: {type: allowed_tools}` allows; None for any other choice."""
    allowed = choice.get("allowed_tools") if isinstance(choice, dict) and choice.get("type") == "allowed_tools" else None
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(tools, list):
        return None
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    return {function["name"] for function in functions if isinstance(function, dict) and isinstance(function.get("name"), str)}


def _tool(tool: Any, param: str, losses: Losses) -> Json | None:
    if isinstance(tool, dict) and tool.get("type", "function") != "function" and isinstance(tool["type"], str):
        losses.drop(name_of_tool(tool))
        return None
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        if isinstance(tool, dict) and "type" not in tool and "function" not in tool and tool:
            losses.drop(name_of_tool(tool))  # Gemini's: `{"google_search": {}}`
            return None
        raise bad_request("this provider takes tools of type function with a name", param)
    for key in tool:
        if key not in _SILENT and tool[key] and (key != "extra_content" or is_lost(tool)):
            losses.drop(f"tools.{key}")
    written: Json = {"name": function["name"], "parameters": _parameters(function.get("parameters"), f"{param}.function.parameters")}
    if function.get("description") is not None:
        written["description"] = function["description"]
    if function.get("strict"):
        losses.drop("tools.strict")
    return {"type": "function", "function": written}


def _parameters(schema: Any, param: str) -> Json:
    """The schema. The Go structure it is read into wants an object for each property: `true`, which allows anything, is `{}`."""
    if not schema:
        return _NO_PARAMETERS
    if not isinstance(schema, dict):
        raise bad_request("expected a JSON Schema", param)
    properties = schema.get("properties")
    if isinstance(properties, dict) and not all(isinstance(value, dict) for value in properties.values()):
        schema = {**schema, "properties": {name: value if isinstance(value, dict) else {} for name, value in properties.items()}}
    return schema if "type" in schema else {"type": "object", **schema}
