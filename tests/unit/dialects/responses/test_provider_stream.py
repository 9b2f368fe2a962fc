"""Streams of the Responses API as chat streams: what OpenAI writes, and what others leave out."""

from __future__ import annotations

import typing
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent

from edgegate.dialects.responses.stream import HANDLERS
from edgegate.taps import Outcome
from tests.unit.dialects.responses.made import (
    CREATED,
    DONE,
    call,
    called,
    completed,
    delta,
    deltas,
    event,
    message,
    response,
    streamed,
    text_of,
    watched,
)

ACCOMPANY = (  # items that come whole at their end, and parts that begin
    "response.audio",
    "response.code_interpreter_call",
    "response.compaction",
    "response.content_part.added",
    "response.file_search_call",
    "response.image_generation_call",
    "response.mcp_",
    "response.reasoning_summary_part",
    "response.shell_call",
    "response.web_search_call",
)


def kinds() -> set[str]:
    union = typing.get_args(typing.get_args(ResponseStreamEvent)[0]) or typing.get_args(ResponseStreamEvent)
    return {str(typing.get_args(member.model_fields["type"].annotation)[0]) for member in union}


def test_every_event_of_the_sdk_is_read_or_only_accompanies_another() -> None:
    assert len(kinds()) > 50
    for kind in kinds():
        assert (kind in HANDLERS) != kind.startswith(ACCOMPANY), kind


def test_text() -> None:
    stream = (
        CREATED,
        event("output_item.added", output_index=0, item={"id": "msg_1", "type": "message", "role": "assistant", "content": []}),
        delta("Hel"),
        delta("lo"),
        event("output_text.done", item_id="msg_1", output_index=0, content_index=0, text="Hello"),
        event("content_part.done", item_id="msg_1", output_index=0, content_index=0, part={"type": "output_text", "text": "Hello"}),
        event("output_item.done", output_index=0, item=message("Hello")),
        completed(message("Hello")),
    )
    chunks, progress = streamed(*stream)
    assert deltas(chunks) == [
        {"role": "assistant", "content": ""},
        {"extra_content": {"openai": {"id": "msg_1", "index": 0}}},
        {"content": "Hel"},
        {"content": "lo"},
    ]
    assert chunks.endswith(DONE)
    last = orjson.loads(chunks.split(b"\n\n")[-3][6:])
    assert (last["id"], last["choices"], last["usage"]["prompt_tokens"]) == ("resp_1", [], 10)
    assert (progress.events, progress.finish_reason, progress.model) == (8, "stop", "gpt-x")


CHANGED = event("output_item.done", output_index=0, item=message("Hello", id="c"))


@pytest.mark.parametrize(
    "stream",
    [
        (CREATED, delta("Hello"), completed()),
        (CREATED, event("output_text.done", item_id="m", output_index=0, content_index=0, text="Hello"), completed()),
        (CREATED, event("content_part.done", output_index=0, content_index=0, part={"type": "output_text", "text": "Hello"}), completed()),
        (CREATED, event("output_item.done", output_index=0, item=message("Hello")), completed()),
        (CREATED, completed(message("Hello"))),
        (completed(message("Hello")),),
        (CREATED, delta("Hel"), event("output_item.done", output_index=0, item=message("Hello")), completed(message("Hello"))),
        (CREATED, delta("Hel"), completed(message("Hello"))),
        (delta("Hel", id="a"), delta("lo", id="b"), CHANGED, completed(message("Hello", id="d"))),
        (delta("Hello"), completed({"type": "reasoning", "id": "rs_9", "summary": []}, message("Hello", id="other"))),
    ],
    ids=["deltas", "text", "part", "item", "response", "alone", "rest in item", "rest in response", "changing ids", "moved"],
)  # fmt: skip
def test_each_thing_is_said_once_whichever_event_has_it(stream: tuple[bytes, ...]) -> None:
    chunks, progress = streamed(*stream)
    assert text_of(chunks) == "Hello"
    assert progress.error is None
    assert progress.finished
    assert chunks.endswith(DONE)


def added(index: int, **item: Any) -> bytes:
    return event("output_item.added", output_index=index, item=item)


def arguments(piece: str, index: int, id: str = "") -> bytes:
    return event("function_call_arguments.delta", item_id=id, output_index=index, delta=piece)


