"""Streams of compatible providers, put right."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from edgegate.dialects.base import Ask, Progress, Usage
from edgegate.dialects.chat import ChunkWriter, completion
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.unit.dialects.openai.made import DONE, ROLE, STOP, USAGE, USAGE_CHUNK, ask, chunks, delta, event, text
from tests.unit.dialects.openai.test_watch import ERRORS
from tests.wire.openai_sdk import read_stream, run

SIDE = OpenAIProvider()


def translated(data: bytes, asked: Ask | None = None, outcome: Outcome = Outcome.OK) -> tuple[bytes, Progress]:
    progress = Progress()
    return run(SIDE.stream(asked or ask(), progress), [data], outcome), progress


def calls(*pieces: dict[str, Any]) -> bytes:
    return event([delta(tool_calls=list(pieces))])


def called(data: bytes) -> list[list[str]]:
    return read_stream(translated(data + event([delta("tool_calls")]) + DONE)[0]).calls[0]


def piece(arguments: str | None, name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments, **({"name": name} if name else {})}, **more}


def test_text_goes_on_byte_for_byte() -> None:
    data = ROLE + text("a", system_fingerprint="fp", obfuscation="xyz") + text("b") + STOP + DONE
    assert translated(data)[0] == data


def test_usage_becomes_one_last_chunk_or_none() -> None:
    data = ROLE + text("a", usage=USAGE) + event([delta("stop")], usage={**USAGE, "prompt_cache_hit_tokens": 4}) + DONE
    out, _ = translated(data)
    *others, last = chunks(out)
    assert all("usage" not in chunk for chunk in others)
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}
    assert last["usage"]["total_tokens"] == 12
    out, progress = translated(data, ask(include_usage=False))
    assert b"usage" not in out
    assert progress.usage.output_tokens == 3


def test_groq_s_usage_becomes_the_usage_chunk() -> None:
    out, _ = translated(text("a") + event([delta("stop")], x_groq={"id": "r", "usage": USAGE}) + DONE)
    assert read_stream(out).usage == (9, 3, 0, 0)
    assert b"x_groq" not in out


def test_no_usage_chunk_is_invented() -> None:
    assert read_stream(translated(text("a") + STOP + DONE)[0]).usage is None


def test_reasoning_gets_its_one_name() -> None:
    out, _ = translated(
        event([delta(role="assistant", reasoning="hm ")]) + event([delta(reasoning="hm", reasoning_content=None)]) + STOP + DONE
    )
    assert read_stream(out).reasoning == {0: "hm hm"}
    assert b'"reasoning"' not in out


def test_think_tags_are_text() -> None:
    assert read_stream(translated(text("<think>hm</think>x") + STOP + DONE)[0]).text == {0: "<think>hm</think>x"}


def test_a_role_is_told_once_and_at_first() -> None:
    out, _ = translated(text("a") + event([delta(role="assistant", content="b")]) + STOP + DONE)
    assert [chunk["choices"][0]["delta"].get("role") for chunk in chunks(out)] == ["assistant", None, None]


def test_eos_is_stop_and_a_repeated_finish_is_told_once() -> None:
    out, progress = translated(text("a") + event([delta("eos")]) + event([delta("eos", content="")], usage=USAGE) + DONE)
    finishes = [choice["finish_reason"] for chunk in chunks(out) for choice in chunk["choices"] if choice["finish_reason"]]
    assert finishes == ["stop"]
    assert progress.finish_reason == "stop"


def test_calls_without_index_are_counted_by_id() -> None:
    data = calls(piece('{"a":1}', "f", id="x"), piece('{"b":2}', "g", id="y"))
    assert called(data) == [["x", "f", '{"a":1}'], ["y", "g", '{"b":2}']]


def test_pieces_without_index_and_id_continue_the_last_call() -> None:
    assert called(calls(piece("", "f", id="x")) + calls(piece('{"a"')) + calls(piece(":1}"))) == [["x", "f", '{"a":1}']]


def test_new_calls_under_an_old_index_are_new_calls() -> None:
    data = calls(piece('{"a":1}', "f", id="x", index=0)) + calls(piece('{"b":2}', "g", id="y", index=0))
    assert called(data) == [["x", "f", '{"a":1}'], ["y", "g", '{"b":2}']]


def test_a_repeated_id_and_name_is_still_one_call() -> None:
    data = calls(piece('{"a"', "f", id="x", index=0)) + calls(piece(":1}", "f", id="x", index=0))
    out = translated(data + STOP + DONE)[0]
    first, second, *_ = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks(out)[:2]]
    assert first == {"index": 0, "id": "x", "type": "function", "function": {"arguments": '{"a"', "name": "f"}}
    assert second == {"index": 0, "function": {"arguments": ":1}"}}


def test_a_call_without_an_id_gets_one_of_the_reply() -> None:
    assert called(calls(piece("{}", "f", index=0))) == [["call_chatcmpl-77_0", "f", "{}"]]


def test_nulls_in_calls_are_nothing() -> None:
    data = calls(piece(None, "f", id="x", index=0, type="function")) + calls(
        {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": "{}"}}
    )
    assert called(data) == [["x", "f", "{}"]]


def test_extensions_of_a_call_are_kept() -> None:
    out = translated(calls(piece("{}", "f", id="x", extra_content={"google": {"thought_signature": "s"}})) + STOP + DONE)[0]
    assert chunks(out)[0]["choices"][0]["delta"]["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}


def test_empty_ids_are_filled_in_and_empty_chunks_left_out() -> None:
    first = b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}\n\n'
    out, _ = translated(first + event([delta(content="a")], id="", created=0, model="") + STOP + DONE)
    assert chunks(out)[0]["id"] == "chatcmpl-77"
    assert chunks(out)[0]["created"] == 1_700_000_000
    assert len(chunks(out)) == 2


def test_a_finish_reason_that_is_never_written_is_written_here() -> None:
    def bare(**fields: Any) -> bytes:
        return event([{"index": 0, "delta": fields}])

    assert read_stream(translated(bare(content="4") + DONE)[0]).finish == {0: "stop"}
    out, progress = translated(bare(tool_calls=[piece("{}", "f", id="x", index=0)]) + DONE)
    assert read_stream(out).finish == {0: "tool_calls"}
    assert progress.finish_reason == "tool_calls"


def test_several_choices_stay_apart() -> None:
    data = b"".join(event([delta(content=f"{index}", index=index)]) for index in (0, 1, 0, 1))
    out, progress = translated(data + event([delta("stop", 0)]) + event([delta("length", 1)]) + DONE, ask(n=2))
    answer = read_stream(out)
    assert answer.text == {0: "00", 1: "11"}
    assert answer.finish == {0: "stop", 1: "length"}
    assert progress.finish_reason == "stop"


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_an_error_in_the_stream_ends_it(error: bytes, status: int) -> None:
    out, progress = translated(ROLE + text("a") + error + text("b") + STOP + DONE)
    assert out == ROLE + text("a")
    assert progress.error is not None
    assert progress.error.status == status


def test_done_is_written_for_a_whole_answer_whose_provider_left_it_out() -> None:
    assert translated(text("a") + STOP + USAGE_CHUNK)[0].endswith(DONE)
    assert DONE not in translated(text("a") + STOP, outcome=Outcome.UPSTREAM_BROKE)[0]
    assert DONE not in translated(text("a"))[0]
    assert DONE not in translated(b"")[0]


def test_done_without_a_finish_reason_is_a_broken_answer() -> None:
    out, progress = translated(ROLE + text("a") + DONE)
    assert DONE not in out
    assert progress.error is not None


def test_a_body_that_is_no_event_stream_is_an_error() -> None:
    for body in (b"<html>", b'{"error":{"message":"m"}}', b'{"choices":[]}'):
        out, progress = translated(body)
        assert out == b""
        assert progress.error is not None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "an empty body"),
        (b"  \n", "an empty body"),
        (b"<html>", "an HTML page"),
        (b'{"choices":[{"mess', "incomplete JSON"),
        (text("a"), "an event stream nobody asked for"),
        (b"[]", "JSON that is no object"),
        (b"{}", "no choices"),
        (b'{"choices":[]}', "no choices"),
        (b'{"choices":null}', "no choices"),
        (b'{"choices":[{"index":0,"finish_reason":"stop"}]}', "without a message"),
    ],
)
def test_a_200_without_an_answer_is_a_bad_reply(body: bytes, message: str) -> None:
    for read in (lambda: SIDE.whole(ask(), body, Progress()), lambda: SIDE.glance("openai.chat", body, Progress())):
        with pytest.raises(GatewayError, match=message) as caught:
            read()
        assert (caught.value.status, caught.value.code, caught.value.retryable) == (502, "bad_reply", True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error":{"message":"m","code":429}}', 429),
        (b'{"error":{"message":"m","type":"server_error"}}', 500),
        (b'{"error":"m"}', 502),
        (b'{"message":"m"}', 502),
        (b'{"choices":[{"message":{"content":"half"},"finish_reason":"error"}]}', 502),
    ],
)
def test_an_error_hidden_in_a_200_is_that_error(body: bytes, status: int) -> None:
    for format in ("openai.chat", "openai.completions"):
        with pytest.raises(GatewayError) as caught:
            SIDE.glance(format, body, Progress())
        assert caught.value.status == status


def test_chunks_and_completions_written_by_the_chat_are_openai_s_types() -> None:
    writer = ChunkWriter("id1", 5, "m1")
    usage = Usage(10, 5, cached_tokens=4, reasoning_tokens=2, cache_write_tokens=3, reported=True)
    call = writer.call(0, "c1", "f") + writer.arguments(0, "{}") + writer.finish("tool_calls")
    out = writer.role() + writer.text("a") + writer.reasoning("r") + call + writer.usage(usage) + DONE
    for chunk in chunks(out):
        assert ChatCompletionChunk.model_validate(chunk, strict=True).id == "id1"
    answer = read_stream(out)
    assert (answer.text, answer.reasoning, answer.calls, answer.finish) == ({0: "a"}, {0: "r"}, {0: [["c1", "f", "{}"]]}, {0: "tool_calls"})
    assert answer.usage == (10, 5, 4, 2)
    message = {"role": "assistant", "content": "x"}
    whole = completion("id1", 5, "m1", [{"index": 0, "message": message, "finish_reason": "stop"}], usage)
    assert ChatCompletion.model_validate_json(whole).usage is not None


def test_chunks_that_are_added_have_the_stream_s_id_time_and_model() -> None:
    said = event([{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}])
    counts = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    for rest in (
        event([{"index": 0, "delta": {}, "finish_reason": "stop"}]) + event([], usage=counts),
        event([{"index": 0, "delta": {"content": "!"}}], usage=counts),  # no finish reason: it is added, too
    ):
        found = chunks(translated(said + rest + DONE, Ask({}, "m", True, "ours", 5, include_usage=True))[0])
        assert found[-1]["choices"] == []
        assert {(one["id"], one["created"], one["model"]) for one in found} == {("c1", 1_762_355_135, "m-1")}
