"""Whose answers may be whose: what exchanges must have in common to share an answer, and which answers may be shared at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgegate.dialects.base import Operation

if TYPE_CHECKING:
    from edgegate.exchange import Exchange

SHARED = frozenset({Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDINGS, Operation.RERANK})
EXACT = frozenset({Operation.EMBEDDINGS, Operation.RERANK})
"""Operations whose answer does not depend on chance."""

VARIES = ("anthropic-version", "anthropic-beta", "openai-beta", "x-edgegate-strict")
"""Request headers that change answers."""


def caller(ex: Exchange) -> str:
    """The callers of one tenant are one; a key that may not use everything, or that has no tenant, stands for itself."""
    key = ex.key
    if key is None:
        return ""
    shared = key.tenant and not key.models and not key.providers
    return f"tenant:{key.tenant}" if shared else f"key:{key.name}"


def varies(ex: Exchange) -> list[str]:
    """What beside the request itself changes its answer."""
    strict = "strict" if ex.key is not None and ex.key.strict else ""
    return [strict, *[ex.headers.get(name, "") for name in VARIES]]


def scope(ex: Exchange) -> str:
    """Exchanges with the same scope and the same request have the same answer."""
    return "\n".join([caller(ex), *varies(ex)])


def wants_its_own(ex: Exchange) -> bool:
    """Whether the caller refuses an answer that was not made for it."""
    control = ex.headers.get("Cache-Control") or ""
    return any(word in control.lower() for word in ("no-store", "no-cache"))


def is_repeatable(ex: Exchange, max_temperature: float) -> bool:
    """Whether chance has little to say in the answer. An absent temperature counts as 1."""
    if ex.operation in EXACT:
        return True
    temperature = ex.client.temperature(ex.request)
    if temperature is None:
        temperature = 1
    return isinstance(temperature, (int, float)) and temperature <= max_temperature
