"""Embeddings, both ways."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Progress
from edgegate.dialects.gemini import GeminiProvider
from edgegate.errors import GatewayError

PROVIDER = GeminiProvider()


def test_one_input_is_one_embed_content() -> None:
    wire = PROVIDER.embed({"model": "x", "input": "a", "dimensions": 8, "encoding_format": "base64", "user": "u"}, "gemini-embedding-001")
    assert wire.path == "/v1beta/models/gemini-embedding-001:embedContent"
    assert orjson.loads(wire.body) == {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8}
    assert wire.dropped == ["user"]


def test_a_list_is_a_batch_even_of_one() -> None:
    wire = PROVIDER.embed({"input": ["a"], "dimensions": 8}, "models/e")
    assert wire.path == "/v1beta/models/e:batchEmbedContents"
    assert orjson.loads(wire.body) == {
        "requests": [{"model": "models/e", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8}]
    }


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": [1, 2]}, "input[0]"),
        ({"input": ["a", [1]]}, "input[1]"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_what_gemini_cannot_embed_is_refused_by_name(request_: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as error:
        PROVIDER.embed(request_, "e")
    assert (error.value.status, error.value.param) == (400, param)


def test_model_cannot_change_the_path() -> None:
    with pytest.raises(GatewayError):
        PROVIDER.embed({"input": "a"}, "../x")


def test_vectors_come_as_numbers_or_packed() -> None:
    progress = Progress()
    body = b'{"embeddings":[{"values":[0.5,-1]},{"values":[0.25,2]}],"usageMetadata":{"promptTokenCount":9}}'
    found = orjson.loads(PROVIDER.embedded({"input": ["a", "b"]}, "e", body, progress))
    assert found == {
        "object": "list",
        "model": "e",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1]}, {"object": "embedding", "index": 1, "embedding": [0.25, 2]}],
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }
    assert (progress.usage.input_tokens, progress.usage.reported, progress.finished) == (9, True, True)
    packed = orjson.loads(PROVIDER.embedded({"input": ["a", "b"], "encoding_format": "base64"}, "e", body, Progress()))
    assert struct.unpack("<2f", base64.b64decode(packed["data"][1]["embedding"])) == (0.25, 2.0)


def test_one_embedding_without_usage() -> None:
    progress = Progress()
    found = orjson.loads(PROVIDER.embedded({"input": "a"}, "e", b'{"embedding":{"values":[1]}}', progress))
    assert found["data"][0]["embedding"] == [1]
    assert not progress.usage.reported


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"embeddings":[]}',
        b'{"embeddings":[{"values":[]}]}',
        b'{"embeddings":[{}]}',
        b'{"embeddings":[{"values":["a"]}]}',
        b'{"embedding":3}',
    ],
)
def test_a_reply_without_the_vectors_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(GatewayError) as error:
        PROVIDER.embedded({"input": "a", "encoding_format": "base64"}, "e", body, Progress())
    assert (error.value.status, error.value.code) == (502, "bad_reply")


def test_an_error_in_a_200_is_raised() -> None:
    with pytest.raises(GatewayError) as error:
        PROVIDER.embedded({"input": "a"}, "e", b'{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}', Progress())
    assert error.value.status == 503
