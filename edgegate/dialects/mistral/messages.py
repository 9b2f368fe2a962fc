"""The messages of a chat as Mistral takes them.

Every message is rebuilt from the keys Mistral knows, because one it does not know (`name` on a user message, a leftover
`reasoning_content`) is a 422. What is left out without mention is what OpenAI itself ignores in a request (`annotations`,
an empty `refusal`) and marks that change no answer (`cache_control`, signatures of other providers). Reasoning goes back as
a `thinking` chunk, but only to a model that reasons: the others refuse it.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json
from edgegate.dialects.chat import data_url, text_of
from edgegate.dialects.mistral.ids import fitting
from edgegate.errors import bad_request

_OWN_PARTS = ("document_url", "reference", "resource", "resource_link")  # Mistral's own content parts pass as they are
_BRIDGE: Json = {"role": "assistant", "content": "OK"}


def reasons(ask: Ask) -> bool:
    """Whether the model takes its reasoning back: magistral does, others when the request turns reasoning on."""
    effort = ask.chat.get("reasoning_effort")
    return "magistral" in ask.model or ask.chat.get("prompt_mode") == "reasoning" or effort not in (None, "none")


def messages_of(ask: Ask, dropped: list[str]) -> list[Json]:
    """`ask.chat["messages"]` in Mistral's format; appends to `dropped` what is lost."""
    given = ask.chat.get("messages")
    if not isinstance(given, list) or not all(isinstance(message, dict) for message in given):
        raise bad_request("expected a list of messages", "messages")
    sent = fitting(_ids(given))
    thinking = reasons(ask)
    messages: list[Json] = []
    for at, message in enumerate(given):
        param = f"messages[{at}]"
        role = message.get("role")
        if role in ("system", "developer"):
            written = {"role": "system", "content": _content(message.get("content"), param, "system")}
        elif role == "user":
            written = {"role": "user", "content": _content(message.get("content"), param, "user")}
        elif role == "assistant":
            written = _assistant(message, param, sent, thinking, dropped)
        elif role == "tool":
            written = _tool(message, param, sent)
        else:
            raise bad_request(f"this provider has no role {role!r}: expected system, user, assistant or tool", f"{param}.role")
        if message.get("name") and role != "tool":
            _lose("messages[].name", dropped)
        # "Unexpected role 'user' after role 'tool'" (400, code 3230); the recording chat-tools-toolresult-toolchoice-1c770900
        # shows the bridge that another client puts in between.
        if written["role"] in ("user", "system") and messages and messages[-1]["role"] == "tool":
            messages.append(_BRIDGE)
        messages.append(written)
    return messages


def _lose(name: str, dropped: list[str]) -> None:
    if name not in dropped:
        dropped.append(name)


def _ids(messages: list[Json]) -> list[str]:
    ids = []
    for message in messages:
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            ids += [call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str)]
        if isinstance(message.get("tool_call_id"), str):
            ids.append(message["tool_call_id"])
    return ids


def _assistant(message: Json, param: str, sent: dict[str, str], thinking: bool, dropped: list[str]) -> Json:
    content = _content(message.get("content"), param, "assistant")
    if not content and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        if thinking:
            chunk: Json = {"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}
            rest = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
            content = [chunk, *rest]
        else:
            _lose("messages[].reasoning_content", dropped)
    if message.get("audio"):
        _lose("messages[].audio", dropped)
    if message.get("function_call"):
        raise bad_request("this provider takes tool_calls, not the older function_call", f"{param}.function_call")
    written: Json = {"role": "assistant", "content": content}
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        written["tool_calls"] = [_call(call, f"{param}.tool_calls[{at}]", sent) for at, call in enumerate(calls)]
    if isinstance(message.get("prefix"), bool):
        written["prefix"] = message["prefix"]
    return written


def _call(call: Any, param: str, sent: dict[str, str]) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_request("this provider takes calls of functions only: expected function.name", param)
    if not isinstance(call.get("id"), str):
        raise bad_request("expected a string", f"{param}.id")
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments).decode()
    return {"id": sent[call["id"]], "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _tool(message: Json, param: str, sent: dict[str, str]) -> Json:
    if not isinstance(message.get("tool_call_id"), str):
        raise bad_request("expected a string", f"{param}.tool_call_id")
    content = _content(message.get("content"), param, "tool")
    written: Json = {"role": "tool", "tool_call_id": sent[message["tool_call_id"]], "content": content}
    if isinstance(message.get("name"), str):
        written["name"] = message["name"]
    return written


def _content(content: Any, param: str, role: str) -> str | list[Json]:
    """A string stays one; a list becomes Mistral's chunks; null is the empty string."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise bad_request("expected a string or a list of parts", f"{param}.content")
    return [_chunk(part, f"{param}.content[{at}]", role) for at, part in enumerate(content)]


def _chunk(part: Any, param: str, role: str) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" or (kind == "refusal" and role == "assistant"):
        text = part.get(kind)
        if not isinstance(text, str):
            raise bad_request("expected a string", f"{param}.{kind}")
        return {"type": "text", "text": text}
    if kind == "thinking" and role in ("assistant", "system") and isinstance(part.get("thinking"), list):
        return {key: part[key] for key in ("type", "thinking", "signature", "closed") if key in part}
    if role != "system":
        if kind == "image_url":
            return {"type": "image_url", "image_url": _image(part.get("image_url"), f"{param}.image_url")}
        if kind == "input_audio":
            audio = part.get("input_audio")
            data = audio.get("data") if isinstance(audio, dict) else audio
            if not isinstance(data, str):
                raise bad_request("expected base64 audio", f"{param}.input_audio.data")
            return {"type": "input_audio", "input_audio": data}
        if kind == "file":
            return _file(part, param)
        if kind in _OWN_PARTS:
            return {key: value for key, value in part.items() if key != "cache_control"}
    raise bad_request(f"this provider takes no part of type {kind!r} in a {role} message", f"{param}.type")


def _image(image: Any, param: str) -> str | Json:
    if isinstance(image, str):
        return image
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        raise bad_request("expected a URL", f"{param}.url")
    return {key: image[key] for key in ("url", "detail") if image.get(key) is not None}


def _file(part: Json, param: str) -> Json:
    """OpenAI's file part: an uploaded file by its id, or a document inline, which Mistral takes as a URL of its own."""
    file = part.get("file")
    if isinstance(part.get("file_id"), str):  # Mistral's own form
        return {"type": "file", "file_id": part["file_id"]}
    if isinstance(file, dict):
        if isinstance(file.get("file_id"), str):
            return {"type": "file", "file_id": file["file_id"]}
        data = file.get("file_data")
        if isinstance(data, str) and data_url(data) is not None:
            document: Json = {"type": "document_url", "document_url": data}
            if isinstance(file.get("filename"), str):
                document["document_name"] = file["filename"]
            return document
    raise bad_request("expected file_id, or file_data as a base64 data: URL", f"{param}.file")


def prediction_of(value: Any) -> Json:
    """OpenAI's `prediction` may hold parts, Mistral's holds a string."""
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, (str, list)):
        raise bad_request("expected a string or text parts", "prediction.content")
    return {"type": "content", "content": text_of(content)}
