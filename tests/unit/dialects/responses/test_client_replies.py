"""Chat answers as responses, plain and as streams, which must say the same; read by the official SDK."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.chat import DONE
from edgegate.dialects.responses.client import ResponsesClient
from edgegate.dialects.sealed import RESPONSES, unseal
from edgegate.errors import GatewayError, WireError, provider_error
from edgegate.taps import Outcome
from tests.wire.responses_reader import checked, events_of, raw_stream, read_stream, read_whole, run

Json = dict[str, Any]
CLIENT = ResponsesClient()
REQUEST: Json = {"model": "asked", "input": "hi", "stream": True}
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
GOOGLE = {"google": {"thought_signature": "g"}}
CITED = {"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "t", "start_index": 0, "end_index": 5}}
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "answered"}


def chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    return b"data: " + json.dumps({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}).encode() + b"\n\n"


def stream_of(*deltas: Json, finish: str = "stop", request: Json = REQUEST) -> bytes:
    usage = b"data: " + json.dumps({**HEAD, "choices": [], "usage": USAGE}).encode() + b"\n\n"
    chunks = [chunk({"role": "assistant", "content": ""}), *[chunk(delta) for delta in deltas], chunk({}, finish), usage, DONE]
    return run(CLIENT.stream(request, "1"), chunks)


def whole_of(message: Json, finish: str = "stop", request: Json = REQUEST, **more: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    completion = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    body = CLIENT.whole(request, json.dumps(completion).encode())
    read_whole(body)
    response: Json = json.loads(body)
    return response


def both(message: Json, *deltas: Json, finish: str = "stop", request: Json = REQUEST) -> Json:
    """The response, the same whether the answer came whole or in pieces."""
    streamed = stream_of(*(deltas or (message,)), finish=finish, request=request)
    response = checked(streamed)
    assert response == whole_of(message, finish, request)
    assert read_stream(streamed).model_dump(exclude={"output"}) == read_whole(json.dumps(response).encode()).model_dump(exclude={"output"})
    return response


def call(index: int, id: str, arguments: str = "", **more: Any) -> Json:
    return {"index": index, "id": id, "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def test_text() -> None:
    response = both({"content": "Hello"}, {"content": "Hel"}, {"content": "lo"})
    assert response["output"] == [
        {
            "id": "msg_1_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello"}],
        }
    ]
    assert (response["id"], response["created_at"], response["model"]) == ("resp_1", 7, "answered")
    assert (response["status"], response["error"], response["incomplete_details"]) == ("completed", None, None)
    assert response["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_the_events_of_a_text() -> None:
    events = events_of(stream_of({"content": "Hel"}, {"content": "lo"}))
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert events[4] == {
        "type": "response.output_text.delta",
        "item_id": "msg_1_0",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hel",
        "logprobs": [],
        "sequence_number": 4,
    }


def test_the_request_is_echoed_without_credentials() -> None:
    request: Json = {
        "model": "asked",
        "input": "hi",
        "instructions": "Be brief.",
        "temperature": 0.5,
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "text": {"verbosity": "low"},
        "tool_choice": "required",
        "previous_response_id": None,
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True},
            {"type": "mcp", "server_label": "s", "server_url": "https://a.test", "authorization": "secret", "headers": {"x": "secret"}},
        ],
    }
    response = both({"content": "a"}, request=request)
    for name in (
        "instructions",
        "temperature",
        "max_output_tokens",
        "metadata",
        "parallel_tool_calls",
        "tool_choice",
        "previous_response_id",
    ):
        assert response[name] == request[name]
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["text"] == {"verbosity": "low", "format": {"type": "text"}}
    assert response["tools"] == [request["tools"][0], {"type": "mcp", "server_label": "s", "server_url": "https://a.test"}]
    assert response["store"] is False


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_incomplete_answer(finish: str, reason: str) -> None:
    response = both({"content": "Hel"}, finish=finish)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": reason}
    assert response["output"][0]["status"] == "incomplete"


def test_an_incomplete_answer_may_hold_nothing() -> None:
    assert both({"content": ""}, finish="length")["output"] == []


def test_an_answer_of_nothing_is_an_empty_text() -> None:
    (message,) = both({"content": ""})["output"]
    assert [part["text"] for part in message["content"]] == [""]


def test_a_refusal_is_a_part_of_its_own() -> None:
    (message,) = both({"content": "Well.", "refusal": "No."}, {"content": "Well."}, {"refusal": "No"}, {"refusal": "."})["output"]
    assert [part.get("text") or part.get("refusal") for part in message["content"]] == ["Well.", "No."]
    assert message["content"][1] == {"type": "refusal", "refusal": "No."}


def test_calls_whose_pieces_come_mixed() -> None:
    message = {"content": "Look.", "tool_calls": [call(0, "c1", '{"a":1}'), call(1, "c2", '{"b":2}')]}
    deltas: list[Json] = [
        {"content": "Look."},
        {"tool_calls": [call(0, "c1"), call(1, "c2")]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": '{"b":'}}, {"index": 0, "function": {"arguments": ":1}"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "2}"}}]},
    ]
    response = both(message, *deltas, finish="tool_calls")
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
    assert response["output"][1] == {
        "id": "fc_1_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a":1}',
    }
    assert response["output"][2]["arguments"] == '{"b":2}'


def test_a_whole_call_is_done_when_the_next_begins() -> None:
    events = events_of(stream_of({"tool_calls": [call(0, "c1", "{}")]}, {"tool_calls": [call(1, "c2", "{}")]}, finish="tool_calls"))
    order = [(event["type"].rpartition(".")[2], event["output_index"]) for event in events if "output_item" in event["type"]]
    assert order == [("added", 0), ("done", 0), ("added", 1), ("done", 1)]


def test_no_arguments_are_an_empty_object() -> None:
    (item,) = both({"content": None, "tool_calls": [call(0, "c1")]}, finish="tool_calls")["output"]
    assert item["arguments"] == "{}"


def test_a_call_cut_by_the_limit_is_incomplete() -> None:
    (item,) = both({"content": None, "tool_calls": [call(0, "c1", '{"a":')]}, finish="length")["output"]
    assert (item["arguments"], item["status"]) == ('{"a":', "incomplete")


def test_a_custom_tool_s_call() -> None:
    custom: Json = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    pieces: list[Json] = [
        {**custom, "custom": {"name": "patch", "input": ""}},
        {"index": 0, "custom": {"input": "*** "}},
        {"index": 0, "custom": {"input": "Begin"}},
    ]
    (item,) = both({"tool_calls": [custom]}, *[{"tool_calls": [piece]} for piece in pieces], finish="tool_calls")["output"]
    assert item == {
        "id": "ctc_1_0",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "c1",
        "name": "patch",
        "input": "*** Begin",
    }


def test_a_custom_tool_that_was_offered_as_a_function() -> None:
    request = {**REQUEST, "tools": [{"type": "custom", "name": "f"}]}
    message = {"tool_calls": [call(0, "c1", '{"input":"say \\"hi\\""}')]}
    deltas = [{"tool_calls": [call(0, "c1", '{"input":"say ')]}, {"tool_calls": [{"index": 0, "function": {"arguments": '\\"hi\\""}'}}]}]
    (item,) = both(message, *deltas, finish="tool_calls", request=request)["output"]
    assert (item["type"], item["input"]) == ("custom_tool_call", 'say "hi"')


def test_readable_reasoning_is_a_summary_with_an_empty_seal() -> None:
    response = both(
        {"reasoning_content": "Hm. So.", "content": "Yes"}, {"reasoning_content": "Hm. "}, {"reasoning_content": "So."}, {"content": "Yes"}
    )
    reasoning, message = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm. So."}]
    assert unseal(reasoning["encrypted_content"]) == {}
    assert message["id"] == "msg_1_1"


def test_thinking_blocks_are_sealed_in_their_reasoning_item_and_come_back() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    response = both(
        {"reasoning_content": "Hm.", "thinking_blocks": blocks, "content": "Yes"},
        {"reasoning_content": "Hm."},
        {"thinking_blocks": blocks[:1]},
        {"thinking_blocks": blocks[1:]},
        {"content": "Yes"},
    )
    assert unseal(response["output"][0]["encrypted_content"]) == {"thinking_blocks": blocks}
    (turn,) = CLIENT.neutral({"model": "m", "input": response["output"]})["messages"]
    assert turn["thinking_blocks"] == blocks
    assert (turn["reasoning_content"], turn["content"]) == ("Hm.", "Yes")


def test_a_call_s_signature_is_sealed_in_front_of_it_and_comes_back() -> None:
    response = both({"content": None, "tool_calls": [call(0, "c1", "{}", extra_content=GOOGLE), call(1, "c2", "{}")]}, finish="tool_calls")
    assert [item["type"] for item in response["output"]] == ["reasoning", "function_call", "function_call"]
    (turn,) = CLIENT.neutral({"model": "m", "input": response["output"]})["messages"]
    assert turn["tool_calls"][0]["extra_content"]["google"] == GOOGLE["google"]
    assert "google" not in turn["tool_calls"][1].get("extra_content", {})


def test_a_text_s_signature_is_sealed_at_the_end() -> None:
    response = both({"content": "Yes", "extra_content": GOOGLE}, {"content": "Yes"}, {"extra_content": GOOGLE})
    assert [item["type"] for item in response["output"]] == ["message", "reasoning"]
    (turn,) = CLIENT.neutral({"model": "m", "input": response["output"]})["messages"]
    assert turn["extra_content"]["google"] == GOOGLE["google"]


def test_openai_s_own_items_come_back_with_their_ids_and_in_their_order() -> None:
    def detail(kind: str, name: str, value: str, at: int) -> Json:
        return {"type": f"reasoning.{kind}", "id": f"rs_{at}", name: value, "format": RESPONSES, "index": at}

    message = {
        "content": "ab",
        "reasoning_content": "S1\n\nS2",
        "reasoning_details": [
            detail("summary", "summary", "S1", 0),
            detail("summary", "summary", "S2", 0),
            detail("encrypted", "data", "e", 0),
            detail("summary", "summary", "", 2),
        ],
        "tool_calls": [call(0, "c1", "{}", extra_content={"openai": {"id": "fc_9", "index": 3}})],
        "provider_items": [
            {"type": "web_search_call", "id": "ws_9", "status": "completed", "action": {"type": "search", "query": "q"}, "index": 1}
        ],
        "extra_content": {
            "openai": {"id": "msg_1", "messages": [{"id": "msg_1", "index": 4, "start": 0}, {"id": "msg_2", "index": 5, "start": 1}]}
        },
    }
    output = whole_of(message, "tool_calls")["output"]
    assert [item["id"] for item in output] == ["rs_0", "ws_9", "rs_2", "fc_9", "msg_1", "msg_2"]
    assert output[0] == {
        "id": "rs_0",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "S1"}, {"type": "summary_text", "text": "S2"}],
        "encrypted_content": "e",
    }
    assert [part["text"] for item in output[4:] for part in item["content"]] == ["a", "b"]
    (turn,) = CLIENT.neutral({"model": "m", "input": output})["messages"]
    assert turn["reasoning_details"] == message["reasoning_details"]


def test_openai_s_reasoning_that_was_streamed_under_another_id_is_whole_in_a_seal() -> None:
    details = [{"type": "reasoning.encrypted", "id": "rs_9", "data": "e", "format": RESPONSES, "index": 0}]
    response = checked(stream_of({"reasoning_content": "Hm."}, {"reasoning_details": details}, {"content": "Yes"}))
    assert unseal(response["output"][0]["encrypted_content"]) == {"reasoning_details": details}
    (turn,) = CLIENT.neutral({"model": "m", "input": response["output"]})["messages"]
    assert turn["reasoning_details"] == details


def test_citations_become_flat() -> None:
    (message,) = both({"content": "Hello", "annotations": [CITED]}, {"content": "Hello"}, {"annotations": [CITED]})["output"]
    assert message["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "https://a.test", "title": "t", "start_index": 0, "end_index": 5},
    ]


def test_citations_of_other_vendors_keep_their_type_and_come_back() -> None:
    place = {"type": "char_location", "char_location": {"cited_text": "x", "start_index": 0, "end_index": 1}}
    (event,) = [event for event in events_of(stream_of({"content": "Hello"}, {"annotations": [place]})) if "annotation" in event]
    assert event["annotation"] == {"type": "char_location", "cited_text": "x", "start_index": 0, "end_index": 1}
    part = {"type": "output_text", "text": "Hello", "annotations": [event["annotation"]]}
    (turn,) = CLIENT.neutral({"model": "m", "input": [{"role": "assistant", "content": [part]}]})["messages"]
    assert turn["annotations"] == [place]


def test_a_citation_that_comes_after_its_message_was_done_is_in_the_response() -> None:
    response = checked(
        stream_of({"content": "Hello"}, {"tool_calls": [call(0, "c1", "{}")]}, {"annotations": [CITED]}, finish="tool_calls")
    )
    assert response["output"][0]["content"][0]["annotations"][0]["url"] == "https://a.test"


def test_log_probabilities() -> None:
    probability = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    content = {"content": [probability], "refusal": None}
    body = run(CLIENT.stream(REQUEST, "1"), [chunk({"content": "Hi"}, logprobs=content), chunk({}, "stop"), DONE])
    (delta,) = [event for event in events_of(body) if event["type"] == "response.output_text.delta"]
    assert delta["logprobs"] == [probability]
    expected = whole_of({"content": "Hi"}, logprobs=content)["output"]
    assert checked(body)["output"] == expected
    assert expected[0]["content"][0]["logprobs"] == [probability]


def test_pictures() -> None:
    image = {"index": 0, "type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}
    (_, picture) = both({"content": "Here", "images": [image]}, {"content": "Here"}, {"images": [image]})["output"]
    assert picture == {"id": "ig_1_1", "type": "image_generation_call", "status": "completed", "result": "AAAA", "output_format": "webp"}


def test_foreign_service_tiers_are_not_shown() -> None:
    completion = {"id": "1", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "service_tier": "on_demand"}
    assert read_whole(CLIENT.whole(REQUEST, json.dumps(completion).encode())).service_tier == "auto"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":3}]}'])
def test_what_is_no_completion_is_a_bad_reply(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        CLIENT.whole(REQUEST, body)
    assert caught.value.status == 502


STREAM = b"".join(
    [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Hmé"}),
        chunk({"thinking_blocks": [{"type": "thinking", "thinking": "Hmé", "signature": "s"}]}),
        chunk({"content": "Hello"}),
        chunk({"annotations": [CITED]}),
        chunk({"tool_calls": [call(0, "c1", "{}", extra_content=GOOGLE)]}),
        chunk({}, "tool_calls"),
        DONE,
    ]
)


def test_a_stream_is_the_same_however_it_is_cut() -> None:
    once = run(CLIENT.stream(REQUEST, "1"), [STREAM])
    checked(once)
    assert run(CLIENT.stream(REQUEST, "1"), [STREAM[at : at + 1] for at in range(len(STREAM))]) == once
    for at in range(0, len(STREAM), 7):
        assert run(CLIENT.stream(REQUEST, "1"), [STREAM[:at], STREAM[at:]]) == once


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_random_cuts_change_nothing(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(bounds)]
    assert run(CLIENT.stream(REQUEST, "1"), pieces) == run(CLIENT.stream(REQUEST, "1"), [STREAM])


def test_an_event_goes_out_with_the_read_that_completes_it() -> None:
    tap = CLIENT.stream(REQUEST, "1")
    assert b"response.in_progress" in tap.feed(chunk({"role": "assistant", "content": ""}))
    piece = chunk({"content": "Hello"})
    assert tap.feed(piece[:-1]) == b""
    assert b'"delta":"Hello"' in tap.feed(piece[-1:])


@pytest.mark.parametrize("outcome", [Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT, Outcome.DRAINED, Outcome.CLIENT_GONE])
def test_half_an_answer_is_never_presented_as_a_whole_one(outcome: Outcome) -> None:
    for pieces in ([chunk({"content": "Hel"})], [chunk({"content": "Hello"}), chunk({}, "stop")]):
        body = run(CLIENT.stream(REQUEST, "1"), pieces, outcome)
        assert b"response.completed" not in body
        assert b"output_item.done" not in body
    assert b"response.completed" not in run(CLIENT.stream(REQUEST, "1"), [chunk({"content": "Hel"})], Outcome.OK), "no finish reason came"


def test_a_stream_without_done_is_whole_once_it_has_its_finish_reason() -> None:
    body = run(CLIENT.stream(REQUEST, "1"), [chunk({"content": "Hello"}), chunk({}, "stop")])
    assert checked(body)["status"] == "completed"
    assert b"[DONE]" not in body


def test_the_sdk_raises_on_an_error_in_a_stream() -> None:
    error = provider_error(503, "overloaded", "Too busy.")
    body = CLIENT.stream(REQUEST, "1").feed(chunk({"content": "Hel"})) + CLIENT.error_event(error, "req1")
    with pytest.raises(openai.APIError) as caught:
        raw_stream(body)
    assert caught.value.message == "Too busy."
    assert caught.value.code == "overloaded"


def test_an_error_is_told_in_both_of_the_format_s_ways() -> None:
    error = provider_error(429, "quota", "Slow down.", wire=WireError("openai", b'{"error":{"message":"Slow down.","code":"quota"}}', ""))
    failed, event = events_of(CLIENT.error_event(error, "req1"))
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "rate_limit_exceeded", "message": "Slow down."}
    assert event["type"] == "error"
    assert (event["code"], event["message"], event["param"]) == ("quota", "Slow down.", None)
    assert event["error"]["message"] == "Slow down."


def test_errors_before_a_stream_have_openai_s_shape() -> None:
    body = json.loads(CLIENT.error(GatewayError(400, "unsupported_value", "No.", param="prompt"), "req1"))
    assert body == {"error": {"message": "No.", "type": "invalid_request_error", "param": "prompt", "code": "unsupported_value"}}
