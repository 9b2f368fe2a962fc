"""Function calling as it was before tools: any provider can be asked by an old app."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.openai.client import ChatClient
from edgegate.taps import Outcome
from tests.unit.dialects.openai.made import DONE, ROLE, USAGE_CHUNK, chunks, delta, event, text

CLIENT = ChatClient()
FUNCTION = {"name": "look", "parameters": {"type": "object", "properties": {}}}
CALL = {"name": "look", "arguments": "{}"}
USER = {"role": "user", "content": "hi"}


def request(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **fields}


def neutral(**fields: Any) -> dict[str, Any]:
    asked = request(**fields)
    CLIENT.check(asked)
    before = orjson.dumps(asked)
    chat = CLIENT.neutral(asked)
    assert orjson.dumps(asked) == before, "the request is not changed"
    return chat


@pytest.mark.parametrize(
    ("choice", "expected"),
    [(None, None), ("auto", "auto"), ("none", "none"), ({"name": "look"}, {"type": "function", "function": {"name": "look"}})],
)
def test_functions_become_tools(choice: Any, expected: Any) -> None:
    chat = neutral(functions=[FUNCTION], function_call=choice)
    assert chat["tools"] == [{"type": "function", "function": FUNCTION}]
    assert chat.get("tool_choice") == expected
    assert not chat.keys() & {"functions", "function_call"}


def test_calls_and_results_in_the_history_are_tied_together() -> None:
    history = [
        USER,
        {"role": "assistant", "content": None, "function_call": CALL},
        {"role": "function", "name": "look", "content": "4"},
        {"role": "function", "name": "lost", "content": None},
    ]
    chat = neutral(messages=history)
    assert chat["messages"] == [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": CALL}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
        {"role": "tool", "tool_call_id": "call_3", "content": ""},
    ]


def test_a_request_without_any_is_its_own_neutral_form() -> None:
    asked = request(tools=[{"type": "function", "function": FUNCTION}])
    assert CLIENT.neutral(asked) is asked


def test_a_call_comes_back_as_a_function_call() -> None:
    tool_calls = [{"id": "a", "type": "function", "function": CALL}, {"id": "b", "type": "function", "function": CALL}]
    reply = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": tool_calls}, "finish_reason": "tool_calls"}
        ]
    }
    choice = orjson.loads(CLIENT.whole(request(functions=[FUNCTION]), orjson.dumps(reply)))["choices"][0]
    assert choice["message"]["function_call"] == CALL
    assert choice["message"]["tool_calls"] == tool_calls[1:]
    assert choice["finish_reason"] == "function_call"
    assert CLIENT.whole(request(), orjson.dumps(reply)) == orjson.dumps(reply)


STREAM = b"".join(
    [
        ROLE,
        text("So"),
        event([delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "look", "arguments": ""}}])]),
        event([delta(tool_calls=[{"index": 0, "function": {"arguments": '{"tool_calls"'}}])]),
        event([delta(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}])]),
        event([delta("tool_calls")]),
        USAGE_CHUNK,
        DONE,
    ]
)


def translated(*pieces: bytes) -> bytes:
    tap = CLIENT.stream(request(functions=[FUNCTION]), "id")
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(Outcome.OK)


def test_and_in_a_stream() -> None:
    out = translated(STREAM)
    calls = [c["delta"]["function_call"] for chunk in chunks(out) for c in chunk["choices"] if "function_call" in c["delta"]]
    assert calls == [{"name": "look", "arguments": ""}, {"arguments": '{"tool_calls"'}, {"arguments": ":1}"}]
    assert [c["finish_reason"] for chunk in chunks(out) for c in chunk["choices"]][-1] == "function_call"
    assert all("tool_calls" not in c["delta"] for chunk in chunks(out) for c in chunk["choices"])
    assert out.endswith(USAGE_CHUNK + DONE)
    assert translated(*[STREAM[at : at + 1] for at in range(len(STREAM))]) == out


def test_a_stream_that_broke_is_not_ended() -> None:
    tap = CLIENT.stream(request(functions=[FUNCTION]), "id")
    assert DONE not in tap.feed(STREAM[: -len(DONE)]) + tap.end(Outcome.UPSTREAM_BROKE)
