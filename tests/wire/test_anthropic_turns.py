"""Signed reasoning over two turns: a recorded reply goes to an app of Anthropic's dialect, the app sends it back with the next
question, and the vendor that made it gets back what it signed, byte for byte, while no other vendor sees it."""

from __future__ import annotations

import json
from typing import Any

import orjson

from edgegate.dialects.anthropic import AnthropicProvider, MessagesClient
from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.sealed import SEAL, foreign
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus
from tests.wire.anthropic_sdks import anthropic_message

CLIENT = MessagesClient()
QUESTION = {"role": "user", "content": "And then?"}
TOOLS = [{"name": "any_tool", "input_schema": {"type": "object", "properties": {}}}]


def signed(recording: Recording) -> bool:
    return recording.status == 200 and b'"signature":"' in recording.body.replace(b'": "', b'":"').replace(b'"signature":""', b"")


def stamped(recording: Recording) -> bool:
    return recording.status == 200 and b"thoughtSignature" in recording.body


thinking = corpus("anthropic/messages", where=signed)
gemini = corpus("gemini/generate", "vertex/generate", where=stamped)
openrouter = corpus("openrouter/chat", "snowflake/chat", where=lambda r: r.status == 200 and b"reasoning_details" in r.body)


def replied(side: ProviderSide, recording: Recording) -> dict[str, Any]:
    """The reply's message in neutral form; a stream's is gathered from its deltas."""
    ask = Ask({"messages": [QUESTION]}, "m", recording.streamed, "chatcmpl-1", 1, True)
    if not recording.streamed:
        message: dict[str, Any] = orjson.loads(side.whole(ask, recording.body, Progress()))["choices"][0]["message"]
        return message
    tap = side.stream(ask, Progress())
    out = tap.feed(recording.body) + tap.end(Outcome.OK)
    deltas = [choice["delta"] for line in out.split(b"\n") if line.startswith(b"data: {") for choice in orjson.loads(line[6:])["choices"]]
    gathered: dict[str, Any] = {"thinking_blocks": [block for delta in deltas for block in delta.get("thinking_blocks", [])]}
    gathered["tool_calls"] = [call for delta in deltas for call in delta.get("tool_calls", []) if call.get("id")]
    gathered["extra_content"] = next((delta["extra_content"] for delta in reversed(deltas) if "extra_content" in delta), None)
    gathered["reasoning_details"] = [detail for delta in deltas for detail in delta.get("reasoning_details", [])]
    return {name: value for name, value in gathered.items() if value}


def next_turn(side: ProviderSide, recording: Recording) -> dict[str, Any]:
    """The request of the second turn, as an app writes it after reading the reply with the anthropic SDK."""
    asked = {"model": "m", "max_tokens": 100, "messages": [QUESTION], "stream": recording.streamed, "tools": TOOLS}
    ask = Ask(CLIENT.neutral(asked), "m", recording.streamed, "chatcmpl-1", 1, True)
    if recording.streamed:
        tap, encode = side.stream(ask, Progress()), CLIENT.stream(asked, "1")
        reply = encode.feed(tap.feed(recording.body) + tap.end(Outcome.OK)) + encode.end(Outcome.OK)
    else:
        reply = CLIENT.whole(asked, side.whole(ask, recording.body, Progress()))
    message = anthropic_message(reply, streamed=recording.streamed)
    content = message.model_dump(exclude_none=True)["content"]
    results = [{"type": "tool_result", "tool_use_id": block["id"], "content": "4"} for block in content if block["type"] == "tool_use"]
    answer: list[dict[str, Any]] = [{"role": "assistant", "content": content}] if content else []
    request = {**asked, "messages": [QUESTION, *answer, {"role": "user", "content": results} if results else QUESTION]}
    CLIENT.check(request)
    return request


def asked_of(side: ProviderSide, request: dict[str, Any], model: str = "claude-opus-4-8") -> bytes:
    return side.request(Ask(CLIENT.neutral(request), model, False, "chatcmpl-2", 1)).body


@thinking
def test_anthropic_gets_its_thinking_back(recording: Recording) -> None:
    side = AnthropicProvider()
    request = next_turn(side, recording)
    sent = json.loads(asked_of(side, request))["messages"][1]["content"]
    original = anthropic_message(recording.body, streamed=recording.streamed).model_dump(exclude_none=True)["content"]
    kinds = ("thinking", "redacted_thinking")
    assert [block for block in sent if block["type"] in kinds] == [block for block in original if block["type"] in kinds]
    assert SEAL not in json.dumps(request), "what is Anthropic's own needs no seal"
    elsewhere = asked_of(COMPAT["openai"].provider(), request, "gpt-5")
    assert all(block.get("signature", "!").encode() not in elsewhere for block in original if block["type"] == "thinking")


@gemini
def test_gemini_gets_its_signatures_back_and_anthropic_does_not(recording: Recording) -> None:
    side = GeminiProvider()
    message = replied(side, recording)
    request = next_turn(side, recording)
    state = foreign(message, "anthropic")
    again = CLIENT.neutral(request)["messages"][1]
    assert foreign(again, "anthropic") == state
    elsewhere = asked_of(AnthropicProvider(), request)
    assert SEAL.encode() not in elsewhere
    back = asked_of(side, request, "gemini-3-pro")
    assert SEAL.encode() not in back
    stamps = [state.get("extra_content", {}), *state.get("tool_calls", {}).values()]
    for stamp in (value["google"].get("thought_signature") for value in stamps if "google" in value):
        assert stamp is None or stamp.encode() in back
        assert stamp is None or stamp.encode() not in elsewhere


@openrouter
def test_openrouter_gets_its_details_back(recording: Recording) -> None:
    side = COMPAT["openrouter"].provider()
    expected = foreign(replied(side, recording), "anthropic")["reasoning_details"]
    request = next_turn(side, recording)
    assert json.loads(asked_of(side, request, "m"))["messages"][1]["reasoning_details"] == expected
    assert b"reasoning_details" not in asked_of(AnthropicProvider(), request)
