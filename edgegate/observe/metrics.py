"""Metrics, counted in own integers on the hot path (0.2 us an update) and handed to prometheus_client when scraped.

Names are OpenTelemetry's GenAI names where there is one, `edgegate_*` otherwise. Labels come from a bounded set: past
`max_series` label sets per metric further ones are counted as `other`, whatever clients send.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgegate import __version__

if TYPE_CHECKING:
    from edgegate.exchange import Attempt, Exchange

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
OVERHEAD = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)

MAX_LABEL = 128

Labels = tuple[str, ...]


class Counts:
    """A counter by label values."""

    __slots__ = ("_max", "documentation", "labels", "name", "values")

    def __init__(self, name: str, documentation: str, labels: Labels, max_series: int) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.values: dict[Labels, float] = {}
        self._max = max_series

    def add(self, key: Labels, amount: float = 1) -> None:
        values = self.values
        if key in values:
            values[key] += amount
        elif len(values) < self._max:
            values[key] = amount
        else:
            other = ("other",) * len(key)
            values[other] = values.get(other, 0) + amount

    def collect(self, values: Mapping[Labels, float]) -> Metric:
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for key, value in values.items():
            family.add_metric(key, value)
        return family


class Levels:
    """A gauge by label values. Over several workers the sum is shown, or the largest or smallest where a sum says nothing."""

    __slots__ = ("_max", "documentation", "labels", "largest", "name", "smallest", "values")

    def __init__(
        self, name: str, documentation: str, labels: Labels, max_series: int, *, largest: bool = False, smallest: bool = False
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.largest = largest
        self.smallest = smallest
        self.values: dict[Labels, float] = {}
        self._max = max_series

    def set(self, key: Labels, value: float) -> None:
        if key in self.values or len(self.values) < self._max:
            self.values[key] = value

    def joined(self, one: float | None, other: float) -> float:
        """What two workers say together."""
        if one is None:
            return other
        if self.smallest:
            return min(one, other)
        return max(one, other) if self.largest else one + other

    def collect(self, values: Mapping[Labels, float]) -> Metric:
        family = GaugeMetricFamily(self.name, self.documentation, labels=self.labels)
        for key, value in values.items():
            family.add_metric(key, value)
        return family


class Distribution:
    """A histogram by label values. A series is its bucket counts, one more for +Inf, and the sum at the end."""

    __slots__ = ("_bounds", "_max", "documentation", "labels", "name", "values")

    def __init__(self, name: str, documentation: str, labels: Labels, bounds: tuple[float, ...], max_series: int) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.values: dict[Labels, list[float]] = {}
        self._bounds = bounds
        self._max = max_series

    def series(self, key: Labels) -> list[float]:
        """The series of these labels, or of `other` when there are too many."""
        series = self.values.get(key)
        if series is None:
            if len(self.values) >= self._max:
                key = ("other",) * len(key)
            series = self.values.setdefault(key, [0] * (len(self._bounds) + 2))
        return series

    def observe(self, key: Labels, value: float) -> None:
        put(self.series(key), self._bounds, value)

    def collect(self, values: Mapping[Labels, list[float]]) -> Metric:
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        for key, series in values.items():
            total = 0.0
            buckets = []
            for bound, number in zip((*self._bounds, float("inf")), series, strict=False):
                total += number
                buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), total))
            family.add_metric(key, buckets, series[-1])
        return family


def put(series: list[float], bounds: tuple[float, ...], value: float) -> None:
    """Counts one value in a series."""
    series[bisect_left(bounds, value)] += 1
    series[-1] += value


class Metrics:
    """Everything that is counted in one worker. `snapshot` and `merged` add workers up."""

    def __init__(self, max_series: int = 1000) -> None:
        model = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
        self.requests = Counts(
            "edgegate_requests", "Exchanges by how they ended.", ("operation", "dialect", "status", "outcome"), max_series
        )
        self.attempts = Counts("edgegate_attempts", "Attempts at providers by outcome.", ("provider", "model", "outcome"), max_series)
        self.cache = Counts("edgegate_cache", "Cache look-ups.", ("result",), max_series)
        self.cost = Counts("edgegate_cost_usd", "Cost of attempts, where the price is known.", ("provider", "model"), max_series)
        self.unpriced = Counts("edgegate_unpriced_attempts", "Attempts with usage but no known price.", ("provider", "model"), max_series)
        self.tokens = Counts("edgegate_tokens", "Tokens.", ("provider", "model", "type"), max_series)
        self.bytes_out = Counts("edgegate_sent_bytes", "Bytes of reply bodies sent to clients.", (), max_series)
        self.bad_requests = Counts("edgegate_unparsable_requests", "Requests that were not valid HTTP.", (), max_series)
        self.duration = Distribution(
            "gen_ai_client_operation_duration_seconds", "Time of an attempt, from request to the last byte.", model, SECONDS, max_series
        )
        self.first = Distribution(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Time to the first meaningful event of a stream.",
            model,
            SECONDS,
            max_series,
        )
        self.usage = Distribution("gen_ai_client_token_usage", "Tokens per attempt.", (*model, "gen_ai_token_type"), TOKENS, max_series)
        self.overhead = Distribution(
            "edgegate_overhead_seconds",
            "Time before the first attempt was sent: the gateway's own share.",
            ("operation",),
            OVERHEAD,
            max_series,
        )
        self.retries = Counts("edgegate_retries", "Attempts after or beside another one, by why.", ("provider", "reason"), max_series)
        self.breaker_changes = Counts("edgegate_breaker_changes", "Changes of breakers.", ("provider", "model", "state"), max_series)
        self.breakers = Levels(
            "edgegate_breaker_state", "0 closed, 0.5 half open, 1 open.", ("provider", "model"), max_series, largest=True
        )
        self.queue_depth = Levels("edgegate_queue_depth", "Exchanges that wait in the queue.", ("priority",), max_series)
        self.queue_running = Levels("edgegate_queue_running", "Exchanges behind the queue.", (), max_series)
        self.queue_wait = Distribution(
            "edgegate_queue_wait_seconds", "Time spent in the queue.", ("priority", "result"), SECONDS, max_series
        )
        self.news = Counts("edgegate_worker_news", "Items that workers told each other, by what became of them.", ("result",), max_series)
        self.limited = Counts("edgegate_limited", "Requests refused by a limit or a budget.", ("rule", "unit"), max_series)
        self.budget_used = Levels(
            "edgegate_budget_used_ratio",
            "What is used of a budget, as a share of it.",
            ("rule", "subject", "unit", "period"),
            max_series,
            largest=True,
        )
        self.budget_alerts = Counts("edgegate_budget_alerts", "Budgets that reached a share of theirs.", ("rule", "share"), max_series)
        self.alert_deliveries = Counts(
            "edgegate_alert_deliveries", "Alerts for the webhook, by what became of them.", ("result",), max_series
        )
        self.ledger_rows = Counts("edgegate_ledger_rows", "Rows of the ledger, by what became of them.", ("result",), max_series)
        self.ledger_waiting = Levels("edgegate_ledger_waiting_rows", "Rows that wait to be written.", (), max_series)
        self.store = Levels("edgegate_store_up", "1 while a store can be reached.", ("store",), max_series, smallest=True)
        self.store_errors = Counts("edgegate_store_errors", "Calls to a store that failed.", ("store",), max_series)
        self.price_reloads = Counts(
            "edgegate_price_reloads", "Changes of the price catalogue, by whether they were taken.", ("result",), max_series
        )
        self._series: dict[Labels, tuple[list[float], ...]] = {}  # the series of one target, found once
        self._max_series = max_series
        self.in_flight = 0
        self.draining = False
        self.started_unix_s = 0.0

    # -- updates, all on the hot path

    def exchange(self, ex: Exchange) -> None:
        outcome = ex.outcome
        self.requests.add((ex.operation, ex.client.dialect, str(ex.status), outcome or ""))
        if ex.cache:
            self.cache.add((ex.cache,))
        if ex.bytes_out:
            self.bytes_out.add((), ex.bytes_out)
        if ex.attempts:
            self.overhead.observe((ex.operation,), ex.attempts[0].started - ex.started)

    def attempt(self, ex: Exchange, attempt: Attempt) -> None:
        provider, model = attempt.provider, attempt.model[:MAX_LABEL]
        outcome = attempt.outcome
        self.attempts.add((provider, model, outcome or ""))
        key = (ex.operation, provider, model)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= self._max_series:
                self._series.clear()
            series = (
                self.duration.series(key),
                self.first.series(key),
                self.usage.series((*key, "input")),
                self.usage.series((*key, "output")),
            )
            self._series[key] = series
        put(series[0], SECONDS, attempt.ended - attempt.started)
        if attempt.first and ex.stream:
            put(series[1], SECONDS, attempt.first - attempt.started)
        usage = attempt.usage
        if usage.reported or attempt.estimated:
            put(series[2], TOKENS, usage.input_tokens)
            put(series[3], TOKENS, usage.output_tokens)
            self.tokens.add((provider, model, "input"), usage.input_tokens)
            self.tokens.add((provider, model, "output"), usage.output_tokens)
            if usage.cached_tokens:
                self.tokens.add((provider, model, "cached"), usage.cached_tokens)
            if usage.reasoning_tokens:
                self.tokens.add((provider, model, "reasoning"), usage.reasoning_tokens)
            if attempt.cost_nano_usd is None:
                self.unpriced.add((provider, model))
            elif attempt.cost_nano_usd:
                self.cost.add((provider, model), attempt.cost_nano_usd / 1e9)

    # -- reading

    def counts(self) -> tuple[Counts, ...]:
        return (
            self.requests, self.attempts, self.cache, self.cost, self.unpriced, self.tokens, self.bytes_out, self.bad_requests,
            self.retries, self.breaker_changes, self.news, self.limited, self.budget_alerts, self.alert_deliveries, self.ledger_rows,
            self.store_errors, self.price_reloads,
        )  # fmt: skip

    def distributions(self) -> tuple[Distribution, ...]:
        return (self.duration, self.first, self.usage, self.overhead, self.queue_wait)

    def levels(self) -> tuple[Levels, ...]:
        return (self.breakers, self.queue_depth, self.queue_running, self.budget_used, self.ledger_waiting, self.store)

    def snapshot(self) -> dict[str, Any]:
        """This worker's numbers as JSON, for the other workers."""
        values: dict[str, Any] = {counts.name: [[list(key), value] for key, value in counts.values.items()] for counts in self.counts()}
        values |= {d.name: [[list(key), series] for key, series in d.values.items()] for d in self.distributions()}
        values |= {levels.name: [[list(key), value] for key, value in levels.values.items()] for levels in self.levels()}
        return {"values": values, "in_flight": self.in_flight}


