"""The messages of a chat as Mistral takes them.

Every message is rebuilt from the keys Mistral knows, because one it does not know (`name` on a user message, a leftover
`reasoning_content`) is a 422. What is left out without mention is what OpenAI itself ignores in a request (`annotations`,
an empty `refusal`) and marks that change no answer (`cache_control`, signatures of other providers). Reasoning goes back as
`thinking` chunks, with the signature if it was Mistral's own, but only to a model that reasons: the others refuse it. A last
message of the assistant's is the beginning of the answer, which Mistral wants to be told (`prefix`).
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json
from edgegate.dialects.chat import text_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.mistral.documents import document_of
from edgegate.dialects.mistral.ids import fitting
from edgegate.dialects.mistral.reply import SIGNED
from edgegate.dialects.sealed import is_sealed
from edgegate.dialects.vendor_parts import is_record, told
from edgegate.errors import bad_request

_OWN_PARTS = ("document_url", "reference", "resource", "resource_link")  # Mistral's own content parts pass as they are
_BRIDGE: Json = {"role": "assistant", "content": "OK"}


def reasons(ask: Ask) -> bool:
    """Whether the model takes its reasoning back: magistral does, others when the request turns reasoning on."""
    effort = ask.chat.get("reasoning_effort")
    return "magistral" in ask.model or ask.chat.get("prompt_mode") == "reasoning" or effort not in (None, "none")


def messages_of(ask: Ask, losses: Losses) -> list[Json]:
    """`ask.chat["messages"]` in Mistral's format."""
    given = ask.chat.get("messages")
    if not isinstance(given, list) or not all(isinstance(message, dict) for message in given):
        raise bad_request("expected a list of messages", "messages")
    given = _with_calls(given)
    sent = fitting(_ids(given))
    thinking = reasons(ask)
    messages: list[Json] = []
    for at, message in enumerate(given):
        param = f"messages[{at}]"
        role = message.get("role")
        if role in ("system", "developer"):
            written = {"role": "system", "content": _content(message.get("content"), param, "system", losses)}
        elif role == "user":
            written = {"role": "user", "content": _content(message.get("content"), param, "user", losses)}
        elif role == "assistant":
            written = _assistant(message, param, sent, thinking, losses)
        elif role == "tool":
            written = _tool(message, param, sent, losses)
        else:
            raise bad_request(f"this provider has no role {role!r}: expected system, user, assistant or tool", f"{param}.role")
        if message.get("name") and role != "tool":
            losses.drop("messages[].name")
        if message.get("content") and not written["content"] and role not in ("user", "tool") and "tool_calls" not in written:
            continue  # nothing of it is left: only records of another vendor's tools
        # "Unexpected role 'user' after role 'tool'" (400, code 3230); the recording chat-tools-toolresult-toolchoice-1c770900
        # shows the bridge that another client puts in between.
        if written["role"] in ("user", "system") and messages and messages[-1]["role"] == "tool":
            messages.append(_BRIDGE)
        messages.append(written)
    if messages and messages[-1]["role"] == "assistant" and "prefix" not in messages[-1] and "tool_calls" not in messages[-1]:
        messages[-1]["prefix"] = True  # "Expected last role User or Tool (or Assistant with prefix True)" (400, code 3230)
    return messages


def _with_calls(messages: list[Json]) -> list[Json]:
    """Messages with OpenAI's older `function_call` and the role `function` in the newer words. Those calls have no ids: the
    result of one follows it."""
    if not any(message.get("role") == "function" or isinstance(message.get("function_call"), dict) for message in messages):
        return messages
    written: list[Json] = []
    id = ""
    for at, message in enumerate(messages):
        if isinstance(message.get("function_call"), dict) and not message.get("tool_calls"):
            id = f"function_call:{at}"
            call = {"id": id, "type": "function", "function": message["function_call"]}
            message = {**message, "tool_calls": [call]}
        elif message.get("role") == "function":
            message = {**message, "role": "tool", "tool_call_id": id or f"function:{at}"}
        written.append(message)
    return written


