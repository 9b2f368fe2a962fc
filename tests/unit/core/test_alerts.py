"""Alerts of budgets: an event and a count at once, a webhook that is tried three times, and nothing lost in silence."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edgegate.config.model import AlertOptions, LogOptions
from edgegate.config.option import Duration
from edgegate.observe import alerts as module
from edgegate.observe.alerts import QUEUE, Alerts
from edgegate.observe.announce import announce_prices
from edgegate.observe.events import Events
from edgegate.observe.logs import configure
from edgegate.observe.metrics import Metrics
from edgegate.upstream.side import Side
from tests.unit.core.parts import Clock, Provider, never, reply, until

ENDS = 1_767_225_600.0  # 2026-01-01 00:00 UTC
SPENT = ("budget of tenant", "acme", "usd", 8_000_000_001, 10_000_000_000, 0.8, ENDS)


class Office:
    """Alerts with everything they report to."""

    def __init__(self, webhook: str = "", **headers: str) -> None:
        self.log = io.BytesIO()
        configure(LogOptions(), self.log)
        self.events = Events(Clock(1_700_000_000.0))
        self.metrics = Metrics()
        self.side = Side()
        options = AlertOptions(webhook=webhook, headers=headers, timeout=Duration(0.5))
        self.alerts = Alerts(options, self.events, self.metrics, self.side, Clock(1_700_000_000.0))

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events.latest()]

    def deliveries(self) -> dict[str, float]:
        return {key[0]: value for key, value in self.metrics.alert_deliveries.values.items()}

    async def close(self) -> None:
        await self.alerts.close()
        await self.side.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0.02)


@pytest.fixture
async def hook() -> AsyncIterator[Provider]:
    async with Provider(reply(b"ok")) as provider:
        yield provider


async def test_an_alert_is_an_event_a_warning_in_the_log_and_a_count() -> None:
    office = Office()
    office.alerts.budget(*SPENT)
    (event,) = office.events.latest()
    assert {name: event[name] for name in ("kind", "rule", "subject", "unit", "used", "limit", "share", "period_ends")} == {
        "kind": "budget_alert",
        "rule": "budget of tenant",
        "subject": "acme",
        "unit": "usd",
        "used": 8.000000001,
        "limit": 10.0,
        "share": 0.8,
        "period_ends": ENDS,
    }
    line = json.loads(office.log.getvalue())
    assert (line["event"], line["level"]) == ("budget_alert", "warning")
    assert office.metrics.budget_alerts.values == {("budget of tenant", "0.8"): 1}
    assert office.deliveries() == {}
    await office.close()


async def test_the_webhook_gets_a_document(hook: Provider) -> None:
    office = Office(f"{hook.url}/services/x", Authorization="Bearer t")
    office.alerts.budget(*SPENT)
    await until(lambda: office.deliveries() == {"delivered": 1})
    (seen,) = hook.seen
    assert (seen.method, seen.path, seen.header("content-type")) == ("POST", "/services/x", "application/json")
    assert seen.header("authorization") == "Bearer t"
    assert seen.json == {
        "event": "budget_alert",
        "rule": "budget of tenant",
        "subject": "acme",
        "unit": "usd",
        "used": 8.000000001,
        "limit": 10.0,
        "used_usd": "8.000000001",
        "limit_usd": "10.000000000",
        "share": 0.8,
        "period_ends": ENDS,
        "at": 1_700_000_000.0,
        "text": "Budget budget of tenant of acme: $8.00 of $10.00 (80%) is used; the period ends 2026-01-01 00:00 UTC.",
    }
    await office.close()


async def test_tokens_are_numbers_and_a_rule_for_all_has_no_subject(hook: Provider) -> None:
    office = Office(hook.url)
    office.alerts.budget("everybody", "", "tokens", 1_900_000, 2_000_000, 0.95, ENDS)
    await until(lambda: office.deliveries() == {"delivered": 1})
    document: dict[str, Any] = hook.seen[0].json
    assert (document["used"], document["limit"], document["unit"]) == (1_900_000, 2_000_000, "tokens")
    assert "used_usd" not in document
    assert document["text"] == "Budget everybody: 1,900,000 of 2,000,000 tokens (95%) is used; the period ends 2026-01-01 00:00 UTC."
    await office.close()


async def test_a_name_that_is_no_unicode_does_no_harm(hook: Provider) -> None:
    office = Office(hook.url)
    office.alerts.budget("r", "\udcff", "tokens", 1, 2, 0.5, ENDS)
    await until(lambda: office.deliveries() == {"delivered": 1})
    await office.close()


async def test_a_webhook_that_fails_twice_gets_it_the_third_time(hook: Provider) -> None:
    hook.answers = [reply(b"", 500), b"", reply(b"", 204)]
    office = Office(hook.url)
    office.alerts.budget(*SPENT)
    await until(lambda: office.deliveries() == {"delivered": 1})
    assert len(hook.seen) == 3
    assert office.kinds() == ["budget_alert"]
    await office.close()


@pytest.mark.parametrize(
    ("answer", "reason"), [(reply(b"", 302, location="/x"), "the webhook answered with status 302"), (b"", "cannot be reached")]
)
async def test_a_webhook_that_never_takes_it_is_reported(hook: Provider, answer: bytes, reason: str) -> None:
    hook.answers = [answer]
    office = Office(f"{hook.url}/services/secret")
    office.alerts.budget(*SPENT)
    await until(lambda: office.deliveries() == {"failed": 1})
    assert len(hook.seen) == 3
    failed = office.events.latest()[-1]
    assert (failed["kind"], failed["rule"], failed["subject"]) == ("alert_failed", "budget of tenant", "acme")
    assert reason in failed["reason"]
    assert "secret" not in office.log.getvalue().decode()
    await office.close()


async def test_a_silent_webhook_is_left_after_its_time(hook: Provider) -> None:
    hook.answers = [never]
    office = Office(hook.url)
    office.alerts.budget(*SPENT)
    await until(lambda: office.deliveries() == {"failed": 1}, within_s=5)
    assert "did not answer within 0.5 s" in office.events.latest()[-1]["reason"]
    await office.close()


async def test_alerts_go_out_in_their_order_and_never_wait(hook: Provider) -> None:
    office = Office(hook.url)
    for number in range(10):
        office.alerts.budget(f"rule {number}", "", "tokens", 1, 2, 0.5, ENDS)
    assert hook.seen == []
    await until(lambda: office.deliveries() == {"delivered": 10})
    assert [seen.json["rule"] for seen in hook.seen] == [f"rule {number}" for number in range(10)]
    await office.close()


async def test_beyond_a_hundred_that_wait_they_are_dropped_and_counted(hook: Provider) -> None:
    hook.answers = [never]
    office = Office(hook.url)
    for _ in range(QUEUE + 5):
        office.alerts.budget(*SPENT)
    assert office.deliveries() == {"dropped": 5}
    assert office.kinds().count("alert_failed") == 5
    assert office.kinds().count("budget_alert") == QUEUE + 5
    await office.close()


async def test_at_the_end_those_that_wait_still_go_out(hook: Provider) -> None:
    office = Office(hook.url)
    for _ in range(5):
        office.alerts.budget(*SPENT)
    await office.close()
    assert office.deliveries() == {"delivered": 5}


async def test_at_the_end_a_silent_webhook_is_waited_for_a_second_at_most(hook: Provider) -> None:
    hook.answers = [never]
    office = Office(hook.url)
    office.alerts._options = AlertOptions(webhook=hook.url, timeout=Duration(60))
    for _ in range(3):
        office.alerts.budget(*SPENT)
    await until(lambda: len(hook.seen) == 1)
    started = time.monotonic()
    await office.close()
    assert 0.9 < time.monotonic() - started < 3
    assert office.deliveries() == {"failed": 1, "dropped": 2}
    assert asyncio.all_tasks() - {asyncio.current_task()} - set(hook._tasks) == set()


async def test_after_the_end_an_alert_is_an_event_and_is_not_sent(hook: Provider) -> None:
    office = Office(hook.url)
    await office.close()
    office.alerts.budget(*SPENT)
    assert office.kinds() == ["budget_alert", "alert_failed"]
    assert hook.seen == []


def test_changes_of_prices_are_announced() -> None:
    office = Office()
    told = announce_prices(office.metrics, office.events)
    told(True, "2026-11-21-0a1b2c3d")
    told(False, "prices.file: the catalogue is not JSON")
    taken, refused = office.events.latest()
    assert (taken["kind"], taken["version"]) == ("prices_changed", "2026-11-21-0a1b2c3d")
    assert (refused["kind"], refused["reason"]) == ("prices_refused", "prices.file: the catalogue is not JSON")
    assert office.metrics.price_reloads.values == {("taken",): 1, ("refused",): 1}
