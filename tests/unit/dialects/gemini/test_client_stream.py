"""Chat streams and replies as Gemini's: what no recording shows."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from edgegate.dialects.chat import DONE
from edgegate.dialects.gemini import GenerateClient, StreamClient
from edgegate.dialects.sealed import unseal
from edgegate.errors import WireError, bad_request, provider_error
from edgegate.taps import Outcome


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish, **more}
    return b"data: " + orjson.dumps({"id": "c1", "model": "m", "choices": [choice]}) + b"\n\n"


USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
COUNTED = b"data: " + orjson.dumps({"id": "c1", "model": "m", "choices": [], "usage": USAGE}) + b"\n\n"


def run(*pieces: bytes, outcome: Outcome = Outcome.OK) -> list[dict[str, Any]]:
    tap = StreamClient().stream({}, "r")
    out = b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)
    events = out.split(b"\r\n\r\n")
    assert events.pop() == b""
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events]


def parts(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for event in events for candidate in event["candidates"] for part in candidate["content"]["parts"]]


def call(index: int | None, arguments: str = "", **more: Any) -> dict[str, Any]:
    name = more.pop("name", None)
    place = {} if index is None else {"index": index}
    return {"tool_calls": [{**place, **more, "function": {**({"name": name} if name else {}), "arguments": arguments}}]}


def test_pieces_come_as_they_arrive_and_the_end_with_the_usage() -> None:
    tap = StreamClient().stream({}, "r")
    assert tap.feed(chunk({"role": "assistant", "content": ""})) == b""
    assert b'"text":"Hel"' in tap.feed(chunk({"content": "Hel"}))
    assert tap.feed(chunk({}, "stop")) == b""
    last = orjson.loads(tap.feed(COUNTED)[6:])
    assert last == {
        "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 10, "candidatesTokenCount": 2, "totalTokenCount": 17, "cachedContentTokenCount": 4, "thoughtsTokenCount": 5,
        },
        "modelVersion": "m",
        "responseId": "c1",
    }  # fmt: skip
    assert tap.feed(DONE) + tap.end(Outcome.OK) == b""


def test_text_in_the_short_way_and_the_long_way_is_the_same_event() -> None:
    short, _ = run(chunk({"content": 'a\u2028"\\'}), chunk({}, "stop"), DONE)
    long, _ = run(chunk({"content": 'a\u2028"\\', "refusal": None}), chunk({}, "stop"), DONE)
    assert short == long


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_broken_stream_has_no_end(outcome: Outcome) -> None:
    events = run(chunk({"content": "a"}), chunk({}, "stop"), outcome=outcome)
    assert len(events) == 1
    assert "finishReason" not in events[0]["candidates"][0]


def test_stream_without_a_finish_has_no_end() -> None:
    assert len(run(chunk({"content": "a"}), DONE)) == 1
    assert run(DONE) == []


def test_calls_come_whole() -> None:
    events = run(
        chunk(call(0, id="a", name="f")),
        chunk(call(0, '{"x"')),
        chunk(call(0, ":1}")),
        chunk(call(1, "{}", id="b", name="g")),
        chunk(call(2, "", id="c", name="h")),
        chunk({}, "tool_calls"),
        DONE,
    )
    assert [part["functionCall"] for part in parts(events) if "functionCall" in part] == [
        {"id": "a", "name": "f", "args": {"x": 1}},
        {"id": "b", "name": "g", "args": {}},
        {"id": "c", "name": "h", "args": {}},
    ]
    assert events[-1]["candidates"][0]["finishReason"] == "STOP"
    assert len(events[0]["candidates"][0]["content"]["parts"]) == 1, "the first does not wait for the finish"


def test_pieces_of_calls_that_are_mixed_are_put_together() -> None:
    events = run(chunk(call(0, "{", id="a", name="f")), chunk(call(1, "{", id="b", name="g")), chunk(call(0, "}")), chunk(call(1, "}")),
                 chunk({}, "tool_calls"), DONE)  # fmt: skip
    assert [part["functionCall"]["id"] for part in parts(events) if "functionCall" in part] == ["a", "b"]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    events = run(chunk(call(None, '{"a"', id="a", name="f")), chunk(call(None, ":1}")), chunk(call(None, "{}", id="b", name="g")),
                 chunk({}, "tool_calls"), DONE)  # fmt: skip
    assert [part["functionCall"]["args"] for part in parts(events) if "functionCall" in part] == [{"a": 1}, {}]


@pytest.mark.parametrize(("finish", "reason"), [("length", "MAX_TOKENS"), ("tool_calls", "MALFORMED_FUNCTION_CALL")])
def test_half_a_call_is_never_shown(finish: str, reason: str) -> None:
    events = run(chunk(call(0, '{"x": ', id="a", name="f")), chunk({}, finish), DONE)
    assert "functionCall" not in orjson.dumps(events).decode()
    assert events[-1]["candidates"][0]["finishReason"] == reason
    message = {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x": '}}]}
    whole = orjson.loads(GenerateClient().whole({}, orjson.dumps({"choices": [{"message": message, "finish_reason": finish}]})))
    assert whole["candidates"][0]["finishReason"] == reason


@pytest.mark.parametrize(
    ("finish", "native", "expected"),
    [
        ("stop", None, "STOP"),
        ("length", None, "MAX_TOKENS"),
        ("content_filter", None, "SAFETY"),
        ("content_filter", "RECITATION", "RECITATION"),
        ("tool_calls", None, "STOP"),
        ("tool_calls", "UNEXPECTED_TOOL_CALL", "UNEXPECTED_TOOL_CALL"),
        ("stop", "end_turn", "STOP"),
        ("stop", "COMPLETE", "STOP"),
        ("error", None, "OTHER"),
    ],
)
def test_reasons_to_finish(finish: str, native: str | None, expected: str) -> None:
    more: dict[str, Any] = {"native_finish_reason": native} if native else {}
    assert run(chunk({"content": "a"}), chunk({}, finish, **more), DONE)[-1]["candidates"][0]["finishReason"] == expected
    choice = {"index": 0, "message": {"content": "a"}, "finish_reason": finish, **more}
    whole = orjson.loads(GenerateClient().whole({}, orjson.dumps({"choices": [choice]})))
    assert whole["candidates"][0]["finishReason"] == expected


def test_everything_else_that_streams() -> None:
    events = run(
        chunk({"reasoning_content": "hm"}),
        chunk({"images": [{"image_url": {"url": "data:image/png;base64,AA"}}]}),
        chunk({"audio": {"id": "x", "data": "BB"}}),
        chunk({"audio": {"transcript": "said"}}),
        chunk({"extra_content": {"google": {"parts": [{"index": 0, "executableCode": {"code": "1"}}]}}}),
        chunk({"extra_content": {"google": {"thought_signature": "QQ=="}}}),
        chunk({"content": "x"}, logprobs={"content": [{"token": "x", "logprob": -0.5, "top_logprobs": [{"token": "y", "logprob": -1}]}]}),
        chunk({}, "stop"),
        DONE,
    )
    assert parts(events)[:-1] == [
        {"text": "hm", "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "BB"}},
        {"text": "said"},
        {"executableCode": {"code": "1"}},
        {"text": "", "thoughtSignature": "QQ=="},
        {"text": "x"},
    ]
    assert events[-2]["candidates"][0]["logprobsResult"] == {
        "chosenCandidates": [{"token": "x", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "y", "logProbability": -1}]}],
    }


def test_several_choices_are_candidates_and_end_together() -> None:
    events = run(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop"), chunk({}, "length", index=1), COUNTED, DONE)
    assert [event["candidates"][0]["index"] for event in events[:2]] == [0, 1]
    assert [(candidate["index"], candidate["finishReason"]) for candidate in events[2]["candidates"]] == [(0, "STOP"), (1, "MAX_TOKENS")]
    assert len(run(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop"), DONE)) == 2


NOTE = {"type": "url_citation", "url_citation": {"url": "https://h", "title": "H", "start_index": 3, "end_index": 5}}


def test_citations_are_grounding_in_bytes() -> None:
    expected = {
        "groundingChunks": [{"web": {"uri": "https://h", "title": "H"}}],
        "groundingSupports": [{"segment": {"startIndex": 4, "endIndex": 6, "text": "is"}, "groundingChunkIndices": [0]}],
    }
    events = run(chunk({"content": "é"}), chunk({"content": "! is"}), chunk({"annotations": [NOTE, {"odd": 1}]}), chunk({}, "stop"), DONE)
    assert events[-1]["candidates"][0]["groundingMetadata"] == expected
    choice = {"message": {"content": "é! is", "annotations": [NOTE]}, "finish_reason": "stop"}
    whole = orjson.loads(GenerateClient().whole({}, orjson.dumps({"choices": [choice]})))
    assert whole["candidates"][0]["groundingMetadata"] == expected


BLOCK = {"type": "thinking", "thinking": "hm", "signature": "Eq=="}
DETAIL = {"type": "reasoning.encrypted", "id": "rs_1", "data": "x", "format": "openai-responses-v1", "index": 0}


@pytest.mark.parametrize("called", [False, True])
def test_what_other_vendors_want_back_is_sealed_into_one_signature(called: bool) -> None:
    calls = [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    events = run(
        chunk({"reasoning_content": "hm"}),
        chunk({"thinking_blocks": [BLOCK], "reasoning_details": [DETAIL]}),
        chunk({"content": "text"}),
        *([chunk({"tool_calls": calls})] if called else []),
        chunk({}, "tool_calls" if called else "stop"),
        DONE,
    )
    message = {"content": "text", "reasoning_content": "hm", "thinking_blocks": [BLOCK], "reasoning_details": [DETAIL]}
    if called:
        message["tool_calls"] = calls
    whole = orjson.loads(GenerateClient().whole({}, orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})))
    for found in (parts(events), parts([whole])):
        signed = [part for part in found if "thoughtSignature" in part]
        assert len(signed) == 1
        assert ("functionCall" in signed[0]) is called
        assert unseal(signed[0]["thoughtSignature"]) == {"thinking_blocks": [BLOCK], "reasoning_details": [DETAIL]}
        base64.b64decode(signed[0]["thoughtSignature"], validate=True)


def test_refusal_is_text_or_the_filters_explanation() -> None:
    def of(finish: str) -> dict[str, Any]:
        choice = {"message": {"content": None, "refusal": "No."}, "finish_reason": finish}
        found: dict[str, Any] = orjson.loads(GenerateClient().whole({}, orjson.dumps({"choices": [choice]})))["candidates"][0]
        return found

    assert of("stop")["content"]["parts"] == [{"text": "No."}]
    assert of("content_filter") == {"content": {"role": "model"}, "index": 0, "finishReason": "SAFETY", "finishMessage": "No."}


def test_too_long_an_answer_ends_with_an_error() -> None:
    huge = chunk({"content": "a" * (9 * 1024 * 1024)})
    for array in (False, True):
        tap = StreamClient(array).stream({}, "r")
        out = tap.feed(huge) + tap.feed(huge) + tap.feed(chunk({}, "stop")) + tap.end(Outcome.OK)
        last = orjson.loads(out)[-1] if array else orjson.loads(out.rstrip().rpartition(b"data: ")[2])
        assert last["error"]["code"] == 502


def test_googles_own_error_goes_as_it_came_even_out_of_a_list() -> None:
    body = b'{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}'
    for wire in (body, b"[" + body + b"]", b"[{\n" + body[1:] + b"]"):
        error = provider_error(429, "rate_limit_exceeded", "m", wire=WireError("gemini", wire, "application/json"))
        assert orjson.loads(GenerateClient().error(error, "r")) == orjson.loads(body)
        assert StreamClient().error_event(error, "r") == b"data: " + body + b"\r\n\r\n"
    page = provider_error(502, "server_error", "m", wire=WireError("gemini", b"<html>", "text/html"))
    assert orjson.loads(GenerateClient().error(page, "r"))["error"]["status"] == "UNAVAILABLE"


def test_wait_is_told_in_googles_way() -> None:
    body = orjson.loads(GenerateClient().error(provider_error(429, "rate_limit_exceeded", "m", retry_after_s=1.5), "r"))
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"} in body["error"]["details"]
    assert orjson.loads(GenerateClient().error(bad_request("m", status=418), ""))["error"]["status"] == "INVALID_ARGUMENT"
