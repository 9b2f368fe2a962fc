"""Counting tokens: the client's request and reply, and the provider asked to count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgegate.dialects.anthropic import AnthropicProvider, CountTokensClient
from edgegate.dialects.base import Operation, Progress, TokenCounter
from edgegate.errors import GatewayError
from tests.unit.dialects.anthropic.shapes import FUNCTION, TOOL, ask, messages

CLIENT = CountTokensClient()
PROVIDER = AnthropicProvider()
FORMAT = "anthropic.count_tokens"


def request(**more: Any) -> dict[str, Any]:
    return {name: value for name, value in messages(**more).items() if name != "max_tokens"}


def test_a_request_needs_no_limit_and_becomes_a_chat() -> None:
    assert (CLIENT.format, CLIENT.dialect, CLIENT.operation) == (FORMAT, "anthropic", Operation.COUNT_TOKENS)
    asked = request(system="s", tools=[TOOL], stream=True)
    CLIENT.check(asked)
    assert not CLIENT.streams(asked)
    chat = CLIENT.neutral(asked)
    assert [message["role"] for message in chat["messages"]] == ["system", "user"]
    assert not chat.keys() & {"max_tokens", "max_completion_tokens", "stream", "stream_options"}


@pytest.mark.parametrize(
    ("change", "param"), [({"messages": []}, "messages"), ({"model": ""}, "model"), ({"max_tokens": "x"}, "max_tokens")]
)
def test_a_bad_request_is_refused_in_anthropic_s_shape(change: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        CLIENT.check({**request(), **change})
    assert (caught.value.status, caught.value.param) == (400, param)
    assert json.loads(CLIENT.error(caught.value, "req_1"))["error"]["type"] == "invalid_request_error"


def test_the_neutral_reply_is_the_reply() -> None:
    assert json.loads(CLIENT.whole(request(), b'{"input_tokens":7}')) == {"input_tokens": 7}


def test_anthropic_is_asked_to_count_without_what_concerns_the_answer() -> None:
    assert isinstance(PROVIDER, TokenCounter)
    assert PROVIDER.native[FORMAT] == "/v1/messages/count_tokens"
    chat: dict[str, Any] = {
        "tools": [FUNCTION],
        "tool_choice": "required",
        "max_tokens": 9,
        "temperature": 0.5,
        "stop": "x",
        "user": "u",
        "stream": True,
    }
    wire = PROVIDER.count(ask(**chat))
    assert wire.path == "/v1/messages/count_tokens"
    assert json.loads(wire.body).keys() == {"model", "messages", "tools", "tool_choice"}


def test_a_count_is_read_and_is_no_usage() -> None:
    progress = Progress()
    assert PROVIDER.counted(ask(), b'{"input_tokens": 0}') == 0
    PROVIDER.glance(FORMAT, b'{"input_tokens": 12, "context_management": null}', progress)
    assert (progress.started, progress.finished, progress.usage.reported, progress.usage.input_tokens) == (True, True, False, 0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"input_tokens":true}', b'{"input_tokens":"7"}', b'{"input_tokens":-1}', b"<html>"])
def test_what_holds_no_count_is_an_error(body: bytes) -> None:
    for read in (lambda: PROVIDER.counted(ask(), body), lambda: PROVIDER.glance(FORMAT, body, Progress())):
        with pytest.raises(GatewayError) as caught:
            read()
        assert (caught.value.status, caught.value.code) == (502, "bad_reply")


def test_an_error_in_a_200_keeps_its_words() -> None:
    with pytest.raises(GatewayError) as caught:
        PROVIDER.counted(ask(), b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert (caught.value.status, caught.value.message) == (529, "Overloaded")
