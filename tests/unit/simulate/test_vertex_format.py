"""Vertex AI's paths for Gemini's format, read by Google's SDK in its Vertex mode; and the thought signatures that both vendors share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.auth.credentials import Credentials
from google.genai import errors, types

from edgegate.simulate import Running

WEATHER: Any = {"name": "get_weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}}
PATH = "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-flash"
TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[WEATHER])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


class Token(Credentials):
    """Credentials that need no server."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = "unused"

    def refresh(self, request: Any) -> None:
        pass


@pytest.fixture(scope="module")
def client(simulator: Running) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=simulator.url, api_version="v1beta1")
    client = genai.Client(vertexai=True, project="p", location="global", credentials=Token(), http_options=options)
    yield client
    client.close()


def test_plain_and_stream_say_the_same(client: genai.Client) -> None:
    plain = client.models.generate_content(model="gemini-2.5-flash", contents="Hello")
    chunks = list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="Hello"))
    assert (plain.text or "").endswith("You said: Hello")
    assert "".join(chunk.text or "" for chunk in chunks) == plain.text


def test_counting_and_embeddings(client: genai.Client, http: httpx.Client) -> None:
    assert client.models.count_tokens(model="gemini-2.5-flash", contents="one two").total_tokens == 5
    counted = http.post(f"{PATH}:countTokens", json={"contents": [{"role": "user", "parts": [{"text": "one two"}]}]}).json()
    assert counted["totalBillableCharacters"] == 6
    made = client.models.embed_content(model="text-embedding-005", contents=["one", "two"], config={"output_dimensionality": 32})
    assert [len(one.values or []) for one in made.embeddings or []] == [32, 32]


def test_generation_3_wants_its_signatures_back(client: genai.Client) -> None:
    asked = types.Content(role="user", parts=[types.Part(text="get_weather")])
    given = types.Content(role="user", parts=[types.Part.from_function_response(name="get_weather", response={"output": "17 degrees"})])
    reply: Any = client.models.generate_content(model="gemini-3-flash-preview", contents=asked, config=TOOLS)
    turn = reply.candidates[0].content

    def again(part: types.Part) -> str:
        step = types.Content(role="model", parts=[part])
        return client.models.generate_content(model="gemini-3-flash-preview", contents=[asked, step, given], config=TOOLS).text or ""

    signed = turn.parts[0]
    assert "The tool answered: 17 degrees" in again(signed)
    assert "17 degrees" in again(types.Part(function_call=signed.function_call, thought_signature=b"skip_thought_signature_validator"))
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        again(types.Part(function_call=signed.function_call))
    with pytest.raises(errors.ClientError, match="Corrupted thought signature"):
        again(types.Part(function_call=signed.function_call, thought_signature=signed.thought_signature[:-4] + b"abcd"))
    with pytest.raises(errors.ClientError, match="not valid"):
        again(types.Part(function_call=types.FunctionCall(name="get_weather", args={}), thought_signature=signed.thought_signature))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"max_tokens": 1}, 'Unknown name "max_tokens": Cannot find field.'),
        ({"contents": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}, "Unknown name \"type\" at 'contents[0].parts[0]'"),
        ({"generationConfig": {"max_tokens": 1}}, "Unknown name \"max_tokens\" at 'generation_config'"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "strict": True}]}]},
            "Unknown name \"strict\" at 'tools[0].function_declarations[0]'",
        ),
        ({"contents": [{"parts": [{"text": "x"}]}]}, "Please use a valid role: user, model."),
        ({"contents": [{"role": "function", "parts": [{"text": "x"}]}]}, "Please use a valid role: user, model."),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}]}, "function call turn comes immediately"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}}, "only one of"),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(http: httpx.Client, body: Any, says: str) -> None:
    reply = http.post(f"{PATH}:generateContent", json={"contents": [{"role": "user", "parts": [{"text": "x"}]}]} | body)
    assert reply.status_code == 400
    assert reply.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert says in reply.json()["error"]["message"]


def test_the_number_of_answers_is_that_of_the_calls(http: httpx.Client) -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    contents = [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "model", "parts": [call, call]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
    ]
    reply = http.post(f"{PATH}:generateContent", json={"contents": contents})
    assert "number of function response parts is equal" in reply.json()["error"]["message"]
