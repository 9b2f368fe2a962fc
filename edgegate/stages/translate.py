"""translate: from the neutral form to the target's wire format and back, or nothing at all.

When the provider takes the client's own format, the request's bytes go out as they came but for declared edits: the model's
name, and the flag that asks a stream for its usage. A tap reads along. (A chat stream that may be gone on with after a break is
translated all the same, if nothing is lost: see `_resumes`.) Otherwise the provider's side translates: the reply
that leaves this stage is in the neutral form of its operation, and the gate brings it into the client's. What a target cannot
carry is named in `ex.dropped`; where nothing may be lost that is a 400 instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import orjson

from edgegate.chain import Proceed
from edgegate.config.stages import TranslateOptions
from edgegate.dialects.amount import body_size
from edgegate.dialects.base import Ask, Json, Operation, Progress, ProviderSide, Relocator, Reranker, TokenCounter, WireRequest
from edgegate.dialects.native import edits_of, must_be_translated
from edgegate.errors import GatewayError, Source, bad_request, provider_error
from edgegate.exchange import STREAMED, Exchange, Reply
from edgegate.routing.catalog import Target
from edgegate.routing.passing import rewritten
from edgegate.tokens.count import Estimator
from edgegate.wire.document import check_depth
from edgegate.wire.headers import upstream_headers
from edgegate.wire.splice import splice

CHAT_FORMAT = "openai.chat"
NEUTRAL: Mapping[Operation, str] = {
    Operation.EMBEDDINGS: "openai.embeddings",
    Operation.RERANK: "neutral.rerank",  # Cohere's client completes what other providers leave out
    Operation.COUNT_TOKENS: "input_tokens",
}
"""The neutral form of operations whose form is not the chat."""

OPENAI_STREAMS = frozenset({"openai.chat", "openai.completions"})
GATEWAY_FIELDS = frozenset({"x-routing-strategy", "x-prefer-provider", "x-cache", "x-budget-key", "max_cost_usd"})
"""Request fields that are meant for the gateway and never go on."""

JSON = (b"content-type", b"application/json")
ESTIMATED = (b"x-edgegate-estimated", b"true")


class Translate:
    """Writes `ex.wire`, `ex.decoder` and `ex.progress` for each attempt, and brings plain replies into the neutral form."""

    def __init__(self, options: TranslateOptions, estimator: Estimator | None = None) -> None:
        self._strict = options.strict
        self._estimator = estimator or Estimator()

    async def __call__(self, ex: Exchange, proceed: Proceed) -> Reply:
        target = ex.target
        if target is None:
            raise GatewayError(500, "no_route", "the chain has no route stage before translate")
        progress = ex.progress = Progress()
        ex.dropped, ex.mapped = [], []
        if ex.operation is Operation.RELAY:
            ex.wire = ex.decoder = None
            if ex.relay_family:
                _pass_through(ex, target)
            return await proceed(ex)
        side = target.provider.side
        format = ex.client.format
        path = side.native.get(format)
        if path is not None and must_be_translated(format, ex.body):
            path = None
        answer = ex.client.local(ex.request, ex.created) if path is None else None
        if answer is not None:
            return Reply(200, [JSON], answer, format)
        if path is not None and (ex.rewritten or (ex.midstream and format != CHAT_FORMAT)) and self._resumes(ex, side, target):
            path = None
        ask = self._ask(ex, target, native=path is not None)
        if path is not None:
            ex.wire = self._native(ex, path, ask, format)
        elif ex.operation is Operation.COUNT_TOKENS and not isinstance(side, TokenCounter):
            return Reply(200, [JSON, ESTIMATED], b'{"input_tokens":%d}' % await self._estimator.tokens(ask.chat), NEUTRAL[ex.operation])
        else:
            ex.wire = self._foreign(ex, side, ask, target)
        ex.wire.headers += upstream_headers(ex.raw_headers, side.name)
        if ex.stream:
            ex.decoder = side.watch(format, ask, progress) if path is not None else side.stream(ask, progress)
        else:
            ex.decoder = None
        reply = await proceed(ex)
        reply.format = format if path is not None else NEUTRAL.get(ex.operation, CHAT_FORMAT)
        if isinstance(reply.body, bytes):
            try:
                self._read(ex, side, ask, reply, reply.body, native=path is not None)
            except GatewayError as error:
                if ex.attempt is not None:
                    ex.attempt.failed(error, ex.attempt.first)
                raise
        return reply

    def _resumes(self, ex: Exchange, side: ProviderSide, target: Target) -> bool:
        """Whether the request goes out in neutral form although the provider takes the client's own: only a stream in that form can
        be gone on with if it breaks. Not where that would lose anything or change a word: then such a stream just ends."""
        if ex.rewritten:
            return True
        try:
            wire = side.request(self._ask(ex, target, native=False))
        except GatewayError:
            return False
        return not wire.dropped and not wire.mapped

    def _ask(self, ex: Exchange, target: Target, *, native: bool) -> Ask:
        request = ex.request
        options = request.get("stream_options") if ex.stream else None
        wants_usage = bool(isinstance(options, dict) and options.get("include_usage"))
        # the encoders of other formats always want the usage; an OpenAI client only if it asked
        include_usage = wants_usage if ex.client.format in OPENAI_STREAMS else True
        if not native:
            check_depth(request)
        neutral: Json = request if native else ex.neutral()
        if not native and not GATEWAY_FIELDS.isdisjoint(neutral):
            neutral = {name: value for name, value in neutral.items() if name not in GATEWAY_FIELDS}
        approximate = target.provider.loss != "drop"
        return Ask(neutral, target.sent, ex.stream, f"chatcmpl-{ex.id}", ex.created, include_usage, approximate)

    def _native(self, ex: Exchange, path: str, ask: Ask, format: str) -> WireRequest:
        request = ex.request
        edits: dict[str, bytes | None] = {}
        if "{model}" in path:
            if any(segment in (".", "..") for segment in ask.model.replace("\\", "/").split("/")):
                raise bad_request("expected the name of a model, not a path", "model")  # a server that decodes first would leave its place
            path = path.replace("{model}", quote(ask.model, safe="~"))
        elif ask.model != ex.model:
            edits["model"] = orjson.dumps(ask.model)
        if ex.stream and format in OPENAI_STREAMS and not ask.include_usage:
            options: Mapping[str, object] = request.get("stream_options") or {}
            edits["stream_options"] = orjson.dumps({**options, "include_usage": True})
        if not GATEWAY_FIELDS.isdisjoint(request):
            edits |= dict.fromkeys(GATEWAY_FIELDS.intersection(request))
        if cut := edits_of(format, ex.body, request):
            edits |= cut
            ex.dropped += [name for name, value in cut.items() if value is None]
        body = splice(ex.body, edits, request) if edits else ex.body
        return WireRequest(path, body, [JSON])

    def _foreign(self, ex: Exchange, side: ProviderSide, ask: Ask, target: Target) -> WireRequest:
        match ex.operation:
            case Operation.EMBEDDINGS:
                wire = side.embed(ask.chat, ask.model)
            case Operation.RERANK:
                wire = _reranker(side, target).rerank(ask.chat, ask.model)
            case Operation.COUNT_TOKENS if isinstance(side, TokenCounter):
                wire = side.count(ask)
            case _:
                wire = side.request(ask)
        for name, twin in ex.client.twins.items():
            if name in wire.dropped and twin in ask.chat and twin not in wire.dropped:
                wire.dropped.remove(name)
        if ex.rewritten and "prefix" in wire.dropped:  # the gateway's own mark, not the caller's
            wire.dropped.remove("prefix")
        ex.dropped, ex.mapped = wire.dropped, wire.mapped
        if wire.dropped and (target.provider.loss == "reject" or self._is_strict(ex)):
            names = ", ".join(wire.dropped)
            raise GatewayError(
                400,
                "unsupported_fields",
                f"The provider of '{ex.model[:100]}' cannot carry: {names}. Leave these out, or allow losses.",
                param=wire.dropped[0],
                source=Source.CLIENT,
            )
        return wire

    def _is_strict(self, ex: Exchange) -> bool:
        """Whether this caller wants an error rather than a request with something missing."""
        asked = ex.headers.get("x-edgegate-strict")
        if asked is not None:
            return asked.strip().lower() in ("true", "1", "yes")
        return self._strict or (ex.key is not None and ex.key.strict)

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
        elif ex.operation is Operation.RERANK and isinstance(side, Reranker):
            reply.body = side.reranked(ask.chat, ask.model, body, ex.progress)
        elif ex.operation is Operation.COUNT_TOKENS and isinstance(side, TokenCounter):
            reply.body = b'{"input_tokens":%d}' % side.counted(ask, body)
        else:
            reply.body = side.whole(ask, body, ex.progress)
        if ex.operation in STREAMED and not ex.progress.usage.reported:
            ex.progress.text_bytes = body_size(body)


def _pass_through(ex: Exchange, target: Target) -> None:
    """A path that goes to the provider of its model: to where that provider has it, and by the name it has for the model."""
    side = target.provider.side
    # from its own path each time: the target before may have moved it
    ex.relay_path = side.relocated(ex.path, target.sent) if isinstance(side, Relocator) else ex.path
    if ex.body:
        body = rewritten(ex.body, ex.headers.get("Content-Type", ""), target.sent, GATEWAY_FIELDS)
        ex.wire = WireRequest(ex.relay_path, body)


def _reranker(side: ProviderSide, target: Target) -> Reranker:
    if isinstance(side, Reranker):
        return side
    raise bad_request(f"The provider '{target.provider.name}' has no rerank.", "model", code="unsupported_operation")
