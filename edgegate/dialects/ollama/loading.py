"""Requests without a question: they ask Ollama to load a model, or with `keep_alive` 0 to unload it.

Ollama answers them with one JSON object, also where a stream was asked for. A provider that is no Ollama has nothing to load:
the gateway answers these itself.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.ollama.words import timestamp


def loads_chat(request: Json) -> bool:
    return not request.get("messages")


def loads_generate(request: Json) -> bool:
    return not request.get("prompt") and not request.get("suffix")


def loaded(request: Json, created: int, said: Json) -> bytes:
    """The reply. `said` is the empty answer in the words of the endpoint."""
    reason = "unload" if _at_once(request.get("keep_alive")) else "load"
    head = {"model": request["model"], "created_at": timestamp(created)}
    return orjson.dumps({**head, **said, "done": True, "done_reason": reason})


def _at_once(keep_alive: Any) -> bool:
    if isinstance(keep_alive, str):
        return keep_alive.strip() in ("0", "0s", "0m", "0h", "0ms")
    return type(keep_alive) in (int, float) and keep_alive == 0
