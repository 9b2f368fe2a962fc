"""What a provider cannot carry is told in headers and in the log, or refused where nothing may be lost; and tokens are billed as
the provider billed them, whatever the client sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import cohere
import httpx
import httpx2
import ollama
import openai
import pytest
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors, types

from edgegate.simulate import Running
from edgegate.simulate.mind import count
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.journal import Wire, line_of, tokens_of
from tests.e2e.matrix.pairs import PROVIDERS

HELLO: Any = [{"role": "user", "content": "Hello"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(provider: str) -> str:
    return f"{provider}/{PROVIDERS[provider].model}"


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def gpt(every: Gateway, wire: Wire) -> openai.OpenAI:
    return openai.OpenAI(base_url=every.url + "/v1", api_key="unused", max_retries=0, http_client=wire.client(httpx2))


# -- losses

LOST = {
    "anthropic": {"seed", "logit_bias", "presence_penalty"},
    "gemini": {"logit_bias"},
    "vertex": {"logit_bias"},
    "bedrock": {"seed", "logit_bias", "presence_penalty"},
    "mistral": {"logit_bias"},
    "cohere": {"logit_bias"},
    "ollama": {"logit_bias"},
    "openai-responses": {"seed", "logit_bias", "presence_penalty"},
    "openai": set(),
}
ASKED: dict[str, Any] = {"seed": 7, "logit_bias": {"50256": -100}, "presence_penalty": 0.5}


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_is_lost_is_told_to_the_app_and_to_the_log(every: Gateway, gpt: openai.OpenAI, wire: Wire, name: str, stream: bool) -> None:
    reply = gpt.chat.completions.create(model=f"{name}/{PROVIDERS[name].model}", messages=HELLO, stream=stream, **ASKED)
    if stream:
        for _ in reply:
            pass
    assert wire.lost() == LOST[name]
    line = line_of(every, wire.headers)
    assert set(line.get("dropped", [])) == LOST[name]
    assert set(line.get("mapped", [])) == wire.mapped()


def test_what_is_written_another_way_is_told_too(every: Gateway, gpt: openai.OpenAI, wire: Wire) -> None:
    gpt.chat.completions.create(model="anthropic/claude-sonnet-4-5", messages=HELLO, response_format={"type": "json_object"})
    assert (wire.lost(), wire.mapped()) == (set(), {"response_format"})
    line = line_of(every, wire.headers)
    assert line["mapped"] == ["response_format"]
    assert "dropped" not in line


# -- strict


def refused(strict: Gateway, key: str, headers: dict[str, str], group: str = "") -> None:
    """Each client's SDK reads the refusal as an error of its own API, with the field's name in it."""
    wire = Wire()
    gpt = openai.OpenAI(base_url=strict.url + "/v1", api_key=key, max_retries=0, http_client=wire.client(httpx2), default_headers=headers)
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model=f"{group}ollama/llama3.2", messages=HELLO, logit_bias={"1": 1}, service_tier="flex")
    assert (caught.value.code, caught.value.type) == ("unsupported_fields", "invalid_request_error")
    assert caught.value.param in ("logit_bias", "service_tier")
    assert "logit_bias" in caught.value.message
    assert "service_tier" in caught.value.message
    line = line_of(strict, wire.headers)
    assert (line["status"], line["error"], line["error_source"]) == (400, "unsupported_fields", "client")
    assert set(line["dropped"]) == {"logit_bias", "service_tier"} == wire.lost()
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(model=f"{group}ollama/llama3.2", input="Hello", truncation="auto", store=False)
    assert "truncation" in caught.value.message
    claude = anthropic.Anthropic(base_url=strict.url, api_key=key, max_retries=0, default_headers=headers)
    with pytest.raises(anthropic.BadRequestError) as denied:
        claude.messages.create(model=f"{group}openai/gpt-4.1", max_tokens=100, messages=HELLO, extra_body={"top_k": 5})
    body: Any = denied.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert "top_k" in body["error"]["message"]
    google = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=strict.url, headers=headers))
    with pytest.raises(errors.ClientError) as told:
        google.models.generate_content(
            model=f"{group}anthropic/claude-sonnet-4-5", contents="Hello", config=types.GenerateContentConfig(seed=7)
        )
    assert (told.value.code, told.value.status) == (400, "INVALID_ARGUMENT")
    assert "seed" in (told.value.message or "")
    local = ollama.Client(host=strict.url, headers={"Authorization": f"Bearer {key}", **headers}, trust_env=False)
    with pytest.raises(ollama.ResponseError) as said:
        local.chat(f"{group}anthropic/claude-sonnet-4-5", messages=HELLO, options={"num_ctx": 1024})
    assert (said.value.status_code, "options" in said.value.error) == (400, True)
    sdk = cohere.ClientV2(api_key=key, base_url=strict.url, httpx_client=httpx.Client(headers=headers, trust_env=False), max_retries=0)
    with pytest.raises(ApiError) as heard:
        sdk.chat(model=f"{group}openai/gpt-4.1", messages=HELLO, safety_mode="STRICT")
    assert (heard.value.status_code, "safety_mode" in heard.value.body["message"]) == (400, True)


def providers_at(url: str, group: str = "", **more: str) -> dict[str, Any]:
    """Providers whose names begin with `group`."""
    return {
        f"{group}openai": {"dialect": "openai", "base_url": f"{url}/v1", "api_key": "sk-provider", **more},
        f"{group}anthropic": {"dialect": "anthropic", "base_url": url, "api_key": "sk-provider", **more},
        f"{group}ollama": {"dialect": "ollama", "base_url": url, **more},
        f"{group}gemini": {"dialect": "gemini", "base_url": url, "api_key": "provider-key", **more},
    }


@pytest.fixture(scope="module")
def strict(start_gateway: StartGateway, simulator: Running) -> Gateway:
    keys = [{"name": "usual", "key": "usual-key"}, {"name": "strict", "key": "strict-key", "strict": True}]
    groups = (
        providers_at(simulator.url)
        | providers_at(simulator.url, "firm-", loss="reject")
        | providers_at(simulator.url, "bare-", loss="drop")
    )
    return start_gateway({"providers": groups, "keys": keys})


def test_strict_by_header(strict: Gateway) -> None:
    refused(strict, "usual-key", {"x-edgegate-strict": "true"})


def test_strict_by_key(strict: Gateway) -> None:
    refused(strict, "strict-key", {})


def test_a_header_may_allow_losses_to_a_strict_key(strict: Gateway) -> None:
    gpt = openai.OpenAI(base_url=strict.url + "/v1", api_key="strict-key", max_retries=0)
    raw = gpt.chat.completions.with_raw_response.create(
        model="ollama/llama3.2", messages=HELLO, logit_bias={"1": 1}, extra_headers={"x-edgegate-strict": "false"}
    )
    assert raw.headers["x-edgegate-dropped"] == "logit_bias"


def test_without_strictness_the_same_request_is_answered(strict: Gateway) -> None:
    gpt = openai.OpenAI(base_url=strict.url + "/v1", api_key="usual-key", max_retries=0)
    raw = gpt.chat.completions.with_raw_response.create(model="ollama/llama3.2", messages=HELLO, logit_bias={"1": 1}, service_tier="flex")
    assert set(raw.headers["x-edgegate-dropped"].split(",")) == {"logit_bias", "service_tier"}


def test_strict_by_configuration(start_gateway: StartGateway, simulator: Running) -> None:
    chain = ["auth", "route", "failover", {"translate": {"strict": True}}, "forward", "meter"]
    refused(start_gateway({"providers": providers_at(simulator.url), "chain": chain}), "unused", {})


def test_strict_by_provider(strict: Gateway) -> None:
    refused(strict, "usual-key", {}, "firm-")


def test_a_strict_caller_is_served_what_can_be_carried(strict: Gateway) -> None:
    gpt = openai.OpenAI(base_url=strict.url + "/v1", api_key="strict-key", max_retries=0)
    for model in ("openai/gpt-4.1", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "ollama/llama3.2"):
        reply = gpt.chat.completions.create(model=model, messages=HELLO, temperature=0.5, max_completion_tokens=50, stop="x")
        assert (reply.choices[0].message.content or "").endswith("You said: Hello"), model


@pytest.mark.parametrize(
    ("group", "lost", "mapped"),
    [("", set(), {"response_format"}), ("bare-", {"response_format"}, set()), ("firm-", set(), {"response_format"})],
)
def test_whether_something_near_is_written_is_for_the_operator(strict: Gateway, group: str, lost: set[str], mapped: set[str]) -> None:
    """`loss`: map, drop and reject; what can be written another way is not lost."""
    wire = Wire()
    gpt = openai.OpenAI(base_url=strict.url + "/v1", api_key="usual-key", max_retries=0, http_client=wire.client(httpx2))
    gpt.chat.completions.create(model=f"{group}anthropic/claude-sonnet-4-5", messages=HELLO, response_format={"type": "json_object"})
    assert (wire.lost(), wire.mapped()) == (lost, mapped)


# -- usage


def billed(report: dict[str, Any], text: str) -> tuple[int, int]:
    """The tokens of a plain question without tools and pictures, by the simulator's rule (see `mind.py`): words, and three a message.
    The report itself tells which messages the provider got."""
    words = count(report["system"]) + sum(count(each) for each in report["texts"])
    return words + 3 * len(report["roles"]), count(text)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_log_has_the_tokens_that_the_provider_billed(
    every: Gateway, gpt: openai.OpenAI, wire: Wire, provider: str, model: str, stream: bool
) -> None:
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one two three"},
        {"role": "assistant", "content": "four"},
        {"role": "user", "content": "report"},
    ]
    if stream:
        chunks = list(gpt.chat.completions.create(model=model, messages=messages, stream=True, stream_options={"include_usage": True}))
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True], "usage once, at the end"
        usage = chunks[-1].usage
    else:
        reply = gpt.chat.completions.create(model=model, messages=messages)
        text, usage = reply.choices[0].message.content or "", reply.usage
    assert usage is not None
    expected = billed(json.loads(text), text)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (*expected, sum(expected))
    line = line_of(every, wire.headers)
    assert tokens_of(line) == expected
    assert (line["provider"], line["stream"], line["outcome"]) == (provider, stream, "ok")


@pytest.mark.parametrize("options", [None, {"include_usage": False}], ids=["not asked", "declined"])
def test_a_stream_without_usage_for_the_client_has_it_for_the_log(
    every: Gateway, gpt: openai.OpenAI, wire: Wire, model: str, options: Any
) -> None:
    more = {} if options is None else {"stream_options": options}
    chunks = list(gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": "repeat 9"}], stream=True, **more))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks if not (chunk.model_extra or {}).get("prompt_filter_results"))
    assert tokens_of(line_of(every, wire.headers)) == (5, 9)


def test_reasoning_is_part_of_the_output_tokens(every: Gateway, gpt: openai.OpenAI, wire: Wire, provider: str) -> None:
    model = f"{provider}/{PROVIDERS[provider].thinks}"
    reply = gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": "repeat 3"}], reasoning_effort="low")
    usage = reply.usage
    assert usage is not None
    line = line_of(every, wire.headers)
    assert (usage.prompt_tokens, usage.completion_tokens) == tokens_of(line)
    assert usage.completion_tokens > 3, "the thoughts were billed"
    details = usage.completion_tokens_details
    assert line["reasoning_tokens"] == ((details.reasoning_tokens or 0) if details is not None else 0)


SDKS: dict[str, Callable[[str, str, Wire], None]] = {
    "anthropic": lambda url, model, wire: _read(
        anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0, http_client=wire.client(httpx2)).messages.create(
            model=model, max_tokens=100, messages=[{"role": "user", "content": "repeat 9"}], stream=True
        )
    ),
    "responses": lambda url, model, wire: _read(
        openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0, http_client=wire.client(httpx2)).responses.create(
            model=model, input="repeat 9", stream=True, store=False
        )
    ),
    "gemini": lambda url, model, wire: _read(
        genai.Client(
            api_key="unused", http_options=types.HttpOptions(base_url=url, httpx_client=wire.client())
        ).models.generate_content_stream(model=model, contents="repeat 9")
    ),
    "ollama": lambda url, model, wire: _read(
        ollama.Client(host=url, trust_env=False, event_hooks={"response": [wire]}).chat(
            model, messages=[{"role": "user", "content": "repeat 9"}], stream=True
        )
    ),
    "cohere": lambda url, model, wire: _read(
        cohere.ClientV2(api_key="unused", base_url=url, httpx_client=wire.client(), max_retries=0).chat_stream(
            model=model, messages=[cohere.UserChatMessageV2(content="repeat 9")]
        )
    ),
}


def _read(events: Any) -> None:
    for _ in events:
        pass


@pytest.mark.parametrize("client", SDKS)
def test_every_clients_streams_are_billed(every: Gateway, client: str, provider: str, model: str) -> None:
    wire = Wire()
    if client == "gemini" and provider in ("gemini-3",):
        model = f"{provider}/gemini-2.5-flash"
    SDKS[client](every.url, model, wire)
    assert tokens_of(line_of(every, wire.headers)) == (5, 9)
