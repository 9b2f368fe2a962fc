"""Output items of a response in the words of the chat; what the plain reply and the stream have in common.

- A reasoning item becomes `reasoning_details`, so that it can be sent again: an entry for each part of its summary and of its
  text, one for what is encrypted. An item with nothing in it is the last with no data: only its id is worth something.
- A function call keeps its item's id and place as `extra_content.openai`; so does the first message. Where there are several
  messages, whose texts the chat joins, `extra_content.openai.messages` says where each begins.
- Items of tools that the vendor runs, and all that the chat has no word for, are `provider_items`, with their place.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.sealed import RESPONSES

CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Types of items that are calls of the client's tools -> where the argument stands."""

_KEPT_OF_CALL = ("namespace", "caller")
_KEPT_OF_MESSAGE = ("phase",)


def place(item: Json, index: int, kept: tuple[str, ...] = ()) -> Json:
    """`{id?, index, ...}`: what an item must be given back with, beside what the chat has words for."""
    id = item.get("id")
    value: Json = {"id": id} if isinstance(id, str) and id else {}
    value["index"] = index
    value.update((name, item[name]) for name in kept if item.get(name) is not None)
    return value


def message_place(item: Json, index: int) -> Json:
    return place(item, index, _KEPT_OF_MESSAGE)


def places_extra(places: list[Json]) -> Json:
    """`extra_content.openai` of a message out of its message items: the first one's place, and all of them if there are more."""
    if not places:
        return {}
    first = {name: value for name, value in places[0].items() if name != "start"}
    return first if len(places) == 1 else {**first, "messages": places}


def call_head(item: Json, index: int, id: str) -> Json:
    """A tool call with an empty argument. `id` is for a call that has none."""
    call_id = next((value for value in (item.get("call_id"), item.get("id")) if isinstance(value, str) and value), id)
    name = item.get("name") if isinstance(item.get("name"), str) else ""
    ours = place(item, index, _KEPT_OF_CALL)
    if item.get("status") == "incomplete":
        ours["status"] = "incomplete"
    extra = {"extra_content": {"openai": ours}}
    if item.get("type") == "custom_tool_call":
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": ""}, **extra}
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}, **extra}


def argument_of(item: Json) -> str:
    """What a call is called with. A function that takes nothing is called with the empty object."""
    value = item.get(CALLS[item["type"]])
    if isinstance(value, str) and (value or item["type"] == "custom_tool_call"):
        return value
    return orjson.dumps(value).decode() if value else "{}" if item["type"] == "function_call" else ""


def whole_call(item: Json, index: int, id: str) -> Json:
    call = call_head(item, index, id)
    if call["type"] == "custom":
        call["custom"]["input"] = argument_of(item)
    else:
        call["function"]["arguments"] = argument_of(item)
    return call


def texts_of(item: Json, name: str) -> list[str]:
    """The texts of a reasoning item's `summary` or `content`."""
    parts = item.get(name)
    if not isinstance(parts, list):
        return []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str) and part["text"]]


def details_of(item: Json, index: int) -> list[Json]:
    """A reasoning item as reasoning details."""
    head = {"id": item.get("id"), "format": RESPONSES, "index": index}
    details: list[Json] = [{"type": "reasoning.summary", "summary": text, **head} for text in texts_of(item, "summary")]
    details += [{"type": "reasoning.text", "text": text, **head} for text in texts_of(item, "content")]
    sealed = item.get("encrypted_content")
    if isinstance(sealed, str) and sealed:
        details.append({"type": "reasoning.encrypted", "data": sealed, **head})
    return details or [{"type": "reasoning.encrypted", "data": None, **head}]


def annotation_of(value: Json, start: int) -> Json:
    """A citation in the chat's words. `start` is where its part's text begins in the text of the whole message."""
    moved = dict(value)
    for name in ("start_index", "end_index"):
        if start and type(moved.get(name)) is int:
            moved[name] += start
    if value.get("type") != "url_citation" or "url_citation" in value:
        return moved
    del moved["type"]
    return {"type": "url_citation", "url_citation": moved}


def annotations_of(part: Json, start: int, behind: int = 0) -> list[Json]:
    """The citations of a text part, without the first `behind`."""
    values = part.get("annotations")
    if not isinstance(values, list):
        return []
    return [annotation_of(value, start) for value in values[behind:] if isinstance(value, dict)]


def logprobs_of(values: Any) -> list[Json]:
    """Log probabilities with the key that the chat requires and a stream's deltas leave out."""
    if not isinstance(values, list):
        return []
    return [_logprob(value) for value in values if isinstance(value, dict) and "token" in value]


def _logprob(value: Json) -> Json:
    top = value.get("top_logprobs")
    others = [{"bytes": None, **other} for other in top if isinstance(other, dict)] if isinstance(top, list) else []
    return {"bytes": None, **value, "top_logprobs": others}


def text_of(part: Any) -> tuple[str, str]:
    """(text, refusal) of a part of a message, one of them empty. Imitators call a text part `text`."""
    if not isinstance(part, dict):
        return "", ""
    refusal = part.get("refusal")
    if part.get("type") == "refusal":
        return "", refusal if isinstance(refusal, str) else ""
    text = part.get("text")
    return text if isinstance(text, str) else "", ""


def picture_of(item: Json, number: int) -> Json | None:
    """The generated picture of an item, as the chat's `images` have it."""
    result = item.get("result")
    if item.get("type") != "image_generation_call" or not isinstance(result, str) or not result:
        return None
    kind = item.get("output_format")
    media = f"image/{kind}" if isinstance(kind, str) and kind else "image/png"
    url = result if result.startswith("data:") else f"data:{media};base64,{result}"
    return {"index": number, "type": "image_url", "image_url": {"url": url}}


def kind_of(item: Any) -> str:
    """An item's type, "" if it is none. Some imitators leave the type of a message out."""
    if not isinstance(item, dict):
        return ""
    kind = item.get("type") or ("message" if "content" in item and "role" in item else "")
    if kind == "message" and item.get("role") not in (None, "assistant"):
        return "other message"  # what was asked, in the result of a compaction
    return kind if isinstance(kind, str) else ""


def created_of(response: Json, otherwise: int) -> int:
    """Unix seconds; some vendors write a fraction."""
    created: Any = response.get("created_at")
    return int(created) if type(created) in (int, float) and 0 < created < 1e11 else otherwise


def id_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def finish_of(response: Json, called: bool) -> str:
    """Why an answer ended, in OpenAI's words."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "content_filter" if reason == "content_filter" else "length"
    return "tool_calls" if called else "stop"
