"""OpenAI's custom tools at providers that know functions only: offered and remembered as functions, called as custom tools."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.azure import AzureProvider
from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.custom import as_functions, text_in
from edgegate.dialects.custom_calls import as_customs, custom_calls
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.losses import Losses
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.responses.encode import Encode
from edgegate.taps import Outcome
from edgegate.wire.sse import MAX_EVENT_BYTES

PATCH = '*** Begin\n+"x"\n'
ARGUMENTS = orjson.dumps({"input": PATCH}).decode()
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
CUSTOM = {"type": "custom", "custom": {"name": "apply_patch", "description": "Edits files", "format": GRAMMAR}}
PLAIN = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
TURN: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_123a", "type": "custom", "custom": {"name": "apply_patch", "input": PATCH}}],
}
RESULT = {"role": "tool", "tool_call_id": "call_123a", "content": "Done"}
CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Go"}, TURN, RESULT],
    "tools": [CUSTOM, PLAIN],
    "tool_choice": {"type": "custom", "custom": {"name": "apply_patch"}},
}
SIDES: dict[str, tuple[ProviderSide, str]] = {
    "anthropic": (AnthropicProvider(), "claude-sonnet-4-5"),
    "gemini": (GeminiProvider(), "gemini-2.5-flash"),
    "mistral": (MistralProvider(), "mistral-large-latest"),
    "cohere": (CohereProvider(), "command-a-03-2025"),
    "ollama": (OllamaProvider(), "llama3.2"),
    "bedrock": (BedrockProvider(), "anthropic.claude-3-5-sonnet-20241022-v2:0"),
    "groq": (COMPAT["groq"].provider(), "llama"),
}


def ask_of(name: str, chat: dict[str, Any] = CHAT, *, stream: bool = False, approximate: bool = True) -> Ask:
    return Ask(chat, SIDES[name][1], stream, "chatcmpl-1", 1, True, approximate)


@pytest.mark.parametrize("name", SIDES)
def test_they_are_offered_and_remembered_as_functions_of_one_text(name: str) -> None:
    wire = SIDES[name][0].request(ask_of(name))
    assert wire.mapped[0] == "tools.custom"
    assert [lost for lost in wire.dropped if lost != "tool_choice"] == []  # Ollama chooses itself
    body = wire.body
    assert body.count(b'"apply_patch"') >= 2  # offered, called
    assert b"start: /x/" in body
    assert b"custom" not in body
    assert b'"input"' in body
    assert orjson.dumps(PATCH)[1:-1] in body.replace(b"\\\\", b"\\").replace(b'\\"', b'"') or orjson.dumps(PATCH)[1:-1] in body


def test_the_choice_of_one_is_the_choice_of_its_function() -> None:
    chosen = {"type": "function", "function": {"name": "apply_patch"}}
    losses = Losses()
    assert as_functions(CHAT, losses)["tool_choice"] == chosen
    some = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CHAT["tool_choice"], {"type": "function"}]}}
    made = as_functions({**CHAT, "tool_choice": some}, losses)["tool_choice"]["allowed_tools"]
    assert made == {"mode": "required", "tools": [chosen, {"type": "function"}]}
    assert as_functions({**CHAT, "tool_choice": "auto"}, losses)["tool_choice"] == "auto"


def test_what_stands_beside_a_call_or_a_tool_stays() -> None:
    google = {"google": {"thought_signature": "S"}}
    turn = {**TURN, "tool_calls": [{**TURN["tool_calls"][0], "extra_content": google}]}
    made = as_functions({"messages": [turn], "tools": [{**CUSTOM, "cache_control": {"type": "ephemeral"}}]}, Losses())
    call = {"id": "call_123a", "extra_content": google, "type": "function", "function": {"name": "apply_patch", "arguments": ARGUMENTS}}
    assert made["messages"][0]["tool_calls"] == [call]
    assert made["tools"][0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("name", SIDES)
def test_where_nothing_is_approximated_they_are_left_out_and_named(name: str) -> None:
    chat = {**CHAT, "messages": CHAT["messages"][:1]}
    wire = SIDES[name][0].request(ask_of(name, chat, approximate=False))
    assert b"apply_patch" not in wire.body
    assert {"tools.custom", "tool_choice"} <= set(wire.dropped)
    assert "tools.custom" not in wire.mapped


@pytest.mark.parametrize("name", SIDES)
def test_a_history_with_their_calls_goes_on_even_so(name: str) -> None:
    body = SIDES[name][0].request(ask_of(name, approximate=False)).body
    assert b"apply_patch" in body


@pytest.mark.parametrize("side", [OpenAIProvider(), AzureProvider()])
def test_openai_and_azure_have_them(side: OpenAIProvider) -> None:
    wire = side.request(Ask(CHAT, "gpt-5", False, "i", 1))
    body = orjson.loads(wire.body)
    assert (body["tools"], body["tool_choice"], body["messages"][1:], wire.mapped) == (
        CHAT["tools"],
        CHAT["tool_choice"],
        [TURN, RESULT],
        [],
    )


def test_a_chat_without_them_is_the_same_object() -> None:
    for chat in ({"messages": [{"role": "user"}], "tools": [PLAIN]}, {"tools": 3, "messages": None}, {"tools": [None, {"type": "custom"}]}):
        losses = Losses()
        assert as_functions(chat, losses) is chat
        assert losses == Losses()


def usage(prompt: int = 1) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": 2, "total_tokens": prompt + 2}


def openai_call(**more: Any) -> dict[str, Any]:
    return {"id": "abcdefghi", "type": "function", "function": {"name": "apply_patch", "arguments": ARGUMENTS}, **more}


GOOGLES = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"functionCall": {"name": "apply_patch", "args": {"input": PATCH}}}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2},
}
OPENAIS = {
    "id": "x",
    "model": "m",
    "created": 1,
    "object": "chat.completion",
    "usage": usage(),
    "choices": [
        {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "", "tool_calls": [openai_call()]}}
    ],
}
CONVERSE = {
    "output": {
        "message": {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "apply_patch", "input": {"input": PATCH}}}]}
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
}
COHERES = {
    "id": "x",
    "finish_reason": "TOOL_CALL",
    "message": {"role": "assistant", "tool_calls": [openai_call()]},
    "usage": {"tokens": {"input_tokens": 1, "output_tokens": 2}},
}
OLLAMAS = {
    "model": "m",
    "created_at": "2025-01-01T00:00:00Z",
    "done": True,
    "done_reason": "stop",
    "message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "apply_patch", "arguments": {"input": PATCH}}}]},
}
MESSAGES = {
    "id": "msg",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 2},
    "content": [{"type": "tool_use", "id": "t", "name": "apply_patch", "input": {"input": PATCH}}],
}
REPLIES = {
    "anthropic": MESSAGES,
    "gemini": GOOGLES,
    "mistral": OPENAIS,
    "cohere": COHERES,
    "ollama": OLLAMAS,
    "bedrock": CONVERSE,
    "groq": OPENAIS,
}


@pytest.mark.parametrize("name", SIDES)
def test_the_call_of_a_plain_reply_is_the_custom_tool_s(name: str) -> None:
    reply = orjson.loads(SIDES[name][0].whole(ask_of(name), orjson.dumps(REPLIES[name]), Progress()))
    (call,) = reply["choices"][0]["message"]["tool_calls"]
    assert call["id"]
    assert {field: value for field, value in call.items() if field != "id"} == {
        "type": "custom",
        "custom": {"name": "apply_patch", "input": PATCH},
    }
    assert reply["choices"][0]["finish_reason"] == "tool_calls"


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)


def openai_chunks() -> bytes:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    def call(**more: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": 0, **more}]})

    begin = call(id="abcdefghi", type="function", function={"name": "apply_patch", "arguments": ""})
    pieces = [call(function={"arguments": ARGUMENTS[at : at + 5]}) for at in range(0, len(ARGUMENTS), 5)]
    return (
        sse(chunk({"role": "assistant", "content": "Hm"}), begin, *pieces, chunk({}, "tool_calls"), {"choices": [], "usage": usage()})
        + b"data: [DONE]\n\n"
    )


def cohere_chunks() -> bytes:
    def event(kind: str, **more: Any) -> bytes:
        return b"event: " + kind.encode() + b"\n" + sse({"type": kind, **more})

    head = {"message": {"tool_calls": {"id": "t", "type": "function", "function": {"name": "apply_patch", "arguments": ""}}}}
    pieces = [
        event("tool-call-delta", index=0, delta={"message": {"tool_calls": {"function": {"arguments": ARGUMENTS[at : at + 5]}}}})
        for at in range(0, len(ARGUMENTS), 5)
    ]
    end = {"finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 1, "output_tokens": 2}}}
    return b"".join(
        [
            event("message-start", id="x", delta={"message": {"role": "assistant", "content": []}}),
            event("tool-call-start", index=0, delta=head),
            *pieces,
            event("tool-call-end", index=0),
            event("message-end", delta=end),
        ]
    )


def frame(kind: str, payload: dict[str, Any]) -> bytes:
    headers = b""
    for name, value in ((":message-type", "event"), (":event-type", kind), (":content-type", "application/json")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = orjson.dumps(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    head = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return head + struct.pack(">I", zlib.crc32(head))


def converse_frames() -> bytes:
    pieces = [
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": ARGUMENTS[at : at + 5]}}})
        for at in range(0, len(ARGUMENTS), 5)
    ]
    start = {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "apply_patch"}}}
    return b"".join(
        [
            frame("messageStart", {"role": "assistant"}),
            frame("contentBlockStart", start),
            *pieces,
            frame("contentBlockStop", {"contentBlockIndex": 0}),
            frame("messageStop", {"stopReason": "tool_use"}),
            frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
        ]
    )


def ollama_lines() -> bytes:
    return (
        orjson.dumps({**OLLAMAS, "done": False})
        + b"\n"
        + orjson.dumps({**OLLAMAS, "message": {"role": "assistant", "content": ""}})
        + b"\n"
    )


STREAMS = {
    "gemini": sse(GOOGLES),
    "mistral": openai_chunks(),
    "cohere": cohere_chunks(),
    "ollama": ollama_lines(),
    "bedrock": converse_frames(),
    "groq": openai_chunks(),
}


def fed(name: str, pieces: list[bytes]) -> bytes:
    progress = Progress()
    tap = SIDES[name][0].stream(ask_of(name, stream=True), progress)
    out = b"".join([tap.feed(piece) for piece in pieces]) + tap.end(Outcome.OK)
    assert progress.error is None
    return out


def chunks(out: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]


def gathered(out: bytes) -> list[dict[str, Any]]:
    """The calls as a client puts them together, by index."""
    calls: list[dict[str, Any]] = []
    ended = False
    for chunk in chunks(out):
        for choice in chunk["choices"]:
            for piece in choice["delta"].get("tool_calls") or ():
                assert not ended
                if piece["index"] == len(calls):
                    calls.append({"id": piece["id"], "type": piece["type"], piece["type"]: dict(piece[piece["type"]])})
                else:
                    call = calls[piece["index"]]
                    field = "input" if call["type"] == "custom" else "arguments"
                    call[call["type"]][field] += piece[call["type"]][field]
            ended = ended or bool(choice["finish_reason"])
    return calls


@pytest.mark.parametrize("name", STREAMS)
def test_the_call_of_a_stream_is_the_custom_tool_s(name: str) -> None:
    out = fed(name, [STREAMS[name]])
    (call,) = gathered(out)
    assert (call["type"], call["custom"]) == ("custom", {"name": "apply_patch", "input": PATCH})
    assert [choice["finish_reason"] for chunk in chunks(out) for choice in chunk["choices"] if choice["finish_reason"]] == ["tool_calls"]
    assert out.endswith(b"data: [DONE]\n\n")
    assert b'"function"' not in out


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_cut_anywhere_says_the_same(name: str) -> None:
    stream = STREAMS[name]
    whole = gathered(fed(name, [stream]))
    assert fed(name, [stream[at : at + 1] for at in range(len(stream))]) == fed(name, [stream])
    assert gathered(fed(name, [stream[: len(stream) // 2], stream[len(stream) // 2 :]])) == whole


class Given:
    """A tap that gives what it is fed."""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self, outcome: Outcome) -> bytes:
        return b""


def piece(index: int, arguments: str, name: str = "", choice: int = 0, finish: str | None = None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    head = {"id": f"c{index}", "type": "function"} if name else {}
    delta = {"tool_calls": [{"index": index, **head, "function": function}]}
    return {"id": "x", "choices": [{"index": choice, "delta": delta, "finish_reason": finish}]}


def end(choice: int = 0) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": choice, "delta": {}, "finish_reason": "tool_calls"}]}


def through(*events: dict[str, Any]) -> bytes:
    tap = custom_calls(ask_of("groq"), Progress(), Given())
    return b"".join([tap.feed(sse(event)) for event in events]) + tap.end(Outcome.OK)


def test_calls_that_come_mixed_keep_their_order_and_their_pieces() -> None:
    events = [
        piece(0, '{"inp', "apply_patch"),
        piece(1, "{", "look"),
        piece(0, 'ut":"a"}'),
        piece(1, "}"),
        piece(2, "", "apply_patch"),
        end(),
    ]
    first, second, third = gathered(through(*events))
    assert (first["custom"]["input"], second["function"]["arguments"], third["custom"]["input"]) == ("a", "{}", "")


def test_what_follows_whole_arguments_is_nothing() -> None:
    assert gathered(through(piece(0, ARGUMENTS, "apply_patch"), piece(0, "\n"), end()))[0]["custom"]["input"] == PATCH


def test_arguments_that_end_with_the_answer_are_told_before_its_end() -> None:
    out = through(piece(0, '{"input": "ab', "apply_patch", finish="length"))
    assert gathered(out)[0]["custom"]["input"] == '{"input": "ab'  # cut off: as it is
    assert chunks(out)[-1]["choices"][0]["finish_reason"] == "length"


def test_choices_are_told_apart() -> None:
    out = through(piece(0, '{"input":"a', "apply_patch"), piece(0, '{"input":"b"}', "apply_patch", 1), end(1), piece(0, '"}'), end(0))
    texts = {0: "", 1: ""}
    for chunk in chunks(out):
        for choice in chunk["choices"]:
            for call in choice["delta"].get("tool_calls", ()):
                texts[choice["index"]] += call["custom"]["input"]
    assert texts == {0: "a", 1: "b"}


def test_a_broken_stream_gets_no_end() -> None:
    tap = custom_calls(ask_of("groq"), Progress(), Given())
    out = tap.feed(sse(piece(0, '{"input":"a', "apply_patch"))) + tap.end(Outcome.UPSTREAM_BROKE)
    assert gathered(out)[0]["custom"]["input"] == ""


def test_an_input_without_end_is_an_error() -> None:
    progress = Progress()
    tap = custom_calls(ask_of("groq"), progress, Given())
    for _ in range(17):
        tap.feed(sse(piece(0, "x" * (MAX_EVENT_BYTES // 16), "apply_patch")))
    assert progress.error is not None
    assert tap.feed(sse(end())) == b""


def test_without_custom_tools_nothing_stands_between() -> None:
    ask = Ask({"messages": [], "tools": [PLAIN]}, "m", True, "i", 1)
    tap = Given()
    assert custom_calls(ask, Progress(), tap) is tap
    assert as_customs(ask, b"x") == b"x"


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert text_in(orjson.dumps({"input": text}).decode()) == text


@pytest.mark.parametrize(
    ("arguments", "text"), [(None, "null"), ("", ""), ("{}", ""), ('{"input": 3}', "3"), ("[1]", "[1]"), ("{", "{"), ({"input": "a"}, "a")]
)
def test_arguments_of_another_form_are_told_as_they_are(arguments: Any, text: str) -> None:
    assert text_in(arguments) == text


@pytest.mark.parametrize("name", STREAMS)
def test_codex_gets_its_custom_call_through_responses(name: str) -> None:
    request = {"model": "m", "input": "Go", "tools": [{"type": "custom", "name": "apply_patch"}], "stream": True}
    out = Encode(request, "resp_1").feed(fed(name, [STREAMS[name]]))
    done = [orjson.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: ")][-1]
    (call,) = [item for item in done["response"]["output"] if item["type"] == "custom_tool_call"]
    assert (call["name"], call["input"]) == ("apply_patch", PATCH)
