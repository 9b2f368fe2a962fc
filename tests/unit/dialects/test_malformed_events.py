"""One event of a stream that is no JSON is left out and the answer goes on; but one that visibly held a piece of the answer breaks
the stream at its place, and so do too many in a row. Nothing but such events is an error; an answer whose finish reason was in one
is not whole. For every provider side, translated and native, over hand-written streams and recordings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.dialects.spoilt import MAX_ROW, events_of, frames_of, holds_answer
from edgegate.taps import Outcome, Tap
from edgegate.wire.eventstream import FrameReader, frame
from edgegate.wire.sse import EventReader
from tests.corpus import Recording, corpus


class Speech(NamedTuple):
    """A stream of a vendor's that says `Hello there`. `finish` is the event with the finish reason; what follows it may be missing.
    `frames`: how garbage stands in such a stream."""

    name: str
    side: ProviderSide
    format: str
    events: list[bytes]
    finish: int
    frames: Callable[[bytes], bytes]


def sse(value: Any, name: str = "") -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + orjson.dumps(value) + b"\n\n"


def named(*values: dict[str, Any]) -> list[bytes]:
    return [sse(value, value["type"]) for value in values]


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def completion(text: str, finish: str | None = None) -> bytes:
    return sse({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": finish}]})


def part(text: str, **more: Any) -> bytes:
    return sse({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}]})


def line(text: str, **more: Any) -> bytes:
    return orjson.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": False, **more}) + b"\n"


def aws(kind: str, value: Any) -> bytes:
    return frame({":message-type": "event", ":event-type": kind, ":content-type": "application/json"}, orjson.dumps(value))


def data(garbage: bytes) -> bytes:
    return b"data: " + garbage + b"\n\n"


CHAT = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}), chunk({"content": " there"}), chunk({}, "stop")]
RESPONSE = {"id": "resp_1", "model": "m", "status": "completed", "usage": {"input_tokens": 1, "output_tokens": 2}}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hello there"}]}
WHERE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
RESPONSES = named(
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {**MESSAGE, "content": []}},
    {"type": "response.output_text.delta", **WHERE, "delta": "Hello"},
    {"type": "response.output_text.delta", **WHERE, "delta": " there"},
    {"type": "response.completed", "response": {**RESPONSE, "output": [MESSAGE]}},
)
MESSAGES = named(
    {"type": "message_start", "message": {"id": "msg_1", "model": "m", "role": "assistant", "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
COHERE = named(
    {"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hello"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": " there"}}}},
    {"type": "content-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 1, "output_tokens": 2}}}},
)
DONE = b"data: [DONE]\n\n"

SPEECHES = [
    Speech("openai", OpenAIProvider(), "openai.chat", [*CHAT, DONE], 3, data),
    Speech(
        "completions",
        OpenAIProvider(),
        "openai.completions",
        [completion("Hello"), completion(" there"), completion("", "stop"), DONE],
        2,
        data,
    ),
    Speech("responses", ResponsesProvider(), "openai.responses", RESPONSES, 4, data),
    Speech("anthropic", AnthropicProvider(), "anthropic.messages", MESSAGES, 5, data),
    Speech("anthropic, named", AnthropicProvider(), "anthropic.messages", MESSAGES, 5, lambda g: b"event: content_block_delta\n" + data(g)),
    Speech("gemini", GeminiProvider(), "gemini.stream", [part("Hel"), part("lo"), part(" there", finishReason="STOP")], 2, data),
    Speech("cohere", CohereProvider(), "cohere.chat", [*COHERE, DONE], 5, data),
    Speech("cohere, named", CohereProvider(), "cohere.chat", COHERE, 5, lambda g: b"event: content-delta\n" + data(g)),
    Speech("mistral", MistralProvider(), "mistral.chat", [*CHAT, DONE], 3, data),
    Speech(
        "ollama",
        OllamaProvider(),
        "ollama.chat",
        [line("Hello"), line(" there"), line("", done=True, done_reason="stop")],
        2,
        lambda g: g + b"\n",
    ),
    Speech(
        "bedrock",
        BedrockProvider(),
        "bedrock.converse",
        [
            aws("messageStart", {"role": "assistant"}),
            aws("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}),
            aws("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": " there"}}),
            aws("contentBlockStop", {"contentBlockIndex": 0}),
            aws("messageStop", {"stopReason": "end_turn"}),
            aws("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}}),
        ],
        4,
        lambda g: frame({":message-type": "event", ":event-type": "contentBlockDelta", ":content-type": "application/json"}, g),
    ),
]
GARBAGE = [
    b'{"id":"secret","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content": ',
    b'{"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[],"refusal":null},"finish',
    b"{broken}",
    b"secret \xff\xfe",
    b"null",
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":}}',
    b'{"model":"m","message":{"role":"assistant","content":},"done":false}',
]

speeches = pytest.mark.parametrize("speech", SPEECHES, ids=lambda speech: speech.name)
taps = pytest.mark.parametrize("native", [False, True], ids=["translated", "native"])


def tap_of(speech: Speech, native: bool, progress: Progress) -> Tap:
    ask = Ask({"messages": [], "model": "m"}, "m", True, "chatcmpl-1", 1, include_usage=True)
    if native:
        return speech.side.watch(speech.format, ask, progress)
    if speech.name == "completions":
        pytest.skip("is never translated")
    return speech.side.stream(ask, progress)


def run(tap: Tap, pieces: Sequence[bytes], end: bool = True) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + (tap.end(Outcome.OK) if end else b"")


def text_in(out: bytes) -> str:
    """What a reader of chat chunks hears."""
    heard = ""
    for event in out.split(b"\n\n"):
        if event.startswith(b"data: {"):
            for choice in orjson.loads(event[6:])["choices"]:
                heard += choice["delta"].get("content") or ""
    return heard


def whole_stream(speech: Speech, native: bool) -> bytes:
    return run(tap_of(speech, native, Progress()), speech.events)


@taps
@speeches
@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("reads", ["an event a read", "a byte a read", "all in one read"])
def test_one_spoilt_event_is_left_out_wherever_it_stands(speech: Speech, native: bool, garbage: bytes, reads: str) -> None:
    clean = whole_stream(speech, native)
    for at in range(speech.finish + 1):
        events = [*speech.events[:at], speech.frames(garbage), *speech.events[at:]]
        if reads != "an event a read":
            stream = b"".join(events)
            events = [stream] if reads == "all in one read" else [stream[i : i + 1] for i in range(len(stream))]
        progress = Progress()
        out = run(tap_of(speech, native, progress), events)
        assert out == clean
        assert (progress.error, progress.started, progress.finished) == (None, True, True)
        assert native or text_in(out) == "Hello there"


def payload_of(event: bytes) -> bytes:
    """The JSON of a speech's event, whatever its frame."""
    if event.startswith((b"data:", b"event:")):
        return EventReader().feed(event)[0].data
    return event.strip() if event.startswith(b"{") else FrameReader().feed(event)[0].payload


