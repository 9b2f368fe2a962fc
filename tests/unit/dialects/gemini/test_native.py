"""What goes by untouched: which formats, along which paths, and what is noted of the replies."""

from __future__ import annotations

from typing import Any

import pytest

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.gemini import BatchEmbedClient, CountTokensClient, EmbedClient, GeminiProvider, GenerateClient, StreamClient
from edgegate.dialects.gemini.models import Model, page
from edgegate.errors import GatewayError
from edgegate.taps import Outcome

PROVIDER = GeminiProvider()


def test_formats_whose_bodies_name_no_model_are_native() -> None:
    assert set(PROVIDER.native) == {client.format for client in (GenerateClient(), StreamClient(), CountTokensClient())}
    assert all(path.startswith("/v1beta/models/{model}:") for path in PROVIDER.native.values())


def test_embeddings_name_the_targets_model_whatever_the_client_called_it() -> None:
    request: dict[str, Any] = {"requests": [{"model": "models/alias", "content": {"parts": [{"text": "a"}]}}]}
    assert b'"models/real"' in PROVIDER.embed(BatchEmbedClient().neutral(request), "real").body
    one: dict[str, Any] = {"model": "models/alias", "content": {"parts": {"text": "a"}}}
    wire = PROVIDER.embed(EmbedClient().neutral(one), "real")
    assert (wire.path, wire.body) == ("/v1beta/models/real:embedContent", b'{"content":{"parts":[{"text":"a"}]}}')


@pytest.mark.parametrize(
    ("format", "body", "tokens"),
    [
        ("gemini.count", b'{"totalTokens":12,"promptTokensDetails":[]}', 0),
        ("gemini.embed", b'{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":3}}', 3),
        ("gemini.batch_embed", b'{"embeddings":[{"values":[1]}]}', 0),
        ("gemini.stream", b'[{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3}}]', 3),
    ],
)
def test_plain_replies_are_noted(format: str, body: bytes, tokens: int) -> None:
    progress = Progress()
    PROVIDER.glance(format, body, progress)
    assert (progress.finished, progress.usage.input_tokens) == (True, tokens)
    for bad in (b"", b"[]", b'{"error":{"code":404,"message":"m"}}', b'{"odd":1}'):
        with pytest.raises(GatewayError):
            PROVIDER.glance(format, bad, Progress())


def test_only_answers_are_watched() -> None:
    ask = Ask({}, "m", True, "x", 1)
    for format in ("gemini.generate", "gemini.stream"):
        tap = PROVIDER.watch(format, ask, Progress())
        event = b'data: {"candidates":[{"finishReason":"STOP"}]}\r\n\r\n'
        assert tap.feed(event) + tap.end(Outcome.OK) == event
    with pytest.raises(ValueError, match=r"openai\.chat"):
        PROVIDER.watch("openai.chat", ask, Progress())
    with pytest.raises(ValueError, match=r"openai\.chat"):
        PROVIDER.glance("openai.chat", b"{}", Progress())


@pytest.mark.parametrize(("option", "value"), [("page_size", "x"), ("page_size", "-1"), ("page_token", "gone")])
def test_pages_that_do_not_exist_are_refused(option: str, value: str) -> None:
    with pytest.raises(GatewayError) as error:
        page([Model("a")], **{option: value})
    assert (error.value.status, error.value.param) == (400, option)
