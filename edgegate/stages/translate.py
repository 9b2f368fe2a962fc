"""translate: from the chat to the target's wire format and back, or nothing at all.

When the provider takes the client's own format, the request's bytes go out as they came but for declared edits: the model's
name, and the flag that asks a stream for its usage. A tap reads along. Otherwise the provider's side translates: the reply
that leaves this stage is in the chat's format, and the gate brings it into the client's.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from edgegate.chain import Proceed
from edgegate.dialects.base import Ask, Json, Operation, Progress, ProviderSide, WireRequest
from edgegate.errors import GatewayError, provider_error
from edgegate.exchange import Exchange, Reply
from edgegate.routing.catalog import Target
from edgegate.wire.document import check_depth
from edgegate.wire.headers import upstream_headers
from edgegate.wire.splice import splice

CHAT_FORMAT = "openai.chat"
OPENAI_STREAMS = frozenset({"openai.chat", "openai.completions"})
GATEWAY_FIELDS = frozenset({"x-routing-strategy", "x-prefer-provider", "x-cache", "x-budget-key"})
"""Request fields that are meant for the gateway and never go on."""


class Translate:
    """Writes `ex.wire`, `ex.decoder` and `ex.progress` for each attempt, and brings plain replies into the chat's format."""

    async def __call__(self, ex: Exchange, proceed: Proceed) -> Reply:
        target = ex.target
        if target is None:
            raise GatewayError(500, "no_route", "the chain has no route stage before translate")
        progress = ex.progress = Progress()
        ex.dropped = []
        if ex.operation is Operation.RELAY:
            ex.wire = ex.decoder = None
            return await proceed(ex)
        side = target.provider.side
        format = ex.client.format
        path = side.native.get(format)
        ask = self._ask(ex, target, native=path is not None)
        ex.wire = self._native(ex, path, ask, format) if path is not None else self._foreign(ex, side, ask)
        ex.wire.headers += upstream_headers(ex.raw_headers, side.name)
        if ex.stream:
            ex.decoder = side.watch(format, ask, progress) if path is not None else side.stream(ask, progress)
        else:
            ex.decoder = None
        reply = await proceed(ex)
        reply.format = format if path is not None or ex.operation is Operation.EMBEDDINGS else CHAT_FORMAT
        if isinstance(reply.body, bytes):
            try:
                self._read(ex, side, ask, reply, reply.body, native=path is not None)
            except GatewayError as error:
                ex.attempts[-1].failed(error, ex.attempts[-1].first)
                raise
        return reply

    def _ask(self, ex: Exchange, target: Target, *, native: bool) -> Ask:
        request = ex.request
        options = request.get("stream_options") if ex.stream else None
        wants_usage = bool(isinstance(options, dict) and options.get("include_usage"))
        # the encoders of other formats always want the usage; an OpenAI client only if it asked
        include_usage = wants_usage if ex.client.format in OPENAI_STREAMS else True
        if not native:
            check_depth(request)
        chat: Json = request if native or ex.operation is Operation.EMBEDDINGS else ex.chat()
        if not native and not GATEWAY_FIELDS.isdisjoint(chat):
            chat = {name: value for name, value in chat.items() if name not in GATEWAY_FIELDS}
        return Ask(chat, target.model, ex.stream, f"chatcmpl-{ex.id}", ex.created, include_usage)

    def _native(self, ex: Exchange, path: str, ask: Ask, format: str) -> WireRequest:
        request = ex.request
        edits: dict[str, bytes | None] = {}
        if ask.model != ex.model:
            edits["model"] = orjson.dumps(ask.model)
        if ex.stream and format in OPENAI_STREAMS and not ask.include_usage:
            options: Mapping[str, object] = request.get("stream_options") or {}
            edits["stream_options"] = orjson.dumps({**options, "include_usage": True})
        if not GATEWAY_FIELDS.isdisjoint(request):
            edits |= dict.fromkeys(GATEWAY_FIELDS.intersection(request))
        body = splice(ex.body, edits, request) if edits else ex.body
        return WireRequest(path, body, [(b"content-type", b"application/json")])

    def _foreign(self, ex: Exchange, side: ProviderSide, ask: Ask) -> WireRequest:
        wire = side.embed(ask.chat, ask.model) if ex.operation is Operation.EMBEDDINGS else side.request(ask)
        ex.dropped = wire.dropped
        return wire

    def _read(self, ex: Exchange, side: ProviderSide, ask: Ask, reply: Reply, body: bytes, *, native: bool) -> None:
        if ex.stream:  # a stream was asked for and something whole came: an error hidden in a 200, most likely
            if native:
                side.glance(ex.client.format, body, ex.progress)
            else:
                side.whole(ask, body, ex.progress)
            raise provider_error(502, "bad_reply", "the provider answered a stream request without a stream")
        if native:
            side.glance(ex.client.format, body, ex.progress)
        elif ex.operation is Operation.EMBEDDINGS:
            reply.body = side.embedded(ask.chat, ask.model, body, ex.progress)
        else:
            reply.body = side.whole(ask, body, ex.progress)
