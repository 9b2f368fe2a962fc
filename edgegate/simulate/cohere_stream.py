"""The events of a streamed Cohere answer: named events whose data repeats the name, closed by `[DONE]`."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.simulate.mind import Answer, pieces, portions
from edgegate.simulate.vendor import Event, Framing, Json, Script

_DONE = Event("[DONE]")


def script_of(reply: Json, one: Answer) -> Script:
    """The plain reply told as events."""
    message = reply["message"]
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    script = Script(Framing.SSE, [_event("message-start", id=reply["id"], delta={"message": empty})], terminal=[_DONE])
    say = script.events
    for index, block in enumerate(message.get("content") or []):
        kind = block["type"]
        say.append(_event("content-start", index=index, delta={"message": {"content": {"type": kind, kind: ""}}}))
        for piece in one.thinking if kind == "thinking" else one.pieces:
            say.append(_event("content-delta", index=index, delta={"message": {"content": {kind: piece}}}))
        say.append(_event("content-end", index=index))
    say += [_event("tool-plan-delta", delta={"message": {"tool_plan": piece}}) for piece in pieces(message.get("tool_plan") or "")]
    for index, call in enumerate(message.get("tool_calls") or []):
        head = call | {"function": {"name": call["function"]["name"], "arguments": ""}}
        say.append(_event("tool-call-start", index=index, delta={"message": {"tool_calls": head}}))
        for piece in portions(call["function"]["arguments"]):
            say.append(_event("tool-call-delta", index=index, delta={"message": {"tool_calls": {"function": {"arguments": piece}}}}))
        say.append(_event("tool-call-end", index=index))
    script.finish = [_event("message-end", delta={"finish_reason": reply["finish_reason"], "usage": reply["usage"]})]
    return script


def _event(kind: str, **fields: Any) -> Event:
    return Event(orjson.dumps({"type": kind, **fields}).decode(), kind)
