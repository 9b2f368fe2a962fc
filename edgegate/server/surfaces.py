"""Surfaces: which path and method speak which format. The one table of the HTTP paths that apps use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from edgegate.dialects.anthropic.client import MessagesClient
from edgegate.dialects.base import ClientFormat, Operation
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.completions import CompletionsClient
from edgegate.dialects.openai.embeddings import EmbeddingsClient


@dataclass(frozen=True, slots=True)
class Surface:
    """A path apps call. `client` speaks its format, also for errors."""

    client: ClientFormat
    operation: Operation


class Surfaces:
    """All surfaces of one gateway, and the guess at whose error shape an unknown path wants."""

    def __init__(self) -> None:
        chat, completions, embeddings, messages = ChatClient(), CompletionsClient(), EmbeddingsClient(), MessagesClient()
        self.openai: ClientFormat = chat
        self.anthropic: ClientFormat = messages
        self.posts: dict[str, Surface] = {}
        for prefix in ("/v1", ""):
            self.posts[f"{prefix}/chat/completions"] = Surface(chat, Operation.CHAT)
            self.posts[f"{prefix}/completions"] = Surface(completions, Operation.COMPLETION)
            self.posts[f"{prefix}/embeddings"] = Surface(embeddings, Operation.EMBEDDINGS)
        self.posts["/v1/messages"] = Surface(messages, Operation.CHAT)

    def guess(self, path: str, headers: Mapping[str, str]) -> ClientFormat:
        """Whose words an error on a path that is no surface should use."""
        if "anthropic-version" in headers or path == "/v1/messages" or path.startswith(("/anthropic/", "/v1/messages/")):
            return self.anthropic
        return self.openai


def models_path(path: str) -> str | None:
    """The model id in `/v1/models/{id}`, "" for the list, None for any other path."""
    for prefix in ("/v1/models", "/models"):
        if path == prefix or path == prefix + "/":
            return ""
        if path.startswith(prefix + "/"):
            return unquote(path[len(prefix) + 1 :])
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
