"""`edgegate replay FILE`: what the dialects make of a recorded exchange, for people to look at.

Shown are the request in neutral form and as a provider would get it, with what was left out and what was written another way;
the reply, or the error, in neutral form and as a client would get it; and the usage that was counted. Nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import orjson

from edgegate.dialects.base import Ask, ClientSide, Json, Operation, Progress, ProviderSide, Reranker, TokenCounter, Usage, WireRequest
from edgegate.errors import GatewayError, provider_error
from edgegate.routing.passing import Named, passed
from edgegate.server.recorded import Reading, Recorded, ReplayError, read, side, understand
from edgegate.server.surfaces import Surfaces
from edgegate.stages.sniff import sniffer
from edgegate.taps import Outcome
from edgegate.wire.document import check_depth

__all__ = ["ReplayError", "replay"]

MAX_SHOWN = 20_000
"""Characters of one document or stream."""

MAX_TEXT = 2_000
"""Characters of one text in a document: pictures are longer."""

MAX_NUMBERS = 16
"""Numbers of one list: vectors are longer."""

MAX_DEPTH = 100

ID, CREATED = "replay", 0


def replay(file: Path, provider: str = "", client: str = "") -> Iterator[str]:
    """The report, line by line. `provider`: the dialect to write the request in, else the recorded one. `client`: the format to
    write the reply in, such as `anthropic.messages`, else the one of the recorded path. Raises `ReplayError`."""
    recorded = read(file)
    surfaces = Surfaces()
    reading = understand(recorded, surfaces)
    writer = side(provider) if provider else None
    known = formats(surfaces)
    if client and client not in known:
        raise ReplayError(f"no client format is named {client!r}: there are {', '.join(sorted(known))}")
    yield f"# {recorded.provider or 'recorded'}: {recorded.method} {recorded.path}, status {recorded.status}"
    if reading is None:
        yield from _passed(recorded, surfaces)
        return
    surface = reading.surface
    speaker = known[client] if client else surface.client if surface is not None else _usual(surfaces, reading.operation)
    if _kind(speaker.operation) is not _kind(reading.operation):
        raise ReplayError(f"{speaker.format} is a format for {_kind(speaker.operation)}; the recording is of {_kind(reading.operation)}")
    if recorded.streamed and speaker.format == "gemini.generate":
        speaker = known["gemini.stream"]
    neutral, asked = {"model": reading.model}, None
    if surface is None:
        yield "# apps do not speak this format to edgegate: the request is not read"
    elif recorded.request is None:
        yield "# the request is not in the recording"
    else:
        neutral, asked = yield from _request(recorded, surface.client, reading, writer)
        if surface.client is not speaker:
            asked = None
    yield from _reply(recorded, reading, neutral, asked, speaker)


def _request(
    recorded: Recorded, client: ClientSide, reading: Reading, writer: ProviderSide | None
) -> Generator[str, None, tuple[Json, Json | None]]:
    """Shows the request. Returns its neutral form, or as much of one as the reply needs to be read, and the request itself if its
    structure is sound."""
    request: Json = recorded.request or {}
    target = writer or reading.reader
    neutral: Json = {"model": reading.model}
    asked: Json | None = None
    try:
        check_depth(request)
        client.check(request)
        asked = request
        neutral = client.neutral(request)
        streams = client.streams(request)
    except GatewayError as error:
        yield from _error(f"request, refused by {client.format}", error, client)
        return neutral, asked
    yield f"\n## request, from {client.format} to the neutral form"
    yield _shown(neutral)
    if target is None:
        yield "# no dialect speaks to this provider"
        return neutral, asked
    yield f"\n## request, from the neutral form to {target.name}"
    if client.format in target.native:
        yield f"# {target.name} takes {client.format} as it is: the gateway would pass the bytes on and read along"
    ask = Ask(neutral, reading.model, streams, f"chatcmpl-{ID}", CREATED, include_usage=True)
    try:
        wire = _written(target, ask, client.operation)
    except GatewayError as error:
        yield from _error(f"request, refused for {target.name}", error, client)
        return neutral, asked
    if wire is None:
        yield f"# {target.name} has no {client.operation.value}"
        return neutral, asked
    yield f"{wire.method} {wire.path}"
    yield _shown(orjson.loads(wire.body))
    yield f"# dropped: {', '.join(wire.dropped) or 'nothing'}"
    yield f"# written another way: {', '.join(wire.mapped) or 'nothing'}"
    return neutral, asked


def _written(target: ProviderSide, ask: Ask, operation: Operation) -> WireRequest | None:
    match operation:
        case Operation.EMBEDDINGS:
            return target.embed(ask.chat, ask.model)
        case Operation.RERANK:
            return target.rerank(ask.chat, ask.model) if isinstance(target, Reranker) else None
        case Operation.COUNT_TOKENS:
            return target.count(ask) if isinstance(target, TokenCounter) else None
    return target.request(ask)


def _reply(recorded: Recorded, reading: Reading, neutral: Json, asked: Json | None, client: ClientSide) -> Iterator[str]:
    """`asked`: the request in the client's own format, None where it was in another."""
    reader, progress = reading.reader, Progress()
    if reader is None:
        yield "\n# no dialect reads this provider's replies"
        return
    if asked is None:  # what an app would have sent cannot be known: the reply is written as to the plainest request
        asked = {"model": reading.model, "stream": recorded.streamed, "documents": neutral.get("documents", [])}
    ask = Ask(neutral, reading.model, recorded.streamed, f"chatcmpl-{ID}", CREATED, include_usage=True)
    try:
        if not 200 <= recorded.status < 300:
            raise reader.error(recorded.status, recorded.headers, recorded.body)
        if reading.surface is not None and reading.surface.client.format == "openai.completions":
            yield from _along(recorded, reader, ask, progress)
        elif recorded.streamed:
            yield from _stream(recorded, reader, ask, progress, client, asked)
        else:
            reply = _whole(recorded, reader, ask, progress, reading.operation)
            yield "\n## reply, in neutral form"
            yield _shown(orjson.loads(reply))
            yield f"\n## reply, in {client.format}"
            yield _shown(orjson.loads(client.whole(asked, reply)))
    except GatewayError as error:
        yield from _error("reply, an error", error, client)
        return
    yield ""
    if progress.finish_reason or progress.model:
        yield f"# finish: {progress.finish_reason or 'none'}; model: {progress.model or 'not named'}"
    yield _tokens(progress.usage)


