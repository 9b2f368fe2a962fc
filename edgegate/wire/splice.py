"""Edits top-level fields of a JSON object in its bytes, leaving every other byte as it was.

A JSON round trip changes big integers, key order, duplicate keys and escapes; a request that only needs another model name
must not pay for that. `splice` replaces, adds and removes fields and copies the rest.

A field is found by searching for its quoted name. In valid JSON the bytes `"name"` are a string token, or the end of a longer
string (`"\\"name"`); either is a key only before a colon. So if the parsed object has the key, if no escape in the body could
spell one of its letters, and if exactly one place has the name before a colon, then that place is the field: the key has to
stand somewhere, and nowhere else is left. In all other cases the object's members are walked one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

# Possessive repeats (`*+`) keep no way back: memory does not grow with the number of escapes in a string
_INNER = rb'[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING = re.compile(rb'"' + _INNER, re.DOTALL)
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"' + _INNER + rb'[^"{}\[\]]*+)*+', re.DOTALL)
_SCALAR = re.compile(rb"[^,}\] \t\n\r]++")
_BLANKS = re.compile(rb"[ \t\n\r]*+")
_COLON = re.compile(rb"[ \t\n\r]*+:[ \t\n\r]*+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")

_QUOTE, _BACKSLASH, _COMMA, _COLON_BYTE = b'"\\,:'
_OPENING = b"{["
_BLANK = b" \t\n\r"


_Field = tuple[int, int, int, bytes | None]
"""A member of the object: where its key's opening quote is, where its value begins and ends, and what it becomes."""


def splice(body: bytes, edits: Mapping[str, bytes | None], parsed: Mapping[str, object]) -> bytes:
    """`body` with top-level fields edited: each key of `edits` gets that raw JSON as its value, or is removed for None.

    parsed: the object that `body` decodes to; it says which keys are there. An absent key is added right behind the opening
    brace. A key that is there several times is edited at every place. A body that does not open with a brace (after blanks
    at most; a byte order mark is none) raises ValueError; anything else that is not valid JSON has no defined result.
    """
    opening = 0 if body.startswith(b"{") else _skip_blanks(body, 0)
    if not body.startswith(b"{", opening):
        raise ValueError("not a JSON object")
    added = b""
    present: dict[str, bytes | None] = {}
    kept = len(parsed)
    for key, new in edits.items():
        if key in parsed:
            present[key] = new
            kept -= new is None
        elif new is not None:
            added += b"%b%b:%b" % (b"," if added else b"", _quoted(key), new)
    if added:
        pieces = [body[: opening + 1], added, b"," if kept else b""]
        at = opening + 1
    elif present:
        pieces = []
        at = 0
    else:
        return body
    if present:
        for start, stop, text in _cuts(body, _fields(body, opening, present)):
            pieces.append(body[at:start])
            pieces.append(text)
            at = stop
    pieces.append(body[at:])
    return b"".join(pieces)


def _cuts(body: bytes, fields: list[_Field]) -> Iterator[tuple[int, int, bytes]]:
    """Which spans give way to what. Neighbours that are removed are one span, so that the commas come out right."""
    at = 0
    while at < len(fields):
        start, value, stop, new = fields[at]
        at += 1
        if new is not None:
            yield value, stop, new
            continue
        after = _next_key(body, stop)
        while after and at < len(fields) and fields[at][0] == after and fields[at][3] is None:
            stop = fields[at][2]
            after = _next_key(body, stop)
            at += 1
        if after:
            yield start, after, b""  # with the comma behind it and the blanks up to the next key
            continue
        before = start - 1
        while body[before] in _BLANK:
            before -= 1
        yield before if body[before] == _COMMA else start, stop, b""  # the last member takes the comma before it along


def _next_key(body: bytes, stop: int) -> int:
    """Where the key of the member behind the one that ends at `stop` begins; 0 if there is none."""
    after = _skip_blanks(body, stop)
    return _skip_blanks(body, after + 1) if body[after] == _COMMA else 0


# -- finding the fields


def _fields(body: bytes, opening: int, wanted: Mapping[str, bytes | None]) -> list[_Field]:
    """The places of the wanted keys, all of which are there, in order."""
    escapes = body.rfind(b"\\u00") >= 0  # rfind is the faster search in long bodies
    fields: list[_Field] = []
    for key, new in wanted.items():
        value = -1
        if _PLAIN_NAME.fullmatch(key) and not (escapes and _may_be_escaped(body, key)):
            start, value = _only_key(body, b'"%b"' % key.encode())
        if value < 0:
            return [(start, value, stop, wanted[name]) for name, start, value, stop in _members(body, opening + 1) if name in wanted]
        fields.append((start, value, _value_end(body, value), new))
    if len(fields) > 1:
        fields.sort()
    return fields


def _may_be_escaped(body: bytes, name: str) -> bool:
    """Whether the body has an escape that could stand for a letter of `name`: those of "model" are all `\\u006_`."""
    return any(b"\\u00%x" % row in body for row in {ord(letter) >> 4 for letter in name})


def _only_key(body: bytes, quoted: bytes) -> tuple[int, int]:
    """The one place where `quoted` stands before a colon, and where the value behind the colon begins; -1 if there are more."""
    found = (-1, -1)
    at = body.rfind(quoted)
    while at >= 0:
        value = at + len(quoted)
        if body[value] == _COLON_BYTE and body[value + 1] not in _BLANK:  # as most clients write it
            value += 1
        elif colon := _COLON.match(body, value):
            value = colon.end()
        else:
            value = -1
        if value >= 0:
            if found[1] >= 0:
                return -1, -1
            found = at, value
        at = body.rfind(quoted, 0, at + 1)
    return found


def _members(body: bytes, at: int) -> Iterator[tuple[str, int, int, int]]:
    """All members of the object whose first one may begin at `at`: key, its position, its value's begin and end."""
    at = _skip_blanks(body, at)
    while body[at] == _QUOTE:
        key_end = _match_end(_STRING, body, at)
        value = _match_end(_COLON, body, key_end)
        stop = _value_end(body, value)
        # not orjson: a key may hold lone surrogates if the caller's parser lets them pass
        yield json.loads(body[at:key_end].decode()), at, value, stop
        at = _next_key(body, stop) or _skip_blanks(body, stop)


def _value_end(body: bytes, at: int) -> int:
    if body[at] == _QUOTE:
        end = body.find(b'"', at + 1)
        return end + 1 if body[end - 1] != _BACKSLASH else _match_end(_STRING, body, at)
    if body[at] not in _OPENING:
        return _match_end(_SCALAR, body, at)
    depth = 0
    while True:
        depth += 1 if body[at] in _OPENING else -1
        at += 1
        if depth == 0:
            return at
        at = _match_end(_TO_BRACKET, body, at)


def _skip_blanks(body: bytes, at: int) -> int:
    return _match_end(_BLANKS, body, at)


def _match_end(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    found = pattern.match(body, at)
    if found is None:
        raise ValueError("not valid JSON")
    return found.end()


def _quoted(key: str) -> bytes:
    return json.dumps(key).encode()
