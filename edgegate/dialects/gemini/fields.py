"""The names and values of a request as Google's servers take them, brought into one spelling.

They read protobuf JSON: every name in camelCase or snake_case, null for what is absent, one object where a list is expected
(Vertex's documentation writes `"contents": {...}`, `"parts": {...}`), numbers as strings. `named` gives camelCase without nulls
and leaves alone what belongs to the application: arguments, results, schemas.
"""

from __future__ import annotations

import re
from typing import Any

from edgegate.dialects.base import Json
from edgegate.errors import GatewayError, bad_request

_OPAQUE = frozenset((
    "args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels", "partMetadata",
))  # fmt: skip
_SPECIAL = {"_responseJsonSchema": "responseJsonSchema"}  # its name in the API before it had this one
_UNDERSCORE = re.compile(r"(?<=[A-Za-z0-9])_([a-z0-9])")
_DEPTH = 32
"""What Google has a name for lies less deep than this."""


def camel(name: str) -> str:
    if "_" not in name:
        return name
    return _SPECIAL.get(name) or _UNDERSCORE.sub(lambda found: found[1].upper(), name)


def named(value: Any, depth: int = 0) -> Any:
    """A copy with names in camelCase and without nulls; what is opaque is shared with the original."""
    if isinstance(value, list):
        return [named(item, depth + 1) for item in value] if depth < _DEPTH else value
    if not isinstance(value, dict) or depth >= _DEPTH:
        return value
    found: Json = {}
    for name, item in value.items():
        if item is not None:
            key = camel(name)
            found[key] = item if key in _OPAQUE else named(item, depth + 1)
    return found


def pick(value: Json, name: str, snake: str) -> Any:
    """A field of a request that has not been through `named`."""
    found = value.get(name)
    return value.get(snake) if found is None else found


def wrong(where: str, expected: str) -> GatewayError:
    return bad_request(f"Invalid value at '{where}': expected {expected}", where)


def an_object(value: Any, where: str) -> Json:
    if not isinstance(value, dict):
        raise wrong(where, "an object")
    return value


def objects(value: Any, where: str) -> list[Json]:
    """A repeated field of objects; one object alone is a list of one, absent is empty."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise wrong(where, "a list of objects")
    for at, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong(f"{where}[{at}]", "an object")
    return value


def a_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise wrong(where, "a string")
    return value


def texts(value: Any, where: str) -> list[str]:
    """A repeated field of strings; one string alone is a list of one."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise wrong(where, "a list of strings")
    return [a_text(item, f"{where}[{at}]") for at, item in enumerate(value)]


def a_number(value: Any, where: str) -> int | float:
    """A number, or one written as a string, as protobuf does for 64 bits."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise wrong(where, "a number") from None
        if not abs(number) < 1e15:
            raise wrong(where, "a number")
        return int(number) if number.is_integer() else number
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong(where, "a number")
    return value


def a_word(value: Any, where: str) -> str:
    """An enum's value in upper case: documents and SDKs write either."""
    return a_text(value, where).upper()
