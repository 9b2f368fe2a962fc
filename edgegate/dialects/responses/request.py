"""A chat as a request to the Responses API.

A chat keeps no state at the provider: `store` is false unless the client said otherwise or refers to state itself. So that a
model that reasons can go on from its own reasoning, that is asked for in its encrypted form. A readable summary is asked for
only if the client wants to see reasoning (Anthropic's `thinking`, Ollama's `think`, ...): some organisations may not have it.
What the API has no field for is named; what would make it another question is a 400.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Ask, Chat, Json
from edgegate.dialects.chat import marks_cache, max_tokens_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.openai.known import TIERS, says_something
from edgegate.dialects.openai.quirks import PLAIN_MODELS
from edgegate.dialects.openai.request import is_reasoning
from edgegate.dialects.responses.offer import write_tools
from edgegate.dialects.responses.upstream import split_history
from edgegate.errors import bad_request

SHARED = ("temperature", "top_p", "metadata", "user", "prompt_cache_key", "prompt_cache_retention", "safety_identifier")
"""Fields that both APIs have, under one name and with one meaning."""

OWN = (
    "access_programs",
    "conversation",
    "image",
    "max_tool_calls",
    "moderation",
    "previous_response_id",
    "prompt",
    "prompt_cache_options",
    "truncation",
)
"""Fields of this API's own that a chat may hold unchanged; `include`, `reasoning` and `text` are completed here."""

ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_LEAST = 16
"""The smallest `max_output_tokens` that OpenAI takes: "integer_below_min_value"."""

_STATE = ("previous_response_id", "conversation", "background")
_REASONING = ("effort", "summary", "generate_summary", "context", "mode")
_READ = frozenset(
    (
        *SHARED,
        *OWN,
        "background",
        "context_management",
        "function_call",
        "functions",
        "include",
        "include_reasoning",
        "instructions",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "output_config",
        "parallel_tool_calls",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "text",
        "think",
        "thinking",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
        "web_search_options",
    )
)
_DEFAULTS: tuple[Any, ...] = (None, False, 0, {}, [], ["text"])  # of penalties, modalities, logit_bias, ...: no loss


