"""Alerts of budgets: an event, a count, and a POST to a webhook if there is one.

Giving an alert never waits. What goes to the webhook stands in a queue of 100 and is delivered by one task, one alert after the
other, with three tries each; what finds the queue full, or is not taken, is an event and a count, for nobody may believe that it
was delivered. The document has one sentence under `text`, which chat webhooks show.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any

from edgegate.config.model import AlertOptions
from edgegate.observe.events import Events
from edgegate.observe.metrics import MAX_LABEL, Metrics
from edgegate.upstream.side import Side, SideError

QUEUE = 100
TRIES = 3
BACKOFF_S = 1.0
"""Longest wait before the second try; it doubles."""

CLOSE_S = 1.0
"""What those that are still waiting get at the end."""


class Alerts:
    """See the module. `unix_clock`: Unix seconds."""

    def __init__(self, options: AlertOptions, events: Events, metrics: Metrics, side: Side, unix_clock: Callable[[], float]) -> None:
        self._options = options
        self._events = events
        self._metrics = metrics
        self._side = side
        self._unix_clock = unix_clock
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def budget(self, rule: str, subject: str, unit: str, used: int, limit: int, share: float, period_ends: float) -> None:
        """A budget has reached `share` of itself. unit: `usd`, with amounts in nano-dollars, or `tokens`. Never waits."""
        shown = {"used": used / 1e9, "limit": limit / 1e9} if unit == "usd" else {"used": used, "limit": limit}
        self._events.emit("budget_alert", rule=rule, subject=subject, unit=unit, **shown, share=share, period_ends=period_ends)
        self._metrics.budget_alerts.add((rule[:MAX_LABEL], f"{share:g}"))
        if not self._options.webhook:
            return
        document: dict[str, Any] = {"event": "budget_alert", "rule": rule, "subject": subject, "unit": unit, **shown}
        if unit == "usd":
            document |= {"used_usd": _dollars(used), "limit_usd": _dollars(limit)}
        document |= {"share": share, "period_ends": period_ends, "at": self._unix_clock()}
        document["text"] = _sentence(rule, subject, unit, used, limit, period_ends)
        if self._closed:
            self._lost(document, "dropped", "the gateway stops")
            return
        try:
            self._waiting.put_nowait(document)
        except asyncio.QueueFull:
            self._lost(document, "dropped", "too many alerts are waiting")
            return
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._deliver())

    async def close(self) -> None:
        """Gives those that wait a second."""
        self._closed = True
        if self._task is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._waiting.join()
        except TimeoutError:
            pass
        finally:
            self._task.cancel()
            await asyncio.wait((self._task,))
        while not self._waiting.empty():
            self._lost(self._waiting.get_nowait(), "dropped", "the gateway stops")

    async def _deliver(self) -> None:
        while True:
            document = await self._waiting.get()
            reason: str | None = "the gateway stops"
            try:
                reason = await self._send(json.dumps(document).encode())
            finally:
                if reason is None:
                    self._metrics.alert_deliveries.add(("delivered",))
                else:
                    self._lost(document, "failed", reason)
                self._waiting.task_done()

    async def _send(self, body: bytes) -> str | None:
        """Why it was not taken; None if it was."""
        options = self._options
        headers = {"Content-Type": "application/json", **options.headers}
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0.5, 1) * BACKOFF_S * 2 ** (attempt - 1))
            try:
                status = await self._side.post(options.webhook, body, headers, timeout_s=options.timeout)
            except SideError as error:
                reason = str(error)
                continue
            if 200 <= status < 300:
                return None
            reason = f"the webhook answered with status {status}"
        return reason

    def _lost(self, document: dict[str, Any], result: str, reason: str) -> None:
        self._metrics.alert_deliveries.add((result,))
        self._events.emit("alert_failed", rule=document["rule"], subject=document["subject"], reason=reason)


def _dollars(nano: int) -> str:
    return f"{nano // 1_000_000_000}.{nano % 1_000_000_000:09d}"


def _sentence(rule: str, subject: str, unit: str, used: int, limit: int, period_ends: float) -> str:
    amounts = f"${used / 1e9:,.2f} of ${limit / 1e9:,.2f}" if unit == "usd" else f"{used:,} of {limit:,} {unit}"
    percent = f" ({used / limit:.0%})" if limit else ""
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(period_ends))
    return f"Budget {rule}{f' of {subject}' if subject else ''}: {amounts}{percent} is used; the period ends {until}."
