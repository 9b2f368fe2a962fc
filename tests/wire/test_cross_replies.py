"""Every recorded reply of every provider, read by every client format: it says the same, whole or in pieces, and half is never whole."""

from __future__ import annotations

import itertools
import json
import random
import re
import zlib
from collections.abc import Iterator

import pytest

from edgegate.dialects.base import Progress
from edgegate.errors import GatewayError
from edgegate.taps import Outcome, Tap
from tests.corpus import ABSENT
from tests.wire.cross import ALL, READING, Answered, answered, chosen
from tests.wire.cross_read import FINISHES, READERS, Said, by_chat, tokens

FAMILIES = sorted({given.family for given in answered()})
FORMATS = list(READING)
FEW = 3
"""Client formats for each reply, of the eight there are."""

NO_ANSWER = re.compile(r"put the answer off|broke off its answer|not an object|invalid tool generation|no answer")
"""What a recorded 200 may say instead of an answer."""

families = pytest.mark.parametrize("family", FAMILIES or [pytest.param("", marks=pytest.mark.skip(reason=ABSENT))])


def run(tap: Tap, pieces: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)


def usable(family: str) -> Iterator[tuple[Answered, bytes, Progress]]:
    """Recorded replies of a family with the chat they became; those that hold no answer say so and are left out."""
    for given in answered():
        if given.family != family or "functions" in given.recording.request:  # the older form is asked for as tools
            continue
        progress = Progress()
        try:
            if given.streamed:
                chat = run(given.side.stream(given.ask, progress), [given.recording.body])
                if progress.error is not None:
                    raise progress.error
            else:
                chat = given.side.whole(given.ask, given.recording.body, progress)
        except GatewayError as error:
            refused = error
        else:
            if not given.streamed or progress.finished:
                yield given, chat, progress
            else:
                assert b"[DONE]" not in chat, given.name
            continue
        assert refused.status >= 400
        assert NO_ANSWER.search(refused.message), f"{given.name}: {refused.message}"


def pieces_of(data: bytes, cuts: int, seed: str) -> list[bytes]:
    """Seeded random pieces; one byte each where there are more cuts than bytes."""
    if cuts >= len(data):
        return [data[at : at + 1] for at in range(len(data))]
    rng = random.Random(seed)
    places = sorted({0, len(data), *(rng.randrange(len(data)) for _ in range(cuts))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def seen_by(format: str, chat: bytes, streamed: bool) -> Said:
    whole, streams, request = READING[format]
    out = run(streams.stream(request, "77"), [chat]) if streamed else whole.whole(request, chat)
    return READERS[format](out, streamed)


@families
def test_a_reply_says_the_same_to_every_client(family: str) -> None:
    compared = 0
    for given, chat, _ in usable(family):
        said = by_chat(chat, streamed=given.streamed)
        assert said.finish, given.name
        for format in chosen(given.name, FORMATS, FEW):
            if said.custom and format != "openai.responses":
                continue
            where = f"{given.name} for {format}"
            seen = seen_by(format, chat, given.streamed)
            compared += 1
            if "audio" not in json.dumps(given.recording.request.get("modalities")):  # other formats show what was said aloud
                assert seen.text == said.text, where
            if format not in ("openai.completions", "ollama.generate"):  # these have no calls
                assert seen.calls == said.calls, where
                assert not seen.ids or seen.ids == said.ids, where
            if format != "openai.completions":
                assert squeezed(seen.reasoning) == squeezed(said.reasoning), where
            assert seen.usage == said.usage or (said.usage is None and seen.usage == (0, 0)), where
            assert seen.finish in FINISHES[format][said.finish], where
    assert compared or family == ""


def squeezed(text: str) -> str:
    """Parts of a summary are joined with empty lines or with nothing."""
    return re.sub(r"\s+", "", text)


@families
def test_tokens_are_counted_as_the_vendor_s_own_object_says(family: str) -> None:
    for given, chat, progress in usable(family):
        if given.streamed is False and given.recording.body.startswith(b"["):
            continue
        usage = progress.usage
        found = (usage.input_tokens, usage.output_tokens) if usage.reported else None
        assert found == tokens(given.recording, family), given.name
        told = by_chat(chat, streamed=given.streamed).usage
        assert told == found or (told is None and found == (0, 0)), given.name
        assert usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens, given.name
        assert usage.reasoning_tokens <= usage.output_tokens, given.name
        assert usage.cache_write_1h_tokens <= usage.cache_write_tokens, given.name


# -- streams


def some_streams(family: str, count: int) -> list[tuple[Answered, bytes]]:
    found = [(given, chat) for given, chat, _ in usable(family) if given.streamed]
    found.sort(key=lambda pair: zlib.crc32(pair[0].name.encode()))
    return found if ALL else found[:count]


@families
def test_pieces_make_no_difference(family: str) -> None:
    """Byte by byte for the short ones, at random places for all: on the provider's side and on each client's."""
    for given, chat in some_streams(family, 6):
        for cuts in (40, 6000):
            progress = Progress()
            body = given.recording.body
            assert run(given.side.stream(given.ask, progress), pieces_of(body, cuts, given.name)) == chat, given.name
        if by_chat(chat, streamed=True).custom:
            continue
        for format in chosen(given.name, FORMATS, FEW):
            _, streams, request = READING[format]
            whole = run(streams.stream(request, "77"), [chat])
            for cuts in (40, 6000):
                out = run(streams.stream(request, "77"), pieces_of(chat, cuts, given.name))
                assert out == whole, f"{given.name} for {format}"


TERMINAL = (
    b"data: [DONE]",
    b"message_stop",
    b'"response.completed"',
    b'"response.incomplete"',
    b'"done":true',
    b'"message-end"',
)


def assert_half(out: bytes, where: str) -> None:
    """Whole JSON documents only, and nothing that says that the answer is whole."""
    for mark in TERMINAL:
        assert mark not in out, f"{where}: {mark!r}"
    lines = [line.removeprefix(b"data: ") for line in out.splitlines() if line and not line.startswith((b"event: ", b":"))]
    for line in lines:
        json.loads(line)


@families
def test_a_stream_that_is_cut_is_never_whole(family: str) -> None:
    for given, chat in some_streams(family, 12):
        rng = random.Random(given.name)
        body = given.recording.body
        for _ in range(12):
            progress = Progress()
            out = run(given.side.stream(given.ask, progress), [body[: rng.randrange(len(body))]], Outcome.UPSTREAM_BROKE)
            if b"data: [DONE]" not in out:
                assert_half(out, given.name)
            else:  # what was cut off came behind the end
                assert progress.finished, given.name
                assert out == chat, given.name
        done = chat.rindex(b"data: [DONE]")
        finish = chat.rindex(b'"finish_reason":"')
        if by_chat(chat, streamed=True).custom:
            continue
        for format in chosen(given.name, FORMATS, FEW):
            _, streams, request = READING[format]
            for at in [rng.randrange(finish) for _ in range(6)] + [done]:
                if format == "openai.chat":  # passes on what it gets, and it gets whole events
                    at = chat.rindex(b"\n\n", 0, at) + 2 if b"\n\n" in chat[:at] else 0
                for outcome in (Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT, Outcome.CLIENT_GONE):
                    out = run(streams.stream(request, "77"), [chat[:at]], outcome)
                    assert_half(out, f"{given.name} for {format} at {at} of {len(chat)}")
                    assert at == done or b'"finishReason":"' not in out, f"{given.name} for {format}"


ERRORS: dict[str, bytes] = {
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"tired"}}\n\n',
    "openai": b'data: {"error":{"message":"tired","type":"server_error","code":null}}\n\n',
    "mistral": b'data: {"object":"error","message":"tired","type":"internal_error","code":"1000"}\n\n',
    "gemini": b'data: {"error":{"code":503,"message":"tired","status":"UNAVAILABLE"}}\n\n',
    "responses": b'event: error\ndata: {"type":"error","code":"server_error","message":"tired","param":null,"sequence_number":9}\n\n',
    "ollama": b'{"error":"tired"}\n',
}
"""A vendor's own error in the middle of its stream. Cohere has none but a finish reason; Bedrock's are tested with its frames."""


