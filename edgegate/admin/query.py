"""The part of a path behind its `?`: each parameter once, none but those that are known, and each is what it should be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from edgegate.admin.moments import LAST, moment
from edgegate.config.units import duration
from edgegate.errors import GatewayError, bad_request

DAY_S = 86_400
MOMENT_EXPECTED = "a day or moment such as 2026-11-01 or 2026-11-01T12:00:00Z, or how long ago, such as 24h or 7d"
DAY_EXPECTED = "a day such as 2026-11-01, or how many days ago, such as 7d (sums are kept by whole days, in UTC)"


def parameters(query: str, known: Collection[str]) -> dict[str, str]:
    """The parameters by name. Raises a 400 for one that is unknown or comes twice."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise bad_request("the query is not readable: expected name=value&name=value in UTF-8") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise _unknown(name, known)
        if name in found:
            raise bad_request(f"{name}: expected it once", name)
        if "\0" in value:
            raise bad_request(f"{name}: expected a text without NUL", name)
        found[name] = value
    return found


def whole(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and least <= int(text) <= most):
        raise bad_request(f"{name}: expected a whole number from {least} to {most}", name)
    return int(text)


def when(given: Mapping[str, str], name: str, default: float, now: float) -> float:
    """Unix seconds of a moment, or of so long ago."""
    return _when(given, name, default, now, MOMENT_EXPECTED)


def day(given: Mapping[str, str], name: str, default: float, now: float) -> float:
    """Unix seconds of a day's beginning in UTC."""
    return _when(given, name, default, now - now % DAY_S, DAY_EXPECTED, DAY_S)


def _when(given: Mapping[str, str], name: str, default: float, now: float, expected: str, step: int = 0) -> float:
    text = given.get(name)
    if text is None:
        return default
    try:
        ago = text[-1:].isalpha() and text[-1:] != "Z"
        found = now - duration(text) if ago else moment(text)
    except ValueError:
        raise bad_request(f"{name}: expected {expected}", name) from None
    if not 0 <= found <= LAST or (step and found % step):
        raise bad_request(f"{name}: expected {expected}", name)
    return found


def check_order(since: float, until: float) -> None:
    if since >= until:
        raise bad_request("since: expected a time before `until`, which is itself not included", "since")


def _unknown(name: str, known: Collection[str]) -> GatewayError:
    short = name[:40].encode("ascii", "backslashreplace").decode()
    return bad_request(f"{short!r} is no parameter of this path; expected some of {', '.join(known)}", short)
