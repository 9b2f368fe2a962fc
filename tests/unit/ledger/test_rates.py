"""Audio, service tiers, what is charged for instead of tokens, and the most that a request may cost."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.config.model import PriceOptions
from edgegate.dialects.base import Usage
from edgegate.ledger.prices import PriceError, Prices, cost_usd
from edgegate.ledger.rates import PRICE_NAMES, TIERS, Rate, read_flat_rate, read_rate

MILLION = 1_000_000
LIST = Prices.load(PriceOptions())


def used(input: int, output: int, tier: str = "", billed: tuple[int, int] | None = None, **parts: int) -> Usage:
    return Usage(input_tokens=input, output_tokens=output, reported=True, tier=tier, billed=billed, **parts)


def configured(**prices: float) -> Prices:
    return Prices.load(PriceOptions(models={"m": prices}))


def dollars(prices: Prices, usage: Usage, model: str = "m", provider: str = "") -> Decimal | None:
    nano = prices.cost_nano(usage, model, provider)
    return None if nano is None else cost_usd(nano)


# -- audio


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("gpt-4o-audio-preview-2025-06-03", used(MILLION, 0, input_audio_tokens=MILLION), "40"),
        ("gpt-4o-audio-preview", used(0, MILLION, output_audio_tokens=MILLION), "80"),
        ("gpt-4o-audio-preview", used(100, 50, input_audio_tokens=80, output_audio_tokens=40), "0.00655"),
        ("gpt-audio", used(MILLION, MILLION), "12.5"),
        ("gemini-2.5-flash", used(1000, 0, input_audio_tokens=900), "0.00093"),
        ("gpt-4o", used(1000, 0, input_audio_tokens=900), "0.0025"),  # it has no price for audio: as text
    ],
)
def test_audio_has_its_own_price(model: str, usage: Usage, cost: str) -> None:
    assert dollars(LIST, usage, model) == Decimal(cost)


def test_audio_counts_once_beside_cached_and_reasoning_tokens() -> None:
    own = configured(input=1, output=1, cached=0.1, reasoning=2, input_audio=100, output_audio=100)
    usage = used(1000, 1000, cached_tokens=950, input_audio_tokens=900, reasoning_tokens=990, output_audio_tokens=900)
    assert own.cost_nano(usage, "m") == 950 * 100 + 50 * 100_000 + 990 * 2000 + 10 * 100_000


# -- tiers


@pytest.mark.parametrize(
    ("model", "tier", "cost"),
    [
        ("gpt-5", "", "11.25"),
        ("gpt-5", "flex", "5.625"),
        ("gpt-5", "batch", "5.625"),
        ("gpt-5", "priority", "22.5"),
        ("gpt-4o", "priority", "21.25"),
        ("claude-sonnet-4-6", "batch", "9"),
        ("gemini-2.5-flash", "batch", "1.4"),
        ("openai/gpt-oss-20b", "flex", "0.375"),
    ],
)
def test_a_service_tier_has_its_own_price(model: str, tier: str, cost: str) -> None:
    provider = "groq" if "oss" in model else ""
    assert dollars(LIST, used(MILLION, MILLION, tier), model, provider) == Decimal(cost)


@pytest.mark.parametrize(
    ("model", "tier"),
    [("gpt-5-pro", "priority"), ("gpt-6-sol", "ultrafast"), ("claude-sonnet-4-6", "priority"), ("gemini-2.5-pro", "flex")],
)
def test_a_tier_that_the_vendor_sells_at_a_price_not_listed_has_an_unknown_cost(model: str, tier: str) -> None:
    assert LIST.rate(model) is not None
    assert LIST.cost_nano(used(10, 10, tier), model) is None
    assert LIST.most_nano(10, 10, model, tier=tier) is None


def test_a_tier_can_have_a_higher_price_for_long_prompts() -> None:
    assert dollars(LIST, used(300_000, 0, "flex"), "gpt-5.5") == Decimal("1.5")
    assert dollars(LIST, used(272_000, 0, "flex"), "gpt-5.5") == Decimal("0.68")


def test_tiers_are_configured_with_flat_names() -> None:
    own = configured(input=4, output=8, cached=1, batch_input=2, batch_output=4, priority_input=10, priority_output=20, priority_cached=3)
    assert dollars(own, used(MILLION, 0, "batch", cached_tokens=MILLION)) == 2  # as the batch's input
    assert dollars(own, used(MILLION, 0, "priority", cached_tokens=MILLION)) == 3
    assert dollars(own, used(MILLION, MILLION, "flex")) == 12  # not given: as the usual tier
    assert dollars(own, used(MILLION, MILLION, "priority")) == 30


@pytest.mark.parametrize(
    ("prices", "problem"),
    [
        ({"input": 1, "output": 1, "batch_input": 1}, "prices.models.m: `batch_output` is missing"),
        ({"input": 1, "output": 1, "batch_input": -1, "batch_output": 1}, "prices.models.m: batch_input: expected US dollars"),
        ({"input": 1, "output": 1, "cheap_input": 1}, "no price is called `cheap_input`; there are input, output,"),
        ({"input": 1, "output": 1, "batch_": 1}, "no price is called `batch_`"),
        ({"batch_input": 1, "batch_output": 1}, "prices.models.m: `input` is missing"),
    ],
)
def test_a_configured_tier_that_cannot_be_is_an_error(prices: dict[str, float], problem: str) -> None:
    with pytest.raises(PriceError) as caught:
        configured(**prices)
    assert problem in str(caught.value)


def file_with(tmp_path: Path, vendor: dict[str, Any], **more: Any) -> PriceOptions:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"format": 1, "currency": "USD", "vendors": {"v": vendor}, **more}))
    return PriceOptions(file=str(file))


@pytest.mark.parametrize(
    ("vendor", "problem"),
    [
        ({"models": {"m": {"input": 1, "output": 1, "batch": 1}}}, "v/m: batch: expected prices by name"),
        ({"models": {"m": {"input": 1, "output": 1, "batch": {"input": 1}}}}, "v/m: batch: `output` is missing"),
        (
            {"models": {"m": {"input": 1, "output": 1, "flex": {"input": 1, "output": 1, "flex": 1}}}},
            "v/m: flex: no price is called `flex`",
        ),
        ({"models": {"m": {"input": 1, "output": 1, "batch_input": 1}}}, "v/m: no price is called `batch_input`; there are"),
        ({"tiers": "batch", "models": {}}, "vendor v: expected `tiers` to be a list of batch, flex, priority"),
        ({"tiers": ["fast"], "models": {}}, "vendor v: expected `tiers`"),
        ({"updated": "yesterday", "models": {}}, "vendor v: expected `updated` to be a date"),
    ],
)
def test_a_catalogues_tier_that_cannot_be_is_an_error(tmp_path: Path, vendor: dict[str, Any], problem: str) -> None:
    with pytest.raises(PriceError) as caught:
        Prices.load(file_with(tmp_path, vendor))
    assert problem in caught.value.text


# -- billed units, and vendors that sell by them


def test_what_the_vendor_bills_counts_where_it_says_so() -> None:
    usage = used(968, 40, billed=(62, 30))
    assert LIST.cost_nano(usage, "command-r-08-2024", "cohere", "cohere") == 62 * 150 + 30 * 600


@pytest.mark.parametrize(
    ("provider", "model", "input", "output"),
    [
        ("bedrock", "amazon.nova-lite-v1:0", "0.06", "0.24"),
        ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "1.1", "5.5"),
        ("bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", "1", "5"),
        ("bedrock", "us.meta.llama3-3-70b-instruct-v1:0", "0.72", "0.72"),
        ("cohere", "command-a-03-2025", "2.5", "10"),
    ],
)
def test_further_vendors_are_listed(provider: str, model: str, input: str, output: str) -> None:
    assert dollars(LIST, used(MILLION, 0), model, provider) == Decimal(input)
    assert dollars(LIST, used(0, MILLION), model, provider) == Decimal(output)


@pytest.mark.parametrize("model", ["rerank-v3.5", "rerank-v4.0-pro", "command-r"])
def test_what_is_not_sold_by_the_token_has_an_unknown_cost(model: str) -> None:
    assert LIST.rate(model, "cohere", "cohere") is None


# -- the most

price = st.decimals(0, 100, places=6).map(float)
tokens = st.integers(0, 400_000)


@given(
    st.fixed_dictionaries(dict.fromkeys(("input", "output", "cached", "cache_write", "reasoning", "output_audio"), price)),
    tokens,
    tokens,
    st.data(),
)
def test_no_usual_request_costs_more_than_the_most(prices: dict[str, float], input: int, output: int, data: st.DataObject) -> None:
    prices["cached"] = min(prices["cached"], prices["input"])  # a cache that costs more than none is not sold
    own = configured(**prices)
    cached = data.draw(st.integers(0, input))
    reasoned = data.draw(st.integers(0, output))
    usage = used(
        input,
        output,
        cached_tokens=cached,
        cache_write_tokens=data.draw(st.integers(0, input - cached)),
        reasoning_tokens=reasoned,
        output_audio_tokens=data.draw(st.integers(0, output - reasoned)),
    )
    cost, most = own.cost_nano(usage, "m"), own.most_nano(input, output, "m")
    assert cost is not None
    assert most is not None
    assert cost <= most


def test_the_most_counts_cache_writes_long_prompts_and_the_tier() -> None:
    assert LIST.most_nano(1000, 100, "claude-sonnet-4-6") == 3_750_000 + 1_500_000
    assert LIST.most_nano(272_000, 0, "gpt-5.5") == 1_360_000_000
    assert LIST.most_nano(272_001, 0, "gpt-5.5") == 2_720_010_000
    assert LIST.most_nano(0, 1000, "gpt-audio") == 64_000_000
    assert LIST.most_nano(1000, 1000, "gpt-5", "openai", "openai", "priority") == 22_500_000
    assert LIST.most_nano(1000, 1000, "gpt-5", "openai", "openai", "auto") == 11_250_000
    assert LIST.most_nano(10, 10, "nobody-knows-it", "openai", "openai") is None


def test_the_most_is_rounded_up() -> None:
    assert configured(input=0.000001, output=0).most_nano(1, 0, "m") == 1
    assert configured(input=0, output=0).most_nano(100, 100, "m") == 0


def test_the_most_takes_under_half_a_microsecond() -> None:
    def seconds_per_call() -> float:
        start = time.perf_counter()
        for _ in range(10_000):
            LIST.most_nano(1000, 500, "gpt-4o-2024-08-06", "openai", "openai")
        return (time.perf_counter() - start) / 10_000

    assert min(seconds_per_call() for _ in range(10)) < 1e-6  # measured 0.23 us; the bound leaves room for a noisy machine


# -- the version, and taking over another catalogue


def test_the_version_is_the_newest_date_and_a_digest_of_the_prices(tmp_path: Path) -> None:
    date, _, digest = LIST.version.rpartition("-")
    assert (date, len(digest)) == (json.loads((Path(__file__).parents[3] / "edgegate/ledger/prices.json").read_text())["updated"], 8)
    assert Prices.load(PriceOptions()).version == LIST.version
    newer = Prices.load(file_with(tmp_path, {"updated": "2031-01-31", "models": {}}, updated="2030-01-01"))
    assert newer.version == f"2031-01-31-{digest}"  # nothing costs anything else


def test_the_version_changes_with_any_price_and_not_with_the_order() -> None:
    def version(**models: dict[str, float]) -> str:
        return Prices.load(PriceOptions(models=models)).version

    one, other = {"input": 1.0, "output": 2.0}, {"input": 3.0, "output": 4.0}
    versions = {
        version(),
        version(a=one),
        version(b=one),
        version(a=other),
        version(a=one, b=other),
        version(a={**one, "batch_input": 1, "batch_output": 1}),
    }
    assert len(versions) == 6
    assert version(a=one, b=other) == version(b=other, a=one)
    assert version(a={**one, "cached": 1}) == version(a=one)  # it is what it costs anyway


def test_whoever_holds_a_catalogue_sees_what_it_adopts() -> None:
    prices = configured(input=1, output=1)
    assert prices.cost_nano(used(1000, 0), "m") == 1_000_000
    assert prices.rate("new") is None
    prices.adopt(Prices.load(PriceOptions(models={"new": {"input": 2, "output": 2}})))
    assert prices.cost_nano(used(1000, 0), "new") == 2_000_000
    assert prices.rate("m") is None
    assert prices.version == Prices.load(PriceOptions(models={"new": {"input": 2, "output": 2}})).version


def test_every_price_is_in_the_digest() -> None:
    base = dict.fromkeys(PRICE_NAMES, 1)
    rates = [read_rate(base, "p", "m: ")]
    rates += [read_rate({**base, name: 2}, "p", "m: ") for name in PRICE_NAMES]
    rates += [read_rate({**base, "above": {"tokens": tokens, **base}}, "p", "m: ") for tokens in (1, 2)]
    rates += [read_rate({**base, tier: base}, "p", "m: ") for tier in TIERS]
    rates += [read_rate(base, "p", "m: ", ["flex"])]
    assert len({json.dumps(rate.parts()) for rate in rates}) == len(rates)


def test_flat_and_nested_prices_make_the_same_rate() -> None:
    nested: Rate = read_rate({"input": 1, "output": 2, "flex": {"input": Decimal("0.5"), "output": 1, "cached": 0}}, "p", "m: ")
    assert read_flat_rate({"input": 1, "output": 2, "flex_input": 0.5, "flex_output": 1, "flex_cached": 0}, "p") == nested
