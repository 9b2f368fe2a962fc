"""OpenAI's format, read by its own SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from edgegate.simulate import Running

WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


@pytest.fixture(scope="module")
def client(simulator: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator.url + "/v1", api_key="unused", max_retries=0) as client:
        yield client


def user(text: Any) -> Any:
    return [{"role": "user", "content": text}]


def test_a_plain_answer(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=user("Hello"))
    reply = raw.parse()
    assert raw.headers["x-edgegate-simulated"] == "true"
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.choices[0].message.content or "").startswith("[simulated]")
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.completion_tokens == len((reply.choices[0].message.content or "").split())


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_has_the_text_of_the_plain_answer(client: openai.OpenAI, include_usage: bool) -> None:
    plain = client.chat.completions.create(model="gpt-4o", messages=user("Hello"))
    chunks = list(
        client.chat.completions.create(model="gpt-4o", messages=user("Hello"), stream=True, stream_options={"include_usage": include_usage})
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == plain.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert len({c.id for c in chunks}) == 1
    assert [c.usage.completion_tokens for c in chunks if c.usage] == (
        [plain.usage.completion_tokens] if include_usage and plain.usage else []
    )


def test_choices_differ_and_are_told_apart_in_a_stream(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=user("Hello"), n=2, stream=True))
    texts = ["".join(c.choices[0].delta.content or "" for c in chunks if c.choices and c.choices[0].index == i) for i in range(2)]
    assert texts[1] == texts[0] + " (choice 2)"


def test_a_streamed_call_adds_up(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=user("get_weather please"), tools=[WEATHER]) as stream:
        reply = stream.get_final_completion()
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [("get_weather", {"city": "city"})]
    assert reply.choices[0].finish_reason == "tool_calls"


def test_a_named_choice_finishes_with_stop(client: openai.OpenAI) -> None:
    choice: Any = {"type": "function", "function": {"name": "get_weather"}}
    reply = client.chat.completions.create(model="gpt-4o", messages=user("Hello"), tools=[WEATHER], tool_choice=choice)
    assert reply.choices[0].message.tool_calls
    assert reply.choices[0].finish_reason == "stop"


def test_a_json_schema_gets_an_instance(client: openai.OpenAI) -> None:
    schema: Any = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    reply = client.chat.completions.create(model="gpt-4o", messages=user("Who?"), response_format=wanted)
    assert json.loads(reply.choices[0].message.content or "") == {"name": "name", "age": 1}


def test_reasoning_shows_only_in_the_usage(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="gpt-5", messages=user("Hello"), reasoning_effort="low")
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert 0 < (reply.usage.completion_tokens_details.reasoning_tokens or 0) < reply.usage.completion_tokens


def test_legacy_completions(client: openai.OpenAI) -> None:
    plain = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="repeat 30", max_tokens=5)
    assert (plain.choices[0].text, plain.choices[0].finish_reason) == ("lorem ipsum dolor sit amet ", "length")
    chunks = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="repeat 30", max_tokens=5, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == plain.choices[0].text


def test_embeddings_in_base64_are_those_in_floats(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=64)
    floats = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=64, encoding_format="float")
    assert len(packed.data[0].embedding) == 64
    assert packed.data[1].embedding == pytest.approx(floats.data[1].embedding, abs=1e-6)


def test_models(client: openai.OpenAI) -> None:
    assert "gpt-4o" in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "tool", "tool_call_id": "c", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "cat.png"}}]}], "messages[0].content"),
        ([], "messages"),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(client: openai.OpenAI, messages: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=messages)
    assert caught.value.param == param


def test_calls_left_without_an_answer_are_refused(client: openai.OpenAI) -> None:
    call: Any = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    with pytest.raises(openai.BadRequestError, match="tool_call_id"):
        client.chat.completions.create(model="gpt-4o", messages=[*user("x"), {"role": "assistant", "tool_calls": [call]}, *user("y")])


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/chat/completions", {"model": "gpt-4o", "messages": user("x"), "top_k": 1}, "Unrecognized request argument supplied: top_k"),
        ("/v1/chat/completions", {"model": "gpt-5-mini", "messages": user("x"), "max_tokens": 1}, "Use 'max_completion_tokens' instead."),
        ("/v1/chat/completions", {"model": "o4-mini", "messages": user("x"), "max_tokens": 1}, "Use 'max_completion_tokens' instead."),
        ("/v1/chat/completions", {"model": "gpt-4o", "messages": user("x"), "stop": list("12345")}, "maximum length 4"),
        ("/v1/chat/completions", {"model": "m", "messages": user("x"), "tools": [{"name": "f", "input_schema": {}}]}, "tools[0].function"),
        ("/v1/completions", {"model": "m", "prompt": "x", "messages": []}, "Unrecognized request argument supplied: messages"),
        ("/v1/embeddings", {"model": "m", "input": "x", "input_type": "y"}, "Unrecognized request argument supplied: input_type"),
    ],
)
def test_what_the_api_does_not_have_is_refused(http: httpx.Client, path: str, body: Any, says: str) -> None:
    reply = http.post(path, json=body)
    assert reply.status_code == 400
    assert says in reply.json()["error"]["message"]


def test_tool_messages_follow_their_calls(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="gpt-4o", messages=user("get_weather"), tools=[WEATHER])
    turn: Any = reply.choices[0].message.to_dict()
    result: Any = {"role": "tool", "tool_call_id": turn["tool_calls"][0]["id"], "content": "17 degrees"}
    answered = client.chat.completions.create(model="gpt-4o", messages=[*user("get_weather"), turn, result], tools=[WEATHER])
    assert "17 degrees" in (answered.choices[0].message.content or "")
    with pytest.raises(openai.BadRequestError, match="preceeding message"):
        client.chat.completions.create(model="gpt-4o", messages=[*user("x"), result | {"tool_call_id": "other"}])
