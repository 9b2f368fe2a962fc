"""One chat stream out of several: following what the caller has been sent, and splicing a further stream onto it.

A stream may break part-way. Another model is then asked either to go on writing (the request ends in the text so far, see
`prefilled`) or for its own answer to the same question, of which the caller gets what it does not have yet. Rules:
- the caller sees one answer: one id, one time, one model's name, one finish reason, one `[DONE]`;
- an answer that does not begin with what the caller has is another answer: nothing of it goes on (`Splice.diverged`);
- reasoning is no part of the answer: it is neither compared nor gone on from, and none follows the text of another model;
- usage is the sum of what the providers reported, each for its own call. A stream that broke before its usage came counts
  nothing: that is known to be too little, but nothing is invented. What it was asked is counted again by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import orjson

from edgegate.dialects.base import Chat, Json, Usage
from edgegate.dialects.chat import DONE, read_usage, usage_json
from edgegate.wire.sse import EventReader, EventTooLarge

MAX_TEXT = 4 * 1024 * 1024
"""Characters of an answer that are remembered. A longer one cannot be gone on from."""

_HEAD = ("id", "created", "model")
_SIGNED = frozenset(("thinking_blocks", "reasoning_details"))
_REASONING = frozenset(("reasoning_content", "reasoning")) | _SIGNED
_FIXED = frozenset(("tool_calls", "function_call", "audio", "images", "refusal", "provider_items", "annotations"))
"""Parts of an answer that neither a prefill nor a comparison of texts can tell another model about."""

_JSON = ("json_object", "json_schema")
_LIMITS = ("max_tokens", "max_completion_tokens")
_OFF = (None, False, "none", "disabled")


class Sent:
    """What the caller has of one answer. `fixed` says what of it rules out going on, "" if nothing does."""

    __slots__ = ("_clear", "_pieces", "_reader", "_size", "finished", "fixed", "head", "reasoned")

    def __init__(self) -> None:
        self.head: Json = {}  # id, time and model of its chunks
        self.fixed = ""
        self.finished = False
        self.reasoned = False  # reasoning was sent
        self._pieces: list[str] = []
        self._size = 0
        self._reader = EventReader()
        self._clear = True  # no half event is held

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def pieces(self) -> int:
        """How many pieces the text came in. Hardly any provider cuts its tokens: there are at least as many of them."""
        return len(self._pieces)

    @property
    def begun(self) -> bool:
        """Whether text was sent."""
        return self._size > 0

    def feed(self, data: bytes) -> None:
        """Bytes of a chat stream on their way to the caller, in any pieces. The usual read is one whole event: the rule."""
        if self.fixed:
            return
        try:
            if self._clear and data.startswith(b"data: {") and data.find(b"\n") == len(data) - 2 and data[-1] == 10:
                self.take(orjson.loads(data[6:]))
                return
            self._clear = data.endswith(b"\n\n")
            for event in self._reader.feed(data):
                if event.data.startswith(b"{"):
                    self.take(orjson.loads(event.data))
        except (orjson.JSONDecodeError, EventTooLarge):
            self.fixed = "stream"

    def take(self, chunk: Json) -> None:
        """One chunk, parsed."""
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return
        if not self.head:
            self.head = {name: chunk[name] for name in _HEAD if name in chunk}
        for choice in choices:
            if type(choice) is not dict or choice.get("index") not in (0, None):
                self.fixed = "choices"
                continue
            if choice.get("finish_reason"):
                self.finished = True
            delta = choice.get("delta")
            if type(delta) is dict:
                for name, value in delta.items():
                    if value:
                        self._part(name, value)

    def _part(self, name: str, value: Any) -> None:
        if name == "content":
            if type(value) is not str:
                self.fixed = name
                return
            self._size += len(value)
            if self._size > MAX_TEXT:
                self.fixed = "length"
                self._pieces.clear()
                return
            self._pieces.append(value)
        elif name in _REASONING:
            self.reasoned = True
        elif name in _FIXED:
            self.fixed = name


class Splice:
    """The stream of a further model as the rest of the answer that the caller has. Chunks of any chat stream are taken, in any
    pieces of bytes; `sent` learns what goes on.

    again: the text that the new answer must begin with, and that is left out; "" where it goes on writing.
    blanks: white space that the caller has and the model was not shown, left out if it begins with it.
    spent: what the providers of the broken streams reported.
    """

    __slots__ = ("_again", "_at", "_blanks", "_quiet", "_reader", "_sent", "_signed", "_spent", "_writes_on", "diverged")

    def __init__(self, sent: Sent, spent: Usage, *, again: str = "", blanks: str = "") -> None:
        self.diverged = False
        self._sent = sent
        self._spent = spent
        self._again = again
        self._at = 0  # how much of it the new answer has said
        self._blanks = blanks
        self._quiet = sent.begun  # no reasoning goes on
        self._signed = not sent.reasoned  # a signature would be for half of the reasoning the caller has
        self._writes_on = sent.begun and not again
        self._reader = EventReader()

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        try:
            for event in self._reader.feed(data):
                out.append(self._event(event.data))
                if self.diverged:
                    break
        except EventTooLarge:
            self.diverged = True
        return b"".join(out)

    def end(self) -> None:
        """The stream is whole. One that has not said all that the caller has is another answer."""
        if self._at < len(self._again):
            self.diverged = True

    def _event(self, data: bytes) -> bytes:
        if data.startswith(b"[DONE]"):
            self.end()
            return b"" if self.diverged else DONE
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return b""
        return self._chunk(chunk) if type(chunk) is dict else b""

    def _chunk(self, chunk: Json) -> bytes:
        given = chunk.get("choices")
        choices = [choice for choice in given if type(choice) is dict] if isinstance(given, list) else []
        kept = [made for choice in choices if (made := self._choice(choice)) is not None]
        usage = chunk.get("usage")
        if self.diverged or not (kept or (usage and not choices)):
            return b""
        out = {**chunk, **self._sent.head, "choices": kept}
        if usage:
            out["usage"] = self._summed(usage)
        self._sent.take(out)
        return b"data: " + orjson.dumps(out) + b"\n\n"

    def _choice(self, choice: Json) -> Json | None:
        """What of a choice goes on; None if nothing does."""
        if choice.get("index") not in (0, None):
            return None
        made: Json = {}
        cut = False
        delta = choice.get("delta")
        for name, value in delta.items() if type(delta) is dict else ():
            if name == "content" and type(value) is str:
                text = self._text(value)
                cut = text != value
                if text:
                    made[name] = text
            elif value and name != "role" and self._goes_on(name):
                made[name] = value
        reason = choice.get("finish_reason")
        if reason and self._at < len(self._again):
            self.diverged = True
        if self.diverged or not (made or reason):
            return None
        if cut and "logprobs" in choice:  # of tokens that the caller sees a part of
            choice = {**choice, "logprobs": None}
        return {**choice, "delta": made, "finish_reason": reason or None}

    def _goes_on(self, name: str) -> bool:
        """Whether a part other than text goes on."""
        if name in _REASONING:
            return not self._quiet and (self._signed or name not in _SIGNED)
        if name in _FIXED and self._at < len(self._again):
            self.diverged = True  # where the caller has text
        return not (name == "annotations" and self._writes_on)  # they count from the beginning of another text

    def _text(self, piece: str) -> str:
        """The part of a piece of text that the caller does not have."""
        left = len(self._again) - self._at
        if left > 0:
            begin = piece[:left]
            if not self._again.startswith(begin, self._at):
                self.diverged = True
                return ""
            self._at += len(begin)
            return piece[left:]
        if self._blanks and piece:
            known = 0
            while known < min(len(piece), len(self._blanks)) and piece[known] == self._blanks[known]:
                known += 1
            self._blanks = self._blanks[known:] if known == len(piece) else ""
            return piece[known:]
        return piece

    def _summed(self, usage: Any) -> Any:
        own = Usage()
        if not self._spent.reported or not read_usage(usage, own):
            return usage
        return usage_json(total(self._spent, own))


def total(one: Usage, other: Usage) -> Usage:
    """The sum of what two calls used."""
    sums: Json = {each.name: getattr(one, each.name) + getattr(other, each.name) for each in fields(Usage) if each.type == "int"}
    return Usage(**sums, reported=one.reported or other.reported)


def prefilled(chat: Chat, sent: Sent) -> Chat | None:
    """The request of whoever goes on writing: it ends in the text so far, without the white space at its end, which some vendors
    refuse. A limit to the answer's length is lowered by what was written, as far as that is known. None where the text is blank
    or the chat has no place for it."""
    text = sent.text.rstrip()
    messages = chat.get("messages")
    if not text or not isinstance(messages, list) or not messages:
        return None
    last = messages[-1]
    begun: Json = {"role": "assistant", "content": text, "prefix": True}
    if last.get("role") == "assistant":  # the caller itself wrote the beginning
        if last.get("tool_calls") or last.get("function_call") or not isinstance(last.get("content"), str):
            return None
        begun["content"] = last["content"] + text
        messages = messages[:-1]
    limits = {name: max(1, chat[name] - sent.pieces) for name in _LIMITS if type(chat.get(name)) is int}
    return {**chat, **limits, "messages": [*messages, begun]}


def is_continuable(chat: Chat) -> bool:
    """Whether another model can be relied on to go on writing what this chat asks for. Strict JSON is begun anew, and so is what
    was asked to be thought over: with reasoning, vendors refuse a prefill or let the model begin again."""
    format = chat.get("response_format")
    return not (isinstance(format, dict) and format.get("type") in _JSON) and not _reasons(chat)


def _reasons(chat: Chat) -> bool:
    if chat.get("reasoning_effort") not in _OFF or chat.get("prompt_mode") == "reasoning":
        return True
    for name in ("thinking", "reasoning"):
        value = chat.get(name)
        if isinstance(value, Mapping):
            said = [value.get(key) for key in ("type", "enabled", "effort") if key in value]
            if not said or any(word not in _OFF for word in said):
                return True
        elif value not in _OFF:
            return True
    return False
