"""The structure of a Responses request: what routing, metering and translation rely on, in OpenAI's own words.

Structure, not taste: ranges, model names and types of items unknown here are left to the provider, and so is all that a stored
state could resolve (`previous_response_id`, `item_reference`): natively it can be. Null counts as absent. It runs on every
request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.openai import fields
from edgegate.dialects.openai.check import check_chat as check_foreign
from edgegate.dialects.openai.fields import Check, missing, unknown_value, wrong_type
from edgegate.errors import bad_request

ROLES = ("user", "assistant", "system", "developer")
STORED = ("previous_response_id", "conversation", "prompt")
"""Fields that stand for input which OpenAI keeps."""


def check_responses(request: Json) -> None:
    """Raises a 400 `GatewayError` that names the field and what was expected."""
    model = request.get("model")
    if model is None:
        raise missing("model")
    fields.filled(model, "model")
    if request.get("input") is None and all(request.get(name) is None for name in STORED):
        raise missing("input")
    fields.each(request, _CHECKS)
    foreign = {name: value for name, value in request.items() if name not in _KNOWN}
    if foreign:  # they go into the chat as they are, where `stop` or `seed` mean something
        if foreign.get("messages") is not None:
            moved = "Unsupported parameter: 'messages'. In the Responses API it is 'input'."
            raise bad_request(moved, "messages", code="unsupported_parameter")
        check_foreign({"model": "m", **foreign, "messages": [{"role": "user", "content": ""}]})


def _input(value: Any, param: str) -> None:
    if type(value) is str:
        return
    if type(value) is not list:
        raise wrong_type(param, "one of a string or an array of input items", value)
    for at, item in enumerate(value):
        where = f"{param}[{at}]"
        fields.object_(item, where)
        kind = item.get("type")
        if kind is None:
            kind = "message" if item.get("role") is not None else "item_reference"
        fields.filled(kind, f"{where}.type")
        check = _ITEMS.get(kind)
        if check is not None:
            check(item, where)


def _message(item: Json, param: str) -> None:
    role = item.get("role")
    if role is None:
        raise missing(f"{param}.role")
    fields.string(role, f"{param}.role")
    if role not in ROLES:
        raise unknown_value(f"{param}.role", ROLES)
    if item.get("content") is None:
        raise missing(f"{param}.content")
    _content(item["content"], f"{param}.content")


def _content(content: Any, param: str) -> None:
    if type(content) is str:
        return
    if type(content) is not list:
        raise wrong_type(param, "one of a string or an array of objects", content)
    for at, part in enumerate(content):
        where = f"{param}[{at}]"
        kind = fields.typed(part, where)
        if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
            _need(part, where, "text")
            if part.get("annotations") is not None:
                _objects(part["annotations"], f"{where}.annotations")
        elif kind == "refusal":
            _need(part, where, "refusal")
        elif kind == "input_image":
            _maybe(part, where, "image_url", "file_id", "detail")
            if part.get("image_url") is None and part.get("file_id") is None:
                raise missing(f"{where}.image_url")
        elif kind == "input_file":
            _maybe(part, where, "file_data", "file_url", "file_id", "filename")
            if all(part.get(name) is None for name in ("file_data", "file_url", "file_id")):
                raise missing(f"{where}.file_data")
        elif kind == "input_audio":
            fields.object_(part.get("input_audio"), f"{where}.input_audio")


def _need(item: Json, param: str, *names: str) -> None:
    for name in names:
        if item.get(name) is None:
            raise missing(f"{param}.{name}")
        fields.string(item[name], f"{param}.{name}")


def _maybe(item: Json, param: str, *names: str) -> None:
    for name in names:
        if item.get(name) is not None:
            fields.string(item[name], f"{param}.{name}")


def _objects(value: Any, param: str) -> None:
    if type(value) is not list:
        raise wrong_type(param, "an array of objects", value)
    for at, item in enumerate(value):
        fields.object_(item, f"{param}[{at}]")


def _call(item: Json, param: str) -> None:
    _need(item, param, "call_id", "name", "arguments")
    fields.filled(item["name"], f"{param}.name")
    _maybe(item, param, "id")


def _custom_call(item: Json, param: str) -> None:
    _need(item, param, "call_id", "name", "input")
    fields.filled(item["name"], f"{param}.name")
    _maybe(item, param, "id")


def _result(item: Json, param: str) -> None:
    _need(item, param, "call_id")
    if item.get("output") is None:
        raise missing(f"{param}.output")
    _content(item["output"], f"{param}.output")


def _reasoning(item: Json, param: str) -> None:
    _maybe(item, param, "id", "encrypted_content")
    for name in ("summary", "content"):
        if item.get(name) is not None:
            _objects(item[name], f"{param}.{name}")
            for at, part in enumerate(item[name]):
                _need(part, f"{param}.{name}[{at}]", "text")


def _reference(item: Json, param: str) -> None:
    _need(item, param, "id")


def _tools(tools: Any, param: str) -> None:
    if type(tools) is not list:
        raise wrong_type(param, "an array of objects", tools)
    for at, tool in enumerate(tools):
        where = f"{param}[{at}]"
        kind = fields.typed(tool, where)
        if kind not in ("function", "custom"):
            continue
        _need(tool, where, "name")
        fields.filled(tool["name"], f"{where}.name")
        _maybe(tool, where, "description")
        if kind == "function" and tool.get("parameters") is not None:
            fields.object_(tool["parameters"], f"{where}.parameters")
        if kind == "function" and tool.get("strict") is not None:
            fields.boolean(tool["strict"], f"{where}.strict")
        if kind == "custom" and tool.get("format") is not None:
            fields.typed(tool["format"], f"{where}.format")


def _tool_choice(choice: Any, param: str) -> None:
    if type(choice) is str:
        return
    if type(choice) is not dict:
        raise wrong_type(param, "one of a string or an object", choice)
    kind = fields.typed(choice, param)
    if kind in ("function", "custom"):
        _need(choice, param, "name")
        fields.filled(choice["name"], f"{param}.name")
    elif kind == "allowed_tools":
        _need(choice, param, "mode")
        allowed = choice.get("tools")
        if allowed is None:
            raise missing(f"{param}.tools")
        _objects(allowed, f"{param}.tools")
        for at, tool in enumerate(allowed):
            if fields.typed(tool, f"{param}.tools[{at}]") in ("function", "custom"):
                _need(tool, f"{param}.tools[{at}]", "name")


def _text(text: Any, param: str) -> None:
    fields.object_(text, param)
    _maybe(text, param, "verbosity")
    format = text.get("format")
    if format is None:
        return
    where = f"{param}.format"
    if fields.typed(format, where) == "json_schema":
        _maybe(format, where, "name", "description")
        if format.get("schema") is None:
            raise missing(f"{where}.schema")
        fields.object_(format["schema"], f"{where}.schema")
        if format.get("strict") is not None:
            fields.boolean(format["strict"], f"{where}.strict")


def _reasoning_options(reasoning: Any, param: str) -> None:
    fields.object_(reasoning, param)
    _maybe(reasoning, param, "effort", "summary", "generate_summary")


def _conversation(value: Any, param: str) -> None:
    if type(value) is not str:
        fields.object_(value, param)
        _need(value, param, "id")


_ITEMS: Mapping[str, Check] = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _result,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _result,
    "reasoning": _reasoning,
    "item_reference": _reference,
}

_CHECKS: Mapping[str, Check] = {
    "input": _input,
    "instructions": fields.string,
    "stream": fields.boolean,
    "stream_options": fields.stream_options,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": fields.boolean,
    "text": _text,
    "reasoning": _reasoning_options,
    "include": fields.strings,
    "max_output_tokens": fields.at_least(1),
    "max_tool_calls": fields.integer,
    "temperature": fields.number,
    "top_p": fields.number,
    "top_logprobs": fields.at_least(0),
    "metadata": fields.object_,
    "user": fields.string,
    "safety_identifier": fields.string,
    "prompt_cache_key": fields.string,
    "service_tier": fields.string,
    "store": fields.boolean,
    "background": fields.boolean,
    "truncation": fields.string,
    "previous_response_id": fields.string,
    "conversation": _conversation,
    "prompt": fields.object_,
}
_KNOWN = _CHECKS.keys() | {"model"}
