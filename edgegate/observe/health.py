"""What /health, /ready and /startup say. Passive: providers are judged by the attempts that were made, never probed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgegate import __version__
from edgegate.taps import Outcome

if TYPE_CHECKING:
    from edgegate.exchange import Exchange

UNHEALTHY_AFTER = 5
"""Attempts in a row that must fail before a provider counts as unhealthy."""

FAULTS = frozenset({Outcome.FAILED, Outcome.TIMEOUT, Outcome.UPSTREAM_BROKE})


@dataclass(slots=True)
class ProviderHealth:
    failures: int = 0  # in a row
    attempts: int = 0
    last_error: str = ""
    latency_ms: float | None = None  # moving average of whole attempts

    @property
    def healthy(self) -> bool:
        return self.failures < UNHEALTHY_AFTER


class Health:
    """Kept for the life of the process, across configurations."""

    def __init__(self, providers: Iterable[str]) -> None:
        self.providers = {name: ProviderHealth() for name in providers}

    def record(self, ex: Exchange) -> None:
        for attempt in ex.attempts:
            state = self.providers.get(attempt.provider)
            if state is None:
                continue
            state.attempts += 1
            if attempt.outcome in FAULTS:
                state.failures += 1
                state.last_error = attempt.error
            elif attempt.outcome is Outcome.OK:
                state.failures = 0
                took = (attempt.ended - attempt.started) * 1e3
                state.latency_ms = took if state.latency_ms is None else 0.8 * state.latency_ms + 0.2 * took

    def liveness(self, uptime_s: float, active: int) -> dict[str, Any]:
        """The body of /health: 200 while the process serves, whatever the providers do."""
        healthy = sum(state.healthy for state in self.providers.values())
        return {
            "status": "ok" if healthy == len(self.providers) else "degraded",
            "service": "edgegate",
            "version": __version__,
            "uptime_s": round(uptime_s, 3),
            "active_requests": active,
            "providers": {
                "healthy": healthy,
                "total": len(self.providers),
                "details": {
                    name: {
                        "healthy": state.healthy,
                        "attempts": state.attempts,
                        "consecutive_failures": state.failures,
                        "latency_ms": round(state.latency_ms, 3) if state.latency_ms is not None else None,
                        "last_error": state.last_error or None,
                    }
                    for name, state in self.providers.items()
                },
            },
            "infrastructure": {},
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }

    def readiness(self, draining: bool) -> tuple[int, dict[str, Any]]:
        """Status and body of /ready."""
        names = list(self.providers)
        if draining:
            return 503, {"ready": False, "status": "not_ready", "providers": names, "reason": "draining"}
        if not names:
            return 503, {"ready": False, "status": "not_ready", "providers": [], "reason": "no providers available"}
        return 200, {"ready": True, "status": "ready", "providers": names}
