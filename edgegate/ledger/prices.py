"""What tokens cost: the catalogue that ships with edgegate, what the configuration adds, and the arithmetic.

Money is counted in integers. A rate is in pico-dollars per token (one US dollar per million tokens is 1,000,000 of them, so every
published price is exact), an attempt's cost in nano-dollars, rounded once, half up. Ledger, budgets and metrics add up that
same integer, so their sums agree to the last digit. A model without a price has an unknown cost, None, which is never 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from edgegate.config.model import PriceOptions
from edgegate.dialects.base import Usage

NANO_PER_USD = 1_000_000_000
PRICE_NAMES = ("input", "output", "cached", "cache_write", "cache_write_1h", "reasoning")
LOCAL = frozenset({"ollama", "vllm", "sglang", "lmstudio", "llamacpp", "localai", "http"})
"""Dialects of servers that run a model of any name for free or for the price of the machine: list prices are not theirs."""

_DATED = re.compile(r"(-\d{4}-\d{2}-\d{2}|[-@]20\d{6}|-00\d|-latest)$", re.ASCII)
_REMEMBERED = 4096
_LONGEST_NAME = 200
"""Bounds of the memory for names looked up: callers choose model names."""


class PriceError(ValueError):
    """A catalogue or a price that cannot be used. `path`: the key path in the configuration that is to blame."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path
        self.text = text


@dataclass(frozen=True, slots=True)
class Rate:
    """Pico-dollars per token. Requests with more than `above_tokens` input tokens pay `above` for all their tokens."""

    input: int
    output: int
    cached: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    above_tokens: int = 0
    above: Rate | None = None

    def cost_nano(self, usage: Usage) -> int:
        """The cost of an attempt. Parts that exceed their whole (a provider's slip) are charged, the rest is not negative."""
        if self.above is not None and usage.input_tokens > self.above_tokens:
            return self.above.cost_nano(usage)
        cached, written, long_lived, reasoned = (
            usage.cached_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.reasoning_tokens,
        )  # fmt: skip
        fresh = usage.input_tokens - cached - written
        spoken = usage.output_tokens - reasoned
        pico = cached * self.cached + long_lived * self.cache_write_1h + reasoned * self.reasoning
        if fresh > 0:
            pico += fresh * self.input
        if written > long_lived:
            pico += (written - long_lived) * self.cache_write
        if spoken > 0:
            pico += spoken * self.output
        return (pico + 500) // 1000


