"""What a simulated vendor is: endpoints as pure functions from a request to a reply, and its way of writing errors.

An endpoint returns `Whole` (a plain JSON reply) or `Script` (a streamed one), or raises `Refusal`; faults, framing and sockets
are left to `delivery.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """A request that was read: body parsed, header names in lower case, `model` from the path or the body."""

    body: Json
    raw: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]
    model: str
    method: str = "POST"
    target: str = ""
    """Path and query as they stood in the request line."""


class Refusal(Exception):
    """An error reply. `code` and `param` for vendors that have them; `model` for messages that name it; `variant` names a special
    message (see faults); `kind` is the vendor's own name of the error where the status does not tell it."""

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        code: str | None = None,
        param: str | None = None,
        model: str = "",
        variant: str = "",
        retry_after_s: str = "",
        kind: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.model = model
        self.variant = variant
        self.retry_after_s = retry_after_s
        self.kind = kind


class Framing(enum.Enum):
    """How the events of a stream are told apart."""

    SSE = "\n"
    SSE_CRLF = "\r\n"
    LINES = "application/x-ndjson"
    FRAMES = "application/vnd.amazon.eventstream"
    ARRAY = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream: JSON text on one line, and its name where the format has names. `exception` is Bedrock's."""

    data: str
    name: str = ""
    exception: bool = False


@dataclass(slots=True)
class Whole:
    body: Json
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Script:
    """A streamed reply in its acts: the answer, what says that it finished, and the terminal event."""

    framing: Framing
    events: list[Event]
    finish: list[Event] = field(default_factory=list)
    terminal: list[Event] = field(default_factory=list)
    ping: Event | None = None  # None: a comment line, where the framing has one
    headers: dict[str, str] = field(default_factory=dict)


Reply = Whole | Script
Endpoint = Callable[[Asked], Reply]


class Vendor(Protocol):
    name: str
    content_type: str
    """Of plain replies."""

    says_retry_after: bool
    """Whether the wait is a `retry-after` header."""

    def headers(self, request_id: str) -> dict[str, str]:
        """Headers of every reply: request id and rate limits under the vendor's names."""
        ...

    def error(self, refusal: Refusal, request_id: str) -> Json:
        """The body of an error reply."""
        ...

    def error_event(self, request_id: str) -> Event:
        """The event that says, inside a stream, that the model is overloaded."""
        ...

    def error_headers(self, refusal: Refusal, request_id: str) -> dict[str, str]:
        """Headers that only error replies have."""
        return {}


def need(condition: bool, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
    """Refuses the request unless `condition` holds."""
    if not condition:
        raise Refusal(status, message, param=param, code=code)
