"""What options are made of: their types, and the field that carries an option's default and its sentence.

`Duration` takes `30s`, `5m`, `1h`, `250ms` or a number of seconds; `Size` takes `32MiB`, `10MB` or a number of bytes; `Rate` takes
`60/min`, `200k/min`, `1M/day`; `Secret` is a string that never shows itself.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple

STRATEGIES = ("ordered", "weighted", "least_in_flight", "lowest_latency", "affinity")
"""How requests are spread over equal targets, or over the keys of a provider."""

DIMENSIONS = ("key", "user", "tenant", "ip", "model", "provider")
"""What a limit or a budget is counted for, alone or together."""

PRIORITIES = ("low", "normal", "high", "critical")
"""Of a caller in the queue, the least urgent first."""


class Duration(float):
    """Seconds."""


class Size(int):
    """Bytes."""


class Rate(NamedTuple):
    """So many units in any stretch of `window_s` seconds: 60 for a minute, 3600 for an hour, 86400 for a day."""

    units: int
    window_s: int


class Secret:
    """A string that repr, str, logs and JSON never show. `reveal()` is the one way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


def option(default: Any, doc: str, *, least: float | None = None, choices: tuple[str, ...] = (), secret: bool = False) -> Any:
    """A dataclass field with its default (a callable makes one per instance) and the sentence that explains it.

    least: smallest value allowed. choices: the words allowed. secret: may hold credentials (header
    values): neither repr nor `edgegate config show` prints it.
    """
    metadata = {"doc": doc, "least": least, "choices": choices, "secret": secret}
    if callable(default):
        return field(default_factory=default, repr=not secret, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)