def _whole(recorded: Recorded, reader: ProviderSide, ask: Ask, progress: Progress, operation: Operation) -> bytes:
    match operation:
        case Operation.EMBEDDINGS:
            return reader.embedded(ask.chat, ask.model, recorded.body, progress)
        case Operation.RERANK if isinstance(reader, Reranker):
            return reader.reranked(ask.chat, ask.model, recorded.body, progress)
        case Operation.COUNT_TOKENS if isinstance(reader, TokenCounter):
            return b'{"input_tokens":%d}' % reader.counted(ask, recorded.body)
    return reader.whole(ask, recorded.body, progress)


def _along(recorded: Recorded, reader: ProviderSide, ask: Ask, progress: Progress) -> Iterator[str]:
    """Legacy completions are never translated from a provider's: chats are asked for instead."""
    yield "\n## reply, passed on as it is"
    if recorded.streamed:
        tap = reader.watch("openai.completions", ask, progress)
        yield _cut((tap.feed(recorded.body) + tap.end(Outcome.OK)).decode("utf-8", "replace"))
        if progress.error is not None:
            raise progress.error
    else:
        reader.glance("openai.completions", recorded.body, progress)
        yield _shown(orjson.loads(recorded.body))


def _stream(recorded: Recorded, reader: ProviderSide, ask: Ask, progress: Progress, client: ClientSide, asked: Json) -> Iterator[str]:
    decode = reader.stream(ask, progress)
    chat = decode.feed(recorded.body) + decode.end(Outcome.OK)
    yield "\n## stream, in neutral form"
    yield _cut(chat.decode("utf-8", "replace"))
    error = progress.error
    if error is None and not progress.finished:  # as the gateway judges it
        code = "upstream_cut" if progress.started else "empty_reply"
        error = provider_error(502, code, "the recorded stream has no end" if progress.started else "the recorded stream holds no answer")
    encode = client.stream(asked, ID)
    out = encode.feed(chat) + encode.end(Outcome.OK if error is None else Outcome.UPSTREAM_BROKE)
    if error is not None:
        out += client.error_event(error, ID)
    yield f"\n## stream, in {client.format}"
    yield _cut(out.decode("utf-8", "replace"))
    if error is not None:
        raise error


