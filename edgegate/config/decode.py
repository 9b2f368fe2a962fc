"""From a tree of YAML nodes to the typed options: every scalar is read as its option's type says.

`Reader` walks a dataclass's fields beside the tree. It never stops at a fault: each becomes a `Problem`, the option keeps its
default, and reading goes on, so that one run shows everything. An option that is present but empty (`tls:`, `~`, `null`) counts
as left out. Where each value stood is kept in `places`, for checks that come later.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from edgegate.config.option import Duration, Rate, Secret, Size
from edgegate.config.problems import Place, Problem, did_you_mean, shown, shown_name
from edgegate.config.substitute import Unresolved, substitute
from edgegate.config.tree import Listing, Node, Scalar, Table
from edgegate.config.units import duration, rate, size, write_duration, write_size

UNSET: Any = object()
"""What reading gives for an option that keeps its default."""

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9_]*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_ELSEWHERE = {
    "port": "the port is part of `server.listen`",
    "host": "the address is part of `server.listen`",
    "routes": "routing is the `route` stage's, and `models`",
    "model_list": "that is LiteLLM's; here providers stand under `providers` and names under `models.aliases`",
    "default": "the default provider is `models.default_provider`",
}


def boolean(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError("true or false")


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text) or len(text) > 18:
        raise ValueError("a whole number" + (" without leading zeros" if text.lstrip("+-").isdigit() and len(text) <= 18 else ""))
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError("a number")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number within reach")
    return value


def _line(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError("text without line breaks and control characters")
    return text


_SCALARS: Mapping[Any, tuple[str, Callable[[str], Any]]] = types.MappingProxyType(
    {
        bool: ("true or false", boolean),
        int: ("a whole number", _whole),
        float: ("a number", _number),
        str: ("text", _line),
        Secret: ("text", lambda text: Secret(_line(text))),
        Duration: ("a duration such as 30s", duration),
        Size: ("a size such as 32MiB", size),
        Rate: ("a rate such as 60/min", rate),
    }
)


class Reader:
    """Reads one configuration. `problems` and `places` fill up while it does."""

    def __init__(self, env: Mapping[str, str], read: Callable[[str], str]) -> None:
        self.problems: list[Problem] = []
        self.places: dict[str, Place] = {}
        self._env = env
        self._read = read
        self._hints: dict[Any, dict[str, Any]] = {}

    def section(self, options: Any, node: Node, path: str) -> Any:
        """An instance of the dataclass `options` from a table; its defaults where that is empty or wrong."""
        if isinstance(node, Scalar) and node.empty:
            return options()
        if not isinstance(node, Table):
            self.fault(node.place, path, f"expected options, as `name: value`, got {_kind(node)}")
            return options()
        if options not in self._hints:
            self._hints[options] = typing.get_type_hints(options)
        hints = self._hints[options]
        fields = {field.name: field for field in dataclasses.fields(options)}
        values = {}
        for name, child in node.entries.items():
            at = f"{path}.{name}" if path else name
            if name not in fields:
                at = at.removesuffix(name) + shown_name(name)
                hint = f"; {_ELSEWHERE[name]}" if name in _ELSEWHERE else did_you_mean(name, fields)
                self.fault(node.names[name], at, f"no such option{hint if fields else '; this takes none'}")
                continue
            self.places[at] = child.place
            value = self.value(hints[name], child, at, fields[name].metadata)
            if value is not UNSET:
                values[name] = value
        return options(**values)

    def value(self, hint: Any, node: Node, path: str, metadata: Mapping[str, Any]) -> Any:
        """The value of one option, or UNSET after a fault or where nothing is given."""
        if isinstance(node, Scalar) and node.empty:
            return UNSET
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (types.UnionType, typing.Union):
            hint = next(argument for argument in arguments if argument is not types.NoneType)
            return self.value(hint, node, path, metadata)
        if origin is tuple:
            return self._listing(arguments[0], node, path, metadata)
        if origin is dict:
            return self._table(arguments[1], node, path, metadata)
        if dataclasses.is_dataclass(hint):
            return self.section(hint, node, path)
        return self._scalar(hint, node, path, metadata)

    def fault(self, place: Place, path: str, text: str) -> None:
        self.problems.append(Problem(place, path, text))

    def _listing(self, hint: Any, node: Node, path: str, metadata: Mapping[str, Any]) -> Any:
        if not isinstance(node, Listing):
            self.fault(node.place, path, f"expected a list, such as `[a, b]`, got {_kind(node)}")
            return UNSET
        values = []
        for index, child in enumerate(node.items):
            at = f"{path}[{index}]"
            self.places[at] = child.place
            if isinstance(child, Scalar) and child.empty:
                self.fault(child.place, at, "expected a value, got nothing")
            elif (value := self.value(hint, child, at, metadata)) is not UNSET:
                values.append(value)
        return tuple(values)

    def _table(self, hint: Any, node: Node, path: str, metadata: Mapping[str, Any]) -> Any:
        if not isinstance(node, Table):
            self.fault(node.place, path, f"expected a mapping, as `name: value`, got {_kind(node)}")
            return UNSET
        values = {}
        for name, child in node.entries.items():
            at = f"{path}.{name}"
            self.places[at] = node.names[name]
            empty = isinstance(child, Scalar) and child.empty
            if empty and not dataclasses.is_dataclass(hint):
                self.fault(node.names[name], at, "expected a value, got nothing")
                continue
            value = self.section(hint, child, at) if empty else self.value(hint, child, at, metadata)
            if value is not UNSET:
                values[name] = value
        return values

    def _scalar(self, hint: Any, node: Node, path: str, metadata: Mapping[str, Any]) -> Any:
        expected, parse = _SCALARS[hint]
        if not isinstance(node, Scalar):
            self.fault(node.place, path, f"expected {expected}, got {_kind(node)}")
            return UNSET
        try:
            text = self.text(node)
        except Unresolved as missing:
            self.fault(node.place, path, f"expected {missing}")
            return UNSET
        if not text and hint not in (str, Secret) and text != node.text:
            return UNSET  # `workers: ${WORKERS:-}`: nothing was given
        private = metadata.get("secret") or hint is Secret
        found = "a value that is not shown" if private else f"the value of {shown(node.text)}" if text != node.text else shown(text)
        try:
            value = parse(text)
        except ValueError as error:
            self.fault(node.place, path, f"expected {error}, got {found}")
            return UNSET
        return self._within(value, found, node, path, metadata)

    def text(self, node: Scalar) -> str:
        """A scalar's text with its substitutions made. Raises `Unresolved`."""
        return node.text if node.literal else substitute(node.text, self._env, self._read)

    def _within(self, value: Any, found: str, node: Node, path: str, metadata: Mapping[str, Any]) -> Any:
        least, choices = metadata.get("least"), metadata.get("choices")
        if least is not None and value < least:
            self.fault(node.place, path, f"expected at least {write_least(type(value), least)}, got {found}")
            return UNSET
        if choices:
            value = value.lower()
            if value not in choices:
                self.fault(node.place, path, f"expected one of {', '.join(choices)}, got {found}")
                return UNSET
        return value


def write_least(kind: Any, least: float) -> str:
    """A lower bound in the option's own unit."""
    if kind is Duration:
        return write_duration(least)
    return write_size(int(least)) if kind is Size else f"{least:g}"


def _kind(node: Node) -> str:
    return "a list" if isinstance(node, Listing) else "a mapping" if isinstance(node, Table) else "text"