def _ids(messages: list[Json]) -> list[str]:
    ids = []
    for message in messages:
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            ids += [call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str)]
        if isinstance(message.get("tool_call_id"), str):
            ids.append(message["tool_call_id"])
    return ids


def _assistant(message: Json, param: str, sent: dict[str, str], thinking: bool, losses: Losses) -> Json:
    content = _content(message.get("content"), param, "assistant", losses)
    if not content and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    thoughts = _thoughts(message)
    if thoughts and thinking:
        rest = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
        content = [*thoughts, *rest]
    elif thoughts:
        losses.drop("messages[].reasoning_content")
    for name in ("audio", "images"):
        if message.get(name):
            losses.drop(f"messages[].{name}")
    written: Json = {"role": "assistant", "content": content}
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        written["tool_calls"] = [_call(call, f"{param}.tool_calls[{at}]", sent) for at, call in enumerate(calls)]
    if isinstance(message.get("prefix"), bool):
        written["prefix"] = message["prefix"]
    return written


def _thoughts(message: Json) -> list[Json]:
    """The reasoning as chunks: signed by Mistral itself, or its text by any of the chat's names for it."""
    details = message.get("reasoning_details")
    own = [detail for detail in details if isinstance(detail, dict) and detail.get("format") == SIGNED] if isinstance(details, list) else []
    chunks = [_thought(detail["text"], detail.get("signature")) for detail in own if isinstance(detail.get("text"), str)]
    if chunks:
        return chunks
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            return [_thought(message[name])]
    blocks = message.get("thinking_blocks")
    texts = [block.get("thinking") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    return [_thought(text) for text in texts if isinstance(text, str) and text]


def _thought(text: str, signature: Any = None) -> Json:
    chunk: Json = {"type": "thinking", "thinking": [{"type": "text", "text": text}] if text else []}
    return {**chunk, "signature": signature} if isinstance(signature, str) and not is_sealed(signature) else chunk


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


def _tool(message: Json, param: str, sent: dict[str, str], losses: Losses) -> Json:
    if not isinstance(message.get("tool_call_id"), str):
        raise bad_request("expected a string", f"{param}.tool_call_id")
    content = _content(message.get("content"), param, "tool", losses)
    written: Json = {"role": "tool", "tool_call_id": sent[message["tool_call_id"]], "content": content}
    if isinstance(message.get("name"), str):
        written["name"] = message["name"]
    if message.get("is_error"):
        losses.drop("messages[].is_error")
    return written


def _content(content: Any, param: str, role: str, losses: Losses) -> str | list[Json]:
    """A string stays one; a list becomes Mistral's chunks; null is the empty string."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise bad_request("expected a string or a list of parts", f"{param}.content")
    chunks = [_chunk(part, f"{param}.content[{at}]", role, losses) for at, part in enumerate(content)]
    kept = [chunk for chunk in chunks if chunk is not None]
    return "" if content and not kept else kept


def _chunk(part: Any, param: str, role: str, losses: Losses) -> Json | None:
    """None for what is left out and named."""
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
        if kind in _OWN_PARTS:
            return {key: value for key, value in part.items() if key != "cache_control"}
    if is_record(kind):
        losses.drop(f"content.{kind}")
        return None
    if isinstance(part, dict) and (text := told(part)) is not None:
        return {"type": "text", "text": text} if losses.near(f"content.{kind}") else None
    if role != "system" and kind in ("file", "document"):
        return document_of(part, param)
    if role == "assistant" and isinstance(kind, str):  # a vendor's own: the text beside it tells the outcome
        losses.drop(f"content.{kind[:40]}")
        return None
    raise bad_request(f"this provider takes no part of type {kind!r} in a {role} message", f"{param}.type")


def _image(image: Any, param: str) -> str | Json:
    if isinstance(image, str):
        return image
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        raise bad_request("expected a URL", f"{param}.url")
    return {key: image[key] for key in ("url", "detail") if image.get(key) is not None}


def prediction_of(value: Any) -> Json:
    """OpenAI's `prediction` may hold parts, Mistral's holds a string."""
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, (str, list)):
        raise bad_request("expected a string or text parts", "prediction.content")
    return {"type": "content", "content": text_of(content)}
