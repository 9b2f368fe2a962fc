"""Streams: order, errors part-way, cut streams, and replies that are no stream of events."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.gemini import GeminiProvider
from edgegate.dialects.gemini.stream import ChatStream
from edgegate.taps import Outcome
from tests.unit.dialects.gemini.test_replies import REPLY

ERROR = {"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}


def chunk(*parts: dict[str, Any], finish: str | None = None, index: int | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, **more}
    if finish:
        candidate["finishReason"] = finish
    if index is not None:
        candidate["index"] = index
    return {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1"}


def event(value: Any, end: bytes = b"\r\n\r\n") -> bytes:
    return b"data: " + orjson.dumps(value) + end


def tap_of(progress: Progress, chat: dict[str, Any] | None = None, *, usage: bool = False) -> ChatStream:
    tap = GeminiProvider().stream(Ask(chat or {}, "gemini-2.5-flash", True, "chatcmpl-0123abcd", 17, usage), progress)
    assert isinstance(tap, ChatStream)
    return tap


def run(*values: Any, chat: dict[str, Any] | None = None, outcome: Outcome = Outcome.OK, usage: bool = False) -> tuple[bytes, Progress]:
    progress = Progress()
    tap = tap_of(progress, chat, usage=usage)
    out = b"".join(tap.feed(event(value)) for value in values)
    return out + tap.end(outcome), progress


def chunks(out: bytes) -> list[Any]:
    return [orjson.loads(block[6:]) for block in out.split(b"\n\n") if block and block != b"data: [DONE]"]


def deltas(out: bytes) -> list[Any]:
    return [(choice["index"], choice["delta"], choice["finish_reason"]) for found in chunks(out) for choice in found["choices"]]


def test_text_stream() -> None:
    out, progress = run(chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP"))
    assert deltas(out) == [
        (0, {"role": "assistant", "content": ""}, None),
        (0, {"content": "a"}, None),
        (0, {"content": "b"}, None),
        (0, {}, "stop"),
    ]
    assert {(found["id"], found["model"], found["created"]) for found in chunks(out)} == {("r1", "gemini-x", 17)}
    assert out.endswith(b"\n\ndata: [DONE]\n\n")
    assert (progress.started, progress.finished, progress.finish_reason, progress.events) == (True, True, "stop", 2)


def test_every_kind_of_part_streams() -> None:
    out, _ = run(
        chunk({"text": "hm", "thought": True}),
        chunk({"inlineData": {"mimeType": "image/png", "data": "AA"}}, {"inlineData": {"mimeType": "image/png", "data": "BB"}}),
        chunk(
            {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AA"}},
            {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "BB"}},
        ),
        chunk({"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}),
        chunk({"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "S"}, {"functionCall": {"name": "g", "id": "own"}}),
        chunk({"text": "", "thoughtSignature": "T"}, finish="STOP"),
    )
    found = [delta for _, delta, _ in deltas(out)][1:]
    assert found == [
        {"reasoning_content": "hm"},
        {"images": [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
        {"images": [{"index": 1, "type": "image_url", "image_url": {"url": "data:image/png;base64,BB"}}]},
        {"audio": {"id": "audio_chatcmpl-0123abcd", "data": "AA"}},
        {"audio": {"data": "BB"}},
        {"extra_content": {"google": {"parts": [{"index": 0, "executableCode": {"code": "1"}}]}}},
        {"extra_content": {"google": {"parts": [{"index": 1, "codeExecutionResult": {"output": "1"}}]}}},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_0123abcd_0",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a":1}'},
                    "extra_content": {"google": {"thought_signature": "S"}},
                }
            ]
        },
        {"tool_calls": [{"index": 1, "id": "own", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
        {"extra_content": {"google": {"thought_signature": "T"}}},
        {},
    ]
    assert deltas(out)[-1][2] == "tool_calls"


def test_answer_is_whole_when_every_candidate_seen_has_finished() -> None:
    progress = Progress()
    tap = tap_of(progress)
    tap.feed(event(chunk({"text": "a"})))
    tap.feed(event(chunk({"text": "b"}, index=1)))
    out = tap.feed(event(chunk({"text": "c"}, finish="STOP", index=1)))
    assert deltas(out) == [(1, {"content": "c"}, None), (1, {}, "stop")]
    assert (progress.finished, progress.finish_reason) == (False, "stop")
    tap.feed(event(chunk(finish="MAX_TOKENS", index=0)))
    assert (progress.finished, progress.finish_reason) == (True, "length")


@pytest.mark.parametrize(
    ("value", "started"),
    [
        ({"usageMetadata": {"promptTokenCount": 3}}, False),
        (chunk(), False),
        (chunk({"text": ""}), False),
        (chunk({"text": "", "thought": True}), False),
        (chunk({"text": "", "thoughtSignature": "S"}), False),
        (chunk({"text": "a"}), True),
        (chunk({"text": "a", "thought": True}), True),
        (chunk({"functionCall": {"name": "f"}}), True),
        (chunk({"inlineData": {"data": "AA"}}), True),
        (chunk(finish="STOP"), True),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
    ],
)
def test_started_means_something_to_show(value: Any, started: bool) -> None:
    progress = Progress()
    tap_of(progress).feed(event(value))
    assert progress.started is started
    watched = Progress()
    GeminiProvider().watch("gemini.generate", Ask({}, "m", True, "i", 1), watched).feed(event(value))
    assert watched.started is started


def test_blocked_prompt_is_a_filtered_answer() -> None:
    out, progress = run({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}, usage=True)
    assert deltas(out) == [(0, {"role": "assistant", "content": ""}, None), (0, {}, "content_filter")]
    assert chunks(out)[-1]["usage"]["prompt_tokens"] == 3
    assert progress.finished


def test_the_last_of_each_count_wins() -> None:
    _, progress = run(
        {**chunk({"text": "a"}), "usageMetadata": {"promptTokenCount": 15, "thoughtsTokenCount": 4, "cachedContentTokenCount": 2}},
        {**chunk({"text": "b"}), "usageMetadata": {"promptTokenCount": 13}},
        {**chunk(finish="STOP"), "usageMetadata": {"candidatesTokenCount": 6}},
    )
    usage = progress.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens, usage.cached_tokens) == (13, 10, 4, 2)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_no_terminal_event_unless_all_went_well(outcome: Outcome) -> None:
    out, _ = run(chunk({"text": "a"}, finish="STOP"), outcome=outcome, usage=True)
    assert b"[DONE]" not in out
    assert b'"usage"' not in out


@pytest.mark.parametrize("values", [[], [chunk({"text": "a"})], [{"candidates": []}], [{"candidates": [], "usageMetadata": {}}]])
def test_stream_without_a_finish_never_ends_well(values: list[Any]) -> None:
    out, progress = run(*values, usage=True)
    assert not progress.finished
    assert b"[DONE]" not in out


@pytest.mark.parametrize("wrapped", [ERROR, [ERROR]])
def test_error_part_way_ends_the_output(wrapped: Any) -> None:
    progress = Progress()
    tap = tap_of(progress)
    out = tap.feed(event(chunk({"text": "a"})) + event(wrapped) + event(chunk({"text": "b"}, finish="STOP")))
    out += tap.feed(event(chunk({"text": "c"}))) + tap.end(Outcome.OK)
    assert [delta for _, delta, _ in deltas(out)][1:] == [{"content": "a"}]
    assert progress.error is not None
    assert (progress.error.status, progress.error.code, progress.error.message) == (503, "overloaded", "Overloaded")
    assert not progress.finished


@pytest.mark.parametrize(
    "body", [orjson.dumps(ERROR), orjson.dumps([ERROR]), b"\r\n [ " + orjson.dumps(ERROR, option=orjson.OPT_INDENT_2) + b"\n]\n"]
)
def test_bare_error_is_known_before_the_end(body: bytes) -> None:
    for size in (1, 7, len(body)):
        progress = Progress()
        tap = tap_of(progress)
        assert not any(tap.feed(body[at : at + size]) for at in range(0, len(body), size))
        assert progress.error is not None
        assert progress.error.status == 503
        assert tap.end(Outcome.OK) == b""


def test_bare_array_of_replies_is_read() -> None:
    progress = Progress()
    tap = tap_of(progress)
    values = [chunk({"text": "a" * 40_000}), chunk({"text": "b" * 40_000}, finish="STOP")]
    body = orjson.dumps(values, option=orjson.OPT_INDENT_2)
    out = b"".join(tap.feed(body[at : at + 1000]) for at in range(0, len(body), 1000)) + tap.end(Outcome.OK)
    assert out == run(*values)[0]
    assert progress.finished


@pytest.mark.parametrize("cut", [b"[", b'[{"candidates":[', orjson.dumps([chunk({"text": "a"}, finish="STOP")])[:-1]])
def test_cut_bare_array_is_not_finished(cut: bytes) -> None:
    progress = Progress()
    tap = tap_of(progress)
    assert tap.feed(cut) + tap.end(Outcome.OK) == b""
    assert not progress.finished
    assert progress.error is not None


@pytest.mark.parametrize("data", [b"data: <html>\n\n", b"data: 3\n\n", b'data: "a"\n\n', b'data: {"error": "x"}\n\n', b"data: {]\n\n"])
def test_a_stream_of_events_that_are_no_replies_is_a_bad_reply(data: bytes) -> None:
    progress = Progress()
    tap = tap_of(progress)
    assert tap.feed(data) + tap.end(Outcome.OK) == b""
    assert progress.error is not None
    assert (progress.error.status, progress.error.code) == (502, "bad_reply")


def test_event_beyond_the_limit_is_a_bad_reply() -> None:
    for start in (b'data: {"a": "', b'[{"a": "'):
        progress = Progress()
        tap = tap_of(progress)
        tap.feed(start)
        for _ in range(17):
            tap.feed(b"x" * 1024 * 1024)
        assert progress.error is not None
        assert progress.error.code == "bad_reply"


def test_last_event_without_its_blank_line_counts_and_half_of_one_does_not() -> None:
    for end, finished in ((b"", True), (b"\n", True)):
        progress = Progress()
        tap = tap_of(progress)
        out = tap.feed(event(chunk({"text": "a"}, finish="STOP"), end)) + tap.end(Outcome.OK)
        assert progress.finished is finished
        assert out.endswith(b"[DONE]\n\n")
    progress = Progress()
    tap = tap_of(progress)
    assert tap.feed(event(chunk({"text": "a"}, finish="STOP"))[:-9]) + tap.end(Outcome.OK) == b""
    assert not progress.finished


def test_answer_broken_off_by_the_model_is_an_error_after_what_came() -> None:
    out, progress = run(chunk({"text": "a"}, finish="MALFORMED_FUNCTION_CALL", finishMessage="Bad call"))
    assert [delta for _, delta, _ in deltas(out)][1:] == [{"content": "a"}]
    assert progress.error is not None
    assert progress.error.code == "malformed_function_call"
    assert not progress.finished
    assert b"[DONE]" not in out


def test_citations_follow_the_text_of_a_grounded_stream() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [{"segment": {"startIndex": 3, "endIndex": 4}, "groundingChunkIndices": [0]}],
    }
    values = (chunk({"text": "é "}, groundingMetadata={}), chunk({"text": "b"}, groundingMetadata=grounding), chunk(finish="STOP"))
    out, _ = run(*values, chat={"web_search_options": {}})
    assert deltas(out)[-2][1]["annotations"] == [
        {"type": "url_citation", "url_citation": {"start_index": 2, "end_index": 3, "url": "https://a", "title": "A"}}
    ]
    assert b"annotations" not in run(*values)[0]


def test_logprobs_ride_on_the_text() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": -0.5}]}
    out, _ = run(chunk({"text": "a"}, logprobsResult=result, finish="STOP"))
    assert chunks(out)[1]["choices"][0]["logprobs"]["content"][0]["token"] == "a"


def test_watch_stops_before_the_error_event() -> None:
    progress = Progress()
    tap = GeminiProvider().watch("gemini.generate", Ask({}, "m", True, "i", 1), progress)
    good = event(chunk({"text": "a"}))
    assert tap.feed(good + event(ERROR) + good) == good
    assert tap.feed(good) + tap.end(Outcome.OK) == b""
    assert progress.error is not None
    assert progress.error.wire is not None
    assert progress.error.wire.body == orjson.dumps(ERROR)


def test_watch_never_passes_on_half_an_event() -> None:
    progress = Progress()
    tap = GeminiProvider().watch("gemini.generate", Ask({}, "m", True, "i", 1), progress)
    good = event(chunk({"text": "a"}))
    assert tap.feed(good + b'data: {"candidates"') == good
    assert tap.end(Outcome.OK) == b""
    assert not progress.finished


def test_watch_leaves_judgement_to_the_native_client() -> None:
    progress = Progress()
    tap = GeminiProvider().watch("gemini.generate", Ask({}, "m", True, "i", 1), progress)
    odd = event(chunk(finish="MALFORMED_FUNCTION_CALL"))
    assert tap.feed(odd) == odd
    assert (progress.finished, progress.finish_reason, progress.error) == (True, "malformed_function_call", None)


def test_unknown_format_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="openai"):
        GeminiProvider().watch("openai.chat", Ask({}, "m", True, "i", 1), Progress())
    with pytest.raises(ValueError, match="openai"):
        GeminiProvider().glance("openai.chat", b"{}", Progress())


@given(
    st.lists(
        st.binary(max_size=20) | st.sampled_from([b"data: ", b"\n\n", b'{"candidates":[{}]}', b"[", b'{"error":{}}', b"\r\n"]), max_size=12
    )
)
def test_any_bytes_are_survived_and_never_finish(pieces: list[bytes]) -> None:
    progress = Progress()
    tap = tap_of(progress, usage=True)
    watch = GeminiProvider().watch("gemini.generate", Ask({}, "m", True, "i", 1), Progress())
    out = b"".join(tap.feed(piece) for piece in pieces) + tap.end(Outcome.OK)
    watched = b"".join(watch.feed(piece) for piece in pieces) + watch.end(Outcome.OK)
    assert not progress.finished
    assert b"[DONE]" not in out
    came = iter(b"".join(pieces))
    assert all(byte in came for byte in watched.strip()), "what goes on is what came, in its order"


@given(st.lists(REPLY, max_size=4))
def test_any_json_in_events_is_survived(values: list[Any]) -> None:
    progress = Progress()
    tap = tap_of(progress, {"web_search_options": {}, "thinking": {"type": "enabled"}}, usage=True)
    watch = GeminiProvider().watch("gemini.generate", Ask({}, "m", True, "i", 1), Progress())
    out = b"".join(tap.feed(event(value)) for value in values) + tap.end(Outcome.OK)
    assert (b"[DONE]" in out) == (progress.finished and progress.error is None)
    chunks(out)
    for value in values:
        watch.feed(event(value))


def test_arguments_nested_beyond_reason_are_a_bad_reply() -> None:
    deep = b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":%s1%s}}}]},"finishReason":"STOP"}]}\n\n'
    progress = Progress()
    tap = tap_of(progress)
    assert b"tool_calls" not in tap.feed(deep % (b"[" * 400, b"]" * 400)) + tap.end(Outcome.OK)
    assert progress.error is not None
    assert progress.error.code == "bad_reply"


def test_bare_error_keeps_googles_own_bytes() -> None:
    body = b'[{"error": {"code": 500, "message": "m", "details": [%s]}}]' % (b"[" * 400 + b"]" * 400)
    taps = (tap_of, lambda progress: GeminiProvider().watch("gemini.generate", Ask({}, "m", True, "i", 1), progress))
    for make in taps:
        progress = Progress()
        assert make(progress).feed(body) == b""
        assert progress.error is not None
        assert progress.error.wire is not None
        assert progress.error.wire.body == body
