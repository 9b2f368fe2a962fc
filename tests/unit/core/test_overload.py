"""The signs of overload: a loop that runs late, a process that has grown."""

from __future__ import annotations

import asyncio
import time

from edgegate.config.model import ServerOptions
from edgegate.config.option import Duration, Size
from edgegate.server import overload as overload_module
from edgegate.server.overload import Overload


async def sample(options: ServerOptions, *, block_s: float = 0.0) -> Overload:
    """An Overload that has taken one sample, during which the loop was held up."""
    overload = Overload(options)
    overload.open()
    await asyncio.sleep(0.01)
    time.sleep(block_s)
    until = time.monotonic() + 5
    before = overload._handle
    while overload._handle is before:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    overload.close()
    return overload


async def test_a_loop_that_runs_late_is_a_reason_and_one_in_time_is_not() -> None:
    late = await sample(ServerOptions(max_lag=Duration(0.2)), block_s=overload_module.EVERY_S + 0.4)
    assert "late" in late.reason
    assert late.lag_s > 0.2
    in_time = await sample(ServerOptions(max_lag=Duration(5)))
    assert in_time.reason == ""


async def test_the_lag_is_not_looked_at_when_switched_off() -> None:
    assert (await sample(ServerOptions(max_lag=Duration(0)), block_s=overload_module.EVERY_S + 0.3)).reason == ""


async def test_memory_is_a_reason_only_beyond_its_limit() -> None:
    grown = await sample(ServerOptions(max_memory=Size(1 << 20), max_lag=Duration(0)))
    assert "memory" in grown.reason
    assert grown.memory() > 1 << 20
    assert (await sample(ServerOptions(max_memory=Size(1 << 40), max_lag=Duration(0)))).reason == ""
