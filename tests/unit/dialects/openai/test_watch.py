"""Native streams that are not as they should be: what goes on, and what is understood of them."""

from __future__ import annotations

import orjson
import pytest

from edgegate.dialects.base import Progress
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.openai.watch import PassThrough
from edgegate.taps import Outcome
from tests.unit.dialects.openai.made import DONE, ROLE, STOP, USAGE, USAGE_CHUNK, ask, delta, event, text
from tests.wire.openai_sdk import run

SIDE = OpenAIProvider()


def watched(
    data: bytes, *, include_usage: bool = True, outcome: Outcome = Outcome.OK, size: int = 0, n: int | None = None
) -> tuple[bytes, Progress]:
    """What goes on of `data`, fed at once or in pieces of `size`."""
    progress = Progress()
    tap = SIDE.watch("openai.chat", ask(include_usage, n=n), progress)
    return run(tap, [data[at : at + (size or len(data))] for at in range(0, len(data), size or len(data))], outcome), progress


def test_a_role_alone_or_a_comment_starts_nothing() -> None:
    out, progress = watched(b": ping\n\n" + ROLE + b": ping\n\n")
    assert out.count(b"\n\n") == 3
    assert not progress.started
    assert progress.events == 1


@pytest.mark.parametrize(
    "first",
    [
        text("a"),
        event([delta(reasoning_content="a")]),
        event([delta(reasoning="a")]),
        event([delta(refusal="no")]),
        event([delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f"}}])]),
        STOP,
    ],
)
def test_text_reasoning_calls_and_a_finish_start_an_answer(first: bytes) -> None:
    assert watched(ROLE + first)[1].started


def test_a_read_that_is_one_event_is_passed_on_as_the_same_object() -> None:
    tap = SIDE.watch("openai.chat", ask(), Progress())
    for piece in (ROLE, text("a"), text("b"), text("c"), STOP, USAGE_CHUNK, DONE):
        assert tap.feed(piece) is piece


@pytest.mark.parametrize("size", [0, 1, 3, 50, 400])
def test_the_usage_chunk_is_taken_out_when_nobody_asked_but_counted(size: int) -> None:
    out, progress = watched(ROLE + text("a") + STOP + USAGE_CHUNK + DONE, include_usage=False, size=size)
    assert out == ROLE + text("a") + STOP + DONE
    assert (progress.usage.input_tokens, progress.usage.output_tokens, progress.usage.reported) == (9, 3, True)
    assert progress.finished


def test_usage_beside_choices_is_never_taken_out() -> None:
    data = text("a", usage=USAGE) + event([delta("stop")], usage=USAGE) + DONE
    assert watched(data, include_usage=False)[0] == data


def test_a_first_chunk_without_choices_goes_on() -> None:
    first = b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}\n\n'
    out, progress = watched(first + text("a") + STOP + DONE, include_usage=False)
    assert out.startswith(first)
    assert progress.model == "m-1"


def test_usage_that_comes_with_every_chunk_is_read_from_the_last() -> None:
    pieces = [text("a", usage={**USAGE, "completion_tokens": count, "total_tokens": 9 + count}) for count in (1, 2, 3)]
    progress = Progress()
    tap = SIDE.watch("openai.chat", ask(), progress)
    for piece, count in zip(pieces, (1, 2, 3), strict=True):
        assert tap.feed(piece) == piece
        assert progress.usage.output_tokens == count


def test_a_line_whose_blank_line_has_not_come_is_held() -> None:
    tap = SIDE.watch("openai.chat", ask(), Progress())
    tap.feed(text("a"))
    assert tap.feed(text("b")[:-1] + b" ") == b""
    assert tap.feed(b"x\n\n") == text("b")[:-1] + b" x\n\n"


def test_groq_s_usage_is_found_under_x_groq() -> None:
    _, progress = watched(text("a") + event([delta("stop")], x_groq={"id": "r", "usage": {**USAGE, "queue_time": 0.1}}) + DONE)
    assert progress.usage.output_tokens == 3


def test_deepseek_s_cache_hits_are_counted_as_cached() -> None:
    _, progress = watched(text("a") + event([delta("stop")], usage={**USAGE, "prompt_cache_hit_tokens": 8}) + DONE)
    assert progress.usage.cached_tokens == 8


ERRORS = [
    (b'data: {"error":{"message":"boom","type":"server_error","param":null,"code":null}}\n\n', 500),
    (b'data: {"error":{"message":"slow","code":429,"metadata":{}}}\n\n', 429),
    (event([delta("error", content="")], error={"code": 502, "message": "gone"}), 502),
    (event([delta(content="")], error={"type": "rate_limit_error", "message": "later"}), 429),
    (b'data: {"error":"out of memory"}\n\n', 502),
    (b'data: {"object":"error","message":"bad","type":"BadRequestError","code":400}\n\n', 400),
    (b'event: error\ndata: {"error":{"message":"overloaded","type":"overloaded_error"}}\n\n', 503),
    (b'data: {"detail":"worker died"}\n\n', 502),
    (event([delta("abort")]), 502),
    (event([delta("insufficient_system_resource")]), 502),
]


@pytest.mark.parametrize(("error", "status"), ERRORS)
@pytest.mark.parametrize("size", [0, 1, 30])
def test_an_error_in_the_stream_ends_it_and_is_not_passed_on(error: bytes, status: int, size: int) -> None:
    out, progress = watched(ROLE + text("a") + error + text("b") + STOP + DONE, size=size)
    assert out == ROLE + text("a")
    assert progress.error is not None
    assert progress.error.status == status
    assert not progress.finished


def test_an_error_of_null_is_no_error() -> None:
    data = text("a", error=None) + event([delta("stop")], error=None) + DONE
    out, progress = watched(data)
    assert out == data
    assert progress.error is None


BAD_EVENTS = [
    b"data: {broken\n\n",
    b'data: {"choices":[{"index":0,"delta":{"content":""}\n\n',
    b"data: null\n\n",
    b"data:\n\n",
    b'data: {\n"choices":[]}\n\n',
]


@pytest.mark.parametrize("bad", BAD_EVENTS)
@pytest.mark.parametrize("size", [0, 1])
def test_an_event_that_is_not_json_is_left_out_and_the_stream_goes_on(bad: bytes, size: int) -> None:
    out, progress = watched(text("a") + bad + text("b") + STOP + DONE, size=size)
    assert out == text("a") + text("b") + STOP + DONE
    assert progress.finished


def test_done_without_a_finish_reason_is_a_broken_answer() -> None:
    out, progress = watched(ROLE + text("a") + DONE)
    assert out == ROLE + text("a")
    assert not progress.finished
    assert progress.error is not None
    assert progress.error.code == "incomplete_reply"


def test_done_alone_is_no_answer() -> None:
    out, progress = watched(DONE)
    assert out == b""
    assert progress.error is not None


def test_done_counts_where_finish_reasons_are_never_written() -> None:
    data = b'data: {"choices":[{"delta":{"content":"4"},"index":0}],"model":"m"}\n\n' + DONE
    out, progress = watched(data)
    assert out == data
    assert progress.finished


def test_every_choice_needs_its_finish_reason() -> None:
    one = event([delta(content="a", index=0)]) + event([delta(content="b", index=1)]) + event([delta("stop", index=0)])
    assert not watched(one, n=2)[1].finished
    assert not watched(one + DONE, n=2)[1].finished
    assert watched(one + event([delta("stop", index=1)]), n=2)[1].finished


def test_a_choice_that_finishes_before_another_begins_does_not_finish_the_answer() -> None:
    assert not watched(text("a") + STOP, n=2)[1].finished


def test_a_provider_that_gives_fewer_choices_than_asked_is_believed_at_done() -> None:
    out, progress = watched(text("a") + STOP + DONE, n=2)
    assert out.endswith(DONE)
    assert progress.finished


def test_a_whole_answer_without_done_gets_it() -> None:
    out, progress = watched(text("a") + STOP)
    assert out == text("a") + STOP + DONE
    assert progress.finished


def test_nothing_follows_done() -> None:
    assert watched(text("a") + STOP + DONE + text("b"))[0] == text("a") + STOP + DONE


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_last_event_without_its_blank_line_is_completed(ending: bytes) -> None:
    out, progress = watched(text("a") + STOP[:-2] + ending)
    assert out == text("a") + STOP + DONE
    assert progress.finished
    out, progress = watched(text("a") + STOP + b"data: [DONE]" + ending)
    assert out == text("a") + STOP + DONE


@pytest.mark.parametrize("outcome", [Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT, Outcome.CLIENT_GONE, Outcome.DRAINED])
def test_half_an_event_and_an_unfinished_done_never_go_on_when_the_stream_broke(outcome: Outcome) -> None:
    assert watched(text("a") + text("b")[:-9], outcome=outcome)[0] == text("a")
    assert watched(text("a") + STOP + b"data: [DONE]", outcome=outcome)[0] == text("a") + STOP


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"error":{"message":"no money","type":"insufficient_quota","code":"insufficient_quota"}}', 429, "no money"),
        (b'\n {\n "error": {"message": "pretty",\n\n "code": 400}}', 400, "pretty"),
        (b'[{"error":{"message":"listed","code":503}}]', 503, "listed"),
        (b"<!DOCTYPE html><html></html>", 502, "HTML page"),
        (b'{"id":"c1","choices":[{"message":{"content":"hi"}}]}', 502, "plain reply"),
        (b'{"error":{"mess', 502, "no event stream"),
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_a_body_that_is_no_event_stream_is_an_error_and_nothing_goes_on(body: bytes, status: int, message: str, size: int) -> None:
    out, progress = watched(body, size=size)
    assert out == b""
    assert progress.error is not None
    assert progress.error.status == status
    assert message in progress.error.message
    assert not progress.finished


