"""Edits of JSON in bytes: the right fields change, and nothing else does."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgegate.wire import splice as module
from edgegate.wire.splice import splice


def edited(body: bytes, **edits: bytes | None) -> bytes:
    return splice(body, edits, json.loads(body))


# -- what is replaced


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"model":"a"}', b'{"model":"z"}'),
        (b'{"model":"a","n":1}', b'{"model":"z","n":1}'),
        (b'{"n":1,"model":"a"}', b'{"n":1,"model":"z"}'),
        (b'{"model":1}', b'{"model":"z"}'),
        (b'{"model":-1.5e+3,"n":1}', b'{"model":"z","n":1}'),
        (b'{"model":null}', b'{"model":"z"}'),
        (b'{"model":true ,"n":1}', b'{"model":"z" ,"n":1}'),
        (b'{"model":""}', b'{"model":"z"}'),
        (b'{"model":{},"n":1}', b'{"model":"z","n":1}'),
        (b'{"model":[[{"a":"]}"}],{"b":"\\"["}],"n":1}', b'{"model":"z","n":1}'),
        (b'{"model":"a\\"b","n":1}', b'{"model":"z","n":1}'),
        (b'{"model":"a\\\\","n":1}', b'{"model":"z","n":1}'),
        (b'{"model":"\\\\\\"","n":1}', b'{"model":"z","n":1}'),
        (b' {\r\n\t"model" \n:\t"a" }\n', b' {\r\n\t"model" \n:\t"z" }\n'),
    ],
)
def test_a_value_of_any_kind_is_replaced(body: bytes, result: bytes) -> None:
    assert edited(body, model=b'"z"') == result


@pytest.mark.parametrize(
    "rest",
    [
        b'"x":{"model":"in"}',
        b'"x":[{"y":[{"model" : 1}]},{"model":2}]',
        b'"x":"\\"model\\":\\"in\\""',
        b'"x":"model"',
        b'"x":["model","model"]',
        b'"x\\"model":"in"',
        b'"x":{"x\\"model":"in"}',
        b'"x":"\\\\","y":"\\\\\\"model"',
        b'"x":"{\\"model\\": [}"',
        b'"MODEL":1,"mode":2,"models":3,"":"model"',
        b'"x":{"mod\\u0065l":1}',
        b'"x":"\\u006d\\u0041"',
    ],
)
def test_the_name_elsewhere_is_left_alone(rest: bytes) -> None:
    """Nested at any depth, inside strings, as a value, as the end of another key."""
    for body in (b'{"model":"a",%b}', b'{%b,"model":"a"}', b'{ %b , "model" : "a" }'):
        assert edited(body % rest, model=b'"z"') == (body % rest).replace(b'"a"', b'"z"')


@pytest.mark.parametrize(
    "rest", [b'"x":{"model":"in"}', b'"x":"\\"model\\":1"', b'"x":["model"]', b'"x\\"model":1', b'"x":{"mod\\u0065l":1}']
)
def test_a_key_that_stands_only_elsewhere_is_added(rest: bytes) -> None:
    assert edited(b"{" + rest + b"}", model=b'"z"') == b'{"model":"z",' + rest + b"}"
    assert edited(b"{" + rest + b"}", model=None) == b"{" + rest + b"}"


@pytest.mark.parametrize("key", [rb'"mod\u0065l"', rb'"\u006d\u006f\u0064\u0065\u006c"', rb'"mode\u006C"', rb'"\u006Dodel"'])
@pytest.mark.parametrize("other", [b"", b',"x":{"model":"in"}', b',"x":"model"', b',"x":{"mod\\u0065l":1}'])
def test_a_key_written_with_escapes_is_found(key: bytes, other: bytes) -> None:
    body = b'{"n":1,' + key + b':"a"' + other + b"}"
    assert edited(body, model=b'"z"') == b'{"n":1,' + key + b':"z"' + other + b"}"
    assert edited(body, model=None) == b'{"n":1' + other + b"}"


@pytest.mark.parametrize("name", ["model", "stream", "stream_options", "top_p", "x-cache", "A1"])
def test_a_key_with_any_one_letter_escaped_is_not_taken_for_the_nested_one(name: str) -> None:
    for at, letter in enumerate(name):
        key = f'"{name[:at]}\\u{ord(letter):04x}{name[at + 1 :]}"'.encode()
        body = b'{"x":{"' + name.encode() + b'":"in"},' + key + b':"a"}'
        assert splice(body, {name: b'"z"'}, json.loads(body)) == body.replace(b'"a"', b'"z"')


def test_every_one_of_duplicate_keys_is_replaced() -> None:
    body = rb'{"model":"a","n":1,"mod\u0065l":"b","n":2,"model" : [1]}'
    assert edited(body, model=b'"z"') == rb'{"model":"z","n":1,"mod\u0065l":"z","n":2,"model" : "z"}'
    assert edited(b'{"model":"a","model":"b"}', model=b'"z"') == b'{"model":"z","model":"z"}'


def test_an_escaped_duplicate_does_not_escape() -> None:
    """Else a caller could name one model to the gateway and another to the provider."""
    assert b"dear" not in edited(rb'{"model":"cheap","mod\u0065l":"dear"}', model=b'"z"')
    assert b"dear" not in edited(rb'{"\u006dodel":"dear","model":"cheap"}', model=b'"z"')


# -- what is added and removed


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"{}", b'{"a":1,"b":[2]}'),
        (b"{ }", b'{"a":1,"b":[2] }'),
        (b'\n{"n":0}', b'\n{"a":1,"b":[2],"n":0}'),
        (b'{\n  "n": 0\n}', b'{"a":1,"b":[2],\n  "n": 0\n}'),
    ],
)
def test_absent_keys_are_added_behind_the_opening_brace(body: bytes, result: bytes) -> None:
    assert edited(body, a=b"1", b=b"[2]") == result


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"a":1}', b"{}"),
        (b'{ "a" : 1 }', b"{  }"),
        (b'{"a":1,"n":0}', b'{"n":0}'),
        (b'{"n":0,"a":1}', b'{"n":0}'),
        (b'{"m":0,"a":1,"n":0}', b'{"m":0,"n":0}'),
        (b'{\n  "a": 1,\n  "n": 0\n}', b'{\n  "n": 0\n}'),
        (b'{\n  "n": 0,\n  "a": 1\n}', b'{\n  "n": 0\n}'),
        (b'{"a":1,"a":2,"a":3}', b"{}"),
        (b'{"n":0,"a":1,"a":2}', b'{"n":0}'),
        (b'{"a":1,"n":0,"a":2}', b'{"n":0}'),
        (b'{"a":1,"a":2,"n":0}', b'{"n":0}'),
        (b'{"n":0}', b'{"n":0}'),
        (b"{}", b"{}"),
    ],
)
def test_a_removed_key_takes_one_comma_along(body: bytes, result: bytes) -> None:
    assert edited(body, a=None) == result


def test_neighbours_are_removed_together() -> None:
    assert edited(b'{"a":1,"b":2,"n":0}', a=None, b=None) == b'{"n":0}'
    assert edited(b'{"n":0,"a":1,"b":2}', b=None, a=None) == b'{"n":0}'
    assert edited(b'{"a":1,"n":0,"b":2}', a=None, b=None) == b'{"n":0}'
    assert edited(b'{"a":1,"b":2}', a=None, b=None) == b"{}"
    assert edited(b'{"a":1,"b":2}', a=None, b=b"3") == b'{"b":3}'
    assert edited(b'{"b":2,"a":1}', a=None, b=b"3") == b'{"b":3}'


def test_the_last_key_can_give_way_to_a_new_one() -> None:
    assert edited(b'{"a":1}', a=None, b=b"2") == b'{"b":2}'
    assert edited(b'{ "a":1, "a":2 }', a=None, b=b"2", c=b"3") == b'{"b":2,"c":3  }'


def test_no_edit_gives_the_same_object() -> None:
    body = b'{"a":1}'
    assert splice(body, {}, {"a": 1}) is body
    assert splice(body, {"b": None}, {"a": 1}) is body


def test_names_of_any_kind_can_be_edited() -> None:
    for name in ("x-cache", "", "ü", "a b", 'a"b', "a\\b", "a/b", "\n", "日本", "🙂", "\x7f"):
        ascii_form, plain_form = json.dumps(name).encode(), json.dumps(name, ensure_ascii=False).encode()
        for key in (ascii_form, plain_form):
            body = b'{"n":0,' + key + b":1}"
            assert splice(body, {name: b"2"}, orjson.loads(body)) == b'{"n":0,' + key + b":2}"
        assert json.loads(splice(b'{"n":0}', {name: b"1"}, {"n": 0})) == {name: 1, "n": 0}


# -- what stays


def test_everything_else_stays_byte_for_byte() -> None:
    rest = (
        b' "seed" : 123456789012345678901234567890 ,"f":1.10e+05, "f":-0.0,\r\n\t"esc":"\\u00e9\\/\\ud83d\\ude00\\b", '
        b'"utf":"\xc3\xa9\xf0\x9f\x98\x80", "nested":{"b":1,"a":{"model":"x"},"b":2}, "e":[ ], "o":{ } '
    )
    assert edited(b'{"model":"a",' + rest + b"}", model=b'"z"') == b'{"model":"z",' + rest + b"}"
    assert edited(b"{" + rest + b',"model":"a"}', model=b'"z"') == b"{" + rest + b',"model":"z"}'
    assert edited(b"{" + rest + b"}", model=b'"z"') == b'{"model":"z",' + rest + b"}"
    assert edited(b'{"model":"a",' + rest + b"}", model=None) == b"{" + rest.lstrip() + b"}"


def test_lone_surrogates_in_keys_and_values_do_not_disturb() -> None:
    """orjson refuses them; a caller with another parser may let them pass."""
    body = rb'{"\ud800":"\udfff","mod\u0065l":"a"}'
    assert edited(body, model=b'"z"') == rb'{"\ud800":"\udfff","mod\u0065l":"z"}'


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", b"", b" ", b"[]", b'"a"', b"1"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        splice(body, {"model": b"1"}, {})


@pytest.mark.parametrize("body", [b'{"model":"a', b'{"model"', b'{"model":', b'{"model":"\\', b'{"model":[1,', b'{"x":{"model":1},"model"'])
def test_invalid_json_never_hangs(body: bytes) -> None:
    try:
        splice(body, {"model": b"1"}, {"model": 1})
    except (ValueError, IndexError):
        pass


# -- properties

letters = st.sampled_from(["model", "stream", "a", "b", "x-cache", "", 'x"model', "mod", "é", "\\", "🙂", "{", "]"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.just(2**70),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    letters,
    st.sampled_from(['"model":1', 'say "model"', '\\"', "\\\\", ',"model":', "}", "\u0000\u001f", "\u2028"]),
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(letters, inner), max_size=3).map(tuple), max_leaves=8
)
blanks = st.text(" \t\r\n", max_size=2)
edits_of = st.dictionaries(letters, st.none() | st.sampled_from([b"1", b'"z"', b'{"model":[1,2]}', b"[ ]", b'"\\u006d"']), max_size=4)


@st.composite
def strings(draw: st.DrawFn, value: str) -> str:
    """One of the ways to write a string in JSON: any of its letters may be an escape."""
    if not draw(st.booleans()):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))
    out = ""
    for letter in value:
        if draw(st.booleans()):
            units = letter.encode("utf-16-be")
            code = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
            out += code.upper().replace("U", "u") if draw(st.booleans()) else code
        else:
            out += json.dumps(letter, ensure_ascii=False)[1:-1]
    return f'"{out}"'


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """JSON for `value` with blanks wherever they may stand; tuples of pairs are objects, with duplicate keys."""
    if isinstance(value, str):
        return draw(strings(value))
    if isinstance(value, list):
        return "[" + draw(blanks) + (draw(blanks) + "," + draw(blanks)).join([draw(written(item)) for item in value]) + draw(blanks) + "]"
    if isinstance(value, tuple):
        members = [draw(strings(key)) + draw(blanks) + ":" + draw(blanks) + draw(written(item)) for key, item in value]
        return "{" + draw(blanks) + (draw(blanks) + "," + draw(blanks)).join(members) + draw(blanks) + "}"
    return json.dumps(value)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    members = tuple(draw(st.lists(st.tuples(letters, trees), max_size=5)))
    return (draw(blanks) + draw(written(members)) + draw(blanks)).encode()


def pairs(body: bytes) -> list[tuple[str, Any]]:
    """The top-level members with all duplicates; objects below keep theirs as well."""
    value = json.loads(body, object_pairs_hook=lambda pairs: ("object", pairs))
    assert value[0] == "object"
    members: list[tuple[str, Any]] = value[1]
    return members


@given(objects(), edits_of)
@example(b'{"a":1,"a":2}', {"a": None})
def test_the_result_is_the_edited_object(body: bytes, edits: dict[str, bytes | None]) -> None:
    parsed = json.loads(body)
    result = splice(body, edits, parsed)
    expected = {key: value for key, value in parsed.items() if edits.get(key, b"") is not None}
    expected |= {key: json.loads(new) for key, new in edits.items() if new is not None}
    assert json.loads(result) == expected
    if all(abs(number) < 2**64 for number in map(int, re.findall(r"\d{19,}", result.decode()))):
        assert orjson.loads(result) == expected


@given(objects(), edits_of)
def test_members_that_are_not_edited_keep_their_order_and_their_duplicates(body: bytes, edits: dict[str, bytes | None]) -> None:
    parsed = json.loads(body)
    added = [key for key, new in edits.items() if new is not None and key not in parsed]
    result = pairs(splice(body, edits, parsed))
    assert [key for key, _ in result[: len(added)]] == added
    survivors = [(key, value) for key, value in pairs(body) if edits.get(key, b"") is not None]
    assert [key for key, _ in result[len(added) :]] == [key for key, _ in survivors]
    for (key, before), (_, after) in zip(survivors, result[len(added) :], strict=True):
        assert key in edits or before == after


@given(objects(), st.dictionaries(letters, st.just(b"<>"), min_size=1, max_size=3))
def test_bytes_outside_the_replaced_values_are_untouched(body: bytes, edits: dict[str, bytes | None]) -> None:
    """With a value that no JSON holds, what stands between the replacements must be spans of the original, in order."""
    parsed = json.loads(body)
    present: dict[str, bytes | None] = {key: new for key, new in edits.items() if key in parsed}
    spans = splice(body, present, parsed).split(b"<>")
    assert len(spans) == 1 + sum(key in present for key, _ in pairs(body))
    assert body.startswith(spans[0])
    assert body.endswith(spans[-1])
    at = len(spans[0])
    for span in spans[1:]:
        found = body.find(span, at + 1)
        assert found >= 0
        at = found + len(span)


@given(objects(), st.sampled_from(["model", "a", "x-cache", "é", ""]))
def test_the_quick_search_and_the_walk_find_the_same(body: bytes, key: str) -> None:
    walked = [(start, value) for name, start, value, _ in module._members(body, body.index(b"{") + 1) if name == key]
    found = module._fields(body, body.index(b"{"), {key: b""}) if walked else []
    assert [(start, value) for start, value, _, _ in found] == walked


# -- cost


def test_a_long_string_of_escapes_costs_linear_time_and_no_stack() -> None:
    body = b'{"x":["' + b"\\n\\\\" * 500_000 + b'"],"y":{"model":1},"model":"a"}'
    started = time.process_time()
    assert edited(body, model=b'"z"').endswith(b'"model":"z"}')
    assert time.process_time() - started < 1


def test_a_long_body_is_searched_not_walked() -> None:
    messages = [{"role": "user", "content": 'Tell me "everything" you know\nabout the sea. ' * 20}] * 200
    body = orjson.dumps({"messages": messages, "model": "a", "stream": True})
    parsed = orjson.loads(body)
    started = time.process_time()
    for _ in range(100):
        splice(body, {"model": b'"z"', "stream_options": b'{"include_usage":true}'}, parsed)
    assert (time.process_time() - started) / 100 < 0.001
