"""What a caller is told when nobody was asked: the target is broken, full, or out of its limits, and no other is left."""

from __future__ import annotations

from edgegate.errors import GatewayError
from edgegate.resilience.board import Lane
from edgegate.routing.catalog import Target

BUSY = "upstream_busy"


class NotAsked(GatewayError):
    """An attempt that was not made: its target has just been found broken, or it is full."""


def unavailable(lane: Lane, for_s: float) -> GatewayError:
    return NotAsked(
        503,
        "circuit_open",
        f"The provider '{lane.state.target.provider.name}' has failed too often of late and is given a rest.",
        retryable=True,
        retry_after_s=max(1.0, for_s),
    )


def busy(target: Target) -> GatewayError:
    return NotAsked(
        503,
        BUSY,
        f"The provider '{target.provider.name}' has as many attempts running as it may.",
        retryable=True,
        retry_after_s=1.0,
    )


def held(target: Target, for_s: float) -> GatewayError:
    return GatewayError(
        429,
        "rate_limit_exceeded",
        f"The limits of the provider '{target.provider.name}' are used up for now.",
        retryable=True,
        retry_after_s=max(1.0, for_s),
    )
