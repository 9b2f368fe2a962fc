"""A whole Converse reply as a chat completion, and what streams read the same way."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.bedrock.citations import annotation_of
from edgegate.dialects.bedrock.errors import inner_error, kind_inside, message_inside
from edgegate.dialects.bedrock.families import Family, family_of
from edgegate.dialects.bedrock.formats import TOOL, Format, format_of
from edgegate.dialects.bedrock.names import back, names_of
from edgegate.dialects.bedrock.usage import read_usage
from edgegate.dialects.chat import completion, dicts
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.errors import GatewayError, provider_error

_FINISH: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_MALFORMED = ("malformed_model_output", "malformed_tool_use")


class Reading:
    """What of the request decides how its reply is read. `forced`: a tool's input is the answer; `names`: tools that were
    sent under another name."""

    __slots__ = ("family", "forced", "names")

    def __init__(self, ask: Ask) -> None:
        self.family: Family = family_of(ask.model)
        self.forced = format_of(ask, self.family) is Format.TOOL
        self.names = back(names_of(ask.chat))


def finish_of(reason: str, called: bool) -> str:
    """OpenAI's word for a `stopReason`. Some models end their calls with `end_turn`. Reasons newer than the table count as
    `stop`: the answer is whole."""
    finish = _FINISH.get(reason, "stop")
    return "tool_calls" if called and finish == "stop" and reason != "stop_sequence" else finish


def malformed(reason: str) -> GatewayError | None:
    """The error for a reply without any content, because what the model wrote could not be read."""
    if reason not in _MALFORMED:
        return None
    return provider_error(502, "bad_reply", f"Bedrock could not read what the model wrote: {reason}")


def stop_sequence_of(value: Json) -> Json:
    """The matched sequence, for the choice (vLLM's name for it), if the model was asked to tell."""
    fields = value.get("additionalModelResponseFields")
    sequence = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return {"stop_reason": sequence} if isinstance(sequence, str) and value.get("stopReason") == "stop_sequence" else {}


def is_client_call(call: Json) -> bool:
    """Whether a `toolUse` is for the client; `server_tool_use` marks calls of tools that Amazon runs itself."""
    return call.get("type") != "server_tool_use"


def kept_reasoning(family: Family, text: str, signature: str, redacted: str, index: int) -> Json:
    """Fields of a message or delta with reasoning that must be sent back: as Anthropic's block where it is Claude's, under
    the maker's own format otherwise. Nothing for reasoning without a signature. `redacted` in base64."""
    if family.signs:
        if signature:
            return {"thinking_blocks": [{"type": "thinking", "thinking": text, "signature": signature}]}
        data = _text(redacted)
        return {"thinking_blocks": [{"type": "redacted_thinking", "data": data}]} if data else {}
    if signature:
        detail: Json = {"type": "reasoning.text", "text": text, "signature": signature}
    elif redacted:
        detail = {"type": "reasoning.encrypted", "data": redacted}
    else:
        return {}
    return {"reasoning_details": [{**detail, "format": family.format, "index": index}]}


def image_entry(format: Any, data: str, index: int) -> Json:
    kind = format if isinstance(format, str) else "png"
    return {"index": index, "type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}}


def chat_completion(ask: Ask, body: bytes, progress: Progress) -> bytes:
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Bedrock's reply is no JSON object")
    output = reply.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    reason = reply.get("stopReason")
    if not isinstance(content, list) or not isinstance(reason, str):
        kind, said = kind_inside(reply), message_inside(reply)
        raise inner_error(kind, said) if kind or said else bad_reply("Bedrock's reply is not a whole message")
    reading = Reading(ask)
    answer, called = _answer([block for block in content if isinstance(block, dict)], reading)
    fault = malformed(reason) if not content else None
    if fault is not None:
        raise fault
    read_usage(reply, progress.usage)
    progress.started = progress.finished = True
    progress.events += 1
    progress.model = ask.model
    progress.finish_reason = "stop" if reading.forced and reason == "tool_use" and not called else finish_of(reason, called)
    choice = {"index": 0, "message": answer, **stop_sequence_of(reply), "finish_reason": progress.finish_reason, "logprobs": None}
    return completion(ask.id, ask.created, ask.model, [choice], progress.usage)


def _answer(content: list[Json], reading: Reading) -> tuple[Json, bool]:
    """(message, whether it holds calls)."""
    text = ""
    reasoning: list[str] = []
    calls: list[Json] = []
    annotations: list[Json] = []
    images: list[Json] = []
    kept: Json = {}
    formatted: str | None = None
    for index, block in enumerate(content):
        if isinstance(block.get("text"), str):
            text += block["text"]
        elif isinstance(block.get("toolUse"), dict):
            call = block["toolUse"]
            if reading.forced and call.get("name") == TOOL:
                formatted = orjson.dumps(call.get("input")).decode()
            elif is_client_call(call):
                calls.append(_call(call, reading))
        elif isinstance(block.get("reasoningContent"), dict):
            said, state = _reasoning(block["reasoningContent"], reading.family, index)
            reasoning.append(said)
            for name, values in state.items():
                kept.setdefault(name, []).extend(values)
        elif isinstance(block.get("citationsContent"), dict):
            cited = block["citationsContent"]
            start = len(text)
            text += "".join([item["text"] for item in dicts(cited.get("content")) if isinstance(item.get("text"), str)])
            annotations += [annotation_of(item, start, len(text)) for item in dicts(cited.get("citations"))]
        elif isinstance(block.get("image"), dict):
            source = block["image"].get("source")
            if isinstance(source, dict) and isinstance(source.get("bytes"), str):
                images.append(image_entry(block["image"].get("format"), source["bytes"], len(images)))
    if formatted is not None:
        text = formatted
    answer: Json = {"role": "assistant", "content": None if calls and not text else text}
    if any(reasoning):
        answer["reasoning_content"] = "".join(reasoning)
    answer |= kept
    for name, values in (("tool_calls", calls), ("annotations", annotations), ("images", images)):
        if values:
            answer[name] = values
    return answer, bool(calls)


def _call(call: Json, reading: Reading) -> Json:
    id, name, given = call.get("toolUseId"), call.get("name"), call.get("input")
    if not isinstance(id, str) or not isinstance(name, str):
        raise bad_reply("a toolUse block of Bedrock's reply has no id or name")
    arguments = orjson.dumps(given if isinstance(given, dict) else {}).decode()
    return {"id": id, "type": "function", "function": {"name": reading.names.get(name, name), "arguments": arguments}}


def _reasoning(block: Json, family: Family, index: int) -> tuple[str, Json]:
    inner = block.get("reasoningText")
    said: Json = inner if isinstance(inner, dict) else {}
    text, signature, redacted = said.get("text"), said.get("signature"), block.get("redactedContent")
    words = text if isinstance(text, str) else ""
    mark, data = signature if isinstance(signature, str) else "", redacted if isinstance(redacted, str) else ""
    return words, kept_reasoning(family, words, mark, data, index)


def _text(data: str) -> str:
    """The bytes of redacted reasoning as Anthropic's own API has them: a string (converse-reasoning-68c8d1d3)."""
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, ValueError):
        return ""
