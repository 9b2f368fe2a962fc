"""The messages of a chat as Ollama takes them: text in `content`, images beside it, arguments as objects.

Ollama knows no URLs for images. An http(s) URL is refused, naming the part, rather than dropped: an answer about a picture
that the model never saw is worse than an error. So are sounds, videos and documents other than text. A tool's result carries
the tool's name, looked up by the call's id.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import arguments_of, data_url, text_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_record, told
from edgegate.errors import bad_request

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}


def messages_of(chat: Chat, losses: Losses) -> list[Json]:
    """`chat["messages"]` in Ollama's format."""
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
        content = message.get("content")
        text, images, thoughts = _content(content, f"{param}.content", losses, past=role == "assistant")
        written: Json = {"role": _ROLES[role], "content": text}
        if role == "assistant":
            images = _assistant(message, param, written, names, losses) + images
            if thoughts and "thinking" not in written:
                written["thinking"] = "".join(thoughts)
        elif written["role"] == "tool":
            _result(message, written, names, losses)
        if images:
            written["images"] = images
        if message.get("name") and written["role"] != "tool":
            losses.drop("messages[].name")
        if content and written == {"role": written["role"], "content": ""} and isinstance(content, list) and role != "user":
            continue  # nothing of it is left: only records of another vendor's tools
        messages.append(written)
    return messages


def _assistant(message: Json, param: str, written: Json, names: dict[str, str], losses: Losses) -> list[str]:
    """Fills the message; gives the pictures that an earlier answer held."""
    if not written["content"] and isinstance(message.get("refusal"), str):
        written["content"] = message["refusal"]
    thinking = _thinking(message)
    if thinking:
        written["thinking"] = thinking
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        written["tool_calls"] = [_call(call, f"{param}.tool_calls[{at}]", names) for at, call in enumerate(calls)]
    elif isinstance(message.get("function_call"), dict):
        written["tool_calls"] = [_call({"function": message["function_call"]}, f"{param}.function_call", names)]
    if message.get("audio"):
        losses.drop("messages[].audio")
    images = message.get("images")
    pictures = [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []
    return [_image(image.get("image_url"), f"{param}.images[{at}].image_url") for at, image in enumerate(pictures)]


def _thinking(message: Json) -> str:
    """The reasoning as text, by any of its names; what is signed by another vendor is told without its signature."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            return str(message[name])
    blocks = message.get("thinking_blocks")
    texts = [block.get("thinking") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def _result(message: Json, written: Json, names: dict[str, str], losses: Losses) -> None:
    id = message.get("tool_call_id")
    name = (names.get(id) if isinstance(id, str) else None) or message.get("name")
    if isinstance(name, str):
        written["tool_name"] = name
    if isinstance(id, str):
        written["tool_call_id"] = id  # read by newer versions, ignored by older ones
    if message.get("is_error"):
        losses.drop("messages[].is_error")


def _call(call: Any, param: str, names: dict[str, str]) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_request("this provider takes calls of functions only: expected function.name", param)
    written: Json = {"function": {"name": function["name"], "arguments": arguments_of(call, param)}}
    if isinstance(call.get("id"), str):
        names[call["id"]] = function["name"]
        written["id"] = call["id"]
    return written


def _content(content: Any, param: str, losses: Losses, *, past: bool) -> tuple[str, list[str], list[str]]:
    """The text parts, joined; the images; the thoughts that stand among the parts, as Mistral has them. `past`: it is an earlier
    answer, in which a part of another vendor's is only a record."""
    if content is None:
        return "", [], []
    if isinstance(content, str):
        return content, [], []
    if not isinstance(content, list):
        raise bad_request("expected a string or a list of parts", param)
    texts: list[str] = []
    images: list[str] = []
    thoughts: list[str] = []
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal"):
            if not isinstance(part.get(kind), str):
                raise bad_request("expected a string", f"{param}[{at}].{kind}")
            texts.append(part[kind])
        elif kind == "image_url":
            images.append(_image(part.get("image_url"), f"{param}[{at}].image_url"))
        elif kind == "thinking":
            thought = part.get("thinking")
            thoughts.append(thought if isinstance(thought, str) else text_of(thought))
        elif is_record(kind):
            losses.drop(f"content.{kind}")
        elif isinstance(part, dict) and (text := told(part)) is not None:
            if losses.near(f"content.{kind}"):
                texts.append(text)
        elif past and isinstance(kind, str):
            losses.drop(f"content.{kind[:40]}")
        else:
            raise bad_request(f"this provider takes text and images, no part of type {kind!r}", f"{param}[{at}].type")
    return "".join(texts), images, thoughts


def _image(image: Any, param: str) -> str:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise bad_request("expected a URL", f"{param}.url")
    found = data_url(url)
    if found is None:
        raise bad_request("this provider takes images only inline, as a base64 data: URL", f"{param}.url")
    return found[1]
