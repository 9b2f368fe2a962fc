"""Puts the output of a response together out of the parts of a chat message, in the order in which they come.

One item is open at a time, but for calls: their pieces may come mixed, so a call stays open until its arguments are a whole
object, which nothing can be added to, or until the end. A whole message goes through here too, as one delta after the other
(`answer.py`), so that a plain answer and a stream's last event say the same.

State of other vendors (signatures, thinking blocks) is sealed into the `encrypted_content` of a reasoning item: of the one
that is open when it is closed, otherwise of one made for it, before the item that comes next or at the end. Every reasoning
item that is not OpenAI's gets a seal, if only an empty one: that is how it is known when it comes back.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.chat import data_url, dicts
from edgegate.dialects.responses.contents import flat_annotation
from edgegate.dialects.responses.events import Events
from edgegate.dialects.responses.items import Call, Message, Part, Reasoning
from edgegate.dialects.sealed import RESPONSES, Carried, seal


def ours_of(holder: Json) -> Json:
    """`extra_content.openai` of a message, a delta or a call."""
    extra = holder.get("extra_content")
    ours = extra.get("openai") if isinstance(extra, dict) else None
    return ours if isinstance(ours, dict) else {}


class Assembly:
    """`output` has the items in order, whole once `finish` was called. `customs`: names of the custom tools on offer."""

    __slots__ = (
        "_calls",
        "_carried",
        "_core",
        "_customs",
        "_details",
        "_events",
        "_last",
        "_length",
        "_message",
        "_notes",
        "_reasoning",
        "_summary",
        "output",
    )

    def __init__(self, events: Events, core: str, customs: frozenset[str]) -> None:
        self._events = events
        self._core = core
        self._customs = customs
        self.output: list[Json] = []
        self._carried = Carried("openai")
        self._details = Carried("")  # of OpenAI's items
        self._reasoning: Reasoning | None = None
        self._summary: Part | None = None
        self._message: Message | None = None
        self._last: Message | None = None  # the last message, open or closed: citations may come late
        self._length = 0  # of the text of messages before it
        self._notes: Json = {}  # `extra_content.openai` for the next message
        self._calls: dict[Any, Call] = {}

    # -- what a delta may hold

    def carry(self, fields: Json) -> None:
        """State that must be sent back: `thinking_blocks`, `reasoning_details`, `extra_content`."""
        self._carried.take(fields)
        own = [detail for detail in dicts(fields.get("reasoning_details")) if detail.get("format") == RESPONSES]
        if own:
            self._details.take({"reasoning_details": own})

    def note(self, ours: Json) -> None:
        """What OpenAI's message item had: for the next message, or the one that is open."""
        self._notes = {**self._notes, **ours}

    def think(self, piece: str) -> None:
        """A piece of readable reasoning."""
        if self._summary is None:
            self._settle()
            self._reasoning = Reasoning(self._events, *self._place("rs"))
            self.output.append(self._reasoning.item)
            self._summary = self._reasoning.part("summary")
        self._summary.add(piece)

    def reasoning_items(self, details: list[Json]) -> None:
        """Whole reasoning items of OpenAI's."""
        for place in dict.fromkeys(str(detail.get("index")) for detail in details):
            self._reasoning_item([detail for detail in details if str(detail.get("index")) == place])

    def _reasoning_item(self, details: list[Json]) -> None:
        index, own = self._place("rs")
        ids = [id for detail in details if isinstance(id := detail.get("id"), str) and id]
        item = Reasoning(self._events, index, ids[0] if ids else own)
        self.output.append(item.item)
        encrypted = None
        for detail in details:
            for name, kind in (("summary", "summary"), ("text", "content")):
                text = detail.get(name)
                if isinstance(text, str) and text:
                    part = item.part(kind)
                    part.add(text)
                    part.close()
            if isinstance(detail.get("data"), str) and detail["data"]:
                encrypted = detail["data"]
        item.close(encrypted)

    def text(self, piece: str, logprobs: list[Any] | None = None) -> None:
        self._open_message().text(piece, logprobs)

    def refuse(self, piece: str) -> None:
        self._open_message().refusal(piece)

    def annotate(self, note: Any) -> None:
        flat = flat_annotation(note, self._length)
        if flat is not None:
            (self._last or self._open_message()).annotate(flat)

    def start_message(self, ours: Json) -> None:
        """Begins another message item, whatever is open."""
        self._settle()
        self._notes = ours

    def picture(self, image: Json) -> None:
        url = image.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if not isinstance(url, str):
            return
        media, data = data_url(url) or ("", url)
        self._settle()
        index, id = self._place("ig")
        item: Json = {"id": id, "type": "image_generation_call", "status": "in_progress", "result": None}
        say = self._events.say
        say("response.output_item.added", output_index=index, item=item)
        say("response.image_generation_call.in_progress", output_index=index, item_id=id)
        say("response.image_generation_call.completed", output_index=index, item_id=id)
        item = {**item, "status": "completed", "result": data}
        if media.startswith("image/"):
            item["output_format"] = media.removeprefix("image/")
        say("response.output_item.done", output_index=index, item=item)
        self.output.append(item)

    def other(self, item: Json) -> None:
        """An item that the chat has no word for, whole: OpenAI's own, come back."""
        if not isinstance(item.get("type"), str):
            return
        self._settle()
        index, id = self._place("item")
        item = {"id": id, **{name: value for name, value in item.items() if name != "index"}}
        for name in ("added", "done"):
            self._events.say(f"response.output_item.{name}", output_index=index, item=item)
        self.output.append(item)

    def call(self, call: Json, position: int) -> None:
        """A piece of a call, or a whole one. Its index tells which; where there is none, an id begins a new call."""
        kind = "custom" if isinstance(call.get("custom"), dict) else "function"
        given = call.get(kind)
        body: Json = given if isinstance(given, dict) else {}
        id = call.get("id")
        key = call.get("index")
        if key is None:
            key = id or (next(reversed(self._calls)) if self._calls else position)
        if not isinstance(key, (str, int)):
            key = position
        target = self._calls.get(key)
        if target is None or (not target.open and id and id != target.item["call_id"]):
            target = self._calls[key] = self._new_call(call, kind, body, id, key)
        elif call.get("extra_content"):
            self._carried.take({"tool_calls": [{**call, "index": 0, "id": target.item["call_id"]}]})
        piece = body.get("arguments" if kind == "function" else "input")
        if isinstance(piece, str) and piece and target.open:  # nothing but blanks can follow a whole object
            target.add(piece)

    def _new_call(self, call: Json, kind: str, body: Json, id: Any, key: Any) -> Call:
        call_id = id if isinstance(id, str) and id else f"call_{self._core}_{key}"
        if call.get("extra_content"):
            self._carried.take({"tool_calls": [{**call, "index": 0, "id": call_id}]})
        self._settle()
        name = body.get("name") if isinstance(body.get("name"), str) else ""
        wrapped = kind == "function" and name in self._customs
        custom = kind == "custom" or wrapped
        index, own = self._place("ctc" if custom else "fc")
        ours = ours_of(call)
        extra = {field: ours[field] for field in ("namespace", "caller") if ours.get(field) is not None}
        known = ours.get("id")
        own = known if isinstance(known, str) and known and not wrapped else own
        item = {"id": own, "type": "custom_tool_call" if custom else "function_call", "call_id": call_id, "name": name, **extra}
        made = Call(self._events, index, item, wrapped=wrapped)
        self.output.append(made.item)
        return made

    # -- the end

    def finish(self, *, incomplete: bool) -> None:
        """Closes what is open. What an incomplete answer was cut in is incomplete too; an answer of nothing is an empty text."""
        rest = "incomplete" if incomplete else "completed"
        self._close_reasoning(flush=False)
        self._close_message(rest)
        for call in self._calls.values():
            if call.open:
                call.close("completed" if call.is_whole() else rest)
        self._close_reasoning(flush=True)
        if not incomplete and all(item["type"] == "reasoning" for item in self.output):
            self._open_message().text("")
            self._close_message(rest)

    # -- opening and closing

    def _place(self, prefix: str) -> tuple[int, str]:
        index = len(self.output)
        return index, f"{prefix}_{self._core}_{index}"

    def _open_message(self) -> Message:
        if self._message is None:
            self._settle()
            index, own = self._place("msg")
            notes = self._notes
            id = notes.get("id")
            extra = {"phase": notes["phase"]} if isinstance(notes.get("phase"), str) else {}
            self._message = self._last = Message(self._events, index, id if isinstance(id, str) and id else own, extra)
            self._notes = {}
            self.output.append(self._message.item)
        return self._message

    def _settle(self) -> None:
        """Before an item begins: closes what can be closed, and gives the state that has come its place."""
        self._close_reasoning(flush=True)
        self._close_message("completed")
        for call in self._calls.values():
            if call.open and call.is_whole():
                call.close("completed")

    def _close_message(self, status: str) -> None:
        if self._message is not None:
            self._message.close(status)
            self._length += sum(len(part.get("text", "")) for part in self._message.item["content"])
            self._message = None

    def _close_reasoning(self, *, flush: bool) -> None:
        """Closes the open reasoning item, with the state so far; with `flush`, state without an item gets one."""
        carried, details = self._carried.fields(), self._details.fields().get("reasoning_details", [])
        if self._reasoning is None:
            if not flush or not (carried or details):
                return
            self.reasoning_items(details)
            self._details = Carried("")
            if not carried:
                return
            self._reasoning = Reasoning(self._events, *self._place("rs"))
            self.output.append(self._reasoning.item)
        elif details:
            # its text went by before its id was known: the item is sealed like those of other vendors, and is whole in the seal
            carried["reasoning_details"] = [*carried.get("reasoning_details", []), *details]
            self._details = Carried("")
        if self._summary is not None:
            self._summary.close()
        self._reasoning.close(seal(carried))
        self._reasoning = self._summary = None
        self._carried = Carried("openai")
