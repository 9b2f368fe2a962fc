"""The official openai SDK as a reader of responses, and the grammar of their streams, checked event by event."""

from __future__ import annotations

import functools
import json
from typing import Any

import httpx2 as httpx
import openai
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from edgegate.taps import Outcome, Tap

Json = dict[str, Any]
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_DELTAS = {
    "response.output_text.delta": ("response.output_text.done", "text"),
    "response.refusal.delta": ("response.refusal.done", "refusal"),
    "response.reasoning_summary_text.delta": ("response.reasoning_summary_text.done", "text"),
    "response.reasoning_text.delta": ("response.reasoning_text.done", "text"),
    "response.function_call_arguments.delta": ("response.function_call_arguments.done", "arguments"),
    "response.custom_tool_call_input.delta": ("response.custom_tool_call_input.done", "input"),
}
_DONE = dict(_DELTAS.values())


@functools.cache
def _sdk() -> tuple[openai.OpenAI, list[tuple[bytes, str]]]:
    replies: list[tuple[bytes, str]] = []

    def answer(_: httpx.Request) -> httpx.Response:
        body, content_type = replies.pop()
        return httpx.Response(200, headers={"content-type": content_type}, content=body)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="unused", base_url="http://test.invalid/v1", http_client=client, max_retries=0), replies


def read_whole(body: bytes) -> Response:
    """A plain response, which the SDK's type must accept as it is."""
    Response.model_validate(json.loads(body))
    client, replies = _sdk()
    replies.append((body, "application/json"))
    return client.responses.create(model="m", input="")


def read_stream(body: bytes) -> Response:
    """What the SDK's `responses.stream` helper has put together at the end; the last event's response if it is incomplete."""
    client, replies = _sdk()
    replies.append((body, "text/event-stream"))
    with client.responses.stream(model="m", input="") as stream:
        events = list(stream)
        if events[-1].type == "response.incomplete":
            return events[-1].response
        return stream.get_final_response()


def raw_stream(body: bytes) -> list[Any]:
    """The events of `responses.create(stream=True)`; raises what the SDK raises."""
    client, replies = _sdk()
    replies.append((body, "text/event-stream"))
    return list(client.responses.create(model="m", input="", stream=True))


def events_of(body: bytes) -> list[Json]:
    """The events' data; each has the name of its type, in one line."""
    events = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def checked(body: bytes) -> Json:
    """The final response of a stream, after everything in it was held against the grammar."""
    events = events_of(body)
    for event in events:
        _EVENT.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[0]["response"] == events[1]["response"]
    assert events[0]["response"]["status"] == "in_progress"
    last = events[-1]
    assert last["type"] in ("response.completed", "response.incomplete")
    final: Json = last["response"]
    assert last["type"] == f"response.{final['status']}"
    said: dict[tuple[Any, ...], str] = {}
    ids: dict[int, str] = {}
    done: dict[int, Json] = {}
    parts: dict[tuple[int, str], int] = {}
    for event in events[2:-1]:
        kind = event["type"]
        at = event["output_index"]
        if kind == "response.output_item.added":
            assert at == len(ids)
            ids[at] = event["item"]["id"]
            continue
        assert at in ids
        assert at not in done, "nothing follows the end of an item"
        if kind == "response.output_item.done":
            assert event["item"]["id"] == ids[at]
            done[at] = event["item"]
            continue
        assert event["item_id"] == ids[at]
        if kind.endswith("part.added"):
            count = parts.get((at, kind), 0)
            assert event.get("content_index", event.get("summary_index")) == count
            parts[at, kind] = count + 1
        place = (at, event.get("content_index"), event.get("summary_index"))
        if kind in _DELTAS:
            said[(*place, _DELTAS[kind][0])] = said.get((*place, _DELTAS[kind][0]), "") + event["delta"]
        elif kind in _DONE:
            assert event[_DONE[kind]] == said.get((*place, kind), "")
    assert [item["id"] for item in final["output"]] == list(ids.values())
    assert len(set(ids.values())) == len(ids)
    assert [without_notes(item) for item in final["output"]] == [without_notes(done[at]) for at in sorted(done)]
    assert {**final, **dict.fromkeys(_GROWS)} == {**events[0]["response"], **dict.fromkeys(_GROWS)}
    return final


_GROWS = ("output", "status", "usage", "incomplete_details", "service_tier")


def without_notes(item: Json) -> Json:
    """Citations may come when their message is done already."""
    content = item.get("content")
    return {**item, "content": [{**part, "annotations": []} for part in content]} if isinstance(content, list) else item


def run(tap: Tap, pieces: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)
