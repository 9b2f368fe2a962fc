"""The catalogue: which provider serves which model name.

Resolution, first match wins: an alias; a model that a provider declares; `provider/model` where the part before the first slash
names a configured provider; the longest matching prefix; the default provider. A name that none of these knows is a 404
that names close ones.

What may serve a name is a `Plan`: tiers of equal targets (one each, but for names that are balanced over several), the
preferred tier first, the fallbacks after it in order.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgegate.dialects.base import ProviderSide
from edgegate.errors import GatewayError, Source

MAX_ALIAS_STEPS = 8
MAX_NAME = 256
"""Longer model names are unknown. The longest in use are ARNs of some 130 characters."""

MAX_REMEMBERED = 4096
"""Resolved names are remembered; clients choose names, so the memory has an end."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A dialect at an address. Its connections are the forward stage's business.

    deployments: what the provider itself calls a model, by the name that clients and this catalogue use.
    relay: whether paths that are not translated are passed through to it.
    loss: what becomes of fields it cannot carry: `map`, `drop` or `reject` (see `ProviderOptions`).
    keys: how many credentials it has; `balance` says how requests are spread over them.
    max_in_flight: attempts at once at one of its models; 0: no limit.
    prefill: patterns of models that go on writing an assistant message; empty: what the dialect knows.
    """

    name: str
    side: ProviderSide
    base_url: str
    models: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    simulated: bool = False
    deployments: Mapping[str, str] = field(default_factory=dict)
    loss: str = "map"
    relay: bool = True
    keys: int = 1
    balance: str = "least_in_flight"
    max_in_flight: int = 0
    prefill: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Provider + upstream model. `label` is how logs and headers name it: `provider/model`. `sent` is the model's name on the
    wire, where the provider has one of its own for it (a deployment, an inference profile). `tier` is its place in a plan, 0 for
    the preferred ones; `weight` its share among the targets of its tier; `fallback` says that
    others were preferred."""

    provider: Provider
    model: str
    tier: int = 0
    weight: float = 1.0
    fallback: bool = False
    label: str = field(default="")
    sent: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.provider.name}/{self.model}")
        object.__setattr__(self, "sent", self.provider.deployments.get(self.model, self.model))


@dataclass(frozen=True, slots=True)
class Plan:
    """What may serve a name. `targets` are in the order of their tiers, `strategies` says how the targets of each tier share the
    requests. `larger` takes over from all of them when a prompt is too long for one."""

    targets: tuple[Target, ...]
    strategies: tuple[str, ...] = ("ordered",)
    larger: Plan | None = None

    def only(self, allowed: Callable[[Target], bool]) -> Plan | None:
        """This plan without the targets that are not allowed; None if none is left."""
        targets = tuple(target for target in self.targets if allowed(target))
        if not targets:
            return None
        return Plan(targets, self.strategies, self.larger.only(allowed) if self.larger is not None else None)


@dataclass(frozen=True, slots=True)
class Balanced:
    """A name that several equal targets serve, by `models.balance`."""

    strategy: str
    weights: Mapping[str, float]


