"""route: from the model name to the targets that may serve it, within what the key allows."""

from __future__ import annotations

from collections.abc import Awaitable

from edgegate.chain import Proceed
from edgegate.dialects.base import Operation
from edgegate.errors import GatewayError, Source
from edgegate.exchange import Exchange, Reply
from edgegate.routing.catalog import Catalog, Target


class Route:
    """Writes `ex.targets`, and `ex.target` for chains without failover."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __call__(self, ex: Exchange, proceed: Proceed) -> Awaitable[Reply]:
        if ex.operation is Operation.RELAY:
            ex.targets = (Target(self._catalog.providers[ex.relay_provider], ""),)
        else:
            _ = ex.request  # parses and checks
            ex.targets = self._catalog.targets(ex.model, hints=ex.key is None or not (ex.key.models or ex.key.providers))
        key = ex.key
        if key is not None and (key.models or key.providers):
            if key.models and (ex.operation is Operation.RELAY or not key.allows_model(ex.model)):
                # a relayed path may name any model in any field, so a key limited to some models may not use it
                what = "relayed paths" if ex.operation is Operation.RELAY else f"the model '{ex.model[:100]}'"
                raise GatewayError(403, "model_not_allowed", f"This key may not use {what}.", param="model", source=Source.CLIENT)
            ex.targets = tuple(t for t in ex.targets if key.allows_provider(t.provider.name))
            if not ex.targets:
                raise GatewayError(403, "provider_not_allowed", "This key may not use the provider of this model.", source=Source.CLIENT)
        ex.target = ex.targets[0]
        return proceed(ex)
