"""Names of tools and ids of calls as Bedrock takes them, and back.

A tool's name has up to 64 letters, digits, `_` and `-`; an id may also have `.` and `:` (Kimi's own ids do:
`functions.get_weather:0`), but not where Claude reads it. Others are replaced by ones that depend on nothing but the
original, so that the same history gives the same request in the next turn, and its cache is hit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from edgegate.dialects.base import Chat
from edgegate.dialects.chat import dicts

LONGEST = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def names_of(chat: Chat) -> dict[str, str]:
    """The name to send for each tool and each call of a function in the chat."""
    return fitting(_function_names(chat), _NAME)


def ids_of(chat: Chat, claude: bool) -> dict[str, str]:
    """The id to send for each call in the chat's history."""
    return fitting(_call_ids(chat), _NAME if claude else _ID)


def back(names: Mapping[str, str]) -> dict[str, str]:
    """What the client knows by another name: sent name -> the client's."""
    return {sent: name for name, sent in names.items() if sent != name}


def fitting(given: Iterable[str], fits: re.Pattern[str]) -> dict[str, str]:
    """For each name the one to send. Different names stay different, one that fits stays what it is."""
    seen = dict.fromkeys(given)
    sent = {name: name for name in seen if fits.fullmatch(name)}
    taken = set(sent)
    for name in seen:
        if name in sent:
            continue
        stem = _ODD.sub("_", name)
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        candidates = [stem] if 0 < len(stem) <= LONGEST else []
        candidates += [f"{stem[: LONGEST - 1 - size]}_{digest[:size]}" for size in (8, 16, 32, 63)]
        sent[name] = next((candidate for candidate in candidates if candidate not in taken), candidates[-1])
        taken.add(sent[name])
    return sent


def _function_names(chat: Chat) -> Iterable[str]:
    for tool in dicts(chat.get("tools")):
        yield from _name(tool.get("function"))
    for message in dicts(chat.get("messages")):
        for call in dicts(message.get("tool_calls")):
            yield from _name(call.get("function"))
        yield from _name(message.get("function_call"))


def _call_ids(chat: Chat) -> Iterable[str]:
    for message in dicts(chat.get("messages")):
        for call in dicts(message.get("tool_calls")):
            if isinstance(call.get("id"), str):
                yield call["id"]
        if isinstance(message.get("tool_call_id"), str):
            yield message["tool_call_id"]


def _name(function: Any) -> Iterable[str]:
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        yield function["name"]
