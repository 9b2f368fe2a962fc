"""A chat completion as a response, whichever provider it came from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import dicts, read_usage
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.responses.assembly import Assembly, ours_of
from edgegate.dialects.responses.events import Events
from edgegate.dialects.responses.shape import core_of, ended, skeleton
from edgegate.dialects.sealed import RESPONSES

_NATURAL = 1 << 30  # behind all items whose place is known


def response_of(request: Json, reply: bytes) -> bytes:
    completion = parsed(reply)
    choices = completion.get("choices") if isinstance(completion, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(completion, dict) or not isinstance(choice, dict) or not isinstance(message, dict):
        raise bad_reply("the reply is not a chat completion")
    usage = Usage()
    read_usage(completion.get("usage"), usage)
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) and finish else "stop"
    response = skeleton(request, completion.get("id"), completion.get("created"), completion.get("model"))
    assembly = Assembly(Events(), core_of(completion.get("id")), custom_names(request))
    for write in _in_order(message, choice.get("logprobs"), assembly):
        write()
    assembly.finish(incomplete=finish in ("length", "content_filter"))
    return orjson.dumps(ended(response, finish, assembly.output, usage, completion.get("service_tier")))


def custom_names(request: Json) -> frozenset[str]:
    """Names of the custom tools on offer. A provider without such tools may have been offered functions in their place."""
    return frozenset(tool["name"] for tool in request.get("tools") or [] if tool["type"] == "custom")


def logprobs_of(value: Any) -> list[Any]:
    return dicts(value.get("content")) if isinstance(value, dict) else []


def _in_order(message: Json, logprobs: Any, assembly: Assembly) -> list[Callable[[], None]]:
    """What writes the items: reasoning, messages, calls, unless their places say otherwise."""
    steps: list[tuple[int, Callable[[], None]]] = []
    every = dicts(message.get("reasoning_details"))
    details = [detail for detail in every if detail.get("format") == RESPONSES]
    others = [detail for detail in every if detail.get("format") != RESPONSES]
    for place in dict.fromkeys(_place(detail) for detail in details):
        group = [detail for detail in details if _place(detail) == place]
        steps.append((place, partial(assembly.reasoning_items, group)))
    reasoning = message.get("reasoning_content")
    if not details and isinstance(reasoning, str) and reasoning:
        steps.append((0, partial(assembly.think, reasoning)))
    steps.append((0, partial(assembly.carry, {"thinking_blocks": message.get("thinking_blocks"), "reasoning_details": others})))
    items = dicts(message.get("provider_items"))
    steps += [(_place(item), partial(assembly.other, item)) for item in items]
    ours = ours_of(message)
    steps += _messages(message, logprobs, assembly, ours)
    if not any(item.get("type") == "image_generation_call" for item in items):
        steps += [(_NATURAL, partial(assembly.picture, image)) for image in dicts(message.get("images"))]
    for at, call in enumerate(dicts(message.get("tool_calls"))):
        steps.append((_place(ours_of(call)), partial(assembly.call, {**call, "index": at}, at)))
    steps.append((_NATURAL, partial(assembly.carry, {"extra_content": message.get("extra_content")})))
    return [write for _, write in sorted(steps, key=lambda step: step[0])]


def _place(holder: Json) -> int:
    index = holder.get("index")
    return index if type(index) is int and index >= 0 else _NATURAL


def _messages(message: Json, logprobs: Any, assembly: Assembly, ours: Json) -> list[tuple[int, Callable[[], None]]]:
    """The text as one message, or cut into those that it was joined from."""
    text, refusal = message.get("content"), message.get("refusal")
    text = text if isinstance(text, str) else "".join(str(part.get("text") or "") for part in dicts(text))
    notes = dicts(message.get("annotations"))
    if not text and not notes and not (isinstance(refusal, str) and refusal):
        return []
    places = [place for place in dicts(ours.get("messages")) if type(place.get("start")) is int]
    starts = [place["start"] for place in places]
    if not places or starts != sorted(starts) or starts[0] != 0 or starts[-1] > len(text):
        places = [{**ours, "start": 0}]
    bounds = [place["start"] for place in places[1:]] + [len(text)]
    probabilities = logprobs_of(logprobs)
    steps: list[tuple[int, Callable[[], None]]] = []
    for number, (place, end) in enumerate(zip(places, bounds, strict=True)):
        last = number == len(places) - 1
        inside = [note for note in notes if last or _start(note) < end]
        notes = [note for note in notes if note not in inside]
        write = partial(
            _write, assembly, place, text[place["start"] : end], probabilities if last else [], inside, refusal if last else None
        )
        steps.append((_place(place), write))
    return steps


def _start(note: Json) -> int:
    inner = note.get("url_citation")
    start = (inner if isinstance(inner, dict) else note).get("start_index")
    return start if type(start) is int else 0


def _write(assembly: Assembly, place: Json, text: str, logprobs: list[Any], notes: list[Json], refusal: Any) -> None:
    assembly.start_message(place)
    if text:
        assembly.text(text, logprobs)
    for note in notes:
        assembly.annotate(note)
    if isinstance(refusal, str) and refusal:
        assembly.refuse(refusal)
