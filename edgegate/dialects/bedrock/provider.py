"""The provider side: we speak Bedrock's Converse API upstream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgegate.dialects.along import ReadAlong
from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.dialects.bedrock.embeddings import embed_request, embedded
from edgegate.dialects.bedrock.errors import DIALECT, inner_error, kind_inside, message_inside, reply_error
from edgegate.dialects.bedrock.families import family_of
from edgegate.dialects.bedrock.reply import chat_completion
from edgegate.dialects.bedrock.request import converse_request, count_request
from edgegate.dialects.bedrock.stream import ConverseStream
from edgegate.dialects.custom import as_functions
from edgegate.dialects.custom_calls import as_customs, custom_calls
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.losses import Losses
from edgegate.dialects.spoilt import frames_of
from edgegate.errors import GatewayError
from edgegate.taps import Tap
from edgegate.wire.eventstream import WholeFrames


class BedrockProvider:
    """See `ProviderSide`, `TokenCounter`, `Prefiller`. `authorize` is for Bedrock API keys; requests with AWS credentials are signed by
    whoever sends them."""

    name = DIALECT
    native: Mapping[str, str] = {}

    def authorize(self, key: str) -> HeaderList:
        return [(b"authorization", b"Bearer " + key.encode())] if key else []

    def request(self, ask: Ask) -> WireRequest:
        return converse_request(ask)

    def prefills(self, model: str) -> bool:
        """Claude, as far as Anthropic has it. Of the others it is not known; an ARN may tell nothing at all."""
        claude = family_of(model).claude
        return claude is not None and claude.prefill

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        return as_customs(ask, chat_completion(_plain(ask), body, progress))

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        return custom_calls(ask, progress, ConverseStream(_plain(ask), progress))

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        """For relayed ConverseStreams."""
        return ReadAlong(WholeFrames(), ConverseStream(ask, progress), progress, frames_of)

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        chat_completion(_NOBODY, body, progress)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return reply_error(status, headers, body)

    def embed(self, request: Json, model: str) -> WireRequest:
        return embed_request(request, model)

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        return embedded(request, model, body, progress)

    def count(self, ask: Ask) -> WireRequest:
        return count_request(ask)

    def counted(self, ask: Ask, body: bytes) -> int:
        reply = parsed(body)
        number = reply.get("inputTokens") if isinstance(reply, dict) else None
        if isinstance(number, int) and number >= 0:
            return number
        kind, said = kind_inside(reply), message_inside(reply)
        raise inner_error(kind, said) if kind or said else bad_reply("Bedrock's reply holds no count of tokens")


_NOBODY = Ask(chat={}, model="", stream=False, id="", created=0)


def _plain(ask: Ask) -> Ask:
    """What the request was written from: names that Bedrock does not take were replaced in it, those of custom tools too."""
    return replace(ask, chat=as_functions(ask.chat, Losses(ask.approximate)))
