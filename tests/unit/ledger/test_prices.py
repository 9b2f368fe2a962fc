from __future__ import annotations

import json
import time
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgegate.config.model import PriceOptions
from edgegate.dialects.base import Usage
from edgegate.ledger.prices import NANO_PER_USD, PriceError, Prices, Rate, cost_usd
from edgegate.ledger.rates import TIERS

MILLION = 1_000_000
CATALOGUE: dict[str, Any] = json.loads(resources.files("edgegate.ledger").joinpath("prices.json").read_text())


@pytest.fixture(scope="module")
def prices() -> Prices:
    return Prices.load(PriceOptions())


def used(input: int, output: int, billed: tuple[int, int] | None = None, tier: str = "", **parts: int) -> Usage:
    return Usage(input_tokens=input, output_tokens=output, reported=True, tier=tier, billed=billed, **parts)


def configured(**models: dict[str, float]) -> Prices:
    return Prices.load(PriceOptions(models=models))


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("gpt-4o", used(MILLION, 0), "2.5"),
        ("gpt-4o", used(0, MILLION), "10"),
        ("gpt-4o", used(1, 1), "0.0000125"),
        ("gpt-4o", used(2006, 300, cached_tokens=1920), "0.005615"),
        ("gpt-5-mini", used(10, 900, reasoning_tokens=896), "0.0018025"),
        ("claude-sonnet-4-6", used(MILLION, 0, cached_tokens=MILLION), "0.3"),
        ("claude-sonnet-4-6", used(MILLION, 0, cache_write_tokens=MILLION), "3.75"),
        ("claude-sonnet-4-6", used(MILLION, 0, cache_write_tokens=MILLION, cache_write_1h_tokens=MILLION), "6"),
        ("claude-sonnet-4-6", used(1000, 100, cached_tokens=300, cache_write_tokens=500, cache_write_1h_tokens=200), "0.004515"),
        ("gemini-2.5-flash", used(1000, 500, reasoning_tokens=400), "0.00155"),
        ("text-embedding-3-small", used(8, 0), "0.00000016"),
    ],
)
def test_an_attempt_costs_what_the_vendors_price_list_says(prices: Prices, model: str, usage: Usage, dollars: str) -> None:
    cost = prices.cost_nano(usage, model)
    assert cost is not None
    assert cost_usd(cost) == Decimal(dollars)


@pytest.mark.parametrize(("tokens", "dollars"), [(200_000, "0.25"), (200_001, "0.5000025")])
def test_a_long_prompt_pays_its_higher_price_for_all_tokens(prices: Prices, tokens: int, dollars: str) -> None:
    cost = prices.cost_nano(used(tokens, 0), "gemini-2.5-pro")
    assert cost is not None
    assert cost_usd(cost) == Decimal(dollars)


@pytest.mark.parametrize(
    ("model", "same_as"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-5-sonnet@20240620", "claude-3-5-sonnet"),
        ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("mistral-small-latest", "mistral-small"),
        ("openai/gpt-4o", "gpt-4o"),
        ("openai/gpt-4o-2024-11-20", "gpt-4o"),
    ],
)
def test_a_dated_or_full_name_has_the_price_of_the_model(prices: Prices, model: str, same_as: str) -> None:
    assert prices.rate(model) is prices.rate(same_as) is not None


def test_a_dated_model_with_a_price_of_its_own_keeps_it(prices: Prices) -> None:
    old, new = prices.rate("gpt-4o-2024-05-13"), prices.rate("gpt-4o")
    assert old is not None
    assert new is not None
    assert (old.input, new.input) == (5_000_000, 2_500_000)


@pytest.mark.parametrize("model", ["", "gpt-", "gpt-99", "llama3.2", "gpt-4o-audio", "deepseek-v4-flash", "gpt-4o-2024-08", "-latest"])
def test_a_model_that_is_not_listed_has_an_unknown_cost_not_zero(prices: Prices, model: str) -> None:
    assert prices.rate(model) is None
    assert prices.cost_nano(used(10, 10), model) is None


def test_tokens_that_nobody_reported_have_an_unknown_cost(prices: Prices) -> None:
    assert prices.cost_nano(Usage(), "gpt-4o") is None
    assert prices.cost_nano(Usage(reported=True), "gpt-4o") == 0
    assert prices.cost_nano(Usage(input_tokens=1), "gpt-4o") == 2500


def test_the_price_at_the_provider_wins_over_the_makers(prices: Prices) -> None:
    groq, together = prices.rate("openai/gpt-oss-20b", "groq"), prices.rate("openai/gpt-oss-120b", "together")
    assert groq is not None
    assert together is not None
    assert (groq.input, together.input) == (75_000, 150_000)
    assert prices.rate("openai/gpt-oss-20b", "together") is None
    assert prices.rate("llama-3.1-8b-instant") is None  # sold by others at other prices


def test_a_provider_under_another_name_has_the_list_price_of_its_dialects_vendor(prices: Prices) -> None:
    assert prices.rate("llama-3.1-8b-instant", "fast-one", "groq") is prices.rate("llama-3.1-8b-instant", "groq") is not None
    assert prices.rate("gpt-4o", "azure-west", "openai") is prices.rate("gpt-4o")


