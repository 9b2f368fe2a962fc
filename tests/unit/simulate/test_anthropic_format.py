"""Anthropic's format, read by its own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from edgegate.simulate import Running
from edgegate.simulate.seal import seal

WEATHER: Any = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
NOTHING: Any = {"name": "do_nothing", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def client(simulator: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=simulator.url, api_key="unused", max_retries=0) as client:
        yield client


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_a_plain_answer(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=user("Hello"))
    assert reply.content[0].type == "text"
    assert reply.content[0].text.startswith("[simulated]")
    assert (reply.stop_reason, reply.usage.output_tokens) == ("end_turn", len(reply.content[0].text.split()))


def test_a_stream_adds_up_to_the_plain_answer(client: anthropic.Anthropic) -> None:
    plain = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=user("Hello"))
    with client.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=user("Hello")) as stream:
        names = [event.type for event in stream]
        final = stream.get_final_message()
    assert (names[0], names[-1]) == ("message_start", "message_stop")
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in plain.content]
    assert final.usage.output_tokens == plain.usage.output_tokens


def test_thinking_is_signed_and_its_signature_is_checked_when_it_comes_back(client: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    reply = client.messages.create(model="claude-haiku-4-5", max_tokens=2000, messages=user("Hello"), thinking=thinking)
    block: Any = reply.content[0]
    assert block.type == "thinking"
    assert reply.content[1].type == "text"

    def again(signature: str) -> None:
        back: Any = {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": block.thinking, "signature": signature}, {"type": "text", "text": "x"}],
        }
        client.messages.create(model="claude-haiku-4-5", max_tokens=2000, messages=[*user("Hello"), back, *user("and?")], thinking=thinking)

    again(block.signature)
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        again(block.signature[:-8] + "AAAAAAA=")


def test_streamed_calls_add_up_also_without_arguments(client: anthropic.Anthropic) -> None:
    prompt = "get_weather and do_nothing in parallel"
    with client.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=user(prompt), tools=[WEATHER, NOTHING]) as stream:
        final = stream.get_final_message()
    assert [(b.name, b.input) for b in final.content if b.type == "tool_use"] == [("get_weather", {"city": "city"}), ("do_nothing", {})]
    assert final.stop_reason == "tool_use"


def test_stop_sequence_and_limit(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=user("repeat 20"), stop_sequences=["dolor"])
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", "dolor")
    reply = client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=user("repeat 20"))
    assert (reply.stop_reason, reply.usage.output_tokens) == ("max_tokens", 5)


def test_counting_and_models(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=user("four words are here"))
    assert (
        client.messages.count_tokens(model="claude-haiku-4-5", messages=user("four words are here")).input_tokens
        == reply.usage.input_tokens
    )
    assert "claude-haiku-4-5" in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([{"role": "system", "content": "x"}], "role 'system'"),
        (user([{"type": "text", "text": ""}]), "non-empty"),
        (user([{"type": "tool_result", "tool_use_id": "t", "content": "x"}]), "tool_use_id"),
        (
            [*user("x"), {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}, *user("y")],
            "tool_result",
        ),
        ([*user("x"), {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": "{}"}]}], "valid dictionary"),
        (user([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "data:image/png;base64,AA"}}]), "base64"),
    ],
)
def test_a_request_that_the_vendor_refuses_is_refused(client: anthropic.Anthropic, messages: Any, says: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=says):
        client.messages.create(model="claude-haiku-4-5", max_tokens=10, messages=messages)


def test_calls_are_answered_behind_their_thinking(client: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 2000, "tools": [WEATHER], "thinking": thinking}
    reply = client.messages.create(messages=user("get_weather"), **asked)
    turn: list[Any] = [block.to_dict() for block in reply.content]
    assert [block["type"] for block in turn] == ["thinking", "tool_use"]
    results: Any = user([{"type": "tool_result", "tool_use_id": turn[1]["id"], "content": "17 degrees"}])
    back: Any = [*user("get_weather"), {"role": "assistant", "content": turn}, *results]
    answered: Any = client.messages.create(messages=back, **asked)
    assert "17 degrees" in answered.content[-1].text
    with pytest.raises(anthropic.BadRequestError, match="Expected `thinking`"):
        client.messages.create(messages=[*user("get_weather"), {"role": "assistant", "content": turn[1:]}, *results], **asked)


def test_a_signature_of_another_vendor_is_refused(client: anthropic.Anthropic) -> None:
    for signature in (seal("bedrock", "I think."), "EqQBCgIYAhIM", "x"):
        block: Any = {"type": "thinking", "thinking": "I think.", "signature": signature}
        turn: Any = {"role": "assistant", "content": [block, {"type": "text", "text": "x"}]}
        with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
            client.messages.create(model="claude-haiku-4-5", max_tokens=10, messages=[*user("x"), turn, *user("y")])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"frequency_penalty": 1}, "frequency_penalty: Extra inputs are not permitted"),
        (
            {"messages": user([{"type": "text", "text": "x", "name": "y"}])},
            "messages.0.content.0.text.name: Extra inputs are not permitted",
        ),
        ({"tools": [WEATHER | {"parameters": {}}]}, "tools.0.custom.parameters: Extra inputs are not permitted"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000, "temperature": 0.5}, "may only be set to 1"),
    ],
)
def test_what_the_api_does_not_have_is_refused(client: anthropic.Anthropic, more: Any, says: str) -> None:
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": user("x")}
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**asked, extra_body=more)
    assert says in str(caught.value)


def test_counting_takes_no_limit(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Extra inputs are not permitted"):
        client.messages.count_tokens(model="claude-haiku-4-5", messages=user("x"), extra_body={"max_tokens": 1})
