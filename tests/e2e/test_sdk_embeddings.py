"""Embeddings: the SDKs that can ask for them, over every provider that makes them. What the provider sent is what the app gets."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from typing import Any

import cohere
import httpx
import httpx2
import ollama
import openai
import pytest
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors, types

from edgegate.simulate.mind import count, embedding
from tests.e2e.gateway import Gateway
from tests.e2e.journal import Wire, line_of

TEXTS = ["The river rises in the hills.", "Grüße aus Köln", "tea"]


@dataclass(frozen=True)
class Maker:
    """A model that embeds. size: of its vectors where none is asked for; sizes: whether another may be asked for; several: whether
    it takes more than one text at a time; counts: whether its replies say the tokens (Cohere's on Bedrock do in a header)."""

    size: int
    sizes: bool = True
    several: bool = True
    counts: bool = True


MAKERS = {
    "openai/text-embedding-3-small": Maker(1536),
    "openai-responses/text-embedding-3-small": Maker(1536),
    "azure/text-embedding-3-small": Maker(1536),
    "azure-v1/text-embedding-3-small": Maker(1536),
    "gemini/gemini-embedding-001": Maker(3072),
    "vertex/text-embedding-005": Maker(768),
    "vertex/gemini-embedding-001": Maker(3072, several=False, counts=False),
    "bedrock/amazon.titan-embed-text-v2:0": Maker(1024, several=False),
    "bedrock/cohere.embed-english-v3": Maker(1024, sizes=False, counts=False),
    "mistral/mistral-embed": Maker(1024),
    "cohere/embed-v4.0": Maker(1536),
    "ollama/nomic-embed-text": Maker(768),
}
MAKERLESS = ("anthropic/claude-sonnet-4-5", "huggingface/meta-llama/Llama-3.3-70B-Instruct")


@pytest.fixture(params=MAKERS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def maker(model: str) -> Maker:
    return MAKERS[model]


@pytest.fixture
def texts(maker: Maker) -> list[str]:
    return TEXTS if maker.several else TEXTS[:1]


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def gpt(every: Gateway, wire: Wire) -> openai.OpenAI:
    return openai.OpenAI(base_url=every.url + "/v1", api_key="unused", max_retries=0, http_client=wire.client(httpx2))


@pytest.fixture(scope="module")
def google(every: Gateway, wire: Wire) -> genai.Client:
    return genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=every.url, httpx_client=wire.client()))


@pytest.fixture(scope="module")
def llama(every: Gateway, wire: Wire) -> ollama.Client:
    return ollama.Client(host=every.url, timeout=20, trust_env=False, event_hooks={"response": [wire]})


@pytest.fixture(scope="module")
def coral(every: Gateway, wire: Wire) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="unused", base_url=every.url, httpx_client=wire.client(), max_retries=0)


def sent(texts: list[str], size: int) -> list[list[float]]:
    """What the simulated providers answer."""
    return [embedding(text, size) for text in texts]


def single(vectors: list[list[float]]) -> list[list[float]]:
    """The same in 32 bits, as base64 carries them."""
    return [list(struct.unpack(f"{len(vector)}f", struct.pack(f"{len(vector)}f", *vector))) for vector in vectors]


def tokens(texts: list[str]) -> int:
    return sum(map(count, texts))


# -- OpenAI


def test_openai_floats(every: Gateway, gpt: openai.OpenAI, wire: Wire, model: str, maker: Maker, texts: list[str]) -> None:
    reply = gpt.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [item.index for item in reply.data] == list(range(len(texts)))
    assert [item.embedding for item in reply.data] == sent(texts, maker.size)
    assert reply.object == "list"
    if maker.counts:
        assert reply.usage.prompt_tokens == reply.usage.total_tokens == tokens(texts)
    line = line_of(every, wire.headers)
    assert (line["operation"], line["usage"]) == ("embeddings", "reported" if maker.counts else "estimated")
    if maker.counts:
        assert line["input_tokens"] == tokens(texts)
    else:  # by the length of the request, which is never too little
        assert tokens(texts) <= line["input_tokens"] <= len(json.dumps(wire.asked)) // 2


