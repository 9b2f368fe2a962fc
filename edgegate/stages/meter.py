"""meter: what every attempt used and what it cost.

Usage is written by whoever already parses the reply. This stage prices it once the exchange has ended and counts both in the
metrics; the log then has it in the attempt's line. On relayed paths, where nobody parses, it adds a tap that looks for the usage.
"""

from __future__ import annotations

from collections.abc import Awaitable

from edgegate.chain import Proceed
from edgegate.dialects.base import Operation
from edgegate.exchange import Exchange, Reply
from edgegate.ledger.prices import Prices
from edgegate.observe.metrics import Metrics
from edgegate.stages.sniff import sniffer


class Meter:
    """See the module. `record` is called once per exchange, after its end."""

    def __init__(self, prices: Prices, metrics: Metrics) -> None:
        self._prices = prices
        self._metrics = metrics

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        if ex.operation is Operation.RELAY and ex.reply is not None and ex.reply.status == 200:
            tap = sniffer(ex.reply.headers, ex.progress)
            if tap is not None:
                ex.reply.taps.append(tap)
        return proceed(ex)

    def record(self, ex: Exchange) -> None:
        for attempt in ex.attempts:
            model = attempt.model or attempt.progress.model  # a relayed path names its model in the reply only
            attempt.cost_nano_usd = 0 if attempt.free else self._prices.cost_nano(attempt.usage, model, attempt.provider, attempt.dialect)
            self._metrics.attempt(ex, attempt)