def _passed(recorded: Recorded, surfaces: Surfaces) -> Iterator[str]:
    listing = surfaces.listing(recorded.method, recorded.path, recorded.asked_with)
    through = passed(recorded.path, recorded.asked_with)
    if listing is not None:
        yield "# edgegate answers this itself, from its configuration"
    elif through is not None:
        where = {
            Named.BODY: "the provider of the model that the request names",
            Named.PATH: "the provider of the model in the path",
            Named.NOWHERE: f"the first provider of the family {through.family}, or the one in x-edgegate-provider",
        }
        yield f"# not translated: passed byte for byte to {where[through.named]}"
    else:
        yield "# not translated: reached as /<provider>/... only, byte for byte"
    progress = Progress()
    tap = sniffer([(name.encode(), value.encode()) for name, value in recorded.headers.items()], progress)
    if tap is not None:
        tap.feed(recorded.body)
        tap.end(Outcome.OK)
    yield _tokens(progress.usage)


def _error(title: str, error: GatewayError, client: ClientSide) -> Iterator[str]:
    said = {
        "status": error.status,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "source": error.source.value,
        "retryable": error.retryable,
        "retry_after_s": error.retry_after_s,
    }
    yield f"\n## {title}"
    yield _shown({name: value for name, value in said.items() if value is not None})
    yield f"\n## error, in {client.format}"
    yield _shown(orjson.loads(client.error(error, ID)))


def _tokens(usage: Usage) -> str:
    if not usage.reported:
        return "# tokens: none reported"
    return (
        f"# tokens: {usage.input_tokens} in ({usage.cached_tokens} cached, {usage.cache_write_tokens} written to a cache), "
        f"{usage.output_tokens} out ({usage.reasoning_tokens} reasoning)"
    )


def formats(surfaces: Surfaces) -> dict[str, ClientSide]:
    """Every format that apps speak, by its name."""
    found = {surface.client.format: surface.client for surface in surfaces.posts.values()}
    for verb in ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"):
        surface = surfaces.find(f"/v1beta/models/model:{verb}", "alt=sse")
        if surface is not None:
            found[surface.client.format] = surface.client
    return found


def _usual(surfaces: Surfaces, operation: Operation) -> ClientSide:
    return surfaces.posts["/v1/messages/count_tokens"].client if operation is Operation.COUNT_TOKENS else surfaces.openai


def _kind(operation: Operation) -> Operation:
    """Completions are chats to everybody but those who ask for them."""
    return Operation.CHAT if operation is Operation.COMPLETION else operation


def _shown(document: Any) -> str:
    return _cut(orjson.dumps(_short(document, 0), option=orjson.OPT_INDENT_2).decode())


def _short(value: Any, depth: int) -> Any:
    """A document without its bulk: of pictures and vectors the beginning is enough."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:100]} [... {len(value)} characters]"
    if not isinstance(value, dict | list):
        return value
    if depth > MAX_DEPTH:
        return "[...]"
    if isinstance(value, dict):
        return {name: _short(item, depth + 1) for name, item in value.items()}
    if len(value) > MAX_NUMBERS and all(isinstance(item, int | float) for item in value):
        return [*value[:4], f"[... {len(value)} numbers]"]
    return [_short(item, depth + 1) for item in value]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "\n[...]"
