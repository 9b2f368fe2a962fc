"""What is wrong with a configuration, said so that the person who must mend it finds the spot.

A `Problem` stands at a `Place` (a spot in a file, an environment variable, a command-line flag), concerns a key path such as
`providers.openai.base_url`, and says what was expected and what was found. `ConfigError` carries all of them. What was found
is quoted by `shown()`, which withholds anything that could be a credential.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LONGEST_QUOTE = 40
_CREDENTIAL_LIKE = re.compile(
    r"(?i)\b(sk|pk|rk|gsk|gw|key|token|secret|xai|hf|ghp|pplx|nvapi)[-_]\w{3,}"  # the prefixes vendors give their keys
    r"|\b(bearer|basic) \S"
    r"|[A-Za-z0-9]{20,}"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-"
    r"|://[^/\s]*@"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written. Line and column count from 1; 0 where there are none."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.text}" if self.path else f"{self.place}: {self.text}"


class ConfigError(Exception):
    """A configuration that cannot be used. `problems` has every one that was found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file, line and column; what has no line comes last."""
    return sorted(set(problems), key=lambda p: (p.place.line == 0, p.place.source, p.place.line, p.place.column, p.path, p.text))


def shown(text: str) -> str:
    """A value as an error message may quote it: in full if short and harmless, else only its length."""
    if len(text) > _LONGEST_QUOTE or not text.isprintable() or _CREDENTIAL_LIKE.search(text):
        return f"a text of {len(text)} characters"
    return f"`{text}`"


def shown_name(name: str) -> str:
    """A name where an option was expected, for a key path: `***` if a credential could have slipped there."""
    return name if len(name) <= _LONGEST_QUOTE and name.isprintable() and not _CREDENTIAL_LIKE.search(name) else "***"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean X?`, or the valid names if none is near and they are few, or nothing."""
    names = sorted(valid)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.65)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known are {', '.join(names)}" if 0 < len(names) <= 16 else ""
