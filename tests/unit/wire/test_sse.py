"""Event streams: every shape, at every split, against a parser written line by line from the specification."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.wire.sse import Event, EventReader, EventTooLarge, WholeEvents, boundary
from tests.corpus import Recording, corpus
from tests.unit.wire.sse_shapes import SHAPES, Shape

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=[shape.name.replace(" ", "-") for shape in SHAPES])


def lines_of(stream: bytes) -> tuple[list[bytes], bytes]:
    """The complete lines of a stream, and what follows the last line end."""
    lines, line, at = [], b"", 0
    while at < len(stream):
        byte = stream[at : at + 1]
        if byte == b"\r" and stream[at + 1 : at + 2] == b"\n":
            at += 1
        if byte in (b"\r", b"\n"):
            lines.append(line)
            line = b""
        else:
            line += byte
        at += 1
    return lines, line


def reference(stream: bytes) -> list[Event]:
    """HTML, 9.2.6 "Interpreting an event stream", step by step."""
    stream = stream[3:] if stream.startswith(b"\xef\xbb\xbf") else stream
    events = []
    event_type, data_buffer = b"", b""
    for line in lines_of(stream)[0]:
        if line == b"":
            if data_buffer != b"":
                assert data_buffer[-1:] == b"\n"
                events.append(Event(event_type, data_buffer[:-1]))
            event_type, data_buffer = b"", b""
        elif line[:1] == b":":
            pass
        else:
            name, value = line, b""
            if b":" in line:
                name, value = line[: line.index(b":")], line[line.index(b":") + 1 :]
                value = value[1:] if value[:1] == b" " else value
            if name == b"event":
                event_type = value
            elif name == b"data":
                data_buffer += value + b"\n"
    return events


def ends_in_blank_line(stream: bytes) -> bool:
    lines, rest = lines_of(stream)
    return rest == b"" and bool(lines) and lines[-1] == b""


def read(pieces: list[bytes]) -> tuple[list[Event], list[Event]]:
    reader = EventReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events, reader.end()


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in itertools.pairwise(at)]


line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
values = st.one_of(st.sampled_from([b"", b" ", b"a", b" a", b"  a", b":", b"\xef\xbb\xbf", "ü日🙂".encode()]), st.binary(max_size=4))
fields = st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"dat", b"datax", b"\xef\xbb\xbfdata"])
lines = st.one_of(st.just(b""), st.builds(lambda f, v: f + b":" + v, fields, values), fields, st.just(b"data: x"))
streams = st.builds(
    lambda bom, body, tail: bom + b"".join(line + end for line, end in body) + tail,
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb"]),
    st.lists(st.tuples(lines, line_ends), max_size=12),
    st.one_of(st.just(b""), lines),
)
cuts = st.lists(st.integers(0, 400), max_size=12)


def test_there_are_shapes_enough_and_each_has_its_own_name() -> None:
    assert len(SHAPES) >= 40
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)


@every_shape
def test_the_reference_parser_agrees_with_the_table(shape: Shape) -> None:
    assert reference(shape.stream) == list(shape.events)
    assert reference(shape.stream + b"\n\n") == [*shape.events, *shape.rest]


@every_shape
def test_every_shape_means_the_same_in_one_read(shape: Shape) -> None:
    assert read([shape.stream]) == (list(shape.events), list(shape.rest))


@every_shape
def test_every_shape_means_the_same_at_every_split(shape: Shape) -> None:
    stream = shape.stream
    for at in range(len(stream) + 1):
        assert read([stream[:at], stream[at:]]) == (list(shape.events), list(shape.rest)), at
    assert read([stream[at : at + 1] for at in range(len(stream))]) == (list(shape.events), list(shape.rest))


@every_shape
def test_an_event_comes_with_the_byte_that_completes_it(shape: Shape) -> None:
    reader, whole = EventReader(), WholeEvents()
    seen: list[Event] = []
    passed = b""
    for at in range(len(shape.stream)):
        byte = shape.stream[at : at + 1]
        seen += reader.feed(byte)
        passed += whole.feed(byte)
        assert seen == reference(shape.stream[: at + 1])
        assert reference(passed) == seen


@given(streams, cuts)
def test_events_do_not_depend_on_how_a_stream_is_split(stream: bytes, cuts: list[int]) -> None:
    events, rest = read(pieces_of(stream, cuts))
    assert events == reference(stream)
    assert events + rest == reference(stream + (b"\n\n" if stream else b""))


@given(streams, cuts)
def test_whole_events_pass_unchanged_and_none_is_held_back(stream: bytes, cuts: list[int]) -> None:
    whole = WholeEvents()
    given_so_far = b""
    passed = b""
    for piece in pieces_of(stream, cuts):
        given_so_far += piece
        out = whole.feed(piece)
        passed += out
        assert given_so_far.startswith(passed)
        assert out == b"" or ends_in_blank_line(passed)
        assert reference(passed) == reference(given_so_far)
    assert passed + whole.rest() == stream
    assert whole.rest() == b""


@given(streams)
def test_boundary_is_the_end_of_the_last_blank_line(stream: bytes) -> None:
    at = boundary(stream)
    assert at == 0 or ends_in_blank_line(stream[:at])
    assert reference(stream[:at]) == reference(stream)


def test_a_read_of_whole_events_is_passed_on_as_the_same_object() -> None:
    whole = WholeEvents()
    for read_ in (b"data: a\n\ndata: b\n\n", b"data: a\r\n\r\n", b"data: a\r\r"):
        assert whole.feed(read_) is read_


def test_an_error_event_can_follow_what_was_passed_on_even_if_the_last_line_feed_is_missing() -> None:
    whole = WholeEvents()
    passed = whole.feed(b"data: a\r\n\r") + b"data: error\n\n"
    assert reference(passed) == [Event(b"", b"a"), Event(b"", b"error")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("make", [EventReader, WholeEvents])
def test_an_event_without_end_is_refused_at_the_limit(make: Callable[[int], EventReader | WholeEvents], end: bytes) -> None:
    parser = make(1000)
    parser.feed(b"data: " + b"x" * 900 + end)
    with pytest.raises(EventTooLarge, match="1000"):
        parser.feed(b"data: " + b"x" * 100)


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_an_event_at_the_limit_passes_and_one_above_is_refused_however_it_is_split(size: int) -> None:
    def feed(length: int) -> list[Event]:
        stream = b"data: " + b"x" * (length - 6) + b"\n\n"
        reader = EventReader(1000)
        return [event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])]

    assert feed(999) == [Event(b"", b"x" * 993)]
    with pytest.raises(EventTooLarge):
        feed(1001)


def test_the_limit_is_for_one_event_not_for_a_read() -> None:
    assert len(EventReader(1000).feed(b"data: 0123456789\n\n" * 500)) == 500
    assert len(WholeEvents(1000).feed(b"data: 0123456789\n\n" * 500)) == 9000


def test_blank_lines_for_ever_are_no_event() -> None:
    reader, whole = EventReader(100), WholeEvents(100)
    for _ in range(1000):
        assert reader.feed(b"\n") == []
        whole.feed(b"\n")


def seconds(parser: EventReader | WholeEvents, event: bytes) -> float:
    pieces = [event[at : at + 65536] for at in range(0, len(event), 65536)]
    started = time.process_time()
    for piece in pieces:
        parser.feed(piece)
    return time.process_time() - started


@pytest.mark.parametrize("make", [EventReader, WholeEvents])
def test_a_large_event_in_many_reads_costs_linear_time(make: type[EventReader] | type[WholeEvents]) -> None:
    """Quadratic handling of 14 MB in 64 KB reads copies 1.6 GB and searches as much again; the linear one takes 30 ms."""
    event = b"data: " + b"x" * (14 << 20) + b"\r\n\r\n"
    assert min(seconds(make(), event) for _ in range(3)) < 0.4


def test_many_small_events_in_one_read_are_cheap() -> None:
    read_ = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n' * 10_000
    started = time.process_time()
    assert len(EventReader().feed(read_)) == 10_000
    assert time.process_time() - started < 0.1


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 1 << 20), max_size=40))
@corpus("openai/chat", "anthropic/messages", "gemini", where=lambda r: r.streamed and r.status == 200 and 0 < len(r.body) < 20_000)
def test_recorded_streams_mean_the_same_at_any_split(recording: Recording, cuts: list[int]) -> None:
    stream = recording.body
    events, rest = read(pieces_of(stream, cuts))
    assert events == reference(stream)
    assert len(events) + len(rest) > 0
    whole = WholeEvents()
    assert b"".join([whole.feed(piece) for piece in pieces_of(stream, cuts)]) + whole.rest() == stream
