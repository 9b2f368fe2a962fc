"""Replies: Cohere's, read by both SDKs on the way to a chat and back; and other providers', as Cohere's SDK reads them from us."""

from __future__ import annotations

import json
import random
from typing import Any

import cohere
import orjson
import pytest

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.dialects.chat import DONE
from edgegate.dialects.cohere.client import CohereChatClient
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome, Tap
from tests.corpus import Recording, corpus
from tests.unit.dialects.cohere.sdk import HELLO, Seen, by_cohere, client
from tests.wire.anthropic_sdks import by_openai

pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated")  # the SDK's own

SIDE = CohereProvider()
CHAT = CohereChatClient()
FAILS = "chat-stream-tools-0aabfd73"
"""Its answer ends in ERROR: INVALID_TOOL_GENERATION."""
FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


def succeeded(recording: Recording) -> bool:
    return recording.path == "/v2/chat" and recording.status == 200 and '"finish_reason":"ERROR"' not in recording.body.decode()


answers = corpus("cohere/chat", where=succeeded)
streams = corpus("cohere/chat", where=lambda r: r.path == "/v2/chat" and r.streamed)


def ask_for(recording: Recording) -> Ask:
    chat = CHAT.neutral(recording.request)
    return Ask(chat, recording.request["model"], recording.streamed, "made-up", 1762000000, include_usage=True)


def run(tap: Tap, pieces: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)


def translated(side: ProviderSide, ask: Ask, body: bytes, *, streamed: bool) -> tuple[bytes, Progress]:
    progress = Progress()
    out = run(side.stream(ask, progress), [body]) if streamed else side.whole(ask, body, progress)
    if progress.error is not None:
        raise progress.error
    assert progress.finished
    return out, progress


def given_back(chat: bytes, request: dict[str, Any], *, streamed: bool) -> bytes:
    return run(CHAT.stream(request, "made-up"), [chat]) if streamed else CHAT.whole(request, chat)


@answers
def test_openais_sdk_reads_from_the_chat_what_coheres_reads_from_the_recording(recording: Recording) -> None:
    chat, progress = translated(SIDE, ask_for(recording), recording.body, streamed=recording.streamed)
    expected = by_cohere(recording.body, streamed=recording.streamed)
    seen = by_openai(chat, streamed=recording.streamed)
    assert (seen.text, seen.calls, seen.finish) == (expected.text, expected.calls, FINISH[str(expected.finish)])
    assert progress.started
    assert progress.finished
    assert progress.finish_reason == seen.finish
    assert seen.model == progress.model == recording.request["model"]
    counted = expected.usage
    assert (progress.usage.input_tokens, progress.usage.output_tokens) == (counted["input"], counted["output"])
    assert (seen.usage["prompt"], seen.usage["completion"], seen.usage["cached"]) == (
        counted["input"],
        counted["output"],
        counted["cached"],
    )


@answers
def test_a_reply_comes_back_from_the_chat_as_it_was(recording: Recording) -> None:
    chat, _ = translated(SIDE, ask_for(recording), recording.body, streamed=recording.streamed)
    back = given_back(chat, recording.request, streamed=recording.streamed)
    assert by_cohere(back, streamed=recording.streamed) == by_cohere(recording.body, streamed=recording.streamed)
    if not recording.streamed:
        given, before = orjson.loads(back), orjson.loads(recording.body)
        assert given["message"] == before["message"]
        assert given["usage"]["billed_units"] == before["usage"]["billed_units"]


@streams
def test_a_stream_reads_the_same_however_it_was_cut(recording: Recording) -> None:
    chosen = random.Random(recording.file.name)
    body = recording.body
    cuts = sorted(chosen.sample(range(len(body)), 40))
    for pieces in (
        [body[at : at + 1] for at in range(len(body))],
        [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)],
    ):
        one, many = Progress(), Progress()
        chat = run(SIDE.stream(ask_for(recording), one), [body])
        assert run(SIDE.stream(ask_for(recording), many), pieces) == chat
        assert (many.usage, many.events, many.finished) == (one.usage, one.events, one.finished)
        cut = [chat[at : at + 7] for at in range(0, len(chat), 7)]
        assert run(CHAT.stream(recording.request, "i"), cut) == run(CHAT.stream(recording.request, "i"), [chat])
        watched = Progress()
        passed = run(SIDE.watch("cohere.chat", ask_for(recording), watched), pieces)
        assert passed == body or (watched.error is not None and body.startswith(passed))
        assert (watched.usage, watched.events, watched.finished) == (one.usage, one.events, one.finished)


