"""Chat chunks of any provider as Anthropic's event stream, read back by the SDK where that says more than the bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Usage
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.unit.dialects.anthropic.shapes import CLIENT, data_of, messages, run
from tests.wire.anthropic_sdks import Seen, anthropic_message, by_anthropic

W = ChunkWriter("chatcmpl-9", 1700000000, "gpt-x")
USAGE = W.usage(Usage(input_tokens=30, output_tokens=9, cached_tokens=8, cache_write_tokens=2, reasoning_tokens=4, reported=True))
NO_COUNTS = {"input": 0, "written": 0, "read": 0, "hour": 0, "output": 0, "thinking": 0}


def encoded(*chunks: bytes) -> bytes:
    return run(CLIENT.stream(messages(), "chatcmpl-9"), *chunks)


def seen(*chunks: bytes) -> Seen:
    return by_anthropic(encoded(*chunks), streamed=True)


def shape(stream: bytes) -> list[str]:
    """The stream in short: `0+text` a block begins, `0:x` a piece, `0-` it ends."""
    found = []
    for value in data_of(stream):
        at = value.get("index")
        if value["type"] == "content_block_start":
            found.append(f"{at}+{value['content_block']['type']}")
        elif value["type"] == "content_block_delta":
            delta = value["delta"]
            found.append(f"{at}:{next(str(delta[name]) for name in delta if name != 'type')}")
        elif value["type"] == "content_block_stop":
            found.append(f"{at}-")
        else:
            found.append(value["type"])
    return found


def test_text() -> None:
    stream = encoded(W.role(), W.text("a"), W.text("b"), W.finish("stop"), USAGE, DONE)
    assert shape(stream) == ["message_start", "0+text", "0:a", "0:b", "0-", "message_delta", "message_stop"]
    found = by_anthropic(stream, streamed=True)
    assert (found.text, found.finish, found.model) == ("ab", "end_turn", "gpt-x")
    assert found.usage == {"input": 20, "written": 2, "read": 8, "hour": 0, "output": 9, "thinking": 4}
    assert anthropic_message(stream, streamed=True).id == "msg_9"


def test_every_event_is_named_as_its_type() -> None:
    stream = encoded(W.role(), W.reasoning("r"), W.text("a"), W.call(0, "c", "f", "{}"), W.finish("tool_calls"), DONE)
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        assert orjson.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")


def test_the_ending_waits_for_the_usage_and_comes_at_the_end_without_done() -> None:
    tap = CLIENT.stream(messages(), "i")
    sent = tap.feed(W.role() + W.text("a") + W.finish("stop"))
    assert b"message_delta" not in sent
    sent = tap.feed(USAGE)
    assert sent == b""
    assert b'"output_tokens":9' in tap.end(Outcome.OK)
    tap = CLIENT.stream(messages(), "i")
    assert b"message_stop" in tap.feed(W.text("a") + W.finish("stop") + DONE)
    assert tap.end(Outcome.OK) == b""


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_another_outcome_writes_no_terminal_event(outcome: Outcome) -> None:
    tap = CLIENT.stream(messages(), "i")
    tap.feed(W.role() + W.text("a") + W.finish("stop"))
    assert tap.end(outcome) == b""


def test_an_answer_without_a_finish_reason_is_not_ended() -> None:
    assert shape(encoded(W.role(), W.text("a"))) == ["message_start", "0+text", "0:a"]
    assert encoded() == b""


def test_parallel_calls_whose_pieces_are_mixed_come_one_after_the_other() -> None:
    stream = encoded(
        W.role(),
        W.call(0, "c0", "f"),
        W.call(1, "c1", "g"),
        W.arguments(0, '{"a"'),
        W.arguments(1, '{"b"'),
        W.call(2, "c2", "h"),
        W.arguments(0, ":0}"),
        W.arguments(1, ":1}"),
        W.finish("tool_calls"),
        DONE,
    )
    start = ["message_start", "0+tool_use", '0:{"a"', "0::0}", "0-", "1+tool_use", '1:{"b"', "1::1}", "1-", "2+tool_use", "2-"]
    assert shape(stream) == [*start, "message_delta", "message_stop"]
    found = by_anthropic(stream, streamed=True)
    assert found.calls == [("c0", "f", {"a": 0}), ("c1", "g", {"b": 1}), ("c2", "h", {})]
    assert found.finish == "tool_use"


def test_a_call_that_is_complete_does_not_hold_the_next_one_up() -> None:
    tap = CLIENT.stream(messages(), "i")
    tap.feed(W.role() + W.call(0, "c0", "f", '{"a":') + W.arguments(0, "0}"))
    assert shape(tap.feed(W.call(1, "c1", "g", '{"b'))) == ["0-", "1+tool_use", '1:{"b']
    assert shape(tap.feed(W.arguments(1, '":1}'))) == ['1:":1}']


def test_text_after_a_call_that_is_not_complete_waits_in_its_place() -> None:
    stream = encoded(W.call(0, "c", "f", '{"a"'), W.text("x"), W.text("y"), W.arguments(0, ":1}"), W.finish("tool_calls"), DONE)
    found = ["message_start", "0+tool_use", '0:{"a"', "0::1}", "0-", "1+text", "1:x", "1:y", "1-", "message_delta", "message_stop"]
    assert shape(stream) == found


def test_calls_without_an_index_or_an_id_are_told_apart() -> None:
    def call(**fields: Any) -> bytes:
        return W.delta({"tool_calls": [fields]})

    by_id = seen(
        call(id="a", function={"name": "f", "arguments": '{"x":1}'}),
        call(id="b", function={"name": "g", "arguments": "{}"}),
        W.finish("stop"),
    )
    assert by_id.calls == [("a", "f", {"x": 1}), ("b", "g", {})]
    assert by_id.finish == "tool_use", "OpenAI ends with stop where the request named the tool"
    pieces = seen(call(id="a", function={"name": "f", "arguments": "{"}), call(function={"arguments": "}"}), W.finish("tool_calls"))
    assert pieces.calls == [("a", "f", {})]
    nameless = seen(call(index=0, function={"name": "f", "arguments": "{}"}), W.finish("tool_calls"))
    assert nameless.calls[0][0].startswith("toolu_")


def test_signed_thinking_stands_before_the_text_with_its_signature() -> None:
    whole = {"type": "thinking", "thinking": "hm", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "d"}
    unseen = {"type": "thinking", "thinking": "", "signature": "t"}
    stream = encoded(
        W.role(),
        W.reasoning("h"),
        W.reasoning("m"),
        W.delta({"thinking_blocks": [whole]}),
        W.delta({"thinking_blocks": [hidden, unseen]}),
        W.text("x"),
        W.finish("stop"),
        DONE,
    )
    expected = ["0+thinking", "0:h", "0:m", "0:s", "0-", "1+redacted_thinking", "1-", "2+thinking", "2:t", "2-", "3+text", "3:x", "3-"]
    assert shape(stream) == ["message_start", *expected, "message_delta", "message_stop"]
    assert by_anthropic(stream, streamed=True).thinking == [("hm", "s"), ("", "d"), ("", "t")]


def test_thinking_given_whole_only_is_shown_whole() -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert seen(W.delta({"thinking_blocks": [block, block]}), W.text("x"), W.finish("stop")).thinking == [("hm", "s")] * 2


def test_reasoning_of_other_providers_is_thinking_without_a_signature() -> None:
    found = seen(
        W.role(),
        W.reasoning("h"),
        W.delta({"reasoning_content": "m", "thinking_blocks": [{"type": "thinking", "thinking": "m"}]}),
        W.text("x"),
        W.finish("stop"),
    )
    assert found.thinking == [("hm", "")]
    assert found.text == "x"


def test_a_refusal_is_the_answer_and_a_filters_explanation_is_beside_it() -> None:
    said = encoded(W.role(), W.delta({"refusal": "I can"}), W.delta({"refusal": "not"}), W.finish("stop"), DONE)
    assert by_anthropic(said, streamed=True).text == "I cannot"
    assert by_anthropic(said, streamed=True).finish == "refusal"
    message = anthropic_message(encoded(W.text("a"), W.delta({"refusal": "policy"}, 0, "content_filter"), DONE), streamed=True)
    assert message.stop_reason == "refusal"
    assert message.stop_details is not None
    assert message.stop_details.explanation == "policy"
    assert [block.type for block in message.content] == ["text"]


def test_annotations_become_citations() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1}}
    message = anthropic_message(
        encoded(W.text("a"), W.delta({"annotations": [note, {"type": "odd"}]}), W.finish("stop"), DONE), streamed=True
    )
    (block,) = message.content
    assert block.type == "text"
    assert block.citations is not None
    (cited,) = block.citations
    assert cited.type == "web_search_result_location"
    assert (cited.url, cited.title) == ("https://x", "X")


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "refusal"),
        ("eos", "end_turn"),
    ],
)
def test_finish_reasons(finish: str, expected: str) -> None:
    assert seen(W.text("a"), W.finish(finish)).finish == expected
    body = {"id": "x", "choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": finish}]}
    assert by_anthropic(CLIENT.whole(messages(), orjson.dumps(body)), streamed=False).finish == expected


def test_a_stop_sequence_is_named_where_the_provider_says_which() -> None:
    found = seen(W.text("a"), W.delta({}, 0, "stop", stop_reason="END"))
    assert (found.finish, found.sequence) == ("stop_sequence", "END")
    assert seen(W.text("a"), W.delta({}, 0, "stop", stop_reason=128001)).finish == "end_turn"


def test_a_second_choice_is_passed_over() -> None:
    assert seen(W.text("a"), W.delta({"content": "b"}, 1), W.finish("length", 1), W.finish("stop")).text == "a"


def test_calls_that_wait_are_bounded_and_end_in_one_error() -> None:
    tap = CLIENT.stream(messages(), "i")
    tap.feed(W.role() + W.call(0, "a", "f", "{") + W.call(1, "b", "g"))
    piece = W.arguments(1, "x" * 1_000_000)
    sent = b"".join(tap.feed(piece) for _ in range(20)) + tap.feed(W.finish("tool_calls") + DONE) + tap.end(Outcome.OK)
    assert sent.count(b"event: error\n") == 1
    assert sent.endswith(b"\n\n")
    assert b"message_stop" not in sent


@given(st.data())
def test_any_mix_of_parallel_calls_comes_out_whole(data: st.DataObject) -> None:
    texts = [f'{{"n":{number},"s":"{"x" * number}"}}' for number in range(data.draw(st.integers(1, 4)))]
    left = [list(text) for text in texts]
    chunks = [W.call(number, f"c{number}", "f") for number in range(len(texts))]
    while any(left):
        number = data.draw(st.sampled_from([at for at, letters in enumerate(left) if letters]))
        size = data.draw(st.integers(1, 9))
        chunks.append(W.arguments(number, "".join(left[number][:size])))
        del left[number][:size]
    stream = encoded(*chunks, W.finish("tool_calls"), DONE)
    pieces: dict[int, str] = {}
    for value in data_of(stream):
        if value["type"] == "content_block_delta":
            assert value["index"] >= max(pieces, default=0)
            pieces[value["index"]] = pieces.get(value["index"], "") + value["delta"]["partial_json"]
    assert list(pieces.values()) == texts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x", "{}", "stop"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "function", "arguments", "id", "index"]), inner),
    max_leaves=5,
)
FIELDS = ["content", "tool_calls", "thinking_blocks", "reasoning_content", "refusal", "annotations"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), JSON)
def test_no_chunk_or_completion_of_whatever_shape_makes_the_client_side_fail(fields: dict[str, Any], finish: Any) -> None:
    chunk = b"data: " + orjson.dumps({"id": "x", "choices": [{"delta": fields, "finish_reason": finish}]}) + b"\n\n"
    assert encoded(W.role(), chunk, W.finish("stop"), DONE).endswith(b'{"type":"message_stop"}\n\n')
    with suppress(GatewayError):
        whole(fields, finish)


def whole(answer: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    body = {"id": "chatcmpl-9", "model": "gpt-x", "choices": [{"index": 0, "message": answer, "finish_reason": finish}], **more}
    value: dict[str, Any] = orjson.loads(CLIENT.whole(messages(), orjson.dumps(body)))
    return value


def test_a_plain_completion_becomes_a_message() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    found = whole(
        {"role": "assistant", "content": "x", "reasoning_content": "r", "tool_calls": [call]},
        usage={"prompt_tokens": 3, "completion_tokens": 2},
    )
    assert found["content"] == [
        {"type": "thinking", "thinking": "r", "signature": ""},
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    ]
    assert (found["id"], found["type"], found["role"], found["model"]) == ("msg_9", "message", "assistant", "gpt-x")
    assert (found["stop_reason"], found["stop_sequence"]) == ("tool_use", None)
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"]) == (3, 2)
    assert whole({"role": "assistant", "content": None})["content"] == []


def test_arguments_that_are_no_object_are_an_error_unless_the_limit_cut_them() -> None:
    answer = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a'}}],
    }
    with pytest.raises(GatewayError) as caught:
        whole(answer)
    assert (caught.value.status, caught.value.code) == (502, "bad_reply")
    cut = whole(answer, "length")
    assert (cut["content"][0]["input"], cut["stop_reason"]) == ({}, "max_tokens")


@pytest.mark.parametrize("reply", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b"<html>"])
def test_a_reply_that_is_no_completion_is_an_error(reply: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        CLIENT.whole(messages(), reply)
    assert caught.value.status == 502
