"""Checks of Ollama requests, in the words of Ollama's own JSON decoder: what the translation relies on, no more.

As in Ollama, null counts as absent everywhere. Ollama refuses arguments of a call that are a string; here they may be one, for
clients that send back what they know from OpenAI.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.ollama.words import wrong_type
from edgegate.dialects.openai.check import check_chat as check_foreign
from edgegate.errors import bad_request

_NUMBERS = frozenset(
    {"temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repeat_penalty", "seed", "top_k", "num_predict"}
)
_FUNCTION: dict[str, tuple[type, str]] = {
    "name": (str, "string"),
    "description": (str, "string"),
    "parameters": (dict, "api.ToolFunctionParameters"),
}
_KNOWN = frozenset(
    {"model", "messages", "tools", "stream", "format", "options", "keep_alive", "think", "logprobs", "top_logprobs", "prompt", "suffix"}
    | {"system", "template", "raw", "context", "images", "truncate", "shift"}
)


def check_chat(request: Json) -> None:
    struct = "ChatRequest"
    _common(request, struct)
    for at, message in enumerate(_list(request, "messages", struct, "[]api.Message")):
        _message(message, f"messages[{at}]")
    for at, tool in enumerate(_list(request, "tools", struct, "api.Tools")):
        if type(tool) is not dict:
            raise wrong_type(tool, f"tools[{at}]", struct, "api.Tool")
        function = tool.get("function")
        if function is not None and type(function) is not dict:
            raise wrong_type(function, f"tools[{at}].function", struct, "api.ToolFunction")
        for name, (kind, go_type) in _FUNCTION.items():
            _maybe((function or {}).get(name), kind, f"tools[{at}].function.{name}", struct, go_type)


def check_generate(request: Json) -> None:
    struct = "GenerateRequest"
    _common(request, struct)
    for name in ("prompt", "suffix", "system", "template"):
        _maybe(request.get(name), str, name, struct, "string")
    _maybe(request.get("raw"), bool, "raw", struct, "bool")
    _list(request, "context", struct, "[]int")
    _images(request, "images", struct)


def check_embed(request: Json) -> None:
    _model(request)
    value = request.get("input")
    if value is not None and type(value) is not str and not (type(value) is list and all(type(text) is str for text in value)):
        raise bad_request("invalid input type", "input")
    _maybe(request.get("truncate"), bool, "truncate", "EmbedRequest", "bool")
    _maybe(request.get("dimensions"), int, "dimensions", "EmbedRequest", "int")
    _shared(request, "EmbedRequest")


def check_old_embed(request: Json) -> None:
    _model(request)
    _maybe(request.get("prompt"), str, "prompt", "EmbeddingRequest", "string")
    _shared(request, "EmbeddingRequest")


def _common(request: Json, struct: str) -> None:
    _model(request)
    _shared(request, struct)
    _maybe(request.get("stream"), bool, "stream", struct, "bool")
    _maybe(request.get("logprobs"), bool, "logprobs", struct, "bool")
    _maybe(request.get("top_logprobs"), int, "top_logprobs", struct, "int")
    if type(request.get("think")) not in (bool, str, type(None)):
        raise bad_request('think must be a boolean or string ("high", "medium", "low", true, or false)', "think")
    format = request.get("format")
    if type(format) not in (str, dict, type(None)) or (type(format) is str and format not in ("", "json")):
        raise bad_request('invalid format: expected "json" or a JSON schema', "format")
    foreign = {name: value for name, value in request.items() if name not in _KNOWN}
    if foreign:  # they go into the chat as they are, where `stop` or `temperature` mean something
        check_foreign({"model": "m", "messages": [{"role": "user", "content": ""}], **foreign})


def _model(request: Json) -> None:
    model = request.get("model")
    if type(model) is not str:
        raise bad_request("model is required", "model") if model is None else wrong_type(model, "model", "ChatRequest", "string")
    if not model:
        raise bad_request("model is required", "model")


def _shared(request: Json, struct: str) -> None:
    if type(request.get("keep_alive")) not in (str, int, float, type(None)):
        raise bad_request("keep_alive: unsupported type, expected a number of seconds or a duration such as 5m", "keep_alive")
    options = request.get("options")
    _maybe(options, dict, "options", struct, "map[string]interface {}")
    for name, value in (options or {}).items():
        if value is None:
            continue
        if name in _NUMBERS and type(value) not in (int, float):
            raise bad_request(f'option "{name}" must be of type number', f"options.{name}")
        if name == "stop" and type(value) is not str and not (type(value) is list and all(type(text) is str for text in value)):
            raise bad_request('option "stop" must be of type array', "options.stop")


def _maybe(value: Any, kind: type, path: str, struct: str, go_type: str) -> None:
    if value is not None and type(value) is not kind:
        raise wrong_type(value, path, struct, go_type)


def _list(request: Json, name: str, struct: str, go_type: str) -> list[Any]:
    value = request.get(name)
    _maybe(value, list, name, struct, go_type)
    return value or []


def _images(owner: Json, path: str, struct: str) -> None:
    images = owner.get("images")
    _maybe(images, list, path, struct, "[]api.ImageData")
    for at, image in enumerate(images or []):
        if type(image) is not str:
            raise wrong_type(image, f"{path}[{at}]", struct, "api.ImageData")
        if image.startswith(("http://", "https://")):
            raise bad_request("illegal base64 data at input byte 4: expected the image itself, not a URL", f"{path}[{at}]")


def _message(message: Any, at: str) -> None:
    struct = "ChatRequest"
    if type(message) is not dict:
        raise wrong_type(message, at, struct, "api.Message")
    role = message.get("role")
    if type(role) is not str or not role:
        raise wrong_type(role, f"{at}.role", struct, "string")
    for name in ("content", "thinking", "tool_name", "tool_call_id"):
        _maybe(message.get(name), str, f"{at}.{name}", struct, "string")
    _images(message, f"{at}.images", struct)
    calls = message.get("tool_calls")
    _maybe(calls, list, f"{at}.tool_calls", struct, "[]api.ToolCall")
    for number, call in enumerate(calls or []):
        path = f"{at}.tool_calls[{number}]"
        if type(call) is not dict or type(call.get("function")) is not dict:
            raise wrong_type(call if type(call) is not dict else call.get("function"), f"{path}.function", struct, "api.ToolCallFunction")
        function = call["function"]
        if type(function.get("name")) is not str:
            raise wrong_type(function.get("name"), f"{path}.function.name", struct, "string")
        arguments = function.get("arguments")
        if type(arguments) not in (dict, str, type(None)):
            raise wrong_type(arguments, f"{path}.function.arguments", struct, "api.ToolCallFunctionArguments")
