"""The messages of a chat as Ollama takes them: text in `content`, images beside it, arguments as objects.

Ollama knows no URLs for images. An http(s) URL is refused, naming the part, rather than dropped: an answer about a picture
that the model never saw is worse than an error. A tool's result carries the tool's name, looked up by the call's id.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import arguments_of, data_url
from edgegate.errors import bad_request

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}


def messages_of(chat: Chat, dropped: list[str]) -> list[Json]:
    """`chat["messages"]` in Ollama's format; appends to `dropped` what is lost."""
    given = chat.get("messages")
    if not isinstance(given, list) or not all(isinstance(message, dict) for message in given):
        raise bad_request("expected a list of messages", "messages")
    names: dict[str, str] = {}  # tool call id -> name of the function; of equal ids the last one before the result counts
    messages: list[Json] = []
    for at, message in enumerate(given):
        param = f"messages[{at}]"
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise bad_request(f"this provider has no role {role!r}: expected system, user, assistant or tool", f"{param}.role")
        text, images = _content(message.get("content"), f"{param}.content")
        written: Json = {"role": _ROLES[role], "content": text}
        if images:
            written["images"] = images
        if role == "assistant":
            _assistant(message, param, written, names)
        elif written["role"] == "tool":
            id = message.get("tool_call_id")
            name = names.get(id) if isinstance(id, str) else None
            name = name or message.get("name")
            if isinstance(name, str):
                written["tool_name"] = name
            if isinstance(id, str):
                written["tool_call_id"] = id  # read by newer versions, ignored by older ones
        if message.get("name") and written["role"] != "tool" and "messages[].name" not in dropped:
            dropped.append("messages[].name")
        messages.append(written)
    return messages


def _assistant(message: Json, param: str, written: Json, names: dict[str, str]) -> None:
    if not written["content"] and isinstance(message.get("refusal"), str):
        written["content"] = message["refusal"]
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        written["thinking"] = reasoning
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        written["tool_calls"] = [_call(call, f"{param}.tool_calls[{at}]", names) for at, call in enumerate(calls)]
    elif isinstance(message.get("function_call"), dict):
        written["tool_calls"] = [_call({"function": message["function_call"]}, f"{param}.function_call", names)]


def _call(call: Any, param: str, names: dict[str, str]) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_request("this provider takes calls of functions only: expected function.name", param)
    written: Json = {"function": {"name": function["name"], "arguments": arguments_of(call, param)}}
    if isinstance(call.get("id"), str):
        names[call["id"]] = function["name"]
        written["id"] = call["id"]
    return written


def _content(content: Any, param: str) -> tuple[str, list[str]]:
    """The text parts, joined, and the images."""
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        raise bad_request("expected a string or a list of parts", param)
    texts: list[str] = []
    images: list[str] = []
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal"):
            if not isinstance(part.get(kind), str):
                raise bad_request("expected a string", f"{param}[{at}].{kind}")
            texts.append(part[kind])
        elif kind == "image_url":
            images.append(_image(part.get("image_url"), f"{param}[{at}].image_url"))
        else:
            raise bad_request(f"this provider takes text and images, no part of type {kind!r}", f"{param}[{at}].type")
    return "".join(texts), images


def _image(image: Any, param: str) -> str:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise bad_request("expected a URL", f"{param}.url")
    found = data_url(url)
    if found is None:
        raise bad_request("this provider takes images only inline, as a base64 data: URL", f"{param}.url")
    return found[1]
