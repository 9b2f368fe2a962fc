"""Lines of JSON in arbitrary pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.wire.ndjson import LineReader, LineTooLarge, WholeLines

ANY = st.lists(
    st.sampled_from([b"{}", b'{"a":1}', b"\n", b"\r\n", b" ", b"\t", b"\r", b"\xc3\xa9", b"\xe2\x80\xa8", b"x" * 9]), max_size=30
)


def lines_of(parts: list[bytes]) -> list[bytes]:
    reader = LineReader()
    return [line for part in parts for line in reader.feed(part)] + reader.end()


def test_a_line_is_given_with_the_read_that_completes_it() -> None:
    reader = LineReader()
    assert reader.feed(b'{"a":') == []
    assert reader.feed(b"1}") == []
    assert reader.feed(b'\n{"b":2}\n{"c"') == [b'{"a":1}', b'{"b":2}']
    assert reader.feed(b":3}\n") == [b'{"c":3}']
    assert reader.end() == []


def test_carriage_returns_and_blanks_around_a_line_are_no_part_of_it() -> None:
    assert lines_of([b'{"a":1}\r\n\r\n  {"b":2}\t\n\n\n']) == [b'{"a":1}', b'{"b":2}']


def test_a_carriage_return_split_from_its_line_feed_is_still_a_line_end() -> None:
    assert lines_of([b"{}\r", b"\n{}"]) == [b"{}", b"{}"]


def test_only_a_line_feed_ends_a_line() -> None:
    text = '{"a":"\u2028\u2029\u0085\x0b\x0c"}'.encode()
    assert lines_of([text + b"\n"]) == [text]


def test_the_last_line_without_a_line_end_is_given_by_end() -> None:
    assert lines_of([b"{}\n", b'{"done":', b"true}"]) == [b"{}", b'{"done":true}']


def test_a_line_larger_than_the_limit_is_refused_before_it_is_complete() -> None:
    reader = LineReader(limit=10)
    assert reader.feed(b"x" * 10) == []
    with pytest.raises(LineTooLarge):
        reader.feed(b"x")


def test_a_line_larger_than_the_limit_is_refused_when_it_completes_in_one_read() -> None:
    with pytest.raises(LineTooLarge):
        LineReader(limit=10).feed(b"x" * 11 + b"\n")
    with pytest.raises(LineTooLarge):
        LineReader(limit=10).feed(b"{}\n" + b"x" * 11 + b"\n")


def test_many_lines_together_may_be_larger_than_the_limit() -> None:
    assert LineReader(limit=10).feed(b"x" * 10 + b"\n" + b"y" * 10 + b"\n") == [b"x" * 10, b"y" * 10]


@given(ANY)
def test_pieces_make_no_difference(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    expected = [line.strip(b" \t\r") for line in whole.split(b"\n") if line.strip(b" \t\r")]
    assert lines_of([whole]) == expected
    assert lines_of(parts) == expected
    assert lines_of([whole[at : at + 1] for at in range(len(whole))]) == expected


@given(ANY)
def test_whole_lines_lose_and_change_nothing(parts: list[bytes]) -> None:
    tap = WholeLines()
    out = [tap.feed(part) for part in parts]
    assert all(not piece or piece.endswith(b"\n") for piece in out)
    assert b"".join(out) + tap.rest() == b"".join(parts)


def test_whole_lines_pass_on_as_the_same_object() -> None:
    data = b"{}\n{}\n"
    assert WholeLines().feed(data) is data


def test_whole_lines_hold_half_a_line_and_refuse_one_without_end() -> None:
    tap = WholeLines(limit=10)
    assert tap.feed(b"{}\n{") == b"{}\n"
    assert tap.feed(b"}") == b""
    assert tap.feed(b"\n") == b"{}\n"
    tap.feed(b"x" * 10)
    with pytest.raises(LineTooLarge):
        tap.feed(b"x")
