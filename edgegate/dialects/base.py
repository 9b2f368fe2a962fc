"""What a dialect is made of: the protocols every wire format implements, and the values that pass between them.

A dialect has a *client side* (apps speak it to us), a *provider side* (we speak it to a provider), or both. Between them
stands the neutral form, the chat: OpenAI chat-completions JSON with the ecosystem's extensions (see `chat.py`). N client
sides and M provider sides make N + M translators.

Everything here is pure. A dialect object is built once per configured provider or surface, holds no state of an exchange,
and may be used by any number of exchanges at once; what belongs to one reply lives in the tap made for it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from edgegate.errors import GatewayError
from edgegate.taps import Tap

Json = dict[str, Any]
Chat = dict[str, Any]  # neutral form of a request; see chat.py for its shape
HeaderList = list[tuple[bytes, bytes]]


class Operation(enum.StrEnum):
    """What the client wants, independent of the dialect. Values are OpenTelemetry's `gen_ai.operation.name` where it has one."""

    CHAT = "chat"
    COMPLETION = "text_completion"
    EMBEDDINGS = "embeddings"
    COUNT_TOKENS = "count_tokens"
    RERANK = "rerank"
    MODELS = "models"
    RELAY = "relay"  # any other path of a provider, passed through


@dataclass(slots=True)
class Usage:
    """Tokens of one attempt, in one algebra for all vendors.

    `input_tokens` includes cached ones and cache writes; `output_tokens` includes reasoning. The other fields are parts of
    these two, never additions. `reported` is False until the provider gave a usage object.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0  # all cache writes, whatever their lifetime
    cache_write_1h_tokens: int = 0  # the part of cache_write_tokens with the one-hour lifetime
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0  # where the vendor counts them; most only count what they cost in text tokens
    output_image_tokens: int = 0
    reported: bool = False
    tier: str = ""  # service tier as the provider reported it, where it changes the price: batch, flex, priority, ultrafast
    billed: tuple[int, int] | None = None  # input and output tokens that are charged, where the vendor says that it is fewer


@dataclass(slots=True)
class Progress:
    """What has been understood of one reply so far. Written by the tap that parses it; read by forward, relay and meter.

    started: the first meaningful event was seen (text, reasoning, a tool call, or a finish); a role, a ping, an empty delta
        or a usage report alone is not meaningful.
    finished: the finish reason (of every choice that was started) has arrived, so the answer is whole even if the stream's
        terminal line never comes.
    events: number of events seen, comments and pings not counted; the idle time limit looks at it.
    error: the provider reported an error inside the reply; nothing after it is passed on.
    """

    usage: Usage = field(default_factory=Usage)
    started: bool = False
    finished: bool = False
    events: int = 0
    error: GatewayError | None = None
    model: str = ""  # as the provider named it
    finish_reason: str = ""  # in OpenAI's words
    text_bytes: int = 0  # UTF-8 bytes of text, reasoning and tool arguments seen so far, for estimates
    spoilt: int = 0  # events that were no JSON objects and were left out, see `spoilt.py`
    spoilt_row: int = 0  # how many of them came one after the other, up to the last
    spoilt_at: int = 0  # what `events` was when the last one came


@dataclass(frozen=True, slots=True)
class Ask:
    """One request on its way to one target. `chat["model"]` is what the client asked for; `model` is the target's name for it.

    id: becomes the reply's id where the provider gives none, e.g. `chatcmpl-1f0c...`.
    created: Unix seconds, for replies that need a time stamp and whose provider gives none.
    stream: whether the client asked for a stream.
    include_usage: whether the client of a stream asked to see the usage chunk.
    approximate: whether what the provider has no field for may be written another way (a JSON schema as a forced tool, an
        effort as a budget). Where not, such a field is left out and named as dropped.
    """

    chat: Chat
    model: str
    stream: bool
    id: str
    created: int
    include_usage: bool = False
    approximate: bool = True


@dataclass(slots=True)
class WireRequest:
    """A request in a provider's format. Credentials, Host and framing headers are added by whoever sends it.

    path: origin-form below the provider's base path, query included, already percent-encoded, e.g.
        `/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse`.
    dropped: names of the request's fields that this provider cannot carry.
    mapped: names of the fields that were written another way, near to what was meant.
    """

    path: str
    body: bytes
    headers: HeaderList = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    mapped: list[str] = field(default_factory=list)
    method: str = "POST"


class ProviderSide(Protocol):
    """How to speak to one kind of provider."""

    name: str
    """Dialect name: `openai`, `anthropic`, `gemini`, ...: one list of request headers that go on belongs to it."""

    native: Mapping[str, str]
    """Client formats this provider takes and answers byte for byte -> path of the endpoint, e.g.
    {"anthropic.messages": "/v1/messages"}. For these nothing is translated: `watch` and `glance` read along instead. A path
    may hold `{model}`, for which the target's model is put in, percent-encoded."""

    def authorize(self, key: str) -> HeaderList:
        """Header lines that carry the credential, and any that every request needs (such as anthropic-version)."""
        ...

    def request(self, ask: Ask) -> WireRequest:
        """The chat in this provider's format. Raises a 400 `GatewayError` naming the field for what cannot be sent."""
        ...

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        """A plain 200 reply -> chat completion JSON. Fills `progress` (usage, model, finish_reason, started, finished).
        A body that is an error, is not of this format or holds no answer raises `GatewayError` (502 `bad_reply` unless the
        body says better), never returns an empty answer."""
        ...

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        """Tap: this provider's stream -> chat SSE bytes (`data: {chunk}\\n\\n` ... `data: [DONE]\\n\\n`). With
        `ask.include_usage` the last chunk before [DONE] has `choices: []` and the usage; without, there is none. `[DONE]` is
        written by `end(Outcome.OK)` at the latest, and never on another outcome."""
        ...

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        """Tap for a native stream: passes the bytes on unchanged, whole events only, and fills `progress`."""
        ...

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        """Reads usage, model and finish reason out of a native plain 200 reply, changing nothing. Raises as `whole` does."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """A reply that is not 2xx -> error, keeping the provider's words, retry-after and `WireError`. Any body is possible
        (HTML, empty, cut): never raises. Header names in lower case."""
        ...

    def embed(self, request: Json, model: str) -> WireRequest:
        """An OpenAI-shaped embeddings request in this provider's format (the neutral form of embeddings)."""
        ...

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        """A plain embeddings reply -> OpenAI embeddings JSON, `encoding_format: base64` honoured."""
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """A provider side that can have tokens counted by the provider. Without it the gateway estimates."""

    def count(self, ask: Ask) -> WireRequest:
        """The request that counts the input tokens of a chat."""
        ...

    def counted(self, ask: Ask, body: bytes) -> int:
        """Its plain 200 reply -> input tokens. Raises as `whole` does."""
        ...


