"""What the events of a message stream say about `Progress`; shared by the tap that translates and the one that watches."""

from __future__ import annotations

from typing import Any

from edgegate.dialects.amount import json_size, size
from edgegate.dialects.anthropic.usage import Tally
from edgegate.dialects.anthropic.words import finish_reason
from edgegate.dialects.base import Json, Progress
from edgegate.dialects.spoilt import readable
from edgegate.wire.sse import Event

_OPENING_TEXT = {"text": "text", "thinking": "thinking"}
_DELTA_TEXT = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json", "signature_delta": "signature"}


class Malformed(ValueError):
    """An event that is not what its name says."""


class Spoilt(Malformed):
    """An event that is no JSON object. It is left out, but for those that what follows hangs on."""


OPENING = frozenset({b"message_start", b"content_block_start"})
"""Names of events that cannot be left out: clients look up what later pieces belong to."""


def document(data: bytes) -> Json:
    """The JSON object of an event."""
    value = readable(data)
    if type(value) is not dict:
        raise Spoilt("an event of the provider's stream is not a JSON object")
    return value


def name_of(event: Event) -> str:
    """An event's name; relays that leave the `event:` line out still have the `type` inside."""
    if event.name:
        return event.name.decode("ascii", "replace")
    return str(document(event.data).get("type", ""))


def member(value: Json, name: str) -> Json:
    """An object inside an event; its absence is a fault of the stream."""
    inner = value.get(name)
    if type(inner) is not dict:
        raise Malformed(f"an event of the provider's stream has no {name}")
    return inner


def delta_size(value: Json) -> int:
    """How much of the answer the delta of a content block brings. A signature is none of it."""
    delta = value.get("delta")
    if type(delta) is not dict:
        return 0
    text = delta.get("text") or delta.get("partial_json") or delta.get("thinking")
    if type(text) is not str:
        return 0
    return len(text) if text.isascii() else size(text)


def opening_size(block: Any) -> int:
    """The same of a block that begins: compatible vendors may put all of it there."""
    return json_size(block.get(_OPENING_TEXT.get(str(block.get("type")), "input"))) if type(block) is dict else 0


class Noting:
    """Writes `progress` for the events that are not deltas, and decides what counts as the start of the answer."""

    __slots__ = ("_tally", "progress")

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._tally = Tally(progress.usage)

    def message_start(self, value: Json) -> Json:
        message = member(value, "message")
        model = message.get("model")
        if isinstance(model, str):
            self.progress.model = model
        self._tally.take(message.get("usage"))
        return message

    def block_start(self, value: Json) -> Json:
        """A block of text or thinking starts empty; any other kind of block is something the model has done."""
        block = member(value, "content_block")
        kind = str(block.get("type"))
        self.progress.text_bytes += opening_size(block)
        if block.get(_OPENING_TEXT[kind]) if kind in _OPENING_TEXT else True:
            self.progress.started = True
        return block

    def block_delta(self, value: Json) -> None:
        """Only until the answer has started: an empty piece does not start it, any other does (a citation, a summary)."""
        delta = member(value, "delta")
        name = _DELTA_TEXT.get(str(delta.get("type")))
        if name is None or delta.get(name):
            self.progress.started = True

    def message_delta(self, value: Json) -> str:
        """Usage, and the finish reason if this is the event that brings it (some vendors send usage first)."""
        self._tally.take(value.get("usage"))
        reason: Any = member(value, "delta").get("stop_reason")
        if not isinstance(reason, str) or self.progress.finished:
            return ""
        self.progress.started = self.progress.finished = True
        self.progress.finish_reason = finish_reason(reason)
        return self.progress.finish_reason
