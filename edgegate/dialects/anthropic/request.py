"""A chat as a Messages request. What cannot be carried is named as dropped, what is written another way as mapped; a default
written out is no loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from edgegate.dialects.anthropic.abilities import Abilities, abilities_of
from edgegate.dialects.anthropic.custom import schema_as_tool, schema_of
from edgegate.dialects.anthropic.notes import Notes
from edgegate.dialects.anthropic.schema import closed
from edgegate.dialects.anthropic.thinking import is_thinking, think
from edgegate.dialects.anthropic.tools import write_tools
from edgegate.dialects.anthropic.turns import split_turns
from edgegate.dialects.base import Ask, Chat, Json
from edgegate.dialects.chat import max_tokens_of
from edgegate.dialects.custom import as_functions
from edgegate.dialects.openai.known import says_something
from edgegate.errors import bad_request

EXTENSIONS = (
    "top_k",
    "billing_policy",
    "cache_control",
    "compaction",
    "container",
    "context_management",
    "diagnostics",
    "fallback_credit_token",
    "fallbacks",
    "inference_geo",
    "mcp_servers",
    "speed",
    "thread",
    "user_profile_id",
    "workspace_id",
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
        "web_search_options",
        *EXTENSIONS,
    }
)
_DEFAULTS: tuple[Any, ...] = (None, False, 0, {}, [], ["text"], "medium")  # of logprobs, store, penalties, modalities, verbosity, ...
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_NEAR_TIERS = {"priority": "auto", "flex": "standard_only", "standard": "standard_only"}
"""`auto` uses priority capacity where the account has some. Flex is cheaper and slower than standard."""
_JSON = "Respond with a single valid JSON {what} and nothing else: no prose, no code fences."


def messages_request(ask: Ask, default_max_tokens: int) -> tuple[Json, Notes]:
    """(body, what to say about it)."""
    notes = Notes(ask.approximate)
    chat = as_functions(ask.chat, notes)
    if chat is not ask.chat:
        ask = replace(ask, chat=chat)
    if (chat.get("n") or 1) != 1:
        raise bad_request("this provider gives one choice", "n")
    abilities = abilities_of(ask.model)
    limit = max_tokens_of(chat)
    body: Json = {"model": ask.model, "max_tokens": default_max_tokens if limit is None else limit}
    system, body["messages"] = split_turns(chat["messages"], notes)
    if ask.stream:
        body["stream"] = True
    write_tools(chat, body, abilities, notes)
    _format(ask, body, system, abilities, notes)
    think(chat, body, abilities, notes, limited=limit is not None)
    for name in EXTENSIONS:
        if name == "context_management" and isinstance(chat.get(name), list):
            notes.drop(name)  # a list is that of Responses (openai/responses-26047a07)
        elif chat.get(name) is not None:
            body[name] = chat[name]
    _sampling(chat, body, abilities, notes)
    _account(chat, body, notes)
    if system:
        plain = len(system) == 1 and system[0].keys() == {"type", "text"}
        body["system"] = system[0]["text"] if plain else system
    for name, value in chat.items():
        if name not in _READ and says_something(name, value, _DEFAULTS):
            notes.drop(name)
    return body, notes


def _format(ask: Ask, body: Json, system: list[Json], abilities: Abilities, notes: Notes) -> None:
    """A schema is guaranteed by `output_config.format`. For models before it, it becomes a function that must be called, where
    that can be (`schema_as_tool`). JSON mode and the remaining schemas are asked for in words, which fits thinking and tools."""
    format = ask.chat.get("response_format")
    kind = format.get("type") if isinstance(format, dict) else None
    if format is None or kind == "text":
        return
    schema = schema_of(ask.chat)
    if schema is not None and abilities.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": closed(schema)}}
        return
    if kind not in ("json_object", "json_schema"):
        notes.drop("response_format")
        return
    if not notes.near("response_format"):
        return
    tool = schema_as_tool(ask.chat, ask.model)
    if tool is not None:
        body["tools"] = [tool]
        body["tool_choice"] = {"type": "tool", "name": tool["name"]}
        return
    text = _JSON.format(what="object" if schema is None else "value")
    if schema is not None:
        text += " It must match this JSON Schema: " + orjson.dumps(schema).decode()
    system.append({"type": "text", "text": text})


def _sampling(chat: Chat, body: Json, abilities: Abilities, notes: Notes) -> None:
    """The API takes temperatures up to 1, only 1 while thinking; the newest models take none of these fields."""
    thinking = is_thinking(body)
    temperature = chat.get("temperature")
    if temperature is not None:
        if not abilities.sampling or thinking:
            if temperature != 1:
                notes.drop("temperature")
            elif abilities.sampling:
                body["temperature"] = temperature
        else:
            if temperature <= 1 or notes.near("temperature"):
                body["temperature"] = min(temperature, 1)
    top_p = chat.get("top_p")
    if top_p is not None:
        beside = "temperature" in body and not abilities.top_p_too
        if abilities.sampling and not beside and not (thinking and top_p < 0.95):
            body["top_p"] = top_p
        elif top_p != 1:
            notes.drop("top_p")
    if "top_k" in body and (thinking or not abilities.sampling):
        del body["top_k"]
        notes.drop("top_k")
    stop = chat.get("stop")
    if stop:
        sequences = [stop] if isinstance(stop, str) else list(stop)
        kept = [sequence for sequence in sequences if isinstance(sequence, str) and sequence.strip()]
        if kept:
            body["stop_sequences"] = kept
        if len(kept) != len(sequences):  # a sequence of blanks, such as a new line, is refused
            notes.drop("stop")


def _account(chat: Chat, body: Json, notes: Notes) -> None:
    """Whom it is for. OpenAI's `metadata` is the app's own notes; Anthropic's takes a user's id and nothing else."""
    given = chat.get("metadata")
    metadata: Json = given if isinstance(given, dict) else {}
    user = chat.get("user") or chat.get("safety_identifier") or metadata.get("user_id")
    if user is not None:
        body["metadata"] = {"user_id": user}
    if metadata.keys() - {"user_id"}:
        notes.drop("metadata")
    tier = chat.get("service_tier")
    if isinstance(tier, str) and tier in _TIERS:
        body["service_tier"] = _TIERS[tier]
    elif isinstance(tier, str) and tier in _NEAR_TIERS:
        if notes.near("service_tier"):
            body["service_tier"] = _NEAR_TIERS[tier]
    elif tier is not None:
        notes.drop("service_tier")
