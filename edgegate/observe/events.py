"""Events: the rare things that an operator wants to hear of, such as a breaker that opens.

Each becomes a log line, stays in a ring of the last 500, and goes to whoever listens. A listener is called in the middle of
whatever caused the event, so it neither waits nor fails. Ids are Unix milliseconds, moved on where two would be equal: they
only grow, and a reader that lost its connection may go on behind an id of another worker or of an earlier process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

KEPT = 500
MAX_TEXT = 200
PRIVATE = frozenset({"budget_alert", "alert_failed"})
"""Kinds that say what somebody spends: for the log and for administrators, not for everybody who has a key."""

WARNINGS = frozenset({"breaker_open", "budget_alert", "alert_failed", "prices_refused"})

Event = dict[str, Any]
Value = str | int | float | bool | None


class Events:
    """See the module."""

    def __init__(self, unix_clock: Callable[[], float]) -> None:
        self._unix_clock = unix_clock
        self._log = structlog.get_logger("events")
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[Callable[[Event], None]] = set()
        self._last = 0

    def emit(self, kind: str, **fields: Value) -> None:
        """Notes an event. Fields are names and numbers: texts are cut after 200 characters, and nothing secret belongs there."""
        shown = {name: _clean(value) if isinstance(value, str) else value for name, value in fields.items()}
        unix = self._unix_clock()
        self._last = max(self._last + 1, int(unix * 1000))
        event = {"id": self._last, "unix": round(unix, 3), "kind": kind, **shown}
        self._kept.append(event)
        (self._log.warning if kind in WARNINGS else self._log.info)(kind, **shown)
        for listener in list(self._listeners):
            listener(event)

    def latest(self, limit: int = KEPT, *, private: bool = True) -> list[Event]:
        """The last events, the newest at the end."""
        kept = [event for event in self._kept if private or event["kind"] not in PRIVATE]
        return kept[-limit:] if limit else []

    def after(self, id: int, *, private: bool = True) -> list[Event]:
        """The events that are newer than this id."""
        return [event for event in self._kept if event["id"] > id and (private or event["kind"] not in PRIVATE)]

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        self._listeners.add(listener)

    def unsubscribe(self, listener: Callable[[Event], None]) -> None:
        self._listeners.discard(listener)


def _clean(text: str) -> str:
    """Short, and without lone surrogates, which no JSON can hold."""
    return text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()