@pytest.mark.parametrize("family", [name for name in ERRORS if name in FAMILIES])
def test_an_error_inside_a_stream_ends_it(family: str) -> None:
    for given, chat in some_streams(family, 12):
        rng = random.Random(given.name)
        body = given.recording.body.replace(b"\r\n", b"\n")
        gap = b"\n" if family == "ollama" else b"\n\n"
        ends = [found.end() for found in re.finditer(re.escape(gap), body)]
        finish = next((at for at in ends if FINISHING.search(body[:at])), len(body))
        ends = [at for at in ends if at < finish]
        if not ends:
            continue
        at = rng.choice(ends)
        progress = Progress()
        tap = given.side.stream(given.ask, progress)
        out = tap.feed(body[:at] + ERRORS[family] + body[at:]) + tap.end(Outcome.OK)
        assert progress.error is not None, given.name
        assert "tired" in progress.error.message, given.name
        assert progress.error.status >= 400
        assert_half(out, given.name)
        assert chat.startswith(out) or len(out) < len(chat), given.name


FINISHING = re.compile(
    rb'"finish_reason": ?"[a-z]|"stop_reason": ?"[a-z]|'
    rb'"finishReason": ?"[A-Z]|"done": ?true|response\.(completed|incomplete|failed)|\[DONE\]'
)


@families
def test_the_first_event_of_a_stream_alone_is_no_answer(family: str) -> None:
    for given, _ in some_streams(family, 8):
        progress = Progress()
        out = run(given.side.stream(given.ask, progress), [], Outcome.OK)
        assert b"[DONE]" not in out, given.name
        assert not progress.finished, given.name
    for format in FORMATS:
        _, streams, request = READING[format]
        assert_half(run(streams.stream(request, "77"), []), format)


def test_every_format_was_compared() -> None:
    if not answered():
        pytest.skip(ABSENT)
    met: dict[str, int] = {}
    for given in answered():
        for format in chosen(given.name, FORMATS, FEW):
            met[format] = met.get(format, 0) + 1
    assert set(met) == set(FORMATS)
    assert min(met.values()) > len(answered()) // 8
