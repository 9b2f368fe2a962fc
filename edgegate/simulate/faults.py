"""Faults on demand. The model's name asks for one: the whole name, or its end after `-`, `/` or `:` (`gpt-4o-error-429`).

| name | what happens |
|---|---|
| `error-S` (`error-401`, `error-404`, `error-429`, `error-500`, any 4xx or 5xx) | that status with the vendor's error body |
| `error-S-retry-after-N` | the same with `retry-after: N` (Gemini says it in `RetryInfo`) |
| `error-400-context` | 400: the prompt is longer than the context window |
| `error-S-html` | that status with an HTML page, as from a broken proxy in front of the vendor |
| `flaky-N` or `flaky-N-TAG` | the first N requests for this model fail with 503, later ones are answered |
| `slow-first-token` or `slow-first-token-S` | the head at once, the first event after S seconds (2) |
| `slow-tokens` or `slow-tokens-S` | S seconds (0.02) before each event |
| `hang` | nothing at all is ever sent |
| `stall` | half of the answer, then silence on an open connection |
| `ping-only` | the head, then only comments or pings |
| `pings` | a whole answer with comments or pings between its events |
| `cut` | half of the answer, then the connection closes in the middle of the body |
| `no-finish` | half of the answer, then a clean end: no finish reason, no terminal event |
| `no-done` | the finish reason is sent, the terminal event is not (Ollama: neither, being one line; Gemini: no change; Bedrock: no usage) |
| `error-in-stream` | half of the answer, then an error event; plain: 200 with an error object |
| `error-at-start` | an error event as the first event of a 200 |
| `bad-json` | one event in the middle is not JSON; plain: half of the JSON with a matching length |
| `html` | 200 with an HTML page |
| `empty` | 200 with an empty body |
| `redirect` | 307 to another host |

A plain reply cannot show every one of them: it treats those about events (`pings`, `no-done`, `slow-tokens`) as no fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HTML = "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"

_ERROR = re.compile(r"(?:^|[-/:])error-([45]\d\d)(?:-retry-after-(\d+(?:\.\d+)?))?(?:-(context|html))?$")
_FLAKY = re.compile(r"(?:^|[-/:])flaky-(\d+)(?:-\w+)?$")
_NAMED = re.compile(
    r"(?:^|[-/:])(slow-first-token|slow-tokens|hang|stall|ping-only|pings|cut|no-finish|no-done|error-in-stream|error-at-start|bad-json|html|empty|redirect)"
    r"(?:-(\d+(?:\.\d+)?))?$"
)
_SECONDS = {"slow-first-token": 2.0, "slow-tokens": 0.02}


@dataclass(frozen=True, slots=True)
class Fault:
    """kind: `none`, `error`, or a name of the table. For `error`: status, retry_after_s (as text, "" for none), variant."""

    kind: str = "none"
    status: int = 0
    retry_after_s: str = ""
    variant: str = ""
    seconds: float = 0.0


NO_FAULT = Fault()


def fault_of(model: str, asked: dict[str, int]) -> Fault:
    """The fault that this model's name asks for. `asked` counts the requests of flaky models; this changes it."""
    error = _ERROR.search(model)
    if error:
        status, retry_after_s, variant = error.groups()
        return Fault("error", int(status), retry_after_s or "", variant or "")
    flaky = _FLAKY.search(model)
    if flaky:
        asked[model] = asked.get(model, 0) + 1
        return Fault("error", 503) if asked[model] <= int(flaky.group(1)) else NO_FAULT
    named = _NAMED.search(model)
    if named:
        kind, seconds = named.groups()
        return Fault(kind, seconds=float(seconds) if seconds else _SECONDS.get(kind, 0.0))
    return NO_FAULT
