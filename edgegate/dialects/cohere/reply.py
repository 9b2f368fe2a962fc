"""Cohere's plain replies as chat completions, and the pieces that streams share with them."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import arguments_text
from edgegate.dialects.cohere.citations import noted
from edgegate.dialects.cohere.errors import error_inside, gave_up
from edgegate.dialects.cohere.usage import chat_usage, read_units
from edgegate.dialects.cohere.words import FAILED, finish_of, stopped
from edgegate.dialects.failure import bad_reply, check_content, parsed


def whole_chat(ask: Ask, body: bytes, progress: Progress) -> bytes:
    """A plain reply -> chat completion JSON."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Cohere's reply is no JSON object")
    message, reason = reply.get("message"), reply.get("finish_reason")
    if not isinstance(message, dict) or not isinstance(reason, str):
        raise error_inside(reply)
    billed = read_units(reply.get("usage"), progress.usage)
    if reason in FAILED:
        raise gave_up(reason, reply)
    id = piece_of(reply, "id") or ask.id
    written = _message(message, id)
    progress.model = progress.model or ask.model
    progress.finish_reason = finish_of(reason, called="tool_calls" in written)
    progress.started = progress.finished = True
    choice: Json = {"index": 0, "message": written, "finish_reason": progress.finish_reason, **stopped(reason, ask.chat)}
    logprobs = logprobs_of(reply.get("logprobs"))
    if logprobs:
        choice["logprobs"] = {"content": logprobs, "refusal": None}
    value: Json = {"id": id, "object": "chat.completion", "created": ask.created, "model": ask.model, "choices": [choice]}
    if progress.usage.reported:
        value["usage"] = chat_usage(progress.usage, billed)
    return orjson.dumps(value)


def _message(message: Json, id: str) -> Json:
    texts, thoughts = _texts(message.get("content"))
    plan = message.get("tool_plan")
    plan = plan if isinstance(plan, str) else ""
    given = message.get("tool_calls")
    calls = [_call(call, f"call_{id}_{at}") for at, call in enumerate(given)] if isinstance(given, list) else []
    text = plan + texts
    written: Json = {"role": "assistant", "content": text or (None if calls else "")}
    if thoughts:
        written["reasoning_content"] = thoughts
    if calls:
        written["tool_calls"] = calls
        if texts:  # which of the text is the plan: without it all of it would be
            written["tool_plan"] = plan or None
    notes = noted(message.get("citations"))
    if notes:
        written["annotations"] = notes
    return written


def _texts(content: Any) -> tuple[str, str]:
    """(text, thinking) of a content: a string, or a list of parts."""
    check_content(content, "Cohere")
    if isinstance(content, str):
        return content, ""
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "".join(piece_of(part, "text") for part in parts), "".join(piece_of(part, "thinking") for part in parts)


def piece_of(part: Json, kind: str) -> str:
    """The text of a part, or of a piece of one, if it is of this kind."""
    value = part.get(kind)
    return value if isinstance(value, str) else ""


def _call(call: Any, made: str) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_reply("Cohere's reply holds a tool call without a name")
    id = call.get("id")
    named = {"name": function["name"], "arguments": arguments_text(function) or "{}"}
    return {"id": id if isinstance(id, str) and id else made, "type": "function", "function": named}


def logprobs_of(items: Any) -> list[Json]:
    """Cohere's items `{text, token_ids, logprobs}` as OpenAI's entries. An item of several tokens is one entry with the
    probability of them all; what it held stays beside."""
    found: list[Json] = []
    for item in items if isinstance(items, list) else [items]:
        numbers = item.get("logprobs") if isinstance(item, dict) else None
        if isinstance(numbers, list) and numbers and all(type(number) in (int, float) for number in numbers):
            text = piece_of(item, "text")
            beside = {"token_ids": item.get("token_ids") or [], "logprobs": numbers}
            found.append(
                {"token": text, "logprob": sum(numbers), "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": [], **beside}
            )
    return found
