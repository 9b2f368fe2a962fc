"""Recordings of exchanges: what the file holds, which format its path is, and which dialect reads its reply.

A recording is one JSON object. `docs/recordings.md` describes it; nothing here is sent anywhere.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from edgegate.config.model import ProviderOptions
from edgegate.config.stages import TranslateOptions
from edgegate.dialects.base import Json, Operation, ProviderSide
from edgegate.dialects.compat import COMPAT
from edgegate.server.build import provider_side
from edgegate.server.surfaces import Surface, Surfaces

_BEDROCK = re.compile(r"/model/(.+)/(converse|converse-stream|count-tokens)")
_ENDINGS = ("/chat/completions", "/completions", "/embeddings", "/responses")
"""OpenAI's paths, below whatever path another vendor serves them: `/openai/v1`, `/api/paas/v4`, ..."""

_FAMILIES: Mapping[str, frozenset[str]] = {
    "openai": frozenset({*COMPAT, "azure", "mistral"}),
    "anthropic": frozenset({"anthropic"}),
    "gemini": frozenset({"gemini", "vertex"}),
    "ollama": frozenset({"ollama"}),
    "cohere": frozenset({"cohere"}),
}
"""Dialects whose provider side reads the replies to a family's formats. The first part of a format's name is its family."""


class ReplayError(Exception):
    """The file is no recording, or what is asked of it cannot be done."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange. `request` is None where it was no JSON object, or was not recorded; `asked_with` are its headers. `headers`
    and `body` are the reply's; `streamed`: it is a stream's."""

    provider: str
    method: str
    path: str
    query: str
    request: Json | None
    asked_with: Mapping[str, str]
    status: int
    headers: Mapping[str, str]
    body: bytes
    streamed: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """How a recording is understood. `surface`: the format apps speak at its path; None at paths that only providers have.
    `reader`: the dialect that reads its reply; None where there is none."""

    surface: Surface | None
    operation: Operation
    model: str
    reader: ProviderSide | None


def read(file: Path) -> Recorded:
    """Raises `ReplayError`."""
    try:
        value = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ReplayError(f"{file}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ReplayError(f"{file}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ReplayError(f"{file}: no recording: expected an object with path, request, status and response")
    for name, kind, expected in (("path", str, "a text"), ("request", dict, "an object"), ("status", int, "a number")):
        if not isinstance(value.get(name), kind):
            raise ReplayError(f"{file}: no recording: `{name}` should be {expected}")
    response = value.get("response")
    if not isinstance(response, dict) or not any(name in response for name in ("json", "text", "b64")):
        raise ReplayError(f"{file}: no recording: `response` should be an object with json, text or b64")
    split = urlsplit(value["path"])
    return Recorded(
        provider=str(value.get("provider") or ""),
        method=str(value.get("method") or "POST").upper(),
        path=split.path,
        query=split.query,
        request=_request(value["request"]),
        asked_with=_headers(value["request"]),
        status=value["status"],
        headers=_headers(response),
        body=_body(response, file),
        # Gemini's streams without `alt=sse` are JSON arrays
        streamed="json" not in response or (":stream" in split.path and isinstance(response["json"], list)),
    )


def understand(recorded: Recorded, surfaces: Surfaces) -> Reading | None:
    """None for paths that no dialect translates."""
    if recorded.method != "POST":
        return None
    found = _BEDROCK.fullmatch(recorded.path)
    if found is not None:
        operation = Operation.COUNT_TOKENS if found[2] == "count-tokens" else Operation.CHAT
        return Reading(None, operation, unquote(found[1]), side("bedrock"))
    surface = surfaces.posts.get(recorded.path) or surfaces.find(recorded.path, recorded.query) or _ending(recorded, surfaces)
    if surface is None:
        return None
    model = surface.model or str((recorded.request or {}).get("model") or "model")
    name = _reader(recorded.provider, surface.client.format)
    return Reading(surface, surface.client.operation, model, side(name) if name else None)


def side(dialect: str) -> ProviderSide:
    """The provider side of a dialect, set up with whatever it needs to be. Raises `ReplayError`."""
    try:
        return provider_side(dialect, ProviderOptions(project="project"), TranslateOptions())
    except ValueError:
        names = "anthropic, azure, bedrock, cohere, gemini, mistral, ollama, openai, openai-responses, vertex"
        raise ReplayError(f"no dialect is named {dialect!r}: there are {names}, and {', '.join(sorted({*COMPAT} - {'openai'}))}") from None


def _ending(recorded: Recorded, surfaces: Surfaces) -> Surface | None:
    """OpenAI's endpoints below another path, or by the name that a provider of the compat table has for them (Writer: `/chat`)."""
    row = COMPAT.get(recorded.provider)
    own = row.provider().native if row is not None else {}
    for path in _ENDINGS:
        surface = surfaces.posts[path]
        name = own.get(surface.client.format, path)
        if recorded.path.endswith((path, name)):
            return surface
    return None


def _reader(provider: str, format: str) -> str:
    if format == "openai.responses":
        return "openai-responses"
    if format == "rerank":  # Cohere's first version, which others serve too
        return provider if provider in COMPAT else "cohere" if provider in ("", "cohere") else ""
    family = format.partition(".")[0]
    return provider if provider in _FAMILIES[family] else family


def _request(request: Mapping[str, Any]) -> Json | None:
    value = request.get("json")
    if value is None and isinstance(request.get("text"), str):
        try:
            value = orjson.loads(request["text"])
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def _headers(message: Mapping[str, Any]) -> dict[str, str]:
    headers = message.get("headers")
    return {name.lower(): str(text) for name, text in headers.items()} if isinstance(headers, dict) else {}


def _body(response: Mapping[str, Any], file: Path) -> bytes:
    if "json" in response:
        return orjson.dumps(response["json"])
    if "text" in response:
        return str(response["text"]).encode("utf-8", "replace")
    try:
        return base64.b64decode(response["b64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ReplayError(f"{file}: no recording: `response.b64` is not base64") from None
