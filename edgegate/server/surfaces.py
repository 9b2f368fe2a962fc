"""Surfaces: which path speaks which format. The one table of the HTTP paths that apps use.

Most are fixed; Gemini's and Azure's hold the model. What is no surface may be a list of models (`listing`), a path that is passed
through (`routing/passing.py`), or a relayed one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from edgegate.dialects.anthropic.client import CountTokensClient, MessagesClient
from edgegate.dialects.base import ClientSide
from edgegate.dialects.cohere.client import CohereChatClient, CohereEmbedClient, LooseRerankClient, RerankClient
from edgegate.dialects.gemini import client as gemini
from edgegate.dialects.ollama.client import OllamaChatClient, OllamaGenerateClient
from edgegate.dialects.ollama.embedding import OllamaEmbedClient, OllamaOldEmbedClient
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.completions import CompletionsClient
from edgegate.dialects.openai.embeddings import EmbeddingsClient
from edgegate.dialects.responses.client import ResponsesClient
from edgegate.server.models import Wanted

_GEMINI = re.compile(r"/v1(?:beta|alpha|beta1)?/(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/([^/]+)/)?models/(.+):([A-Za-z]+)")
_MODEL_LISTS = ("/v1/models", "/models", "/v1beta/models", "/v1alpha/models")
_LISTS = frozenset({*_MODEL_LISTS, "/api/tags", "/api/ps", "/api/version"})
_GOOGLES = ("/v1beta/", "/v1beta1/", "/v1alpha/", "/v1/projects/", "/upload/v1beta/", "/gemini/")
_AZURE = re.compile(r"/openai/deployments/(.+?)(/chat/completions|/completions|/embeddings)")


@dataclass(frozen=True, slots=True)
class Surface:
    """A path apps call. `client` speaks its format, also for errors. `model` is the one in the path, where it has one."""

    client: ClientSide
    model: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A path that says something about the configured models; `model` is the one in the path."""

    client: ClientSide
    wanted: Wanted
    model: str = ""


class Surfaces:
    """All surfaces of one gateway, and the guess at whose error shape an unknown path wants."""

    def __init__(self) -> None:
        chat, completions, embeddings = ChatClient(), CompletionsClient(), EmbeddingsClient()
        self.openai: ClientSide = chat
        self.anthropic: ClientSide = MessagesClient()
        self.ollama: ClientSide = OllamaChatClient()
        self.cohere: ClientSide = CohereChatClient()
        self.posts: dict[str, Surface] = {}
        openai = {"/chat/completions": chat, "/completions": completions, "/embeddings": embeddings, "/responses": ResponsesClient()}
        for path, client in openai.items():
            self.posts["/v1" + path] = self.posts[path] = Surface(client)
        self._azure: dict[str, ClientSide] = {path: openai[path] for path in ("/chat/completions", "/completions", "/embeddings")}
        loose = LooseRerankClient()  # as Jina, Voyage and vLLM serve it
        others = {
            "/v1/messages": self.anthropic,
            "/v1/messages/count_tokens": CountTokensClient(),
            "/api/chat": self.ollama,
            "/api/generate": OllamaGenerateClient(),
            "/api/embed": OllamaEmbedClient(),
            "/api/embeddings": OllamaOldEmbedClient(),
            "/v2/chat": self.cohere,
            "/v2/embed": CohereEmbedClient(),
            "/v2/rerank": RerankClient(),
            "/v1/rerank": loose,
            "/rerank": loose,
        }
        self.posts |= {path: Surface(client) for path, client in others.items()}
        generate = gemini.GenerateClient()
        self.gemini: ClientSide = generate
        self._gemini: dict[str, ClientSide] = {
            "generateContent": generate,
            "streamGenerateContent": gemini.StreamClient(array=True),
            "countTokens": gemini.CountTokensClient(),
            "embedContent": gemini.EmbedClient(),
            "batchEmbedContents": gemini.BatchEmbedClient(),
        }
        self._gemini_events = gemini.StreamClient(array=False)

    def find(self, path: str, query: str) -> Surface | None:
        """The surface of a path that holds a model."""
        found = _GEMINI.fullmatch(path)
        if found is not None:
            client = self._gemini.get(found[3])
            if client is None:
                return None
            if found[3] == "streamGenerateContent" and parse_qs(query).get("alt") == ["sse"]:
                client = self._gemini_events
            # google-genai writes `provider/model` so where it speaks to Vertex
            model = found[2] if found[1] in (None, "google") else f"{found[1]}/{found[2]}"
            return Surface(client, _name(model))
        if path == "/openai/responses" and "api-version" in parse_qs(query):  # else it is relayed to the provider `openai`
            return self.posts["/v1/responses"]
        found = _AZURE.fullmatch(path)
        return Surface(self._azure[found[2]], _name(found[1])) if found is not None else None

    def guess(self, path: str, headers: Mapping[str, str]) -> ClientSide:
        """Whose words an error on a path that is no surface should use."""
        if "anthropic-version" in headers or path == "/v1/messages" or path.startswith(("/anthropic/", "/v1/messages/")):
            return self.anthropic
        if "x-goog-api-key" in headers or path.startswith(_GOOGLES) or _GEMINI.fullmatch(path):
            return self.gemini
        if path.startswith(("/api/", "/ollama/")):
            return self.ollama
        return self.cohere if path.startswith("/cohere/") or path in ("/v2/chat", "/v2/embed", "/v2/rerank") else self.openai

    def listing(self, method: str, path: str, headers: Mapping[str, str]) -> Listing | None:
        """What a request for this path lists, or None."""
        if path in ("/api/tags", "/api/ps", "/api/version", "/api/show"):
            wanted = {"tags": Wanted.LIST, "ps": Wanted.RUNNING, "version": Wanted.VERSION, "show": Wanted.MODEL}[path[5:]]
            expected = ("POST",) if wanted is Wanted.MODEL else ("GET", "HEAD")
            return Listing(self.ollama, wanted) if method in expected else None
        if method not in ("GET", "HEAD"):
            return None
        for prefix in _MODEL_LISTS:
            if path == prefix or path == prefix + "/":
                return Listing(self._lister(path, headers), Wanted.LIST)
            if path.startswith(prefix + "/"):
                return Listing(self._lister(path, headers), Wanted.MODEL, _name(path[len(prefix) + 1 :]))
        return None

    def listed(self, path: str) -> str:
        """The methods of a path that `listing` may know; "" for all others."""
        if path == "/api/show":
            return "POST"
        single = ":" not in path and path.startswith(tuple(prefix + "/" for prefix in _MODEL_LISTS))  # a colon: some verb of Gemini's
        return "GET, HEAD" if single or path in _LISTS else ""

    def methods(self, path: str, query: str) -> str:
        """The methods of a path that is known here."""
        known = path in self.posts or self.find(path, query) is not None
        return "POST" if known else self.listed(path) or "POST"

    def _lister(self, path: str, headers: Mapping[str, str]) -> ClientSide:
        """Whose list a path is. `/v1/models` is OpenAI's, Anthropic's, Gemini's and Cohere's: their SDKs say who they are."""
        if "x-client-name" in headers or "cohere" in headers.get("X-Fern-SDK-Name", ""):
            return self.cohere
        return self.guess(path, headers)


def _name(quoted: str) -> str:
    """A model's name in a path, which may hold any bytes: those that are no UTF-8 cannot stand in JSON."""
    return unquote(quoted).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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