def reframed(event: bytes, payload: bytes) -> bytes:
    """The same event with another payload, in a frame that is sound."""
    if event.startswith((b"data:", b"event:", b"{")):
        return event.replace(payload_of(event), payload)
    (old,) = FrameReader().feed(event)
    return frame(old.headers, payload)


def inside_text(payload: bytes) -> int:
    """A place in the middle of the piece of text that this payload holds; 0 if it holds none."""
    places = [payload.find(b'"' + text + b'"') for text in (b"Hello", b" there", b"Hel", b"lo", b"Hello there")]
    return max(places) + 3 if max(places) >= 0 else 0


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "its last bracket is missing": lambda payload: payload[:-1],
    "its end is missing": lambda payload: payload[: inside_text(payload)],
    "its first bracket is missing": lambda payload: payload[1:],
    "a letter is broken": lambda payload: payload[: inside_text(payload)] + b"\xff" + payload[inside_text(payload) :],
    "a quote is too many": lambda payload: payload[: inside_text(payload)] + b'"' + payload[inside_text(payload) :],
    "two were run together": lambda payload: payload + payload,
    "one is inside of the other": lambda payload: payload[: inside_text(payload)] + payload,
    "it is in a list": lambda payload: b"[" + payload + b"]",
    "it was encoded twice": lambda payload: orjson.dumps(payload.decode()),
}


