"""A stand: one gateway with a wall behind it, made for one scenario, and the record of what happened on it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.failover.caller import Heard, call
from tests.failover.wall import Attempt, Wall
from tests.hard.speech import GATEWAY_KEY
from tests.unit.core.parts import Live, live

PRICE = {"input": 1.0, "output": 2.0}


@dataclass
class Seen:
    """An attempt as the wall saw it. `at` counts from the first call of the scenario."""

    model: str
    at: float
    last_role: str
    prefill: str
    answered: str
    number: int
    gone_after: float | None


@dataclass
class Record:
    """What a scenario left behind: the calls in order, the attempts in order, the log, the metrics."""

    name: str
    primary: str
    calls: list[Heard] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    attempts: list[Seen] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    metrics: str = ""
    faults: list[str] = field(default_factory=list)
    after: Heard | None = None  # a healthy call at the end, through the same gateway
    left_at: float | None = None  # when the caller hung up
    failure: str = ""  # the scenario itself went wrong

    @property
    def heard(self) -> Heard:
        return self.calls[0]

    def at(self, model: str) -> list[Seen]:
        return [seen for seen in self.attempts if seen.model == model]

    @property
    def at_primary(self) -> list[Seen]:
        return self.at(self.primary)

    @property
    def elsewhere(self) -> list[Seen]:
        return [seen for seen in self.attempts if seen.model != self.primary]

    def __str__(self) -> str:
        """All of it in a few lines, for the report of a failed test."""
        calls = "\n".join(
            f"  call {call.kind} in {call.seconds:.2f} s: status {call.status}, {len(call.text.split())} words, model {call.model!r}"
            f" {call.error and 'error ' + repr(call.error[:200])} {call.why}"
            for call in self.calls[:5]
        )
        attempts = "\n".join(
            f"  attempt at {seen.model} at {seen.at:.2f} s, ends with {seen.last_role} ({len(seen.prefill.split())} words): {seen.answered}"
            + (f", hung up at {seen.gone_after:.2f} s" if seen.gone_after is not None else "")
            for seen in self.attempts[:12]
        )
        more = f"\n  {self.failure}" if self.failure else ""
        return f"{self.name}\n{calls}\n{attempts}{more}" + "".join(f"\n  fault {fault[-1500:]}" for fault in self.faults)


@dataclass
class Stand:
    """A running gateway. `ask` records every call."""

    gateway: Live
    wall: Wall
    record: Record
    began: float = 0.0

    async def ask(self, model: str = "", surface: str = "chat", *, stream: bool = True, patience_s: float = 30.0, **more: Any) -> Heard:
        started = time.monotonic()
        self.began = self.began or started
        heard = await call(self.gateway.port, model or self.record.primary, surface, stream=stream, patience_s=patience_s, **more)
        self.record.calls.append(heard)
        self.record.starts.append(started - self.began)
        return heard

    async def ask_healthy(self, model: str, *, stream: bool) -> None:
        """A call that has nothing to fail, at the end: the gateway has come to no harm."""
        self.record.after = await call(self.gateway.port, model, stream=stream)

    def note(self) -> None:
        record = self.record
        record.attempts = [self._seen(attempt) for attempt in self.wall.attempts]
        record.log = self.gateway.lines("attempt") + self.gateway.lines()
        record.faults = [str(line) for line in self.gateway.faults()]

    def _seen(self, attempt: Attempt) -> Seen:
        gone = None if attempt.gone_at is None else attempt.gone_at - self.began
        return Seen(attempt.model, attempt.at - self.began, attempt.last_role, attempt.prefill, attempt.answered, attempt.number, gone)


def config(
    url: str,
    primary: str,
    fallbacks: list[str],
    *,
    midstream: str = "",
    larger: list[str] | None = None,
    prefill: list[str] | None = None,
    failover: dict[str, Any] | None = None,
    more_models: tuple[str, ...] = (),
    **more: Any,
) -> dict[str, Any]:
    """Provider `primary` (its dialect by the model's name), and `backup` and `claude` for the rest. Everything else as it comes."""

    def provider(dialect: str, models: list[str]) -> dict[str, Any]:
        base = url if dialect == "anthropic" else f"{url}/v1"
        return {"dialect": dialect, "base_url": base, "api_key": f"sk-wall-{dialect}-0123456789", "models": models}

    others = [*fallbacks, *(larger or []), *more_models]
    accepting = ["fb-ok*", "claude-ok*"] if prefill is None else prefill
    providers = {"primary": provider("anthropic" if primary.startswith("claude") else "openai", [primary])}
    for name, dialect, start in (("backup", "openai", "fb-"), ("claude", "anthropic", "claude-")):
        models = [model for model in others if model.startswith(start)]
        if models:
            providers[name] = provider(dialect, models) | {"prefill": accepting}
    options = ({"midstream": midstream} if midstream else {}) | (failover or {})
    return {
        "server": {"listen": "127.0.0.1:0", "max_lag": 0},  # other stands share the loop, so its lag says nothing
        "providers": providers,
        "models": {"fallbacks": {primary: fallbacks} if fallbacks else {}} | ({"larger_context": {primary: larger}} if larger else {}),
        "keys": [{"name": "app", "key": GATEWAY_KEY}],
        "prices": {"models": dict.fromkeys((primary, *others), PRICE)},
        "chain": ["auth", "route", {"failover": options} if options else "failover", "translate", "forward", "meter"],
    } | more


@contextlib.asynccontextmanager
async def stand(name: str, faults: dict[str, Any], primary: str, fallbacks: list[str], **options: Any) -> AsyncIterator[Stand]:
    """A gateway and a wall of their own. What happened is noted at the end."""
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        wall = await stack.enter_async_context(Wall(faults))
        gateway = await stack.enter_async_context(live(config(wall.url, primary, fallbacks, **options), Path(directory)))
        made = Stand(gateway, wall, Record(name, primary))
        try:
            yield made
            _, metrics, _ = await gateway.get("/metrics")
            made.record.metrics = metrics.decode()
            await asyncio.sleep(0.05)  # the end of an exchange is logged after its last byte
        finally:
            made.note()
