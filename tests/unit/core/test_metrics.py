"""Metrics: what is counted, how it is written, how many series there may be, and the sum over workers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edgegate.dialects.base import Progress, Usage
from edgegate.exchange import Attempt
from edgegate.ledger.prices import Prices
from edgegate.observe.health import UNHEALTHY_AFTER, Health
from edgegate.observe.metrics import Counts, Distribution, Metrics, WorkersCollector
from edgegate.observe.share import SharedMetrics
from edgegate.stages.meter import Meter
from edgegate.taps import Outcome
from tests.unit.core.parts import CHAT, STREAM, Provider, exchange, live, providers, reply, sse

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    """(name, labels) -> value of an exposition; one that repeats a sample or a family fails."""
    found: Samples = {}
    families = []
    for family in text_string_to_metric_families(text):
        families.append(family.name)
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    assert len(families) == len(set(families))
    return found


def exposed(metrics: Metrics, *others: dict[str, Any]) -> Samples:
    registry = CollectorRegistry()
    registry.register(WorkersCollector(metrics, lambda: list(others)))
    return parsed(generate_latest(registry).decode())


def attempt(model: str = "gpt-4o", outcome: Outcome = Outcome.OK, provider: str = "openai", seconds: float = 0.03, **usage: Any) -> Attempt:
    used = Usage(**usage, reported=bool(usage))
    now = time.monotonic()
    made = Attempt("a-1", provider, "openai", model, now, Progress(usage=used))
    made.outcome, made.ended, made.status = outcome, now + seconds, 200
    return made


def test_over_workers_a_level_is_the_sum_the_largest_or_the_smallest() -> None:
    here, there = Metrics(), Metrics()
    for metrics, waiting, used, up in ((here, 3, 0.5, 1), (there, 4, 0.25, 0)):
        metrics.ledger_waiting.set((), waiting)
        metrics.budget_used.set(("team", "acme"), used)
        metrics.store.set(("postgres",), up)
    there.store.set(("redis",), 1)
    samples = exposed(here, there.snapshot())
    assert samples["edgegate_ledger_waiting_rows", ()] == 7
    assert samples["edgegate_budget_used_ratio", (("rule", "team"), ("subject", "acme"))] == 0.5
    assert samples["edgegate_store_up", (("store", "postgres"),)] == 0  # one that cannot reach it shows
    assert samples["edgegate_store_up", (("store", "redis"),)] == 1


def test_buckets_are_cumulative_and_end_with_all() -> None:
    metrics = Metrics()
    for seconds in (0.005, 0.01, 0.015, 1, 1000):
        metrics.attempt(exchange(), attempt(seconds=seconds))
    samples = exposed(metrics)
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in samples.items()
        if name == "gen_ai_client_operation_duration_seconds_bucket"
    }
    values = [buckets[bound] for bound in sorted(buckets)]
    assert values == sorted(values)
    assert buckets[0.02] == 3
    assert buckets[81.92] == 4
    assert buckets[float("inf")] == 5
    assert _total(samples, "gen_ai_client_operation_duration_seconds_count") == 5
    assert _total(samples, "gen_ai_client_operation_duration_seconds_sum") == pytest.approx(1001.03)


def test_a_value_on_a_bound_belongs_to_its_bucket() -> None:
    distribution = Distribution("d", "d", (), (1.0, 2.0), 10)
    for value in (1.0, 2.0, 2.1):
        distribution.observe((), value)
    assert distribution.values[()] == [1, 1, 1, 5.1]


def test_past_the_limit_further_series_are_counted_together() -> None:
    counts = Counts("c", "c", ("a", "b"), 3)
    for number in range(10):
        counts.add((str(number), "x"))
    counts.add(("0", "x"))
    assert counts.values == {("0", "x"): 2, ("1", "x"): 1, ("2", "x"): 1, ("other", "other"): 7}


def test_past_the_limit_further_distributions_are_counted_together() -> None:
    distribution = Distribution("d", "d", ("a",), (1.0,), 2)
    for number in range(5):
        distribution.observe((str(number),), 0.5)
    assert distribution.values[("other",)] == [3, 0, 1.5]
    assert len(distribution.values) == 3


def test_models_that_clients_make_up_are_bounded_in_every_metric() -> None:
    metrics = Metrics(max_series=20)
    for number in range(100):
        metrics.attempt(exchange(), attempt(f"made-up-{number}", input_tokens=1, output_tokens=1))
    sizes = {counts.name: len(counts.values) for counts in metrics.counts()}
    sizes |= {distribution.name: len(distribution.values) for distribution in metrics.distributions()}
    assert max(sizes.values()) <= 21, sizes


def test_a_huge_model_name_is_no_huge_label() -> None:
    metrics = Metrics()
    metrics.attempt(exchange(), attempt("m" * 1_000_000, input_tokens=1))
    assert max(len(value) for _, labels in exposed(metrics) for _, value in labels) < 1000


@pytest.mark.parametrize(
    "model", ['a"b', "a\\b", "a\nb", "ünï", "a{b}", ""], ids=["quote", "backslash", "newline", "letters", "braces", "empty"]
)
def test_any_model_name_is_a_label_that_parses(model: str) -> None:
    metrics = Metrics()
    metrics.attempt(exchange(), attempt(model))
    assert ("edgegate_attempts_total", (("model", model), ("outcome", "ok"), ("provider", "openai"))) in exposed(metrics)


def test_numbers_of_two_workers_are_added_up(tmp_path: Path) -> None:
    one, two = Metrics(), Metrics()
    ex = exchange()
    ex.status, ex.outcome, ex.attempts = 200, Outcome.OK, [attempt()]
    for metrics, times in ((one, 2), (two, 3)):
        for _ in range(times):
            metrics.exchange(ex)
            metrics.attempt(ex, attempt(input_tokens=5, output_tokens=1))
    two.attempt(ex, attempt("only-two"))
    one.in_flight, two.in_flight = 1, 4
    shares = [SharedMetrics(metrics, tmp_path, name) for metrics, name in ((one, "0"), (two, "1"))]
    for share in shares:
        share.write()
    for metrics, share in ((one, shares[0]), (two, shares[1])):
        samples = exposed(metrics, *share.others())
        assert _total(samples, "edgegate_requests_total") == 5
        assert _total(samples, "edgegate_attempts_total") == 6
        assert samples["edgegate_tokens_total", (("model", "gpt-4o"), ("provider", "openai"), ("type", "input"))] == 25
        assert _total(samples, "gen_ai_client_operation_duration_seconds_count") == 6
        assert _total(samples, "edgegate_in_flight") == 5


def test_adding_up_changes_nothing_of_a_workers_own() -> None:
    one, two = Metrics(), Metrics()
    for metrics in (one, two):
        metrics.attempt(exchange(), attempt())
    first = exposed(one, two.snapshot())
    assert exposed(one, two.snapshot()) == first


def test_a_worker_that_is_replaced_takes_none_of_its_counts_away(tmp_path: Path) -> None:
    """The supervisor starts another of the same name; the numbers of the one that died stay counted."""
    other = Metrics()
    first = Metrics()
    first.attempt(exchange(), attempt())
    SharedMetrics(first, tmp_path, "0").write()
    reader = SharedMetrics(other, tmp_path, "1")
    before = _total(exposed(other, *reader.others()), "edgegate_attempts_total")
    SharedMetrics(Metrics(), tmp_path, "0").write()
    assert _total(exposed(other, *reader.others()), "edgegate_attempts_total") == before == 1


def test_half_a_snapshot_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "9.json").write_bytes(b'{"values": {')
    assert SharedMetrics(Metrics(), tmp_path, "0").others() == []


def test_a_single_worker_writes_nothing() -> None:
    share = SharedMetrics(Metrics(), None, "0")
    share.write()
    assert share.others() == []


# -- what is metered


def test_the_price_of_an_unknown_model_is_unknown_and_counted_as_such() -> None:
    metrics = Metrics()
    from edgegate.config.model import PriceOptions

    meter = Meter(Prices.load(PriceOptions()), metrics)
    ex = exchange()
    ex.attempts = [attempt("nobody-knows-this-model", provider="x", input_tokens=5, output_tokens=5)]
    meter.record(ex)
    assert ex.attempts[0].cost_nano_usd is None
    assert list(metrics.unpriced.values) == [("x", "nobody-knows-this-model")]
    assert metrics.cost.values == {}


async def test_the_exposition_of_a_gateway_parses_and_counts(tmp_path: Path) -> None:
    async with Provider(reply(b'{"error":{"message":"m","type":"t"}}', 400), sse(STREAM)) as origin:
        config = {"providers": providers(origin.url)}
        async with live(config, tmp_path) as gateway:
            await gateway.post()
            await gateway.post(body=CHAT | {"stream": True})
            await gateway.post("/v1/nothing")
            status, text, head = await gateway.get("/metrics")
    assert status == 200
    assert head["content-type"].startswith("text/plain")
    samples = parsed(text.decode())
    mine = {dict(labels)["status"]: value for (name, labels), value in samples.items() if name == "edgegate_requests_total"}
    assert mine == {"400": 1, "200": 1, "404": 1}
    assert samples["edgegate_attempts_total", (("model", "gpt-4o"), ("outcome", "rejected"), ("provider", "one"))] == 1
    assert samples["edgegate_tokens_total", (("model", "gpt-4o"), ("provider", "one"), ("type", "input"))] == 7
    assert _total(samples, "gen_ai_client_operation_time_to_first_chunk_seconds_count") == 1
    assert _total(samples, "edgegate_in_flight") == 0
    assert "provider-secret" not in text.decode()


def _total(samples: Samples, name: str) -> float:
    return sum(value for (sample, _), value in samples.items() if sample == name)


# -- health


def test_a_provider_that_fails_often_enough_in_a_row_is_unhealthy_until_it_succeeds() -> None:
    health = Health(["openai", "idle"])
    ex = exchange()
    ex.attempts = [attempt(outcome=Outcome.FAILED)]
    for _ in range(UNHEALTHY_AFTER - 1):
        health.record(ex)
    assert health.liveness(1, 0)["status"] == "ok"
    health.record(ex)
    assert health.liveness(1, 0)["status"] == "degraded"
    assert health.readiness(False)[0] == 200, "others, or the same in a moment, may serve"
    ex.attempts = [attempt()]
    health.record(ex)
    body = health.liveness(1.23456, 7)
    assert (body["status"], body["active_requests"], body["uptime_s"]) == ("ok", 7, 1.235)
    assert body["providers"]["details"]["idle"]["latency_ms"] is None


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.CLIENT_GONE, Outcome.DRAINED], ids=lambda o: o.value)
def test_what_is_not_the_providers_fault_does_not_count_against_it(outcome: Outcome) -> None:
    health = Health(["openai"])
    ex = exchange()
    ex.attempts = [attempt(outcome=outcome)] * 20
    health.record(ex)
    assert health.liveness(1, 0)["status"] == "ok"


def test_a_draining_gateway_and_one_without_providers_are_not_ready() -> None:
    assert Health(["a"]).readiness(True)[0] == 503
    assert Health([]).readiness(False)[0] == 503


@pytest.mark.parametrize("path", ["/health", "/health/liveness", "/ready", "/health/readiness", "/startup", "/health/startup"])
async def test_probes_are_answered_without_a_key_and_for_head_too(tmp_path: Path, path: str) -> None:
    keys = [{"name": "k", "key": "gw-key-gw-key-gw"}]
    async with live({"providers": providers("http://127.0.0.1:9"), "keys": keys}, tmp_path) as gateway:
        status, body, head = await gateway.get(path)
        async with gateway.http.head(gateway.url + path) as response:
            assert response.status == 200
        assert gateway.lines() == []
    assert (status, head["cache-control"]) == (200, "no-store")
    assert b"one" in body