class Prices:
    """The catalogue, read-only once made; a reload makes another."""

    def __init__(self, listed: Mapping[str, Rate], own: Mapping[str, Rate], configured: Mapping[str, Rate]) -> None:
        """listed: by `vendor/model`. own: by the names of models that only their maker sells. configured: by either."""
        self._listed = dict(listed)
        self._own = dict(own)
        self._configured = dict(configured)
        self._remembered: dict[tuple[str, str, str], Rate | None] = {}

    @classmethod
    def load(cls, options: PriceOptions) -> Prices:
        """The shipped catalogue, `prices.file` over it, `prices.models` over both. Raises `PriceError`."""
        shipped = resources.files("edgegate.ledger").joinpath("prices.json").read_text("utf-8")
        listed, own = _catalogue(shipped, "prices")
        if options.file:
            try:
                text = Path(options.file).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise PriceError("prices.file", f"cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
            more_listed, more_own = _catalogue(text, "prices.file")
            listed |= more_listed
            own |= more_own
        configured = {
            name: _rate({key: Decimal(repr(float(price))) for key, price in rates.items()}, f"prices.models.{name}")
            for name, rates in options.models.items()
        }
        return cls(listed, own, configured)

    def rate(self, model: str, provider: str = "", dialect: str = "") -> Rate | None:
        """The rate of a model at a provider: what is configured for `provider/model` or the model, then the list price of that
        provider (or of its dialect's vendor), then that of the model's maker; then the same without a date at the name's end.
        `model` may itself be `provider/model` when no provider is given."""
        key = (provider, model, dialect)
        try:
            return self._remembered[key]
        except KeyError:
            pass
        found = self._find(model, provider, dialect)
        if found is None and (dated := _DATED.search(model)) is not None:
            found = self._find(model[: dated.start()], provider, dialect)
        if len(model) <= _LONGEST_NAME:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def cost_nano(self, usage: Usage, model: str, provider: str = "", dialect: str = "") -> int | None:
        """Nano-dollars; None if the model has no price or the tokens are not known."""
        if not usage.reported and not (usage.input_tokens or usage.output_tokens):
            return None
        rate = self.rate(model, provider, dialect)
        return None if rate is None else rate.cost_nano(usage)

    def __iter__(self) -> Iterator[tuple[str, Rate]]:
        """Every price by name, `vendor/model` for listed ones."""
        return iter({**self._listed, **self._configured}.items())

    def _find(self, model: str, provider: str, dialect: str) -> Rate | None:
        full = f"{provider}/{model}" if provider else model
        found = self._configured.get(full) or self._configured.get(model) or self._listed.get(full)
        if found is None and dialect and dialect != provider:
            found = self._listed.get(f"{dialect}/{model}")
        if found is None and dialect not in LOCAL and provider not in LOCAL:
            found = self._own.get(model)
        return found


def cost_usd(nano: int) -> Decimal:
    """Nano-dollars as exact dollars, for what people and JSON read."""
    return Decimal(nano) / NANO_PER_USD


def _catalogue(text: str, path: str) -> tuple[dict[str, Rate], dict[str, Rate]]:
    listed: dict[str, Rate] = {}
    own: dict[str, Rate] = {}
    try:
        document = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise PriceError(path, "the catalogue is not JSON") from None
    if not isinstance(document, dict) or document.get("format") != 1 or not isinstance(document.get("vendors"), dict):
        raise PriceError(path, 'the catalogue needs `"format": 1` and `"vendors": {...}`')
    if document.get("currency") != "USD":
        raise PriceError(path, 'the catalogue\'s currency must be "USD"')
    for vendor, entry in document["vendors"].items():
        models = entry.get("models") if isinstance(entry, dict) else None
        if not isinstance(models, dict):
            raise PriceError(path, f"vendor {vendor} needs `models`")
        for model, prices in models.items():
            rate = _rate(prices, path, f"{vendor}/{model}: ")
            listed[f"{vendor}/{model}"] = rate
            if entry.get("own_models") is True:
                own[model] = rate
    return listed, own


def _rate(prices: Any, path: str, subject: str = "") -> Rate:
    """What is not given costs what it replaces: cached and written tokens as input, reasoning as output."""
    if not isinstance(prices, dict):
        raise PriceError(path, f"{subject}expected prices by name")
    for name in prices:
        if name not in PRICE_NAMES and (name != "above" or not subject):
            raise PriceError(path, f"{subject}no price is called `{name}`; there are {', '.join(PRICE_NAMES)}")
    missing = [name for name in ("input", "output") if name not in prices]
    if missing:
        raise PriceError(path, f"{subject}`{missing[0]}` is missing")
    pico = {name: _pico(prices[name], path, subject + name) for name in PRICE_NAMES if name in prices}
    written = pico.get("cache_write", pico["input"])
    above_tokens, above = _above(prices["above"], path, subject) if "above" in prices else (0, None)
    return Rate(
        input=pico["input"],
        output=pico["output"],
        cached=pico.get("cached", pico["input"]),
        cache_write=written,
        cache_write_1h=pico.get("cache_write_1h", written),
        reasoning=pico.get("reasoning", pico["output"]),
        above_tokens=above_tokens,
        above=above,
    )


def _above(prices: Any, path: str, subject: str) -> tuple[int, Rate]:
    tokens = prices.get("tokens") if isinstance(prices, dict) else None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens <= 0:
        raise PriceError(path, f"{subject}`above` needs `tokens`, the input from which its prices hold")
    rest = {name: price for name, price in prices.items() if name != "tokens"}
    if "above" in rest:
        raise PriceError(path, f"{subject}`above` cannot hold another `above`")
    return tokens, _rate(rest, path, f"{subject}above: ")


def _pico(price: Any, path: str, subject: str) -> int:
    """Dollars per million tokens as pico-dollars per token; at most 6 decimals, or it would not be exact."""
    exact = Decimal(price) if isinstance(price, int | Decimal) and not isinstance(price, bool) else None
    if exact is not None and exact.is_finite() and 0 <= exact <= 1_000_000:
        exact *= 1_000_000
        if exact == int(exact):
            return int(exact)
    raise PriceError(path, f"{subject}: expected US dollars per million tokens, from 0 to 1000000 with at most 6 decimals")
