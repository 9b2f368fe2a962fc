"""Reasoning that OpenAI did not make, taken out of a Responses request on its native way.

An app that spoke to other vendors through edgegate holds reasoning items whose `encrypted_content` is a seal (see `sealed`).
OpenAI refuses a whole request for one of them, so they are left out when the conversation goes on there.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.sealed import is_sealed


def without_foreign(request: Json) -> Json | None:
    """The request without them, None if it holds none; any JSON object will do. The summaries go with them: nobody but the
    model that thought is the better for having them."""
    items = request.get("input")
    if not isinstance(items, list):
        return None
    kept = [item for item in items if not _is_foreign(item)]
    return {**request, "input": kept} if len(kept) < len(items) else None


def _is_foreign(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "reasoning" and is_sealed(item.get("encrypted_content"))
