"""Mistral as a provider.

For OpenAI clients its requests and replies are translated, never passed through: unknown keys are refused, and replies
differ in content, tool calls and usage.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgegate.dialects.along import ReadAlong
from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.custom_calls import as_customs, custom_calls
from edgegate.dialects.mistral.errors import read_error
from edgegate.dialects.mistral.reply import whole_chat, whole_embeddings
from edgegate.dialects.mistral.request import chat_request, embed_request
from edgegate.dialects.mistral.stream import MistralStream
from edgegate.dialects.spoilt import events_of
from edgegate.errors import GatewayError
from edgegate.taps import Tap
from edgegate.wire.sse import WholeEvents


class MistralProvider:
    """`ProviderSide` of api.mistral.ai, a `Prefiller` too."""

    name = "mistral"
    base_url = "https://api.mistral.ai/v1"
    native: Mapping[str, str] = {}

    def authorize(self, key: str) -> HeaderList:
        return [(b"authorization", b"Bearer " + key.encode())]

    def request(self, ask: Ask) -> WireRequest:
        return chat_request("/chat/completions", ask)

    def prefills(self, model: str) -> bool:
        return True

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return as_customs(ask, whole_chat(ask, body, progress))

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return custom_calls(ask, progress, MistralStream(ask, progress))

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        """For relayed paths; no client format is native here."""
        return ReadAlong(WholeEvents(), MistralStream(ask, progress), progress, events_of)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        whole_chat(_NOBODY, body, progress)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        return embed_request("/embeddings", request, model)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return whole_embeddings(request, model, body, progress)


_NOBODY = Ask(chat={}, model="", stream=False, id="", created=0)
