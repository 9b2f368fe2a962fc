"""Cohere's v2 format, read by its own SDK."""

from __future__ import annotations

import json
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError

from edgegate.simulate import Running

WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


@pytest.fixture(scope="module")
def client(simulator: Running) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="unused", base_url=simulator.url)


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_plain_and_stream_say_the_same(client: cohere.ClientV2) -> None:
    plain: Any = client.chat(model="command-a-03-2025", messages=user("Hello"))
    events: list[Any] = list(client.chat_stream(model="command-a-03-2025", messages=user("Hello")))
    assert plain.message.content[0].text.endswith("You said: Hello")
    text = "".join(event.delta.message.content.text for event in events if event.type == "content-delta")
    assert text == plain.message.content[0].text
    assert (events[0].type, events[-1].type) == ("message-start", "message-end")
    assert events[-1].delta.finish_reason == plain.finish_reason == "COMPLETE"
    assert events[-1].delta.usage == plain.usage
    assert (plain.usage.tokens.input_tokens, plain.usage.billed_units.input_tokens) == (4, 1)


def test_calls_are_streamed_behind_a_plan_and_answered(client: cohere.ClientV2) -> None:
    plain: Any = client.chat(model="command-a-03-2025", messages=user("get_weather"), tools=[WEATHER])
    events: list[Any] = list(client.chat_stream(model="command-a-03-2025", messages=user("get_weather"), tools=[WEATHER]))
    arguments = "".join(e.delta.message.tool_calls.function.arguments for e in events if e.type == "tool-call-delta")
    call = plain.message.tool_calls[0]
    assert json.loads(arguments) == json.loads(call.function.arguments) == {"city": "city"}
    assert "".join(e.delta.message.tool_plan for e in events if e.type == "tool-plan-delta") == plain.message.tool_plan
    assert plain.finish_reason == "TOOL_CALL"
    turn: Any = {"role": "assistant", "tool_plan": plain.message.tool_plan, "tool_calls": [call.model_dump()]}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": [{"type": "document", "document": {"data": "17 degrees"}}]}
    answered: Any = client.chat(model="command-a-03-2025", messages=[*user("get_weather"), turn, result], tools=[WEATHER])
    assert "17 degrees" in answered.message.content[0].text


def test_thinking_stands_before_the_text(client: cohere.ClientV2) -> None:
    plain: Any = client.chat(model="command-a-reasoning-08-2025", messages=user("Hello"))
    events: list[Any] = list(client.chat_stream(model="command-a-reasoning-08-2025", messages=user("Hello")))
    assert [block.type for block in plain.message.content] == ["thinking", "text"]
    thought = "".join(e.delta.message.content.thinking or "" for e in events if e.type == "content-delta")
    assert thought == plain.message.content[0].thinking


def test_schema_stop_and_limit(client: cohere.ClientV2) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    wanted: Any = {"type": "json_object", "json_schema": schema}
    made: Any = client.chat(model="command-r", messages=user("Who?"), response_format=wanted)
    assert json.loads(made.message.content[0].text) == {"age": 1}
    stopped: Any = client.chat(model="command-r", messages=user("repeat 20"), stop_sequences=["dolor"])
    assert stopped.finish_reason == "STOP_SEQUENCE"
    limited: Any = client.chat(model="command-r", messages=user("repeat 20"), max_tokens=3)
    assert (limited.finish_reason, limited.usage.tokens.output_tokens) == ("MAX_TOKENS", 3)


def test_embed_rerank_and_models(client: cohere.ClientV2, simulator: Running) -> None:
    made: Any = client.embed(model="embed-v4.0", texts=["one", "two"], input_type="search_document", embedding_types=["float", "int8"])
    assert [len(vector) for vector in made.embeddings.float_] == [1536, 1536]
    assert len(made.embeddings.int8[0]) == 1536
    ranked = client.rerank(model="rerank-v3.5", query="big red cats", documents=["blue dogs", "red cats"], top_n=1)
    assert [result.index for result in ranked.results] == [1]
    listed = cohere.ClientV2(api_key="unused", base_url=simulator.url + "/cohere").models.list()
    assert "command-a-03-2025" in [model.name for model in listed.models]


def test_errors_have_coheres_shape(client: cohere.ClientV2) -> None:
    options: Any = {"max_retries": 0}
    for status in (400, 401, 404, 429, 500):
        with pytest.raises(ApiError) as caught:
            client.chat(model=f"error-{status}", messages=user("x"), request_options=options)
        assert caught.value.status_code == status
        assert set(caught.value.body) == {"id", "message"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"max_completion_tokens": 5}, 422, "parameter 'max_completion_tokens' is not a valid field"),
        ({"top_p": 0.5}, 422, "parameter 'top_p' is not a valid field"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, 422, "messages[0].name"),
        ({"messages": [{"role": "developer", "content": "x"}]}, 400, "invalid role"),
        ({"messages": [{"role": "tool", "tool_call_id": "t", "content": "x"}]}, 400, "tool call id not found"),
        ({"tools": [WEATHER], "tool_choice": "auto"}, 400, "tool_choice"),
        ({"temperature": 1.5}, 400, "temperature"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, 400, "response_format.type"),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(http: httpx.Client, body: Any, status: int, says: str) -> None:
    reply = http.post("/v2/chat", json={"model": "command-r", "messages": user("x")} | body)
    assert reply.status_code == status
    assert says in reply.json()["message"]
