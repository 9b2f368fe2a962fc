"""Anthropic's stream as chat chunks, in the shapes that recordings do not show, and the watching tap beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.anthropic.frames import DELTA, deltas_only, documents
from edgegate.dialects.base import Progress
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import EventReader
from tests.unit.dialects.anthropic.shapes import PROVIDER, ask, block, data_of, deltas, event, run, start, stop, text, translated

TOOL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def json_delta(piece: str) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": piece}


def watched(*pieces: bytes) -> tuple[bytes, Progress]:
    progress = Progress()
    return run(PROVIDER.watch("anthropic.messages", ask(stream=True), progress), *pieces), progress


def calls(chunks: list[dict[str, Any]]) -> list[Any]:
    return [call for delta in deltas(chunks) for call in delta.get("tool_calls", [])]


def test_a_call_without_arguments_becomes_an_empty_object() -> None:
    for pieces in ([json_delta("")], []):
        chunks, _ = translated(start(), block(0, TOOL, *pieces), stop("tool_use"))
        assert calls(chunks) == [
            {"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": ""}},
            {"index": 0, "function": {"arguments": "{}"}},
        ]


def test_arguments_given_with_the_start_of_a_block_are_kept() -> None:
    chunks, _ = translated(start(), block(0, {**TOOL, "input": {"a": 1}}), stop("tool_use"))
    assert "".join(call["function"]["arguments"] for call in calls(chunks)) == '{"a":1}'


def test_tool_calls_are_counted_apart_from_other_blocks() -> None:
    server = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    body = (
        start()
        + text(0, "a")
        + block(1, server, json_delta('{"query":"x"}'))
        + block(2, result)
        + block(3, TOOL, json_delta('{"b":'), json_delta("2}"))
        + block(4, {**TOOL, "id": "toolu_2"}, json_delta("{}"))
    )
    chunks, progress = translated(body, stop("tool_use"))
    assert [(call["index"], call["function"]["arguments"]) for call in calls(chunks)] == [
        (0, ""),
        (0, '{"b":'),
        (0, "2}"),
        (1, ""),
        (1, "{}"),
    ]
    assert "query" not in json.dumps(chunks)
    assert progress.finish_reason == "tool_calls"


def test_thinking_streams_as_text_and_its_block_follows_signed() -> None:
    thinking = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "h"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "s"},
    )
    hidden = {"type": "redacted_thinking", "data": "d"}
    chunks, _ = translated(start(), thinking, block(1, hidden), text(2, "x"), stop())
    assert deltas(chunks)[1:-1] == [
        {"reasoning_content": "h"},
        {"reasoning_content": "m"},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
        {"thinking_blocks": [hidden]},
        {"content": "x"},
    ]


def test_thinking_without_a_signature_gives_no_block() -> None:
    body = block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"})
    assert [delta for delta in deltas(translated(start(), body, stop())[0]) if "thinking_blocks" in delta] == []


def test_thinking_that_is_not_shown_still_hands_over_its_signature() -> None:
    body = block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "signature_delta", "signature": "s"})
    chunks, progress = translated(start(), body, stop())
    assert {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]} in deltas(chunks)
    assert progress.started


def test_citations_become_annotations_of_their_place() -> None:
    web = {"type": "web_search_result_location", "url": "https://x", "title": "X", "cited_text": "c", "encrypted_index": "e"}
    page = {"type": "page_location", "cited_text": "c", "document_index": 0, "start_page_number": 1, "end_page_number": 2}
    cited = block(
        1,
        {"type": "text", "text": "", "citations": []},
        {"type": "citations_delta", "citation": web},
        {"type": "text_delta", "text": "cde"},
        {"type": "citations_delta", "citation": page},
    )
    chunks, _ = translated(start(), text(0, "ab"), cited, stop())
    (notes,) = [delta["annotations"] for delta in deltas(chunks) if "annotations" in delta]
    assert notes == [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://x", "title": "X", "start_index": 2, "end_index": 5, "cited_text": "c", "encrypted_index": "e"},
        },
        {"type": "page_location", "page_location": {**page, "start_index": 2, "end_index": 5}},
    ]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("reason_of_tomorrow", "stop"),
    ],
)
def test_stop_reasons(reason: str, expected: str) -> None:
    chunks, progress = translated(start(), text(0, "x"), stop(reason))
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-1] == expected
    assert progress.finish_reason == expected


def test_the_first_stop_reason_is_the_one_finish() -> None:
    again = event("message_delta", delta={"stop_reason": "max_tokens"}, usage={"output_tokens": 11})
    chunks, progress = translated(start(), text(0, "x"), stop().replace(event("message_stop"), again))
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][2:] == ["stop"]
    assert (progress.finish_reason, progress.usage.output_tokens) == ("stop", 11)


def test_a_refusal_keeps_its_explanation_and_a_stop_sequence_its_text() -> None:
    refused = translated(start(), stop("refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": "no"}))[0]
    assert refused[-2]["choices"][0]["delta"] == {"refusal": "no"}
    stopped = translated(start(), text(0, "x"), stop("stop_sequence", stop_sequence="END"))[0]
    assert stopped[-2]["choices"][0]["stop_reason"] == "END"


def test_usage_is_cumulative_and_the_last_that_is_not_null_wins() -> None:
    first = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 7,
        "cache_read_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
        "output_tokens": 1,
    }
    later = {"input_tokens": 12, "cache_creation_input_tokens": None, "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 30}}
    last = event("message_delta", delta={"stop_reason": "end_turn"}, usage=later)
    for body in (
        start(usage=first) + text(0, "x") + last,
        start(usage=first) + event("message_delta", delta={}, usage={"output_tokens": 2}) + last,
    ):
        chunks, progress = translated(body)
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == {
            "prompt_tokens": 24,
            "completion_tokens": 40,
            "total_tokens": 64,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 7, "cache_write_1h_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 30},
        }
        assert watched(body)[1].usage == progress.usage


def test_usage_is_written_only_for_clients_that_asked() -> None:
    stream = run(PROVIDER.stream(ask(stream=True, include_usage=False), Progress()), start(), text(0, "x"), stop())
    assert b"usage" not in stream
    assert stream.endswith(b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')


def test_the_reply_has_the_providers_id_and_model_or_else_the_askers() -> None:
    chunks, progress = translated(start(), text(0, "x"), stop())
    assert {(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks} == {("msg_1", "claude-x", 1700000000)}
    assert progress.model == "claude-x"
    chunks, _ = translated(start(id=None, model=None), text(0, "x"), stop())
    assert {(chunk["id"], chunk["model"]) for chunk in chunks} == {("chatcmpl-7", "claude-sonnet-4-5")}


MEANINGLESS = [start(), PING, event("content_block_start", index=0, content_block={"type": "text", "text": ""}), text(0, "")]
MEANINGFUL = [
    text(0, "x"),
    event("content_block_start", index=0, content_block=TOOL),
    event("content_block_start", index=0, content_block={"type": "server_tool_use", "id": "s", "name": "n", "input": {}}),
    event("content_block_start", index=0, content_block={"type": "redacted_thinking", "data": "d"}),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "x"}),
    event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"}),
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}),
]


@pytest.mark.parametrize("meaningful", MEANINGFUL)
def test_the_answer_starts_with_the_first_meaningful_event(meaningful: bytes) -> None:
    for tap, progress in (
        (PROVIDER.watch("anthropic.messages", ask(), (p := Progress())), p),
        (PROVIDER.stream(ask(), (q := Progress())), q),
    ):
        for nothing in MEANINGLESS:
            tap.feed(nothing)
            assert not progress.started
        tap.feed(meaningful)
        assert progress.started


def test_pings_and_comments_are_no_events() -> None:
    body = start() + PING + b": comment\n\n" + b'data: {"type":"ping"}\n\n' + text(0, "x", "y") + PING
    for progress in (translated(body)[1], watched(body)[1]):
        assert progress.events == 5


def test_streams_whose_event_lines_a_relay_took_away_are_read_all_the_same() -> None:
    body = start() + text(0, "x") + block(1, TOOL, json_delta("{}")) + stop("tool_use")
    bare = b"".join(line + b"\n" for line in body.split(b"\n")[:-1] if not line.startswith(b"event: "))
    assert translated(bare)[0] == translated(body)[0]
    assert watched(bare)[0] == bare
    assert watched(bare)[1] == watched(body)[1]


def test_unknown_events_blocks_and_deltas_are_passed_over() -> None:
    strange = event("event_of_tomorrow", x=1) + block(0, {"type": "block_of_tomorrow"}, {"type": "delta_of_tomorrow"})
    chunks, progress = translated(start(), strange, text(1, "x"), stop())
    assert "".join(delta.get("content", "") for delta in deltas(chunks)) == "x"
    assert progress.finished
    whole = start() + strange + text(1, "x") + stop()
    assert watched(whole)[0] == whole


BROKEN = [
    b"event: content_block_start\ndata: {\n\n",
    b'event: message_delta\ndata: {"type":"message_delta"}\n\n',
]
BROKEN_TO_THE_READER = [
    b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n',
    b'event: content_block_delta\ndata: {"delta":{"type":"text_delta","text":5}}\n\n',
    event("content_block_start", index=0, content_block={"type": "tool_use", "id": 4}),
]


@pytest.mark.parametrize("broken", BROKEN + BROKEN_TO_THE_READER)
def test_a_broken_event_ends_the_stream_with_an_error_and_never_well(broken: bytes) -> None:
    chunks, progress = translated(start(), text(0, "x"), broken, stop())
    assert [delta.get("content") for delta in deltas(chunks)] == ["", "x"]
    assert progress.error is not None
    assert (progress.error.status, progress.error.code, progress.finished) == (502, "bad_reply", False)
    if broken in BROKEN:
        sent, progress = watched(start() + text(0, "x") + broken + stop())
        assert sent == start() + text(0, "x")
        assert progress.error is not None
        assert not progress.finished


def test_an_event_beyond_the_limit_ends_the_stream() -> None:
    huge = b"event: content_block_delta\ndata: " + b"x" * (16 * 1024 * 1024 + 1)
    for tap, progress in (
        (PROVIDER.watch("anthropic.messages", ask(), (p := Progress())), p),
        (PROVIDER.stream(ask(), (q := Progress())), q),
    ):
        tap.feed(start() + text(0, "x"))
        assert tap.feed(huge) == b""
        assert progress.error is not None
        assert tap.feed(stop()) == b""
        assert tap.end(Outcome.UPSTREAM_BROKE) == b""


def test_an_error_event_tells_its_status_by_its_type() -> None:
    for kind, status in (
        ("overloaded_error", 529),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("invalid_request_error", 400),
        ("new", 502),
    ):
        _, progress = translated(start(), event("error", error={"type": kind, "message": "m"}))
        assert progress.error is not None
        assert (progress.error.status, progress.error.message) == (status, "m")
        assert progress.error.retryable == (status != 400)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_an_error_event_is_cut_off_at_its_first_byte_whatever_the_line_ends(line_end: bytes) -> None:
    good = (start() + b": c\n\n" + text(0, "x") + PING).replace(b"\n", line_end)
    bad = (event("error", error={"type": "api_error", "message": "m"}) + stop()).replace(b"\n", line_end)
    sent, progress = watched(good + bad)
    assert sent == good
    assert progress.error is not None


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_may_be_cut_anywhere(line_end: bytes) -> None:
    body = (start() + text(0, "x", "y") + stop()).replace(b"\n", line_end)
    chunks = run(PROVIDER.stream(ask(), Progress()), body)
    for at in range(len(body) + 1):
        assert watched(body[:at], body[at:])[0] == body
        assert run(PROVIDER.stream(ask(), Progress()), body[:at], body[at:]) == chunks


ONE = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "event: error\\n\\ndata: x"})
OTHER = event("message_delta", delta={"stop_reason": "end_turn"})
MIXED = [
    OTHER,
    ONE + OTHER,
    OTHER + ONE,
    ONE + OTHER.replace(b"event: message_delta\n", b""),
    ONE + OTHER.replace(b"event: ", b"event:"),
    ONE.replace(b"\n\n", b"\nevent: message_delta\n\n"),
    ONE.replace(b"\n\n", b"\n: comment\n\n"),
    ONE.replace(b"\n\n", b"\r\r") + OTHER,
    ONE[:-1] + b"\r" + OTHER,
    ONE[:-2] + b"\r\r" + OTHER.replace(b"\n", b"\r")[:-2] + b"\n\n",
    ONE + b": comment\n\n",
    ONE + b"\n" + OTHER,
    ONE[:-1],
    DELTA + b"\nevent: content_block_delta\ndata: \n\n",
    b"data: event: content_block_delta\n" + ONE,
    ONE.replace(b"data: ", b"data:"),
    b"\xef\xbb\xbf" + ONE,
    b"",
]


@pytest.mark.parametrize("data", MIXED)
def test_the_short_way_is_taken_for_nothing_but_deltas(data: bytes) -> None:
    assert deltas_only(data) == 0


@pytest.mark.parametrize("number", [1, 2, 7])
def test_the_short_way_sees_what_the_reader_sees(number: int) -> None:
    events = EventReader().feed(ONE * number)
    assert deltas_only(ONE * number) == number
    assert documents(ONE * number) == [event.data for event in events]
    assert {event.name for event in events} == {b"content_block_delta"}


def test_a_watched_read_of_whole_events_is_the_same_object() -> None:
    tap = PROVIDER.watch("anthropic.messages", ask(), Progress())
    tap.feed(start())
    assert tap.feed(ONE) is ONE
    assert tap.feed(OTHER) is OTHER


WHOLE_FAULTS = [
    (b"", "bad_reply", 502),
    (b"<html>busy</html>", "bad_reply", 502),
    (b'{"content":[{"type":"te', "bad_reply", 502),
    (b'{"type":"message","content":[]}', "bad_reply", 502),
    (b'{"type":"message","content":"x","stop_reason":"end_turn"}', "bad_reply", 502),
    (b'{"choices":[]}', "bad_reply", 502),
    (b"[]", "bad_reply", 502),
    (b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', "overloaded", 529),
]


@pytest.mark.parametrize(("body", "code", "status"), WHOLE_FAULTS)
def test_a_plain_reply_that_holds_no_answer_is_an_error(body: bytes, code: str, status: int) -> None:
    for read in (lambda p: PROVIDER.whole(ask(), body, p), lambda p: PROVIDER.glance("anthropic.messages", body, p)):
        progress = Progress()
        with pytest.raises(GatewayError) as caught:
            read(progress)
        assert (caught.value.code, caught.value.status) == (code, status)
        assert caught.value.retryable
        assert not progress.finished


def test_a_model_that_says_nothing_has_answered() -> None:
    body = json.dumps(
        {"id": "msg_1", "model": "m", "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 2}}
    )
    choice = json.loads(PROVIDER.whole(ask(), body.encode(), Progress()))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": ""}
    assert choice["finish_reason"] == "stop"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x", "text", "tool_use", "thinking", "text_delta", "end_turn"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "id", "name", "delta", "usage", "content_block", "message", "stop_reason"]), inner
        )
    ),
    max_leaves=6,
)
NAMES = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
    "odd",
]


def is_part_of(passed: bytes, given: bytes) -> bool:
    """Whether what was passed on are events that were given, in their order: only events that are no JSON objects are left out."""
    events = iter(given.split(b"\n\n"))
    return all(event in events for event in passed.split(b"\n\n"))


@given(st.lists(st.tuples(st.sampled_from(NAMES), JSON), min_size=1, max_size=5))
def test_no_event_of_whatever_shape_makes_a_tap_fail(given: list[tuple[str, Any]]) -> None:
    body = b"".join(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode() for name, value in given)
    for front in (b"", start() + text(0, "x")):
        chunks = run(PROVIDER.stream(ask(), (progress := Progress())), front + body)
        assert (b"[DONE]" in chunks) == (progress.finished and progress.error is None)
        assert is_part_of(watched(front + body)[0], front + body)


def test_who_called_a_tool_is_kept_where_it_was_not_the_model_itself() -> None:
    caller = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    chunks, _ = translated(
        start(), block(0, {**TOOL, "caller": caller}), block(1, {**TOOL, "caller": {"type": "direct"}}), stop("tool_use")
    )
    assert calls(chunks)[0]["extra_content"] == {"anthropic": {"caller": caller}}
    assert "extra_content" not in calls(chunks)[2]
    assert data_of(b"") == []
