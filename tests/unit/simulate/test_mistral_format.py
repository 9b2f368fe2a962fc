"""Mistral's format, read by its own SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

from edgegate.simulate import Running

WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


@pytest.fixture(scope="module")
def client(simulator: Running) -> Iterator[Mistral]:
    with Mistral(api_key="unused", server_url=simulator.url + "/mistral") as client:
        yield client


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_plain_and_stream_say_the_same(client: Mistral) -> None:
    plain: Any = client.chat.complete(model="mistral-small-latest", messages=user("Hello"))
    chunks: list[Any] = [event.data for event in client.chat.stream(model="mistral-small-latest", messages=user("Hello"))]
    assert plain.choices[0].message.content.endswith("You said: Hello")
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == plain.choices[0].message.content
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [plain.usage.total_tokens]
    assert chunks[-1].choices[0].finish_reason == plain.choices[0].finish_reason == "stop"


def test_magistral_thinks_in_chunks(client: Mistral) -> None:
    plain: Any = client.chat.complete(model="magistral-medium-latest", messages=user("Hello"))
    assert [chunk.type for chunk in plain.choices[0].message.content] == ["thinking", "text"]
    chunks: list[Any] = [event.data for event in client.chat.stream(model="magistral-medium-latest", messages=user("Hello"))]
    lists = [chunk.choices[0].delta.content for chunk in chunks if isinstance(chunk.choices[0].delta.content, list)]
    assert lists[0][0].type == "thinking"
    turn = plain.choices[0].message.model_dump(exclude_none=True, by_alias=True)
    assert client.chat.complete(model="magistral-medium-latest", messages=[*user("Hello"), turn, *user("And?")])


def test_calls_have_ids_of_nine_characters_and_come_whole(client: Mistral) -> None:
    plain: Any = client.chat.complete(model="mistral-small-latest", messages=user("get_weather"), tools=[WEATHER])
    call = plain.choices[0].message.tool_calls[0]
    assert len(call.id) == 9
    assert json.loads(call.function.arguments) == {"city": "city"}
    chunks: list[Any] = [
        event.data for event in client.chat.stream(model="mistral-small-latest", messages=user("get_weather"), tools=[WEATHER])
    ]
    assert json.loads(chunks[-1].choices[0].delta.tool_calls[0].function.arguments) == {"city": "city"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    turn: Any = {"role": "assistant", "tool_calls": [call.model_dump()]}
    result: Any = {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": "17 degrees"}
    answered: Any = client.chat.complete(model="mistral-small-latest", messages=[*user("get_weather"), turn, result], tools=[WEATHER])
    assert "17 degrees" in answered.choices[0].message.content


def test_embeddings_and_models(client: Mistral) -> None:
    made = client.embeddings.create(model="mistral-embed", inputs=["one", "two"])
    assert [len(one.embedding or []) for one in made.data] == [1024, 1024]
    listed: list[Any] = list(client.models.list().data or [])
    assert "mistral-small-latest" in [model.id for model in listed]


def test_errors_have_mistrals_shapes(client: Mistral) -> None:
    for status, says in ((401, "Unauthorized"), (404, "invalid_model"), (429, "rate_limited"), (500, "internal_server_error")):
        with pytest.raises(SDKError) as caught:
            client.chat.complete(model=f"error-{status}", messages=user("x"))
        assert (caught.value.status_code, says in caught.value.body) == (status, True)


FOREIGN = {"role": "assistant", "tool_calls": [{"id": "call_0123456789", "function": {"name": "f", "arguments": "{}"}}]}
OWN = {"role": "assistant", "tool_calls": [{"id": "abcdefgh1", "function": {"name": "f", "arguments": "{}"}}]}
RESULT = {"role": "tool", "tool_call_id": "abcdefgh1", "name": "f", "content": "x"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"seed": 5}, 422, '"loc":["body","seed"]'),
        ({"max_completion_tokens": 5}, 422, "Extra inputs are not permitted"),
        ({"messages": [{"role": "developer", "content": "x"}]}, 422, "does not match any of the expected tags"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, 422, '"messages","0","user","name"'),
        ({"messages": [*user("x"), FOREIGN, *user("y")]}, 400, "but must be a-z, A-Z, 0-9, with a length of 9."),
        ({"messages": [*user("x"), OWN, *user("y")]}, 400, "Not the same number of function calls and responses"),
        ({"messages": [*user("x"), OWN, RESULT, *user("y")]}, 400, "Unexpected role 'user' after role 'tool'"),
        ({"messages": [*user("x"), {"role": "assistant", "content": "y"}]}, 400, "Expected last role User or Tool"),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(http: httpx.Client, body: Any, status: int, says: str) -> None:
    reply = http.post("/mistral/v1/chat/completions", json={"model": "mistral-small-latest", "messages": user("x")} | body)
    assert reply.status_code == status
    assert says in reply.text