class WorkersCollector(Collector):
    """Gives prometheus_client the sum of this worker's numbers and the other workers' snapshots."""

    def __init__(self, metrics: Metrics, others: Callable[[], list[dict[str, Any]]]) -> None:
        self._metrics = metrics
        self._read_others = others

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not scrape, and two gateways in one process may use the same names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        metrics = self._metrics
        others = self._read_others()
        for counts in metrics.counts():
            totals = dict(counts.values)
            for key, value in _foreign(others, counts.name):
                totals[key] = totals.get(key, 0) + value
            yield counts.collect(totals)
        for distribution in metrics.distributions():
            sums = {key: list(series) for key, series in distribution.values.items()}
            for key, series in _foreign(others, distribution.name):
                sums[key] = [a + b for a, b in zip(sums[key], series, strict=True)] if key in sums else series
            yield distribution.collect(sums)
        for levels in metrics.levels():
            current = dict(levels.values)
            for key, value in _foreign(others, levels.name):
                current[key] = levels.joined(current.get(key), value)
            yield levels.collect(current)
        in_flight = metrics.in_flight + sum(int(other.get("in_flight", 0)) for other in others)
        yield GaugeMetricFamily("edgegate_in_flight", "Exchanges running now.", in_flight)
        yield GaugeMetricFamily(
            "edgegate_draining", "1 while the gateway refuses new work and finishes what runs.", float(metrics.draining)
        )
        yield GaugeMetricFamily("edgegate_start_time_seconds", "When the gateway started, in Unix seconds.", metrics.started_unix_s)
        build = GaugeMetricFamily("edgegate_build", "Always 1; the version is in the label.", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build


def _foreign(others: list[dict[str, Any]], name: str) -> Iterator[tuple[Labels, Any]]:
    for other in others:
        for key, value in other["values"].get(name, ()):
            yield tuple(key), value
