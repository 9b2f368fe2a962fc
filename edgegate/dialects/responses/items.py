"""Output items of a response while they are written: reasoning, a message, a call.

Each says its own events, from `output_item.added` to `output_item.done`, and has what the finished item will be in `item`. The
pieces of a text go by as deltas and are joined when the part is closed.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.failure import parsed
from edgegate.dialects.responses.events import Events, delta_head

_PLAIN_TAIL = b',"logprobs":[]'
_CALL_FIELDS = {"function_call": "arguments", "custom_tool_call": "input"}
_CALL_EVENTS = {"function_call": "response.function_call_arguments", "custom_tool_call": "response.custom_tool_call_input"}


class Message:
    """A message with its parts: text, or a refusal. `extra`: a `phase`."""

    __slots__ = ("_at", "_events", "_head", "_index", "_pieces", "item")

    def __init__(self, events: Events, index: int, id: str, extra: Json) -> None:
        self._events = events
        self._index = index
        self._at: Json = {}  # of the open part
        self._head = b""
        self._pieces: list[str] = []
        self.item: Json = {"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": [], **extra}
        events.say("response.output_item.added", output_index=index, item=self.item)

    def text(self, piece: str, logprobs: list[Any] | None = None) -> None:
        self._open("output_text")
        self._pieces.append(piece)
        if not logprobs:
            self._events.piece(self._head, piece, _PLAIN_TAIL)
        else:
            self.item["content"][-1]["logprobs"] += logprobs
            self._events.say("response.output_text.delta", **self._at, delta=piece, logprobs=logprobs)

    def refusal(self, piece: str) -> None:
        self._open("refusal")
        self._pieces.append(piece)
        self._events.piece(self._head, piece, b"")

    def annotate(self, note: Json) -> None:
        """A citation. One that comes when the part is closed is in the response at the end, it has no event of its own."""
        texts = [part for part in self.item["content"] if part["type"] == "output_text"]
        if not texts:
            self._open("output_text")
            texts = self.item["content"][-1:]
        notes = texts[-1]["annotations"]
        notes.append(note)
        if self._at and texts[-1] is self.item["content"][-1]:
            self._events.say("response.output_text.annotation.added", **self._at, annotation_index=len(notes) - 1, annotation=note)

    def close(self, status: str) -> None:
        self._close_part()
        self.item["status"] = status
        self._events.say("response.output_item.done", output_index=self._index, item=self.item)

    def _open(self, kind: str) -> None:
        content = self.item["content"]
        if self._at and content[-1]["type"] == kind:
            return
        self._close_part()
        part: Json = (
            {"type": kind, "annotations": [], "logprobs": [], "text": ""} if kind == "output_text" else {"type": kind, "refusal": ""}
        )
        self._at = {"item_id": self.item["id"], "output_index": self._index, "content_index": len(content)}
        self._events.say("response.content_part.added", **self._at, part=part)
        content.append(part)
        self._head = delta_head("response.output_text.delta" if kind == "output_text" else "response.refusal.delta", **self._at)

    def _close_part(self) -> None:
        if not self._at:
            return
        part = self.item["content"][-1]
        text = "".join(self._pieces)
        self._pieces = []
        if part["type"] == "output_text":
            part["text"] = text
            self._events.say("response.output_text.done", **self._at, text=text, logprobs=part["logprobs"])
        else:
            part["refusal"] = text
            self._events.say("response.refusal.done", **self._at, refusal=text)
        self._events.say("response.content_part.done", **self._at, part=part)
        self._at = {}


class Reasoning:
    """Reasoning: readable as parts of a summary, or as text of its own (`content`), and what must be sent back."""

    __slots__ = ("_events", "_index", "item")

    def __init__(self, events: Events, index: int, id: str) -> None:
        self._events = events
        self._index = index
        self.item: Json = {"id": id, "type": "reasoning", "summary": []}
        events.say("response.output_item.added", output_index=index, item=self.item)

    def close(self, encrypted: str | None) -> None:
        if encrypted is not None:
            self.item["encrypted_content"] = encrypted
        self._events.say("response.output_item.done", output_index=self._index, item=self.item)

    def part(self, kind: str) -> Part:
        """A new part, `summary` or `content`."""
        return Part(self._events, self.item, self._index, kind)


class Part:
    """A part of a reasoning item."""

    __slots__ = ("_at", "_events", "_head", "_item", "_kind", "_pieces")

    def __init__(self, events: Events, item: Json, index: int, kind: str) -> None:
        self._events = events
        self._item = item
        self._kind = kind
        self._pieces: list[str] = []
        parts = item.setdefault(kind, [])
        self._at: Json = {"item_id": item["id"], "output_index": index}
        part = {"type": "summary_text" if kind == "summary" else "reasoning_text", "text": ""}
        if kind == "summary":
            self._at["summary_index"] = len(parts)
            events.say("response.reasoning_summary_part.added", **self._at, part=part)
            self._head = delta_head("response.reasoning_summary_text.delta", **self._at)
        else:
            self._at["content_index"] = len(parts)
            events.say("response.content_part.added", **self._at, part=part)
            self._head = delta_head("response.reasoning_text.delta", **self._at)
        parts.append(part)

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._events.piece(self._head, piece, b"")

    def close(self) -> None:
        part = self._item[self._kind][self._at["summary_index" if self._kind == "summary" else "content_index"]]
        part["text"] = "".join(self._pieces)
        if self._kind == "summary":
            self._events.say("response.reasoning_summary_text.done", **self._at, text=part["text"])
            self._events.say("response.reasoning_summary_part.done", **self._at, part=part)
        else:
            self._events.say("response.reasoning_text.done", **self._at, text=part["text"])
            self._events.say("response.content_part.done", **self._at, part=part)


class Call:
    """A call of a function, or of a custom tool. `wrapped`: the custom tool was offered to the provider as a function that takes
    an object with the input in it, so its input is known when the arguments are whole."""

    __slots__ = ("_at", "_events", "_field", "_head", "_index", "_pieces", "_wrapped", "item", "open")

    def __init__(self, events: Events, index: int, item: Json, *, wrapped: bool) -> None:
        self._events = events
        self._index = index
        self._wrapped = wrapped
        self._field = _CALL_FIELDS[item["type"]]
        self._pieces: list[str] = []
        self.open = True
        self.item: Json = {**item, self._field: "", "status": "in_progress"}
        self._at: Json = {"item_id": item["id"], "output_index": index}
        self._head = delta_head(_CALL_EVENTS[item["type"]] + ".delta", **self._at)
        events.say("response.output_item.added", output_index=index, item=self.item)

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        if not self._wrapped:
            self._events.piece(self._head, piece, b"")

    def is_whole(self) -> bool:
        """Whether nothing can be added to the argument. A call that has none yet may still get some."""
        is_json = self._wrapped or self.item["type"] == "function_call"
        return is_json and isinstance(parsed("".join(self._pieces).encode()), dict)

    def close(self, status: str) -> None:
        if not self._pieces and self._field == "arguments" and status == "completed":
            self.add("{}")  # some providers write nothing for no arguments; clients parse it
        value = "".join(self._pieces)
        if self._wrapped:
            value = _unwrapped(value)
            self._events.piece(self._head, value, b"")
        self.item[self._field] = value
        self.item["status"] = status
        self.open = False
        self._events.say(_CALL_EVENTS[self.item["type"]] + ".done", **self._at, **{self._field: value})
        self._events.say("response.output_item.done", output_index=self._index, item=self.item)


def _unwrapped(arguments: str) -> str:
    """The input out of a function's arguments: the one string in the object."""
    value = parsed(arguments.encode())
    if isinstance(value, dict):
        texts = [text for text in value.values() if isinstance(text, str)]
        if isinstance(value.get("input"), str):
            return str(value["input"])
        if len(value) == 1 and texts:
            return texts[0]
    return arguments
