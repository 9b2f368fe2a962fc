"""`edgegate replay FILE`: what the dialects make of a recorded exchange, for people to look at.

A recording is a JSON file: `{"provider", "path", "request": {"json"}, "status", "response": {"headers", "json" | "text" | "b64"}}`,
where `text` and `b64` are streams. Shown are the request in neutral form and as another provider would get it, the reply in
neutral form and as another client would, its usage, and what was lost. Nothing is sent anywhere.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from edgegate.config.model import ProviderOptions, TranslateOptions
from edgegate.dialects.base import Ask, ClientSide, Json, Operation, Progress, ProviderSide
from edgegate.errors import GatewayError
from edgegate.server.build import provider_side
from edgegate.server.surfaces import Surfaces
from edgegate.taps import Outcome

RECORDED_AS: Mapping[str, str] = {"bedrock-mantle": "openai-responses", "vertex": "gemini"}
"""Recordings' names of providers that are spoken to in another dialect of ours."""

MAX_SHOWN = 20_000
"""Characters of one document: pictures and long texts are cut."""


class ReplayError(Exception):
    """The file is no recording, or there is no dialect for it."""


def replay(file: Path, provider: str = "", client: str = "") -> Iterator[str]:
    """The report, line by line. `provider`: the dialect to write the request in, else the recorded one. `client`: the format to
    write the reply in, such as `anthropic.messages`, else the one the request was in. Raises `ReplayError`."""
    recording = _read(file)
    surfaces = Surfaces()
    split = urlsplit(str(recording["path"]))
    surface = surfaces.posts.get(split.path) or surfaces.find(split.path, split.query)
    recorded = RECORDED_AS.get(str(recording.get("provider")), str(recording.get("provider") or provider))
    reader = _side("openai-responses" if recorded == "openai" and split.path.endswith("/responses") else recorded)
    writer = reader if not provider else _side(provider)
    yield f"# {recording.get('provider', '?')} {split.path}, status {recording['status']}"
    request = recording["request"].get("json") or {}
    asked = request
    if surface is None:
        yield "# no client format has this path: the request is not translated"
    else:
        model = surface.model or str(request.get("model") or "model")
        asked = yield from _request(surface.client, request, model, writer)
    yield from _reply(recording, reader, asked, _client(surfaces, client) or (surface.client if surface else surfaces.openai))


def _request(client: ClientSide, request: Json, model: str, writer: ProviderSide) -> Generator[str, None, Json]:
    try:
        client.check(request)
        neutral = client.neutral(request)
    except GatewayError as error:
        yield f"# {client.format} refuses the request: {error.status} {error.code}: {error.message}"
        yield _shown(orjson.loads(client.error(error, "replay")))
        return request
    yield f"\n## request, {client.format} in neutral form"
    yield _shown(neutral)
    ask = Ask(neutral, model, client.streams(request), "chatcmpl-replay", 0, include_usage=True)
    yield f"\n## request, as {writer.name} gets it"
    try:
        wire = writer.embed(neutral, model) if client.operation is Operation.EMBEDDINGS else writer.request(ask)
    except GatewayError as error:
        yield f"# cannot be sent: {error.status} {error.code}, {error.param}: {error.message}"
        return neutral
    yield f"POST {wire.path}"
    yield _shown(orjson.loads(wire.body))
    yield f"# dropped: {', '.join(wire.dropped) or 'nothing'}; written another way: {', '.join(wire.mapped) or 'nothing'}"
    return neutral


def _reply(recording: Json, reader: ProviderSide, neutral: Json, client: ClientSide) -> Iterator[str]:
    response, status = recording["response"], int(recording["status"])
    progress = Progress()
    body = _body(response)
    try:
        if status != 200:
            headers = {name.lower(): value for name, value in response.get("headers", {}).items()}
            raise reader.error(status, headers, body)
        streamed = "text" in response or "b64" in response
        ask = Ask(neutral, str(neutral.get("model") or "model"), streamed, "chatcmpl-replay", 0, include_usage=True)
        if not streamed:
            chat = reader.whole(ask, body, progress)
            yield "\n## reply, in neutral form"
            yield _shown(orjson.loads(chat))
            yield f"\n## reply, in {client.format}"
            yield _shown(orjson.loads(client.whole(neutral, chat)))
        else:
            decode = reader.stream(ask, progress)
            chat = decode.feed(body) + decode.end(Outcome.OK)
            yield "\n## stream, in neutral form"
            yield chat.decode("utf-8", "replace")[:MAX_SHOWN]
            if progress.error is not None:
                raise progress.error
            encode = client.stream(neutral, "replay")
            yield f"\n## stream, in {client.format}"
            yield (encode.feed(chat) + encode.end(Outcome.OK)).decode("utf-8", "replace")[:MAX_SHOWN]
    except GatewayError as error:
        yield f"\n## an error: {error.status} {error.code}: {error.message}"
        yield _shown(orjson.loads(client.error(error, "replay")))
        return
    usage = progress.usage
    yield f"\n# finish: {progress.finish_reason}; model: {progress.model}"
    yield (
        f"# tokens: {usage.input_tokens} in ({usage.cached_tokens} cached, {usage.cache_write_tokens} written to a cache), "
        f"{usage.output_tokens} out ({usage.reasoning_tokens} reasoning)"
    )


def _read(file: Path) -> Json:
    try:
        recording = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ReplayError(f"{file}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ReplayError(f"{file}: not JSON: {error}") from None
    shape = isinstance(recording, dict) and all(isinstance(recording.get(name), dict) for name in ("request", "response"))
    if not shape or "path" not in recording or not isinstance(recording.get("status"), int):
        raise ReplayError(f"{file}: no recording; expected an object with path, request, status and response")
    found: Json = recording
    return found


def _body(response: Json) -> bytes:
    if "text" in response:
        return str(response["text"]).encode()
    if "b64" in response:
        return base64.b64decode(response["b64"])
    return orjson.dumps(response.get("json"))


def _side(dialect: str) -> ProviderSide:
    try:
        return provider_side(dialect, ProviderOptions(project="project"), TranslateOptions())
    except ValueError:
        raise ReplayError(f"no dialect is named {dialect!r}: give one with --provider") from None


def _client(surfaces: Surfaces, format: str) -> ClientSide | None:
    if not format:
        return None
    known = {surface.client.format: surface.client for surface in surfaces.posts.values()} | {surfaces.gemini.format: surfaces.gemini}
    if format not in known:
        raise ReplayError(f"no client format is named {format!r}: there are {', '.join(sorted(known))}")
    return known[format]


def _shown(document: Any) -> str:
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "\n[...]"
