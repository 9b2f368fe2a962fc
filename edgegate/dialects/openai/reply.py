"""Plain replies of OpenAI-shaped providers: read along, or put right for translators.

A 200 is not yet an answer: it may hold an error, an HTML page, half a document, or no choices. All these raise, so that
another attempt can be made. A reply that needs nothing put right goes on byte for byte.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import read_usage, tier_of
from edgegate.dialects.failure import bad_reply, check_content
from edgegate.dialects.openai.errors import from_event, hidden_error
from edgegate.dialects.openai.follow import BROKEN, broken, choices_of, index_of, reason_of, usage_in
from edgegate.dialects.openai.neutral import neutral_call, neutral_parts, neutral_usage

PLAIN_REASONS = frozenset(("stop", "length", "tool_calls", "content_filter"))
"""Finish reasons that mean the same to everyone."""


def parsed(body: bytes) -> Json:
    """A reply's JSON object; raises what is wrong with it."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        start = body[:64].lstrip()
        if not start:
            what = "an empty body"
        elif start.startswith(b"<"):
            what = "an HTML page"
        elif start.startswith((b"data:", b"event:", b":")):
            what = "an event stream nobody asked for"
        else:
            what = "invalid or incomplete JSON"
        raise bad_reply(f"The provider answered with {what}.") from None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    payload = hidden_error(value)
    if payload is not None:
        raise from_event(payload)
    if type(value) is not dict:
        raise bad_reply("The provider answered with JSON that is no object.")
    return value


def glance(body: bytes, progress: Progress) -> None:
    """Fills `progress` from a chat or text completion. The usual reply, one choice that says how it ended and an usage, is read
    straight; `read` judges everything else, and both fill the same."""
    try:
        value = orjson.loads(body)
        (choice,) = value["choices"]
        reason, model, usage = choice["finish_reason"], value["model"], value["usage"]
        usual = type(choice["message"]) is dict and type(reason) is type(model) is str and reason not in BROKEN and "error" not in value
    except (KeyError, ValueError, TypeError):
        usual = False  # another shape, or not JSON
    if usual and reason in PLAIN_REASONS and read_usage(usage, progress.usage):
        progress.finish_reason = reason
        progress.model = model
        if "service_tier" in value:
            progress.usage.tier = tier_of(value["service_tier"])
        progress.events = 1
        progress.started = progress.finished = True
    else:
        read(body, progress)


def read(body: bytes, progress: Progress) -> Json:
    """A chat or text completion, with `progress` filled from it."""
    reply = parsed(body)
    choices = choices_of(reply)
    if not choices:
        raise bad_reply("The provider's answer has no choices.")
    for choice in choices:
        reason = reason_of(choice)
        if reason in BROKEN:
            raise broken(reason)
        if not isinstance(choice.get("message"), dict) and not isinstance(choice.get("text"), str):
            raise bad_reply("The provider's answer has a choice without a message.")
        check_content((choice.get("message") or {}).get("content"), "The provider")
        if index_of(choice) == 0 or not progress.finish_reason:
            progress.finish_reason = reason or _implied(choice)
    usage = usage_in(reply)
    if usage:
        read_usage(usage, progress.usage)
    _settled(reply, progress)
    return reply


def read_embeddings(body: bytes, progress: Progress) -> Json:
    """An embeddings reply, with `progress` filled from it."""
    reply = parsed(body)
    data = reply.get("data")
    if type(data) is not list or not data or not all(type(item) is dict and item.get("embedding") for item in data):
        raise bad_reply("The provider's answer has no embeddings.")
    usage = usage_in(reply)
    if usage:
        read_usage(usage, progress.usage)
    _settled(reply, progress)
    return reply


def _settled(reply: Json, progress: Progress) -> None:
    model = reply.get("model")
    if isinstance(model, str):
        progress.model = model
    progress.usage.tier = tier_of(reply.get("service_tier"))
    progress.events = 1
    progress.started = progress.finished = True


def neutral_reply(ask: Ask, body: bytes, progress: Progress) -> bytes:
    """A chat completion as OpenAI itself would write it."""
    reply = read(body, progress)
    out: Json = dict(reply)
    out["choices"] = [_choice(choice, ask) for choice in choices_of(reply)]
    out["id"] = reply.get("id") or ask.id
    out["object"] = "chat.completion"
    out["created"] = reply.get("created") or ask.created
    out["model"] = reply.get("model") or ask.model
    usage = usage_in(reply)
    if usage and _lacks(usage, progress):
        out["usage"] = neutral_usage(usage, progress.usage)
    elif out.get("usage") is not None and not isinstance(out["usage"], dict):
        del out["usage"]
    return body if out == reply else orjson.dumps(out)


def _lacks(usage: Json, progress: Progress) -> bool:
    """Whether tokens are counted elsewhere than where OpenAI counts them, or a sum is missing."""
    details: Any = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    counted = progress.usage
    if usage.get("prompt_tokens") != counted.input_tokens or usage.get("completion_tokens") != counted.output_tokens:
        return True
    return (cached or 0) != counted.cached_tokens or not usage.get("total_tokens")


def _choice(choice: Json, ask: Ask) -> Json:
    raw = choice.get("message")
    message = neutral_parts(raw if isinstance(raw, dict) else {})
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        whole = [neutral_call(call, at, ask.id) for at, call in enumerate(calls) if isinstance(call, dict)]
        if whole != calls:
            message = {**message, "tool_calls": whole}
    if not message.get("role"):
        message = {"role": "assistant", **message}
    return {**choice, "index": index_of(choice), "message": message, "finish_reason": reason_of(choice) or _implied(choice)}


def _implied(choice: Json) -> str:
    """The finish reason of a choice that gives none: the reply is plain JSON and complete, so the answer is."""
    message = choice.get("message")
    return "tool_calls" if isinstance(message, dict) and message.get("tool_calls") else "stop"