@taps
@speeches
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("extra", [False, True], ids=["in its place", "before the whole one"])
def test_a_damaged_piece_of_the_answer_breaks_the_stream_at_its_place(
    speech: Speech, native: bool, damage: Callable[[bytes], bytes], extra: bool
) -> None:
    for at in range(speech.finish):
        event = speech.events[at]
        if not inside_text(payload_of(event)):
            continue
        before = speech.events[:at]
        events = [*before, reframed(event, damage(payload_of(event))), *speech.events[at + (not extra) :]]
        whole = b"".join(events)
        said = run(tap_of(speech, native, Progress()), before, end=False)
        for reads in (events, [whole], [whole[i : i + 1] for i in range(len(whole))]):
            progress = Progress()
            out = run(tap_of(speech, native, progress), reads)
            assert out == said, "all that was whole before it goes on, and nothing of it or behind it"
            assert progress.error is not None
            assert (progress.error.status, progress.error.code, progress.error.source) == (502, "bad_reply", "provider")
            assert progress.error.retryable
            assert "damaged piece of the answer" in progress.error.message
            assert not progress.finished


PIECES = [
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""',
    b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}',
    b'{"choices":[{"delta":{"function_call":{"name":"f"',
    b'{"choices":[{"delta":{"reasoning_content":"h',
    b'{"choices":[{"delta":{"reasoning": "h',
    b'{"choices":[{"delta":{"refusal" : "I',
    b'{"choices":[{"delta":{"audio":{"transcript":"h',
    b'{"choices":[{"delta":{"audio":{"data":"UklG',
    b'{"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.summary","summary":"h',
    b'{"choices":[{"delta":{"content":"\\"Hm',
    b'{"choices":[{"delta":{"content":"\xe9"}',
    b'{"choices":[{"text":"h',
    b'{"type":"response.output_text.delta","delta":"h',
    b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use',
    b'{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{',
    b'{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"h',
    b'{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"h',
    b'{"type":"content_block_delta","delta":{"type":"citations_delta","citation":{"type',
    b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"',
    b'{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath',
    b'{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png"',
    b'{"candidates":[{"content":{"parts":[{"executableCode":{"language"',
    b'"args":{"city"',
    b'"input": {"city"',
    b'{"delta":{"message":{"tool_plan":"I',
    b'{"delta":{"message":{"tool_calls":{"id":"c"',
    b'{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{',
    b'{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"h',
    b'{"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"h',
    b'{"model":"m","response":"h',
    b'"{\\"message\\":{\\"content\\":\\"h\\"}}"',
    b"x" * 70_000,
]
NOTHING = [
    b'{"choices":[{"delta":{"content":',
    b'{"choices":[{"delta":{"content":""},"finish',
    b'{"choices":[{"delta":{"content":null,"tool_calls":null},"finish',
    b'{"choices":[{"delta":{"content":"',
    b'{"choices":[],"usage":{"prompt_tokens":5,',
    b'{"type":"message_delta","delta":{"stop_reason":"end_turn"',
    b'{"type":"text","role":"content","id":"arguments',
    b'{"type":"ping"',
    b'{"error":{"message":"overloaded',
    b'{"candidates":[{"content":{"role":"model","parts":[',
    b'"{\\"message\\":{\\"content\\":\\"\\"}}"',
    b'{"tool_calls":[],"args":{},"input": { },"arguments":""',
    b"<html>",
]


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_of_an_answer_is_seen_in_damaged_data(piece: bytes) -> None:
    assert holds_answer(piece)


@pytest.mark.parametrize("nothing", NOTHING)
def test_no_piece_of_an_answer_is_seen_where_there_is_none(nothing: bytes) -> None:
    assert not holds_answer(nothing)


@given(text=st.text(min_size=1), cut=st.integers(1))
def test_a_text_is_seen_from_its_first_letter_on_wherever_it_is_cut(text: str, cut: int) -> None:
    data = orjson.dumps({"id": "1", "choices": [{"delta": {"content": text}}]})
    start = data.index(b'"content":"') + len(b'"content":"')
    assert holds_answer(data[: start + 1 + cut % len(data)])
    assert not holds_answer(data[:start])


