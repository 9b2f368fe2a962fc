"""Hugging Face's router, read by OpenAI's SDK, as its documentation does."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from edgegate.simulate import Running

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("place", ["/huggingface/v1", "/huggingface/together/v1"])
def test_the_router_and_a_provider_behind_it_answer(simulator: Running, place: str) -> None:
    with openai.OpenAI(base_url=simulator.url + place, api_key="unused", max_retries=0) as client:
        plain = client.chat.completions.create(model="meta-llama/Llama-3.3-70B-Instruct", messages=HELLO, extra_body={"unknown": 1})
        chunks = client.chat.completions.create(model="meta-llama/Llama-3.3-70B-Instruct", messages=HELLO, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == plain.choices[0].message.content
        with pytest.raises(openai.AuthenticationError) as unknown:
            client.chat.completions.create(model="error-401", messages=HELLO)
        assert unknown.value.response.json() == {"error": "Invalid username or password."}
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="error-404", messages=HELLO)
        assert missing.value.code == "model_not_found"
