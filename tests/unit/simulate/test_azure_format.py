"""Azure OpenAI's format, read by OpenAI's SDK for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from edgegate.simulate import Running

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def client(simulator: Running) -> Iterator[openai.AzureOpenAI]:
    with openai.AzureOpenAI(azure_endpoint=simulator.url, api_key="unused", api_version="2024-10-21", max_retries=0) as client:
        yield client


def test_plain_and_stream_say_the_same(client: openai.AzureOpenAI) -> None:
    plain = client.chat.completions.create(model="my-deployment", messages=HELLO)
    chunks: list[Any] = list(client.chat.completions.create(model="my-deployment", messages=HELLO, stream=True))
    assert plain.choices[0].message.content == "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert plain.to_dict()["prompt_filter_results"]
    assert plain.choices[0].to_dict()["content_filter_results"]
    first = chunks[0]
    assert (first.id, first.choices, first.object, first.model) == ("", [], "", "")
    assert first.prompt_filter_results[0]["prompt_index"] == 0
    assert chunks[1].id.startswith("chatcmpl-")


def test_embeddings(client: openai.AzureOpenAI) -> None:
    assert len(client.embeddings.create(model="my-embeddings", input="one").data[0].embedding) == 1536


def test_the_newer_surface_needs_no_version(simulator: Running) -> None:
    with openai.OpenAI(base_url=simulator.url + "/openai/v1", api_key="unused", max_retries=0) as client:
        assert client.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].message.content
        assert client.responses.create(model="gpt-5", input="Hello").output_text.endswith("Hello")
        assert list(client.responses.create(model="error-in-stream", input="Hello", stream=True))[-1].type == "error"


def test_errors_have_azures_shape(client: openai.AzureOpenAI, http: httpx.Client) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="error-404", messages=HELLO)
    assert missing.value.code == "DeploymentNotFound"
    with pytest.raises(openai.AuthenticationError) as unknown:
        client.chat.completions.create(model="error-401", messages=HELLO)
    assert unknown.value.body == {"code": "401", "message": unknown.value.body["message"]}  # type: ignore[index]
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="error-429-retry-after-3", messages=HELLO)
    assert limited.value.response.headers["retry-after"] == "3"
    assert limited.value.response.headers["retry-after-ms"] == "3000"
    path = "/openai/deployments/d/chat/completions"
    assert http.post(path + "?api-version=1", json={"messages": HELLO}).status_code == 401
    assert http.post(path, json={"messages": HELLO}, headers={"api-key": "k"}).status_code == 404
