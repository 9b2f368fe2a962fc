"""The provider side: we speak `POST /responses` upstream, to OpenAI and to those that have the endpoint too.

For models that exist there only, and for operators who prefer it. Paths are relative to a base URL that includes the version,
as for `OpenAIProvider`; what does not depend on the endpoint (credentials, HTTP errors, embeddings) is that class's.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.openai.embeddings import encoded, request_body
from edgegate.dialects.openai.errors import from_reply
from edgegate.dialects.openai.quirks import OPENAI
from edgegate.dialects.openai.reply import read_embeddings
from edgegate.dialects.responses.reply import glance, neutral_reply
from edgegate.dialects.responses.request import responses_body
from edgegate.dialects.responses.stream import ResponsesStream
from edgegate.dialects.responses.watch import ResponsesWatch
from edgegate.errors import GatewayError, bad_request
from edgegate.taps import Tap

FORMAT = "openai.responses"
_PATHS: Mapping[str, str] = {FORMAT: "/responses", "openai.embeddings": "/embeddings"}
_JSON: HeaderList = [(b"content-type", b"application/json")]


class ResponsesProvider:
    """See `ProviderSide`. `paths`: client formats it answers -> endpoint; all others are translated to Responses."""

    def __init__(self, name: str = "openai", paths: Mapping[str, str] = _PATHS) -> None:
        self.name = name
        self.native: Mapping[str, str] = paths

    def authorize(self, key: str) -> HeaderList:
        """The key as a bearer token; nothing for servers that need none."""
        return [(b"authorization", b"Bearer " + key.encode())] if key else []

    def request(self, ask: Ask) -> WireRequest:
        body, losses = responses_body(ask)
        return WireRequest(self.native[FORMAT], orjson.dumps(body), list(_JSON), sorted(losses.dropped), sorted(losses.mapped))

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return neutral_reply(ask, body, progress)

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return ResponsesStream(ask, progress)

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        return ResponsesWatch(progress)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        if format == "openai.embeddings":
            read_embeddings(body, progress)
        else:
            glance(body, progress)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return from_reply(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        path = self.native.get("openai.embeddings")
        if path is None:
            raise bad_request(f"The provider '{self.name}' has no embeddings.", "model", code="unsupported_operation")
        body, dropped, mapped = request_body(request, model, OPENAI)
        return WireRequest(path, orjson.dumps(body), list(_JSON), dropped, mapped)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return encoded(request, read_embeddings(body, progress), body, progress.usage)
