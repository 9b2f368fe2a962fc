"""Usage found in replies that nobody parses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Progress
from edgegate.stages.sniff import MAX_BODY_BYTES, sniffer
from edgegate.taps import Outcome

JSON = [(b"content-type", b"application/json; charset=utf-8")]
EVENTS = [(b"content-type", b"text/event-stream")]


def read(body: bytes, headers: list[tuple[bytes, bytes]] = JSON, size: int = 1 << 20) -> Progress:
    progress = Progress()
    tap = sniffer(headers, progress)
    assert tap is not None
    out = b"".join(tap.feed(body[at : at + size]) for at in range(0, len(body), size)) + tap.end(Outcome.OK)
    assert out == body
    return progress


def counts(progress: Progress) -> tuple[int, int, int, int, int]:
    used = progress.usage
    return used.input_tokens, used.output_tokens, used.cached_tokens, used.cache_write_tokens, used.reasoning_tokens


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"m","usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}}', (7, 3, 2, 0, 0)),
        (
            b'{"model":"m","usage":{"input_tokens":7,"output_tokens":3,"input_tokens_details":{"cached_tokens":2},"output_tokens_details":{"reasoning_tokens":1}}}',
            (7, 3, 2, 0, 1),
        ),
        (
            b'{"model":"m","usage":{"input_tokens":7,"output_tokens":3,"cache_read_input_tokens":5,"cache_creation_input_tokens":4}}',
            (16, 3, 5, 4, 0),
        ),
        (
            b'{"modelVersion":"m","usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3,"thoughtsTokenCount":2,"cachedContentTokenCount":1}}',
            (7, 5, 1, 0, 2),
        ),
        (b'{"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}', (7, 0, 0, 0, 0)),
        (
            b'{"model":"m","usage":{"billed_units":{"input_tokens":2},"tokens":{"input_tokens":7,"output_tokens":3},"cached_tokens":5}}',
            (7, 3, 5, 0, 0),
        ),
        (
            b'{"modelVersion":"m","usage":{"inputTokens":7,"outputTokens":3,"cacheReadInputTokens":5,"cacheWriteInputTokens":4}}',
            (16, 3, 5, 4, 0),
        ),
    ],
    ids=["chat", "responses", "anthropic", "gemini", "embeddings", "cohere", "bedrock"],
)
def test_usage_of_each_vendor(body: bytes, expected: tuple[int, ...]) -> None:
    progress = read(body)
    assert counts(progress) == expected
    assert progress.usage.reported
    assert progress.model == "m"


ANTHROPIC = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"c",'
    b'"usage":{"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\\"usage\\""}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":25}}\n\n'
)
RESPONSES = b'event: response.completed\ndata: {"type":"response.completed",'
RESPONSES += b'"response":{"model":"r","usage":{"input_tokens":9,"output_tokens":25}}}\n\n'


@pytest.mark.parametrize(
    ("events", "model", "expected"),
    [(ANTHROPIC, "c", (13, 25, 4, 0, 0)), (RESPONSES, "r", (9, 25, 0, 0, 0))],
    ids=["anthropic", "responses"],
)
@given(size=st.integers(1, 60))
def test_usage_of_a_stream_however_it_is_split(events: bytes, model: str, expected: tuple[int, ...], size: int) -> None:
    progress = read(events, EVENTS, size)
    assert (counts(progress), progress.model) == (expected, model)


@pytest.mark.parametrize(
    "headers", [[], [(b"content-type", b"image/png")], [(b"content-length", b"3")]], ids=["none", "png", "length only"]
)
def test_a_reply_of_another_kind_is_left_alone(headers: list[tuple[bytes, bytes]]) -> None:
    assert sniffer(headers, Progress()) is None


@given(st.binary(max_size=200), st.sampled_from([JSON, EVENTS]))
def test_any_bytes_pass_unchanged_and_break_nothing(body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    read(body, headers, 7)
    read(b'{"usage":' + body, headers, 7)


@pytest.mark.parametrize(
    "usage", ["1", "null", "[]", '"x"', '{"prompt_tokens":"7"}', '{"prompt_tokens":-3}', '{"input_tokens":null}', '{"input_tokens":1e400}']
)
def test_odd_usage_is_no_usage_and_breaks_nothing(usage: str) -> None:
    assert counts(read(b'{"usage":' + usage.encode() + b"}")) == (0, 0, 0, 0, 0)


def test_a_body_beyond_the_limit_passes_and_is_not_kept() -> None:
    progress = Progress()
    tap = sniffer(JSON, progress)
    assert tap is not None
    for _ in range(MAX_BODY_BYTES // 65536 + 3):
        tap.feed(b" " * 65536)
    tap.feed(b'{"usage":{"prompt_tokens":7}}')
    assert len(b"".join(tap._parts)) < 65536  # type: ignore[attr-defined]
    tap.end(Outcome.OK)
    assert not progress.usage.reported
