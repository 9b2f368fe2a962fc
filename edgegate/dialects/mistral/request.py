"""A chat as Mistral's request body: an allow-list, because a key Mistral does not know is a 422 for the whole request.

A key that is not carried is named in `dropped`, unless its value says no more than its absence.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, WireRequest
from edgegate.dialects.chat import max_tokens_of
from edgegate.dialects.embedding import texts_of
from edgegate.dialects.mistral.messages import messages_of, prediction_of
from edgegate.errors import bad_request

_SAME = frozenset(
    (
        *("temperature", "top_p", "top_k", "stop", "n", "presence_penalty", "frequency_penalty", "repetition_penalty", "min_tokens"),
        *("random_seed", "parallel_tool_calls", "reasoning_effort", "prompt_mode", "safe_prompt", "guardrails", "metadata"),
        *("logprobs", "top_logprobs", "prompt_cache_key"),
    )
)
_HANDLED = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "seed"),
        *("response_format", "tools", "tool_choice", "prediction", "service_tier"),
    )
)
_SAYS_NOTHING: Json = {"store": False, "modalities": ["text"], "logit_bias": {}}
_OWN_TOOLS = ("image_generation", "document_library", "connector")
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_NO_PARAMETERS: Json = {"type": "object", "properties": {}}


def chat_request(path: str, ask: Ask) -> WireRequest:
    """The whole request. Raises a 400 that names the field for what Mistral cannot be sent."""
    chat = ask.chat
    dropped: list[str] = []
    body: Json = {"model": ask.model, "messages": messages_of(ask, dropped), "stream": ask.stream}
    for key, value in chat.items():
        if value is None or key in _HANDLED:
            continue
        if key in _SAME:
            body[key] = value
        elif key not in _SAYS_NOTHING or _SAYS_NOTHING[key] != value:
            dropped.append(key)
    limit = max_tokens_of(chat)
    if limit is not None:
        body["max_tokens"] = limit
    if chat.get("seed") is not None:
        body["random_seed"] = chat["seed"]
    if chat.get("response_format") is not None:
        body["response_format"] = _response_format(chat["response_format"])
    if chat.get("prediction") is not None:
        body["prediction"] = prediction_of(chat["prediction"])
    _tools(chat, body, dropped)
    tier = chat.get("service_tier")
    if tier is not None:
        if isinstance(tier, str) and tier in _TIERS:
            body["service_tier"] = _TIERS[tier]
        else:
            dropped.append("service_tier")
    accept = b"text/event-stream" if ask.stream else b"application/json"
    return WireRequest(path, orjson.dumps(body), [(b"content-type", b"application/json"), (b"accept", accept)], dropped)


def _tools(chat: Json, body: Json, dropped: list[str]) -> None:
    tools = chat.get("tools")
    if tools is not None:
        if not isinstance(tools, list):
            raise bad_request("expected a list of tools", "tools")
        body["tools"] = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]
        if not tools:
            del body["tools"]
    choice = chat.get("tool_choice")
    if choice is None:
        return
    if choice in ("auto", "none", "any", "required"):
        body["tool_choice"] = choice
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict) and isinstance(choice["function"].get("name"), str):
        body["tool_choice"] = {"type": "function", "function": {"name": choice["function"]["name"]}}
    else:
        dropped.append("tool_choice")


def _tool(tool: Any, param: str) -> Json:
    function = tool.get("function") if isinstance(tool, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        written: Json = {"name": function["name"], "parameters": function.get("parameters") or _NO_PARAMETERS}
        for key in ("description", "strict"):
            if function.get(key) is not None:
                written[key] = function[key]
        return {"type": "function", "function": written}
    if isinstance(tool, dict) and tool.get("type") in _OWN_TOOLS:
        return {key: value for key, value in tool.items() if key != "cache_control"}
    raise bad_request("this provider takes tools of type function with a name", param)


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
        elif key == "metadata":
            body[key] = value
        else:
            dropped.append(key)
    return WireRequest(path, orjson.dumps(body), [(b"content-type", b"application/json"), (b"accept", b"application/json")], dropped)
