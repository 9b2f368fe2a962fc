"""A ceiling that a caller sets for one request: what may cost more is refused before anything is sent, attempts together stay below
it, and the provider never hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.money.bill import PRICES, Provider
from tests.money.fleet import Fleet, Replica, chain, configuration
from tests.money.load import Answer, Caller, Crowd

APP = Caller("app", "acme")
FAILOVER = {
    "failover": {
        "attempts": 4,
        "retries": 3,
        "backoff": 0.01,
        "breaker": {"failures": 0},
        "outliers": {"error_rate": 0, "latency": 0},
        "hedge": {"delay": "300ms", "max_cost_usd": 1},
        "midstream": "restart",
    }
}

SECOND = {"cheap", "spare"}
WHOLE = 0.010
"""What a thousand tokens of the model `plain` cost, in dollars; its prompts here cost less than 0.0003."""


@pytest.fixture(scope="module")
def replica(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    config = configuration(
        {"maker": provider.entry("maker", sorted(set(PRICES) - SECOND)), "second": provider.entry("second", sorted(SECOND))},
        [APP.entry()],
        models={"fallbacks": {"dear": ["second/cheap"], "plain": ["second/spare"]}},
        chain=chain(failover=FAILOVER),
    )
    provider.bill.forget()
    with Fleet(tmp_path_factory.mktemp("ceiling")) as fleet:
        (replica,) = fleet.start(config)
        yield replica


def in_header(usd: float) -> dict[str, Any]:
    return {"headers": {"x-max-cost-usd": f"{usd:.6f}"}}


def in_body(usd: float) -> dict[str, Any]:
    return {"max_cost_usd": usd}


WAYS = pytest.mark.parametrize("way", [in_header, in_body], ids=["header", "body"])


async def call(replica: Replica, words: str = "", **more: Any) -> Answer:
    async with Crowd(replica.url) as crowd:
        return await crowd.call(APP, words, **more)


@WAYS
@pytest.mark.parametrize("anthropic", [False, True], ids=["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_what_may_cost_more_is_refused_and_not_sent(
    way: Any, anthropic: bool, stream: bool, replica: Replica, provider: Provider
) -> None:
    answer = await call(replica, "answer=1", max_tokens=1000, anthropic=anthropic, stream=stream, **way(WHOLE - 0.001))
    assert answer.status == 400, (answer.status, answer.body)
    if not anthropic:
        assert answer.code == "cost_limit_exceeded"
    assert answer.headers["x-edgegate-error-source"] in ("client", "gateway")
    assert not provider.bill.about(answer.marker)


@WAYS
async def test_what_fits_is_served_and_the_provider_never_hears_of_it(way: Any, replica: Replica, provider: Provider) -> None:
    answer = await call(replica, "answer=1000", max_tokens=1000, **way(WHOLE + 0.0005))
    assert answer.whole
    (line,) = provider.bill.about(answer.marker)
    assert line.fields == {"model", "max_tokens", "messages", "stream"}
    assert line.nano_usd <= (WHOLE + 0.0005) * 1e9


async def test_the_lower_of_two_ceilings_counts(replica: Replica, provider: Provider) -> None:
    for header, body in ((1.0, 0.001), (0.001, 1.0)):
        answer = await call(replica, **in_header(header), **in_body(body))
        assert (answer.status, answer.code) == (400, "cost_limit_exceeded")
        assert not provider.bill.about(answer.marker)


@WAYS
@pytest.mark.parametrize(("ceiling", "attempts"), [(2.5 * WHOLE, 2), (1.05 * WHOLE, 1)], ids=["for two", "for one"])
async def test_attempts_one_after_the_other_stay_below_it(
    way: Any, ceiling: float, attempts: int, replica: Replica, provider: Provider
) -> None:
    """The first breaks off when it has cost a quarter. Another may begin anew if there is money for a whole answer beside that."""
    answer = await call(replica, "answer=1000 cut=1,0", max_tokens=1000, stream=True, **way(ceiling))
    lines = provider.bill.about(answer.marker)
    assert len(lines) == attempts
    assert sum(line.nano_usd for line in lines) <= ceiling * 1e9
    assert answer.whole == (attempts == 2)


@WAYS
@pytest.mark.parametrize(("ceiling", "attempts"), [(2.5 * WHOLE, 2), (1.05 * WHOLE, 1)], ids=["for two", "for one"])
async def test_attempts_beside_each_other_stay_below_it(
    way: Any, ceiling: float, attempts: int, replica: Replica, provider: Provider
) -> None:
    """A hedge is made only if both could be as long as they may."""
    answer = await call(replica, "answer=1000 wait=1,0", max_tokens=1000, stream=True, **way(ceiling))
    assert answer.whole
    lines = provider.bill.about(answer.marker)
    assert len(lines) == attempts
    assert sum(line.nano_usd for line in lines) <= ceiling * 1e9


async def test_no_attempt_begins_that_could_pass_it(replica: Replica, provider: Provider) -> None:
    """A failed attempt costs nothing, so the next may have all of it."""
    answer = await call(replica, "status=500,500,200 answer=900", max_tokens=1000, **in_header(WHOLE + 0.0005))
    assert answer.whole
    lines = provider.bill.about(answer.marker)
    assert [line.status for line in lines] == [500, 500, 200]
    assert sum(line.nano_usd for line in lines) <= (WHOLE + 0.0005) * 1e9


@WAYS
async def test_a_cheaper_fallback_within_it_is_used(way: Any, replica: Replica, provider: Provider) -> None:
    """The first target costs a hundred times as much as the second."""
    answer = await call(replica, "answer=50", model="dear", max_tokens=1000, **way(0.005))
    assert answer.whole, answer.body
    (line,) = provider.bill.about(answer.marker)
    assert (line.provider, line.model) == ("second", "cheap")
    assert "max_cost_usd" not in line.fields


@pytest.mark.parametrize("value", ["much", "-1", "nan", "", "1e400"])
async def test_a_ceiling_that_is_no_amount_is_a_mistake_of_the_caller(value: str, replica: Replica, provider: Provider) -> None:
    for more in ({"headers": {"x-max-cost-usd": value}}, {"max_cost_usd": value}):
        answer = await call(replica, "answer=1", **more)
        assert answer.status == 400, (more, answer.status)
        assert "cost" in answer.error["message"]
        assert not provider.bill.about(answer.marker)
