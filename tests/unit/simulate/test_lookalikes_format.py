"""Vendors that resemble OpenAI, read by OpenAI's SDK and as JSON."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import orjson
import pytest

from edgegate.simulate import Running
from tests.unit.simulate.ask import post

BASES = {"groq": "/openai/v1", "deepseek": "/v1", "together": "/v1", "openrouter": "/api/v1"}


@pytest.mark.parametrize("vendor", list(BASES))
def test_the_sdk_reads_them(simulator: Running, vendor: str) -> None:
    hello: Any = [{"role": "user", "content": "Hello"}]
    with openai.OpenAI(base_url=f"{simulator.url}/{vendor}{BASES[vendor]}", api_key="unused", max_retries=0) as client:
        plain = client.chat.completions.create(model="some-thinker", messages=hello)
        chunks: list[Any] = list(client.chat.completions.create(model="some-thinker", messages=hello, stream=True))
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == plain.choices[0].message.content
        name = "reasoning_content" if vendor == "deepseek" else "reasoning"
        assert "".join(getattr(delta, name, None) or "" for delta in deltas) == getattr(plain.choices[0].message, name)


@pytest.mark.parametrize("vendor", list(BASES))
def test_each_says_its_usage_in_its_place(http: httpx.Client, vendor: str) -> None:
    reply = post(http, vendor, "m", stream=True)
    chunks = [orjson.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    last = chunks[-1]
    assert last["choices"] == [] if vendor == "openrouter" else last["choices"][0]["finish_reason"] == "stop"
    usage = last["x_groq"]["usage"] if vendor == "groq" else last["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert ("usage" in last) is (vendor != "groq")
