"""Ollama as a provider, through its native API.

OpenAI's clients are translated to it rather than passed to the facade at `/v1`: that has no place for `num_ctx` and the like.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.custom_calls import as_customs, custom_calls
from edgegate.dialects.ollama.reply import glance_embeddings, read_error, whole_chat, whole_embeddings
from edgegate.dialects.ollama.request import chat_request, embed_request
from edgegate.dialects.ollama.stream import OllamaStream
from edgegate.dialects.ollama.watch import Watch
from edgegate.errors import GatewayError
from edgegate.taps import Tap

_NATIVE: Mapping[str, str] = {
    "ollama.chat": "/api/chat",
    "ollama.generate": "/api/generate",
    "ollama.embed": "/api/embed",
    "ollama.embeddings": "/api/embeddings",
}
_EMBEDDINGS = frozenset({"ollama.embed", "ollama.embeddings"})


class OllamaProvider:
    """`ProviderSide` of an Ollama server, or of ollama.com with a key. A `Prefiller` too."""

    name = "ollama"
    native = _NATIVE

    def authorize(self, key: str) -> HeaderList:
        """A server of one's own asks for nothing."""
        return [(b"authorization", b"Bearer " + key.encode())] if key else []

    def request(self, ask: Ask) -> WireRequest:
        return chat_request("/api/chat", ask)

    def prefills(self, model: str) -> bool:
        return True  # templates leave a last message of the assistant's open

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return as_customs(ask, whole_chat(ask, body, progress))

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return custom_calls(ask, progress, OllamaStream(ask, progress))

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        """`ollama.chat`, and `ollama.generate`, which reads the same."""
        return Watch(ask, progress)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        if format in _EMBEDDINGS:
            glance_embeddings(body, progress)
        else:
            whole_chat(_NOBODY, body, progress, native=True)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        return embed_request("/api/embed", request, model)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return whole_embeddings(request, model, body, progress)


_NOBODY = Ask(chat={}, model="", stream=False, id="", created=0)
