"""Requests of Gemini's clients: every recorded one comes out of our chat as it went in, and every chat of it is one that OpenAI's
and Google's own types take."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from edgegate.dialects.base import Ask, Chat, ProviderSide
from edgegate.dialects.gemini import (
    BatchEmbedClient,
    CountTokensClient,
    GeminiProvider,
    GenerateClient,
    StreamClient,
    VertexProvider,
)
from edgegate.dialects.gemini.fields import named
from edgegate.dialects.gemini.schema import json_schema
from edgegate.dialects.gemini.turns import STAND_IN_SIGNATURE
from edgegate.errors import GatewayError
from tests.corpus import Recording, corpus
from tests.wire.test_gemini_requests import as_google_reads_it

STUDIO = GeminiProvider()
VERTEX = VertexProvider("PROJECT", "global")


def provider_of(recording: Recording) -> GeminiProvider:
    """The service that the recording was made with."""
    found = re.search(r"projects/([^/]+)/locations/([^/]+)", recording.path)
    return VertexProvider(found[1], found[2]) if found else STUDIO


def normal(request: dict[str, Any]) -> dict[str, Any]:
    """A request without differences that mean nothing to Google: the spelling of names and enums, schemas in OpenAPI's words or
    JSON Schema's, functions in one tool or several, neighbouring turns of one role, empty parts, values that are the
    default."""
    found: dict[str, Any] = named(request)
    found.get("systemInstruction", {}).pop("role", None)
    found["contents"] = _turns(found["contents"])
    declarations = []
    tools = []
    for tool in found.pop("tools", []):
        declarations += [_declaration(declaration) for declaration in tool.pop("functionDeclarations", [])]
        if tool:
            tools.append(tool)
    if declarations or tools:
        found["tools"] = [*([{"functionDeclarations": declarations}] if declarations else []), *tools]
    config = found.pop("generationConfig", {})
    for name, usual in (("responseModalities", ["TEXT"]), ("candidateCount", 1)):
        if config.get(name) == usual:
            del config[name]
    if "responseSchema" in config:
        config["responseJsonSchema"] = json_schema(config.pop("responseSchema"))
    if config:
        found["generationConfig"] = config
    return found


def _declaration(declaration: dict[str, Any]) -> dict[str, Any]:
    found = dict(declaration)
    if "parameters" in found:
        found["parametersJsonSchema"] = json_schema(found.pop("parameters"))
    return {name: value for name, value in found.items() if value not in ("", {})}


def _turns(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for content in contents:
        parts = [_part(part) for part in content.get("parts", []) if part != {"text": ""}]
        if not parts:
            continue
        if turns and turns[-1]["role"] == content["role"]:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": content["role"], "parts": parts})
    return turns


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """Base64 in one alphabet."""
    found = {name: value for name, value in part.items() if (name, value) != ("thoughtSignature", STAND_IN_SIGNATURE)}
    for holder, name in ((found, "thoughtSignature"), (found.get("inlineData", {}), "data")):
        if name in holder:
            holder[name] = holder[name].replace("-", "+").replace("_", "/")
    return found


def path_in(recording: Recording) -> str:
    """Without the query; one recording has Vertex' v1."""
    return recording.path.partition("?")[0].replace("/v1/projects/", "/v1beta1/projects/")


def model_of(recording: Recording) -> str:
    found = re.search(r"models/([^:]+):", recording.path)
    assert found is not None
    return found[1]


def client_of(recording: Recording) -> GenerateClient:
    verb = recording.path.rpartition(":")[2]
    if verb.startswith("count"):
        return CountTokensClient()
    return StreamClient() if verb.startswith("stream") else GenerateClient()


def ask_of(chat: Chat, recording: Recording) -> Ask:
    return Ask(chat, model_of(recording), chat.get("stream") is True, "chatcmpl-1", 1)


def is_gemini(recording: Recording) -> bool:
    return "contents" in recording.request and recording.request["contents"][0]["role"] != "invalid_role"


EVERY = ("gemini/generate", "vertex/generate", "gemini/count_tokens", "vertex/count_tokens")


@corpus(*EVERY, where=is_gemini)
def test_request_comes_out_as_it_went_in(recording: Recording) -> None:
    provider = provider_of(recording)
    client = client_of(recording)
    client.check(recording.request)
    ask = ask_of(client.neutral(recording.request), recording)
    wire = provider.count(ask) if isinstance(client, CountTokensClient) else provider.request(ask)
    assert normal(json.loads(wire.body)) == normal(recording.request)
    assert (wire.dropped, wire.mapped) == ([], [])
    assert wire.path.removesuffix("?alt=sse") == path_in(recording)


def is_in_googles_types(recording: Recording) -> bool:
    """One recording holds base64 that was cut short, which google-genai's types refuse."""
    return is_gemini(recording) and "924f75d0" not in recording.file.name


@corpus("gemini/generate", "vertex/generate", where=is_in_googles_types)
def test_what_we_send_to_either_service_is_in_googles_types(recording: Recording) -> None:
    chat = client_of(recording).neutral(recording.request)
    for provider in (STUDIO, VERTEX):
        body = json.loads(provider.request(ask_of(chat, recording)).body)
        as_google_reads_it(body)


@corpus("gemini/generate", "vertex/generate", where=is_gemini)
def test_native_path_is_the_recorded_one(recording: Recording) -> None:
    client = client_of(recording)
    path = provider_of(recording).native[client.format].replace("{model}", model_of(recording))
    assert path.removesuffix("?alt=sse") == path_in(recording)


@corpus("gemini/generate", "vertex/generate", where=lambda recording: "contents" in recording.request and not is_gemini(recording))
def test_role_that_google_refuses_is_refused(recording: Recording) -> None:
    with pytest.raises(GatewayError) as error:
        client_of(recording).neutral(recording.request)
    assert error.value.status == recording.status
    body = json.loads(client_of(recording).error(error.value, "r"))["error"]
    theirs = json.loads(recording.body)["error"]
    assert {name: body[name] for name in ("code", "status", "message")} == {name: theirs[name] for name in ("code", "status", "message")}


@corpus("gemini/embeddings")
def test_batch_of_embeddings_comes_out_as_it_went_in(recording: Recording) -> None:
    client = BatchEmbedClient()
    client.check(recording.request)
    wire = STUDIO.embed(client.neutral(recording.request), model_of(recording))
    assert (json.loads(wire.body), wire.path, wire.dropped) == (recording.request, recording.path, [])


def _others() -> list[ProviderSide]:
    from edgegate.dialects.anthropic.provider import AnthropicProvider
    from edgegate.dialects.mistral.provider import MistralProvider
    from edgegate.dialects.ollama.provider import OllamaProvider
    from edgegate.dialects.openai.provider import OpenAIProvider

    return [AnthropicProvider(), OpenAIProvider(), MistralProvider(), OllamaProvider()]


@corpus("gemini/generate", "vertex/generate", where=lambda recording: is_gemini(recording) and recording.status == 200)
def test_other_providers_can_be_asked_the_same(recording: Recording) -> None:
    """Either a request, with what was lost by name, or a 400 that says what stands in the way; and nothing of Google's in it."""
    chat = client_of(recording).neutral(recording.request)
    for provider in _others():
        try:
            sent = provider.request(ask_of(chat, recording)).body
        except GatewayError as error:
            if error.status != 400:
                raise
            continue
        for word in (b"thoughtSignature", b"thought_signature", b"extra_content", b"generationConfig"):
            assert word not in sent