@given(note=st.text(st.characters(exclude_characters='"', codec="utf-8")), cut=st.integers(0))
def test_a_text_that_speaks_of_content_is_none(note: str, cut: int) -> None:
    data = orjson.dumps({"note": note + " content: text, delta"})
    assert not holds_answer(data[: cut % len(data)])


@pytest.mark.parametrize(
    "bad", [b'"content"' + b" " * 65_000, b'"content": x' * 5_000, b'"' * 65_000, b'\\"' * 32_000, b'"input":[ x' * 5_000]
)
def test_looking_for_it_takes_no_time_whatever_the_data(bad: bytes) -> None:
    began = time.perf_counter()
    assert not holds_answer(bad)
    assert time.perf_counter() - began < 0.5


@taps
@speeches
@pytest.mark.parametrize("piece", PIECES[:2] + PIECES[-2:])
def test_a_damaged_piece_of_another_form_breaks_the_stream_too(speech: Speech, native: bool, piece: bytes) -> None:
    """Servers that speak like a vendor have fields of others as well."""
    progress = Progress()
    run(tap_of(speech, native, progress), [*speech.events[:2], speech.frames(piece), *speech.events[2:]])
    assert progress.error is not None
    assert not progress.finished


@taps
@speeches
def test_a_damaged_piece_before_the_answer_leaves_it_unbegun_so_that_another_may_be_asked(speech: Speech, native: bool) -> None:
    progress = Progress()
    run(tap_of(speech, native, progress), [speech.frames(PIECES[1]), *speech.events])
    assert progress.error is not None
    assert not progress.started


@taps
@speeches
@pytest.mark.parametrize("reads", ["an event a read", "all in one read"])
def test_spoilt_events_may_not_be_too_many_in_a_row(speech: Speech, native: bool, reads: str) -> None:
    clean = whole_stream(speech, native)
    rubbish = [speech.frames(b"{secret}")]
    for number, good in ((MAX_ROW, True), (MAX_ROW + 1, False)):
        events = [*rubbish * MAX_ROW, *speech.events[: speech.finish - 1], *rubbish * number, *speech.events[speech.finish - 1 :]]
        progress = Progress()
        out = run(tap_of(speech, native, progress), events if reads == "an event a read" else [b"".join(events)])
        assert b"secret" not in out
        assert progress.finished == good
        if good:
            assert (out, progress.error) == (clean, None)
        else:
            assert progress.error is not None
            assert (progress.error.code, progress.error.retryable) == ("bad_reply", True)
            assert clean.startswith(out)


def test_a_stream_of_too_many_spoilt_events_is_not_read_to_its_end() -> None:
    for speech in SPEECHES:
        progress = Progress()
        tap = speech.side.watch(speech.format, Ask({"messages": []}, "m", True, "i", 1), progress)
        for _ in range(MAX_ROW):
            assert tap.feed(speech.frames(b"{")) == b""
            assert progress.error is None
        assert tap.feed(speech.frames(b"{")) == b""
        assert progress.error is not None


ITEM = {"output_index": 0, "item": MESSAGE}
PART = {"type": "output_text", "text": "Hello there", "annotations": []}
REPEATS = named(
    {"type": "response.output_text.done", **WHERE, "text": "Hello there"},
    {"type": "response.content_part.done", **WHERE, "part": PART},
    {"type": "response.refusal.done", **WHERE, "refusal": "Hello there"},
    {"type": "response.reasoning_summary_text.done", "item_id": "rs_1", "output_index": 0, "summary_index": 0, "text": "Hello there"},
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "metadata": {"text": "Hello there"}}},
)
NEEDED = named(
    {"type": "response.output_item.done", **ITEM},
    {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 1, "arguments": "Hello there"},
    {"type": "response.completed", "response": {**RESPONSE, "output": [MESSAGE]}},
)


def nameless(event: bytes) -> bytes:
    return event[event.index(b"data: ") :]


