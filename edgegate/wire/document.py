"""JSON documents that come from clients: parsed once, refused with a sentence that says where and why.

What is accepted is what orjson accepts: RFC 8259, so no NaN, no Infinity, no lone surrogates, no byte order mark. Integers over
64 bits become floats, which harms nobody: a request that needs no translation is forwarded as bytes, not as what was parsed.
Nothing of the document is quoted in a message but the number literals that are not JSON: it may be a prompt.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.errors import GatewayError, bad_request

MAX_DEPTH = 200
"""Levels of objects and arrays. orjson reads 1,024 levels but writes only 254; a translated request gains a few."""

_NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")
_KINDS = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Anything else raises a 400 `GatewayError`, also what is nested beyond orjson's 1,024 levels."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _refusal(body, error) from None
    if not isinstance(value, dict):
        raise bad_request(f"expected a JSON object as the request body, got {_KINDS[type(value)]}", code="invalid_json")
    return value


def check_depth(value: dict[str, Any], max_depth: int = MAX_DEPTH) -> None:
    """Raises a 400 if a document is nested too deeply to be written again. Only translated requests are; looking at every
    request would cost more than parsing it."""
    if _deeper(value, max_depth):
        raise bad_request(f"the request body is nested too deeply; the limit is {max_depth} levels", code="invalid_json")


def _deeper(value: Any, max_depth: int) -> bool:
    """Whether containers are nested more than `max_depth` levels deep. Level by level: no recursion, 30 us for 300 messages."""
    level = [value]
    for _ in range(max_depth):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return True


def _refusal(body: bytes, error: orjson.JSONDecodeError) -> GatewayError:
    """Says in the order of what helps most: nothing there, not text, not JSON."""
    if not body.strip(b" \t\r\n"):
        return bad_request("the request body is empty; expected a JSON object", code="invalid_json")
    if body.startswith(b"\xef\xbb\xbf"):
        return bad_request("the request body starts with a byte order mark, which JSON must not", code="invalid_json")
    try:
        body.decode()
    except UnicodeDecodeError as undecodable:
        return bad_request(f"the request body is not UTF-8: invalid byte at offset {undecodable.start}", code="invalid_json")
    if "depth limit" in error.msg:
        return bad_request("the request body is nested too deeply; the limit is 1,024 levels", code="invalid_json")
    reason = error.msg
    # a minus sign has been read before what follows it is looked at
    at = error.pos - 1 if error.doc[error.pos - 1 : error.pos] == "-" else error.pos
    word = next((word for word in _NOT_NUMBERS if error.doc.startswith(word, at)), "")
    if word:
        reason = f"{word} is no JSON number"
    elif "surrogate" in reason:
        reason = "a string holds half of a surrogate pair"
    return bad_request(f"the request body is not valid JSON: {reason} (line {error.lineno}, column {error.colno})", code="invalid_json")
