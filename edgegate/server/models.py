"""Lists of models: what is configured, in the words of each dialect. No provider is asked."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from urllib.parse import parse_qs

from edgegate.access.keys import Key
from edgegate.dialects.anthropic import models as anthropic
from edgegate.dialects.cohere import models as cohere
from edgegate.dialects.gemini import models as gemini
from edgegate.dialects.ollama import models as ollama
from edgegate.dialects.openai import models as openai
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.routing.catalog import Catalog
from edgegate.wire.document import parse_object

RUNNING_S = 300
"""How long Ollama's clients are told that a model stays loaded: its own default."""


class Wanted(enum.Enum):
    """What a path of a listing asks for."""

    LIST = 1
    MODEL = 2  # one of them
    RUNNING = 3  # Ollama's /api/ps
    VERSION = 4  # Ollama's /api/version


def asked_model(body: bytes) -> str:
    """The model in the body of Ollama's `/api/show`: `model`, in older clients `name`."""
    document = parse_object(body)
    model = document.get("model") or document.get("name")
    if not isinstance(model, str):
        raise bad_request("model is required", "model")
    return ollama.plain_name(model)


class Models:
    """The listing of one configuration. `created` is Unix seconds: the time the configuration was loaded."""

    def __init__(self, catalog: Catalog, created: int) -> None:
        self._catalog = catalog
        self._created = created

    def render(self, wanted: Wanted, model: str, dialect: str, key: Key | None, query: str, now: int) -> bytes:
        """The reply's JSON, less what the key may not use. Raises 404 for a model that nothing resolves."""
        if wanted is Wanted.VERSION:
            return ollama.version()
        if wanted is Wanted.MODEL:
            return self._single(model, dialect, key)
        rows = [
            (name, provider)
            for name, provider in self._catalog.listing()
            if key is None or (key.allows_model(name) and key.allows_provider(provider))
        ]
        if wanted is Wanted.RUNNING:
            return ollama.running([(name, self._created) for name, _ in rows], now + RUNNING_S)
        return self._list(rows, dialect, {name: values[-1] for name, values in parse_qs(query).items()})

    def _list(self, rows: list[tuple[str, str]], dialect: str, query: Mapping[str, str]) -> bytes:
        match dialect:
            case "anthropic":
                asked = {name: query[name] for name in ("limit", "after_id", "before_id") if name in query}
                return anthropic.page([anthropic.Model(name, self._created) for name, _ in rows], **asked)
            case "gemini":
                size, token = query.get("pageSize", ""), query.get("pageToken", "")
                return gemini.page([gemini.Model(name) for name, _ in rows], page_size=size, page_token=token)
            case "cohere":
                asked = {name: query[name] for name in ("page_size", "page_token") if name in query}
                return cohere.page([cohere.Model(name) for name, _ in rows], **asked)
            case "ollama":
                return ollama.tags((name, self._created) for name, _ in rows)
        return openai.models_list(openai.Listed(name, owner, self._created) for name, owner in rows)

    def _single(self, model: str, dialect: str, key: Key | None) -> bytes:
        owner = self._owner(model, key)
        match dialect:
            case "anthropic":
                return anthropic.single(anthropic.Model(model, self._created))
            case "gemini":
                return gemini.single(gemini.Model(model))
            case "cohere":
                return cohere.single(cohere.Model(model))
            case "ollama":
                return ollama.show(model, self._created)
        return openai.model(openai.Listed(model, owner, self._created))

    def _owner(self, model: str, key: Key | None) -> str:
        provider = self._catalog.targets(model)[0].provider.name  # raises 404 for names that nothing resolves
        if key is not None and not (key.allows_model(model) and key.allows_provider(provider)):
            raise GatewayError(
                404, "model_not_found", f"The model '{model[:100]}' does not exist here.", param="model", source=Source.CLIENT
            )
        return provider
