"""The listing of models, read by the SDK."""

from __future__ import annotations

import httpx2 as httpx
import openai
import orjson

from edgegate.dialects.openai.models import Listed, model, models_list


def test_the_sdk_reads_the_listing_and_one_model() -> None:
    listed = [Listed("gpt-4o", "openai", 5), Listed("groq/llama", "groq")]

    def answer(request: httpx.Request) -> httpx.Response:
        body = models_list(listed) if request.url.path.endswith("/models") else model(listed[0])
        return httpx.Response(200, headers={"content-type": "application/json"}, content=body)

    sdk = openai.OpenAI(api_key="k", base_url="http://t.invalid/v1", http_client=httpx.Client(transport=httpx.MockTransport(answer)))
    assert [(found.id, found.owned_by, found.created) for found in sdk.models.list()] == [
        ("gpt-4o", "openai", 5),
        ("groq/llama", "groq", 0),
    ]
    assert sdk.models.retrieve("gpt-4o").object == "model"


def test_an_empty_listing_is_a_list() -> None:
    assert orjson.loads(models_list([])) == {"object": "list", "data": []}
