"""Events: a log line each, the last 500 kept, ids that only grow, and listeners."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from edgegate.config.model import LogOptions
from edgegate.observe.events import KEPT, MAX_TEXT, Event, Events
from edgegate.observe.logs import configure
from tests.unit.core.parts import Clock


@pytest.fixture
def log() -> io.BytesIO:
    file = io.BytesIO()
    configure(LogOptions(), file)
    return file


def lines(log: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_an_event_is_kept_and_logged(log: io.BytesIO) -> None:
    events = Events(Clock(1700000000.1234))
    events.emit("target_ejected", target="openai/gpt-4o", for_s=30.0)
    (event,) = events.latest()
    assert event == {"id": 1700000000123, "unix": 1700000000.123, "kind": "target_ejected", "target": "openai/gpt-4o", "for_s": 30.0}
    (line,) = lines(log)
    assert (line["event"], line["level"], line["target"], line["for_s"]) == ("target_ejected", "info", "openai/gpt-4o", 30.0)


def test_a_breaker_that_opens_is_a_warning_and_one_that_closes_is_not(log: io.BytesIO) -> None:
    events = Events(Clock())
    for kind in ("breaker_open", "breaker_half_open", "breaker_closed"):
        events.emit(kind, target="a/b")
    assert [line["level"] for line in lines(log)] == ["warning", "info", "info"]


def test_the_last_500_are_kept(log: io.BytesIO) -> None:
    events = Events(Clock())
    for number in range(KEPT + 7):
        events.emit("breaker_closed", number=number)
    kept = events.latest()
    assert len(kept) == KEPT == 500
    assert [kept[0]["number"], kept[-1]["number"]] == [7, KEPT + 6]
    assert [event["number"] for event in events.latest(2)] == [KEPT + 5, KEPT + 6]
    assert events.latest(0) == []
    assert events.after(kept[-3]["id"]) == kept[-2:]
    assert events.after(0) == kept
    assert events.after(kept[-1]["id"]) == []


def test_ids_only_grow_even_if_the_clock_does_not(log: io.BytesIO) -> None:
    clock = Clock(1000.0)
    events = Events(clock)
    for step in (0.0, 0.0, -500.0, 0.0, 1000.0):
        clock.now += step
        events.emit("breaker_closed")
    ids = [event["id"] for event in events.latest()]
    assert ids == [1_000_000, 1_000_001, 1_000_002, 1_000_003, 1_500_000]


def test_what_another_worker_numbered_before_is_before(log: io.BytesIO) -> None:
    """A reader that lost one worker goes on at another one."""
    one, two = Events(Clock(1000.0)), Events(Clock(1001.0))
    one.emit("breaker_open")
    two.emit("breaker_closed")
    assert [event["kind"] for event in two.after(one.latest()[-1]["id"])] == ["breaker_closed"]


def test_listeners_hear_until_they_leave(log: io.BytesIO) -> None:
    events = Events(Clock())
    one: list[Event] = []
    two: list[Event] = []
    events.subscribe(one.append)
    events.subscribe(two.append)
    events.emit("breaker_open")
    events.unsubscribe(two.append)
    events.emit("breaker_closed")
    assert [event["kind"] for event in one] == ["breaker_open", "breaker_closed"]
    assert [event["kind"] for event in two] == ["breaker_open"]


def test_a_listener_may_leave_while_it_listens(log: io.BytesIO) -> None:
    events = Events(Clock())
    seen: list[Event] = []

    def once(event: Event) -> None:
        seen.append(event)
        events.unsubscribe(once)

    events.subscribe(once)
    events.emit("breaker_open")
    events.emit("breaker_open")
    assert len(seen) == 1


def test_texts_are_short_and_can_be_written(log: io.BytesIO) -> None:
    events = Events(Clock())
    events.emit("breaker_open", target="\ud800" + "x" * 10_000)
    (event,) = events.latest()
    assert len(event["target"]) < MAX_TEXT + 10
    assert json.loads(log.getvalue())["target"] == event["target"] == "\\ud800" + "x" * (MAX_TEXT - 1)