def test_a_model_of_a_resold_name_is_not_priced_as_the_makers(prices: Prices) -> None:
    assert prices.rate("openai/gpt-4o", "openrouter") is None


@pytest.mark.parametrize("dialect", ["ollama", "vllm", "lmstudio"])
def test_local_models_have_no_list_price_whatever_they_are_called(prices: Prices, dialect: str) -> None:
    assert prices.rate("gpt-4o", dialect) is None
    assert prices.rate("gpt-4o", "mine", dialect) is None


def test_configured_prices_win_and_local_models_can_have_one() -> None:
    own = Prices.load(
        PriceOptions(
            models={"gpt-4o": {"input": 1, "output": 2}, "ollama/llama3.2": {"input": 0, "output": 0}, "groq/x": {"input": 3, "output": 3}}
        )
    )
    assert own.cost_nano(used(MILLION, MILLION), "gpt-4o", "openai") == 3 * NANO_PER_USD
    assert own.cost_nano(used(5, 5), "llama3.2", "ollama", "ollama") == 0
    assert own.cost_nano(used(MILLION, 0), "x", "groq", "groq") == 3 * NANO_PER_USD
    assert own.rate("x", "together") is None
    assert own.rate("gpt-4o-2024-08-06") is own.rate("gpt-4o")


def test_a_configured_price_for_the_provider_wins_over_one_for_the_model() -> None:
    own = Prices.load(PriceOptions(models={"m": {"input": 1, "output": 1}, "p/m": {"input": 2, "output": 2}}))
    assert own.cost_nano(used(MILLION, 0), "m", "p") == 2 * NANO_PER_USD
    assert own.cost_nano(used(MILLION, 0), "m", "q") == NANO_PER_USD


def test_parts_without_a_price_cost_what_they_are_part_of() -> None:
    own = configured(m={"input": 2, "output": 10})
    assert own.rate("m") == Rate(2_000_000, 10_000_000, 2_000_000, 2_000_000, 2_000_000, 10_000_000, 2_000_000, 10_000_000)
    writes = configured(m={"input": 2, "output": 10, "cache_write": 3, "reasoning": 5}).rate("m")
    assert writes is not None
    assert (writes.cache_write_1h, writes.reasoning) == (3_000_000, 5_000_000)


amounts = st.integers(0, 10_000_000)


@given(amounts, amounts, amounts, amounts, amounts, amounts)
def test_the_cost_is_exact_for_any_consistent_usage(fresh: int, cached: int, short: int, long: int, spoken: int, reasoned: int) -> None:
    rate = configured(m={"input": 3, "output": 15, "cached": 0.3, "cache_write": 3.75, "cache_write_1h": 6, "reasoning": 7.123456}).rate(
        "m"
    )
    assert rate is not None
    usage = used(
        fresh + cached + short + long,
        spoken + reasoned,
        cached_tokens=cached,
        cache_write_tokens=short + long,
        cache_write_1h_tokens=long,
        reasoning_tokens=reasoned,
    )
    micro = (
        fresh * Decimal(3)
        + cached * Decimal("0.3")
        + short * Decimal("3.75")
        + long * Decimal(6)
        + spoken * Decimal(15)
        + reasoned * Decimal("7.123456")
    )
    cost = rate.cost_nano(usage)
    assert cost is not None
    assert abs(cost - micro * 1000) <= Decimal("0.5")


@given(amounts, amounts, amounts, amounts, amounts, amounts)
@example(0, 0, 0, 0, 10, 0)
def test_the_cost_is_never_negative_however_inconsistent_the_usage(a: int, b: int, c: int, d: int, e: int, f: int) -> None:
    usage = Usage(a, b, cached_tokens=c, cache_write_tokens=d, cache_write_1h_tokens=e, reasoning_tokens=f, reported=True)
    rate = configured(m={"input": 3, "output": 15, "cached": 0.3, "cache_write": 6, "cache_write_1h": 1}).rate("m")
    assert rate is not None
    cost = rate.cost_nano(usage)
    assert cost is not None
    assert cost >= 0


def test_the_cost_of_an_attempt_takes_well_under_two_microseconds(prices: Prices) -> None:
    usage = used(2006, 300, cached_tokens=1920)

    def seconds_per_call() -> float:
        start = time.perf_counter()
        for _ in range(10_000):
            prices.cost_nano(usage, "gpt-4o-2024-08-06", "openai", "openai")
        return (time.perf_counter() - start) / 10_000

    assert min(seconds_per_call() for _ in range(5)) < 2e-6  # measured 0.6 us; the bound leaves room for a noisy machine


