"""The official SDKs through edgegate to llama.cpp's own server. The model's weights are random: what is checked is protocol, that
what comes through the gateway is what the server says, and that it is metered. Run by `make e2e-real`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.gateway import Gateway

URL = os.environ.get("EDGEGATE_LLAMA_URL", "")
pytestmark = pytest.mark.skipif(not URL, reason="no llama.cpp server: run `make e2e-real`")

MESSAGES: list[Any] = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "one two three"}]
FIXED: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "max_tokens": 24, "temperature": 0.0, "seed": 3}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = {"providers": {"local": {"dialect": "llamacpp", "base_url": URL, "models": ["tiny"]}}, "log": {"format": "json"}}
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), config).start()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def through(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)


@pytest.fixture
def direct() -> openai.OpenAI:
    return openai.OpenAI(base_url=URL, api_key="unused", max_retries=0)


def test_a_plain_answer_is_what_the_server_says_directly(through: openai.OpenAI, direct: openai.OpenAI) -> None:
    one = through.chat.completions.create(**FIXED)
    other = direct.chat.completions.create(**FIXED)
    assert one.choices[0].message.content == other.choices[0].message.content
    assert one.choices[0].message.content
    assert one.choices[0].finish_reason == other.choices[0].finish_reason
    assert one.usage == other.usage


def test_a_stream_adds_up_to_the_plain_answer(through: openai.OpenAI) -> None:
    whole = through.chat.completions.create(**FIXED)
    chunks = list(through.chat.completions.create(**FIXED, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [whole.choices[0].finish_reason]


def test_the_anthropic_sdk_is_served_by_the_same_model(gateway: Gateway, direct: openai.OpenAI) -> None:
    client = anthropic.Anthropic(base_url=gateway.url, api_key="unused", max_retries=0)
    # the SDK's newest types have no temperature, the API still takes it
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 24, "system": "You are terse.", "extra_body": {"temperature": 0.0}}
    message = client.messages.create(**asked, messages=[{"role": "user", "content": "one two three"}])
    expected = direct.chat.completions.create(**{key: value for key, value in FIXED.items() if key != "seed"})
    assert message.content[0].type == "text"
    assert message.content[0].text == expected.choices[0].message.content
    assert expected.usage is not None
    assert (message.usage.input_tokens, message.usage.output_tokens) == (expected.usage.prompt_tokens, expected.usage.completion_tokens)
    with client.messages.stream(**asked, messages=[{"role": "user", "content": "one two three"}]) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].type == "text"
    assert streamed.content[0].text == message.content[0].text
    assert streamed.stop_reason == message.stop_reason


def test_legacy_completions_are_served(through: openai.OpenAI, direct: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "one two", "max_tokens": 12, "temperature": 0.0, "seed": 3}
    assert through.completions.create(**asked).choices[0].text == direct.completions.create(**asked).choices[0].text


def test_a_prompt_beyond_the_context_is_the_servers_own_400(through: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        through.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "one two " * 2000}])
    assert "context" in str(caught.value)


def test_every_call_left_a_line_with_its_tokens(gateway: Gateway, through: openai.OpenAI) -> None:
    answer = through.chat.completions.create(**FIXED)
    assert answer.usage is not None
    assert gateway.stop() == 0  # the log is flushed at the end
    lines = [json.loads(line) for line in Path(gateway._out).read_text().splitlines() if line.startswith("{")]
    last = [line for line in lines if line["event"] == "request"][-1]
    assert (last["provider"], last["model"]) == ("local", "tiny")
    assert (last["input_tokens"], last["output_tokens"]) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert last["cost_usd"] is None  # no price is known for it, and unknown is not zero
