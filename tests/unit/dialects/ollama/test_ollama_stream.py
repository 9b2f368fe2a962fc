"""Ollama's streams, plain replies, errors and embeddings: the shapes that recordings do not show."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.chat import DONE
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from edgegate.wire.ndjson import MAX_LINE_BYTES

SIDE = OllamaProvider()


def ask(id: str = "chatcmpl-own") -> Ask:
    return Ask({"messages": []}, "qwen3", True, id, 42, True)


def line(message: dict[str, Any] | None, done: bool = False, **more: Any) -> bytes:
    body = {"model": "qwen3:8b", "created_at": "2026-01-01T00:00:00Z", "done": done, **more}
    return orjson.dumps(body if message is None else {**body, "message": message}) + b"\n"


def text(piece: str) -> dict[str, Any]:
    return {"role": "assistant", "content": piece}


END = line(text(""), True, done_reason="stop", prompt_eval_count=3, eval_count=2)
CALL = {"function": {"name": "f", "arguments": {"a": 1}}}


def run(*lines: bytes, id: str = "chatcmpl-own") -> tuple[list[dict[str, Any]], Progress, bytes]:
    progress = Progress()
    tap = SIDE.stream(ask(id), progress)
    out = b"".join(tap.feed(part) for part in lines) + tap.end(Outcome.OK)
    return [orjson.loads(block[6:]) for block in out.split(b"\n\n") if block and block != DONE.strip()], progress, out


def deltas(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in found for choice in chunk["choices"]]


def test_one_id_for_the_whole_stream_is_the_exchange_s_own() -> None:
    found, progress, out = run(line(text("a")), line(text("b")), END)
    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in found} == {("chatcmpl-own", 42, "qwen3:8b")}
    assert deltas(found) == [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}, {}]
    assert found[-1]["usage"]["total_tokens"] == 5
    assert out.endswith(DONE)
    assert (progress.events, progress.finish_reason) == (3, "stop")


def test_an_empty_first_line_is_no_start() -> None:
    progress = Progress()
    tap = SIDE.stream(ask(), progress)
    tap.feed(line(text("")))
    before = progress.started
    tap.feed(line({"role": "assistant", "content": "", "thinking": "a"}))
    assert (before, progress.started, progress.finished) == (False, True, False)


def test_ids_of_calls_are_made_the_same_every_time_and_different_for_each_call_and_exchange() -> None:
    body = line({**text(""), "tool_calls": [CALL, CALL]})
    found, progress, _ = run(body, body, END)
    calls = [call for delta in deltas(found) for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 1, 2, 3]
    assert len({call["id"] for call in calls}) == 4
    assert calls[0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert run(body, body, END)[0] == found
    assert run(body, END, id="chatcmpl-other")[0][1]["choices"][0]["delta"]["tool_calls"][0]["id"] != calls[0]["id"]
    assert progress.finish_reason == "tool_calls"


def test_a_plain_reply_and_a_stream_make_the_same_ids() -> None:
    last = line({**text(""), "tool_calls": [CALL]}, True, done_reason="stop")
    whole = orjson.loads(SIDE.whole(ask(), last, Progress()))
    found, _, _ = run(last)
    assert whole["choices"][0]["message"]["tool_calls"][0]["id"] == deltas(found)[1]["tool_calls"][0]["id"]


def test_an_id_that_ollama_gives_is_kept() -> None:
    found, _, _ = run(line({**text(""), "tool_calls": [{**CALL, "id": "call_8k2j"}]}), END)
    assert deltas(found)[1]["tool_calls"][0]["id"] == "call_8k2j"


@pytest.mark.parametrize(
    ("reason", "calls", "expected"),
    [
        ("stop", [], "stop"),
        ("length", [], "length"),
        ("stop", [CALL], "tool_calls"),
        ("length", [CALL], "length"),
        (None, [], "stop"),
        ("", [], "stop"),
    ],
)
def test_done_reasons_in_openai_s_words(reason: str | None, calls: list[Any], expected: str) -> None:
    last = line({**text("a"), "tool_calls": calls}, True, **({} if reason is None else {"done_reason": reason}))
    assert run(last)[1].finish_reason == expected
    progress = Progress()
    SIDE.whole(ask(), last, progress)
    assert progress.finish_reason == expected


def test_a_reply_that_only_loaded_the_model_is_an_error_but_not_to_who_reads_along() -> None:
    loaded = line(text(""), True, done_reason="load")
    _, progress, out = run(loaded)
    assert progress.error is not None
    assert not progress.error.retryable
    assert b"[DONE]" not in out
    with pytest.raises(GatewayError):
        SIDE.whole(ask(), loaded, Progress())
    along = Progress()
    assert SIDE.watch("ollama.chat", ask(), along).feed(loaded) is loaded
    assert along.finished
    SIDE.glance("ollama.chat", loaded, Progress())


def test_counts_that_are_absent_are_zero_and_without_any_nothing_is_reported() -> None:
    _, progress, _ = run(line(text("a")), line(text(""), True, eval_count=2))
    assert (progress.usage.input_tokens, progress.usage.output_tokens, progress.usage.reported) == (0, 2, True)
    found, progress, _ = run(line(text("a")), line(text(""), True))
    assert not progress.usage.reported
    assert found[-1]["choices"]


def test_logprobs_are_carried() -> None:
    token = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}]}
    found, _, _ = run(line(text("")), line(text("a"), logprobs=[token]), END)
    assert found[1]["choices"][0]["logprobs"] == {"content": [{"bytes": None, **token}], "refusal": None}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b'{"error":"an error was encountered while running the model"}', "an error was encountered while running the model"),
        (b'{"error":{"message":"from a proxy"}}', "from a proxy"),
        (b'{"error":5}', "Ollama stopped with an error"),
        (b"{}", "Ollama's stream holds a line that is neither an answer nor an error"),
        (b'{"message":{"tool_calls":[{}]}}', "Ollama's stream holds a tool call without a name"),
    ],
)
def test_an_error_line_is_kept_and_nothing_is_passed_on_after_it(bad: bytes, message: str) -> None:
    found, progress, out = run(line(text("a")), bad + b"\n" + line(text("b")), END)
    assert progress.error is not None
    assert (progress.error.status, progress.error.message, progress.error.retryable) == (502, message, True)
    assert not progress.finished
    assert [delta.get("content") for delta in deltas(found)] == ["", "a"]
    assert b"[DONE]" not in out


def test_lines_after_the_end_are_ignored() -> None:
    _, progress, out = run(line(text("a")), END, line(text("b")), b"garbage\n")
    assert progress.error is None
    assert out.count(b"[DONE]") == 1
    assert b'"content":"b"' not in out


def test_a_line_without_end_is_an_error_and_not_memory() -> None:
    for along in (False, True):
        progress = Progress()
        tap = SIDE.watch("ollama.chat", ask(), progress) if along else SIDE.stream(ask(), progress)
        for _ in range(MAX_LINE_BYTES // (1 << 20) + 1):
            assert tap.feed(b"x" * (1 << 20)) == b""
        assert progress.error is not None
        assert progress.error.code == "bad_reply"


def test_reading_along_never_ends_on_half_a_line() -> None:
    tap = SIDE.watch("ollama.chat", ask(), Progress())
    whole = line(text("a"))
    assert tap.feed(whole + b'{"model"') == whole
    assert tap.end(Outcome.UPSTREAM_BROKE) == b""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"5",
        b"null",
        b"{}",
        b'{"done":true}',
        b'{"message":{"content":"a"},"done":false}',
        b'{"message":"a","done":true}',
        b"\xff",
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
        SIDE.whole(ask(), b'{"error":"out of memory"}', Progress())
    assert (caught.value.status, caught.value.code, caught.value.message) == (502, "provider_error", "out of memory")


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (404, b'{"error":"model \'x\' not found"}', "model_not_found", "model 'x' not found"),
        (404, b"404 page not found", "not_found", "Ollama answered 404: 404 page not found"),
        (400, b'{"error":"\\"gemma\\" does not support thinking"}', "invalid_request", '"gemma" does not support thinking'),
        (401, b'{"error":"unauthorized","signin_url":"https://ollama.com/connect"}', "invalid_api_key", "unauthorized"),
        (500, b'{"error":{"message":"x"}}', "server_error", "x"),
        (503, b"", "overloaded", "Ollama answered 503 without a body"),
        (502, b"<html>", "server_error", "Ollama answered 502 with a body that is no error object"),
        (500, b"[1]", "server_error", "Ollama answered 500 with a body that is no error object"),
        (500, b"17", "server_error", "Ollama answered 500: 17"),
    ],
)
def test_an_error_keeps_the_provider_s_words(status: int, body: bytes, code: str, message: str) -> None:
    error = SIDE.error(status, {}, body)
    assert (error.status, error.code, error.message) == (status, code, message)


@given(st.integers(300, 599), st.binary(max_size=40) | st.sampled_from([b'{"error":[]}', b'{"error":{}}', b'{"error":null}', b'"x"']))
def test_no_body_makes_reading_an_error_fail(status: int, body: bytes) -> None:
    assert SIDE.error(status, {}, body).message


def test_embeddings_of_the_new_and_the_old_endpoint() -> None:
    progress = Progress()
    new = SIDE.embedded({"input": ["a", "b"]}, "m", b'{"model":"nomic","embeddings":[[1.0],[2.0]],"prompt_eval_count":4}', progress)
    assert orjson.loads(new) == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}, {"object": "embedding", "index": 1, "embedding": [2.0]}],
        "model": "nomic",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    assert (progress.usage.input_tokens, progress.usage.reported, progress.finished) == (4, True, True)
    old = orjson.loads(SIDE.embedded({"input": "a", "encoding_format": "base64"}, "m", b'{"embedding":[0.5]}', Progress()))
    assert struct.unpack("<1f", base64.b64decode(old["data"][0]["embedding"])) == (0.5,)
    assert old["model"] == "m"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"embeddings":[]}', b'{"embeddings":[[1]]}', b'{"embeddings":5}', b'{"embeddings":[["a"],[1]]}']
)
def test_a_reply_without_one_vector_for_each_input_is_an_error(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.embedded({"input": ["a", "b"]}, "m", body, Progress())
    assert caught.value.code == "bad_reply"


@pytest.mark.parametrize("value", [[1, 2], [[1]], [], None])
def test_token_ids_are_refused(value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        SIDE.embed({"input": value}, "m")
    assert (caught.value.status, caught.value.param) == (400, "input")


def test_text_is_never_taken_alone_when_something_stands_beside_it() -> None:
    first = line(text(""))
    found, _, _ = run(first, line({**text("a"), "thinking": "b"}), line({**text("c"), "tool_calls": [CALL]}), END)
    assert deltas(found)[1:4] == [{"reasoning_content": "b"}, {"content": "a"}, {"content": "c"}]
    assert deltas(found)[4]["tool_calls"][0]["function"]["name"] == "f"
    found, progress, out = run(first, line(text("last"), True, done_reason="stop"))
    assert deltas(found)[1:] == [{"content": "last"}, {}]
    assert progress.finished
    assert out.endswith(DONE)
    _, progress, _ = run(first, line(text("a"), error="boom"))
    assert progress.error is not None
