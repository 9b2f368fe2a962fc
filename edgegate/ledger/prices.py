"""What tokens cost: the catalogue that ships with edgegate, and what the configuration adds.

Money is counted in integers (see `rates.py`). Ledger, budgets and metrics add up the same nano-dollars, so their sums agree to the
last digit. A model without a price has an unknown cost, None, which is never 0.

A catalogue file is JSON: `{"format": 1, "currency": "USD", "updated": "2026-11-21", "vendors": {...}}`. A vendor has `models`, by
name, each with dollars per million tokens, where `above` (with `tokens`) holds the prices of long prompts and `batch`, `flex` and
`priority` those of another service tier; `own_models`, true where nobody else sells them under these names; and `tiers`, those that
cost something else than the usual one even where a model has no price for them. `prices.models` has `batch_input` and so on.
"""

from __future__ import annotations

import hashlib
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
from edgegate.ledger.rates import TIERS, PriceError, Rate, read_flat_rate, read_rate

__all__ = ["LOCAL", "NANO_PER_USD", "PriceError", "Prices", "Rate", "cost_usd"]

NANO_PER_USD = 1_000_000_000
LOCAL = frozenset({"ollama", "vllm", "sglang", "lmstudio", "llamacpp", "localai", "http"})
"""Dialects of servers that run a model of any name for free or for the price of the machine: list prices are not theirs."""

_DATED = re.compile(r"(-\d{4}-\d{2}-\d{2}|[-@]20\d{6}|-00\d|-latest)$", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_REMEMBERED = 4096
_LONGEST_NAME = 200
"""Bounds of the memory for names looked up: callers choose model names."""


class Prices:
    """The catalogue. Whoever holds it sees a reload, for `adopt` puts another one's content in its place."""

    def __init__(self, listed: Mapping[str, Rate], own: Mapping[str, Rate], configured: Mapping[str, Rate], updated: str = "") -> None:
        """listed: by `vendor/model`. own: by the names of models that only their maker sells. configured: by either.
        updated: the newest date in the catalogues."""
        self._listed = dict(listed)
        self._own = dict(own)
        self._configured = dict(configured)
        self._remembered: dict[tuple[str, str, str], Rate | None] = {}
        self.version = f"{updated}-{self._digest()}" if updated else self._digest()
        """Names these prices in the ledger: the newest date in the catalogues and a digest of all that is in force."""

    @classmethod
    def load(cls, options: PriceOptions) -> Prices:
        """The shipped catalogue, `prices.file` over it, `prices.models` over both. Raises `PriceError`."""
        shipped = resources.files("edgegate.ledger").joinpath("prices.json").read_text("utf-8")
        content = _catalogue(shipped, "prices")
        if options.file:
            try:
                text = Path(options.file).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise PriceError("prices.file", f"cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
            content = content.under(_catalogue(text, "prices.file"))
        configured = {name: read_flat_rate(rates, f"prices.models.{name}") for name, rates in options.models.items()}
        return cls(content.listed, content.own, configured, content.updated)

    def adopt(self, other: Prices) -> None:
        """Takes over what another catalogue holds, in one step for all that run in this thread."""
        self._listed, self._own, self._configured = other._listed, other._own, other._configured
        self._remembered = {}
        self.version = other.version

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
        """Nano-dollars; None if the model has no price or the tokens are not known, neither reported nor estimated."""
        if not usage.reported and not (usage.input_tokens or usage.output_tokens):
            return None
        rate = self.rate(model, provider, dialect)
        return None if rate is None else rate.cost_nano(usage)

    def most_nano(
        self, input_tokens: int, output_tokens: int, model: str, provider: str = "", dialect: str = "", tier: str = ""
    ) -> int | None:
        """The most that a request of so many tokens usually costs, see `Rate.most_nano`; None if the model has no price.
        tier: as the request asks for it."""
        rate = self._remembered.get((provider, model, dialect)) or self.rate(model, provider, dialect)
        if tier and rate is not None:
            rate = rate.at(tier)
        return None if rate is None else rate.most_nano(input_tokens, output_tokens)

    def __iter__(self) -> Iterator[tuple[str, Rate]]:
        """Every price by name, `vendor/model` for listed ones."""
        return iter({**self._listed, **self._configured}.items())

    def _digest(self) -> str:
        """Of every price and of the names under which it is found, whatever their order."""
        digest = hashlib.sha256()
        for table in (self._listed, self._own, self._configured):
            for name in sorted(table):  # one after the other: all of them as one text would be the peak of the start's memory
                digest.update(json.dumps([name, table[name].parts()]).encode("utf-8", "surrogatepass"))
            digest.update(b"\n")
        return digest.hexdigest()[:8]

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


@dataclass(frozen=True, slots=True)
class _Content:
    """What a catalogue says."""

    listed: Mapping[str, Rate]
    own: Mapping[str, Rate]
    updated: str

    def under(self, over: _Content) -> _Content:
        return _Content({**self.listed, **over.listed}, {**self.own, **over.own}, max(self.updated, over.updated))


def _catalogue(text: str, path: str) -> _Content:
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
    updated = _updated(document, path, "")
    for vendor, entry in document["vendors"].items():
        models = entry.get("models") if isinstance(entry, dict) else None
        if not isinstance(models, dict):
            raise PriceError(path, f"vendor {vendor} needs `models`")
        updated = max(updated, _updated(entry, path, f"vendor {vendor}: "))
        sold = entry.get("tiers", [])
        if not isinstance(sold, list) or not all(tier in TIERS for tier in sold):
            raise PriceError(path, f"vendor {vendor}: expected `tiers` to be a list of {', '.join(TIERS)}")
        for model, prices in models.items():
            rate = read_rate(prices, path, f"{vendor}/{model}: ", sold)
            listed[f"{vendor}/{model}"] = rate
            if entry.get("own_models") is True:
                own[model] = rate
    return _Content(listed, own, updated)


def _updated(holder: Mapping[str, Any], path: str, subject: str) -> str:
    day = holder.get("updated", "")
    if day and not (isinstance(day, str) and _DAY.fullmatch(day)):
        raise PriceError(path, f"{subject}expected `updated` to be a date such as 2026-11-21")
    return day or ""
