"""Recorded OpenAI requests and those written for OpenAI, in one spelling, and the SDKs' own types as judges of requests."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import pydantic
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_create_params as beta_params
from openai.types.chat import completion_create_params


@functools.cache
def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind)


def _valid(body: dict[str, Any], kind: Any) -> None:
    """Raises what is wrong. Iterables are validated as they are read, so they are read to their end."""
    json.dumps(_adapter(kind).validate_python(body), default=list)
    unknown = body.keys() - kind.__annotations__.keys() - {"stream"}
    assert not unknown, f"not in the SDK's types: {sorted(unknown)}"


def assert_openai_takes(body: dict[str, Any]) -> None:
    _valid(body, completion_create_params.CompletionCreateParamsBase)


def assert_anthropic_takes(body: dict[str, Any]) -> None:
    """By the types of the API, or where a request has something of the beta API by those. The newest types no longer list what
    older models take."""
    body = {name: value for name, value in body.items() if name not in ("temperature", "top_p", "top_k")}
    try:
        _valid(body, message_create_params.MessageCreateParamsBase)
    except (pydantic.ValidationError, AssertionError):
        _valid(body, beta_params.MessageCreateParamsBase)


def assert_anthropic_counts(body: dict[str, Any]) -> None:
    _valid(body, message_count_tokens_params.MessageCountTokensParams)


def normal(request: dict[str, Any]) -> dict[str, Any]:
    """A chat request with one spelling for what can be spelt in two ways: null for absent, one text part for a string, the two
    names of the limit, functions for tools, and what always goes upstream (`stream_options.include_usage`)."""
    request = copy.deepcopy(request)
    for name in ("model", "stream_options"):
        request.pop(name, None)
    limit = request.pop("max_tokens", None)
    request.setdefault("max_completion_tokens", limit)
    functions, choice = request.pop("functions", None), request.pop("function_call", None)
    if functions:
        request["tools"] = [{"type": "function", "function": function} for function in functions]
        request["tool_choice"] = {"type": "function", "function": choice} if isinstance(choice, dict) else choice
    request["messages"] = [_message(message, at) for at, message in enumerate(request["messages"])]
    return {name: value for name, value in request.items() if value is not None and value is not False and value != []}


def _message(message: dict[str, Any], at: int) -> dict[str, Any]:
    message = {name: value for name, value in message.items() if value is not None and value != []}
    content = message.get("content", "")
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        content = content[0]["text"]
    message["content"] = content
    call = message.pop("function_call", None)
    if call:
        message["tool_calls"] = [{"id": f"call_{at}", "type": "function", "function": call}]
    for call in message.get("tool_calls", []):
        if isinstance(call["function"]["arguments"], str):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"] or "{}")
    return message