def test_a_stray_body_is_held_within_a_limit() -> None:
    tap = PassThrough(Progress(), 1, True)
    for _ in range(100):
        assert tap.feed(b"{" + b" " * 10_000) == b""
    assert tap._stray is not None
    assert len(tap._stray._held) <= 1 << 16


def test_an_event_without_an_end_is_an_error_in_time() -> None:
    progress = Progress()
    tap = SIDE.watch("openai.chat", ask(), progress)
    tap.feed(text("a"))
    for _ in range(20):
        tap.feed(b"data: " + b"x" * (1 << 20))
    assert progress.error is not None
    assert progress.error.code == "bad_reply"
    assert tap.feed(STOP) == b""


def test_leading_blank_lines_and_a_byte_order_mark_are_harmless() -> None:
    for head in (b"\n\n", b"\xef\xbb\xbf", b"\r\n"):
        data = head + text("a") + STOP + DONE
        for size in (0, 1, 2):
            out, progress = watched(data, size=size)
            assert out == data
            assert progress.finished


def test_key_order_and_spacing_do_not_matter() -> None:
    spaced = b'data: {"choices" : [ {"finish_reason" : %s, "delta" : {"content" : "a"} , "index" : 0} ], "model": "m-1" }\n\n'
    data = spaced % b"null" + spaced % b"null" + spaced % b'"length"'
    out, progress = watched(data + DONE)
    assert out == data + DONE
    assert (progress.finished, progress.finish_reason, progress.events) == (True, "length", 3)


def test_words_in_the_text_are_not_mistaken_for_fields() -> None:
    trap = '{"error":{"message":"x"}} "finish_reason":"stop" "usage":{"prompt_tokens":5} data: [DONE]\n\n'
    out, progress = watched(text("a") + text(trap) + text("b"))
    assert out == text("a") + text(trap) + text("b")
    assert (progress.finished, progress.error, progress.usage.reported, progress.events) == (False, None, False, 3)


def test_completions_count_the_choices_of_every_prompt() -> None:
    def chunk(index: int, finish: str | None) -> bytes:
        return b"data: " + orjson.dumps({"choices": [{"index": index, "text": "a", "finish_reason": finish}], "model": "m"}) + b"\n\n"

    progress = Progress()
    tap = SIDE.watch("openai.completions", ask(prompt=["a", "b"]), progress)
    tap.feed(chunk(0, None) + chunk(0, "stop"))
    assert progress.started
    assert not progress.finished
    tap.feed(chunk(1, "stop"))
    assert progress.finished
