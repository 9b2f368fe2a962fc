"""Hand-written replies and streams of the Responses API, and ways to feed them."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.responses.provider import FORMAT, ResponsesProvider
from edgegate.taps import Outcome

SIDE = ResponsesProvider()
ASK = Ask({"model": "asked", "messages": []}, "asked", True, "chatcmpl-1", 1_700_000_000, True)
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 6,
    "output_tokens_details": {"reasoning_tokens": 2},
}
DONE = b"data: [DONE]\n\n"


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"id": "resp_1", "object": "response", "created_at": 5, "model": "gpt-x", "status": "completed", "error": None}
    return {**head, "output": list(output), "usage": USAGE, **more}


def message(text: str, id: str = "msg_1", **part: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, **part}],
    }


def call(arguments: str = '{"a":1}', id: str = "fc_1", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function_call", "call_id": f"call_{id}", "name": "f", "arguments": arguments, "status": "completed", **more}


def event(kind: str, **fields: Any) -> bytes:
    return b"event: response.%b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": f"response.{kind}", **fields}))


CREATED = event("created", response=response(status="in_progress", usage=None))


def completed(*output: dict[str, Any], **more: Any) -> bytes:
    return event("completed", response=response(*output, **more))


def delta(text: str, index: int = 0, id: str = "msg_1", **more: Any) -> bytes:
    return event("output_text.delta", item_id=id, output_index=index, content_index=0, delta=text, **more)


def streamed(*pieces: bytes, outcome: Outcome = Outcome.OK) -> tuple[bytes, Progress]:
    progress = Progress()
    tap = SIDE.stream(ASK, progress)
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome), progress


def watched(*pieces: bytes, outcome: Outcome = Outcome.OK) -> tuple[bytes, Progress]:
    progress = Progress()
    tap = SIDE.watch(FORMAT, ASK, progress)
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome), progress


def deltas(chunks: bytes) -> list[dict[str, Any]]:
    """All deltas that say something."""
    events = [orjson.loads(chunk[6:]) for chunk in chunks.removesuffix(DONE).split(b"\n\n") if chunk]
    return [choice["delta"] for event in events for choice in event["choices"] if choice["delta"]]


def text_of(chunks: bytes) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(chunks))


def called(chunks: bytes) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of all calls."""
    calls: dict[int, list[str]] = {}
    for found in deltas(chunks):
        for one in found.get("tool_calls", []):
            body = one.get("function") or one.get("custom")
            argument = body.get("arguments", body.get("input", ""))
            if "id" in one:
                calls[one["index"]] = [one["id"], body["name"], argument]
            else:
                calls[one["index"]][2] += argument
    return [(id, name, argument) for id, name, argument in calls.values()]
