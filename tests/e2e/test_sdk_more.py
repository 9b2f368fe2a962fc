"""Rerank with the cohere SDK, legacy completions, the Azure client of the openai SDK and the Vertex client of google-genai."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import httpx2
import openai
import pytest
from cohere.core.api_error import ApiError
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from edgegate.simulate.mind import embedding
from tests.e2e.background import Background
from tests.e2e.canned import Canned, CannedServer
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.journal import Wire, line_of, tokens_of
from tests.e2e.matrix.pairs import PROVIDERS

DOCUMENTS = ["Tea is grown in Assam.", "The capital of France is Paris.", "Paris, the capital"]
QUERY = "What is the capital of France?"


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(provider: str) -> str:
    return f"{provider}/{PROVIDERS[provider].model}"


# -- rerank

SCORED = [{"index": 1, "relevance_score": 0.9}, {"index": 2, "relevance_score": 0.7}, {"index": 0, "relevance_score": 0.1}]
TOLD = [{**item, "document": {"text": DOCUMENTS[int(item["index"])]}} for item in SCORED]
RERANKERS: dict[str, Any] = {
    "voyage": {"object": "list", "data": SCORED, "model": "rerank-2.5", "usage": {"total_tokens": 38}},
    "jina": {"model": "jina-reranker-v2", "object": "list", "usage": {"total_tokens": 38}, "results": TOLD},
    "together": {
        "object": "rerank",
        "id": "ogG-1",
        "model": "Salesforce/Llama-Rank-V1",
        "results": TOLD,
        "usage": {"prompt_tokens": 38, "completion_tokens": 0, "total_tokens": 38},
    },
    "vllm": {"id": "rerank-1", "model": "BAAI/bge-reranker-v2-m3", "usage": {"total_tokens": 38}, "results": TOLD},
}


@pytest.fixture(scope="module")
def rankers(background: Background) -> Iterator[CannedServer]:
    """The OpenAI-shaped providers that rerank: their replies as their documentation has them."""
    server = CannedServer({f"POST /{name}/v1/rerank": Canned(reply) for name, reply in RERANKERS.items()})
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture(scope="module")
def ranking(start_gateway: StartGateway, rankers: CannedServer) -> Gateway:
    return start_gateway({"providers": {name: {"base_url": f"{rankers.url}/{name}/v1", "api_key": f"key-of-{name}"} for name in RERANKERS}})


def coral(gateway: Gateway, wire: Wire) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="unused", base_url=gateway.url, httpx_client=wire.client(), max_retries=0)


def test_cohere_reranks(every: Gateway, wire: Wire) -> None:
    reply = coral(every, wire).rerank(model="cohere/rerank-v3.5", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [item.index for item in reply.results] == [1, 2]
    assert reply.results[0].relevance_score > reply.results[1].relevance_score > 0
    assert reply.meta is not None
    assert reply.meta.billed_units is not None
    assert reply.meta.billed_units.search_units == 1
    line = line_of(every, wire.headers)
    assert (line["operation"], line["provider"], line["model"]) == ("rerank", "cohere", "rerank-v3.5")


@pytest.mark.parametrize("name", RERANKERS)
def test_other_rerankers_answer_a_cohere_client(ranking: Gateway, rankers: CannedServer, wire: Wire, name: str) -> None:
    reply = coral(ranking, wire).rerank(model=f"{name}/some-reranker", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [(item.index, item.relevance_score) for item in reply.results] == [(1, 0.9), (2, 0.7)]
    asked = rankers.last.json
    assert (asked["model"], asked["query"], asked["documents"]) == ("some-reranker", QUERY, DOCUMENTS)
    assert asked["top_k" if name == "voyage" else "top_n"] == 2
    assert ("top_n" in asked) != (name == "voyage")
    assert rankers.last.headers["authorization"] == f"Bearer key-of-{name}"
    assert tokens_of(line_of(ranking, wire.headers)) == (38, 0)


def test_a_reranker_that_gives_all_documents_is_cut_to_what_was_asked_for(ranking: Gateway, wire: Wire) -> None:
    """The server above ignores `top_n`, as some do."""
    assert len(coral(ranking, wire).rerank(model="vllm/x", query=QUERY, documents=DOCUMENTS).results) == 3
    assert len(coral(ranking, wire).rerank(model="vllm/x", query=QUERY, documents=DOCUMENTS, top_n=1).results) == 1


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_the_paths_of_others_tell_what_their_clients_read(ranking: Gateway, path: str) -> None:
    asked = {"model": "voyage/rerank-2.5", "query": QUERY, "documents": DOCUMENTS, "top_k": 1, "return_documents": True}
    reply = httpx.post(ranking.url + path, json=asked, trust_env=False).json()
    (best,) = reply["data"]
    assert (best["index"], best["relevance_score"]) == (1, 0.9)
    assert reply["results"] == reply["data"]
    assert reply["usage"] == {"total_tokens": 38}
    assert best["document"] == {"text": DOCUMENTS[1]}


def test_what_voyage_cannot_say_is_named(ranking: Gateway, wire: Wire) -> None:
    coral(ranking, wire).rerank(model="voyage/rerank-2.5", query=QUERY, documents=DOCUMENTS, max_tokens_per_doc=100)
    assert wire.lost() == {"max_tokens_per_doc"}


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "mistral", "ollama"])
def test_who_does_not_rerank_says_so(every: Gateway, wire: Wire, name: str) -> None:
    with pytest.raises(ApiError) as caught:
        coral(every, wire).rerank(model=f"{name}/x", query=QUERY, documents=DOCUMENTS)
    assert caught.value.status_code == 400
    assert "has no rerank" in caught.value.body["message"]


# -- legacy completions


@pytest.fixture(scope="module")
def gpt(every: Gateway, wire: Wire) -> openai.OpenAI:
    return openai.OpenAI(base_url=every.url + "/v1", api_key="unused", max_retries=0, http_client=wire.client(httpx2))


def test_completions(every: Gateway, gpt: openai.OpenAI, wire: Wire, model: str) -> None:
    reply = gpt.completions.create(model=model, prompt="repeat 12", max_tokens=100)
    (choice,) = reply.choices
    assert (len(choice.text.split()), choice.finish_reason, choice.index) == (12, "stop", 0)
    assert reply.object == "text_completion"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == tokens_of(line_of(every, wire.headers))
    assert reply.usage.completion_tokens == 12


def test_completions_streamed(every: Gateway, gpt: openai.OpenAI, wire: Wire, model: str) -> None:
    chunks = list(
        gpt.completions.create(model=model, prompt="repeat 12", max_tokens=100, stream=True, stream_options={"include_usage": True})
    )
    assert len("".join(choice.text for chunk in chunks for choice in chunk.choices).split()) == 12
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12
    assert tokens_of(line_of(every, wire.headers)) == (chunks[-1].usage.prompt_tokens, 12)


def test_completions_that_are_cut(gpt: openai.OpenAI, model: str) -> None:
    reply = gpt.completions.create(model=model, prompt="repeat 50", max_tokens=20)
    assert (len(reply.choices[0].text.split()), reply.choices[0].finish_reason) == (20, "length")


@pytest.mark.parametrize(("field", "given"), [("prompt", ["one", "two"]), ("prompt", [1, 2, 3]), ("suffix", "}")])
def test_completions_that_no_chat_can_be_are_refused_by_name(gpt: openai.OpenAI, field: str, given: Any) -> None:
    for model in ("anthropic/claude-sonnet-4-5", "ollama/llama3.2", "openai-responses/gpt-5-mini"):
        with pytest.raises(openai.BadRequestError) as caught:
            gpt.completions.create(**{"model": model, "prompt": "Hello", field: given})
        assert (caught.value.param or "").startswith(field)
    if given == ["one", "two"]:
        native = gpt.completions.create(model="openai/gpt-3.5-turbo-instruct", prompt=given)
        assert [choice.index for choice in native.choices] == [0, 1], "who has the endpoint takes it"


# -- Azure's client


@pytest.fixture(scope="module")
def azure(every: Gateway, wire: Wire) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(
        azure_endpoint=every.url, api_key="unused", api_version="2025-04-01-preview", max_retries=0, http_client=wire.client(httpx2)
    )


def test_azure_client_chats_with_every_provider(azure: openai.AzureOpenAI, model: str, wire: Wire) -> None:
    reply = azure.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    assert (reply.choices[0].message.content or "").endswith("You said: Hello")
    assert wire.headers["x-edgegate-provider"] == model.partition("/")[0]
    text = ""
    for chunk in azure.chat.completions.create(model=model, messages=[{"role": "user", "content": "repeat 5"}], stream=True):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == "lorem ipsum dolor sit amet"


def test_azure_client_embeds_and_completes(azure: openai.AzureOpenAI) -> None:
    made = azure.embeddings.create(model="ollama/nomic-embed-text", input="Hello", encoding_format="float")
    assert made.data[0].embedding == embedding("Hello", 768)
    assert len(azure.completions.create(model="anthropic/claude-sonnet-4-5", prompt="repeat 5").choices[0].text.split()) == 5


def test_azure_client_asks_for_responses(azure: openai.AzureOpenAI, model: str, wire: Wire) -> None:
    assert azure.responses.create(model=model, input="Hello", store=False).output_text.endswith("You said: Hello")
    assert wire.headers["x-edgegate-provider"] == model.partition("/")[0]


def test_azure_client_whose_deployment_is_part_of_its_address(every: Gateway) -> None:
    sdk = openai.AzureOpenAI(
        azure_endpoint=every.url,
        azure_deployment="gemini/gemini-2.5-flash",
        api_key="unused",
        api_version="2025-04-01-preview",
        max_retries=0,
    )
    reply = sdk.chat.completions.create(model="ignored", messages=[{"role": "user", "content": "Hello"}])
    assert (reply.choices[0].message.content or "").endswith("You said: Hello")


def test_azure_client_reads_errors(azure: openai.AzureOpenAI, provider: str) -> None:
    with pytest.raises(openai.RateLimitError):
        azure.chat.completions.create(model=f"{provider}/error-429", messages=[{"role": "user", "content": "Hello"}])


def test_azure_deployments_have_their_own_names(start_gateway: StartGateway, background: Background) -> None:
    chat = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4.1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    }
    server = CannedServer({"POST /openai/deployments/prod-41/chat/completions": Canned(chat)})
    background.run(server.start())
    options = {"base_url": server.url, "api_key": "azure-key", "api_version": "2025-04-01-preview", "deployments": {"gpt-4.1": "prod-41"}}
    gateway = start_gateway({"providers": {"azure": options}})
    sdk = openai.AzureOpenAI(azure_endpoint=gateway.url, api_key="unused", api_version="2024-10-21", max_retries=0)
    assert sdk.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content == "Hi"
    assert server.last.path == "/openai/deployments/prod-41/chat/completions?api-version=2025-04-01-preview"
    assert server.last.headers["api-key"] == "azure-key"
    background.run(server.stop())


# -- Vertex' client


def test_vertex_client_asks_every_provider(every: Gateway, model: str, wire: Wire) -> None:
    """Its paths hold a project, and the provider in the publisher's place."""
    sdk = genai.Client(
        vertexai=True,
        project="my-project",
        location="us-central1",
        credentials=Credentials(token="unused"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=every.url, httpx_client=wire.client()),
    )
    assert (sdk.models.generate_content(model=model, contents="Hello").text or "").endswith("You said: Hello")
    assert wire.headers["x-edgegate-provider"] == model.partition("/")[0]
    chunks = list(sdk.models.generate_content_stream(model=model, contents="repeat 5"))
    assert "".join(chunk.text or "" for chunk in chunks) == "lorem ipsum dolor sit amet"
    assert (sdk.models.count_tokens(model=model, contents="one two three").total_tokens or 0) > 5
