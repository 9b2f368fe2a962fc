"""A whole Message as a chat completion. A body that is an error, or no whole Message, raises; there is no empty answer."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.anthropic.citations import annotation
from edgegate.dialects.anthropic.custom import Stands
from edgegate.dialects.anthropic.errors import error_of, event_error
from edgegate.dialects.anthropic.usage import Tally
from edgegate.dialects.anthropic.words import finish_reason, is_told
from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import completion
from edgegate.dialects.custom import text_in
from edgegate.dialects.failure import bad_reply, parsed

NOTES = ("container", "context_management")
"""What a reply says beside the answer: the container its code ran in, edits made to the context."""


def read_message(body: bytes, progress: Progress) -> Json:
    """The Message, with `progress` filled. `content` may be empty: a model that has nothing to add after a tool's result
    answers so, and its stop reason says that this is all."""
    message = parsed(body)
    if error_of(message) is not None:
        raise event_error(message, body)
    if not isinstance(message, dict) or not isinstance(message.get("content"), list) or not isinstance(message.get("stop_reason"), str):
        raise bad_reply("the provider's reply is not a whole message")
    progress.started = progress.finished = True
    progress.events += 1
    progress.finish_reason = finish_reason(message["stop_reason"])
    model = message.get("model")
    progress.model = model if isinstance(model, str) else ""
    Tally(progress.usage).take(message.get("usage"))
    return message


def chat_completion(ask: Ask, body: bytes, progress: Progress) -> bytes:
    message = read_message(body, progress)
    stands = Stands(ask)
    answer = _answer([block for block in message["content"] if isinstance(block, dict)], stands)
    if stands.answer and progress.finish_reason == "tool_calls" and not answer.get("tool_calls"):
        progress.finish_reason = "stop"  # the only call was the answer
    extra, more = finishing(message)
    choice = {"index": 0, "message": {**answer, **extra}, **more, "finish_reason": progress.finish_reason, "logprobs": None}
    id = message.get("id")
    return completion(id if isinstance(id, str) and id else ask.id, ask.created, progress.model or ask.model, [choice], progress.usage)


def finishing(message: Json) -> tuple[Json, Json]:
    """Out of a Message or the delta of `message_delta`: what a refusal says about itself, for the message or delta; and for the
    choice the matched stop sequence (vLLM's name for it), a stop reason that OpenAI has no word for (OpenRouter's name), and
    Anthropic's own notes on the reply under its names."""
    reason = message.get("stop_reason")
    details = message.get("stop_details")
    words = details.get("explanation") if isinstance(details, dict) and reason == "refusal" else None
    more: Json = {name: message[name] for name in NOTES if isinstance(message.get(name), dict)}
    if isinstance(message.get("stop_sequence"), str):
        more["stop_reason"] = message["stop_sequence"]
    if is_told(reason, finish_reason(reason)):
        more["native_finish_reason"] = reason
    return ({"refusal": words} if isinstance(words, str) and words else {}, more)


def call_extra(block: Json) -> Json | None:
    """Who called a tool, where it was not the model itself (code that it runs): Anthropic wants it back."""
    caller = block.get("caller")
    if not isinstance(caller, dict) or caller.get("type") == "direct":
        return None
    return {"extra_content": {"anthropic": {"caller": caller}}}


def _answer(content: list[Json], stands: Stands) -> Json:
    text = ""
    reasoning: list[str] = []
    thinking: list[Json] = []
    calls: list[Json] = []
    annotations: list[Json] = []
    for block in content:
        kind = block.get("type")
        if kind == "text" and isinstance(block.get("text"), str):
            start = len(text)
            text += block["text"]
            cited: Any = block.get("citations") or []
            annotations += [annotation(item, start, len(text)) for item in cited if isinstance(item, dict)]
        elif kind == "thinking":
            if block.get("thinking"):
                reasoning.append(str(block["thinking"]))
            if block.get("signature"):
                thinking.append(block)
        elif kind == "redacted_thinking":
            thinking.append(block)
        elif kind == "tool_use" and stands.is_answer(str(block.get("name"))):
            text += orjson.dumps(block.get("input") or {}).decode()
        elif kind == "tool_use":
            calls.append(_call(block, stands))
    answer: Json = {"role": "assistant", "content": None if calls and not text else text}
    if reasoning:
        answer["reasoning_content"] = "".join(reasoning)
    if thinking:
        answer["thinking_blocks"] = thinking
    if calls:
        answer["tool_calls"] = calls
    if annotations:
        answer["annotations"] = annotations
    return answer


def _call(block: Json, stands: Stands) -> Json:
    id, name, given = block.get("id"), block.get("name"), block.get("input")
    if not isinstance(id, str) or not isinstance(name, str):
        raise bad_reply("a tool_use block of the provider's reply has no id or name")
    if stands.is_custom(name):
        return {"id": id, "type": "custom", "custom": {"name": name, "input": text_in(given)}}
    arguments = orjson.dumps(given if isinstance(given, dict) else {}).decode()
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **(call_extra(block) or {})}
