"""What a response stream has said so far, and the chunks that say it in a chat.

Nothing is said twice: of a text or an argument that comes once more as a whole, only what its deltas left out. An item is
known by its id, or by its `output_index` where ids differ from event to event, as some relays have them.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.amount import size
from edgegate.dialects.base import Ask, Json
from edgegate.dialects.chat import ChunkWriter
from edgegate.dialects.responses.output import (
    CALLS,
    annotations_of,
    argument_of,
    call_head,
    created_of,
    details_of,
    id_of,
    kind_of,
    logprobs_of,
    message_place,
    picture_of,
    places_extra,
    text_of,
)


class Part:
    """A text that is being said: a part of a message or of reasoning. `start`: where it begins in the message's text."""

    __slots__ = ("cited", "counted", "said", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.said = 0  # characters
        self.cited = 0  # annotations
        self.counted = False  # its log probabilities are said


class Item:
    """An output item. `number`: of a call that was told, among the calls; `said`: characters of its argument."""

    __slots__ = ("done", "index", "kind", "number", "parts", "said")

    def __init__(self, kind: str, index: int) -> None:
        self.kind = kind
        self.index = index
        self.parts: dict[tuple[str, int], Part] = {}
        self.number = -1
        self.said = 0
        self.done = False

    def part(self, kind: str, at: Any, start: int) -> Part:
        key = (kind, at if type(at) is int else 0)
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = Part(start)
        return part


class Telling:
    """`size`: bytes of all that was said; `length`: characters of the answer's text; `refused`, `thought`, `detailed`: a refusal,
    reasoning, and what of it must be sent back were told; `places`: of the messages (see `output.py`)."""

    __slots__ = (
        "_ask",
        "_by_id",
        "_by_index",
        "_images",
        "_role_told",
        "call_ids",
        "calls",
        "detailed",
        "led",
        "length",
        "places",
        "refused",
        "size",
        "thought",
        "writer",
    )

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._by_id: dict[str, Item] = {}
        self._by_index: dict[int, Item] = {}
        self._images = 0
        self._role_told = False
        self.writer = ChunkWriter(ask.id, ask.created, ask.model)
        self.led = False  # the first message's place was told
        self.places: list[Json] = []
        self.size = 0
        self.length = 0
        self.refused = False
        self.thought = False
        self.detailed = False
        self.calls = 0
        self.call_ids: set[str] = set()

    def name(self, response: Json, model: str) -> None:
        """From here on chunks have this response's id, unless some have been written."""
        if not self._role_told and id_of(response.get("id")):
            self.writer = ChunkWriter(response["id"], created_of(response, self._ask.created), model or self._ask.model)

    # items

    def items(self) -> list[Item]:
        return list(self._by_index.values())

    def begin(self, raw: Json, index: Any) -> Item:
        if type(index) is not int:
            index = max(self._by_index, default=-1) + 1
        item = self._by_index[index] = Item(kind_of(raw), index)
        if id_of(raw.get("id")):
            self._by_id[raw["id"]] = item
        if item.kind == "message":
            self.places.append({**message_place(raw, index), "start": self.length})
        return item

    def found(self, raw: Json, index: Any) -> Item | None:
        """The item that is known as this one."""
        item = self._by_id.get(id_of(raw.get("id")))
        if item is None and type(index) is int:
            item = self._by_index.get(index)
            if item is not None and (item.done or item.kind != kind_of(raw)):
                return None
        return item

    def concerned(self, value: Json, kind: str) -> Item:
        """The item a delta is about; one that was never announced begins here."""
        item = self._by_id.get(id_of(value.get("item_id")))
        if item is None or item.kind != kind:
            index = value.get("output_index")
            item = self._by_index.get(index) if type(index) is int else None
            if item is None or item.kind != kind:
                item = self.begin({"type": kind, "id": value.get("item_id")}, index)
        return item

    def finish(self, item: Item, raw: Json) -> bytes:
        """A finished item: all that was not said of it."""
        if item.done:
            return b""
        item.done = True
        if item.kind == "message":
            content = raw.get("content")
            parts = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
            return b"".join([self.whole_part(item, at, part) for at, part in enumerate(parts if isinstance(parts, list) else [])])
        if item.kind == "reasoning":
            return self._finish_reasoning(item, raw)
        if item.kind in CALLS:
            out = self.call(item, raw) if item.number < 0 else b""
            return out + self.whole_argument(item, argument_of({**raw, "type": item.kind}))
        delta: Json = {"provider_items": [{**raw, "index": item.index}]}
        picture = picture_of(raw, self._images)
        if picture is not None:
            self._images += 1
            delta["images"] = [picture]
        return self.role() + self.writer.delta(delta)

    # the message

    def role(self) -> bytes:
        if self._role_told:
            return b""
        self._role_told = True
        return self.writer.role()

    def lead(self) -> bytes:
        """What stands before the first text: the role, and the place of the message."""
        if self.led:
            return b""
        self.led = True
        extra = places_extra(self.places[:1])
        return self.role() + (self.writer.delta({"extra_content": {"openai": extra}}) if extra else b"")

    def places_told(self) -> bytes:
        """At the end, where all messages begin, if there are several."""
        return self.writer.delta({"extra_content": {"openai": {"messages": self.places}}}) if len(self.places) > 1 else b""

    def text(self, part: Part, piece: str, logprobs: Any) -> bytes:
        """The frequent event."""
        out = b"" if self.led else self.lead()
        self.size += size(piece)
        part.said += len(piece)
        self.length += len(piece)
        if logprobs:
            part.counted = True
            return out + self.writer.delta({"content": piece}, logprobs={"content": logprobs_of(logprobs), "refusal": None})
        return out + self.writer.text(piece)

    def refusal(self, part: Part, piece: str) -> bytes:
        part.said += len(piece)
        self.size += size(piece)
        self.refused = True
        return self.lead() + self.writer.delta({"refusal": piece})

    def whole_part(self, item: Item, at: Any, raw: Any) -> bytes:
        text, refusal = text_of(raw)
        if not text and not refusal:
            return b""
        part = item.part("text", at, self.length)
        rest = (text or refusal)[part.said :]
        out = b""
        if rest and refusal:
            out = self.refusal(part, rest)
        elif rest:
            out = self.text(part, rest, None if part.counted else raw.get("logprobs"))
        notes = annotations_of(raw, part.start, part.cited)
        if notes:
            part.cited += len(notes)
            out += self.lead() + self.writer.delta({"annotations": notes})
        return out

    def annotation(self, part: Part, note: Json) -> bytes:
        part.cited += 1
        return self.lead() + self.writer.delta({"annotations": annotations_of({"annotations": [note]}, part.start)})

    # reasoning

    def thinking(self, item: Item, kind: str, at: Any, text: str, *, whole: bool) -> bytes:
        """A piece of reasoning, or what its pieces have not said of a part. Parts are told apart by an empty line."""
        part = item.part(kind, at, 0)
        if whole:
            text = text[part.said :]
        if not text:
            return b""
        apart = "\n\n" if self.thought and not part.said else ""
        part.said += len(text)
        self.size += size(text)
        self.thought = True
        return self.role() + self.writer.reasoning(apart + text)

    def _finish_reasoning(self, item: Item, raw: Json) -> bytes:
        out = b""
        for kind in ("summary", "content"):
            parts = raw.get(kind)
            for at, part in enumerate(parts if isinstance(parts, list) else []):
                if isinstance(part, dict) and isinstance(part.get("text"), str):
                    out += self.thinking(item, kind, at, part["text"], whole=True)
        self.detailed = True
        return out + self.role() + self.writer.delta({"reasoning_details": details_of(raw, item.index)})

    # calls

    def call(self, item: Item, raw: Json) -> bytes:
        item.number = self.calls
        self.calls += 1
        head = call_head({**raw, "type": item.kind}, item.index, f"call_{self._ask.id}_{item.number}")
        self.call_ids.add(head["id"])
        return self.role() + self.writer.delta({"tool_calls": [{"index": item.number, **head}]})

    def argument(self, item: Item, piece: str) -> bytes:
        item.said += len(piece)
        self.size += size(piece)
        if item.kind == "function_call":
            return self.writer.arguments(item.number, piece)
        return self.writer.delta({"tool_calls": [{"index": item.number, "custom": {"input": piece}}]})

    def whole_argument(self, item: Item, text: str) -> bytes:
        rest = text[item.said :]
        return self.argument(item, rest) if rest else b""
