"""Vertex: its paths and addresses, and where it differs from AI Studio."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Ask, Progress, TokenCounter
from edgegate.dialects.clouds import vertex_address
from edgegate.dialects.gemini import GeminiProvider, VertexProvider
from edgegate.errors import GatewayError

VERTEX = VertexProvider("my-project", "europe-west4")
HOME = "/v1beta1/projects/my-project/locations/europe-west4/publishers/google/models"
HI = {"role": "user", "content": "Hi"}


def ask(chat: dict[str, Any] | None = None, model: str = "gemini-2.5-flash", *, stream: bool = False, approximate: bool = True) -> Ask:
    return Ask({"messages": [HI], **(chat or {})}, model, stream, "x-1", 1, approximate=approximate)


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("global", "https://aiplatform.googleapis.com"),
        ("us-central1", "https://us-central1-aiplatform.googleapis.com"),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_address_of_a_location(location: str, address: str) -> None:
    assert vertex_address(location) == address


@pytest.mark.parametrize("location", ["", "a.b", "evil.example/", "A", "-a"])
def test_address_of_no_location(location: str) -> None:
    with pytest.raises(ValueError, match="location"):
        vertex_address(location)


@pytest.mark.parametrize(
    "model",
    [
        "gemini-2.5-flash",
        "models/gemini-2.5-flash",
        "publishers/google/models/gemini-2.5-flash",
        "google/gemini-2.5-flash",
    ],
)
def test_path_of_a_model(model: str) -> None:
    assert VERTEX.request(ask(model=model)).path == f"{HOME}/gemini-2.5-flash:generateContent"
    assert VERTEX.request(ask(model=model, stream=True)).path == f"{HOME}/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert VERTEX.native["gemini.stream"] == f"{HOME}/{{model}}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    "model",
    [
        "anthropic/claude-sonnet-4",
        "publishers/meta/models/llama",
        "publishers/google/models/a/b",
        "..",
        "",
        "a\\b",
    ],
)
def test_models_of_other_publishers_are_refused(model: str) -> None:
    with pytest.raises(GatewayError) as error:
        VERTEX.request(ask(model=model))
    assert (error.value.status, error.value.param) == (400, "model")


def test_project_cannot_climb() -> None:
    assert VertexProvider("a/../b?", "x").request(ask()).path.startswith("/v1beta1/projects/a%2F..%2Fb%3F/locations/x/")


def test_key_is_a_bearer_token() -> None:
    assert VERTEX.authorize("ya29.x") == [(b"authorization", b"Bearer ya29.x")]
    assert (VERTEX.name, isinstance(VERTEX, TokenCounter)) == ("gemini", True)


OWN: list[tuple[dict[str, Any], str, str]] = [
    ({"store": True}, "store", "vertex"),
    ({"modelArmorConfig": {"a": "b"}}, "modelArmorConfig", "studio"),
    ({"generationConfig": {"audioTimestamp": True, "seed": 1}}, "generationConfig.audioTimestamp", "studio"),
    ({"generationConfig": {"enableEnhancedCivicAnswers": True}}, "generationConfig.enableEnhancedCivicAnswers", "vertex"),
    ({"generationConfig": {"imageConfig": {"personGeneration": "x"}}}, "generationConfig.imageConfig.personGeneration", "studio"),
    ({"tools": [{"fileSearch": {}}]}, "tools.fileSearch", "vertex"),
    ({"tools": [{"retrieval": {}}]}, "tools.retrieval", "studio"),
    ({"tools": [{"googleSearch": {"excludeDomains": ["a"]}}]}, "tools.googleSearch.excludeDomains", "studio"),
    ({"toolConfig": {"includeServerSideToolInvocations": True}}, "toolConfig.includeServerSideToolInvocations", "vertex"),
    (
        {"toolConfig": {"functionCallingConfig": {"mode": "AUTO", "streamFunctionCallArguments": True}}},
        "toolConfig.functionCallingConfig.streamFunctionCallArguments",
        "studio",
    ),
    ({"safetySettings": [{"category": "C", "threshold": "T", "method": "M"}]}, "safetySettings.method", "studio"),
    (
        {"messages": [HI, {"role": "assistant", "content": [{"type": "toolCall", "toolCall": {"id": "a"}}]}, HI]},
        "content.toolCall",
        "vertex",
    ),
]


@pytest.mark.parametrize(("chat", "name", "refusing"), OWN)
def test_what_only_the_other_service_takes_is_left_out_by_name(chat: dict[str, Any], name: str, refusing: str) -> None:
    for service, provider in (("studio", GeminiProvider()), ("vertex", VERTEX)):
        wire = provider.request(ask(chat))
        left_out = name.rpartition(".")[2].encode() not in wire.body
        assert (left_out, wire.dropped) == ((True, [name]) if service == refusing else (False, []))


def test_count_has_its_own_shape() -> None:
    chat = {"messages": [{"role": "system", "content": "S"}, HI], "tools": [{"googleSearch": {}}], "temperature": 1, "safetySettings": []}
    wire = VERTEX.count(ask(chat))
    assert wire.path == f"{HOME}/gemini-2.5-flash:countTokens"
    assert orjson.loads(wire.body).keys() == {"contents", "systemInstruction", "tools", "generationConfig"}
    assert VERTEX.counted(ask(), b'{"totalTokens":13,"totalBillableCharacters":47}') == 13


def test_embeddings_of_vertex_own_models_are_predictions() -> None:
    request = {"input": ["a", "b"], "dimensions": 8, "taskType": "RETRIEVAL_QUERY", "title": "T", "encoding_format": "float", "user": "u"}
    wire = VERTEX.embed(request, "text-embedding-005")
    assert (wire.path, wire.dropped) == (f"{HOME}/text-embedding-005:predict", ["user"])
    assert orjson.loads(wire.body) == {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY", "title": "T"} for text in "ab"],
        "parameters": {"outputDimensionality": 8},
    }
    embeddings = [
        {"values": [1, 2.5], "statistics": {"token_count": 2, "truncated": False}},
        {"values": [0, 1], "statistics": {"token_count": 3}},
    ]
    progress = Progress()
    reply = orjson.loads(
        VERTEX.embedded(request, "m", orjson.dumps({"predictions": [{"embeddings": one} for one in embeddings]}), progress)
    )
    assert [item["embedding"] for item in reply["data"]] == [[1, 2.5], [0, 1]]
    assert (reply["usage"]["prompt_tokens"], progress.usage.reported) == (5, True)


def test_embeddings_of_geminis_models_have_a_config() -> None:
    wire = VERTEX.embed({"input": "a", "dimensions": 8, "taskType": "X"}, "gemini-embedding-001")
    assert wire.path == f"{HOME}/gemini-embedding-001:embedContent"
    one = {"content": {"role": "user", "parts": [{"text": "a"}]}, "embedContentConfig": {"outputDimensionality": 8, "taskType": "X"}}
    assert orjson.loads(wire.body) == one
    wire = VERTEX.embed({"input": ["a", "a"], "dimensions": 8, "taskType": "X"}, "gemini-embedding-001")
    assert (wire.path, orjson.loads(wire.body)) == (f"{HOME}/gemini-embedding-001:batchEmbedContents", {"requests": [one, one]})
    body = b'{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":2}}'
    assert orjson.loads(VERTEX.embedded({"input": ["a"]}, "m", body, Progress()))["usage"]["total_tokens"] == 2


@pytest.mark.parametrize(
    "body", [b"{}", b'{"predictions":[]}', b'{"predictions":[{}]}', b'{"predictions":[{"embeddings":{"values":"x"}}]}', b"["]
)
def test_reply_without_vectors_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(GatewayError) as error:
        VERTEX.embedded({"input": ["a"]}, "m", body, Progress())
    assert error.value.status == 502


def test_pictures_are_not_for_models_of_text() -> None:
    request = {"input": [[{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]]}
    with pytest.raises(GatewayError) as error:
        VERTEX.embed(request, "text-embedding-005")
    assert error.value.param == "input[0]"


def test_that_nothing_is_stored_is_no_loss() -> None:
    assert VERTEX.request(ask({"store": False})).dropped == []
    assert b"store" not in VERTEX.request(ask({"store": False})).body
    assert VERTEX.request(ask({"store": True})).dropped == ["store"]
    assert orjson.loads(GeminiProvider().request(ask({"store": False})).body)["store"] is False
