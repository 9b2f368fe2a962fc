"""A chat -> the body of `:generateContent`.

Everything a chat may carry is either mapped, refused with a 400 that names it, or named in `dropped`; nothing is lost in
silence. Values are passed on as they are: whether a model takes `seed` or forty stop sequences is for Google to say. Google's
own fields, which a client of Gemini's left in the chat under their own names (see `asking.py`), go out as they are and win.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import max_tokens_of, server_tool
from edgegate.dialects.custom import as_functions
from edgegate.dialects.gemini.asking import KEPT
from edgegate.dialects.gemini.fields import camel
from edgegate.dialects.gemini.flavours import Flavour, fit
from edgegate.dialects.gemini.media import google_of
from edgegate.dialects.gemini.names import generation, thinking_of
from edgegate.dialects.gemini.turns import Turns
from edgegate.dialects.losses import Losses
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
    "tools", "tool_choice", "response_format", "reasoning_effort", "thinking", "modalities", "audio", "web_search_options",
    "generationConfig", "toolConfig", "service_tier", *KEPT,
    *(name for name, _ in _SAMPLING),
})  # fmt: skip

_HARMLESS: dict[str, tuple[Any, ...]] = {
    "parallel_tool_calls": (True,),  # Gemini always may
}
"""Values that say what Gemini does anyway: leaving them out loses nothing."""

_TIERS = {"flex": "flex", "priority": "priority", "auto": "", "default": ""}

_HOSTED = frozenset((
    "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps", "fileSearch", "computerUse", "retrieval",
    "enterpriseWebSearch", "parallelAiSearch", "exaAiSearch", "mcpServers",
))  # fmt: skip
"""Gemini's own tools, taken as `{"googleSearch": {}}` in `tools`, as other gateways do."""

_SAME_USE = {"web_search": "googleSearch", "web_fetch": "urlContext", "code_execution": "codeExecution"}
"""What Gemini has of the kinds of tools that other vendors run."""

_OPENAI_VOICES = frozenset(
    ("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse")
)
"""Voices that Gemini has not: the name alone would be a 400."""


def body_of(chat: Chat, model: str, flavour: Flavour, losses: Losses) -> Json:
    """The request's body. Names what has no place in `losses`; raises a 400 `GatewayError` for what cannot be sent."""
    chat = as_functions(chat, losses)
    version = generation(model)
    turns = Turns(version[0], losses)
    turns.add(chat)
    body: Json = {"contents": turns.contents}
    if turns.system:
        body["systemInstruction"] = {"parts": turns.system}
    tools, functions, strict = _tools(chat, losses)
    if tools:
        body["tools"] = tools
    if strict and (version < (2, 5) or not losses.near("tools.strict")):
        losses.drop("tools.strict")
        strict = False
    calling = _calling(chat, functions, strict)
    own = chat.get("toolConfig")
    choice: Json = {"functionCallingConfig": calling} if calling else {}
    choice.update(own if isinstance(own, dict) else {})
    if choice:
        body["toolConfig"] = choice
    config = _config(chat, model, losses)
    if config:
        body["generationConfig"] = config
    tier = chat.get("service_tier")
    if isinstance(tier, str) and tier in _TIERS:
        if _TIERS[tier]:
            body["serviceTier"] = tier
    elif tier is not None:
        losses.drop("service_tier")
    body.update((name, chat[name]) for name in KEPT if chat.get(name) is not None)
    for name, value in chat.items():
        if name not in _READ and value not in (None, [], {}) and value not in _HARMLESS.get(name, ()):
            losses.drop(name)
    for name in ("generationConfig", "toolConfig"):
        if not isinstance(chat.get(name, {}), dict):
            losses.drop(name)
    if body.get("store") is False and "store" in flavour.fields:
        del body["store"]  # nothing is stored there
    fit(body, flavour, losses)
    if not body["contents"]:
        raise bad_request("expected at least one message that is not empty", "messages")
    return body


