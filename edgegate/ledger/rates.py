"""The rate of one model: its prices, read from a catalogue or the configuration, and what an attempt costs at them.

A rate is in pico-dollars per token (one US dollar per million tokens is 1,000,000 of them, so every published price is exact), a
cost in nano-dollars, rounded once, half up. What is not given costs what it replaces: cached, written and audio tokens of the input
as input, reasoning and audio of the output as output. A service tier (batch, flex, priority) is a rate of its own inside the rate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from edgegate.dialects.base import Usage

PRICE_NAMES = ("input", "output", "cached", "cache_write", "cache_write_1h", "reasoning", "input_audio", "output_audio")
TIERS = ("batch", "flex", "priority", "ultrafast")
"""Service tiers that have prices of their own: objects in a catalogue file, `batch_input` and so on in the configuration."""


class PriceError(ValueError):
    """A catalogue or a price that cannot be used. `path`: the key path in the configuration that is to blame."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path
        self.text = text


@dataclass(frozen=True, slots=True)
class Rate:
    """Pico-dollars per token. Requests with more than `above_tokens` input tokens pay `above` for all their tokens.

    tiers: what another service tier costs; None where it costs something else that is not known. A tier that is not here costs
    what the usual one does.
    """

    input: int
    output: int
    cached: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    input_audio: int
    output_audio: int
    above_tokens: int = 0
    above: Rate | None = None
    tiers: Mapping[str, Rate | None] = field(default_factory=dict)
    most_input: int = field(init=False)  # the dearest that a usual token of the input can be
    most_output: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "most_input", max(self.input, self.cache_write))
        object.__setattr__(self, "most_output", max(self.output, self.reasoning, self.output_audio))

    def cost_nano(self, usage: Usage) -> int | None:
        """The cost of an attempt; None at a tier whose price is not known. Parts that exceed their whole (a provider's slip) are
        charged, the rest is not negative. Where some of the input was cached, audio is taken to be of the rest."""
        if usage.tier:
            rate = self.at(usage.tier)
            return None if rate is None else rate._cost_nano(usage)
        return self._cost_nano(usage)

    def at(self, tier: str) -> Rate | None:
        """The rate of a service tier; None if it is not known."""
        return self.tiers.get(tier, self)

    def _cost_nano(self, usage: Usage) -> int:
        if usage.billed is not None:
            return (usage.billed[0] * self.input + usage.billed[1] * self.output + 500) // 1000
        if self.above is not None and usage.input_tokens > self.above_tokens:
            return self.above._cost_nano(usage)
        cached, written, long_lived, reasoned = (
            usage.cached_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.reasoning_tokens,
        )  # fmt: skip
        fresh = usage.input_tokens - cached - written
        spoken = usage.output_tokens - reasoned
        pico = cached * self.cached + long_lived * self.cache_write_1h + reasoned * self.reasoning
        if fresh > 0:
            pico += fresh * self.input
            if usage.input_audio_tokens:
                pico += min(fresh, usage.input_audio_tokens) * (self.input_audio - self.input)
        if written > long_lived:
            pico += (written - long_lived) * self.cache_write
        if spoken > 0:
            pico += spoken * self.output
            if usage.output_audio_tokens:
                pico += min(spoken, usage.output_audio_tokens) * (self.output_audio - self.output)
        return (pico + 500) // 1000

    def most_nano(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens usually cost: all of the input may be written to a cache, all of the output be reasoning or
        audio. Not counted: writes to the one-hour cache, and audio in the input, of which its bytes give too many tokens anyway."""
        rate = self if self.above is None or input_tokens <= self.above_tokens else self.above
        return (input_tokens * rate.most_input + output_tokens * rate.most_output + 999) // 1000

    def parts(self) -> list[Any]:
        """Everything that decides a cost, as JSON."""
        values = [getattr(self, each.name) for each in fields(self) if each.init]
        tiers = {name: rate and rate.parts() for name, rate in sorted(self.tiers.items())}
        return [*values[:-2], self.above and self.above.parts(), tiers]


def read_rate(prices: Any, path: str, subject: str, sold: Collection[str] = ()) -> Rate:
    """The prices of a model in a catalogue file. subject: names it in errors, with `: ` behind. sold: the tiers that its vendor
    sells at other prices, so that a model without one has an unknown price there."""
    return _read(prices, path, subject, (*PRICE_NAMES, "above", *TIERS), sold)


def read_flat_rate(prices: Mapping[str, float], path: str) -> Rate:
    """The prices of a model in the configuration."""
    tiers: dict[str, dict[str, Any]] = {}
    usual: dict[str, Any] = {}
    for name, price in prices.items():
        tier, _, rest = name.partition("_")
        if name not in PRICE_NAMES and (tier not in TIERS or rest not in PRICE_NAMES):
            raise PriceError(
                path, f"no price is called `{name}`; there are {', '.join(PRICE_NAMES)}, also with a tier before it: `batch_input`"
            )
        exact = Decimal(repr(float(price)))
        if name in PRICE_NAMES:
            usual[name] = exact
        else:
            tiers.setdefault(tier, {})[rest] = exact
    return _read(usual, path, "", PRICE_NAMES, (), {tier: _read(given, path, f"{tier}_", PRICE_NAMES) for tier, given in tiers.items()})


def _read(
    prices: Any, path: str, subject: str, known: tuple[str, ...], sold: Collection[str] = (), tiers: Mapping[str, Rate | None] | None = None
) -> Rate:
    if not isinstance(prices, dict):
        raise PriceError(path, f"{subject}expected prices by name")
    for name in prices:
        if name not in known:
            raise PriceError(path, f"{subject}no price is called `{name}`; there are {', '.join(known)}")
    missing = [name for name in ("input", "output") if name not in prices]
    if missing:
        owner, prefix = (subject, "") if subject.endswith(" ") or not subject else ("", subject)
        raise PriceError(path, f"{owner}`{prefix}{missing[0]}` is missing")
    pico = {name: _pico(prices[name], path, subject + name) for name in PRICE_NAMES if name in prices}
    written = pico.get("cache_write", pico["input"])
    above_tokens, above = _above(prices["above"], path, subject) if "above" in prices else (0, None)
    if tiers is None:
        given = {tier: _read(prices[tier], path, f"{subject}{tier}: ", (*PRICE_NAMES, "above")) for tier in TIERS if tier in prices}
        tiers = {**dict.fromkeys(sold), **given}
    return Rate(
        input=pico["input"],
        output=pico["output"],
        cached=pico.get("cached", pico["input"]),
        cache_write=written,
        cache_write_1h=pico.get("cache_write_1h", written),
        reasoning=pico.get("reasoning", pico["output"]),
        input_audio=pico.get("input_audio", pico["input"]),
        output_audio=pico.get("output_audio", pico["output"]),
        above_tokens=above_tokens,
        above=above,
        tiers=tiers,
    )


def _above(prices: Any, path: str, subject: str) -> tuple[int, Rate]:
    tokens = prices.get("tokens") if isinstance(prices, dict) else None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens <= 0:
        raise PriceError(path, f"{subject}`above` needs `tokens`, the input from which its prices hold")
    rest = {name: price for name, price in prices.items() if name != "tokens"}
    if "above" in rest:
        raise PriceError(path, f"{subject}`above` cannot hold another `above`")
    return tokens, _read(rest, path, f"{subject}above: ", PRICE_NAMES)


def _pico(price: Any, path: str, subject: str) -> int:
    """Dollars per million tokens as pico-dollars per token; at most 6 decimals, or it would not be exact."""
    exact = Decimal(price) if isinstance(price, int | Decimal) and not isinstance(price, bool) else None
    if exact is not None and exact.is_finite() and 0 <= exact <= 1_000_000:
        exact *= 1_000_000
        if exact == int(exact):
            return int(exact)
    raise PriceError(path, f"{subject}: expected US dollars per million tokens, from 0 to 1000000 with at most 6 decimals")
