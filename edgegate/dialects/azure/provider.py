"""The provider side of Azure OpenAI: OpenAI's bodies behind other addresses.

Paths are relative to the resource, `https://NAME.openai.azure.com`. With a dated `api_version` the deployment is in the path;
without one, or with `v1` or `preview`, the newer paths without a date are used, where the deployment is the body's `model`.
What differs in replies is small: the first event of a stream holds nothing but what the prompt's filters found, and has no
id; choices carry `content_filter_results`. Both pass natively as they are, and in translated replies the choices keep theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from edgegate.dialects.azure.errors import azure_error
from edgegate.dialects.base import Ask, HeaderList, Json, WireRequest
from edgegate.dialects.openai.known import AZURE_FIELDS
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.openai.quirks import OPENAI, MaxTokens, Quirks
from edgegate.errors import GatewayError

_DATE = re.compile(r"20\d\d-\d\d-\d\d")
_NEW_LIMIT = "2024-09-01"
"""API versions from this one on know `max_completion_tokens`, and take it for every model (see `_quirks`)."""

_ENDPOINTS: Mapping[str, str] = {
    "openai.chat": "chat/completions",
    "openai.completions": "completions",
    "openai.embeddings": "embeddings",
}


class AzureProvider(OpenAIProvider):
    """One Azure resource. A model is asked for by the name of its deployment there, which the catalogue has put in its place."""

    def __init__(self, api_version: str = "") -> None:
        super().__init__("azure", _quirks(api_version))
        self._api_version = api_version

    def authorize(self, key: str) -> HeaderList:
        return [(b"api-key", key.encode())] if key else []

    def request(self, ask: Ask) -> WireRequest:
        wire = super().request(ask)
        wire.path = _placed(wire.path, ask.model)
        return wire

    def embed(self, request: Json, model: str) -> WireRequest:
        wire = super().embed(request, model)
        wire.path = _placed(wire.path, model)
        return wire

    def relocated(self, path: str, model: str) -> str:
        return _elsewhere(path, model, self._api_version)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return azure_error(status, headers, body)


def _placed(path: str, model: str) -> str:
    return path.replace("{model}", quote(model, safe="~"))


def _elsewhere(path: str, model: str, api_version: str) -> str:
    """Other endpoints: those of a model below its deployment, where the API is dated."""
    rest = path.removeprefix("/v1")
    query = f"?api-version={quote(api_version)}" if api_version not in ("", "v1") else ""
    if not _DATE.match(api_version):
        return f"/openai/v1{rest}{query}"
    return f"/openai/deployments/{quote(model, safe='~')}{rest}{query}" if model else f"/openai{rest}{query}"


def _paths(api_version: str) -> Mapping[str, str]:
    if _DATE.match(api_version):
        query = f"?api-version={quote(api_version)}"
        return {format: f"/openai/deployments/{{model}}/{endpoint}{query}" for format, endpoint in _ENDPOINTS.items()}
    query = "" if api_version in ("", "v1") else f"?api-version={quote(api_version)}"
    return {format: f"/openai/v1/{endpoint}{query}" for format, endpoint in {**_ENDPOINTS, "openai.responses": "responses"}.items()}


def _quirks(api_version: str) -> Quirks:
    """Deployments have names of the customer's, so what a model takes cannot be read off them. The newer name of the output
    limit is right for all models wherever it is known; before that there were no models that needed it."""
    new = not _DATE.match(api_version) or api_version >= _NEW_LIMIT
    limit = MaxTokens.NEW if new else MaxTokens.BY_MODEL
    # 400 "Unrecognized request argument supplied: stream_options" before 2024-09-01-preview
    return replace(OPENAI, paths=_paths(api_version), max_tokens=limit, stream_usage=new, fields=AZURE_FIELDS)
