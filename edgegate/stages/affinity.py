"""What keeps one conversation at one target, so that the prompt cache of that target is warm.

A caller names it (`x-edgegate-affinity`, or OpenAI's `prompt_cache_key`), or it is the beginning of the conversation, which
stays the same from turn to turn: the instructions and the first message, in whatever format. Each tenant has its own.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.exchange import Exchange

OPENINGS = ("system", "instructions", "systemInstruction", "preamble", "system_instruction")
TURNS = ("messages", "input", "contents")


def affinity(ex: Exchange) -> bytes:
    """The name of the conversation, as bytes to hash; b"" if the request has no turns."""
    tenant = "" if ex.key is None else ex.key.tenant or ex.key.name
    named = ex.headers.get("x-edgegate-affinity")
    if named:
        return f"{tenant}\n{named}".encode("utf-8", "surrogateescape")
    request = ex.request if ex.body and ex.upload is None else {}
    key = request.get("prompt_cache_key")
    if isinstance(key, str) and key:
        return f"{tenant}\n{key}".encode("utf-8", "surrogatepass")
    opening: list[Any] = [request[name] for name in OPENINGS if name in request]
    for name in TURNS:
        turns = request.get(name)
        if isinstance(turns, list):
            opening += turns[: _first_turns(turns)]
        elif isinstance(turns, str):
            opening.append(turns)
    return f"{tenant}\n".encode() + orjson.dumps(opening, option=orjson.OPT_SORT_KEYS) if opening else b""


def _first_turns(turns: list[Any]) -> int:
    """How many turns there are up to the first of the user's."""
    for index, turn in enumerate(turns):
        if isinstance(turn, dict) and turn.get("role") == "user":
            return index + 1
    return 1