class Catalog:
    """See the module. Built once per configuration."""

    def __init__(
        self,
        providers: Sequence[Provider],
        aliases: Mapping[str, str],
        fallbacks: Mapping[str, Sequence[str]],
        default_provider: str = "",
        *,
        balanced: Mapping[str, Balanced] | None = None,
        larger: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self._aliases = dict(aliases)
        self._fallbacks = {name: tuple(targets) for name, targets in fallbacks.items()}
        self._balanced = dict(balanced or {})
        self._larger = {name: tuple(targets) for name, targets in (larger or {}).items()}
        self._default = self.providers.get(default_provider)
        self._declared: dict[str, Provider] = {}
        self._prefixes: list[tuple[str, Provider]] = []
        for provider in providers:  # the order of the configuration is the order of preference
            for model in (*provider.models, *provider.deployments):
                self._declared.setdefault(model, provider)
            self._prefixes += [(prefix, provider) for prefix in provider.prefixes]
        self._prefixes.sort(key=lambda pair: -len(pair[0]))  # stable: the longest first, then the order of preference
        self._plans: dict[str, Plan] = {}

    def plan(self, model: str, *, hints: bool = True) -> Plan:
        """What may serve a name. Raises 404 `model_not_found`; `hints` lets it name what there is."""
        known = self._plans.get(model)
        if known is not None:
            return known
        first = self._tier(model) if len(model) <= MAX_NAME else None
        if first is None:
            raise self._unknown(model, hints)
        names = [model, *[target.label for target in first[1]], self._named(model), *[target.model for target in first[1]]]
        larger = _tiers([tier for name in self._following(self._larger, names) if (tier := self._tier(name)) is not None], fallback=True)
        more = [tier for name in self._following(self._fallbacks, names) if (tier := self._tier(name)) is not None]
        plan = replace(_tiers([first, *more]), larger=larger if larger.targets else None)
        if len(self._plans) < MAX_REMEMBERED:
            self._plans[model] = plan
        return plan

    def targets(self, model: str, *, hints: bool = True) -> tuple[Target, ...]:
        """The targets of the plan for a name, the preferred first. Raises as `plan` does."""
        return self.plan(model, hints=hints).targets

    def labelled(self, label: str) -> Target | None:
        """The target of a label, None if it names no provider of this configuration."""
        owner, _, model = label.partition("/")
        return Target(self.providers[owner], model) if owner in self.providers else None

    def listing(self) -> list[tuple[str, str]]:
        """(model, provider) of every name worth listing: declared models, balanced names and aliases that lead somewhere."""
        listed = [(model, provider.name) for model, provider in self._declared.items()]
        for name in dict.fromkeys([*self._balanced, *self._aliases]):
            tier = self._tier(name)
            if tier is not None and name not in self._declared:
                listed.append((name, tier[1][0].provider.name))
        return listed

    def _following(self, table: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
        """What a table has for any of these names, in order."""
        return [other for name in dict.fromkeys(names) for other in table.get(name, ())]

    def _tier(self, name: str) -> tuple[str, list[Target]] | None:
        """The equal targets behind a name, and the strategy between them; None for a name that leads nowhere."""
        name = self._named(name)
        balanced = self._balanced.get(name)
        if balanced is None:
            target = self._target(name)
            return None if target is None else ("ordered", [target])
        found = [(self._target(member), weight) for member, weight in balanced.weights.items()]
        targets = [replace(target, weight=weight) for target, weight in found if target is not None]
        return (balanced.strategy, targets) if targets else None

    def _named(self, name: str) -> str:
        """A name with its aliases followed."""
        for _ in range(MAX_ALIAS_STEPS):
            other = self._aliases.get(name)
            if other is None:
                break
            name = other
        return name

    def _target(self, name: str) -> Target | None:
        name = self._named(name)
        if name in self._declared:
            return Target(self._declared[name], name)
        owner, slash, rest = name.partition("/")
        if slash and rest and owner in self.providers:
            return Target(self.providers[owner], rest)
        for prefix, provider in self._prefixes:
            if name.startswith(prefix):
                return Target(provider, name)
        return Target(self._default, name) if self._default is not None else None

    def _unknown(self, model: str, hints: bool) -> GatewayError:
        close = difflib.get_close_matches(model[:200], [*self._declared, *self._balanced, *self._aliases], n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else " GET /v1/models lists what is configured."
        if not hints:
            hint = ""
        shown = model if len(model) <= 100 else model[:100] + "..."
        return GatewayError(404, "model_not_found", f"The model '{shown}' does not exist here.{hint}", param="model", source=Source.CLIENT)


def _tiers(tiers: Sequence[tuple[str, list[Target]]], *, fallback: bool = False) -> Plan:
    """Tiers as a plan; all of them are fallbacks, or all but the first. A target that occurs twice stands where it came first."""
    targets: dict[str, Target] = {}
    strategies: list[str] = []
    for strategy, members in tiers:
        fresh = [target for target in members if target.label not in targets]
        if fresh:
            tier = len(strategies)
            targets |= {target.label: replace(target, tier=tier, fallback=fallback or tier > 0) for target in fresh}
            strategies.append(strategy)
    return Plan(tuple(targets.values()), tuple(strategies))
