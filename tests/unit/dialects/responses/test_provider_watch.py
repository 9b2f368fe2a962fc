"""Native response streams: passed on unchanged and read along."""

from __future__ import annotations

import pytest

from edgegate.dialects.compat import COMPAT
from edgegate.taps import Outcome
from tests.unit.dialects.responses.made import CREATED, DONE, call, completed, delta, event, message, response, streamed, watched

STREAM = CREATED + event("output_item.added", output_index=0, item={"type": "message", "id": "msg_1"}) + delta("Hel") + delta("lo")
END = completed(message("Hello"))
ERROR = b'event: error\ndata: {"type":"error","code":"server_error","message":"Oops","param":null}\n\n'
FAILED = event("failed", response=response(status="failed", error={"code": "server_error", "message": "Oops"}))


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_a_stream_goes_on_unchanged_however_it_is_cut(ending: bytes) -> None:
    body = (b": hello\n\n" + STREAM + END).replace(b"\n", ending)
    sent, once = watched(body)
    assert sent == body
    assert (once.started, once.finished, once.finish_reason, once.model, once.usage.input_tokens) == (True, True, "stop", "gpt-x", 10)
    assert streamed(body)[1] == once
    for at in range(len(body) + 1):
        assert watched(body[:at], body[at:]) == (body, once)
    assert watched(*(body[at : at + 1] for at in range(len(body)))) == (body, once)


def test_an_answer_starts_with_its_first_word() -> None:
    for nothing in (CREATED, event("in_progress", response=response()), delta(""), b'data: {"type":"keepalive"}\n\n'):
        assert not watched(nothing, outcome=Outcome.UPSTREAM_BROKE)[1].started
    begun = (
        delta("x"),
        event("output_item.added", item=call("")),
        event("reasoning_text.delta", delta="x"),
        event("output_item.done", item={}),
    )
    for something in begun:
        assert watched(something, outcome=Outcome.UPSTREAM_BROKE)[1].started


def test_a_call_is_the_reason_to_finish_even_if_the_end_does_not_repeat_it() -> None:
    _, progress = watched(CREATED + event("output_item.added", output_index=0, item=call("")) + completed())
    assert progress.finish_reason == "tool_calls"


@pytest.mark.parametrize("end", [ERROR, FAILED, DONE, completed()], ids=["error", "failed", "DONE", "nothing"])
def test_a_failure_before_the_first_word_is_kept_back(end: bytes) -> None:
    sent, progress = watched(CREATED + end + STREAM)
    assert sent == CREATED
    assert progress.error is not None
    assert progress.error.retryable


def test_an_error_within_the_answer_is_kept_back_with_all_that_follows() -> None:
    sent, progress = watched(STREAM + ERROR + END, END)
    assert sent == STREAM
    assert progress.error is not None
    assert progress.error.message == "Oops"


def test_a_response_that_fails_within_the_answer_is_for_its_client_to_read() -> None:
    sent, progress = watched(STREAM + FAILED)
    assert sent == STREAM + FAILED
    assert (progress.error, progress.finished, progress.finish_reason) == (None, True, "error")


def test_what_imitators_write_behind_the_end_goes_on() -> None:
    sent, progress = watched(STREAM + END + DONE)
    assert sent == STREAM + END + DONE
    assert progress.finished


def test_half_an_event_is_never_passed_on() -> None:
    whole = STREAM + END
    for at in range(len(STREAM), len(whole)):
        sent, progress = watched(whole[:at], outcome=Outcome.UPSTREAM_BROKE)
        assert sent == STREAM
        assert not progress.finished
    assert watched(whole.rstrip())[0] == whole, "the last event of an answer gets its blank line"
    assert watched((STREAM + delta("x")).rstrip())[0] == STREAM


def test_a_body_that_is_no_stream_is_an_error() -> None:
    for body in (b'{"error":{"message":"No","code":429}}', b"<html></html>"):
        sent, progress = watched(body)
        assert sent == b""
        assert progress.error is not None


def test_who_has_the_endpoint() -> None:
    """The others' clients are translated to a chat."""
    have = {name for name, row in COMPAT.items() if "openai.responses" in row.provider().native}
    assert have == {"openai", "openrouter", "xai", "deepseek"}
    assert COMPAT["deepseek"].provider().native["openai.responses"] == "/responses"  # deepseek/responses-*
