"""A GenerateContentRequest as a chat: the way back from `prompt.py`.

What the chat has words for is said in them, so that any provider can answer. The rest stays under Google's names: of
`generationConfig` and `toolConfig` what is left over, fields such as `safetySettings`, tools such as `{"googleSearch": {}}`.
`thinkingConfig` is both: an effort for others, and the very words for Gemini.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.anthropic.schema import is_strict
from edgegate.dialects.base import Chat, Json
from edgegate.dialects.gemini.conversation import Conversation
from edgegate.dialects.gemini.fields import a_number, a_text, a_word, an_object, named, objects, texts, wrong
from edgegate.dialects.gemini.schema import json_schema
from edgegate.errors import bad_request

_NUMBERS = {
    "temperature": "temperature", "topP": "top_p", "topK": "top_k", "maxOutputTokens": "max_completion_tokens", "seed": "seed",
    "presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty", "candidateCount": "n",
}  # fmt: skip

KEPT = frozenset(("safetySettings", "cachedContent", "labels", "modelArmorConfig", "store"))
"""Fields that the chat carries as they are."""

_SAID = frozenset(("model", "contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "serviceTier"))

_TIERS = {"STANDARD": "default", "FLEX": "flex", "PRIORITY": "priority"}
_EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
_BUDGETS = ((0, "none"), (1024, "low"), (8192, "medium"))
"""Up to how many tokens of thinking are what effort, for providers that take no number."""


def chat_of(request: Json) -> Chat:
    """A request, its names in any spelling. Raises a 400 that names the field for what cannot be understood."""
    request = named(request)
    conversation = Conversation()
    if "systemInstruction" in request:
        conversation.instruct(request["systemInstruction"])
    conversation.add(request.get("contents"))
    chat: Chat = {"messages": conversation.messages}
    _config(dict(an_object(request.get("generationConfig", {}), "generationConfig")), chat)
    functions = _tools(request.get("tools"), chat)
    if "toolConfig" in request:
        _choice(dict(an_object(request["toolConfig"], "toolConfig")), functions, chat)
    if "serviceTier" in request:
        tier = _TIERS.get(a_word(request["serviceTier"], "serviceTier"))
        if tier:
            chat["service_tier"] = tier
    for name, value in request.items():
        if name in KEPT or (name not in _SAID and not name.islower()):  # Google's own have a capital in the middle, the chat's have none
            chat[name] = value
        elif name not in _SAID:
            raise bad_request(f'Invalid JSON payload received. Unknown name "{name[:60]}": Cannot find field.', name[:60])
    return chat


def _config(config: Json, chat: Chat) -> None:
    where = "generationConfig"
    for theirs, ours in _NUMBERS.items():
        if theirs in config:
            chat[ours] = a_number(config.pop(theirs), f"{where}.{theirs}")
    if "stopSequences" in config and (stop := texts(config.pop("stopSequences"), f"{where}.stopSequences")):
        chat["stop"] = stop
    if config.get("responseLogprobs") is True:
        chat["logprobs"] = config.pop("responseLogprobs")
        if "logprobs" in config:
            chat["top_logprobs"] = a_number(config.pop("logprobs"), f"{where}.logprobs")
    _format(config, chat)
    _modalities(config, chat)
    thinking = config.get("thinkingConfig")
    if thinking is not None:
        effort = _effort(an_object(thinking, f"{where}.thinkingConfig"), f"{where}.thinkingConfig")
        if effort:
            chat["reasoning_effort"] = effort
    if config:
        chat["generationConfig"] = config


def _format(config: Json, chat: Chat) -> None:
    """The form of the answer: JSON, perhaps of a schema. Others (`text/x.enum`) only Gemini knows."""
    mime = a_text(config.get("responseMimeType") or "application/json", "generationConfig.responseMimeType")
    schema = config.get("responseJsonSchema")
    if schema is None:
        schema = json_schema(config.get("responseSchema"))
    if mime != "application/json":
        return
    if isinstance(schema, dict):
        # Gemini holds its answers to the schema; a schema that OpenAI's strict mode would refuse is at least a wish there
        wanted = {"name": "response", "schema": schema, **({"strict": True} if is_strict(schema) else {})}
        chat["response_format"] = {"type": "json_schema", "json_schema": wanted}
        for name in ("responseMimeType", "responseSchema", "responseJsonSchema"):
            config.pop(name, None)
    elif schema is not None:
        raise wrong("generationConfig.responseSchema", "an object")
    elif config.pop("responseMimeType", None):
        chat["response_format"] = {"type": "json_object"}


def _modalities(config: Json, chat: Chat) -> None:
    """What kinds of answers are wanted; text alone goes without saying. A voice by its name is `audio.voice`."""
    if "responseModalities" not in config:
        return
    where = "generationConfig.responseModalities"
    kinds = [a_word(kind, where).lower() for kind in texts(config.pop("responseModalities"), where)]
    if kinds not in ([], ["text"]):
        chat["modalities"] = kinds
    if "audio" not in kinds:
        return
    audio: Json = {"format": "pcm16"}
    speech = config.get("speechConfig")
    voice = speech.get("voiceConfig") if isinstance(speech, dict) else None
    built_in = voice.get("prebuiltVoiceConfig") if isinstance(voice, dict) else None
    name = built_in.get("voiceName") if isinstance(built_in, dict) else None
    if isinstance(name, str):
        audio["voice"] = name
        if speech == {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": name}}}:
            del config["speechConfig"]
    chat["audio"] = audio


def _effort(thinking: Json, where: str) -> str:
    if "thinkingLevel" in thinking:
        level = a_word(thinking["thinkingLevel"], f"{where}.thinkingLevel").lower()
        return level if level in _EFFORTS else ""
    if "thinkingBudget" not in thinking:
        return ""
    budget = a_number(thinking["thinkingBudget"], f"{where}.thinkingBudget")
    if budget < 0:  # as the model thinks best
        return ""
    return next((effort for most, effort in _BUDGETS if budget <= most), "high")


def _tools(value: Any, chat: Chat) -> list[str]:
    """Writes `tools`; gives the names of the functions among them."""
    tools: list[Json] = []
    names: list[str] = []
    for at, tool in enumerate(objects(value, "tools")):
        for kind, given in tool.items():
            if kind != "functionDeclarations":
                tools.append({kind: given})
                continue
            where = f"tools[{at}].functionDeclarations"
            for number, declaration in enumerate(objects(given, where)):
                made = _function(declaration, f"{where}[{number}]")
                names.append(made["function"]["name"])
                tools.append(made)
    if tools:
        chat["tools"] = tools
    return names


def _function(declaration: Json, where: str) -> Json:
    rest = dict(declaration)
    function: Json = {"name": a_text(rest.pop("name", ""), f"{where}.name")}
    if not function["name"]:
        raise wrong(f"{where}.name", "the name of a function")
    if "description" in rest:
        function["description"] = a_text(rest.pop("description"), f"{where}.description")
    schema, plain = rest.pop("parameters", None), rest.pop("parametersJsonSchema", None)
    if plain is not None:
        function["parameters"] = an_object(plain, f"{where}.parametersJsonSchema")
    elif schema is not None:
        function["parameters"] = json_schema(an_object(schema, f"{where}.parameters"))
    tool: Json = {"type": "function", "function": function}
    if rest:  # behavior, response
        tool["extra_content"] = {"google": rest}
    return tool


def _choice(config: Json, functions: list[str], chat: Chat) -> None:
    """`tool_choice`, and what it cannot say as `toolConfig`. Other vendors refuse a choice where there are no functions."""
    calling = config.get("functionCallingConfig")
    if calling is not None and functions:
        where = "toolConfig.functionCallingConfig"
        an_object(calling, where)
        mode = a_word(calling.get("mode") or "AUTO", f"{where}.mode")
        allowed = texts(calling.get("allowedFunctionNames", []), f"{where}.allowedFunctionNames")
        if mode == "ANY" and len(allowed) == 1:
            chat["tool_choice"] = {"type": "function", "function": {"name": allowed[0]}}
        elif mode in ("ANY", "VALIDATED") and allowed:
            some = [{"type": "function", "function": {"name": name}} for name in allowed]
            kind = "required" if mode == "ANY" else "auto"
            chat["tool_choice"] = {"type": "allowed_tools", "allowed_tools": {"mode": kind, "tools": some}}
        else:
            chat["tool_choice"] = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
        if calling.keys() <= {"mode", "allowedFunctionNames"} and (mode in ("ANY", "AUTO", "NONE") or allowed):
            del config["functionCallingConfig"]
    if config:
        chat["toolConfig"] = config
