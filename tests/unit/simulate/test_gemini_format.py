"""Gemini's format, read by Google's own SDK, and its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from edgegate.simulate import Running

WEATHER: Any = {"name": "get_weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}}


@pytest.fixture(scope="module")
def client(simulator: Running) -> Iterator[genai.Client]:
    client = genai.Client(api_key="unused", http_options=types.HttpOptions(base_url=simulator.url, api_version="v1beta"))
    yield client
    client.close()


def test_plain_and_stream_say_the_same(client: genai.Client) -> None:
    plain = client.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello"))
    assert (plain.text or "").startswith("[simulated]")
    assert "".join(chunk.text or "" for chunk in chunks) == plain.text
    assert plain.usage_metadata is not None
    assert chunks[-1].usage_metadata == plain.usage_metadata
    assert plain.usage_metadata.candidates_token_count == len((plain.text or "").split())


def test_thoughts_are_parts_of_their_own(client: genai.Client) -> None:
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=100))
    reply = client.models.generate_content(model="gemini-2.5-flash", contents="Hello", config=config)
    assert reply.candidates is not None
    assert reply.candidates[0].content is not None
    assert [bool(part.thought) for part in reply.candidates[0].content.parts or []] == [True, False]
    assert reply.usage_metadata is not None
    assert reply.usage_metadata.thoughts_token_count


def test_a_call_and_its_answer(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[WEATHER])], automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
    )
    asked = types.Content(role="user", parts=[types.Part(text="use get_weather")])
    reply = client.models.generate_content(model="gemini-2.5-flash", contents=asked, config=config)
    calls = reply.function_calls
    assert calls is not None
    assert [(call.name, call.args) for call in calls] == [("get_weather", {"city": "city"})]
    assert reply.candidates is not None
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    given = types.Content(role="user", parts=[types.Part.from_function_response(name="get_weather", response={"result": "17 degrees"})])
    answered = client.models.generate_content(
        model="gemini-2.5-flash", contents=[asked, reply.candidates[0].content or asked, given], config=config
    )
    assert "17 degrees" in (answered.text or "")


def test_limit_schema_and_candidates(client: genai.Client) -> None:
    limited = client.models.generate_content(
        model="gemini-2.5-flash", contents="repeat 9", config={"max_output_tokens": 3, "candidate_count": 2}
    )
    assert limited.candidates is not None
    assert [candidate.finish_reason for candidate in limited.candidates] == [types.FinishReason.MAX_TOKENS] * 2
    schema = {"type": "OBJECT", "properties": {"age": {"type": "INTEGER"}}, "required": ["age"]}
    made = client.models.generate_content(
        model="gemini-2.5-flash", contents="x", config={"response_mime_type": "application/json", "response_schema": schema}
    )
    assert json.loads(made.text or "") == {"age": 1}


def test_embeddings_counting_and_models(client: genai.Client) -> None:
    reply = client.models.embed_content(model="gemini-embedding-001", contents=["one", "two"], config={"output_dimensionality": 32})
    assert [len(one.values or []) for one in reply.embeddings or []] == [32, 32]
    assert client.models.count_tokens(model="gemini-2.5-flash", contents="one two").total_tokens == 5
    assert "models/gemini-2.5-flash" in [model.name for model in client.models.list()]


def test_errors_have_googles_shape(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="gemini-2.5-flash-error-429-retry-after-7", contents="x")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert caught.value.details["error"]["details"][0]["retryDelay"] == "7s"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [{"role": "user", "parts": []}]}, "parts"),
        ({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}]}, "function call turn"),
        (
            {
                "contents": [
                    {"role": "user", "parts": [{"text": "x"}]},
                    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": "{}"}}]},
                ]
            },
            "args",
        ),
        (
            {
                "contents": [{"role": "user", "parts": [{"text": "x"}]}],
                "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "additionalProperties": False}}]}],
            },
            "additionalProperties",
        ),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(http: httpx.Client, body: Any, says: str) -> None:
    reply = http.post("/v1beta/models/gemini-2.5-flash:generateContent", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert says in reply.json()["error"]["message"]


def test_a_stream_is_sse_with_crlf_or_one_array(http: httpx.Client) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    url = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    events = http.post(url + "?alt=sse", json=body).content
    assert events.startswith(b"data: {")
    assert events.endswith(b"}\r\n\r\n")
    array = http.post(url, json=body)
    assert array.headers["content-type"] == "application/json; charset=UTF-8"
    assert len(array.json()) == events.count(b"data: ")
