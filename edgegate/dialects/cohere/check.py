"""The structure of the requests that Cohere clients send: what routing, metering and translation rely on.

Structure, not taste: ranges and fields unknown here are left to the provider. Null counts as absent. Faults are worded as Cohere words
them (`invalid type: parameter 'max_tokens' is of type string but should be of type int32.`) and name the field as in Python,
`messages[2].content[0].type`. It runs on every request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.openai.check import check_chat as check_foreign
from edgegate.errors import GatewayError, bad_request

_NAMES: Mapping[type, str] = {str: "string", bool: "bool", int: "int", float: "float", list: "array", dict: "object"}
_PARTS: Mapping[str, tuple[str, ...]] = {
    "system": ("text",),
    "user": ("text", "image_url"),
    "assistant": ("text", "thinking"),
    "tool": ("text", "document"),
}


def check_chat(request: Json) -> None:
    """Raises a 400 `GatewayError` that names the field and what was expected."""
    filled(request.get("model"), "model")
    messages = request.get("messages")
    if messages is None or messages == []:
        raise missing("messages")
    for at, message in enumerate(listed(messages, "messages")):
        _message(message, f"messages[{at}]")
    each(request, _CHAT)
    foreign = {name: value for name, value in request.items() if name not in _KNOWN}
    if foreign:  # they go into the chat as they are, where `stop` or `user` mean something
        check_foreign({"model": "m", "messages": [{"role": "user", "content": ""}], **foreign})


def check_embed(request: Json) -> None:
    filled(request.get("model"), "model")
    each(request, _EMBED)
    given = [name for name in ("texts", "images", "inputs") if request.get(name) is not None]
    if len(given) != 1 or not request[given[0]]:
        raise bad_request(
            "invalid request: exactly one of texts, images and inputs must be provided and not be empty", (given or ["texts"])[-1]
        )


def check_rerank(request: Json) -> None:
    filled(request.get("model"), "model")
    if not isinstance(request.get("query"), dict):
        filled(request.get("query"), "query")
    if not request.get("documents"):
        raise missing("documents")
    for at, document in enumerate(listed(request["documents"], "documents")):
        if type(document) not in (str, dict):
            raise wrong(document, "string", f"documents[{at}]")
    each(request, _RERANK)


def wrong(value: Any, expected: str, param: str) -> GatewayError:
    name = _NAMES.get(type(value), "null")
    return bad_request(f"invalid type: parameter '{param}' is of type {name} but should be of type {expected}.", param)


def missing(param: str) -> GatewayError:
    return bad_request(f"invalid request: {param} must be provided and not be empty", param)


def each(request: Json, checks: Mapping[str, Callable[[Any, str], Any]]) -> None:
    for name, value in request.items():
        check = checks.get(name)
        if check is not None and value is not None:
            check(value, name)


def text(value: Any, at: str) -> None:
    if value is None:
        raise missing(at)
    if type(value) is not str:
        raise wrong(value, "string", at)


def filled(value: Any, at: str) -> None:
    text(value, at)
    if not value:
        raise missing(at)


def flag(value: Any, at: str) -> None:
    if type(value) is not bool:
        raise wrong(value, "bool", at)


def number(value: Any, at: str) -> None:
    if type(value) is not float and type(value) is not int:
        raise wrong(value, "float64", at)


def integer(value: Any, at: str) -> None:
    if type(value) is not int:
        raise wrong(value, "int32", at)


def object_(value: Any, at: str) -> Json:
    if type(value) is not dict:
        raise wrong(value, "object", at)
    return dict(value)


def listed(value: Any, at: str) -> list[Any]:
    if type(value) is not list:
        raise wrong(value, "array", at)
    return value


def texts(value: Any, at: str) -> None:
    for place, item in enumerate(listed(value, at)):
        text(item, f"{at}[{place}]")


def _message(message: Any, at: str) -> None:
    object_(message, at)
    role = message.get("role")
    text(role, f"{at}.role")
    if role not in _PARTS:
        raise bad_request(f"invalid request: {at}.role must be one of system, user, assistant, tool", f"{at}.role")
    content = message.get("content")
    if type(content) is not str:
        if content is None:
            if role in ("user", "system", "tool"):
                raise missing(f"{at}.content")
        else:
            for place, part in enumerate(listed(content, f"{at}.content")):
                _part(part, role, f"{at}.content[{place}]")
    if role == "tool":
        text(message.get("tool_call_id"), f"{at}.tool_call_id")
    elif role == "assistant":
        for name, check in _ASSISTANT.items():
            if message.get(name) is not None:
                check(message[name], f"{at}.{name}")


def _part(part: Any, role: str, at: str) -> None:
    kind = object_(part, at).get("type")
    text(kind, f"{at}.type")
    if kind not in _PARTS[role]:
        raise bad_request(f"invalid request: {at}.type must be one of {', '.join(_PARTS[role])}", f"{at}.type")
    if kind == "image_url":
        image = part.get("image_url")
        if type(image) is not str:
            text(object_(image, f"{at}.image_url").get("url"), f"{at}.image_url.url")
    elif kind == "document":
        document = part.get("document")
        if type(document) is not str:
            object_(document, f"{at}.document")
    else:
        text(part.get(kind), f"{at}.{kind}")


def _calls(calls: Any, at: str) -> None:
    for place, call in enumerate(listed(calls, at)):
        where = f"{at}[{place}]"
        object_(call, where)
        text(call.get("id"), f"{where}.id")
        function = object_(call.get("function"), f"{where}.function")
        filled(function.get("name"), f"{where}.function.name")
        if function.get("arguments") is not None:
            text(function["arguments"], f"{where}.function.arguments")


def _tools(tools: Any, at: str) -> None:
    for place, tool in enumerate(listed(tools, at)):
        where = f"{at}[{place}]"
        if object_(tool, where).get("type", "function") != "function":
            raise bad_request(f"invalid request: {where}.type must be function", f"{where}.type")
        function = object_(tool.get("function"), f"{where}.function")
        filled(function.get("name"), f"{where}.function.name")
        if function.get("description") is not None:
            text(function["description"], f"{where}.function.description")
        if function.get("parameters") is not None:
            object_(function["parameters"], f"{where}.function.parameters")


def _tool_choice(value: Any, at: str) -> None:
    if value not in ("REQUIRED", "NONE"):
        raise bad_request(f"invalid request: {at} must be one of REQUIRED, NONE", at)


def _format(value: Any, at: str) -> None:
    if object_(value, at).get("type") not in ("text", "json_object"):
        raise bad_request(f"invalid request: {at}.type must be one of text, json_object", f"{at}.type")
    for name in ("json_schema", "schema"):
        if value.get(name) is not None:
            object_(value[name], f"{at}.{name}")


def _thinking(value: Any, at: str) -> None:
    if object_(value, at).get("type") not in ("enabled", "disabled"):
        raise bad_request(f"invalid request: {at}.type must be one of enabled, disabled", f"{at}.type")
    if value.get("token_budget") is not None:
        integer(value["token_budget"], f"{at}.token_budget")


def _documents(value: Any, at: str) -> None:
    for place, document in enumerate(listed(value, at)):
        if type(document) is not str:
            object_(document, f"{at}[{place}]")


def _inputs(value: Any, at: str) -> None:
    for place, item in enumerate(listed(value, at)):
        where = f"{at}[{place}].content"
        content = object_(item, f"{at}[{place}]").get("content")
        if not content:
            raise missing(where)
        for inner, part in enumerate(listed(content, where)):
            _part(part, "user", f"{where}[{inner}]")


def _types(value: Any, at: str) -> None:
    texts(value, at)
    for place, kind in enumerate(value):
        if kind not in ("float", "int8", "uint8", "binary", "ubinary", "base64"):
            raise bad_request("invalid request: valid embedding_types are float, int8, uint8, binary, ubinary, base64", f"{at}[{place}]")


_ASSISTANT: Mapping[str, Callable[[Any, str], Any]] = {"tool_plan": text, "tool_calls": _calls, "citations": listed}
_CHAT: Mapping[str, Callable[[Any, str], Any]] = {
    "stream": flag,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "strict_tools": flag,
    "documents": _documents,
    "citation_options": object_,
    "response_format": _format,
    "safety_mode": text,
    "max_tokens": integer,
    "stop_sequences": texts,
    "temperature": number,
    "seed": integer,
    "frequency_penalty": number,
    "presence_penalty": number,
    "k": integer,
    "p": number,
    "logprobs": flag,
    "thinking": _thinking,
    "priority": integer,
}
_KNOWN = _CHAT.keys() | {"model", "messages", "raw_prompting"}
_EMBED: Mapping[str, Callable[[Any, str], Any]] = {
    "texts": texts,
    "images": texts,
    "inputs": _inputs,
    "input_type": text,
    "embedding_types": _types,
    "output_dimension": integer,
    "max_tokens": integer,
    "truncate": text,
    "priority": integer,
}
_RERANK: Mapping[str, Callable[[Any, str], Any]] = {
    "top_n": integer,
    "top_k": integer,
    "max_tokens_per_doc": integer,
    "max_chunks_per_doc": integer,
    "return_documents": flag,
    "rank_fields": texts,
    "relevant_spans": object_,
    "priority": integer,
}
