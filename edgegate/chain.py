"""The chain: stages composed into one callable, once per configuration, never per request.

An onion: each stage awaits the rest of the chain and may call it never, once, or again. `forward` sets `ex.reply` and
proceeds like any other stage; the end of the chain returns it. So stages listed after `forward` see every attempt, stages
before it the one final reply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply

Proceed = Callable[[Exchange], Awaitable[Reply]]


class Stage(Protocol):
    """One link of the chain. `proceed(ex)` runs the rest of it. A plain def that returns `proceed(ex)` costs no coroutine."""

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]: ...


@runtime_checkable
class Recorder(Protocol):
    """A stage that also wants to see every exchange once, after its end: cache hits and rejections too. Never waits."""

    def record(self, ex: Exchange) -> None: ...


@runtime_checkable
class Resource(Protocol):
    """A stage that owns something to open before the first exchange and to close after the last."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


async def end_of_chain(ex: Exchange) -> Reply:
    if ex.reply is None:
        raise GatewayError(500, "no_forward", "the chain has no forward stage")
    return ex.reply


def compose(stages: Sequence[Stage]) -> Proceed:
    """The stages as one callable, the first outermost."""

    def bind(stage: Stage, rest: Proceed) -> Proceed:
        def proceed(ex: Exchange) -> Awaitable[Reply]:  # a plain def: no extra coroutine per stage
            return stage(ex, rest)

        return proceed

    chain: Proceed = end_of_chain
    for stage in reversed(stages):
        chain = bind(stage, chain)
    return chain
