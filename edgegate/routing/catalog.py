"""The catalogue: which provider serves which model name.

Resolution, first match wins: an alias; a model that a provider declares; `provider/model` where the part before the first slash
names a configured provider; the longest matching prefix; the default provider. A name that none of these knows is a 404
that names close ones. Fallback targets follow the resolved one in order.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Target:
    """Provider + upstream model. `label` is how logs and headers name it: `provider/model`. `sent` is the model's name on the
    wire, where the provider has one of its own for it (a deployment, an inference profile)."""

    provider: Provider
    model: str
    label: str = field(default="")
    sent: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"{self.provider.name}/{self.model}")
        object.__setattr__(self, "sent", self.provider.deployments.get(self.model, self.model))


class Catalog:
    """See the module. Built once per configuration."""

    def __init__(
        self,
        providers: Sequence[Provider],
        aliases: Mapping[str, str],
        fallbacks: Mapping[str, Sequence[str]],
        default_provider: str = "",
    ) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self._aliases = dict(aliases)
        self._fallbacks = {name: tuple(targets) for name, targets in fallbacks.items()}
        self._default = self.providers.get(default_provider)
        self._declared: dict[str, Provider] = {}
        self._prefixes: list[tuple[str, Provider]] = []
        for provider in providers:  # the order of the configuration is the order of preference
            for model in (*provider.models, *provider.deployments):
                self._declared.setdefault(model, provider)
            self._prefixes += [(prefix, provider) for prefix in provider.prefixes]
        self._prefixes.sort(key=lambda pair: -len(pair[0]))  # stable: the longest first, then the order of preference
        self._resolved: dict[str, tuple[Target, ...]] = {}

    def targets(self, model: str, *, hints: bool = True) -> tuple[Target, ...]:
        """The targets for a name, the preferred first. Raises 404 `model_not_found`; `hints` lets it name what there is."""
        known = self._resolved.get(model)
        if known is not None:
            return known
        first = self._target(model) if len(model) <= MAX_NAME else None
        if first is None:
            raise self._unknown(model, hints)
        targets = [first]
        for name in (model, first.label, first.model):
            for other in self._fallbacks.get(name, ()):
                target = self._target(other)
                if target is not None and target not in targets:
                    targets.append(target)
        resolved = tuple(targets)
        if len(self._resolved) < MAX_REMEMBERED:
            self._resolved[model] = resolved
        return resolved

    def listing(self) -> list[tuple[str, str]]:
        """(model, provider) of every name worth listing: declared models and aliases that lead somewhere."""
        listed = [(model, provider.name) for model, provider in self._declared.items()]
        for alias in self._aliases:
            target = self._target(alias)
            if target is not None and alias not in self._declared:
                listed.append((alias, target.provider.name))
        return listed

    def _target(self, name: str) -> Target | None:
        for _ in range(MAX_ALIAS_STEPS):
            other = self._aliases.get(name)
            if other is None:
                break
            name = other
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
        close = difflib.get_close_matches(model[:200], [*self._declared, *self._aliases], n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else " GET /v1/models lists what is configured."
        if not hints:
            hint = ""
        shown = model if len(model) <= 100 else model[:100] + "..."
        return GatewayError(404, "model_not_found", f"The model '{shown}' does not exist here.{hint}", param="model", source=Source.CLIENT)
