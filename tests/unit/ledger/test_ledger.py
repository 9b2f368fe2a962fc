"""The ledger's group commit: what is on disk when, what happens while the store is away, and that nothing is written twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edgegate.access.keys import Key
from edgegate.config.model import PriceOptions
from edgegate.errors import GatewayError
from edgegate.exchange import Attempt, Exchange
from edgegate.ledger.ledger import Ledger
from edgegate.ledger.prices import Prices
from edgegate.ledger.row import Row, decode
from edgegate.observe.metrics import Metrics
from edgegate.stores.base import StoreError
from edgegate.stores.records import Batch
from edgegate.taps import Outcome
from tests.unit.core.parts import exchange, until


class Store:
    """Rows and marks by name, as a `Records` keeps them. `away`: calls fail; `deaf`: they take effect, but nobody hears of it."""

    def __init__(self) -> None:
        self.kept: dict[int, Row] = {}
        self.opened: dict[int, Row] = {}
        self.away = self.deaf = False
        self.batches: list[Batch] = []

    async def open(self, holder: str) -> None: ...

    async def close(self) -> None: ...

    async def write(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreError("away")
        if batch.number not in [known.number for known in self.batches]:
            self.opened.update({seq: decode(row) for seq, row in batch.opened})
            for seq in batch.closed:
                self.opened.pop(seq, None)
            for row in map(decode, batch.rows):
                assert row.seq not in self.kept, "written twice"
                self.kept[row.seq] = row
        self.batches.append(batch)
        if self.deaf:
            raise StoreError("no answer")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a ledger has no business with {name}")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def ledger(store: Store, metrics: Metrics) -> AsyncIterator[Ledger]:
    made = ledger_of(store, metrics)
    await made.open()
    yield made
    store.away = store.deaf = False
    await made.close()


def ledger_of(store: Store, metrics: Metrics, **options: Any) -> Ledger:
    given: dict[str, Any] = {"commit_s": 0.02, "buffer": 100, "deny_on_loss": False, "failed": lambda reason: None, "chance": lambda: 0.0}
    return Ledger(store, "me", Prices.load(PriceOptions()), metrics, **(given | options))


def begin(ledger: Ledger, ex: Exchange | None = None) -> Exchange:
    """An exchange with an attempt that is about to be sent."""
    ex = ex or exchange()
    ex.key = Key("app", "acme")
    attempt = Attempt(f"{ex.id}-1", "openai", "openai", "gpt-4o", time.monotonic(), ex.progress)
    attempt.key, attempt.reserved_nano_usd = ex.key, 500
    ex.attempt = attempt
    ex.attempts.append(attempt)
    ledger.begin(ex, attempt)
    return ex


def end(ledger: Ledger, ex: Exchange, cost: int = 7) -> None:
    for attempt in ex.attempts:
        attempt.outcome, attempt.status, attempt.ended, attempt.cost_nano_usd = Outcome.OK, 200, time.monotonic(), cost
    ex.outcome, ex.status, ex.ended = Outcome.OK, 200, time.monotonic()
    ledger.record(ex)


async def test_an_attempt_between_two_commits_is_written_once(ledger: Ledger, store: Store) -> None:
    for _ in range(20):
        end(ledger, begin(ledger))
    await until(lambda: len(store.kept) == 20)
    assert [(len(batch.rows), len(batch.opened), len(batch.closed)) for batch in store.batches] == [(20, 0, 0)]


async def test_an_attempt_that_runs_is_marked_with_what_it_may_cost(ledger: Ledger, store: Store) -> None:
    ex = begin(ledger)
    await until(lambda: len(store.opened) == 1)
    [mark] = store.opened.values()
    assert (mark.outcome, mark.cost_nano_usd, mark.reserved_nano_usd, mark.tenant, mark.key) == ("unknown", 500, 500, "acme", "app")
    end(ledger, ex)
    await until(lambda: len(store.kept) == 1)
    assert store.opened == {}
    assert store.kept[mark.seq].cost_nano_usd == 7


async def test_rows_wait_while_the_store_is_away(ledger: Ledger, store: Store, metrics: Metrics) -> None:
    store.away = True
    running = begin(ledger)
    for _ in range(10):
        end(ledger, begin(ledger))
    await until(lambda: metrics.ledger_waiting.values.get(()) == 10)
    store.away = False
    await until(lambda: len(store.kept) == 10)
    assert len(store.opened) == 1
    end(ledger, running)
    await until(lambda: len(store.kept) == 11 and not store.opened)
    assert metrics.ledger_waiting.values[()] == 0
    assert ("lost",) not in metrics.ledger_rows.values


async def test_what_was_written_without_an_answer_is_written_again_and_is_there_once(ledger: Ledger, store: Store) -> None:
    store.deaf = True
    ended, running = begin(ledger), begin(ledger)
    end(ledger, ended)
    await until(lambda: len(store.batches) == 2)
    end(ledger, running)
    await until(lambda: len(store.batches) == 4)
    assert {batch.number for batch in store.batches} == {1}, "the same one again, before any other"
    store.deaf = False
    await until(lambda: store.opened == {} and len(store.kept) == 2)


async def test_the_oldest_rows_are_lost_when_too_many_wait(store: Store, metrics: Metrics) -> None:
    ledger = ledger_of(store, metrics, buffer=5)
    await ledger.open()
    store.away = True
    end(ledger, begin(ledger))
    await until(lambda: metrics.ledger_waiting.values.get(()) == 1)
    for _ in range(7):
        end(ledger, begin(ledger))
    assert metrics.ledger_rows.values[("lost",)] == 3
    store.away = False
    await ledger.close()
    assert sorted(store.kept) == [1, 5, 6, 7, 8], "the batch that was on its way is not touched"


async def test_where_nothing_may_be_lost_no_attempt_begins_when_too_many_wait(store: Store, metrics: Metrics) -> None:
    ledger = ledger_of(store, metrics, buffer=2, deny_on_loss=True)
    await ledger.open()
    store.away = True
    for _ in range(2):
        end(ledger, begin(ledger))
    await until(lambda: metrics.ledger_waiting.values.get(()) == 2)
    with pytest.raises(GatewayError) as refused:
        begin(ledger)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (503, "store_unavailable", 1.0)
    store.away = False
    await ledger.close()
    assert len(store.kept) == 2


async def test_a_mark_may_be_waited_for(store: Store, metrics: Metrics) -> None:
    ledger = ledger_of(store, metrics, commit_s=0)
    await ledger.open()
    assert ledger.sync
    exchanges = [begin(ledger) for _ in range(5)]
    await asyncio.gather(*[ledger.begun() for _ in exchanges])
    assert len(store.opened) == 5
    store.away = True
    begin(ledger)
    await asyncio.wait_for(ledger.begun(), 1)  # requests go on
    store.away = False
    for ex in exchanges:
        end(ledger, ex)
    await ledger.close()
    assert len(store.kept) == 5


async def test_a_mark_that_cannot_be_written_refuses_where_that_is_the_policy(store: Store, metrics: Metrics) -> None:
    ledger = ledger_of(store, metrics, commit_s=0, deny_on_loss=True)
    await ledger.open()
    store.away = True
    begin(ledger)
    with pytest.raises(GatewayError):
        await ledger.begun()
    store.away = False
    await ledger.close()


async def test_everything_is_written_when_the_gateway_ends(store: Store, metrics: Metrics) -> None:
    ledger = ledger_of(store, metrics, commit_s=60)
    await ledger.open()
    for _ in range(3):
        end(ledger, begin(ledger))
    assert store.kept == {}
    await ledger.close()
    assert len(store.kept) == 3


async def test_an_answer_that_nobody_was_asked_for_has_a_row_that_costs_nothing(ledger: Ledger, store: Store) -> None:
    for field, source in (("cache", "cache"), ("replayed", "replay"), ("coalesced", "coalesced")):
        ex = exchange()
        setattr(ex, field, "hit" if field == "cache" else True)
        end(ledger, ex)
        await until(lambda source=source: any(row.source == source for row in store.kept.values()))  # type: ignore[misc]
    assert {(row.attempt, row.provider, row.cost_nano_usd, row.outcome) for row in store.kept.values()} == {(0, "", 0, "ok")}


async def test_a_refused_request_has_no_row(ledger: Ledger, store: Store) -> None:
    ex = exchange()
    ex.status = 429
    ledger.record(ex)
    await ledger.close()
    assert store.kept == {}


async def test_names_that_callers_choose_are_short_and_clean(ledger: Ledger, store: Store) -> None:
    ex = exchange()
    ex.model = "\ud800" + "x" * 500 + "\x00"
    end(ledger, begin(ledger, ex))
    await until(lambda: len(store.kept) == 1)
    [row] = store.kept.values()
    assert row.requested_model.startswith("\\ud800x")
    assert len(row.requested_model) < 260
