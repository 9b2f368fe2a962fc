"""The provider side: OpenAI, and everything that speaks as OpenAI does (see `compat.py` for the table).

Paths are relative to a base URL that includes the version, as users write OPENAI_BASE_URL: `https://api.openai.com/v1`,
`https://api.groq.com/openai/v1`. Native formats pass byte for byte; chats of other dialects are sent as chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.custom_calls import as_customs, custom_calls
from edgegate.dialects.openai.embeddings import encoded, request_body
from edgegate.dialects.openai.errors import from_reply
from edgegate.dialects.openai.follow import choices_asked
from edgegate.dialects.openai.quirks import OPENAI, Quirks
from edgegate.dialects.openai.reply import glance, neutral_reply, read_embeddings
from edgegate.dialects.openai.request import chat_body
from edgegate.dialects.openai.stream import ToChat
from edgegate.dialects.openai.watch import PassThrough
from edgegate.dialects.rerank import rerank_body, rerank_reply
from edgegate.dialects.responses import reply as responses
from edgegate.dialects.responses.watch import ResponsesWatch
from edgegate.errors import GatewayError, bad_request
from edgegate.taps import Tap

_JSON: HeaderList = [(b"content-type", b"application/json")]


class OpenAIProvider:
    """One OpenAI-shaped provider, a `Reranker` too. `native` maps the client formats it takes to its paths.

    For native formats `ask.chat` is the request as the client sent it: `watch` reads how many choices will come from it.
    """

    def __init__(self, name: str = "openai", quirks: Quirks = OPENAI) -> None:
        self.name = name
        self.quirks = quirks
        self.native: Mapping[str, str] = quirks.paths

    def authorize(self, key: str) -> HeaderList:
        """The key as a bearer token; nothing for servers that need none."""
        return [(b"authorization", b"Bearer " + key.encode())] if key else []

    def request(self, ask: Ask) -> WireRequest:
        path = self._path("openai.chat", "chat")
        body, dropped, mapped = chat_body(ask, self.quirks)
        return WireRequest(path, orjson.dumps(body), list(_JSON), dropped, mapped)

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        reply = neutral_reply(ask, body, progress)
        return as_customs(ask, reply) if self.quirks.fields is None else reply

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        tap = ToChat(ask, progress)
        return custom_calls(ask, progress, tap) if self.quirks.fields is None else tap

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        if format == "openai.responses":
            return ResponsesWatch(progress)
        return PassThrough(progress, choices_asked(ask.chat), ask.include_usage)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        if format == "openai.responses":
            responses.glance(body, progress)
        else:
            (read_embeddings if format == "openai.embeddings" else glance)(body, progress)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return from_reply(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        path = self._path("openai.embeddings", "embeddings")
        body, dropped, mapped = request_body(request, model, self.quirks)
        return WireRequest(path, orjson.dumps(body), list(_JSON), dropped, mapped)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return encoded(request, read_embeddings(body, progress), body, progress.usage)

    def rerank(self, request: Json, model: str) -> WireRequest:
        if self.quirks.rerank is None:
            raise self._lacks("rerank")
        path, style = self.quirks.rerank
        body, dropped = rerank_body(style, request, model)
        return WireRequest(path, orjson.dumps(body), list(_JSON), dropped)

    def reranked(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        if self.quirks.rerank is None:
            raise self._lacks("rerank")
        progress.model = progress.model or model
        return rerank_reply(self.quirks.rerank[1], body, progress)

    def _path(self, format: str, operation: str) -> str:
        path = self.native.get(format)
        if path is None:
            raise self._lacks(operation)
        return path

    def _lacks(self, operation: str) -> GatewayError:
        return bad_request(f"The provider '{self.name}' has no {operation}.", "model", code="unsupported_operation")
