"""Counting tokens: `:countTokens`, in the shapes of both services.

AI Studio counts `contents`, or all of a `generateContentRequest`; Vertex counts `contents`, `systemInstruction`, `tools` and
`generationConfig`, which stand beside each other.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json, Progress
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.gemini.reading import parse

_ON_VERTEX = ("contents", "systemInstruction", "tools", "generationConfig")


def studio_count(body: Json, model: str) -> Json:
    """The body of AI Studio's `:countTokens` for a request's body."""
    if body.keys() == {"contents"}:
        return body
    return {"generateContentRequest": {"model": model if "/" in model else f"models/{model}", **body}}


def vertex_count(body: Json) -> Json:
    """The body of Vertex' `:countTokens`. What else a request has is no part of the prompt, or is not counted by Vertex."""
    return {name: body[name] for name in _ON_VERTEX if name in body}


def tokens_in(body: bytes) -> int:
    """`totalTokens` of a reply. Protobuf leaves a 0 out."""
    reply = parse(body)
    total: Any = reply.get("totalTokens", 0)
    if isinstance(total, str) and total.isascii() and total.isdigit():
        total = int(total[:15])
    if not isinstance(total, int) or isinstance(total, bool) or total < 0 or ("totalTokens" not in reply and reply):
        raise bad_reply("Gemini's reply holds no number of tokens")
    return total


def glance_at_count(body: bytes, progress: Progress) -> None:
    """A native reply to counting. Nothing was generated, so there is no usage."""
    tokens_in(body)
    progress.started = progress.finished = True