def test_openai_base64_which_the_sdk_asks_for_by_itself(gpt: openai.OpenAI, wire: Wire, model: str, maker: Maker, texts: list[str]) -> None:
    reply = gpt.embeddings.create(model=model, input=texts)
    assert wire.asked["encoding_format"] == "base64"
    assert [item.embedding for item in reply.data] == single(sent(texts, maker.size))
    raw = gpt.embeddings.with_raw_response.create(model=model, input=texts[0], encoding_format="base64")
    packed = raw.http_response.json()["data"][0]["embedding"]
    assert list(struct.unpack(f"<{maker.size}f", base64.b64decode(packed))) == single(sent(texts[:1], maker.size))[0]


def test_openai_dimensions(gpt: openai.OpenAI, wire: Wire, model: str, maker: Maker) -> None:
    reply = gpt.embeddings.create(model=model, input=TEXTS[0], dimensions=512, encoding_format="float")
    assert [item.embedding for item in reply.data] == sent(TEXTS[:1], 512 if maker.sizes else maker.size)
    assert wire.lost() == (set() if maker.sizes else {"dimensions"})


def test_one_text_a_request_is_said_where_it_is_so(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.embeddings.create(model="bedrock/amazon.titan-embed-text-v2:0", input=TEXTS)
    assert caught.value.param == "input"
    assert "one text" in caught.value.message


@pytest.mark.parametrize(
    "model", ["gemini/gemini-embedding-001", "bedrock/amazon.titan-embed-text-v2:0", "cohere/embed-v4.0", "ollama/nomic-embed-text"]
)
def test_token_ids_are_refused_where_the_model_has_other_tokens(gpt: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.embeddings.create(model=model, input=[1, 2, 3])
    assert (caught.value.param or "").startswith("input")
    assert caught.value.response.headers["x-edgegate-error-source"] == "client"


def test_token_ids_go_to_openai(gpt: openai.OpenAI) -> None:
    reply = gpt.embeddings.create(model="openai/text-embedding-3-small", input=[[1, 2, 3], [4]], encoding_format="float")
    assert [item.embedding for item in reply.data] == sent(["1 2 3", "4"], 1536)


@pytest.mark.parametrize("model", MAKERLESS)
def test_providers_without_embeddings_say_so(
    gpt: openai.OpenAI, google: genai.Client, llama: ollama.Client, coral: cohere.ClientV2, model: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.embeddings.create(model=model, input="Hello")
    assert (caught.value.code, caught.value.param) == ("unsupported_operation", "model")
    with pytest.raises(errors.ClientError) as refused:
        google.models.embed_content(model=model, contents="Hello")
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    with pytest.raises(ollama.ResponseError) as local:
        llama.embed(model, "Hello")
    assert local.value.status_code == 400
    with pytest.raises(ApiError) as told:
        coral.embed(model=model, texts=["Hello"], input_type="search_query", embedding_types=["float"])
    assert told.value.status_code == 400
    for said in (str(refused.value), local.value.error, told.value.body["message"]):
        assert "no embeddings" in said


def test_a_field_that_a_provider_does_not_know_is_named(gpt: openai.OpenAI, wire: Wire) -> None:
    gpt.embeddings.create(model="gemini/gemini-embedding-001", input="Hello", user="ada")
    assert wire.lost() == {"user"}


# -- Gemini


def test_gemini(google: genai.Client, model: str, maker: Maker, texts: list[str]) -> None:
    one = google.models.embed_content(model=model, contents=TEXTS[0])
    assert values(one) == sent(TEXTS[:1], maker.size)
    if maker.several:
        several = google.models.embed_content(model=model, contents=list(texts))
        assert values(several) == sent(texts, maker.size)


def test_gemini_dimensions(google: genai.Client, wire: Wire, model: str, maker: Maker, texts: list[str]) -> None:
    config = types.EmbedContentConfig(output_dimensionality=256)
    reply = google.models.embed_content(model=model, contents=list(texts), config=config)
    assert values(reply) == sent(texts, 256 if maker.sizes else maker.size)
    assert wire.lost() == (set() if maker.sizes else {"dimensions"})


def test_gemini_task_types_stay_with_google_and_are_named_elsewhere(google: genai.Client, wire: Wire) -> None:
    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY")
    for model, lost in (
        ("gemini/gemini-embedding-001", set()),
        ("vertex/text-embedding-005", set()),
        ("ollama/nomic-embed-text", {"taskType"}),
    ):
        google.models.embed_content(model=model, contents=["a", "b"], config=config)
        assert wire.lost() == lost, model


def values(reply: types.EmbedContentResponse) -> list[Any]:
    return [item.values for item in reply.embeddings or []]


# -- Ollama


def test_ollama_embed(llama: ollama.Client, model: str, maker: Maker, texts: list[str]) -> None:
    reply = llama.embed(model, texts)
    assert reply.embeddings == sent(texts, maker.size)
    if maker.counts:
        assert reply.prompt_eval_count == tokens(texts)
    assert llama.embed(model, TEXTS[2]).embeddings == sent(TEXTS[2:], maker.size)


def test_ollama_dimensions(llama: ollama.Client, model: str, maker: Maker) -> None:
    assert llama.embed(model, TEXTS[0], dimensions=256).embeddings == sent(TEXTS[:1], 256 if maker.sizes else maker.size)


def test_ollama_older_embeddings(llama: ollama.Client, model: str, maker: Maker) -> None:
    assert llama.embeddings(model, TEXTS[0]).embedding == sent(TEXTS[:1], maker.size)[0]


# -- Cohere


def test_cohere(coral: cohere.ClientV2, model: str, maker: Maker, texts: list[str]) -> None:
    reply = coral.embed(model=model, texts=texts, input_type="search_document", embedding_types=["float"])
    assert reply.embeddings.float_ == sent(texts, maker.size)
    assert reply.texts == texts
    if maker.counts:
        assert reply.meta is not None
        assert reply.meta.billed_units is not None
        assert reply.meta.billed_units.input_tokens == tokens(texts)


def test_cohere_base64_and_dimensions(coral: cohere.ClientV2, model: str, maker: Maker) -> None:
    size = 512 if maker.sizes else maker.size
    reply = coral.embed(model=model, texts=TEXTS[:1], input_type="search_query", embedding_types=["float", "base64"], output_dimension=512)
    vectors = sent(TEXTS[:1], size)
    assert reply.embeddings.float_ == vectors
    packed = [struct.pack(f"<{size}f", *vector) for vector in vectors]
    assert [base64.b64decode(text) for text in reply.embeddings.base64 or []] == packed


def test_cohere_input_types_are_named_where_they_mean_nothing(coral: cohere.ClientV2, wire: Wire) -> None:
    coral.embed(model="openai/text-embedding-3-small", texts=["a"], input_type="search_query", embedding_types=["float"])
    assert wire.lost() == {"input_type"}


def test_pictures_are_refused_by_name_where_only_text_is_embedded(google: genai.Client, coral: cohere.ClientV2) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    for model in ("openai/text-embedding-3-small", "azure/text-embedding-3-small", "mistral/mistral-embed", "ollama/nomic-embed-text"):
        with pytest.raises(ApiError) as caught:
            coral.embed(model=model, images=[picture], input_type="image", embedding_types=["float"])
        assert caught.value.status_code == 400, model
        part = types.Part.from_bytes(data=b"png", mime_type="image/png")
        with pytest.raises(errors.ClientError) as refused:
            google.models.embed_content(model=model, contents=[types.Content(parts=[part])])
        assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
        assert "input" in str(refused.value), model


def test_quantised_vectors_are_coheres_own(coral: cohere.ClientV2) -> None:
    reply = coral.embed(model="cohere/embed-v4.0", texts=["a b"], input_type="search_query", embedding_types=["int8"])
    (vector,) = reply.embeddings.int8 or []
    assert [value for value in vector if value] == [round(127 * value) for value in embedding("a b", 1536) if round(127 * value)]
    with pytest.raises(ApiError) as caught:
        coral.embed(model="mistral/mistral-embed", texts=["a b"], input_type="search_query", embedding_types=["int8"])
    assert caught.value.status_code == 400
    assert "int8" in caught.value.body["message"]


def test_the_path_without_v1_is_the_same(every: Gateway) -> None:
    asked = {"model": "mistral/mistral-embed", "input": "Hello"}
    reply = httpx.post(every.url + "/embeddings", json=asked, trust_env=False)
    assert reply.json()["data"][0]["embedding"] == sent(["Hello"], 1024)[0]
