"""Streams made by hand, as providers write them where no recording shows it."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1_762_355_135, "model": "m-1"}
    return b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n"


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "finish_reason": finish}


def text(piece: str, **more: Any) -> bytes:
    return event([delta(content=piece)], **more)


def ask(include_usage: bool = True, **request: Any) -> Ask:
    return Ask({"model": "m", "messages": [], **request}, "m-1", True, "chatcmpl-77", 1_700_000_000, include_usage)


def chunks(out: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]


ROLE = event([delta(role="assistant", content="")])
STOP = event([delta("stop")])
USAGE_CHUNK = event([], usage=USAGE)
