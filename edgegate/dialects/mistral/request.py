"""A chat as Mistral's request body: an allow-list, because a key Mistral does not know is a 422 for the whole request.

A key that is not carried is named in `dropped`, unless its value says no more than its absence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, WireRequest
from edgegate.dialects.chat import marks_cache, max_tokens_of
from edgegate.dialects.custom import as_functions
from edgegate.dialects.embedding import texts_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.mistral.messages import messages_of, prediction_of
from edgegate.dialects.mistral.tools import write_tools
from edgegate.errors import bad_request

_SAME = frozenset(
    (
        *("temperature", "top_p", "top_k", "stop", "n", "presence_penalty", "frequency_penalty", "repetition_penalty", "min_tokens"),
        *("random_seed", "parallel_tool_calls", "reasoning_effort", "prompt_mode", "safe_prompt", "guardrails", "metadata"),
        *("logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs", "prompt_cache_key"),
    )
)
_HANDLED = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "seed"),
        *("response_format", "tools", "tool_choice", "prediction", "service_tier", "thinking", "output_config"),
    )
)
_HOTTEST = 1.5
_SAYS_NOTHING: Json = {"store": False, "modalities": ["text"], "logit_bias": {}}
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


def chat_request(path: str, ask: Ask) -> WireRequest:
    """The whole request. Raises a 400 that names the field for what Mistral cannot be sent."""
    losses = Losses(ask.approximate)
    chat = as_functions(ask.chat, losses)
    if marks_cache(chat):
        losses.drop("cache_control")
    ask = replace(ask, chat=chat)
    body: Json = {"model": ask.model, "messages": messages_of(ask, losses), "stream": ask.stream}
    for key, value in chat.items():
        if value is None or key in _HANDLED or key.startswith("x-"):
            continue
        if key in _SAME:
            body[key] = value
        elif key not in _SAYS_NOTHING or _SAYS_NOTHING[key] != value:
            losses.drop(key)
    _thinking(chat, losses)
    _temperature(body, losses)
    limit = max_tokens_of(chat)
    if limit is not None:
        body["max_tokens"] = limit
    if chat.get("seed") is not None:
        body["random_seed"] = chat["seed"]
    if chat.get("response_format") is not None:
        body["response_format"] = _response_format(chat["response_format"])
    if chat.get("prediction") is not None:
        body["prediction"] = prediction_of(chat["prediction"])
    write_tools(chat, body, losses)
    tier = chat.get("service_tier")
    if tier is not None:
        if isinstance(tier, str) and tier in _TIERS:
            body["service_tier"] = _TIERS[tier]
        else:
            losses.drop("service_tier")
    accept = b"text/event-stream" if ask.stream else b"application/json"
    headers = [(b"content-type", b"application/json"), (b"accept", accept)]
    return WireRequest(path, orjson.dumps(body), headers, losses.dropped, losses.mapped)


def _temperature(body: Json, losses: Losses) -> None:
    """Mistral's scale ends at 1.5: "Input should be less than or equal to 1.5" (422)."""
    value = body.get("temperature")
    if isinstance(value, (int, float)) and value > _HOTTEST:
        if losses.near("temperature"):
            body["temperature"] = _HOTTEST
        else:
            del body["temperature"]


def _thinking(chat: Json, losses: Losses) -> None:
    """Anthropic's `thinking` and `output_config` say, beside the effort that the chat has anyway, a budget or nothing."""
    thinking, config = chat.get("thinking"), chat.get("output_config")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if chat.get("reasoning_effort") is None:
        if thinking is not None and kind != "disabled":
            losses.drop("thinking")
    elif kind == "enabled":
        losses.near("thinking")
    elif thinking is not None and kind not in ("adaptive", "disabled"):
        losses.drop("thinking")
    if config is not None and (not isinstance(config, dict) or config.keys() - {"effort"}):
        losses.drop("output_config")


def _response_format(value: Any) -> Json:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("text", "json_object"):
        return {"type": kind}
    schema = value.get("json_schema") if isinstance(value, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict) or not isinstance(schema.get("name"), str):
        raise bad_request("expected type text, json_object, or json_schema with a name", "response_format")
    written: Json = {"name": schema["name"], "schema": schema.get("schema") or {"type": "object"}}  # required here, not at OpenAI
    for key in ("description", "strict"):
        if schema.get(key) is not None:
            written[key] = schema[key]
    return {"type": "json_schema", "json_schema": written}


def embed_request(path: str, request: Json, model: str) -> WireRequest:
    """`encoding_format` is not passed on: numbers are asked for, and packed here."""
    body: Json = {"model": model, "input": texts_of(request)}
    dropped = []
    for key, value in request.items():
        if value is None or key in ("model", "input", "encoding_format"):
            continue
        if key in ("dimensions", "output_dimension"):
            body["output_dimension"] = value
        elif key in ("metadata", "output_dtype"):
            body[key] = value
        else:
            dropped.append(key)
    return WireRequest(path, orjson.dumps(body), [(b"content-type", b"application/json"), (b"accept", b"application/json")], dropped)
