"""Streams both ways, hand-made where recordings are thin: citations, log probabilities, thinking, several calls, faults."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.dialects.cohere.client import CohereChatClient
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.taps import Outcome, Tap
from tests.unit.dialects.cohere.sdk import by_cohere

SIDE = CohereProvider()
CHAT = CohereChatClient()
ASK = Ask({"messages": [], "stop": ["END"]}, "command-a", True, "made-up", 1, include_usage=True)


def event(kind: str, message: dict[str, Any] | None = None, **more: Any) -> bytes:
    fields = {"type": kind, **more, **({"delta": {"message": message}} if message is not None else {})}
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(fields) + b"\n\n"


def end(reason: str = "COMPLETE", **more: Any) -> bytes:
    usage = {
        "billed_units": {"input_tokens": 3, "output_tokens": 2},
        "tokens": {"input_tokens": 90, "output_tokens": 12},
        "cached_tokens": 16,
    }
    return event("message-end", delta={"finish_reason": reason, "usage": usage, **more})


def run(tap: Tap, *pieces: bytes, outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)


def heard(body: bytes, ask: Ask = ASK) -> tuple[list[dict[str, Any]], Progress]:
    """The chunks of a stream of Cohere's."""
    progress = Progress()
    out = run(SIDE.stream(ask, progress), body)
    return [orjson.loads(line[6:]) for line in out.removesuffix(DONE).split(b"\n\n") if line], progress


START = event("message-start", {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}, id="c-1")
CITED = {"start": 0, "end": 2, "text": "It", "sources": [{"type": "document", "id": "d:0", "document": {"id": "d:0", "text": "t"}}]}
TEXT = b"".join(
    [
        START,
        event("content-start", {"content": {"type": "thinking", "thinking": ""}}, index=0),
        event("content-delta", {"content": {"thinking": "Hm, "}}, index=0),
        event("content-delta", {"content": {"thinking": "é\U0001f600."}}, index=0),
        event("content-end", index=0),
        event("content-start", {"content": {"type": "text", "text": ""}}, index=1),
        event("content-delta", {"content": {"text": "It"}}, index=1, logprobs={"text": "It", "token_ids": [5], "logprobs": [-0.5]}),
        event("citation-start", {"citations": CITED}, index=0),
        event("citation-end", index=0),
        event(
            "content-delta",
            {"content": {"text": " rains"}},
            index=1,
            logprobs={"text": " rains", "token_ids": [6, 7], "logprobs": [-0.25, -1.0]},
        ),
        event("content-end", index=1),
        event("debug", prompt="<BOS>"),
        end(),
        b"data: [DONE]\n\n",
    ]
)
CALLS = b"".join(
    [
        START,
        event("tool-plan-delta", {"tool_plan": "I will"}),
        event("tool-plan-delta", {"tool_plan": " look."}),
        event("tool-call-start", {"tool_calls": {"id": "a_1", "type": "function", "function": {"name": "a", "arguments": ""}}}, index=0),
        event("tool-call-delta", {"tool_calls": {"function": {"arguments": '{"x":'}}}, index=0),
        event("tool-call-delta", {"tool_calls": {"function": {"arguments": "1}"}}}, index=0),
        event("tool-call-end", index=0),
        event("tool-call-start", {"tool_calls": {"id": "b_1", "type": "function", "function": {"name": "b", "arguments": ""}}}, index=1),
        event("tool-call-end", index=1),
        end("TOOL_CALL"),
        b"data: [DONE]\n\n",
    ]
)
MADE = {"text": TEXT, "calls": CALLS}


def test_thinking_text_log_probabilities_and_citations() -> None:
    chunks, progress = heard(TEXT)
    deltas = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(one["delta"].get("reasoning_content") or "" for one in deltas) == "Hm, é\U0001f600."
    assert "".join(one["delta"].get("content") or "" for one in deltas) == "It rains"
    entries = [entry for one in deltas if one.get("logprobs") for entry in one["logprobs"]["content"]]
    assert [(entry["token"], entry["logprob"], entry["token_ids"]) for entry in entries] == [("It", -0.5, [5]), (" rains", -1.25, [6, 7])]
    (note,) = [note for one in deltas for note in one["delta"].get("annotations", ())]
    assert (note["type"], note["citation"]["start_index"], note["citation"]["sources"]) == ("citation", 0, CITED["sources"])
    assert chunks[-1]["usage"]["billed_units"] == {"input_tokens": 3, "output_tokens": 2}
    assert (progress.usage.input_tokens, progress.usage.output_tokens, progress.usage.cached_tokens) == (90, 12, 16)
    assert {chunk["id"] for chunk in chunks} == {"c-1"}


def test_a_call_without_arguments_has_an_empty_object() -> None:
    chunks, progress = heard(CALLS)
    calls: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            for call in choice["delta"].get("tool_calls", ()):
                calls[call["index"]] = calls.get(call["index"], "") + call["function"]["arguments"]
    assert calls == {0: '{"x":1}', 1: "{}"}
    assert progress.finish_reason == "tool_calls"


def test_a_call_may_be_a_list_of_one_and_start_with_its_arguments() -> None:
    call = {"id": "a_1", "type": "function", "function": {"name": "a", "arguments": '{"x":1}'}}
    chunks, _ = heard(
        START + event("tool-call-start", {"tool_calls": [call]}, index=0) + event("tool-call-end", index=0) + end("TOOL_CALL")
    )
    (first, *rest) = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())]
    assert (first["function"], rest) == ({"name": "a", "arguments": '{"x":1}'}, [])