@streams
def test_a_stream_cut_short_is_never_a_whole_answer(recording: Recording) -> None:
    end = recording.body.find(b"event: message-end")
    for at in range(0, end, max(1, end // 40)):
        progress = Progress()
        chat = run(SIDE.stream(ask_for(recording), progress), [recording.body[:at]], Outcome.UPSTREAM_BROKE)
        assert not progress.finished
        assert DONE not in chat
        back = run(CHAT.stream(recording.request, "i"), [chat], Outcome.UPSTREAM_BROKE)
        assert b"message-end" not in back
        assert b"[DONE]" not in back


@corpus("cohere/chat", where=lambda r: r.file.stem == FAILS)
def test_an_answer_that_ended_in_an_error_is_one(recording: Recording) -> None:
    ask = ask_for(recording)
    for native in (False, True):
        progress = Progress()
        out = run(SIDE.watch("cohere.chat", ask, progress) if native else SIDE.stream(ask, progress), [recording.body])
        assert progress.error is not None
        assert "invalid tool generation" in progress.error.message
        assert not progress.finished
        assert b"message-end" not in out
        assert b"[DONE]" not in out
    failed = Progress()
    run(SIDE.stream(ask, failed), [recording.body])
    assert failed.error is not None
    event = CHAT.error_event(failed.error, "req-1")
    delta = json.loads(event.partition(b"data: ")[2])["delta"]
    assert (delta["finish_reason"], delta["error_type"]) == ("ERROR", "INVALID_TOOL_GENERATION")
    assert by_cohere(recording.body[: recording.body.find(b"event: message-end")] + event, streamed=True).finish == "ERROR"


@corpus("cohere/chat", where=lambda r: succeeded(r) and not r.streamed)
def test_half_a_plain_reply_is_an_error(recording: Recording) -> None:
    for at in range(0, len(recording.body), max(1, len(recording.body) // 25)):
        with pytest.raises(GatewayError) as caught:
            SIDE.whole(ask_for(recording), recording.body[:at], Progress())
        assert caught.value.status == 502


@answers
def test_a_native_plain_reply_is_read_along(recording: Recording) -> None:
    if not recording.streamed:
        progress = Progress()
        SIDE.glance("cohere.chat", recording.body, progress)
        assert progress.finished
        assert progress.usage.reported


def from_others(recording: Recording) -> tuple[bytes, Progress]:
    side: ProviderSide = AnthropicProvider() if recording.raw["kind"] == "messages" else OpenAIProvider()
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return translated(
        side, Ask(chat, "m", recording.streamed, "made-up", 1, include_usage=True), recording.body, streamed=recording.streamed
    )


def answered(recording: Recording) -> bool:
    """Requests that a Cohere client can make: `functions` and several choices it knows not."""
    foreign = {"n", "functions"} & recording.request.keys()
    return recording.status == 200 and bool(recording.body) and not recording.path.endswith("count_tokens") and not foreign


def read(chat: bytes, *, streamed: bool) -> dict[str, Any]:
    """Text, reasoning, calls and finish reason of a chat completion or of its chunks."""
    if streamed:
        chunks = [json.loads(event[6:]) for event in chat.decode().split("\n\n") if event and event != "data: [DONE]"]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        messages = [choice["delta"] for choice in choices]
        finish = next(choice["finish_reason"] for choice in choices if choice.get("finish_reason"))
    else:
        choice = json.loads(chat)["choices"][0]
        messages, finish = [choice["message"]], choice["finish_reason"]
    calls: dict[int, list[str]] = {}
    for message in messages:
        for at, call in enumerate(message.get("tool_calls") or ()):
            one = calls.setdefault(call.get("index", at), ["", "", ""])
            function = call.get("function", {})
            for place, piece in enumerate((call.get("id"), function.get("name"), function.get("arguments"))):
                one[place] += piece or ""
    return {
        "text": "".join((message.get("content") or "") + (message.get("refusal") or "") for message in messages),
        "thinking": "".join(message.get("reasoning_content") or "" for message in messages),
        "calls": [(id, name, json.loads(arguments or "{}")) for id, name, arguments in calls.values()],
        "finish": "tool_calls" if calls and finish == "stop" else finish,
    }


@corpus("anthropic/messages", "openai/chat", where=answered)
def test_coheres_sdk_reads_other_providers_replies(recording: Recording) -> None:
    try:
        chat, progress = from_others(recording)
    except GatewayError:
        pytest.skip("the provider's own side refuses this reply")
    seen: Seen = by_cohere(given_back(chat, {"model": "m"}, streamed=recording.streamed), streamed=recording.streamed)
    finish = {**FINISH, "ERROR_TOXIC": "content_filter"}[str(seen.finish)]
    got = {"text": seen.text, "thinking": seen.thinking, "calls": seen.calls, "finish": finish}
    assert got == read(chat, streamed=recording.streamed)
    if progress.usage.reported:
        assert (seen.usage["input"], seen.usage["output"]) == (progress.usage.input_tokens, progress.usage.output_tokens)
        assert seen.usage["cached"] == progress.usage.cached_tokens


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, cohere.BadRequestError),
        (401, cohere.UnauthorizedError),
        (404, cohere.NotFoundError),
        (422, cohere.UnprocessableEntityError),
        (429, cohere.TooManyRequestsError),
        (498, cohere.InvalidTokenError),
        (503, cohere.ServiceUnavailableError),
    ],
)
def test_coheres_sdk_raises_its_own_errors(status: int, kind: type[Exception]) -> None:
    made, wire = client()
    error = SIDE.error(status, {}, b'{"id":"e-1","message":"no such thing"}')
    wire.body, wire.streamed, wire.status = CHAT.error(error, "r"), False, error.status
    with pytest.raises(kind, match="no such thing"):
        made.chat(model="m", messages=HELLO)
