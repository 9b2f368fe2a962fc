"""The time limits that a caller asks for in headers, for one request.

    x-edgegate-timeout              the whole exchange, all attempts together
    x-edgegate-connect-timeout      TCP and TLS set-up of an attempt
    x-edgegate-first-token-timeout  to the first meaningful event of a stream
    x-edgegate-idle-timeout         between two events

Values are durations: `30s`, `500ms`, `2m`, or a number of seconds. A caller shortens the operator's limits and never lengthens
them, but for the failover stage's impatience for a first token, which is a guess and gives way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from multidict import istr

from edgegate.config.units import duration
from edgegate.errors import GatewayError, bad_request

TIMEOUT = istr("x-edgegate-timeout")
CONNECT = istr("x-edgegate-connect-timeout")
FIRST_TOKEN = istr("x-edgegate-first-token-timeout")
IDLE = istr("x-edgegate-idle-timeout")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; infinite where the caller said nothing."""

    total_s: float
    connect_s: float
    first_token_s: float
    idle_s: float


def asked_timeouts(headers: Mapping[str, str]) -> Timeouts | None:
    """What a request's headers ask for, None in the usual case. Raises a 400 that names the header."""
    if TIMEOUT in headers or CONNECT in headers or FIRST_TOKEN in headers or IDLE in headers:
        return Timeouts(*[_seconds(name, headers.get(name)) for name in (TIMEOUT, CONNECT, FIRST_TOKEN, IDLE)])
    return None


def left_s(headers: Mapping[str, str], passed_s: float) -> float:
    """What is left of the time that a request allows for everything, `passed_s` after it came: 0 or less when it is used up,
    infinite where the caller said nothing. Waits of every kind keep within it. Raises a 400 that names the header."""
    given = headers.get(TIMEOUT)
    return math.inf if given is None else _seconds(TIMEOUT, given) - passed_s


def out_of_time() -> GatewayError:
    """What a caller is told whose own limit ended a wait in which no provider was being asked."""
    return GatewayError(504, "total_timeout", f"no answer within the time that {TIMEOUT} allows")


def _seconds(name: str, text: str | None) -> float:
    if text is None:
        return math.inf
    try:
        seconds = float(duration(text.strip()))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise bad_request(f"{name}: expected a duration such as 30s, 500ms or 2m.", name)
    return seconds