@pytest.mark.parametrize("body", MADE.values(), ids=MADE.keys())
def test_a_stream_comes_back_from_the_chat_as_it_was(body: bytes) -> None:
    chat = run(SIDE.stream(ASK, Progress()), body)
    before, after = by_cohere(body, streamed=True), by_cohere(run(CHAT.stream({"model": "m"}, "i"), chat), streamed=True)
    assert after == before


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(MADE)), st.lists(st.integers(0, len(TEXT) + len(CALLS)), max_size=8))
def test_however_a_stream_is_cut_it_reads_the_same(name: str, cuts: list[int]) -> None:
    body = MADE[name]
    places = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    pieces = [body[a:b] for a, b in pairwise(places)]
    one, many, watched = Progress(), Progress(), Progress()
    assert run(SIDE.stream(ASK, many), *pieces) == run(SIDE.stream(ASK, one), body)
    assert run(SIDE.watch("cohere.chat", ASK, watched), *pieces) == body
    assert many == one
    watched.model = one.model
    assert watched == one


def test_events_go_on_with_the_read_that_completes_them() -> None:
    tap, watch = SIDE.stream(ASK, Progress()), SIDE.watch("cohere.chat", ASK, Progress())
    for piece in (START, event("content-delta", {"content": {"text": "It"}}, index=0)):
        assert tap.feed(piece)
        assert watch.feed(piece) == piece
    back = CHAT.stream({"model": "m"}, "i")
    assert b'"text":"It"' in back.feed(ChunkWriter("i", 1, "m").text("It"))


def test_an_older_stream_without_done_is_whole() -> None:
    body = START + event("content-delta", {"content": {"text": "It"}}, index=0) + end()
    progress = Progress()
    assert run(SIDE.stream(ASK, progress), body).endswith(DONE)
    assert progress.finished
    progress = Progress()
    assert run(SIDE.stream(ASK, progress), body.rstrip()).endswith(DONE)


def test_a_matched_stop_sequence_is_told() -> None:
    chunks, _ = heard(START + end("STOP_SEQUENCE"))
    (finish,) = [choice for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert (finish["finish_reason"], finish["stop_reason"]) == ("stop", "END")
    several = Ask({"messages": [], "stop": ["END", "STOP"]}, "m", True, "i", 1)
    for ask in (ASK, several):
        chat = run(SIDE.stream(ask, Progress()), START + end("STOP_SEQUENCE"))
        assert by_cohere(run(CHAT.stream({}, "i"), chat), streamed=True).finish == "STOP_SEQUENCE"


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (end("ERROR", error="no luck", error_type="INVALID_TOOL_GENERATION"), 502),
        (end("TIMEOUT"), 504),
        (b'data: {"message": "internal server error"}\n\n', 502),
        (b'event: error\ndata: {"type": "error", "message": "overloaded"}\n\n', 502),
        (b"event: tool-call-delta\ndata: {\n\n", 502),
        (event("tool-call-delta", {"tool_calls": {"function": {"arguments": "x"}}}, index=0), 502),
    ],
)
def test_an_error_in_a_stream_ends_it(broken: bytes, status: int) -> None:
    told = START + event("content-delta", {"content": {"text": "It"}}, index=0)
    for side in (SIDE.stream(ASK, progress := Progress()), SIDE.watch("cohere.chat", ASK, watched := Progress())):
        out = run(side, told + broken + event("content-delta", {"content": {"text": "late"}}, index=0) + end())
        assert b"late" not in out
        assert b"[DONE]" not in out
    for seen in (progress, watched):
        assert seen.error is not None
        assert seen.error.status == status
        assert not seen.finished
    assert out == told


def test_an_event_that_nobody_knows_yet_is_passed_over() -> None:
    chunks, progress = heard(START + event("sparkle", {"x": 1}) + end())
    assert progress.error is None
    assert progress.finished
    assert chunks


def test_calls_that_come_mixed_are_told_one_after_the_other() -> None:
    writer = ChunkWriter("i", 1, "m")
    chat = b"".join(
        [
            writer.role(),
            writer.text("Looking."),
            writer.call(0, "c0", "a"),
            writer.call(1, "c1", "b"),
            writer.arguments(1, '{"y":'),
            writer.arguments(0, '{"x":1}'),
            writer.arguments(1, "2}"),
            writer.call(2, "c2", "c"),
            writer.finish("tool_calls"),
            DONE,
        ]
    )
    seen = by_cohere(run(CHAT.stream({"model": "m"}, "i"), chat), streamed=True)
    assert seen.calls == [("c0", "a", {"x": 1}), ("c1", "b", {"y": 2}), ("c2", "c", {})]
    assert (seen.text, seen.finish) == ("Looking.", "TOOL_CALL")


def test_citations_of_the_web_point_into_the_text() -> None:
    writer = ChunkWriter("i", 1, "m")
    cited = {"type": "url_citation", "url_citation": {"url": "https://e.org", "title": "E", "start_index": 3, "end_index": 8}}
    chat = writer.text("It rains") + writer.delta({"annotations": [cited]}) + writer.finish("content_filter") + DONE
    seen = by_cohere(run(CHAT.stream({"model": "m"}, "i"), chat), streamed=True)
    (citation,) = seen.citations
    assert (citation["start"], citation["end"], citation["text"]) == (3, 8, "rains")
    assert citation["sources"][0]["document"]["url"] == "https://e.org"
    assert seen.finish == "ERROR_TOXIC"


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.OK])
def test_half_an_answer_is_never_ended(outcome: Outcome) -> None:
    writer = ChunkWriter("i", 1, "m")
    out = run(CHAT.stream({"model": "m"}, "i"), writer.text("It") + writer.finish("stop"), outcome=outcome)
    assert b"message-end" not in out
    assert b"[DONE]" not in out
    assert b"message-end" not in run(CHAT.stream({"model": "m"}, "i"), writer.text("It"))
