"""Recordings served over HTTP, read through the gateway by official SDKs: text, calls, finish reason and usage must be the
provider's own.

Each recording is a provider of its own in the gateway's configuration, so nothing can come from another one. The gateway's
request does not matter here (the server answers any with the recording), but its method and path do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.corpus import Recording, corpus, recordings
from tests.e2e.background import Background
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.hearing import Heard, hear_anthropic, hear_openai
from tests.e2e.truth import Truth, of
from tests.recorded_server import RecordedServer, identity

SERVED = {
    "openai/chat": ("openai", "/v1"),
    "anthropic/messages": ("anthropic", ""),
    "gemini/generate": ("gemini", ""),
    "mistral/chat": ("mistral", "/v1"),
    "groq/chat": ("groq", "/openai/v1"),
    "deepseek/chat": ("deepseek", ""),
    "openrouter/chat": ("openrouter", "/api/v1"),
    "together/chat": ("together", "/v1"),
    "ollama/chat": ("ollama", ""),
    "cerebras/chat": ("openai", "/v1"),
    "huggingface/chat": ("openai", "/together/v1"),
    "snowflake/chat": ("openai", "/api/v2/cortex/v1"),
    "zai/chat": ("openai", "/api/paas/v4"),
}
"""Folder of the corpus -> dialect, and the part of the recorded path that belongs to the provider's address."""

