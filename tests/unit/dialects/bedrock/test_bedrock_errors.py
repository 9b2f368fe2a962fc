"""Error replies and embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Json, Progress
from edgegate.errors import GatewayError
from tests.unit.dialects.bedrock.made import SIDE

URL = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
TITAN = "amazon.titan-embed-text-v2:0"


def error(status: int, kind: str = "", message: str = "No.", name: str = "message", **headers: str) -> GatewayError:
    lines = {"content-type": "application/json", **({"x-amzn-errortype": kind} if kind else {}), **headers}
    return SIDE.error(status, lines, orjson.dumps({name: message}))


@pytest.mark.parametrize(
    ("status", "kind", "expected", "code", "retryable"),
    [
        (400, "ValidationException" + URL, 400, "invalid_request", False),
        (403, "AccessDeniedException" + URL, 403, "permission_denied", False),
        (403, "ExpiredTokenException", 401, "invalid_api_key", False),
        (403, "UnrecognizedClientException", 401, "invalid_api_key", False),
        (404, "ResourceNotFoundException", 404, "not_found", False),
        (408, "ModelTimeoutException", 408, "upstream_timeout", True),
        (424, "ModelErrorException", 502, "provider_error", True),
        (424, "", 502, "server_error", True),
        (429, "ThrottlingException", 429, "rate_limit_exceeded", True),
        (429, "ModelNotReadyException", 429, "rate_limit_exceeded", True),
        (400, "ThrottlingException", 429, "rate_limit_exceeded", True),
        (400, "ServiceQuotaExceededException", 429, "insufficient_quota", False),
        (500, "InternalServerException", 500, "server_error", True),
        (503, "ServiceUnavailableException", 503, "overloaded", True),
        (400, "NewerException", 400, "invalid_request", False),
        (302, "", 502, "server_error", True),
    ],
)
def test_the_kind_says_more_than_the_status(status: int, kind: str, expected: int, code: str, retryable: bool) -> None:
    for name in ("message", "Message"):
        found = error(status, kind, name=name)
        assert (found.status, found.code, found.retryable, found.message) == (expected, code, retryable, "No.")
        assert found.source == "provider"
    assert found.details == ({"type": kind.partition(":")[0]} if kind else None)


@pytest.mark.parametrize(
    "message",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 215000 tokens > 200000 maximum",
        "The model returned the following errors: input length and `max_tokens` exceed context limit: 1 + 2 > 3",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
        "This model's maximum context length is 131072 tokens. Please reduce the length of the prompt",
        "Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the input to try again.",
    ],
)
def test_a_prompt_that_is_too_long_has_openais_code(message: str) -> None:
    assert error(400, "ValidationException", message).code == "context_length_exceeded"
    assert error(429, "ThrottlingException", message).code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "The provided model identifier is invalid."),
        (404, "Could not resolve the foundation model from the provided model identifier."),
        (404, "This model version has reached the end of its life."),
        (400, "Invocation of model ID anthropic.x with on-demand throughput isn\u2019t supported. Retry with an inference profile."),
    ],
)
def test_a_model_that_is_not_there_has_openais_code(status: int, message: str) -> None:
    assert error(status, "ValidationException" if status == 400 else "ResourceNotFoundException", message).code == "model_not_found"


def test_the_kind_may_stand_in_the_body() -> None:
    found = SIDE.error(400, {}, b'{"__type": "com.amazon.coral.service#UnrecognizedClientException", "message": "Bad token"}')
    assert (found.status, found.code) == (401, "invalid_api_key")


def test_a_credential_that_is_quoted_is_struck_out() -> None:
    for secret in ("ABSKQmVkcm9ja0FQSUtleS1hYmNk", "bedrock-api-key-YmVkcm9jay5hbWF6b24", "AKIAIOSFODNN7EXAMPLE"):
        found = error(403, "AccessDeniedException", f"The key {secret} is not allowed")
        assert secret not in found.message
        assert found.wire is None


@given(
    st.integers(100, 700),
    st.binary(max_size=60) | st.sampled_from([b"", b"<html>", b"[", b'{"message": 1}', b'{"message": null}', b"null", b"Unable"]),
)
def test_any_body_is_an_error(status: int, body: bytes) -> None:
    found = SIDE.error(status, {"x-amzn-errortype": "\u00e9:?"}, body)
    assert 400 <= found.status <= 599
    assert found.message


def test_a_wait_is_kept() -> None:
    assert error(429, "ThrottlingException", **{"retry-after": "3"}).retry_after_s == 3


# -- embeddings


@pytest.mark.parametrize(
    ("model", "request_", "body", "dropped"),
    [
        (TITAN, {"input": "A", "dimensions": 256, "normalize": False}, {"inputText": "A", "dimensions": 256, "normalize": False}, []),
        (TITAN, {"input": ["A"], "user": "u", "encoding_format": "base64"}, {"inputText": "A"}, ["user"]),
        ("amazon.titan-embed-text-v1", {"input": "A", "dimensions": 256}, {"inputText": "A"}, ["dimensions"]),
        (
            "amazon.titan-embed-image-v1",
            {"input": "A", "dimensions": 256},
            {"inputText": "A", "embeddingConfig": {"outputEmbeddingLength": 256}},
            [],
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            {"input": "A", "dimensions": 256},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "text": {"truncationMode": "END", "value": "A"},
                    "embeddingDimension": 256,
                },
            },
            [],
        ),
        (
            "us.cohere.embed-v4:0",
            {"input": ["A", "B"], "dimensions": 256, "input_type": "search_query"},
            {"texts": ["A", "B"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 256},
            [],
        ),
        (
            "cohere.embed-english-v3",
            {"input": "A", "dimensions": 256, "truncate": "END"},
            {"texts": ["A"], "input_type": "search_document", "truncate": "END", "embedding_types": ["float"]},
            ["dimensions"],
        ),
    ],
)
def test_embeddings_in_each_makers_words(model: str, request_: Json, body: Json, dropped: list[str]) -> None:
    wire = SIDE.embed({"model": "m", **request_}, model)
    assert wire.path == f"/model/{model.replace(':', '%3A')}/invoke"
    assert orjson.loads(wire.body) == body
    assert wire.dropped == dropped


@pytest.mark.parametrize(
    ("model", "given", "param"), [(TITAN, ["A", "B"], "input"), (TITAN, [1, 2], "input"), (TITAN, None, "input"), ("a.b", "A", "model")]
)
def test_embeddings_that_cannot_be_asked_for(model: str, given: Any, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.embed({"input": given}, model)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        ({"embedding": [0.5, -1], "inputTextTokenCount": 3}, 3),
        ({"embeddings": [[0.5, -1]], "response_type": "embeddings_floats"}, 0),
        ({"embeddings": {"float": [[0.5, -1]]}, "response_type": "embeddings_by_type"}, 0),
        ({"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5, -1]}]}, 0),
    ],
)
def test_vectors_are_read_from_each_makers_reply(reply: Json, tokens: int) -> None:
    progress = Progress()
    found = orjson.loads(SIDE.embedded({"input": "A"}, TITAN, orjson.dumps(reply), progress))
    assert found["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, -1]}]
    assert progress.usage.input_tokens == tokens
    assert progress.usage.reported == (tokens > 0)
    packed = orjson.loads(SIDE.embedded({"input": "A", "encoding_format": "base64"}, TITAN, orjson.dumps(reply), Progress()))
    assert struct.unpack("<2f", base64.b64decode(packed["data"][0]["embedding"])) == (0.5, -1)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"embedding": []}', b'{"embedding": ["a"]}', b'{"embeddings": [[1], [2]]}', b'{"embedding": [1e300]}']
)
def test_a_reply_without_a_vector_for_each_input_is_an_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.embedded({"input": "A", "encoding_format": "base64"}, TITAN, body, Progress())
    assert (caught.value.status, caught.value.code) == (502, "bad_reply")
