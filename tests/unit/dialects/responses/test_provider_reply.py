"""Plain replies of the Responses API as chat completions, and native ones at a glance."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Progress
from edgegate.dialects.responses.provider import FORMAT
from edgegate.errors import GatewayError
from tests.unit.dialects.responses.made import ASK, SIDE, call, message, response
from tests.wire.odd_json import VALUES


def whole(*output: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Progress]:
    progress = Progress()
    made = orjson.loads(SIDE.whole(ASK, orjson.dumps(response(*output, **more)), progress))
    return made, progress


def answer(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = whole(*output, **more)[0]["choices"][0]
    return said


def test_a_whole_answer() -> None:
    made, progress = whole(message("Hi", phase="final_answer"), service_tier="flex")
    assert (made["id"], made["created"], made["model"], made["service_tier"]) == ("resp_1", 5, "gpt-x", "flex")
    assert made["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "refusal": None, "extra_content": {"openai": {"id": "msg_1", "index": 0}}},
            "finish_reason": "stop",
        }
    ]
    usage = made["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (10, 6, 16)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2
    assert (progress.started, progress.finished, progress.model, progress.finish_reason) == (True, True, "gpt-x", "stop")


def test_reasoning_is_readable_and_can_be_sent_back() -> None:
    item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "A."}, {"type": "summary_text", "text": "B."}],
        "content": [{"type": "reasoning_text", "text": "C."}],
        "encrypted_content": "gAAA",
    }
    said = answer(item, message("Hi"))["message"]
    assert said["reasoning_content"] == "A.\n\nB.\n\nC."
    head = {"id": "rs_1", "format": "openai-responses-v1", "index": 0}
    assert said["reasoning_details"] == [
        {"type": "reasoning.summary", "summary": "A.", **head},
        {"type": "reasoning.summary", "summary": "B.", **head},
        {"type": "reasoning.text", "text": "C.", **head},
        {"type": "reasoning.encrypted", "data": "gAAA", **head},
    ]


def test_calls_keep_their_items() -> None:
    custom = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"}
    said = answer(call(namespace="ns", caller={"type": "program", "caller_id": "p"}), custom, call("", id="fc_2"))
    assert said["finish_reason"] == "tool_calls"
    assert said["message"]["content"] is None
    assert said["message"]["tool_calls"] == [
        {
            "id": "call_fc_1",
            "type": "function",
            "function": {"name": "f", "arguments": '{"a":1}'},
            "extra_content": {"openai": {"id": "fc_1", "index": 0, "namespace": "ns", "caller": {"type": "program", "caller_id": "p"}}},
        },
        {
            "id": "c2",
            "type": "custom",
            "custom": {"name": "sql", "input": "SELECT 1"},
            "extra_content": {"openai": {"id": "ctc_1", "index": 1}},
        },
        {
            "id": "call_fc_2",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"openai": {"id": "fc_2", "index": 2}},
        },
    ]


def test_citations_are_counted_from_the_beginning_of_the_whole_text() -> None:
    note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2}
    file = {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 3}
    said = answer(message("One."), message("Two.", id="msg_2", annotations=[note, file]))["message"]
    assert said["content"] == "One.Two."
    moved = {"url": "u", "title": "t", "start_index": 5, "end_index": 6}
    assert said["annotations"] == [{"type": "url_citation", "url_citation": moved}, file]
    assert said["extra_content"]["openai"] == {
        "id": "msg_1",
        "index": 0,
        "messages": [{"id": "msg_1", "index": 0, "start": 0}, {"id": "msg_2", "index": 1, "start": 4}],
    }


def test_what_the_vendor_s_tools_did_is_kept_and_pictures_are_shown() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    picture = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "AA==", "output_format": "webp"}
    said = answer(search, picture)["message"]
    assert said["provider_items"] == [{**search, "index": 0}, {**picture, "index": 1}]
    assert said["images"] == [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/webp;base64,AA=="}}]


def test_a_refusal_is_one() -> None:
    refused = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    said = answer(refused)["message"]
    assert (said["content"], said["refusal"]) == (None, "No.")


def test_log_probabilities() -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": [{"token": "Ho", "logprob": -3}]}
    made = answer(message("Hi", logprobs=[token]))
    assert made["logprobs"]["content"] == [{**token, "top_logprobs": [{"bytes": None, "token": "Ho", "logprob": -3}]}]


@pytest.mark.parametrize(
    ("details", "reason"),
    [({"reason": "max_output_tokens"}, "length"), ({"reason": "content_filter"}, "content_filter"), (None, "length")],
)
def test_an_incomplete_answer_says_why(details: Any, reason: str) -> None:
    assert answer(message("Hi"), status="incomplete", incomplete_details=details)["finish_reason"] == reason
    assert answer(status="incomplete", incomplete_details=details)["message"]["content"] == ""


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (response(status="failed", error={"code": "server_error", "message": "Oops"}), 500, "Oops"),
        (response(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow"}), 429, "Slow"),
        (response(status="failed", error={"code": "invalid_prompt", "message": "Bad"}), 400, "Bad"),
        (response(status="failed", error={"code": "image_too_large", "message": "Big"}), 400, "Big"),
        (response(status="failed", error=None), 502, "did not say why"),
        (response(status="cancelled"), 502, "cancelled"),
        (response(), 502, "no output"),
        (response(output=None), 502, "no output"),
        ({"error": {"message": "Nope", "type": "invalid_request_error"}}, 400, "Nope"),
        ({"object": "response.input_tokens", "input_tokens": 3}, 502, "no output"),
        ([], 502, "no object"),
    ],
)
def test_what_is_no_answer_raises(body: Any, status: int, words: str) -> None:
    for read in (lambda raw: SIDE.whole(ASK, raw, Progress()), lambda raw: SIDE.glance(FORMAT, raw, Progress())):
        with pytest.raises(GatewayError, match=words) as caught:
            read(orjson.dumps(body))
        assert caught.value.status == status


def test_half_a_reply_raises() -> None:
    body = orjson.dumps(response(message("Hi")))
    for at in range(len(body)):
        with pytest.raises(GatewayError):
            SIDE.whole(ASK, body[:at], Progress())


def test_an_error_goes_to_openai_s_clients_as_it_came_unless_it_holds_a_secret() -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.whole(ASK, orjson.dumps(response(status="failed", error={"code": "server_error", "message": "Oops"})), Progress())
    assert caught.value.wire is not None
    assert orjson.loads(caught.value.wire.body)["error"]["message"] == "Oops"
    with pytest.raises(GatewayError) as caught:
        SIDE.whole(ASK, orjson.dumps(response(status="failed", error={"code": "x", "message": "key sk-abcdefgh123"})), Progress())
    assert caught.value.wire is None
    assert "sk-abc" not in caught.value.message


def test_a_reply_in_the_background_is_for_native_clients() -> None:
    progress = Progress()
    SIDE.glance(FORMAT, orjson.dumps(response(status="queued", usage=None)), progress)
    assert (progress.finished, progress.model) == (True, "gpt-x")
    with pytest.raises(GatewayError, match="background"):
        SIDE.whole(ASK, orjson.dumps(response(status="queued")), Progress())


ITEMS = st.lists(
    st.builds(
        lambda item, kind, content: {**item, "type": kind, "content": content, "summary": content, "call_id": content, "result": "x"},
        st.dictionaries(st.sampled_from(["id", "name", "arguments", "role", "status"]), VALUES, max_size=4),
        st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "image_generation_call", None]),
        VALUES,
    )
    | VALUES,
    max_size=3,
)


@settings(max_examples=80, deadline=None)
@given(items=ITEMS, usage=VALUES, details=VALUES, created=VALUES)
def test_odd_replies_raise_or_are_answers(items: Any, usage: Any, details: Any, created: Any) -> None:
    body = orjson.dumps(response(output=items, usage=usage, incomplete_details=details, created_at=created, id=details))
    try:
        made = orjson.loads(SIDE.whole(ASK, body, Progress()))
    except GatewayError:
        return
    assert made["choices"][0]["message"]["role"] == "assistant"
    assert isinstance(made["id"], str)
