"""Embeddings through Mistral."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Progress
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.errors import GatewayError

SIDE = MistralProvider()
REPLY = {
    "id": "e",
    "object": "list",
    "model": "mistral-embed",
    "data": [{"object": "embedding", "embedding": [0.5, -2.0], "index": 1}, {"object": "embedding", "embedding": [1.0, 0.25], "index": 0}],
    "usage": {"prompt_tokens": 6, "total_tokens": 6, "completion_tokens": 0},
}


def test_dimensions_become_output_dimension_and_the_rest_is_named() -> None:
    request = SIDE.embed({"model": "x", "input": ["a"], "dimensions": 64, "encoding_format": "base64", "user": "u"}, "mistral-embed")
    assert orjson.loads(request.body) == {"model": "mistral-embed", "input": ["a"], "output_dimension": 64}
    assert request.dropped == ["user"]
    assert request.path == "/embeddings"


@pytest.mark.parametrize("value", [[1, 2], [[1, 2], [3]], [], None, 5, ["a", 1], {}])
def test_an_input_that_is_no_text_is_a_400(value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.embed({"input": value}, "m")
    assert (caught.value.status, caught.value.param) == (400, "input")


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    progress = Progress()
    reply = orjson.loads(SIDE.embedded({"input": ["a", "b"]}, "m", orjson.dumps(REPLY), progress))
    assert [entry["embedding"] for entry in reply["data"]] == [[1.0, 0.25], [0.5, -2.0]]
    assert [entry["index"] for entry in reply["data"]] == [0, 1]
    assert reply["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert (progress.usage.input_tokens, progress.model, progress.finished) == (6, "mistral-embed", True)


def test_base64_is_little_endian_float32() -> None:
    reply = orjson.loads(SIDE.embedded({"input": ["a", "b"], "encoding_format": "base64"}, "m", orjson.dumps(REPLY), Progress()))
    assert struct.unpack("<2f", base64.b64decode(reply["data"][1]["embedding"])) == (0.5, -2.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data":[]}',
        b'{"data":[{"embedding":[1]}]}',
        b'{"data":[{"embedding":[]},{"embedding":[1]}]}',
        b'{"data":[{"embedding":["a"]},{"embedding":[1]}]}',
        b'{"data":5}',
        b'{"data":[{"embedding":[1e300]},{"embedding":[1]}]}',
    ],
)
def test_a_reply_without_one_vector_for_each_input_is_an_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.embedded({"input": ["a", "b"], "encoding_format": "base64"}, "m", body, Progress())
    assert (caught.value.status, caught.value.code) == (502, "bad_reply")
