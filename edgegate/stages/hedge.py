"""Hedged requests: when an attempt is slow to begin, another one starts beside it, and the first to answer serves the caller.

The loser is cancelled at once. It is on the record as an attempt of its own, `cancelled`, and charged with what its provider had
reported of usage by then, else with an estimate (`tokens/estimate.py`). What a further attempt may cost is capped.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from edgegate.config.stages import HedgeOptions
from edgegate.dialects.base import Usage
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from edgegate.ledger.prices import Prices
from edgegate.resilience.board import Lane
from edgegate.taps import Outcome

if TYPE_CHECKING:
    from edgegate.stages.run import Run

ANSWER_TOKENS = 1024
"""What an answer is taken to cost at most where the request sets no limit of its own."""

MAX_TOKENS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class Hedges:
    """See the module."""

    def __init__(self, options: HedgeOptions, prices: Prices) -> None:
        self._options = options
        self._prices = prices

    async def race(self, run: Run, ex: Exchange, lane: Lane) -> Reply:
        """The reply of the attempt that answers first. Raises the error of the first attempt if none does."""
        racing: dict[asyncio.Task[Reply], tuple[Exchange, Lane]] = {}
        error: GatewayError | None = None
        more = self._options.max

        def another() -> Lane | None:
            beside = run.beside([lane for _, lane in racing.values()]) if more else None
            return beside if beside is not None and self._affordable(ex, beside) else None

        def start(lane: Lane) -> asyncio.Task[Reply]:
            fork = ex.fork()
            task = run.stage.tasks.spawn(run.attempt(fork, lane))
            racing[task] = (fork, lane)
            return task

        first = start(lane)
        left = False
        try:
            while racing:
                delay = self._options.delay if another() is not None else None
                done, _ = await asyncio.wait(racing, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
                beside = another() if not done else None  # what may be asked now
                if beside is not None and not run.may_hedge(beside, lane):
                    more = 0
                elif beside is not None:
                    run.stage.metrics.retries.add((beside.state.target.provider.name, "hedge"))
                    more -= 1
                    start(beside)
                for task in done:
                    fork, tried = racing.pop(task)
                    failed = task.exception()
                    if failed is None:
                        if error is not None:
                            run.note(lane, error)
                        ex.adopt(fork)
                        return task.result()
                    if not isinstance(failed, GatewayError):
                        raise failed
                    if run.is_final(failed, first=task is first):
                        raise failed
                    if task is first:
                        error = failed
                    else:
                        run.note(tried, failed)
            assert error is not None
            raise error
        except asyncio.CancelledError:
            left = True
            raise
        finally:
            await _cancel(racing, left)
            run.settle(left)

    def _affordable(self, ex: Exchange, lane: Lane) -> bool:
        target = lane.state.target
        if target.provider.simulated:
            return True
        asked = [value for name in MAX_TOKENS if isinstance(value := ex.request.get(name), int) and value > 0]
        usage = Usage(_input_tokens(ex), min(asked, default=ANSWER_TOKENS), reported=True)
        cost = self._prices.cost_nano(usage, target.model, target.provider.name, target.provider.side.name)
        return cost is not None and cost <= self._options.max_cost_usd * 1e9


async def _cancel(racing: dict[asyncio.Task[Reply], tuple[Exchange, Lane]], left: bool) -> None:
    """Ends the attempts that lost; or all of them, whose caller has left."""
    for task in racing:
        task.cancel()
    if racing:
        await asyncio.wait(racing)
    for task, (fork, _) in racing.items():
        if not task.cancelled() and task.exception() is None and not isinstance(body := task.result().body, bytes):
            body.abort()  # it began to answer in the same moment
        attempt = fork.attempt
        if attempt is not None and attempt.outcome is None and not left:
            attempt.outcome, attempt.error, attempt.ended = Outcome.CANCELLED, "superfluous", time.monotonic()


def _input_tokens(ex: Exchange) -> int:
    """A rough count: four bytes to a token."""
    return len(ex.body) // 4