def test_parallel_calls_are_told_apart_by_their_place() -> None:
    first, second = call('{"a":1}'), call('{"b":2}', id="fc_2")
    chunks, progress = streamed(
        CREATED,
        added(0, **{**first, "arguments": ""}),
        added(1, **{**second, "arguments": ""}),
        arguments('{"a"', 0),
        arguments('{"b"', 1),
        arguments(":1}", 0),
        arguments(":2}", 1),
        event("function_call_arguments.done", item_id="fc_1", output_index=0, arguments='{"a":1}'),
        event("output_item.done", output_index=0, item=first),
        event("output_item.done", output_index=1, item=second),
        completed(first, second),
    )
    assert called(chunks) == [("call_fc_1", "f", '{"a":1}'), ("call_fc_2", "f", '{"b":2}')]
    assert progress.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "stream",
    [
        (added(0, **call()), event("output_item.done", output_index=0, item=call()), completed(call())),
        (added(0, **call("")), event("function_call_arguments.done", output_index=0, arguments='{"a":1}'), completed()),
        (event("output_item.done", output_index=0, item=call()), completed(call())),
        (completed(call()),),
        (arguments('{"a":1}', 0, "fc_1"), event("output_item.done", output_index=0, item=call()), completed(call())),
        (added(0, **call("")), arguments('{"a"', 0), completed(call(id="fc_1"))),
        (added(0, **{**call(""), "id": "x"}), arguments('{"a":1}', 0, "y"), completed({**call(), "id": "z"})),
    ],
    ids=["whole at once", "no deltas", "only done", "only response", "never announced", "rest in response", "changing ids"],
)
def test_a_call_is_made_once_whichever_event_has_it(stream: tuple[bytes, ...]) -> None:
    chunks, progress = streamed(CREATED, *stream)
    assert called(chunks) == [("call_fc_1", "f", '{"a":1}')]
    assert progress.finish_reason == "tool_calls"
    assert progress.error is None


def test_items_that_all_claim_the_first_place_are_told_apart_by_their_ids() -> None:
    first, second = call('{"a":1}'), call('{"b":2}', id="fc_2")
    chunks, _ = streamed(
        added(0, **{**first, "arguments": ""}),
        arguments('{"a":1}', 0, "fc_1"),
        added(0, **{**second, "arguments": ""}),
        arguments('{"b":2}', 0, "fc_2"),
        completed(first, second),
    )
    assert called(chunks) == [("call_fc_1", "f", '{"a":1}'), ("call_fc_2", "f", '{"b":2}')]


def test_a_custom_tool_s_input() -> None:
    item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": ""}
    whole = {**item, "input": "SELECT 1"}
    chunks, _ = streamed(
        added(0, **item),
        event("custom_tool_call_input.delta", output_index=0, item_id="ctc_1", delta="SELECT"),
        event("custom_tool_call_input.done", output_index=0, item_id="ctc_1", input="SELECT 1"),
        event("output_item.done", output_index=0, item=whole),
        completed(whole),
    )
    assert called(chunks) == [("c1", "sql", "SELECT 1")]


def test_reasoning() -> None:
    item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
        "encrypted_content": "gAAA",
    }
    summary = {"item_id": "rs_1", "output_index": 0}
    chunks, _ = streamed(
        added(0, id="rs_1", type="reasoning", summary=[], encrypted_content="early"),
        event("reasoning_summary_part.added", **summary, summary_index=0, part={"type": "summary_text", "text": ""}),
        event("reasoning_summary_text.delta", **summary, summary_index=0, delta="One."),
        event("reasoning_summary_text.done", **summary, summary_index=0, text="One."),
        event("reasoning_summary_text.done", **summary, summary_index=1, text="Two."),
        event("output_item.done", output_index=0, item=item),
        delta("Hi", 1),
        completed(item, message("Hi")),
    )
    assert "".join(found.get("reasoning_content", "") for found in deltas(chunks)) == "One.\n\nTwo."
    details = [detail for found in deltas(chunks) for detail in found.get("reasoning_details", [])]
    assert [detail.get("data") or detail.get("summary") for detail in details] == ["One.", "Two.", "gAAA"]


def test_readable_reasoning_text() -> None:
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hmm."}]}
    chunks, progress = streamed(
        event("reasoning_text.delta", item_id="rs_1", output_index=0, content_index=0, delta="Hm"),
        event("output_item.done", output_index=0, item=item),
        completed(item, message("Hi")),
    )
    assert "".join(found.get("reasoning_content", "") for found in deltas(chunks)) == "Hmm."
    assert text_of(chunks) == "Hi"
    assert progress.finished


def test_citations_and_log_probabilities() -> None:
    note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
    more = {**note, "url": "v"}
    token = {"token": "Hi", "logprob": -0.1, "top_logprobs": []}
    chunks, _ = streamed(
        delta("Hi", logprobs=[token]),
        event("output_text.annotation.added", item_id="msg_1", output_index=0, content_index=0, annotation_index=0, annotation=note),
        event("output_item.done", output_index=0, item=message("Hi", annotations=[note, more], logprobs=[token])),
        completed(message("Hi", annotations=[note, more])),
    )
    notes = [found for one in deltas(chunks) for found in one.get("annotations", [])]
    assert [found["url_citation"]["url"] for found in notes] == ["u", "v"]
    assert chunks.count(b'"logprobs":{"content":[{"bytes":null') == 1


def test_a_refusal() -> None:
    refused = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No way."}]}
    chunks, _ = streamed(
        event("refusal.delta", item_id="msg_1", output_index=0, content_index=0, delta="No"),
        event("refusal.done", item_id="msg_1", output_index=0, content_index=0, refusal="No way."),
        completed(refused),
    )
    assert "".join(found.get("refusal") or "" for found in deltas(chunks)) == "No way."


