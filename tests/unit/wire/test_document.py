"""Request bodies: what is accepted, and the sentence for what is not."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.errors import GatewayError, Source
from edgegate.wire.document import MAX_DEPTH, check_depth, parse_object


def refusal(body: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        parse_object(body)
    assert (caught.value.status, caught.value.code, caught.value.source) == (400, "invalid_json", Source.CLIENT)
    assert not caught.value.retryable
    return caught.value.message


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    """An object with `levels` levels in all."""
    return ('{"a":' + opening * (levels - 1) + closing * (levels - 1) + "}").encode()


def test_an_object_is_parsed() -> None:
    assert parse_object(b' {"model": "m", "n": [1, 2.5, null, true]}\n') == {"model": "m", "n": [1, 2.5, None, True]}


def test_big_integers_are_accepted_as_floats() -> None:
    assert parse_object(b'{"seed": 123456789012345678901234567890}') == {"seed": 123456789012345678901234567890.0}


def test_of_two_equal_keys_the_last_wins() -> None:
    assert parse_object(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
def test_an_empty_body_is_called_empty(body: bytes) -> None:
    assert refusal(body) == "the request body is empty; expected a JSON object"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "an array"),
        (b'[{"model": "m"}]', "an array"),
        (b'"text"', "a string"),
        (b"7", "a number"),
        (b"7.5", "a number"),
        (b"123456789012345678901234567890", "a number"),
        (b"true", "true or false"),
        (b"null", "null"),
    ],
)
def test_another_kind_at_the_top_is_named(body: bytes, kind: str) -> None:
    assert refusal(body) == f"expected a JSON object as the request body, got {kind}"


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b'{"a": "\xff"}', 7),
        ('{"a": "é'.encode() + b'\xe9"}', 9),
        (b"\xff\xfe{\x00}\x00", 0),
        (b'{"a": "\xed\xa0\x80"}', 7),
        (b'{"\xc3', 2),
    ],
    ids=["invalid byte", "Latin-1 after UTF-8", "UTF-16", "a surrogate in UTF-8", "cut in a letter"],
)
def test_bytes_that_are_not_utf_8_are_named_by_their_offset(body: bytes, offset: int) -> None:
    assert refusal(body) == f"the request body is not UTF-8: invalid byte at offset {offset}"


def test_a_byte_order_mark_is_refused_by_name() -> None:
    assert "byte order mark" in refusal(b"\xef\xbb\xbf{}")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("form", ['{{"temperature": {}}}', '{{"a": [1, {}]}}', "{}"])
def test_numbers_that_json_does_not_have_are_named(word: str, form: str) -> None:
    assert f"{word} is no JSON number (line 1, column" in refusal(form.format(word).encode())


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\ud83d\u0041", r"\ud83d", r"\ude00\ud83d"])
def test_half_a_surrogate_pair_is_refused(escape: str) -> None:
    assert "half of a surrogate pair" in refusal(b'{"a": "' + escape.encode() + b'"}')


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"a": 1,\n "b": nul}', "(line 2, column 7)"),
        (b'{"a": 1} x', "(line 1, column 10)"),
        (b"{'a': 1}", "(line 1, column 2)"),
        ('{"é": 1,, }'.encode(), "(line 1, column 9)"),
        (b'{\n\n"a"\n}', "(line 4, column 1)"),
    ],
)
def test_a_fault_is_named_by_line_and_column(body: bytes, where: str) -> None:
    message = refusal(body)
    assert message.startswith("the request body is not valid JSON: ")
    assert message.endswith(where)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":',
        b'{"a": 1',
        b'{"a": 01}',
        b'{"a": 1e999}',
        b'{"a": .5}',
        b'{"a": "\n"}',
        b'{"a": "\\x"}',
        b"{a: 1}",
        b'{"a": 1,}',
        b"\x00",
        b"{}{}",
    ],
)
def test_every_other_fault_is_a_400_as_well(body: bytes) -> None:
    assert refusal(body).startswith("the request body is not valid JSON: ")


def test_nothing_of_the_prompt_is_quoted() -> None:
    for body in (b'{"prompt": "my secret', b'{"prompt": "my secret" "x"}', b'{"prompt": "my secret\xff"}', b'{"prompt": secret}'):
        assert "secret" not in refusal(body)


def depth_refusal(body: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        check_depth(parse_object(body))
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")
    return caught.value.message


def test_a_depth_bomb_is_refused_whatever_happens_to_the_document() -> None:
    for body in (nested(1025), nested(100_000), b'{"a":' * 5000, b"[" * 100_000):
        assert refusal(body) == "the request body is nested too deeply; the limit is 1,024 levels"


def test_a_document_that_must_be_written_again_may_have_so_many_levels_and_no_more() -> None:
    check_depth(parse_object(nested(MAX_DEPTH)))
    for body in (nested(MAX_DEPTH + 1), nested(1000), nested(1024)):
        assert depth_refusal(body) == f"the request body is nested too deeply; the limit is {MAX_DEPTH} levels"
    check_depth(parse_object(b'{"a": {"b": [[1, 2]]}}'), 4)
    with pytest.raises(GatewayError):
        check_depth(parse_object(b'{"a": {"b": [[1, 2]]}}'), 3)


def test_depth_in_a_sibling_is_found_and_breadth_is_no_depth() -> None:
    wide = b'{"messages":[' + b",".join([b'{"content":[{"text":"[[[["}]}'] * 500) + b"]"
    check_depth(parse_object(wide + b"}"))
    assert "nested" in depth_refusal(wide + b',"z":' + nested(MAX_DEPTH) + b"}")


def test_what_passes_the_depth_check_can_be_written() -> None:
    value = parse_object(nested(MAX_DEPTH))
    check_depth(value)
    assert orjson.loads(orjson.dumps(value)) == value


numbers = st.integers(-(2**63), 2**64 - 1)
values = st.recursive(st.none() | st.booleans() | numbers | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_any_object_comes_back(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary() | st.text().map(str.encode) | st.text('{}[]":,\\u0dNaIe1-. \n').map(str.encode))
def test_any_bytes_give_an_object_or_a_400(body: bytes) -> None:
    try:
        value = parse_object(body)
    except GatewayError as error:
        value = {"status": error.status}
    assert isinstance(value, dict)
    assert value.get("status", 400) == 400