BYTEWISE_LIMIT = 3000  # longer bodies are not sent byte by byte: a write per byte takes its time
FINISH = {"stop": "end_turn", "eos": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def kind(recording: Recording) -> str:
    return f"{recording.file.parent.name}/{recording.raw['kind']}"


def below(recording: Recording) -> str:
    """The part of the path in front of the endpoint's own."""
    for endpoint in ("/chat/completions", "/completions", "/embeddings"):
        if recording.path.endswith(endpoint):
            return recording.path.removesuffix(endpoint)
    return SERVED[kind(recording)][1] if kind(recording) in SERVED else ""


def dialect(recording: Recording) -> str:
    if kind(recording) == "ollama/chat" and recording.path.startswith("/v1/"):
        return "openai"
    return SERVED[kind(recording)][0] if kind(recording) in SERVED else recording.file.parent.name


def split(recording: Recording) -> str:
    """Every recording is always cut in the same way; all three ways occur."""
    digest = hashlib.sha256(identity(recording).encode()).digest()[0]
    if len(recording.body) < BYTEWISE_LIMIT and digest % 3:
        return "bytes"
    return "events" if recording.streamed else "whole"


def readable(recording: Recording) -> bool:
    if recording.file.parent.name == "gemini" and not recording.path.startswith("/v1beta/"):
        return False
    if not recording.body.strip():  # the recorder missed it
        return False
    if recording.status != 200 or ("streamGenerateContent" in recording.path and "alt=sse" not in recording.path):
        return False
    return of(recording) is not None


CHOSEN = {identity(recording): recording for recording in recordings(*SERVED, where=readable)}
OTHERS = ("openai/embeddings", "openai/completions", "gemini/embeddings")
EVERY = [*CHOSEN.values(), *recordings(*SERVED, where=lambda recording: recording.status >= 400), *recordings(*OTHERS)]
picked = corpus(*SERVED, where=lambda recording: identity(recording) in CHOSEN)


@pytest.fixture(scope="module")
def served(background: Background) -> Iterator[RecordedServer]:
    server = RecordedServer(EVERY)
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture(scope="module")
def recorded_gateway(start_gateway: StartGateway, served: RecordedServer) -> Gateway:
    providers = {
        identity(recording): {
            "dialect": dialect(recording),
            "base_url": served.base_url(recording, below(recording), split(recording)),
            "api_key": "provider-key",
            "relay": False,
        }
        for recording in EVERY
    }
    chain = ["auth", "route", {"failover": {"attempts": 1, "retries": 0, "breaker": {"failures": 0}}}, "translate", "forward", "meter"]
    return start_gateway({"providers": providers, "chain": chain})


@pytest.fixture(scope="module")
def gpt(recorded_gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=recorded_gateway.url + "/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def claude(recorded_gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=recorded_gateway.url, api_key="unused", max_retries=0, timeout=20) as client:
        yield client


def model(recording: Recording) -> str:
    """Gemini's model stands in its path, where the server looks at it."""
    _, found, rest = recording.path.partition("/models/")
    return f"{identity(recording)}/{rest.partition(':')[0] if found else recording.request.get('model', 'm')}"


def check(heard: Heard, truth: Truth, finish: str | None) -> None:
    assert heard.text == truth.text
    assert heard.calls == truth.calls
    assert len(set(heard.call_ids)) == len(heard.calls)
    assert heard.finish[0] == finish
    if truth.read is not None:
        assert heard.usage == (truth.read, truth.written)


@picked
def test_the_openai_sdk_hears_what_the_provider_said(gpt: openai.OpenAI, served: RecordedServer, recording: Recording) -> None:
    truth = of(recording)
    assert truth is not None
    heard = hear_openai(gpt, _streams(recording), model=model(recording), messages=[{"role": "user", "content": "x"}])
    check(heard, truth, truth.finish)
    assert served.received[identity(recording)][-1].headers.get("authorization") != "Bearer unused"


@picked
def test_the_anthropic_sdk_hears_what_the_provider_said(claude: anthropic.Anthropic, recording: Recording) -> None:
    truth = of(recording)
    assert truth is not None
    if truth.choices > 1:
        pytest.skip("Anthropic's format has one choice")
    request: dict[str, Any] = {"model": model(recording), "max_tokens": 1000, "messages": [{"role": "user", "content": "x"}]}
    heard = hear_anthropic(claude, _streams(recording), **request)
    native = recording.file.parent.name == "anthropic"
    truth.text += truth.refusal
    check(heard, truth, heard.finish[0] if native else "refusal" if truth.refusal else FINISH[truth.finish or "stop"])
    if native:
        assert ANTHROPIC_NATIVE[str(heard.finish[0])] == truth.finish


ANTHROPIC_NATIVE = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "model_context_window_exceeded": "length",
}


@corpus(*SERVED, where=lambda recording: recording.status >= 400)
def test_a_recorded_error_is_the_right_exception_with_the_providers_words(
    gpt: openai.OpenAI, claude: anthropic.Anthropic, recording: Recording
) -> None:
    said = recording.raw["response"]["json"]["error"]
    message, key, _ = (said if isinstance(said, str) else said["message"]).partition(
        "sk-"
    )  # a key is never passed on, not even a wrong one
    with pytest.raises(openai.APIStatusError) as by_openai:
        hear_openai(gpt, False, model=model(recording), messages=[{"role": "user", "content": "x"}])
    assert by_openai.value.status_code == recording.status
    assert not key or key not in by_openai.value.response.text
    assert message in by_openai.value.message
    with pytest.raises(anthropic.APIStatusError) as by_anthropic:
        hear_anthropic(claude, False, model=model(recording), max_tokens=5, messages=[{"role": "user", "content": "x"}])
    assert by_anthropic.value.status_code == recording.status
    assert message in str(by_anthropic.value.body)


@corpus(*OTHERS, where=lambda recording: recording.status == 200 and recording.raw["kind"] == "embeddings")
def test_recorded_embeddings_are_the_providers_numbers(gpt: openai.OpenAI, recording: Recording) -> None:
    body = recording.raw["response"]["json"]
    said = [one["embedding"] for one in body["data"]] if "data" in body else [one["values"] for one in body["embeddings"]]
    vectors = [
        list(struct.unpack(f"<{len(base64.b64decode(one)) // 4}f", base64.b64decode(one))) if isinstance(one, str) else one for one in said
    ]
    form: Any = openai.omit if isinstance(said[0], str) or "data" not in body else "float"  # what was recorded is what is asked for
    heard = gpt.embeddings.create(model=model(recording), input=["x"] * len(said), encoding_format=form)
    assert [one.embedding for one in heard.data] == [pytest.approx(vector, abs=1e-6) for vector in vectors]
    if "usage" in body:
        assert heard.usage.prompt_tokens == body["usage"]["prompt_tokens"]


@corpus("openai/completions", where=lambda recording: recording.status == 200 and bool(recording.body.strip()))
def test_recorded_legacy_completions(gpt: openai.OpenAI, recording: Recording) -> None:
    lines = (
        [line[6:] for line in recording.body.decode().splitlines() if line.startswith("data: {")]
        if recording.streamed
        else [recording.body]
    )
    said = [choice for line in lines for choice in json.loads(line)["choices"] if choice["index"] == 0]
    reply: Any = gpt.completions.create(model=model(recording), prompt="x", stream=recording.streamed)
    heard = [choice for part in (reply if recording.streamed else [reply]) for choice in part.choices if choice.index == 0]
    assert "".join(choice.text for choice in heard) == "".join(choice["text"] for choice in said)
    assert [choice.finish_reason for choice in heard if choice.finish_reason] == [
        choice["finish_reason"] for choice in said if choice["finish_reason"]
    ]


def test_enough_recordings_were_chosen() -> None:
    if not CHOSEN:
        pytest.skip("no recordings")
    assert len(CHOSEN) >= 60
    assert {split(recording) for recording in CHOSEN.values()} == {"bytes", "events", "whole"}


def _streams(recording: Recording) -> bool:
    return recording.streamed