def test_the_vendor_s_tools_and_several_messages() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    chunks, progress = streamed(
        CREATED,
        added(0, id="ws_1", type="web_search_call", status="in_progress"),
        event("web_search_call.searching", item_id="ws_1", output_index=0),
        event("output_item.done", output_index=0, item=search),
        delta("One.", 1),
        delta("Two.", 2, "msg_2"),
        completed(search, message("One."), message("Two.", id="msg_2")),
    )
    assert [found["provider_items"] for found in deltas(chunks) if "provider_items" in found] == [[{**search, "index": 0}]]
    assert text_of(chunks) == "One.Two."
    assert deltas(chunks)[-1]["extra_content"]["openai"]["messages"] == [
        {"id": "msg_1", "index": 1, "start": 0},
        {"id": "msg_2", "index": 2, "start": 4},
    ]
    assert progress.finish_reason == "stop"


def test_an_incomplete_response_ends_the_answer() -> None:
    cut = event("incomplete", response=response(message("He"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}))
    chunks, progress = streamed(CREATED, delta("He"), cut)
    assert (progress.finished, progress.finish_reason) == (True, "length")
    assert chunks.endswith(DONE)


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        (event("failed", response=response(status="failed", error={"code": "server_error", "message": "Oops"})), 500, "Oops"),
        (event("failed", response={}), 502, "did not say why"),
        (b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"Slow","param":null}\n\n', 429, "Slow"),
        (b'event: error\ndata: {"error":{"message":"Busy","type":"server_error"}}\n\n', 500, "Busy"),
        (b'data: {"error":{"message":"Busy","code":503}}\n\n', 503, "Busy"),
        (DONE, 502, "without the end"),
        (event("cancelled", response=response()), 502, "cancelled"),
    ],
    ids=["failed", "failed without words", "error", "error with an object", "bare error", "DONE", "cancelled"],
)
@pytest.mark.parametrize("begun", [b"", delta("He")], ids=["before", "within"])
def test_a_failure_ends_the_stream(begun: bytes, end: bytes, status: int, words: str) -> None:
    chunks, progress = streamed(CREATED, begun + end, delta("llo"), completed(message("Hello")))
    assert progress.error is not None
    assert progress.error.status == status
    assert words in progress.error.message
    assert b"llo" not in chunks
    assert b"[DONE]" not in chunks
    assert not progress.finished


def test_a_response_without_output_is_no_answer() -> None:
    chunks, progress = streamed(CREATED, completed())
    assert progress.error is not None
    assert b"[DONE]" not in chunks


def test_what_imitators_add_does_no_harm() -> None:
    bare = delta("Hello").split(b"\n", 1)[1]  # no `event:` line
    chunks, progress = streamed(
        b": ping\n\n", b'data: {"type":"keepalive"}\n\n', b"data: no json\n\n", CREATED, bare, completed(message("Hello")), DONE
    )
    assert text_of(chunks) == "Hello"
    assert chunks.count(b"[DONE]") == 1
    assert progress.events == 3


def test_a_last_event_without_its_blank_line_counts_only_if_the_stream_ended_well() -> None:
    stream = CREATED + delta("Hi") + completed(message("Hi"))
    assert streamed(stream.rstrip()) == streamed(stream)
    chunks, progress = streamed(stream.rstrip(), outcome=Outcome.UPSTREAM_BROKE)
    assert b"[DONE]" not in chunks
    assert not progress.finished


def test_a_body_that_is_no_stream_is_an_error() -> None:
    for body in (b'{"error":{"message":"No","code":429}}', orjson.dumps(response(message("Hi"))), b"<html>", b"nothing"):
        _, progress = streamed(body)
        assert progress.error is not None or not progress.started


ODD = st.sampled_from(
    [None, True, 0, -1, "", "x", "msg_1", [], ["x"], {}, {"text": 1}, [{"text": None}, {"text": "x", "annotations": 1}], 1.5]
)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "x", None])},
    optional=dict.fromkeys(("id", "call_id", "name", "arguments", "input", "content", "summary", "role", "encrypted_content"), ODD),
)
RESPONSE = st.fixed_dictionaries(
    {}, optional={"output": st.lists(ITEM | ODD, max_size=2) | ODD, "usage": ODD, "status": ODD, "error": ODD, "id": ODD}
)
FIELDS = (
    "item_id",
    "output_index",
    "content_index",
    "summary_index",
    "delta",
    "text",
    "refusal",
    "arguments",
    "logprobs",
    "part",
    "annotation",
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(sorted(HANDLERS))},
        optional={"item": ITEM | ODD, "response": RESPONSE | ODD, **dict.fromkeys(FIELDS, ODD)},
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(events=EVENTS)
def test_odd_events_never_raise(events: Any) -> None:
    body = b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in events)
    chunks, progress = streamed(body)
    assert chunks.endswith(DONE) == progress.finished
    native, seen = watched(body)
    assert body.startswith(native)
    assert seen.finished or not progress.finished
