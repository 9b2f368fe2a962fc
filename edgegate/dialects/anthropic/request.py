"""A chat as a Messages request. What cannot be carried is named in `dropped`; a default written out is no loss."""

from __future__ import annotations

import re
from typing import Any

import orjson

from edgegate.dialects.anthropic.abilities import Abilities, abilities_of
from edgegate.dialects.anthropic.blocks import drop
from edgegate.dialects.anthropic.schema import closed
from edgegate.dialects.anthropic.thinking import is_thinking, think
from edgegate.dialects.anthropic.turns import split_turns
from edgegate.dialects.base import Ask, Chat, Json
from edgegate.dialects.chat import max_tokens_of
from edgegate.errors import bad_request

EXTENSIONS = (
    "top_k",
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "speed",
    "user_profile_id",
)
"""Fields of Anthropic's, beside `thinking`, `output_config`, `metadata` and `service_tier`, that a chat may hold unchanged."""

_READ = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "thinking",
        "output_config",
        "user",
        "safety_identifier",
        "metadata",
        "service_tier",
        "n",
        *EXTENSIONS,
    }
)
_DEFAULTS: tuple[Any, ...] = (None, False, 0, {}, [], ["text"], "medium")  # of logprobs, store, penalties, modalities, verbosity, ...
_SERVER_TOOL = re.compile(r"_20\d{6}$|^mcp_toolset$")
"""Tools of Anthropic's own have dated types: `web_search_20250305`."""
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_JSON = "Respond with a single valid JSON {what} and nothing else: no prose, no code fences."


def messages_request(ask: Ask, default_max_tokens: int) -> tuple[Json, list[str]]:
    """(body, dropped)."""
    chat = ask.chat
    dropped: list[str] = []
    if (chat.get("n") or 1) != 1:
        raise bad_request("this provider gives one choice", "n")
    abilities = abilities_of(ask.model)
    limit = max_tokens_of(chat)
    body: Json = {"model": ask.model, "max_tokens": default_max_tokens if limit is None else limit}
    system, body["messages"] = split_turns(chat["messages"], dropped)
    if ask.stream:
        body["stream"] = True
    _tools(chat, body, abilities, dropped)
    _format(chat, body, system, abilities, dropped)
    think(chat, body, abilities, dropped, limited=limit is not None)
    for name in EXTENSIONS:
        if chat.get(name) is not None:
            body[name] = chat[name]
    _sampling(chat, body, abilities, dropped)
    _account(chat, body, dropped)
    if system:
        plain = len(system) == 1 and system[0].keys() == {"type", "text"}
        body["system"] = system[0]["text"] if plain else system
    for name, value in chat.items():
        # `x-` fields are meant for the gateway. `seed: 0` is a seed.
        if name not in _READ and not name.startswith("x-") and (value not in _DEFAULTS or (name == "seed" and value is not None)):
            dropped.append(name)
    return body, dropped


def _tools(chat: Chat, body: Json, abilities: Abilities, dropped: list[str]) -> None:
    tools = [tool for given in chat.get("tools") or [] if (tool := _tool(given, abilities, dropped)) is not None]
    choice = _choice(chat.get("tool_choice"))
    if not tools and not chat.get("mcp_servers"):
        if choice is not None and choice["type"] in ("any", "tool"):
            dropped.append("tool_choice")
        return
    if tools:
        body["tools"] = tools
    if chat.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice is not None:
        body["tool_choice"] = choice


def _tool(tool: Any, abilities: Abilities, dropped: list[str]) -> Json | None:
    """Tools that Anthropic runs are in the chat as they are; OpenAI's own kinds cannot be carried."""
    if not isinstance(tool, dict):
        raise bad_request("expected a list of objects", "tools")
    kind = tool.get("type")
    if kind != "function":
        if isinstance(kind, str) and _SERVER_TOOL.search(kind):
            return tool
        drop(f"tools[].{kind}", dropped)
        return None
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
            drop("tools[].function.strict", dropped)
    value.update((name, extra) for name, extra in tool.items() if name not in ("type", "function"))
    return value


def _choice(choice: Any) -> Json | None:
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "function" and isinstance(choice.get("function"), dict):
            return {"type": "tool", "name": choice["function"].get("name")}
        raise bad_request("this provider takes auto, none, required or a function", "tool_choice")
    if choice is None:
        return None
    kinds = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
    if choice not in kinds:
        raise bad_request("expected auto, none, required or a function", "tool_choice")
    return {"type": kinds[choice]}


def _format(chat: Chat, body: Json, system: list[Json], abilities: Abilities, dropped: list[str]) -> None:
    """A schema is guaranteed by `output_config.format`. JSON mode, and schemas for models before it, have no counterpart:
    the model is asked for JSON, which fits thinking and tools (a forced tool would not), and the field counts as dropped."""
    format = chat.get("response_format")
    kind = format.get("type") if isinstance(format, dict) else None
    if format is None or kind == "text":
        return
    schema: Any = (format.get("json_schema") or {}).get("schema") if kind == "json_schema" else None
    if isinstance(schema, dict) and abilities.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": closed(schema)}}
        return
    dropped.append("response_format")
    if kind not in ("json_object", "json_schema"):
        return
    text = _JSON.format(what="object" if schema is None else "value")
    if schema is not None:
        text += " It must match this JSON Schema: " + orjson.dumps(schema).decode()
    system.append({"type": "text", "text": text})


def _sampling(chat: Chat, body: Json, abilities: Abilities, dropped: list[str]) -> None:
    """The API takes temperatures up to 1, only 1 while thinking; the newest models take none of these fields."""
    thinking = is_thinking(body)
    temperature = chat.get("temperature")
    if temperature is not None:
        if not abilities.sampling or thinking:
            if temperature != 1:
                dropped.append("temperature")
            elif abilities.sampling:
                body["temperature"] = temperature
        else:
            body["temperature"] = min(temperature, 1)
            if temperature > 1:
                dropped.append("temperature")
    top_p = chat.get("top_p")
    if top_p is not None:
        beside = "temperature" in body and not abilities.top_p_too
        if abilities.sampling and not beside and not (thinking and top_p < 0.95):
            body["top_p"] = top_p
        elif top_p != 1:
            dropped.append("top_p")
    if "top_k" in body and (thinking or not abilities.sampling):
        del body["top_k"]
        dropped.append("top_k")
    stop = chat.get("stop")
    if stop:
        sequences = [stop] if isinstance(stop, str) else list(stop)
        kept = [sequence for sequence in sequences if isinstance(sequence, str) and sequence.strip()]
        if kept:
            body["stop_sequences"] = kept
        if len(kept) != len(sequences):  # a sequence of blanks, such as a new line, is refused
            dropped.append("stop")


def _account(chat: Chat, body: Json, dropped: list[str]) -> None:
    """Whom it is for. OpenAI's `metadata` is the app's own notes; Anthropic's takes a user's id and nothing else."""
    notes = chat.get("metadata")
    metadata: Json = notes if isinstance(notes, dict) else {}
    user = chat.get("user") or chat.get("safety_identifier") or metadata.get("user_id")
    if user is not None:
        body["metadata"] = {"user_id": user}
    if metadata.keys() - {"user_id"}:
        dropped.append("metadata")
    tier = chat.get("service_tier")
    if tier is not None:
        if isinstance(tier, str) and tier in _TIERS:
            body["service_tier"] = _TIERS[tier]
        else:
            dropped.append("service_tier")
