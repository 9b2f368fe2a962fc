"""What is asked and what is heard, in words that all SDKs share; and what a speaker of one client API has to offer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Tool:
    """A function of the app. `properties`: JSON Schema of its arguments, all of them required."""

    name: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.properties),
            "additionalProperties": False,
        }


@dataclass
class Heard:
    """An answer. `turn` is what the app sends back as the assistant's turn, in the SDK's own objects."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    call_ids: list[str] = field(default_factory=list)
    finish: str = ""  # stop, length, tool_calls, content_filter
    input_tokens: int | None = None  # cached ones included
    output_tokens: int | None = None  # reasoning included
    turn: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Said:
    """One request beside its messages."""

    system: str = ""
    tools: tuple[Tool, ...] = ()
    schema: dict[str, Any] | None = None
    think: bool = False
    stop: str = ""
    max_tokens: int | None = None


class Speaker(Protocol):
    """The official SDK of one client API, pointed at the gateway."""

    name: str
    last: Last

    def user(self, text: str, png: bytes = b"") -> Any:
        """A user's turn, with a picture if there is one."""
        ...

    def results(self, heard: Heard, results: list[str]) -> list[Any]:
        """The turns that answer the calls of `heard`, in their order."""
        ...

    def ask(self, model: str, messages: list[Any], said: Said, stream: bool) -> Heard:
        """Asks; errors are the SDK's own."""
        ...

    def status(self, error: Exception) -> int | None:
        """The HTTP status that the SDK's own error for it carries; None for an error of another kind."""
        ...


class Last:
    """Remembers the headers of the last reply, for what SDKs do not show."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}

    def __call__(self, response: Any) -> None:
        self.headers = response.headers

    @property
    def lost(self) -> set[str]:
        """What the gateway said it could not carry."""
        return {name for name in self.headers.get("x-edgegate-dropped", "").split(",") if name}

    def client(self, library: Any) -> Any:
        """An HTTP client for an SDK, which tells its replies here. `library`: httpx or httpx2, whichever the SDK uses."""
        return library.Client(timeout=TIMEOUT_S, trust_env=False, event_hooks={"response": [self]})


def parsed(text: str) -> Any:
    """Arguments are compared as values; what is no JSON as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