@taps
@pytest.mark.parametrize("event", [*REPEATS, *map(nameless, REPEATS)])
def test_a_damaged_event_that_only_repeats_what_was_said_is_left_out(event: bytes, native: bool) -> None:
    (speech,) = (speech for speech in SPEECHES if speech.name == "responses")
    progress = Progress()
    damaged = reframed(event, payload_of(event)[:-1])
    assert run(tap_of(speech, native, progress), [*RESPONSES[:4], damaged, *RESPONSES[4:]]) == whole_stream(speech, native)
    assert (progress.error, progress.finished) == (None, True)


@taps
@pytest.mark.parametrize("event", [*NEEDED, *map(nameless, NEEDED)])
def test_a_damaged_event_that_more_than_repeats_is_not(event: bytes, native: bool) -> None:
    (speech,) = (speech for speech in SPEECHES if speech.name == "responses")
    progress = Progress()
    run(tap_of(speech, native, progress), [*RESPONSES[:4], reframed(event, payload_of(event)[:-1]), *RESPONSES[4:]])
    assert progress.error is not None
    assert not progress.finished


@taps
def test_a_repetition_of_nothing_is_a_piece_of_the_answer(native: bool) -> None:
    """Where no piece has come before it, and where a piece was run together with it."""
    (speech,) = (speech for speech in SPEECHES if speech.name == "responses")
    alone = reframed(REPEATS[0], payload_of(REPEATS[0])[:-1])
    both = reframed(REPEATS[0], payload_of(REPEATS[0])[:-9] + payload_of(RESPONSES[3]))
    for events in ([*RESPONSES[:2], alone, *RESPONSES[4:]], [*RESPONSES[:3], both, *RESPONSES[4:]]):
        progress = Progress()
        run(tap_of(speech, native, progress), events)
        assert progress.error is not None
        assert not progress.finished


def test_what_comes_behind_the_end_of_a_response_is_no_piece_of_it() -> None:
    (speech,) = (speech for speech in SPEECHES if speech.name == "responses")
    late = [speech.frames(PIECES[1])] * 2 + [speech.frames(b"{")] * (MAX_ROW + 1)
    for native in (False, True):
        progress = Progress()
        assert run(tap_of(speech, native, progress), [*RESPONSES, *late]) == whole_stream(speech, native)
        assert (progress.error, progress.finished) == (None, True)


