"""AWS's event streams: frames written and read, cut anywhere, broken in every way; botocore's own reader agrees."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from edgegate.wire.eventstream import Frame, FrameError, FrameReader, Value, WholeFrames, frame

ALL_TYPES: dict[str, Value] = {
    ":event-type": "contentBlockDelta",
    "yes": True,
    "no": False,
    "byte": -5,
    "short": -300,
    "int": 70_000,
    "long": -(1 << 40),
    "bytes": b"\x00\xff",
    "text": "\u00e9\U0001f600",
    "at": datetime(2026, 5, 6, 7, 8, 9, 123000, tzinfo=UTC),
}
FRAMES = [frame(ALL_TYPES, b'{"a":1}'), frame({}, b""), frame({":message-type": "event"}, b"x" * 3000)]
STREAM = b"".join(FRAMES)
EXPECTED = [Frame(ALL_TYPES, b'{"a":1}'), Frame({}, b""), Frame({":message-type": "event"}, b"x" * 3000)]

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
VALUES = st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(max_size=50) | st.text(max_size=20)
MESSAGES = st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=200)), max_size=5)


def read(pieces: list[bytes]) -> tuple[list[Frame], str]:
    reader = FrameReader()
    frames = [found for piece in pieces for found in reader.feed(piece)]
    return frames, reader.broken


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(min(at, len(data)) for at in cuts), len(data)])]


def test_headers_of_every_type_are_read_as_they_were_written() -> None:
    assert read([STREAM]) == (EXPECTED, "")


def test_botocore_reads_what_is_written() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    found = [(event.headers, event.payload) for event in buffer]
    assert [payload for _, payload in found] == [expected.payload for expected in EXPECTED]
    theirs = found[0][0]
    assert theirs["text"] == ALL_TYPES["text"]
    assert theirs["at"] == int(ALL_TYPES["at"].timestamp() * 1000)  # type: ignore[union-attr]
    assert {name: theirs[name] for name in ("yes", "no", "byte", "short", "int", "long", "bytes")} == {
        name: ALL_TYPES[name] for name in ("yes", "no", "byte", "short", "int", "long", "bytes")
    }


@given(MESSAGES, st.lists(st.integers(0, 2000), max_size=10))
def test_any_frames_survive_any_cuts(messages: list[tuple[dict[str, Value], bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(headers, payload) for headers, payload in messages)
    assert read(cut(data, cuts)) == ([Frame(headers, payload) for headers, payload in messages], "")


def test_a_frame_is_given_with_the_byte_that_completes_it() -> None:
    reader = FrameReader()
    for byte in FRAMES[0][:-1]:
        assert reader.feed(bytes((byte,))) == []
    assert reader.pending
    assert reader.feed(FRAMES[0][-1:]) == EXPECTED[:1]
    assert not reader.pending


@pytest.mark.parametrize("at", range(len(FRAMES[0])))
def test_no_changed_byte_goes_unnoticed_and_what_came_before_is_given(at: int) -> None:
    broken = bytearray(FRAMES[0])
    broken[at] ^= 0x41
    data = FRAMES[1] + bytes(broken) + STREAM
    whole = read([data])
    assert whole[0] == [EXPECTED[1]]
    assert whole[1]
    assert read([data[i : i + 1] for i in range(len(data))]) == whole


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


def test_lengths_are_limited_before_anything_is_collected() -> None:
    for total, headers, word in (
        (1 << 31, 0, "more than"),
        (200_000, 140_000, "do not fit"),
        (15, 0, "do not fit"),
        (40, 30, "do not fit"),
    ):
        frames, broken = read([prelude(total, headers)])
        assert frames == []
        assert word in broken
        with pytest.raises(FrameError):
            WholeFrames().feed(prelude(total, headers))


@pytest.mark.parametrize(
    "headers", [b"\x01", b"\x01a", b"\x01a\x0a", b"\x01a\x07\x00\x05ab", b"\x01a\x04\x00", b"\x01a\x09abc", b"\x01\xff\x00", b"\x05a\x00"]
)
def test_headers_that_are_none_break_the_stream(headers: bytes) -> None:
    body = prelude(16 + len(headers), len(headers)) + headers
    frames, broken = read([body + struct.pack(">I", zlib.crc32(body))])
    assert frames == []
    assert "headers" in broken


def test_a_uuid_is_read_as_its_bytes() -> None:
    headers = b"\x02id\x09" + bytes(range(16))
    body = prelude(16 + len(headers), len(headers)) + headers
    assert read([body + struct.pack(">I", zlib.crc32(body))]) == ([Frame({"id": bytes(range(16))}, b"")], "")


def test_text_gives_strings_only() -> None:
    found = Frame(ALL_TYPES, b"")
    assert (found.text(":event-type"), found.text("yes"), found.text("absent")) == ("contentBlockDelta", "", "")


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_whole_frames_passes_on_all_bytes_and_never_half_a_frame(cuts: list[int]) -> None:
    whole = WholeFrames()
    edges = {0, *(len(b"".join(FRAMES[:n])) for n in range(1, len(FRAMES) + 1))}
    out = b""
    for piece in cut(STREAM + FRAMES[0][:20], cuts):
        out += whole.feed(piece)
        assert len(out) in edges
    assert out == STREAM
    assert whole.rest() == FRAMES[0][:20]
    assert whole.rest() == b""


def test_a_read_of_whole_frames_is_passed_on_as_the_same_object() -> None:
    assert WholeFrames().feed(STREAM) is STREAM


def test_an_integer_beyond_64_bits_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        frame({"n": 1 << 63})
