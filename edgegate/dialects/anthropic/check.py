"""The structure of a Messages request: what routing, metering and translation rely on.

Structure, not taste: ranges, model names, media types and fields unknown here are left to the provider. Null counts as
absent where the API has it so. Fields are named as in Python, `messages[2].content[0].type`. It runs on every request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.openai.check import check_chat
from edgegate.errors import GatewayError, bad_request

_ROLES = ("user", "assistant", "system")  # system in the middle: the newest models (tool_addition)


def check_messages(request: Json, *, limited: bool = True) -> None:
    """Raises a 400 `GatewayError` that names the field and what was expected. `limited`: the request needs `max_tokens`, which
    one that only counts does not."""
    model = request.get("model")
    if type(model) is not str or not model:
        raise _expected("a string that is not empty", "model", model)
    limit = request.get("max_tokens")
    # 0 is the API's way of filling the prompt cache without an answer
    if (limited or limit is not None) and (type(limit) is not int or limit < 0):
        raise _expected("a positive integer", "max_tokens", limit)
    messages = request.get("messages")
    if type(messages) is not list or not messages:
        raise _expected("a list that is not empty", "messages", messages)
    for at, message in enumerate(messages):
        _message(message, f"messages[{at}]")
    for name, value in request.items():
        check = _CHECKS.get(name)
        if check is not None and value is not None:
            check(value, name)
    if "stream" in request and type(request["stream"]) is not bool:
        raise _expected("true or false", "stream", request["stream"])


def check_foreign(request: Json) -> None:
    """Of a checked request that becomes a chat: fields that Anthropic does not have go into it as they are, where `stop` or
    `seed` mean something."""
    foreign = {name: value for name, value in request.items() if name not in _KNOWN}
    if foreign:
        check_chat({"model": "m", "messages": [{"role": "user", "content": ""}], **foreign})


def _expected(what: str, param: str, value: Any) -> GatewayError:
    return bad_request("field required" if value is None else f"expected {what}", param)


def _message(message: Any, at: str) -> None:
    if type(message) is not dict:
        raise _expected("an object", at, message)
    if message.get("role") not in _ROLES:
        raise _expected("user or assistant", f"{at}.role", message.get("role"))
    content = message.get("content")
    if type(content) is not str:
        _blocks(content, f"{at}.content")


def _blocks(content: Any, at: str) -> None:
    if type(content) is not list:
        raise _expected("a string or a list of content blocks", at, content)
    for number, block in enumerate(content):
        _block(block, f"{at}[{number}]")


def _block(block: Any, at: str) -> None:
    kind = block.get("type") if type(block) is dict else None
    if type(kind) is not str:
        raise bad_request("expected an object with a type", at if type(block) is not dict else f"{at}.type")
    if kind == "text":
        _text(block.get("text"), f"{at}.text")
    elif kind == "image":
        source = block.get("source")
        if type(source) is not dict or type(source.get("type")) is not str:
            raise _expected("an object with a type", f"{at}.source", source)
        named = {"base64": ("media_type", "data"), "url": ("url",)}.get(source["type"], ())
        for name in named:
            _text(source.get(name), f"{at}.source.{name}")
    elif kind == "document":
        if type(block.get("source")) is not dict:
            raise _expected("an object", f"{at}.source", block.get("source"))
    elif kind == "tool_use":
        _text(block.get("id"), f"{at}.id")
        _text(block.get("name"), f"{at}.name")
        _object(block.get("input"), f"{at}.input")
    elif kind == "tool_result":
        _text(block.get("tool_use_id"), f"{at}.tool_use_id")
        content = block.get("content")
        if content is not None and type(content) is not str:
            if type(content) is list and any(type(inner) is dict and inner.get("type") == kind for inner in content):
                raise bad_request("a tool_result cannot hold another one", f"{at}.content")
            _blocks(content, f"{at}.content")
        if block.get("is_error") is not None:
            _flag(block["is_error"], f"{at}.is_error")
    elif kind == "thinking":
        _text(block.get("thinking"), f"{at}.thinking")


def _text(value: Any, at: str) -> None:
    if type(value) is not str:
        raise _expected("a string", at, value)


def _flag(value: Any, at: str) -> None:
    if type(value) is not bool:
        raise _expected("true or false", at, value)


def _number(value: Any, at: str) -> None:
    if type(value) is not float and type(value) is not int:
        raise _expected("a number", at, value)


def _integer(value: Any, at: str) -> None:
    if type(value) is not int:
        raise _expected("an integer", at, value)


def _object(value: Any, at: str) -> None:
    if type(value) is not dict:
        raise _expected("an object", at, value)


def _objects(value: Any, at: str) -> None:
    if type(value) is not list:
        raise _expected("a list of objects", at, value)
    for number, item in enumerate(value):
        _object(item, f"{at}[{number}]")


def _strings(value: Any, at: str) -> None:
    if type(value) is not list:
        raise _expected("a list of strings", at, value)
    for number, item in enumerate(value):
        _text(item, f"{at}[{number}]")


def _system(value: Any, at: str) -> None:
    if type(value) is str:
        return
    if type(value) is not list:
        raise _expected("a string or a list of text blocks", at, value)
    for number, block in enumerate(value):
        _block(block, f"{at}[{number}]")
        if block["type"] != "text":
            raise _expected("a text block", f"{at}[{number}].type", block["type"])


def _tools(value: Any, at: str) -> None:
    if type(value) is not list:
        raise _expected("a list of tools", at, value)
    for number, tool in enumerate(value):
        where = f"{at}[{number}]"
        _object(tool, where)
        kind = tool.get("type")
        if kind is not None:
            _text(kind, f"{where}.type")
        if kind is None or kind == "custom":  # otherwise a tool of Anthropic's own, its fields are its business
            _text(tool.get("name"), f"{where}.name")
            _object(tool.get("input_schema"), f"{where}.input_schema")
            if tool.get("description") is not None:
                _text(tool["description"], f"{where}.description")


def _tool_choice(value: Any, at: str) -> None:
    _object(value, at)
    kind = value.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        raise _expected("auto, any, tool or none", f"{at}.type", kind)
    if kind == "tool":
        _text(value.get("name"), f"{at}.name")
    if value.get("disable_parallel_tool_use") is not None:
        _flag(value["disable_parallel_tool_use"], f"{at}.disable_parallel_tool_use")


def _thinking(value: Any, at: str) -> None:
    _object(value, at)
    _text(value.get("type"), f"{at}.type")
    if value["type"] == "enabled":
        _integer(value.get("budget_tokens"), f"{at}.budget_tokens")


def _output_config(value: Any, at: str) -> None:
    _object(value, at)
    if value.get("format") is not None:
        _output_format(value["format"], f"{at}.format")
    if value.get("effort") is not None:
        _text(value["effort"], f"{at}.effort")


def _output_format(value: Any, at: str) -> None:
    _object(value, at)
    if value.get("type") == "json_schema":
        _object(value.get("schema"), f"{at}.schema")


def _metadata(value: Any, at: str) -> None:
    _object(value, at)
    if value.get("user_id") is not None:
        _text(value["user_id"], f"{at}.user_id")


_CHECKS: Mapping[str, Callable[[Any, str], None]] = {
    "system": _system,
    "stop_sequences": _strings,
    "temperature": _number,
    "top_p": _number,
    "top_k": _integer,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "thinking": _thinking,
    "output_config": _output_config,
    "output_format": _output_format,
    "metadata": _metadata,
    "service_tier": _text,
    "mcp_servers": _objects,
    "context_management": _object,
    "cache_control": _object,
}
_KNOWN = _CHECKS.keys() | {"model", "messages", "max_tokens", "stream"}