@runtime_checkable
class Prefiller(Protocol):
    """A provider side some of whose models go on writing an assistant message that the chat ends with."""

    def prefills(self, model: str) -> bool:
        """Whether this model does. The message is marked `prefix: True` in the chat."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """A provider side that orders documents by relevance. The neutral form of rerank is Cohere v2's: request `{model, query,
    documents: [str], top_n?}`, reply `{id?, results: [{index, relevance_score}], meta?}`."""

    def rerank(self, request: Json, model: str) -> WireRequest: ...

    def reranked(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        """A plain 200 reply -> Cohere v2's. Raises as `whole` does."""
        ...


@runtime_checkable
class Relocator(Protocol):
    """A provider side that has its vendor's other endpoints (images, files, ...) at paths of its own."""

    def relocated(self, path: str, model: str) -> str:
        """Where a path that is passed through lies here, e.g. `/v1/images/generations`: the path below the base path, perhaps with
        a query. `model` is the target's name for the model, "" where the request names none."""
        ...


class ClientFormat(Protocol):
    """What every format that apps speak to us has, translated or not. To be inherited from: what has a body is the usual case."""

    format: str
    """Name of the format: `openai.chat`, `openai.embeddings`, `anthropic.messages`, `gemini.generate`, `gemini.stream`, ..."""

    dialect: str
    """Name of the dialect that errors are written in: `openai`, `anthropic`, `gemini`, `ollama`, `cohere`."""

    operation: Operation

    stream_type: bytes = b"text/event-stream; charset=utf-8"
    """Content type of its streams."""

    model_in_body: bool = True
    """Whether its requests name their model, beside or instead of the path."""

    twins: Mapping[str, str] = {}
    """Fields of the neutral form that only say again what another field says: such a one is not lost where the other is carried."""

    def model(self, request: Json) -> str:
        """The model that a checked request names; "" where the format has it in the path."""
        name: str = request.get("model") or ""
        return name

    def local(self, request: Json, created: int) -> bytes | None:
        """The whole reply to a checked request that asks a translated provider nothing, such as one that only loads a model;
        None for any other. `created`: Unix seconds."""
        return None

    def streams(self, request: Json) -> bool:
        """Whether a checked request asks for a stream."""
        return request.get("stream") is True

    def temperature(self, request: Json) -> Any:
        """The sampling temperature of a checked request, None if it sets none: only certain answers are worth caching."""
        return request.get("temperature")

    def frames(self) -> Tap | None:
        """A tap for native streams whose frames differ from what providers are asked for, or None: they go as they come."""
        return None

    def check(self, request: Json) -> None:
        """Validates what edgegate relies on (structure, not taste: a value the provider may refuse is left to it). Raises a 400
        `GatewayError` that names the field and what was expected. Cheap: it runs on every request."""
        ...

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The JSON body for an error; the HTTP status is `error.status`."""
        ...

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """The bytes that end a stream with an explicit error. They follow whole events only."""
        ...


class ClientSide(ClientFormat, Protocol):
    """A format that is translated to and from the neutral form of its operation: the chat (also for counting tokens), OpenAI's
    embeddings, Cohere's rerank."""

    def neutral(self, request: Json) -> Json:
        """A checked request in neutral form. May share parts with `request`; neither is changed afterwards. Its `model` may be
        missing where the format has it in the path. Raises a 400 naming the field for what has no neutral form."""
        ...

    def whole(self, request: Json, reply: bytes) -> bytes:
        """A plain reply in neutral form -> one of this format. The neutral reply to counting is `{"input_tokens": n}`."""
        ...

    def stream(self, request: Json, id: str) -> Tap:
        """Tap: chat SSE bytes -> this format's stream. Operations without streams leave it out."""
        raise GatewayError(500, "internal_error", f"{self.format} has no streams")
