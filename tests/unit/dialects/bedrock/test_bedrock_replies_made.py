"""Replies that recordings lack, plain and streamed: forced tools, citations, pictures, tools that Amazon runs, errors."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import DONE
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.eventstream import frame
from tests.unit.dialects.bedrock.made import (
    CLAUDE,
    NOVA,
    NOVA_2,
    SIDE,
    asked,
    delta,
    ended,
    event,
    exception,
    heard,
    joined,
    start,
    stop,
    tool,
    user,
)

BEGIN = event("messageStart", role="assistant")
WANTED = {"type": "json_schema", "json_schema": {"name": "N", "schema": {"type": "object", "properties": {}}}}
FORCED = asked(user("A"), response_format=WANTED, model=NOVA, stream=True)
PAGE = {"title": "T", "sourceContent": [{"text": "cited"}], "location": {"documentPage": {"documentIndex": 1, "start": 2, "end": 3}}}
WEB = {"title": "W", "location": {"web": {"url": "https://a.example", "domain": "a.example"}}}


def whole(content: list[Json], reason: str = "end_turn", ask: Ask | None = None, **more: Any) -> tuple[Json, Progress]:
    """(choice 0, progress)."""
    progress = Progress()
    usage = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}
    reply = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason, "usage": usage, **more}
    body = orjson.loads(SIDE.whole(ask or asked(), orjson.dumps(reply), progress))
    choice: Json = body["choices"][0]
    return choice, progress


def fault(body: bytes, ask: Ask | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        SIDE.whole(ask or asked(), body, Progress())
    return caught.value


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_tool_use", "stop"),
        ("something_newer", "stop"),
    ],
)
def test_reasons_in_the_chats_words(reason: str, finish: str) -> None:
    choice, progress = whole([{"text": "A"}], reason)
    assert choice["finish_reason"] == progress.finish_reason == finish
    _, progress, out = heard(BEGIN + delta(0, text="A") + stop(0) + ended(reason))
    assert progress.finish_reason == finish
    assert f'"finish_reason":"{finish}"'.encode() in out


def test_what_the_model_wrote_and_nobody_could_read_is_an_error() -> None:
    body = {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "malformed_model_output", "usage": {}}
    assert fault(orjson.dumps(body)).status == 502
    _, progress, out = heard(BEGIN + ended("malformed_tool_use"))
    assert progress.error is not None
    assert progress.error.retryable
    assert DONE not in out


def test_an_answer_of_nothing_is_one() -> None:
    assert whole([])[0]["message"]["content"] == ""
    _, progress, out = heard(BEGIN + ended())
    assert progress.finished
    assert out.endswith(DONE)


def test_the_sequence_that_matched_is_told() -> None:
    fields: Json = {"additionalModelResponseFields": {"stop_sequence": "###"}}
    assert whole([{"text": "A"}], "stop_sequence", **fields)[0]["stop_reason"] == "###"
    assert b'"stop_reason":"###"' in heard(BEGIN + delta(0, text="A") + ended("stop_sequence", **fields))[2]


def test_calls_that_end_with_end_turn_are_calls() -> None:
    call = {"toolUse": {"toolUseId": "t", "name": "weather", "input": {}}}
    assert whole([call])[0]["finish_reason"] == "tool_calls"
    deltas, progress, _ = heard(start(0, toolUse={"toolUseId": "t", "name": "weather"}) + stop(0) + ended())
    assert progress.finish_reason == "tool_calls"
    calls = [found for message in deltas for found in message.get("tool_calls", [])]
    assert calls[0] == {"index": 0, "id": "t", "type": "function", "function": {"name": "weather", "arguments": ""}}
    assert calls[1] == {"index": 0, "function": {"arguments": "{}"}}  # a call without arguments


def test_blocks_that_mix_stay_apart() -> None:
    stream = BEGIN + start(1, toolUse={"toolUseId": "a", "name": "x"}) + start(2, toolUse={"toolUseId": "b", "name": "y"})
    for index, piece in ((1, '{"n"'), (2, '{"m"'), (1, ": 1}"), (2, ": 2}")):
        stream += delta(index, toolUse={"input": piece})
    deltas, _, _ = heard(stream + stop(1) + stop(2) + ended("tool_use"))
    pieces = [found for message in deltas for found in message.get("tool_calls", [])]
    said = ["".join(found["function"]["arguments"] for found in pieces if found["index"] == index) for index in (0, 1)]
    assert said == ['{"n": 1}', '{"m": 2}']


def test_names_come_back_as_the_client_knows_them() -> None:
    ask = asked(user("A"), tools=[tool("fs.read")], stream=True)
    call = {"toolUseId": "t", "name": "fs_read"}
    assert whole([{"toolUse": {**call, "input": {}}}], "tool_use", ask)[0]["message"]["tool_calls"][0]["function"]["name"] == "fs.read"
    deltas, _, _ = heard(start(0, toolUse=call) + stop(0) + ended("tool_use"), ask)
    assert any(message.get("tool_calls", [{}])[0].get("function", {}).get("name") == "fs.read" for message in deltas)


def test_tools_that_amazon_runs_are_no_calls_of_the_clients() -> None:
    ours = {"toolUseId": "s", "name": "nova_code_interpreter", "type": "server_tool_use"}
    content: list[Json] = [
        {"toolUse": {**ours, "input": {"snippet": "1"}}},
        {"toolResult": {"toolUseId": "s", "content": [], "type": "r"}},
        {"text": "2"},
    ]
    choice, _ = whole(content, ask=asked(model=NOVA_2))
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"
    stream = BEGIN + start(0, toolUse=ours) + delta(0, toolUse={"input": '{"snippet": "1"}'}) + stop(0)
    stream += (
        start(1, toolResult={"toolUseId": "s"}) + delta(1, toolResult=[{"json": {"stdOut": "2"}}]) + stop(1) + delta(2, text="2") + ended()
    )
    deltas, progress, out = heard(stream)
    assert joined(deltas) == "2"
    assert b"tool_calls" not in out
    assert progress.finish_reason == "stop"


def test_a_forced_tools_input_is_the_answer() -> None:
    choice, progress = whole(
        [{"text": "Sure"}, {"toolUse": {"toolUseId": "t", "name": "json_answer", "input": {"a": "\u00e9"}}}], "tool_use", FORCED
    )
    assert choice["message"] == {"role": "assistant", "content": '{"a":"\u00e9"}'}
    assert choice["finish_reason"] == progress.finish_reason == "stop"
    stream = BEGIN + delta(0, text="Sure") + stop(0) + start(1, toolUse={"toolUseId": "t", "name": "json_answer"})
    stream += delta(1, toolUse={"input": '{"a":'}) + delta(1, toolUse={"input": '"\u00e9"}'}) + stop(1) + ended("tool_use")
    deltas, progress, out = heard(stream, FORCED)
    assert joined(deltas) == '{"a":"\u00e9"}'
    assert b"tool_calls" not in out
    assert progress.finish_reason == "stop"


def test_text_is_the_answer_where_the_forced_tool_never_came() -> None:
    assert whole([{"text": "No."}], ask=FORCED)[0]["message"]["content"] == "No."
    assert joined(heard(BEGIN + delta(0, text="N") + delta(0, text="o.") + ended(), FORCED)[0]) == "No."


def test_citations_say_what_they_are_about() -> None:
    choice, _ = whole([{"text": "A. "}, {"citationsContent": {"content": [{"text": "B."}], "citations": [PAGE, WEB]}}])
    streamed, _, _ = heard(
        delta(0, text="A. ") + stop(0) + delta(1, text="B.") + delta(1, citation=PAGE) + delta(1, citation=WEB) + stop(1) + ended()
    )
    assert choice["message"]["content"] == joined(streamed) == "A. B."
    place = {"document_index": 1, "start_page_number": 2, "end_page_number": 3, "document_title": "T", "cited_text": "cited"}
    page = {"type": "page_location", "page_location": {**place, "type": "page_location", "start_index": 3, "end_index": 5}}
    web = {
        "type": "url_citation",
        "url_citation": {"url": "https://a.example", "title": "W", "start_index": 3, "end_index": 5, "domain": "a.example"},
    }
    assert choice["message"]["annotations"] == [page, web]
    assert [found for message in streamed for found in message.get("annotations", [])][-1] == web


def test_pictures_are_put_together_from_pieces_that_are_encoded_apart() -> None:
    data = base64.b64encode(b"picture").decode()
    entry = {"index": 0, "type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    assert whole([{"image": {"format": "png", "source": {"bytes": data}}}])[0]["message"]["images"] == [entry]
    pieces = [base64.b64encode(piece).decode() for piece in (b"pict", b"ure")]
    stream = (
        start(0, image={"format": "png"}) + b"".join(delta(0, image={"source": {"bytes": piece}}) for piece in pieces) + stop(0) + ended()
    )
    assert [message["images"] for message in heard(stream)[0] if "images" in message] == [[entry]]


def test_signed_reasoning_of_other_makers_is_kept_under_their_name() -> None:
    block = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "S"}}}
    detail = {"type": "reasoning.text", "text": "Hm", "signature": "S", "format": "bedrock-amazon-v1", "index": 0}
    message = whole([block, {"text": "A"}], ask=asked(model=NOVA_2))[0]["message"]
    assert (message["reasoning_content"], message["reasoning_details"]) == ("Hm", [detail])
    assert "thinking_blocks" not in message
    stream = (
        delta(0, reasoningContent={"text": "Hm"}) + delta(0, reasoningContent={"signature": "S"}) + stop(0) + delta(1, text="A") + ended()
    )
    deltas, _, _ = heard(stream, asked(model=NOVA_2, stream=True))
    assert [found["reasoning_details"] for found in deltas if "reasoning_details" in found] == [[detail]]
    deltas, _, _ = heard(stream)
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "S"}]
    assert [found["thinking_blocks"] for found in deltas if "thinking_blocks" in found] == [blocks]


def test_redacted_reasoning_in_pieces() -> None:
    pieces = [base64.b64encode(piece).decode() for piece in (b"EuQDC", b"kg")]
    stream = b"".join(delta(0, reasoningContent={"redactedContent": piece}) for piece in pieces) + stop(0) + ended()
    blocks = [message["thinking_blocks"] for message in heard(stream)[0] if "thinking_blocks" in message]
    assert blocks == [[{"type": "redacted_thinking", "data": "EuQDCkg"}]]


def test_usage_of_the_cache_is_part_of_the_input() -> None:
    details = [{"ttl": "5m", "inputTokens": 30}, {"ttl": "1h", "inputTokens": 70}]
    usage = {
        "inputTokens": 3,
        "outputTokens": 5,
        "totalTokens": 118,
        "cacheReadInputTokens": 10,
        "cacheWriteInputTokens": 100,
        "cacheDetails": details,
    }
    found = whole([{"text": "A"}], usage=usage)[1].usage
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (113, 5, 10)
    assert (found.cache_write_tokens, found.cache_write_1h_tokens) == (100, 70)
    out = heard(delta(0, text="A") + event("messageStop", stopReason="end_turn") + event("metadata", usage=usage))[2]
    assert b'"prompt_tokens":113' in out.split(b"\n\n")[-3]


def test_counts_are_shown_only_to_who_asked_for_them() -> None:
    ask = Ask({"messages": []}, CLAUDE, True, "id", 1)
    out = heard(delta(0, text="A") + ended(), ask)[2]
    assert b"usage" not in out
    assert out.endswith(DONE)


@pytest.mark.parametrize(
    ("kind", "status", "code", "retryable"),
    [
        ("throttlingException", 429, "rate_limit_exceeded", True),
        ("validationException", 400, "invalid_request", False),
        ("modelStreamErrorException", 502, "provider_error", True),
        ("internalServerException", 500, "server_error", True),
        ("serviceUnavailableException", 503, "overloaded", True),
        ("modelTimeoutException", 408, "upstream_timeout", True),
        ("newerException", 502, "server_error", True),
    ],
)
@pytest.mark.parametrize("before", [b"", BEGIN, BEGIN + delta(0, text="He")])
def test_exceptions_in_the_stream(kind: str, status: int, code: str, retryable: bool, before: bytes) -> None:
    deltas, progress, out = heard(before + exception(kind, "No.") + delta(0, text="llo") + ended())
    error = progress.error
    assert error is not None
    assert (error.status, error.code, error.retryable, error.message) == (status, code, retryable, "No.")
    assert joined(deltas) == ("He" if b"He" in before else "")
    assert DONE not in out
    assert progress.started == (b"He" in before)
    assert not progress.finished


def test_errors_below_the_operation_have_their_own_headers() -> None:
    below = frame({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "Broken."})
    error = heard(BEGIN + below)[1].error
    assert error is not None
    assert (error.status, error.message) == (500, "Broken.")


def test_an_exception_after_the_stop_costs_only_the_counts() -> None:
    _, progress, out = heard(delta(0, text="A") + event("messageStop", stopReason="end_turn") + exception("internalServerException", "x"))
    assert progress.error is None
    assert out.endswith(DONE)


@pytest.mark.parametrize(
    "broken",
    [
        b"<html>no stream at all</html>",
        b"data: {}\n\n" * 3,
        frame({":event-type": "contentBlockStart"}, b"{"),
        event("messageStop"),
        start(0, toolUse={"name": "x"}),
    ],
)
def test_a_stream_that_cannot_be_understood_is_an_error_and_loses_nothing_before_it(broken: bytes) -> None:
    deltas, progress, out = heard(BEGIN + delta(0, text="He") + broken + delta(0, text="llo") + ended())
    assert joined(deltas) == "He"
    assert progress.error is not None
    assert (progress.error.status, progress.error.code) == (502, "bad_reply")
    assert DONE not in out


def test_unknown_events_and_deltas_are_passed_over() -> None:
    stream = event("novelty", a=1) + delta(0, novelty={}) + event("contentBlockDelta", delta=None) + start(3) + stop(9)
    deltas, progress, _ = heard(BEGIN + stream + delta(0, text="A") + ended())
    assert joined(deltas) == "A"
    assert progress.finished


def test_a_role_alone_does_not_start_an_answer() -> None:
    assert not heard(BEGIN + delta(0, text=""), outcome=Outcome.UPSTREAM_BROKE)[1].started


@given(
    st.lists(
        st.sampled_from(
            [
                BEGIN,
                delta(0, text="A"),
                start(1, toolUse={"toolUseId": "t", "name": "n"}),
                delta(1, toolUse={"input": "{}"}),
                stop(1),
                ended()[:40],
                ended(),
                exception("throttlingException", "x"),
            ]
        ),
        max_size=8,
    )
)
def test_events_in_any_order_never_raise(parts: list[bytes]) -> None:
    _, progress, out = heard(b"".join(parts))
    assert out.endswith(DONE) == (progress.finished and progress.error is None)


KEYS = (
    "contentBlockIndex delta start toolUse toolUseId name input text reasoningContent signature redactedContent "
    "citation location web url image source bytes stopReason usage inputTokens cacheDetails output message content "
    "citationsContent citations additionalModelResponseFields stop_sequence type "
)
EVENTS = "messageStart contentBlockStart contentBlockDelta contentBlockStop messageStop metadata"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=5),
    max_leaves=15,
)


@given(st.lists(st.tuples(st.sampled_from(EVENTS.split()), JSON), max_size=6))
def test_events_of_odd_json_never_raise(events: list[tuple[str, Any]]) -> None:
    heard(b"".join(frame({":event-type": name, ":message-type": "event"}, orjson.dumps(value)) for name, value in events))


@given(st.lists(JSON, max_size=4), JSON)
def test_plain_replies_of_odd_json_are_answers_or_errors(content: list[Any], usage: Any) -> None:
    reply = {"output": {"message": {"content": content}}, "stopReason": "end_turn", "usage": usage}
    try:
        SIDE.whole(asked(), orjson.dumps(reply), Progress())
    except GatewayError as error:
        assert error.status == 502  # noqa: PT017  no error is as good


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"Output": {"__type": "com.amazon.coral.service#ThrottlingException"}, "message": "Slow down"}', 429, "Slow down"),
        (b'{"message": "Something"}', 502, "Something"),
        (b"[]", 502, "no JSON object"),
        (b'{"output": {"message": {"content": "A"}}, "stopReason": "end_turn"}', 502, "not a whole message"),
        (b'{"output": {"message": {"content": []}}}', 502, "not a whole message"),
        (b'{"output": {"message": {"content": [{"toolUse": {"name": "x"}}]}}, "stopReason": "tool_use"}', 502, "no id or name"),
    ],
)
def test_a_plain_reply_that_is_no_answer(body: bytes, status: int, message: str) -> None:
    error = fault(body)
    assert error.status == status
    assert message in error.message
