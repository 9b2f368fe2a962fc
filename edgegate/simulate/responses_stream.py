"""The events of a streamed response: OpenAI's whole grammar, each with its number; there is no `[DONE]`.

A reasoning item without a summary, a search and a call each have their own events; the last one is `response.completed` or
`response.incomplete` with the response as the plain reply has it.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.simulate.mind import Answer, portions
from edgegate.simulate.vendor import Event, Framing, Json, Script


def script_of(response: Json, one: Answer) -> Script:
    """The plain response told as events."""
    events: list[Json] = []

    def say(kind: str, **fields: Any) -> None:
        events.append({"type": f"response.{kind}", **fields, "sequence_number": len(events)})

    empty = response | {"status": "in_progress", "completed_at": None, "incomplete_details": None, "output": [], "usage": None}
    say("created", response=empty)
    say("in_progress", response=empty)
    for index, item in enumerate(response["output"]):
        tell = {"reasoning": _reasoning, "web_search_call": _search, "function_call": _call, "message": _message}[item["type"]]
        tell(say, index, item, one)
        say("output_item.done", output_index=index, item=item)
    say(response["status"], response=response)
    told = [Event(orjson.dumps(event).decode(), event["type"]) for event in events]
    return Script(Framing.SSE, told[:-1], terminal=told[-1:])


def _reasoning(say: Any, index: int, item: Json, one: Answer) -> None:
    say("output_item.added", output_index=index, item=item | {"summary": []})
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    for part in item["summary"]:
        say("reasoning_summary_part.added", **where, part={"type": "summary_text", "text": ""})
        for piece in one.thinking:
            say("reasoning_summary_text.delta", **where, delta=piece, obfuscation=_padding(piece))
        say("reasoning_summary_text.done", **where, text=part["text"])
        say("reasoning_summary_part.done", **where, part=part)


def _search(say: Any, index: int, item: Json, _: Answer) -> None:
    say("output_item.added", output_index=index, item={"id": item["id"], "type": item["type"], "status": "in_progress"})
    for state in ("in_progress", "searching", "completed"):
        say(f"web_search_call.{state}", output_index=index, item_id=item["id"])


def _call(say: Any, index: int, item: Json, _: Answer) -> None:
    say("output_item.added", output_index=index, item=item | {"status": "in_progress", "arguments": ""})
    where = {"item_id": item["id"], "output_index": index}
    for piece in portions(item["arguments"]):
        say("function_call_arguments.delta", **where, delta=piece, obfuscation=_padding(piece))
    say("function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"])


def _message(say: Any, index: int, item: Json, one: Answer) -> None:
    say("output_item.added", output_index=index, item=item | {"status": "in_progress", "content": []})
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    say("content_part.added", **where, part=part | {"text": "", "annotations": []})
    for piece in one.pieces:
        say("output_text.delta", **where, delta=piece, logprobs=[], obfuscation=_padding(piece))
    for at, annotation in enumerate(part["annotations"]):
        say("output_text.annotation.added", **where, annotation_index=at, annotation=annotation)
    say("output_text.done", **where, text=part["text"], logprobs=[])
    say("content_part.done", **where, part=part)


def _padding(piece: str) -> str:
    """Blurs the length of a piece, as the vendor does."""
    return "x" * (16 - len(piece.encode()) % 16)
