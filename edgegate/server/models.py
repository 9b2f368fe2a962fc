"""GET /v1/models: what is configured, in the words of the client's dialect. No provider is asked."""

from __future__ import annotations

from urllib.parse import parse_qs

from edgegate.access.keys import Key
from edgegate.dialects.anthropic import models as anthropic
from edgegate.dialects.openai import models as openai
from edgegate.errors import GatewayError, Source
from edgegate.routing.catalog import Catalog


class Models:
    """The listing of one configuration. `created` is Unix seconds: the time the configuration was loaded."""

    def __init__(self, catalog: Catalog, created: int) -> None:
        self._catalog = catalog
        self._created = created

    def render(self, model: str, dialect: str, key: Key | None, query: str = "") -> bytes:
        """The list (`model` empty) or one model, less what the key may not use. Raises 404."""
        if model:
            owner = self._owner(model, key)
            if dialect == "anthropic":
                return anthropic.single(anthropic.Model(model, self._created))
            return openai.model(openai.Listed(model, owner, self._created))
        rows = [
            (name, provider)
            for name, provider in self._catalog.listing()
            if key is None or (key.allows_model(name) and key.allows_provider(provider))
        ]
        if dialect == "anthropic":
            asked = {name: values[-1] for name, values in parse_qs(query).items() if name in ("limit", "after_id", "before_id")}
            return anthropic.page([anthropic.Model(name, self._created) for name, _ in rows], **asked)
        return openai.models_list(openai.Listed(name, owner, self._created) for name, owner in rows)

    def _owner(self, model: str, key: Key | None) -> str:
        provider = self._catalog.targets(model)[0].provider.name  # raises 404 for names that nothing resolves
        if key is not None and not (key.allows_model(model) and key.allows_provider(provider)):
            raise GatewayError(
                404, "model_not_found", f"The model '{model[:100]}' does not exist here.", param="model", source=Source.CLIENT
            )
        return provider