@given(pieces=st.lists(st.sampled_from([b"data: a", b": c", b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r"])))
def test_a_run_is_cut_into_events_without_losing_a_byte(pieces: list[bytes]) -> None:
    run = b"".join(pieces)
    events = list(events_of(run))
    assert b"".join(events) == run
    assert all(len(EventReader().feed(event)) <= 1 for event in events)


def test_a_run_of_frames_is_cut_into_frames() -> None:
    frames = [aws("messageStart", {"role": "assistant"}), aws("contentBlockStop", {"contentBlockIndex": 0})]
    assert list(frames_of(b"".join(frames))) == frames


@taps
@speeches
def test_a_stream_of_nothing_but_spoilt_events_is_an_error(speech: Speech, native: bool) -> None:
    last = [speech.events[-1]] if speech.events[-1] == DONE else []
    for closing in ([], last):
        progress = Progress()
        out = run(tap_of(speech, native, progress), [speech.frames(garbage) for garbage in GARBAGE] + closing)
        assert b"secret" not in out
        assert b"choices" not in out
        assert progress.error is not None
        assert (progress.error.status, progress.error.code, progress.error.retryable) == (502, "bad_reply", True)
        assert not progress.finished


@taps
@speeches
def test_an_answer_whose_finish_reason_is_spoilt_is_not_whole(speech: Speech, native: bool) -> None:
    progress = Progress()
    events = [*speech.events[: speech.finish], speech.frames(GARBAGE[0]), *speech.events[speech.finish + 1 :]]
    out = run(tap_of(speech, native, progress), events)
    assert progress.started
    assert not progress.finished
    assert b"[DONE]" not in out
    assert b"message_stop" not in out
    assert b"secret" not in out


@taps
@speeches
def test_an_answer_is_whole_with_its_finish_reason_whatever_follows(speech: Speech, native: bool) -> None:
    progress = Progress()
    tap = tap_of(speech, native, progress)
    for at, event in enumerate(speech.events[: speech.finish + 1]):
        assert not progress.finished
        tap.feed(event)
        assert progress.finished == (at == speech.finish)
    tap.end(Outcome.OK)
    assert (progress.finished, progress.error) == (True, None)


@taps
@speeches
def test_an_answer_cut_before_its_finish_reason_is_not_whole(speech: Speech, native: bool) -> None:
    stream = b"".join(speech.events[: speech.finish])
    for cut in range(len(stream)):
        progress = Progress()
        out = run(tap_of(speech, native, progress), [stream[:cut]])
        assert not progress.finished
        assert b"[DONE]" not in out


def test_a_frame_with_a_wrong_checksum_is_fatal() -> None:
    (bedrock,) = (speech for speech in SPEECHES if speech.name == "bedrock")
    broken = bytearray(bedrock.events[1])
    broken[-1] ^= 1
    progress = Progress()
    run(tap_of(bedrock, False, progress), [bedrock.events[0], bytes(broken), *bedrock.events[1:]])
    assert progress.error is not None
    assert progress.error.code == "bad_reply"


@pytest.mark.parametrize("name", ["anthropic", "cohere", "bedrock"])
def test_the_beginning_of_a_call_is_never_left_out(name: str) -> None:
    (speech,) = (speech for speech in SPEECHES if speech.name == name)
    lost = {
        "anthropic": b"event: content_block_start\ndata: {\n\n",
        "cohere": b"event: tool-call-start\ndata: {\n\n",
        "bedrock": frame({":message-type": "event", ":event-type": "contentBlockStart"}, b"{"),
    }[name]
    for native in (False, True):
        progress = Progress()
        run(tap_of(speech, native, progress), [*speech.events[:2], lost, *speech.events[2:]])
        assert progress.error is not None
        assert not progress.finished


def test_calls_whose_beginning_had_no_name_are_not_lost_in_silence() -> None:
    piece = {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}}
    progress = Progress()
    events = [*MESSAGES[:5], data(b'{"type":"content_block_sta'), *named(piece, {"type": "content_block_stop", "index": 1}), *MESSAGES[5:]]
    run(AnthropicProvider().stream(Ask({"messages": []}, "m", True, "i", 1), progress), events)
    assert progress.error is not None


def test_done_alone_ends_no_answer_that_has_lost_an_event() -> None:
    """Some providers write no finish reasons at all, and [DONE] is all there is; but not if the reason may have been lost."""
    bare = [sse({"choices": [{"index": 0, "delta": {"content": "Hello"}}]}), DONE]
    for native in (False, True):
        good, lost = Progress(), Progress()
        run(tap_of(SPEECHES[0], native, good), bare)
        run(tap_of(SPEECHES[0], native, lost), [bare[0], data(b"{secret}"), DONE])
        assert good.finished
        assert not lost.finished
        assert lost.error is not None


RECORDED: dict[str, tuple[ProviderSide, str]] = {
    "openai/chat": (OpenAIProvider(), "openai.chat"),
    "openai/responses": (ResponsesProvider(), "openai.responses"),
    "anthropic/messages": (AnthropicProvider(), "anthropic.messages"),
    "gemini/generate": (GeminiProvider(), "gemini.stream"),
    "vertex/generate": (GeminiProvider(), "gemini.stream"),
    "cohere/chat": (CohereProvider(), "cohere.chat"),
    "mistral/chat": (MistralProvider(), "mistral.chat"),
    "groq/chat": (OpenAIProvider(), "openai.chat"),
    "deepseek/chat": (OpenAIProvider(), "openai.chat"),
    "openrouter/chat": (OpenAIProvider(), "openai.chat"),
}


@taps
@corpus(*RECORDED, where=lambda r: r.streamed and r.status == 200 and b"data:" in r.body)
def test_a_recorded_stream_is_the_same_with_a_spoilt_event_in_it(recording: Recording, native: bool) -> None:
    side, format = RECORDED[f"{recording.file.parent.name}/{recording.raw['kind']}"]
    ask = Ask({"messages": [], "model": "m", "stream": True}, "m", True, "chatcmpl-1", 1, include_usage=True)
    newline = b"\r\n\r\n" if b"\r\n\r\n" in recording.body else b"\n\n"
    events = recording.body.split(newline)
    if any(not event.startswith((b"data:", b"event:", b":", b"id:")) for event in events if event.strip()):
        pytest.skip("is no plain run of events")

    def heard(stream: bytes) -> tuple[bytes, Progress]:
        progress = Progress()
        tap = side.watch(format, ask, progress) if native else side.stream(ask, progress)
        return run(tap, [stream]), progress

    clean, progress = heard(recording.body)
    for at in sorted({1, len(events) // 3, len(events) // 2}):
        spoilt = newline.join([*events[:at], b'data: {"secret": tr', *events[at:]])
        out, after = heard(spoilt)
        assert out == clean
        assert (after.finished, after.error is None, after.usage) == (progress.finished, progress.error is None, progress.usage)


def said(out: bytes) -> dict[str, str]:
    """All that a reader of chat chunks gets of an answer: each text, each call's name and arguments, the sources."""
    heard: dict[str, str] = {}
    for event in out.split(b"\n\n"):
        for choice in orjson.loads(event[6:])["choices"] if event.startswith(b"data: {") else ():
            delta = choice["delta"]
            pieces = [(name, delta.get(name)) for name in ("content", "reasoning_content", "refusal")]
            for call in delta.get("tool_calls") or ():
                pieces += [(f"{name} {call['index']}", call["function"].get(name)) for name in ("name", "arguments")]
            pieces += [(name, orjson.dumps(delta[name]).decode()) for name in ("annotations", "images") if delta.get(name)]
            for name, piece in pieces:
                if piece:
                    heard[f"{choice['index']} {name}"] = heard.get(f"{choice['index']} {name}", "") + piece
    return heard


@corpus(*RECORDED, where=lambda r: r.streamed and r.status == 200 and b"data:" in r.body)
def test_a_recorded_stream_with_a_damaged_event_is_whole_only_if_nothing_is_missing(recording: Recording) -> None:
    side, _ = RECORDED[f"{recording.file.parent.name}/{recording.raw['kind']}"]
    ask = Ask({"messages": [], "model": "m", "stream": True}, "m", True, "chatcmpl-1", 1, include_usage=True)
    newline = b"\r\n\r\n" if b"\r\n\r\n" in recording.body else b"\n\n"
    events = recording.body.split(newline)
    clean = said(run(side.stream(ask, Progress()), [recording.body]))
    for at in range(len(events)):
        progress = Progress()
        out = run(side.stream(ask, progress), [newline.join([*events[:at], events[at][:-1], *events[at + 1 :]])])
        if progress.finished and progress.error is None:
            assert said(out) == clean, events[at]


@taps
@speeches
def test_half_a_surrogate_pair_is_no_damage(speech: Speech, native: bool) -> None:
    """A provider that cuts its text in the middle of an emoji: every client's parser reads that, so the bytes pass as they are."""
    events = [
        reframed(
            event,
            payload_of(event).replace(b'"Hello"', b'"Hello\\ud83d"').replace(b'"lo"', b'"lo\\ud83d"').replace(b" there", b"\\ude00 there"),
        )
        for event in speech.events
    ]
    for reads in (events, [b"".join(events)], [bytes([byte]) for byte in b"".join(events)]):
        progress = Progress()
        out = run(tap_of(speech, native, progress), reads)
        assert (progress.error, progress.spoilt, progress.finished) == (None, 0, True)
        if native:
            assert b"\\ud83d" in out
            assert b"\\ude00 there" in out
        else:
            assert text_in(out) in ("Hello\ufffd\ufffd there", "Hello\ufffd there")


def test_a_number_that_json_does_not_have_is_no_damage() -> None:
    odd = chunk({"content": "Hello"}).replace(b'"finish_reason"', b'"logprobs":{"token_logprobs":[NaN,-Infinity]},"finish_reason"')
    progress = Progress()
    out = run(tap_of(SPEECHES[0], True, progress), [CHAT[0], odd, *CHAT[2:], DONE])
    assert odd in out
    assert (progress.error, progress.spoilt) == (None, 0)
