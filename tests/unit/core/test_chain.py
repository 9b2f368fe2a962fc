"""The chain: order, short circuit, the rest run again, and a chain that leads nowhere."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from edgegate.chain import Proceed, Stage, compose
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from tests.unit.core.parts import exchange


class Note:
    """A stage that notes when it is entered and left."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name, self._notes = name, notes

    async def __call__(self, ex: Exchange, proceed: Proceed) -> Reply:
        self._notes.append(f"+{self._name}")
        reply = await proceed(ex)
        self._notes.append(f"-{self._name}")
        return reply


def answers(status: int) -> Stage:
    async def stage(ex: Exchange, proceed: Proceed) -> Reply:
        ex.reply = Reply(status, [], b"", "")
        return await proceed(ex)

    return stage


async def test_the_first_stage_is_the_outermost() -> None:
    notes: list[str] = []
    reply = await compose([Note("a", notes), Note("b", notes), answers(200), Note("c", notes)])(exchange())
    assert notes == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert reply.status == 200


async def test_a_stage_that_does_not_proceed_keeps_the_rest_from_running() -> None:
    notes: list[str] = []

    async def cached(ex: Exchange, proceed: Proceed) -> Reply:
        return Reply(203, [], b"kept", "")

    reply = await compose([Note("a", notes), cached, Note("b", notes), answers(200)])(exchange())
    assert (reply.status, notes) == (203, ["+a", "-a"])


async def test_a_stage_may_run_the_rest_of_the_chain_twice() -> None:
    notes: list[str] = []

    async def again(ex: Exchange, proceed: Proceed) -> Reply:
        await proceed(ex)
        return await proceed(ex)

    await compose([again, Note("b", notes), answers(200)])(exchange())
    assert notes == ["+b", "-b", "+b", "-b"]


async def test_an_outer_stage_sees_what_an_inner_one_raises() -> None:
    def raises(ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        raise GatewayError(418, "teapot", "no")

    async def mends(ex: Exchange, proceed: Proceed) -> Reply:
        try:
            return await proceed(ex)
        except GatewayError as error:
            return Reply(error.status, [], b"", "")

    assert (await compose([mends, raises])(exchange())).status == 418


@pytest.mark.parametrize("stages", [0, 1], ids=["no stage", "only one that proceeds"])
async def test_a_chain_without_forward_is_an_error_of_the_gateway(stages: int) -> None:
    with pytest.raises(GatewayError) as caught:
        await compose([Note("a", [])] * stages)(exchange())
    assert (caught.value.status, caught.value.code) == (500, "no_forward")


async def test_a_plain_def_may_be_a_stage() -> None:
    def passes(ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        ex.user = "seen"
        return proceed(ex)

    ex = exchange()
    await compose([passes, answers(200)])(ex)
    assert ex.user == "seen"
