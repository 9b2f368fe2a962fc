"""Mistral's streams and plain replies: the shapes that recordings do not show."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.chat import DONE
from edgegate.dialects.mistral.ids import fits
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.sse import MAX_EVENT_BYTES

SIDE = MistralProvider()
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def ask(**chat: Any) -> Ask:
    return Ask({"messages": [], **chat}, "mistral-small", True, "chatcmpl-own", 42, True)


def event(*choices: dict[str, Any], **more: Any) -> bytes:
    head = {"id": "abc", "object": "chat.completion.chunk", "created": 7, "model": "mistral-small-2506"}
    return b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n"


def choice(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, **more}


def chunks(out: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(block[6:]) for block in out.split(b"\n\n") if block and block != DONE.strip()]


def run(*events: bytes, **chat: Any) -> tuple[list[dict[str, Any]], Progress, bytes]:
    progress = Progress()
    tap = SIDE.stream(ask(**chat), progress)
    out = b"".join(tap.feed(part) for part in events) + tap.end(Outcome.OK)
    return chunks(out), progress, out


def deltas(found: list[dict[str, Any]], index: int = 0) -> list[dict[str, Any]]:
    return [c["delta"] for chunk in found for c in chunk["choices"] if c["index"] == index]


ROLE = event(choice({"role": "assistant", "content": ""}))
STOP = event(choice({"content": ""}, "stop"), usage=USAGE)


def test_a_role_alone_is_no_start_and_text_is() -> None:
    progress = Progress()
    tap = SIDE.stream(ask(), progress)
    assert tap.feed(ROLE)
    before = progress.started
    tap.feed(event(choice({"content": "hi"})))
    assert (before, progress.started, progress.finished, progress.events) == (False, True, False, 2)


def test_usage_on_the_finish_chunk_becomes_the_extra_last_chunk() -> None:
    found, progress, out = run(ROLE, event(choice({"content": "hi"})), STOP, b"data: [DONE]\n\n")
    assert [chunk.get("usage") is not None for chunk in found] == [False, False, False, True]
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["total_tokens"] == 7
    assert found[-2]["choices"][0]["finish_reason"] == "stop"
    assert out.endswith(DONE)
    assert progress.finish_reason == "stop"


def test_one_id_time_and_model_for_all_chunks_even_if_the_provider_gives_none() -> None:
    bare = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
    found, _, _ = run(bare, event(choice({"content": "!"}, "stop")))
    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in found} == {("chatcmpl-own", 42, "mistral-small")}


def test_calls_without_index_are_counted_through_and_without_id_get_one_that_fits() -> None:
    call = {"function": {"name": "f", "arguments": "{}"}}
    body = event(choice({"content": None, "tool_calls": [call, {**call, "id": "null"}, {**call, "id": "EscTeQY62"}]}, "tool_calls"))
    found, progress, _ = run(body)
    calls = [call for delta in deltas(found) for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 1, 2]
    assert all(fits(call["id"]) for call in calls)
    assert len({call["id"] for call in calls}) == 3
    assert calls[2]["id"] == "EscTeQY62"
    assert run(body)[0] == found
    assert progress.finish_reason == "tool_calls"


def test_arguments_that_come_in_pieces_stay_one_call() -> None:
    found, _, _ = run(
        event(choice({"tool_calls": [{"index": 0, "id": "EscTeQY62", "function": {"name": "f", "arguments": '{"a"'}}]})),
        event(choice({"tool_calls": [{"index": 0, "function": {"name": "", "arguments": ":1"}}]})),
        event(choice({"tool_calls": [{"index": 0, "id": "EscTeQY62", "function": {"name": "f", "arguments": "}"}}]}, "tool_calls")),
    )
    calls = [call for delta in deltas(found) for call in delta.get("tool_calls", ())]
    assert {call["index"] for call in calls} == {0}
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1}'


@pytest.mark.parametrize(("arguments", "expected"), [("", "{}"), (None, "{}"), ({"a": 1}, '{"a":1}')])
def test_a_call_s_arguments_become_text_and_nothing_an_empty_object(arguments: Any, expected: str) -> None:
    call = {"id": "EscTeQY62", "function": {"name": "f", "arguments": arguments}}
    found, _, _ = run(event(choice({"tool_calls": [call]}, "tool_calls")))
    assert "".join(c["function"]["arguments"] for d in deltas(found) for c in d.get("tool_calls", ())) == expected
    reply = {"choices": [{"index": 0, "message": {"content": "", "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    whole = orjson.loads(SIDE.whole(ask(), orjson.dumps(reply), Progress()))
    assert whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == expected
    assert whole["choices"][0]["message"]["content"] is None


def test_thinking_and_text_in_one_chunk_keep_their_order() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "a"}]},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "b"},
    ]
    found, progress, _ = run(event(choice({"content": content})), STOP)
    reference = {"type": "reference", "reference_ids": [1], "start_index": 0, "end_index": 0}
    assert deltas(found)[1:4] == [{"reasoning_content": "a"}, {"annotations": [reference]}, {"content": "b"}]
    assert progress.finished


def test_citations_stand_where_the_text_has_come_to_in_streams_and_plain_replies() -> None:
    page = {"type": "tool_reference", "tool": "web_search", "title": "T", "url": "https://t"}
    content = [{"type": "text", "text": "See"}, {"type": "reference", "reference_ids": ["a", 2]}, {"type": "text", "text": " it."}, page]
    expected = [
        {"type": "reference", "reference_ids": ["a", 2], "start_index": 5, "end_index": 5},
        {"type": "url_citation", "url_citation": {"url": "https://t", "title": "T", "start_index": 9, "end_index": 9}},
    ]
    found, _, _ = run(ROLE, event(choice({"content": "I: "[:2]})), event(choice({"content": content})), STOP)
    assert [note for delta in deltas(found) for note in delta.get("annotations", ())] == expected
    reply = {"choices": [{"index": 0, "message": {"content": [{"type": "text", "text": "I:"}, *content]}, "finish_reason": "stop"}]}
    message = orjson.loads(SIDE.whole(ask(), orjson.dumps(reply), Progress()))["choices"][0]["message"]
    assert (message["content"], message["annotations"]) == ("I:See it.", expected)


def test_a_signature_comes_with_all_of_the_reasoning_it_signs() -> None:
    def thought(text: str, **more: str) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **more}

    expected = [{"type": "reasoning.text", "text": "a b", "signature": "sig", "format": "mistral-v1", "index": 0}]
    found, _, _ = run(ROLE, event(choice({"content": [thought("a ")]})), event(choice({"content": [thought("b", signature="sig")]})), STOP)
    assert "".join(delta.get("reasoning_content", "") for delta in deltas(found)) == "a b"
    assert [detail for delta in deltas(found) for detail in delta.get("reasoning_details", ())] == expected
    content = [thought("a b", signature="sig"), {"type": "text", "text": "c"}]
    reply = {"choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}]}
    message = orjson.loads(SIDE.whole(ask(), orjson.dumps(reply), Progress()))["choices"][0]["message"]
    assert (message["reasoning_content"], message["reasoning_details"], message["content"]) == ("a b", expected, "c")


def test_a_generated_picture_is_an_image_of_the_message() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    found, _, _ = run(ROLE, event(choice({"content": [picture]})), STOP)
    assert deltas(found)[1] == {"images": [{"index": 0, **picture}]}


def test_logprobs_are_carried() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.1, "bytes": [97], "token_id": 5, "top_logprobs": []}]}
    found, _, _ = run(ROLE, event(choice({"content": "a"}, logprobs=logprobs)), STOP)
    assert found[1]["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.1


def test_every_choice_must_finish_before_the_answer_is_whole() -> None:
    progress = Progress()
    tap = SIDE.stream(ask(n=2), progress)
    finished = []
    for part in (choice({"content": "a"}, "stop"), choice({"content": "b"}, index=1), choice({"content": ""}, "length", index=1)):
        tap.feed(event(part))
        finished.append(progress.finished)
    assert finished == [False, False, True]
    assert progress.finish_reason == "stop"
    assert tap.end(Outcome.OK).endswith(DONE)


def test_a_finish_reason_model_length_is_length_and_an_unknown_one_stop() -> None:
    for given, expected in (("model_length", "length"), ("length", "length"), ("tool_calls", "tool_calls"), ("brand_new", "stop")):
        _, progress, _ = run(event(choice({"content": "a"}, given)))
        assert progress.finish_reason == expected


def test_a_finish_reason_error_is_an_error_in_streams_and_plain_replies() -> None:
    found, progress, out = run(event(choice({"content": "a"})), event(choice({"content": ""}, "error"), usage=USAGE), b"data: [DONE]\n\n")
    assert progress.error is not None
    assert progress.error.status == 502
    assert not progress.finished
    assert progress.usage.reported
    assert b"[DONE]" not in out
    assert deltas(found)[1:] == [{"content": "a"}]
    with pytest.raises(GatewayError):
        SIDE.whole(ask(), b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"error"}]}', Progress())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"object":"error","message":"Rate limit exceeded","type":"rate_limited","code":"1300"}', "rate_limit_exceeded"),
        (b'{"error":{"message":"boom","type":"server_error"}}', "provider_error"),
        (b'{"message":"no","raw_status_code":503}', "overloaded"),
        (b"{}", "bad_reply"),
    ],
)
def test_an_error_inside_a_stream_is_kept_and_nothing_is_passed_on_after_it(data: bytes, code: str) -> None:
    found, progress, out = run(ROLE, event(choice({"content": "a"})), b"data: " + data + b"\n\n", event(choice({"content": "b"})), STOP)
    assert progress.error is not None
    assert progress.error.code == code
    assert progress.error.retryable
    assert [delta.get("content") for delta in deltas(found)] == ["", "a"]
    assert b"[DONE]" not in out


def test_an_event_without_end_is_an_error_and_not_memory() -> None:
    progress = Progress()
    tap = SIDE.stream(ask(), progress)
    for _ in range(MAX_EVENT_BYTES // (1 << 20) + 1):
        tap.feed(b"data: " + b"x" * (1 << 20))
    assert progress.error is not None
    assert progress.error.code == "bad_reply"


def test_odd_shapes_of_choices_do_not_raise() -> None:
    odd = [[], {}, [None], [5], [{}], [{"delta": None}], [{"delta": {"tool_calls": 5, "content": 5}}], [{"delta": {"tool_calls": [5, {}]}}]]
    for choices in odd:
        progress = Progress()
        tap = SIDE.stream(ask(), progress)
        tap.feed(b"data: " + orjson.dumps({"choices": choices, "usage": [], "id": 5, "created": "x", "model": None}) + b"\n\n")
        assert b"[DONE]" not in tap.end(Outcome.OK)
        assert not progress.finished


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b"5",
        b"null",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[null]}',
        b'{"choices":[{"index":0,"finish_reason":"stop"}]}',
        b'{"choices":[{"index":0,"message":{"content":"a"}}]}',
        b'{"choices":[{"index":0,"message":{"tool_calls":[{"id":"a"}]},"finish_reason":"tool_calls"}]}',
        b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]',
        b'{"data":[]}',
        b"\xff\xfe",
    ],
)
def test_a_plain_reply_without_an_answer_is_an_error_and_never_an_empty_answer(body: bytes) -> None:
    progress = Progress()
    with pytest.raises(GatewayError) as caught:
        SIDE.whole(ask(), body, progress)
    assert (caught.value.status, caught.value.code) == (502, "bad_reply")
    assert not progress.finished


def test_a_plain_reply_that_is_an_error_says_so() -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.whole(ask(), b'{"object":"error","message":"Service tier capacity exceeded","type":"rate_limited"}', Progress())
    assert (caught.value.status, caught.value.message) == (429, "Service tier capacity exceeded")


def test_a_reply_cut_by_its_length_may_be_empty() -> None:
    progress = Progress()
    body = b'{"choices":[{"index":0,"message":{"role":"assistant","content":null},"finish_reason":"length"}]}'
    assert orjson.loads(SIDE.whole(ask(), body, progress))["choices"][0]["message"]["content"] == ""
    assert progress.finish_reason == "length"
    assert not progress.usage.reported


def test_text_is_never_taken_alone_when_something_stands_beside_it() -> None:
    call = {"id": "EscTeQY62", "function": {"name": "f", "arguments": "{}"}}
    found, _, _ = run(ROLE, event(choice({"content": "a", "tool_calls": [call]})), STOP)
    assert deltas(found)[1] == {"content": "a"}
    assert deltas(found)[2]["tool_calls"][0]["id"] == "EscTeQY62"
    progress = Progress()
    SIDE.stream(ask(), progress).feed(ROLE + event(choice({"content": "a"}), usage=USAGE))
    assert progress.usage.output_tokens == 2


def test_text_of_another_choice_stays_in_that_choice() -> None:
    found, _, _ = run(ROLE, event(choice({"content": "a"}, index=1)), event(choice({"content": "b"}, index=1)), n=2)
    assert deltas(found, 0) == [{"role": "assistant", "content": ""}]
    assert deltas(found, 1) == [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}]


def test_a_stream_that_begins_with_text_gets_its_role_first() -> None:
    found, _, _ = run(event(choice({"content": "a"})), STOP)
    assert deltas(found) == [{"role": "assistant", "content": ""}, {"content": "a"}, {}]
    found, _, _ = run(event(), event(choice({"content": "a"})), STOP)
    assert deltas(found) == [{"role": "assistant", "content": ""}, {"content": "a"}, {}]
