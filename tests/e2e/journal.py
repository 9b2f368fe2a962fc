"""What the gateway's log says of a request."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests.e2e.gateway import Gateway

WAIT_S = 5.0


def line_of(gateway: Gateway, headers: Mapping[str, str]) -> dict[str, Any]:
    """The log line of the request that was answered with these headers. Lines are written a moment after the reply."""
    wanted = headers["x-request-id"]
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        for line in gateway.logs(wanted):
            if line.get("request_id") == wanted and line["event"] == "request":
                return line
        time.sleep(0.03)
    raise AssertionError(f"no log line for {wanted}")


def tokens_of(line: Mapping[str, Any]) -> tuple[int, int]:
    """Input and output tokens of a log line that has them."""
    assert line["usage"] == "reported", line
    return line["input_tokens"], line["output_tokens"]


class Wire:
    """Remembers what went over the wire of an SDK last: its request, and the reply's headers."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}
        self.status = 0
        self.asked: Any = None

    def __call__(self, response: Any) -> None:
        self.headers, self.status = response.headers, response.status_code
        content = response.request.headers.get("content-type", "")
        self.asked = json.loads(response.request.content) if content.startswith("application/json") and response.request.content else None

    def client(self, library: Any = httpx) -> Any:
        """An HTTP client for an SDK; `library` is httpx or httpx2, whichever it uses."""
        return library.Client(timeout=20, trust_env=False, verify=False, event_hooks={"response": [self]})

    def lost(self) -> set[str]:
        """What the last reply says was dropped."""
        return names(self.headers, "x-edgegate-dropped")

    def mapped(self) -> set[str]:
        """What the last reply says was written another way."""
        return names(self.headers, "x-edgegate-mapped")


def names(headers: Mapping[str, str], header: str) -> set[str]:
    return {name for name in headers.get(header, "").split(",") if name}
