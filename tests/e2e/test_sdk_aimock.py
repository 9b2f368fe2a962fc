"""Against an emulator that others wrote: what an SDK hears through edgegate is what the emulator says when asked directly, in
each of four dialects. It guards against a simulator of ours that shares a misunderstanding with our translators.

Where aimock departs from the vendor (no counts and no length in Ollama's format, no Gemini batch embeddings), nothing is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.e2e import emulator
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.hearing import hear_anthropic, hear_openai
from tests.e2e.test_sdk_recordings import FINISH
from tests.e2e.truth import Truth, read

MODELS = {"openai": "gpt-4o", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash", "ollama": "llama3.2"}
PROMPTS = ["many scripts", "the weather", "the weather and the time", "say first, then call", "think about it", "too long"]
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
    for name in ("get_weather", "get_time")
]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulator.running(tmp_path_factory.mktemp("aimock")) as url:
        yield url


@pytest.fixture(scope="module")
def aimock_gateway(start_gateway: StartGateway, aimock: str) -> Gateway:
    providers = {
        "openai": {"base_url": f"{aimock}/v1", "api_key": "k"},
        "anthropic": {"base_url": aimock, "api_key": "k"},
        "gemini": {"base_url": aimock, "api_key": "k"},
        "ollama": {"base_url": aimock},
    }
    chain = ["auth", "route", {"failover": {"attempts": 1, "retries": 0, "breaker": {"failures": 0}}}, "translate", "forward", "meter"]
    return start_gateway({"providers": providers, "chain": chain})


@pytest.fixture(scope="module")
def gpt(aimock_gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=aimock_gateway.url + "/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(aimock_gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=aimock_gateway.url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def direct(aimock: str, dialect: str, prompt: str, stream: bool) -> Truth:
    """The emulator's own words, asked and read without edgegate."""
    model = MODELS[dialect]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    path, body = {
        "openai": (
            "/v1/chat/completions",
            {"model": model, "messages": user(prompt), "stream": stream, "stream_options": {"include_usage": True}},
        ),
        "anthropic": ("/v1/messages", {"model": model, "max_tokens": 999, "messages": user(prompt), "stream": stream}),
        "gemini": (f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
        "ollama": ("/api/chat", {"model": model, "messages": user(prompt), "stream": stream}),
    }[dialect]
    if not stream:
        body.pop("stream_options", None)
    reply = httpx.post(aimock + path, json=body, headers={"anthropic-version": "2023-06-01"}, trust_env=False)
    reply.raise_for_status()
    truth = read(dialect, reply.content, stream)
    assert truth is not None
    return truth


@pytest.mark.parametrize("dialect", MODELS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_openai_sdk_hears_what_aimock_says(gpt: openai.OpenAI, aimock: str, dialect: str, prompt: str, stream: bool) -> None:
    truth = direct(aimock, dialect, prompt, stream)
    heard = hear_openai(gpt, stream, model=f"{dialect}/{MODELS[dialect]}", messages=user(prompt), tools=TOOLS)
    assert (heard.text, heard.calls, heard.finish) == (truth.text, truth.calls, [truth.finish])
    assert heard.usage == (truth.read, truth.written)
    assert len(set(heard.call_ids)) == len(truth.calls)
    if prompt == "think about it" and dialect != "ollama":  # aimock has another name for it there than Ollama
        assert heard.reasoning == "First I consider the question. Then I consider the answer."


@pytest.mark.parametrize("dialect", MODELS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_anthropic_sdk_hears_what_aimock_says(
    claude: anthropic.Anthropic, aimock: str, dialect: str, prompt: str, stream: bool
) -> None:
    truth = direct(aimock, dialect, prompt, stream)
    heard = hear_anthropic(claude, stream, model=f"{dialect}/{MODELS[dialect]}", max_tokens=999, messages=user(prompt))
    assert (heard.text, heard.calls, heard.finish) == (truth.text, truth.calls, [FINISH[str(truth.finish)]])
    assert heard.usage == (truth.read, truth.written)


@pytest.mark.parametrize("dialect", MODELS)
def test_a_tool_result_and_a_system_message_reach_aimock(gpt: openai.OpenAI, dialect: str, stream: bool) -> None:
    model = f"{dialect}/{MODELS[dialect]}"
    heard = hear_openai(gpt, False, model=model, messages=user("the weather"), tools=TOOLS)
    call = {"id": heard.call_ids[0], "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    history = [
        *user("the weather"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": heard.call_ids[0], "content": "17"},
    ]
    assert hear_openai(gpt, stream, model=model, messages=history, tools=TOOLS).text == "It is 17 degrees in Oslo."
    persona = [{"role": "system", "content": "You are a pirate."}, *user("persona")]
    assert hear_openai(gpt, stream, model=model, messages=persona).text == "Arr!"


@pytest.mark.parametrize("dialect", MODELS)
@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (400, openai.BadRequestError, "That was not understood."),
        (429, openai.RateLimitError, "Slow down, please."),
        (500, openai.InternalServerError, "Something broke."),
    ],
)
def test_aimocks_errors_are_the_sdks_exceptions(
    gpt: openai.OpenAI, dialect: str, stream: bool, status: int, error: type[openai.APIStatusError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        hear_openai(gpt, stream, model=f"{dialect}/{MODELS[dialect]}", messages=user(f"refuse with {status}"))
    assert caught.value.status_code == status


def test_embeddings(gpt: openai.OpenAI) -> None:
    assert gpt.embeddings.create(model="openai/e", input="a known vector").data[0].embedding == pytest.approx([0.1, -0.2, 0.3, 0.4])