def _config(chat: Chat, model: str, losses: Losses) -> Json:
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
    _modalities(chat, config, losses)
    _format(chat.get("response_format"), config)
    given = chat.get("generationConfig")
    own: Json = {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else {}
    if "thinkingConfig" not in own:
        thinking = thinking_of(chat, model, losses)
        if thinking:
            config["thinkingConfig"] = thinking
    config.update(own)
    return config


def _modalities(chat: Chat, config: Json, losses: Losses) -> None:
    """`modalities` and `audio`. Gemini speaks or writes, not both: OpenAI's `["text", "audio"]` is speech. It sends samples
    without a header, which is OpenAI's pcm16; a wav is made of them (see `sound.py`)."""
    modalities = chat.get("modalities")
    if not isinstance(modalities, list) or modalities in ([], ["text"]):
        if chat.get("audio") is not None:
            losses.drop("audio")
        return
    kinds = [str(name).upper() for name in modalities]
    audio = chat.get("audio")
    if "AUDIO" not in kinds:
        config["responseModalities"] = kinds
        return
    if kinds != ["AUDIO"] and losses.near("modalities"):
        kinds = ["AUDIO"]
    config["responseModalities"] = kinds
    if not isinstance(audio, dict):
        return
    voice = audio.get("voice")
    if isinstance(voice, str) and voice.lower() not in _OPENAI_VOICES:
        config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
    elif voice is not None:
        losses.drop("audio.voice")
    if audio.get("format") not in (None, "pcm16", "wav"):
        losses.drop("audio.format")


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


def _tools(chat: Chat, losses: Losses) -> tuple[list[Json], list[str], bool]:
    """(tools, names of the functions among them, whether any function is strict)."""
    functions: list[Json] = []
    hosted: list[Json] = []
    foreign: list[tuple[str, str]] = []  # (what it is for, its name in the chat)
    strict = False
    given = chat.get("tools") or []
    if not isinstance(given, list):
        raise bad_request("expected a list", "tools")
    for at, tool in enumerate(given):
        if not isinstance(tool, dict):
            raise bad_request("expected an object", f"tools[{at}]")
        if "cache_control" in tool:
            losses.drop("cache_control")
        if "type" not in tool and "function" not in tool and _is_own(tool):
            hosted.append({camel(name): value for name, value in tool.items()})
        elif tool.get("type", "function") == "function":
            functions.append(_declaration(tool.get("function"), f"tools[{at}].function", google_of(tool)))
            strict = strict or bool(tool["function"].get("strict"))
        else:
            foreign.append((server_tool(tool), f"tools.{str(tool['type'])[:40]}"))
    if chat.get("web_search_options") is not None:
        foreign.append(("web_search", "web_search_options"))
        options = chat["web_search_options"]
        if isinstance(options, dict):
            for name, value in options.items():
                if value is not None:
                    losses.drop(f"web_search_options.{name}")
    for use, name in foreign:
        _host(use, name, functions, hosted, losses)
    tools = [{"functionDeclarations": functions}, *hosted] if functions else hosted
    return tools, [function["name"] for function in functions], strict


def _is_own(tool: Json) -> bool:
    """Whether this is a tool in Gemini's words: a known one, or one object under a name of Google's kind."""
    names = [camel(name) for name in tool]
    return any(name in _HOSTED for name in names) or (
        len(names) == 1 and not names[0].islower() and isinstance(tool[next(iter(tool))], dict)
    )


def _host(use: str, name: str, functions: list[Json], hosted: list[Json], losses: Losses) -> None:
    """Google's own tool for another vendor's of the same use. Beside functions most models refuse it, and the functions
    matter more."""
    kind = _SAME_USE.get(use)
    if kind is None or functions:
        losses.drop(name)
    elif losses.near(name) and not any(kind in tool for tool in hosted):
        hosted.append({kind: {}})


def _declaration(function: Any, where: str, google: Json) -> Json:
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
    declaration.update((name, google[name]) for name in ("behavior", "response", "responseJsonSchema") if name in google)
    return declaration


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
