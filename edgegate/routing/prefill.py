"""Which targets go on writing an assistant message that the request ends with.

What the operator says of a provider (`prefill`) stands; otherwise its dialect knows, and one that says nothing has none that does.
"""

from __future__ import annotations

from edgegate.dialects.base import Prefiller
from edgegate.routing.catalog import Target


def accepts_prefill(target: Target) -> bool:
    """Whether this target does. `*` at the end of a pattern matches any rest of the model's name, the catalogue's or its own."""
    patterns = target.provider.prefill
    if patterns:
        return any(_matches(pattern, name) for pattern in patterns for name in (target.model, target.sent))
    side = target.provider.side
    return isinstance(side, Prefiller) and side.prefills(target.sent)


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
