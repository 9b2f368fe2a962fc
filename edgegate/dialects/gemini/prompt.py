"""A chat -> the body of `:generateContent`.

Everything a chat may carry is either mapped, refused with a 400 that names it, or named in `dropped`; nothing is lost in
silence. Values are passed on as they are: whether a model takes `seed` or forty stop sequences is for Google to say.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import max_tokens_of
from edgegate.dialects.gemini.names import generation, thinking_of
from edgegate.dialects.gemini.turns import Turns
from edgegate.errors import bad_request

_SAMPLING = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)

_READ = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "n", "logprobs", "top_logprobs",
    "tools", "tool_choice", "response_format", "reasoning_effort", "thinking", "modalities", "web_search_options",
    *(name for name, _ in _SAMPLING),
})  # fmt: skip

_HARMLESS: dict[str, tuple[Any, ...]] = {
    "parallel_tool_calls": (True,),  # Gemini always may
    "store": (False,),
    "service_tier": ("auto", "default"),
}
"""Values that say what Gemini does anyway: leaving them out loses nothing."""

_TIERS = ("flex", "priority")

_HOSTED = frozenset(
    ("googleSearch", "google_search", "codeExecution", "code_execution", "urlContext", "url_context", "googleMaps", "google_maps")
)
"""Gemini's own tools, taken as `{"googleSearch": {}}` in `tools`, as other gateways do."""


def body_of(chat: Chat, model: str, dropped: list[str]) -> Json:
    """The request's body. Names what has no place in `dropped`; raises a 400 `GatewayError` for what cannot be sent."""
    version = generation(model)
    turns = Turns(version[0], dropped)
    turns.add(chat)
    body: Json = {"contents": turns.contents}
    if turns.system:
        body["systemInstruction"] = {"parts": turns.system}
    tools, functions, strict = _tools(chat, dropped)
    if tools:
        body["tools"] = tools
    calling = _calling(chat, functions, strict and version >= (2, 5))
    if calling:
        body["toolConfig"] = {"functionCallingConfig": calling}
    if strict and version < (2, 5):
        dropped.append("tools[].function.strict")
    config = _config(chat, model, dropped)
    if config:
        body["generationConfig"] = config
    tier = chat.get("service_tier")
    if tier in _TIERS:
        body["serviceTier"] = tier
    for name, value in chat.items():
        if name in _READ or value in (None, [], {}) or value in _HARMLESS.get(name, ()):
            continue
        if name != "service_tier" or tier not in _TIERS:
            dropped.append(name)
    return body


def _config(chat: Chat, model: str, dropped: list[str]) -> Json:
    """`generationConfig`."""
    config: Json = {theirs: chat[ours] for ours, theirs in _SAMPLING if chat.get(ours) is not None}
    limit = max_tokens_of(chat)
    if limit is not None:
        config["maxOutputTokens"] = limit
    stop = chat.get("stop")
    if stop:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if chat.get("n") not in (None, 1):
        config["candidateCount"] = chat["n"]
    if chat.get("logprobs"):
        config["responseLogprobs"] = True
        if chat.get("top_logprobs"):
            config["logprobs"] = chat["top_logprobs"]
    modalities = chat.get("modalities")
    if isinstance(modalities, list) and modalities not in ([], ["text"]):
        config["responseModalities"] = [str(name).upper() for name in modalities]
    _format(chat.get("response_format"), config)
    thinking = thinking_of(chat, model, dropped)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _format(value: Any, config: Json) -> None:
    """`response_format`. The schema goes as plain JSON Schema: recorded with $defs, $ref and anyOf for 2.0 and later."""
    if value is None:
        return
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise bad_request("expected one of text, json_object, json_schema", "response_format.type")
    if kind == "text":
        return
    config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        named = value.get("json_schema")
        if not isinstance(named, dict):
            raise bad_request("expected an object", "response_format.json_schema")
        if named.get("schema") is not None:
            config["responseJsonSchema"] = named["schema"]


def _tools(chat: Chat, dropped: list[str]) -> tuple[list[Json], list[str], bool]:
    """(tools, names of the functions among them, whether any function is strict)."""
    functions: list[Json] = []
    hosted: list[Json] = []
    strict = False
    given = chat.get("tools") or []
    if not isinstance(given, list):
        raise bad_request("expected a list", "tools")
    for at, tool in enumerate(given):
        if not isinstance(tool, dict):
            raise bad_request("expected an object", f"tools[{at}]")
        if "cache_control" in tool and "cache_control" not in dropped:
            dropped.append("cache_control")
        if len(tool) == 1 and not _HOSTED.isdisjoint(tool):
            hosted.append(tool)
        elif tool.get("type", "function") != "function":
            dropped.append(f"tools[{at}]")
        else:
            functions.append(_declaration(tool.get("function"), f"tools[{at}].function"))
            strict = strict or bool(tool["function"].get("strict"))
    if chat.get("web_search_options") is not None:
        _search(chat["web_search_options"], functions, hosted, dropped)
    tools = [{"functionDeclarations": functions}, *hosted] if functions else hosted
    return tools, [function["name"] for function in functions], strict


def _declaration(function: Any, where: str) -> Json:
    """A function's parameters go as plain JSON Schema (`parametersJsonSchema`, recorded for 2.0, 2.5 and 3 with $ref, anyOf and
    additionalProperties): `parameters` is a subset of OpenAPI that would need the schema rewritten."""
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise bad_request("expected the name of a function", f"{where}.name")
    declaration: Json = {"name": name}
    if function.get("description"):
        declaration["description"] = function["description"]
    if function.get("parameters"):
        declaration["parametersJsonSchema"] = function["parameters"]
    return declaration


def _search(options: Any, functions: list[Json], hosted: list[Json], dropped: list[str]) -> None:
    """OpenAI's web search is Google's. Beside functions most models refuse it, and the functions matter more."""
    if functions:
        dropped.append("web_search_options")
        return
    if not any("googleSearch" in tool or "google_search" in tool for tool in hosted):
        hosted.append({"googleSearch": {}})
    if isinstance(options, dict):
        dropped.extend(f"web_search_options.{name}" for name, value in options.items() if value is not None)


def _calling(chat: Chat, functions: list[str], strict: bool) -> Json | None:
    """`functionCallingConfig`. VALIDATED is AUTO with arguments held to their schema, which is what `strict` asks for (recorded
    for 2.5 and 3); ANY holds them to it anyway."""
    choice = chat.get("tool_choice")
    if not functions:
        return None
    if choice is None:
        return {"mode": "VALIDATED"} if strict else None
    if choice == "auto":
        return {"mode": "VALIDATED" if strict else "AUTO"}
    if choice == "none":
        return {"mode": "NONE"}
    if choice in ("required", "any"):
        return {"mode": "ANY"}
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "function":
            return {"mode": "ANY", "allowedFunctionNames": [_name(choice, "tool_choice")]}
        allowed = choice.get("allowed_tools")
        if kind == "allowed_tools" and isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
            names = [_name(tool, "tool_choice.allowed_tools.tools[]") for tool in allowed["tools"]]
            # AUTO takes no list of names, VALIDATED does
            return {"mode": "ANY" if allowed.get("mode") == "required" else "VALIDATED", "allowedFunctionNames": names}
    raise bad_request("expected auto, none, required, or a function by name", "tool_choice")


def _name(value: Any, where: str) -> str:
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise bad_request("expected the name of a function", f"{where}.function.name")
    return name