def test_names_that_callers_invent_do_not_pile_up(prices: Prices) -> None:
    for number in range(10_000):
        prices.rate(f"model-{number}")
    prices.rate("x" * 10_000_000)
    assert len(prices._remembered) <= 4096
    assert max(len(name) for _, name, _ in prices._remembered) < 1000


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ({"m": {"input": 1}}, "prices.models.m: `output` is missing"),
        ({"m": {"output": 1}}, "prices.models.m: `input` is missing"),
        ({"m": {"input": -1, "output": 1}}, "prices.models.m: input: expected US dollars per million tokens, from 0 to 1000000"),
        ({"m": {"input": 1, "output": 0.0000001}}, "at most 6 decimals"),
        ({"m": {"input": float("nan"), "output": 1}}, "expected US dollars"),
        ({"m": {"input": 1, "output": float("inf")}}, "expected US dollars"),
        ({"m": {"input": 1, "output": 1, "inptu": 1}}, "prices.models.m: no price is called `inptu`"),
        ({"m": {"input": 1, "output": 1, "above": 1}}, "prices.models.m: no price is called `above`"),
    ],
)
def test_a_configured_price_that_cannot_be_is_an_error(models: dict[str, dict[str, float]], problem: str) -> None:
    with pytest.raises(PriceError) as caught:
        Prices.load(PriceOptions(models=models))
    assert problem in str(caught.value)


def catalogue(tmp_path: Path, text: str) -> PriceOptions:
    file = tmp_path / "prices.json"
    file.write_text(text)
    return PriceOptions(file=str(file))


def test_a_catalogue_of_ones_own_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    vendors = {
        "acme": {"own_models": True, "models": {"acme-1": {"input": 0.003625, "output": 1}}},
        "openai": {"models": {"gpt-4o": {"input": 1, "output": 1}}},
    }
    own = Prices.load(catalogue(tmp_path, json.dumps({"format": 1, "currency": "USD", "vendors": vendors})))
    assert own.cost_nano(used(1000, 0), "acme-1", "anywhere") == 3625
    assert own.cost_nano(used(MILLION, 0), "gpt-4o", "openai") == NANO_PER_USD
    assert own.cost_nano(used(MILLION, 0), "claude-haiku-4-5") == NANO_PER_USD


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "the catalogue is not JSON"),
        ("[" * 100_000, "the catalogue is not JSON"),
        ("[]", '"format": 1'),
        ('{"format": 2, "vendors": {}}', '"format": 1'),
        ('{"format": 1, "currency": "EUR", "vendors": {}}', "currency"),
        ('{"format": 1, "currency": "USD", "vendors": {"v": []}}', "vendor v needs `models`"),
        ('{"format": 1, "currency": "USD", "vendors": {"v": {"models": {"m": 1}}}}', "v/m: expected prices by name"),
        (
            '{"format": 1, "currency": "USD", "vendors": {"v": {"models": {"m": {"input": 1e999999999, "output": 1}}}}}',
            "v/m: input: expected US dollars",
        ),
        (
            '{"format": 1, "currency": "USD", "vendors": {"v": {"models": {"m": {"input": true, "output": 1}}}}}',
            "v/m: input: expected US dollars",
        ),
        (
            '{"format": 1, "currency": "USD", "vendors": {"v": {"models": {"m": {"input": [], "output": 1}}}}}',
            "v/m: input: expected US dollars",
        ),
        (
            '{"format": 1, "currency": "USD", "vendors": {"v": {"models": {"m": {"input": 1, "output": 1, "above": {"input": 1}}}}}}',
            "needs `tokens`",
        ),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PriceError) as caught:
        Prices.load(catalogue(tmp_path, text))
    assert caught.value.path == "prices.file"
    assert problem in caught.value.text


def test_a_catalogue_that_is_missing_is_an_error() -> None:
    with pytest.raises(PriceError, match=r"prices\.file: cannot be read: No such file"):
        Prices.load(PriceOptions(file="/nope.json"))


def test_the_shipped_catalogue_names_its_sources_and_dates() -> None:
    assert CATALOGUE["currency"] == "USD"
    assert date.fromisoformat(CATALOGUE["updated"])
    for vendor in CATALOGUE["vendors"].values():
        assert vendor["source"].startswith("https://")
        assert date.fromisoformat(vendor["updated"])


def test_shipped_prices_are_in_a_sane_order() -> None:
    for vendor, entry in CATALOGUE["vendors"].items():
        for model, price in entry["models"].items():
            for rates in (price, *(price[name] for name in ("above", *TIERS) if name in price)):
                assert rates["output"] >= rates["input"] or rates["output"] == 0, (vendor, model)
                assert rates.get("cached", 0) < rates["input"], (vendor, model)
                assert rates.get("cache_write", rates["input"]) >= rates["input"], (vendor, model)
                assert rates.get("cache_write_1h", 10**9) > rates.get("cache_write", 0), (vendor, model)
            assert price.get("above", {"input": 10**9})["input"] > price["input"]
            assert price.get("input_audio", 10**9) > price["input"]
            assert price.get("output_audio", 10**9) > price["output"]
            for tier in ("batch", "flex"):
                assert price.get(tier, {"input": 0})["input"] < price["input"]
                assert price.get(tier, {"output": 0})["output"] <= price["output"]
            assert price.get("priority", {"input": 10**9})["input"] > price["input"]


def test_every_shipped_price_can_be_looked_up_by_its_full_name(prices: Prices) -> None:
    names = [name for name, _ in prices]
    assert len(names) > 80
    for name in names:
        assert prices.rate(name) is not None
