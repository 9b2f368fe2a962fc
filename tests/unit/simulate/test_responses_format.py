"""OpenAI's Responses API, read by its own SDK."""

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
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    "strict": True,
}
REASON: Any = {"effort": "low", "summary": "auto"}


@pytest.fixture(scope="module")
def client(simulator: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator.url + "/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_a_plain_answer(client: openai.OpenAI) -> None:
    reply = client.responses.create(model="gpt-5", input="Hello", instructions="Be kind.")
    assert reply.output_text.endswith("You said: Hello")
    assert reply.status == "completed"
    assert reply.usage is not None
    assert reply.usage.input_tokens == 1 + 2 + 3
    assert reply.usage.output_tokens == len(reply.output_text.split())
    assert client.responses.retrieve(reply.id).output_text == reply.output_text


def test_a_stream_numbers_its_events_and_ends_with_the_plain_answer(client: openai.OpenAI) -> None:
    asked: Any = {"model": "gpt-5", "input": "Hello", "reasoning": REASON}
    plain: Any = client.responses.create(**asked)
    events: list[Any] = list(client.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert events[-1].type == "response.completed"
    assert [item.to_dict() for item in events[-1].response.output][1]["content"] == plain.to_dict()["output"][1]["content"]
    summary = "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    assert summary == plain.output[0].summary[0].text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == plain.output_text


def test_the_sdk_puts_a_streamed_call_together(client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-5", input="get_weather please", tools=[WEATHER]) as stream:
        final: Any = stream.get_final_response()
    call = final.output[0]
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "city"})


def test_reasoning_and_calls_come_back_in_the_next_request(client: openai.OpenAI) -> None:
    asked: Any = {
        "model": "gpt-5",
        "tools": [WEATHER],
        "store": False,
        "reasoning": REASON,
        "include": ["reasoning.encrypted_content"],
    }
    first: Any = client.responses.create(input="get_weather", **asked)
    reasoning, call = [item.to_dict() for item in first.output]
    result: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": "17 degrees"}
    question: Any = {"role": "user", "content": "get_weather"}
    assert "17 degrees" in client.responses.create(input=[question, reasoning, call, result], **asked).output_text

    altered = reasoning | {"encrypted_content": reasoning["encrypted_content"][:-12] + "AAAAAAAAAAA="}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(input=[question, altered, call, result], **asked)
    assert caught.value.code == "invalid_encrypted_content"


def test_a_response_continues_an_earlier_one(client: openai.OpenAI) -> None:
    first: Any = client.responses.create(model="gpt-4o", input="get_weather", tools=[WEATHER])
    result: Any = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "17 degrees"}
    second = client.responses.create(model="gpt-4o", input=[result], tools=[WEATHER], previous_response_id=first.id)
    assert "17 degrees" in second.output_text
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="gpt-4o", input="x", previous_response_id="resp_unknown")
    assert caught.value.code == "previous_response_not_found"


def test_web_search_leaves_a_citation(client: openai.OpenAI) -> None:
    events: list[Any] = list(client.responses.create(model="gpt-5", input="search it", tools=[{"type": "web_search"}], stream=True))
    assert "response.web_search_call.searching" in [event.type for event in events]
    search, message = events[-1].response.output
    assert search.type == "web_search_call"
    assert message.content[0].annotations[0].type == "url_citation"


def test_schema_and_limit(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"], "additionalProperties": False}
    text: Any = {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    assert json.loads(client.responses.create(model="gpt-5", input="Who?", text=text).output_text) == {"age": 1}
    limited: Any = list(client.responses.create(model="gpt-5", input="repeat 90", max_output_tokens=16, stream=True))[-1]
    assert limited.type == "response.incomplete"
    assert limited.response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"max_tokens": 5}, "Unknown parameter: 'max_tokens'."),
        ({"messages": []}, "Unknown parameter: 'messages'."),
        ({"input": [{"role": "user", "content": "x", "name": "y"}]}, "Unknown parameter: 'input[0].name'."),
        ({"input": [{"role": "tool", "content": "x"}]}, "Invalid value: 'tool'"),
        ({"input": [{"role": "user", "content": [{"type": "text_url"}]}]}, "Invalid value: 'text_url'"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "No tool call found"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "No tool output found"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "Unknown parameter: 'tools[0].function'."),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(http: httpx.Client, body: Any, says: str) -> None:
    reply = http.post("/v1/responses", json={"model": "gpt-5", "input": "x"} | body)
    assert reply.status_code == 400
    assert says in reply.json()["error"]["message"]


def test_a_reasoning_item_wants_its_company(client: openai.OpenAI) -> None:
    first: Any = client.responses.create(model="gpt-5", input="get_weather", tools=[WEATHER], reasoning=REASON)
    reasoning, call = [item.to_dict() for item in first.output]
    result: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": "x"}
    question: Any = {"role": "user", "content": "x"}
    with pytest.raises(openai.BadRequestError, match="without its required following item"):
        client.responses.create(model="gpt-5", input=[reasoning, question])
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning' item"):
        client.responses.create(model="gpt-5", input=[call, result])
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt-5", input=[reasoning | {"id": "rs_unknown"}, call, result])
