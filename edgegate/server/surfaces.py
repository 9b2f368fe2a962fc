"""Surfaces: which path speaks which format. The one table of the HTTP paths that apps use.

Most are fixed; Gemini's and Azure's hold the model. What is no surface may be a list of models (`listing`), a path that is passed
through (`passing.py`), or a relayed one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from edgegate.dialects.anthropic.client import MessagesClient
from edgegate.dialects.base import ClientSide
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.completions import CompletionsClient
from edgegate.dialects.openai.embeddings import EmbeddingsClient

_GEMINI = re.compile(r"/v1(?:beta|alpha|beta1)?/(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/google/)?models/([^/:]+):([A-Za-z]+)")
_AZURE = re.compile(r"/openai/deployments/([^/]+)(/chat/completions|/completions|/embeddings)")


@dataclass(frozen=True, slots=True)
class Surface:
    """A path apps call. `client` speaks its format, also for errors. `model` is the one in the path, where it has one."""

    client: ClientSide
    model: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A path that lists what is configured: all models, or the one in the path."""

    client: ClientSide
    model: str = ""


class Surfaces:
    """All surfaces of one gateway, and the guess at whose error shape an unknown path wants."""

    def __init__(self) -> None:
        chat, completions, embeddings, messages = ChatClient(), CompletionsClient(), EmbeddingsClient(), MessagesClient()
        self.openai: ClientSide = chat
        self.anthropic: ClientSide = messages
        self.posts: dict[str, Surface] = {}
        self._azure: dict[str, ClientSide] = {}
        for path, client in {"/chat/completions": chat, "/completions": completions, "/embeddings": embeddings}.items():
            self.posts["/v1" + path] = self.posts[path] = Surface(client)
            self._azure[path] = client
        self.posts["/v1/messages"] = Surface(messages)

    def find(self, path: str, query: str) -> Surface | None:
        """The surface of a path that holds a model."""
        found = _AZURE.fullmatch(path)
        if found is not None:
            return Surface(self._azure[found[2]], unquote(found[1]))
        return None

    def guess(self, path: str, headers: Mapping[str, str]) -> ClientSide:
        """Whose words an error on a path that is no surface should use."""
        if "anthropic-version" in headers or path == "/v1/messages" or path.startswith(("/anthropic/", "/v1/messages/")):
            return self.anthropic
        return self.openai

    def listing(self, path: str, headers: Mapping[str, str]) -> Listing | None:
        """What a GET of this path lists, or None."""
        for prefix in ("/v1/models", "/models"):
            if path == prefix or path == prefix + "/":
                return Listing(self.guess(path, headers))
            if path.startswith(prefix + "/"):
                return Listing(self.guess(path, headers), unquote(path[len(prefix) + 1 :]))
        return None


def relayed(path: str, providers: Mapping[str, object]) -> tuple[str, str] | None:
    """(provider, rest of the path) of `/<provider>/...`, or None. A rest with dot segments, backslashes or encoded slashes in
    dot segments is not relayed: what it means is for each server to say, so it could leave the provider's base path."""
    name, slash, rest = path[1:].partition("/")
    if not slash or name not in providers:
        return None
    plain = unquote(rest).replace("\\", "/")
    if any(segment in (".", "..") for segment in plain.split("/")):
        return None
    return name, "/" + rest
