"""What one vendor must get back unchanged, kept by a client that only knows another vendor's fields for it.

Reasoning models want their signed or encrypted reasoning back with the next turn: Anthropic `thinking_blocks`, OpenAI's
Responses `reasoning_details`, Gemini `extra_content.google`. Each client format has one opaque place of its own that apps send
back untouched: `signature` of a thinking block, `encrypted_content` of a reasoning item, `thoughtSignature` of a part. A
*seal* packs the parts of the chat that belong to other vendors into such a place: base64 of `edgegate:` and a JSON object of
message fields. A seal is for the provider side that made its contents; no vendor is ever sent one.

All client sides use one shape, so that a seal can be read whoever wrote it. Every key is optional:

    {"thinking_blocks": [...], "reasoning_details": [...], "extra_content": {vendor: ...},
     "tool_calls": {call id: the extra_content of that call}}

A client side writes `seal(foreign(message, OWN))` if that is not empty (`Carried` collects the same out of a stream's deltas),
and does `restore(message, unseal(text))` with what comes back. `OWN` is the vendor whose state its format has fields for:
"anthropic", "google" or "openai" (which means the items of Responses); "" for none.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.chat import dicts

_MARK = b"edgegate:"
SEAL = base64.b64encode(_MARK).decode()
"""What every seal begins with: nine bytes are twelve letters, so that whatever follows leaves them as they are."""

RESPONSES = "openai-responses-v1"
"""`format` of the reasoning details that are items of OpenAI's Responses."""


def seal(fields: Json) -> str:
    """Message fields of the chat, e.g. `{"thinking_blocks": [...]}`, as one opaque base64 string."""
    return base64.b64encode(_MARK + orjson.dumps(fields)).decode()


def is_sealed(text: object) -> bool:
    """Whether this is a seal, damaged or not: in either case no vendor's own."""
    return isinstance(text, str) and text.startswith(SEAL)


def unseal(text: object) -> Json | None:
    """The fields in a seal; None for anything else, such as a vendor's own signature, and for a seal that was damaged."""
    if not isinstance(text, str) or not text.startswith(SEAL):
        return None
    try:
        fields = orjson.loads(base64.b64decode(text, validate=True)[len(_MARK) :])
    except (binascii.Error, ValueError):
        return None
    return fields if isinstance(fields, dict) else None


class Carried:
    """Collects, delta by delta, what an answer carries for vendors other than `own`. A whole message counts as one delta.
    `size` is about how many characters it has taken in: who feeds it a stream sets the limit."""

    __slots__ = ("_blocks", "_calls", "_details", "_extra", "_ids", "_own", "size")

    def __init__(self, own: str) -> None:
        self._own = own
        self._ids: dict[Any, str] = {}  # index of a call -> its id, which only its first delta has
        self.size = 0
        self._clear()

    def __bool__(self) -> bool:
        return bool(self._blocks or self._details or self._extra or self._calls)

    def take(self, delta: Json) -> None:
        own = self._own
        if own != "anthropic":
            for block in dicts(delta.get("thinking_blocks")):
                if block.get("signature") or block.get("data"):
                    self._blocks.append(block)
                    self.size += _characters(block)
        for detail in dicts(delta.get("reasoning_details")):
            if own != "openai" or detail.get("format") != RESPONSES:
                _append(self._details, detail)
                self.size += _characters(detail)
        if "extra_content" in delta:
            _merge(self._extra, delta["extra_content"], own)
            self.size += len(str(delta["extra_content"]))
        for at, call in enumerate(dicts(delta.get("tool_calls"))):
            index, id = call.get("index", at), call.get("id")
            if not isinstance(index, int):
                index = at
            if isinstance(id, str) and id:
                self._ids[index] = id
            extra: Json = {}
            _merge(extra, call.get("extra_content"), own)
            if extra and index in self._ids:
                _merge(self._calls.setdefault(self._ids[index], {}), extra, own)
                self.size += len(str(extra))

    def fields(self) -> Json:
        """All of it, in the shape of a seal's contents; empty if there is nothing."""
        every = {
            "thinking_blocks": self._blocks,
            "reasoning_details": self._details,
            "extra_content": self._extra,
            "tool_calls": self._calls,
        }
        return {name: value for name, value in every.items() if value}

    def out(self) -> Json:
        """`fields`, which are then forgotten: what is taken in later makes a seal of its own."""
        fields = self.fields()
        self._clear()
        return fields

    def _clear(self) -> None:
        self._blocks: list[Json] = []
        self._details: list[Json] = []
        self._extra: Json = {}
        self._calls: dict[str, Json] = {}


def foreign(message: Json, own: str) -> Json:
    """What a whole message carries for vendors other than `own`, in the shape of a seal's contents."""
    carried = Carried(own)
    carried.take(message)
    return carried.fields()


def restore(message: Json, fields: Json) -> None:
    """Puts the contents of a seal back into `message`, beside what is there; its `tool_calls` must be in place. Whatever is not
    of the right shape is left out: a seal comes from a client, who could have written anything. Neither the message's own
    lists nor `fields` are changed, calls that get something are copied."""
    for name in ("thinking_blocks", "reasoning_details"):
        if found := dicts(fields.get(name)):
            message[name] = [*dicts(message.get(name)), *found]
    _restore_extra(message, fields.get("extra_content"))
    calls = fields.get("tool_calls")
    if isinstance(calls, dict) and calls and message.get("tool_calls"):
        message["tool_calls"] = [dict(call) for call in message["tool_calls"]]
        for call in message["tool_calls"]:
            _restore_extra(call, calls.get(call.get("id") or ""))


def _restore_extra(owner: Json, value: Any) -> None:
    extra: Json = {}
    _merge(extra, owner.get("extra_content"), "")
    _merge(extra, value, "")
    if extra:
        owner["extra_content"] = extra


def _merge(into: Json, extra: Any, own: str) -> None:
    """Adds the parts of an `extra_content` that are not `own`'s."""
    if isinstance(extra, dict):
        for vendor, value in extra.items():
            if vendor != own and isinstance(value, dict) and value:
                into[vendor] = _joined(into.get(vendor, {}), value)


def _joined(old: Json, new: Json) -> Json:
    """Lists go on (Gemini's `parts` come one by one), anything else is the newer one's."""
    return {
        **old,
        **{name: [*old[name], *item] if isinstance(item, list) and isinstance(old.get(name), list) else item for name, item in new.items()},
    }


def _append(details: list[Json], detail: Json) -> None:
    """A stream may give a detail's text in pieces (OpenRouter, Snowflake): those of one kind, place, format and id are one. A
    summary with an id comes whole, and one item of Responses may have several."""
    last = details[-1] if details else None
    same = ("type", "index", "format", "id")
    whole = bool(detail.get("id")) and detail.get("type") != "reasoning.text"
    if last is None or whole or any(last.get(name) != detail.get(name) for name in same):
        details.append(dict(detail))
        return
    for name, value in detail.items():
        if name in ("text", "summary") and isinstance(value, str) and isinstance(last.get(name), str):
            last[name] += value
        elif value is not None:
            last[name] = value


def _characters(value: Json) -> int:
    return sum(len(item) for item in value.values() if isinstance(item, str))