def responses_body(ask: Ask) -> tuple[Json, Losses]:
    """The request's JSON, and what it lost."""
    chat = ask.chat
    losses = Losses(ask.approximate)
    if marks_cache(chat):
        losses.drop("cache_control")
    _refuse(chat)
    stored = chat.get("store") is True or any(chat.get(name) for name in _STATE)
    instructions, items = split_history(chat.get("messages"), stored, losses)
    body: Json = {"model": ask.model, "input": items}
    if instructions is not None:
        body["instructions"] = instructions
    if ask.stream:
        body["stream"] = True
        options = chat.get("stream_options")
        if isinstance(options, dict) and options.get("include_obfuscation") is not None:
            body["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
    for name in (*SHARED, *OWN):
        if chat.get(name) is not None:
            body[name] = chat[name]
    tier = chat.get("service_tier")
    if isinstance(tier, str) and tier in TIERS:
        body["service_tier"] = tier
    elif tier is not None:
        losses.drop("service_tier")
    write_tools(chat, body, losses)
    _limit(chat, body, losses)
    _text(chat, body)
    asked = chat.get("include")
    include = [name for name in asked if isinstance(name, str)] if isinstance(asked, list) else []
    _logprobs(chat, body, include)
    _reason(ask, body, include, losses)
    if include:
        body["include"] = list(dict.fromkeys(include))
    _state(ask, body, stored, losses)
    for name, value in chat.items():
        if name not in _READ and says_something(name, value, _DEFAULTS):
            losses.drop(name)
    return body, losses


def _refuse(chat: Chat) -> None:
    n = chat.get("n")
    if n is not None and n != 1:
        raise bad_request("this provider gives one choice", "n")
    modalities = chat.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        raise bad_request("this provider does not answer in audio", "modalities", code="unsupported_value")


def _limit(chat: Chat, body: Json, losses: Losses) -> None:
    limit = max_tokens_of(chat)
    if limit is None:
        return
    if (
        isinstance(limit, int)
        and limit < _LEAST
        and losses.near("max_completion_tokens" if "max_completion_tokens" in chat else "max_tokens")
    ):
        limit = _LEAST
    body["max_output_tokens"] = limit


def _text(chat: Chat, body: Json) -> None:
    given = chat.get("text")
    text: Json = dict(given) if isinstance(given, dict) else {}
    if chat.get("verbosity") is not None:
        text["verbosity"] = chat["verbosity"]
    format = chat.get("response_format")
    if isinstance(format, dict):
        schema = format.get("json_schema")
        if format.get("type") == "json_schema" and isinstance(schema, dict):
            kept = {name: value for name, value in schema.items() if value is not None}
            text["format"] = {"type": "json_schema", "name": "response", "schema": {}, **kept}
        else:
            text["format"] = format
    if text:
        body["text"] = text


def _logprobs(chat: Chat, body: Json, include: list[str]) -> None:
    wanted = chat.get("logprobs")
    top = chat.get("top_logprobs")
    if type(wanted) is int:  # Together: how many
        top = top if top is not None else wanted
    if top is not None:
        body["top_logprobs"] = top
    if wanted:
        include.append(_LOGPROBS)


def _reason(ask: Ask, body: Json, include: list[str], losses: Losses) -> None:
    chat = ask.chat
    given = chat.get("reasoning")
    asked: Json = given if isinstance(given, dict) else {}
    reasoning = {name: asked[name] for name in _REASONING if name in asked}
    for name in asked.keys() - set(_REASONING) - {"exclude", "enabled"}:
        losses.drop(f"reasoning.{name}")
    if chat.get("reasoning_effort") is not None:
        reasoning["effort"] = chat["reasoning_effort"]
    thinking = chat.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    seen = kind in ("enabled", "adaptive") and thinking.get("display") != "omitted" if isinstance(thinking, dict) else False
    seen = seen or _shown(chat)
    if seen and "summary" not in reasoning and reasoning.get("effort") != "none":
        reasoning["summary"] = "auto"
    model = ask.model.rpartition("/")[2].removeprefix("openai.")  # bedrock-mantle: openai.gpt-5.5
    if reasoning and model.startswith(PLAIN_MODELS) and not asked:
        losses.drop("reasoning_effort" if chat.get("reasoning_effort") is not None else "thinking")
        return
    if reasoning:
        body["reasoning"] = reasoning
    # "Encrypted content is not supported with this model" is what those that do not reason say
    if is_reasoning(model) or model.startswith("grok-4") or (reasoning and not asked) or _has_encrypted(body["input"]):
        include.append(ENCRYPTED)


def _shown(chat: Chat) -> bool:
    """Whether the client wants to see reasoning, in the words of another vendor: all but OpenAI show what was thought."""
    if chat.get("include_reasoning") is True:  # OpenRouter's
        return True
    if chat.get("think") or chat.get("token_budget"):  # Ollama's and Cohere's, beside the effort
        return True
    config = chat.get("generationConfig")  # Gemini's
    thinking = config.get("thinkingConfig") if isinstance(config, dict) else None
    return isinstance(thinking, dict) and thinking.get("includeThoughts") is True


def _has_encrypted(items: list[Json]) -> bool:
    return any(item.get("type") == "reasoning" and item.get("encrypted_content") for item in items)


def _state(ask: Ask, body: Json, stored: bool, losses: Losses) -> None:
    chat = ask.chat
    if chat.get("store") is not None:
        body["store"] = chat["store"]
    elif not stored:
        body["store"] = False
    if chat.get("background"):
        if ask.stream:
            body["background"] = True
        else:
            losses.drop("background")  # its answer would be that there is none yet; so the client waits for it instead
    management = chat.get("context_management")
    if isinstance(management, list):
        body["context_management"] = management
    elif management:  # Anthropic's is an object
        losses.drop("context_management")
    if isinstance(chat.get("instructions"), str):
        if "instructions" in body:
            body["input"].insert(0, {"role": "system", "content": body["instructions"]})
        body["instructions"] = chat["instructions"]
