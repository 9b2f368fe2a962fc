"""Checks of single JSON values, with OpenAI's own wording of what is wrong.

Each check takes the value and the name of the field as the client wrote it (`messages[2].content`) and raises a 400
`GatewayError`. Types are compared exactly: the values come from a JSON parser, and a boolean is not a number. No message
repeats a value, it could be part of a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgegate.errors import GatewayError, bad_request

Check = Callable[[Any, str], None]

_KINDS: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a decimal number",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def wrong_type(param: str, expected: str, value: Any) -> GatewayError:
    return bad_request(
        f"Invalid type for '{param}': expected {expected}, but got {_KINDS.get(type(value), 'something else')} instead.",
        param,
        code="invalid_type",
    )


def missing(param: str) -> GatewayError:
    return bad_request(f"Missing required parameter: '{param}'.", param, code="missing_required_parameter")


def unknown_value(param: str, supported: tuple[str, ...]) -> GatewayError:
    names = ", ".join(f"'{name}'" for name in supported)
    return bad_request(f"Invalid value for '{param}'. Supported values are: {names}.", param, code="invalid_value")


def empty_array(param: str) -> GatewayError:
    return bad_request(f"Invalid '{param}': empty array. Expected an array with minimum length 1.", param, code="empty_array")


def string(value: Any, param: str) -> None:
    if type(value) is not str:
        raise wrong_type(param, "a string", value)


def filled(value: Any, param: str) -> None:
    """A string that is not empty."""
    if type(value) is not str:
        raise wrong_type(param, "a string", value)
    if not value:
        raise bad_request(f"Invalid '{param}': empty string. Expected a string with minimum length 1.", param, code="empty_string")


def boolean(value: Any, param: str) -> None:
    if type(value) is not bool:
        raise wrong_type(param, "a boolean", value)


def number(value: Any, param: str) -> None:
    if type(value) is not int and type(value) is not float:
        raise wrong_type(param, "a number", value)


def integer(value: Any, param: str) -> None:
    if type(value) is not int:
        raise wrong_type(param, "an integer", value)


def at_least(low: int) -> Check:
    """A check for integers that are not below `low`."""

    def check(value: Any, param: str) -> None:
        integer(value, param)
        if value < low:
            raise bad_request(
                f"Invalid '{param}': integer below minimum value. Expected a value >= {low}, but got {value} instead.",
                param,
                code="integer_below_min_value",
            )

    return check


def object_(value: Any, param: str) -> None:
    if type(value) is not dict:
        raise wrong_type(param, "an object", value)


def strings(value: Any, param: str) -> None:
    """A list of strings."""
    if type(value) is not list:
        raise wrong_type(param, "an array of strings", value)
    for at, item in enumerate(value):
        if type(item) is not str:
            raise wrong_type(f"{param}[{at}]", "a string", item)


def string_or_strings(value: Any, param: str) -> None:
    if type(value) is str:
        return
    if type(value) is not list:
        raise wrong_type(param, "one of a string or an array of strings", value)
    strings(value, param)


def text_or_tokens(value: Any, param: str) -> None:
    """A string, a list of strings, a list of token numbers, or a list of such lists."""
    if type(value) is str:
        return
    if type(value) is not list:
        raise wrong_type(param, "one of a string, an array of strings, or an array of tokens", value)
    if not value:
        raise empty_array(param)
    kind = type(value[0])
    if kind is not str and kind is not int and kind is not list:
        raise wrong_type(f"{param}[0]", "one of a string, an integer, or an array of integers", value[0])
    for at, item in enumerate(value):
        if type(item) is not kind:
            raise wrong_type(f"{param}[{at}]", "the same type as the items before it", item)
        if kind is list and (not item or any(type(token) is not int for token in item)):
            raise wrong_type(f"{param}[{at}]", "an array of integers", item)


def stream_options(value: Any, param: str) -> None:
    object_(value, param)
    for name in ("include_usage", "include_obfuscation"):
        flag = value.get(name)
        if flag is not None:
            boolean(flag, f"{param}.{name}")


def typed(value: Any, param: str) -> str:
    """An object with a `type`; gives that type."""
    if type(value) is not dict:
        raise wrong_type(param, "an object", value)
    kind = value.get("type")
    if type(kind) is not str:
        raise missing(f"{param}.type") if kind is None else wrong_type(f"{param}.type", "a string", kind)
    return kind


def each(request: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Runs the check of every field that is there and not null; fields without a check pass."""
    for name, value in request.items():
        if value is not None:
            check = checks.get(name)
            if check is not None:
                check(value, name)
