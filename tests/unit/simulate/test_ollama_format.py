"""Ollama's format, read by its own SDK."""

from __future__ import annotations

import json
from typing import Any

import httpx
import ollama
import pytest

from edgegate.simulate import Running

WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


@pytest.fixture(scope="module")
def client(simulator: Running) -> ollama.Client:
    return ollama.Client(host=simulator.url)


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_plain_and_stream_say_the_same(client: ollama.Client) -> None:
    plain = client.chat(model="llama3.2", messages=user("Hello"))
    lines = list(client.chat(model="llama3.2", messages=user("Hello"), stream=True))
    assert (plain.message.content or "").startswith("[simulated]")
    assert "".join(line.message.content or "" for line in lines) == plain.message.content
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1].eval_count, lines[-1].done_reason) == (plain.eval_count, "stop")


def test_thinking(client: ollama.Client) -> None:
    plain = client.chat(model="qwen3", messages=user("Hello"), think=True)
    lines = list(client.chat(model="qwen3", messages=user("Hello"), think=True, stream=True))
    assert plain.message.thinking
    assert "".join(line.message.thinking or "" for line in lines) == plain.message.thinking


def test_calls_have_arguments_as_objects_and_their_results_get_a_text(client: ollama.Client) -> None:
    lines = list(client.chat(model="llama3.2", messages=user("get_weather"), tools=[WEATHER], stream=True))
    calls = [call for line in lines for call in line.message.tool_calls or []]
    assert [(call.function.name, call.function.arguments) for call in calls] == [("get_weather", {"city": "city"})]
    history = [*user("get_weather"), lines[0].message, {"role": "tool", "content": "17 degrees", "tool_name": "get_weather"}]
    assert "17 degrees" in (client.chat(model="llama3.2", messages=history, tools=[WEATHER]).message.content or "")


def test_limit_stop_and_schema(client: ollama.Client) -> None:
    reply = client.chat(model="llama3.2", messages=user("repeat 20"), options={"num_predict": 4})
    assert (reply.done_reason, reply.eval_count) == ("length", 4)
    reply = client.chat(model="llama3.2", messages=user("repeat 20"), options={"stop": ["dolor"]})
    assert reply.message.content == "lorem ipsum "
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    assert json.loads(client.chat(model="llama3.2", messages=user("x"), format=schema).message.content or "") == {"ok": True}


def test_generate_embed_tags_and_show(client: ollama.Client) -> None:
    assert client.generate(model="llama3.2", prompt="repeat 3").response == "lorem ipsum dolor"
    assert "".join(one.response or "" for one in client.generate(model="llama3.2", prompt="repeat 3", stream=True)) == "lorem ipsum dolor"
    assert [len(one) for one in client.embed(model="nomic-embed-text", input=["a", "b"]).embeddings] == [768, 768]
    assert "llama3.2:latest" in [model.model for model in client.list().models]
    assert client.show("llama3.2").capabilities == ["completion", "tools"]


def test_stream_left_out_means_a_stream(http: httpx.Client) -> None:
    reply = http.post("/api/chat", json={"model": "llama3.2", "messages": user("Hello")})
    assert reply.headers["content-type"] == "application/x-ndjson"


def test_errors_are_a_string(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'error-404' not found"):
        client.chat(model="error-404", messages=user("x"))
    with pytest.raises(ollama.ResponseError, match="cannot unmarshal"):
        client._request_raw(  # type: ignore[no-untyped-call]
            "POST", "/api/chat", json={"model": "llama3.2", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}
        )


def test_separators_of_lines_are_escaped_as_go_does_it(simulator: Running) -> None:
    text = "one\u2028two\u2029three"
    reply = httpx.post(f"{simulator.url}/api/chat", json={"model": "llama3.2", "messages": user(text)})
    assert rb"\u2028" in reply.content
    assert "\u2028" not in reply.text
    assert "\u2029" not in reply.text
    told = "".join(json.loads(line)["message"]["content"] for line in reply.text.splitlines())
    assert text in told
