"""A row for every attempt, whatever became of it, and one sum: of the rows, of /v1/usage, of the metric and of the provider's bill."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.money.bill import PRICES, SILENT, Provider
from tests.money.book import Entry, by_command, charged_as_billed, cost, exported, in_file, of_key, twice
from tests.money.fleet import Fleet, Replica, chain, configuration, eventually
from tests.money.load import Caller, Crowd, fresh_marker

WRITTEN_S = 2.0
FAILOVER = {
    "failover": {
        "attempts": 3,
        "retries": 1,
        "backoff": 0.01,
        "breaker": {"failures": 0},
        "outliers": {"error_rate": 0, "latency": 0},
        "hedge": {"delay": "300ms", "max": 1, "max_cost_usd": 1},
    }
}
APP = Caller("app", "acme")
HEDGED = Caller("hedged", "acme")


@pytest.fixture(scope="module")
def replica(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    one, two = sorted(set(PRICES) - {"spare"}), ["spare"]
    config = configuration(
        {"maker": provider.entry("maker", one), "second": provider.entry("second", two)},
        [APP.entry(tags=["blue", "green"]), HEDGED.entry()],
        models={"fallbacks": {"plain": ["second/spare"]}},
        chain=chain(failover=FAILOVER, before=("cache",)),
    )
    provider.bill.forget()
    with Fleet(tmp_path_factory.mktemp("rows")) as fleet:
        (replica,) = fleet.start(config)
        yield replica


async def rows_of(replica: Replica, marker: str, number: int) -> list[Entry]:
    """The rows of one request, by attempt, once there are so many; and there are no more."""

    def rows() -> list[Entry]:
        return sorted((row for row in in_file(replica.file_of_store) if row.marker == marker), key=lambda row: row.attempt)

    await eventually(lambda: len(rows()) >= number, f"{number} rows of {marker}", WRITTEN_S)
    await asyncio.sleep(0.2)
    found = rows()
    assert len(found) == number, found
    return found


@pytest.mark.parametrize("stream", [False, True])
async def test_a_retry_has_a_row_for_each_attempt(stream: bool, replica: Replica, provider: Provider) -> None:
    async with Crowd(replica.url) as crowd:
        answer = await crowd.call(APP, "status=500,200 answer=20", model="odd", stream=stream)
    assert answer.whole
    failed, good = await rows_of(replica, answer.marker, 2)
    assert (failed.attempt, failed.outcome, failed.status, failed.provider) == (1, "failed", 500, "maker")
    assert not failed.cost
    assert (good.attempt, good.outcome, good.status) == (2, "ok", 200)
    assert charged_as_billed(good, provider.bill.about(answer.marker)[1])


async def test_a_fallback_is_charged_to_who_answered(replica: Replica, provider: Provider) -> None:
    async with Crowd(replica.url) as crowd:
        answer = await crowd.call(APP, "status=500,500,200 answer=20", model="plain")
    assert answer.whole
    *failed, good = await rows_of(replica, answer.marker, 3)
    assert [(row.provider, row.outcome, row.cost or 0) for row in failed] == [("maker", "failed", 0)] * 2
    assert (good.provider, good.model, good.outcome) == ("second", "spare", "ok")
    assert charged_as_billed(good, provider.bill.about(answer.marker)[2])


async def test_an_attempt_that_lost_against_a_hedge_is_cancelled_and_estimated(replica: Replica, provider: Provider) -> None:
    async with Crowd(replica.url) as crowd:
        answer = await crowd.call(HEDGED, "wait=5,0 answer=20", model="odd", stream=True)
    assert answer.whole
    first, second = await rows_of(replica, answer.marker, 2)
    lost, won = (first, second) if first.outcome == "cancelled" else (second, first)
    assert (lost.outcome, won.outcome) == ("cancelled", "ok")
    assert lost.usage == "estimated"
    assert lost.input_tokens > 0
    assert lost.cost
    assert charged_as_billed(won, provider.bill.about(answer.marker)[1])


async def test_a_caller_that_leaves_is_charged_for_what_was_written(replica: Replica, provider: Provider) -> None:
    """The provider says how much only at the end, which nobody waited for."""
    async with Crowd(replica.url) as crowd:
        marker = await crowd.leave(HEDGED, "answer=400 pace=0.5", 0.8, model="odd", stream=True)
    (row,) = await rows_of(replica, marker, 1)
    (line,) = provider.bill.about(marker)
    assert (row.outcome, row.usage) == ("client_gone", "estimated")
    assert not line.complete
    assert 0 < line.output_tokens < 400
    assert line.output_tokens * 0.5 <= row.output_tokens <= 400
    assert row.input_tokens >= line.input_tokens
    assert row.cost
    assert row.reserved
    assert 0 < row.cost <= row.reserved


async def test_a_caller_that_leaves_a_plain_call_has_a_row_too(replica: Replica) -> None:
    async with Crowd(replica.url) as crowd:
        marker = await crowd.leave(HEDGED, "wait=5", 0.15, model="odd")
    (row,) = await rows_of(replica, marker, 1)
    assert (row.outcome, row.attempt) == ("client_gone", 1)
    assert row.usage == "estimated"


async def test_an_answer_without_usage_is_estimated(replica: Replica, provider: Provider) -> None:
    async with Crowd(replica.url) as crowd:
        for stream in (False, True):
            answer = await crowd.call(HEDGED, "answer=200", model=f"{SILENT}-1", stream=stream)
            assert answer.whole
            (row,) = await rows_of(replica, answer.marker, 1)
            assert (row.outcome, row.usage) == ("ok", "estimated")
            assert 100 <= row.output_tokens <= 400, "two hundred short words"
            assert row.cost


async def test_an_answer_that_broke_off_is_charged_for_what_came(replica: Replica, provider: Provider) -> None:
    async with Crowd(replica.url) as crowd:
        answer = await crowd.call(HEDGED, "answer=400 cut=2", model="odd", stream=True)
    assert not answer.whole
    (row,) = await rows_of(replica, answer.marker, 1)
    assert (row.outcome, row.usage) == ("upstream_broke", "estimated")
    assert 100 <= row.output_tokens <= 400
    assert row.cost


async def test_a_cached_answer_has_a_row_that_cost_nothing(replica: Replica, provider: Provider) -> None:
    text = f"{fresh_marker()} caller=app answer=9"
    messages = [{"role": "user", "content": text}]
    async with Crowd(replica.url) as crowd:
        first = await crowd.call(APP, model="odd", temperature=0, messages=messages)
        again = await crowd.call(APP, model="odd", temperature=0, messages=messages)
    assert (first.status, again.status) == (200, 200)
    (paid,) = await rows_of(replica, first.marker, 1)
    (free,) = await rows_of(replica, again.marker, 1)
    assert paid.source == "provider"
    assert paid.cost
    assert (free.source, free.cost, free.attempt, free.provider) == ("cache", 0, 0, "")
    assert len(provider.bill.about(text.split()[0])) == 1


async def test_a_refused_call_has_no_row_that_costs(replica: Replica) -> None:
    async with Crowd(replica.url) as crowd:
        nobody = await crowd.call(APP, secret="eg-nobody-knows-this-key")
        bad = await crowd.call(APP, messages="not a list")
    assert (nobody.status, bad.status) == (401, 400)
    await asyncio.sleep(0.4)
    assert not [row for row in in_file(replica.file_of_store) if row.marker in (nobody.marker, bad.marker) and row.cost]


async def test_all_sums_agree_to_the_nano_dollar(replica: Replica, provider: Provider) -> None:
    """Of a key whose every answer reports its usage."""
    async with Crowd(replica.url) as crowd:
        await asyncio.gather(
            *(crowd.call(APP, f"answer={n} cached={n % 5}", model=("odd", "cheap", "dear")[n % 3], stream=bool(n % 2)) for n in range(60))
        )
    billed = provider.bill.nano_usd("app")
    assert billed > 0
    await eventually(lambda: cost(of_key(in_file(replica.file_of_store), "app")) == billed, f"{billed} nano-dollars", WRITTEN_S)
    rows = in_file(replica.file_of_store)
    assert not twice(rows)
    usage = replica.get("/v1/usage", APP.secret).json()
    assert Decimal(usage["cost_usd"]) * 1_000_000_000 == billed
    assert usage["tokens_used"] == provider.bill.tokens("app")

    total = Decimal(replica.admin("usage").json()["total"]["cost_usd"]) * 1_000_000_000
    assert total == cost(rows)
    per_key = {each["key"]: Decimal(each["cost_usd"]) for each in replica.admin("usage?by=key").json()["data"]}
    assert per_key["app"] * 1_000_000_000 == billed
    assert sorted(exported(replica.admin("ledger?format=jsonl").text), key=lambda row: row.name) == sorted(rows, key=lambda row: row.name)
    assert sorted(by_command(replica), key=lambda row: row.name) == sorted(rows, key=lambda row: row.name)
    metric = sum(
        sample.value
        for family in text_string_to_metric_families(replica.get("/metrics").text)
        for sample in family.samples
        if sample.name == "edgegate_cost_usd_total"
    )
    assert metric == pytest.approx(cost(rows) / 1e9, rel=1e-9)
