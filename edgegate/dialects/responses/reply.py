"""Plain replies of the Responses API: read along, or as chat completions.

A 200 is not yet an answer: it may be a failed response, one that is still being worked on (`background`), or one without
output. All these raise; only to a native client a response in the background is an answer.
"""

from __future__ import annotations

import orjson

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import tier_of, usage_json
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.openai.reply import parsed
from edgegate.dialects.responses.faults import response_failure
from edgegate.dialects.responses.output import (
    CALLS,
    annotations_of,
    created_of,
    details_of,
    finish_of,
    id_of,
    kind_of,
    logprobs_of,
    message_place,
    picture_of,
    places_extra,
    text_of,
    texts_of,
    whole_call,
)
from edgegate.dialects.responses.usage import read_usage

_WORKING = ("queued", "in_progress")


def glance(body: bytes, progress: Progress) -> None:
    """Fills `progress` from a reply that goes on to a native client."""
    response = _response(body)
    if response.get("status") not in _WORKING:
        _judged(response)
    _noted(response, progress)


def neutral_reply(ask: Ask, body: bytes, progress: Progress) -> bytes:
    """A response as a chat completion."""
    response = _response(body)
    if response.get("status") in _WORKING:
        raise bad_reply("The provider put the answer off: it works on it in the background.")
    items = _judged(response)
    _noted(response, progress)
    message, logprobs = _message(items, ask.id)
    choice: Json = {"index": 0, "message": message, "finish_reason": progress.finish_reason}
    if logprobs:
        choice["logprobs"] = {"content": logprobs, "refusal": None}
    completion: Json = {
        "id": id_of(response.get("id")) or ask.id,
        "object": "chat.completion",
        "created": created_of(response, ask.created),
        "model": progress.model or ask.model,
        "choices": [choice],
    }
    if progress.usage.reported:
        completion["usage"] = usage_json(progress.usage)
    if isinstance(response.get("service_tier"), str):
        completion["service_tier"] = response["service_tier"]
    return orjson.dumps(completion)


def _response(body: bytes) -> Json:
    """The response object of a body; raises what is wrong with it."""
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = {}
    if type(value) is not dict or not ("output" in value or value.get("object") == "response"):
        value = parsed(body)
    error = response_failure(value)
    if error is not None:
        raise error
    return value


def _judged(response: Json) -> list[Json]:
    """Its output items, if it is an answer at all. An incomplete one may hold nothing: it was cut before its first word."""
    output = response.get("output")
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    if not isinstance(output, list) or (not items and response.get("status") != "incomplete"):
        raise bad_reply("The provider's answer has no output.")
    return items


def _noted(response: Json, progress: Progress) -> None:
    output = response.get("output")
    called = any(kind_of(item) in CALLS for item in output) if isinstance(output, list) else False
    progress.finish_reason = finish_of(response, called)
    read_usage(response.get("usage"), progress.usage)
    progress.usage.tier = tier_of(response.get("service_tier"))
    model = response.get("model")
    if isinstance(model, str):
        progress.model = model
    progress.events = 1
    progress.started = progress.finished = True


def _message(items: list[Json], id: str) -> tuple[Json, list[Json]]:
    """(the message, the log probabilities of its text)."""
    text = ""
    refusal = ""
    thoughts: list[str] = []
    places: list[Json] = []
    logprobs: list[Json] = []
    lists: dict[str, list[Json]] = {name: [] for name in ("reasoning_details", "tool_calls", "annotations", "provider_items", "images")}
    for index, item in enumerate(items):
        kind = kind_of(item)
        if kind == "message":
            places.append({**message_place(item, index), "start": len(text)})
            content = item.get("content")
            parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
            for part in parts if isinstance(parts, list) else []:
                said, refused = text_of(part)
                if said:
                    lists["annotations"] += annotations_of(part, len(text))
                    logprobs += logprobs_of(part.get("logprobs"))
                text += said
                refusal += refused
        elif kind == "reasoning":
            thoughts += texts_of(item, "summary") + texts_of(item, "content")
            lists["reasoning_details"] += details_of(item, index)
        elif kind in CALLS:
            lists["tool_calls"].append(whole_call(item, index, f"call_{id}_{index}"))
        else:
            lists["provider_items"].append({**item, "index": index})
            picture = picture_of(item, len(lists["images"]))
            if picture is not None:
                lists["images"].append(picture)
    message: Json = {"role": "assistant", "content": text or (None if refusal or lists["tool_calls"] else ""), "refusal": refusal or None}
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    message.update((name, values) for name, values in lists.items() if values)
    extra = places_extra(places)
    if extra:
        message["extra_content"] = {"openai": extra}
    return message, logprobs
