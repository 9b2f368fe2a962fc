"""route: from the model name to the targets that may serve it, within what the key allows.

Relayed paths go to the provider in the path. Paths that are passed through by model go where the model is; what names no model
goes to the provider that `x-edgegate-provider` names, or to the first one of the path's family.
"""

from __future__ import annotations

from collections.abc import Awaitable

from edgegate.access.keys import Key
from edgegate.chain import Proceed
from edgegate.dialects.base import Operation
from edgegate.errors import GatewayError, Source
from edgegate.exchange import Exchange, Reply
from edgegate.routing.catalog import Catalog, Plan, Provider, Target


class Route:
    """Writes `ex.plan`, and `ex.target` for chains without failover."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        key = ex.key
        if ex.operation is Operation.RELAY:
            plan = self._relayed(ex, key)
        else:
            _ = ex.request  # parses and checks
            plan = self._by_model(ex, key)
        if key is not None and (key.models or key.providers):
            _check_model(ex, key)
            allowed = plan.only(lambda target: key.allows_provider(target.provider.name))
            if allowed is None:
                raise GatewayError(403, "provider_not_allowed", "This key may not use the provider of this model.", source=Source.CLIENT)
            plan = allowed
        ex.plan = plan
        ex.target = plan.targets[0]
        return proceed(ex)

    def _by_model(self, ex: Exchange, key: Key | None) -> Plan:
        return self._catalog.plan(ex.model, hints=key is None or not (key.models or key.providers))

    def _relayed(self, ex: Exchange, key: Key | None) -> Plan:
        if ex.relay_provider:
            return Plan((Target(self._catalog.providers[ex.relay_provider], ""),))
        if ex.model:
            plan = self._by_model(ex, key).only(lambda target: target.provider.relay and _is_family(target.provider, ex.relay_family))
            if plan is None:
                raise _not_served(f"The provider of '{ex.model[:100]}' does not serve {ex.path[:100]}.")
            return plan
        named = ex.headers.get("x-edgegate-provider")
        for provider in self._catalog.providers.values():
            if provider.relay and (provider.name == named if named else _is_family(provider, ex.relay_family)):
                return Plan((Target(provider, ""),))
        if named:
            raise _not_served(f"There is no provider named '{named[:100]}' that paths are passed to.")
        raise _not_served(f"Nothing is served at {ex.path[:100]}: it needs a provider that speaks as {ex.relay_family} does.")


def _is_family(provider: Provider, family: str) -> bool:
    """Whether a provider has the API that a path belongs to. Whoever takes OpenAI's chats may have its other endpoints too, and
    Mistral has them although its chats differ."""
    side = provider.side
    return side.name == family or (family == "openai" and ("openai.chat" in side.native or side.name == "mistral"))


def _check_model(ex: Exchange, key: Key) -> None:
    """A path that is relayed as it is may name any model in any field, so a key limited to some models may not use it."""
    if key.models and (not ex.model or not key.allows_model(ex.model)):
        what = f"the model '{ex.model[:100]}'" if ex.model else "relayed paths"
        raise GatewayError(403, "model_not_allowed", f"This key may not use {what}.", param="model", source=Source.CLIENT)


def _not_served(message: str) -> GatewayError:
    return GatewayError(404, "unknown_path", message, source=Source.CLIENT)
