"""What the headers of a reply say about the limits of the credential that it was asked with.

Every vendor has names of its own for the same three numbers: limit, what remains, and when it is all back. They are looked up in
one table, because this runs for every reply and most replies have none. A limit without what remains of it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from edgegate.dialects.waits import MAX_WAIT_S, ietf_items, reset_s
from edgegate.resilience.limits import Quota
from edgegate.wire.headers import HeaderList

_LIMIT, _REMAINING, _RESET = 0, 1, 2
_WORDS = ((_LIMIT, "limit"), (_REMAINING, "remaining"), (_RESET, "reset"))
_WINDOWS = ("second", "10-second", "minute", "hour", "day", "month")
_KINDS = (
    ("requests", "requests"),
    ("req", "requests"),
    ("tokens", "tokens"),
    ("input-tokens", "input_tokens"),
    ("output-tokens", "output_tokens"),
    ("tokens-prompt", "input_tokens"),
    ("tokens-generated", "output_tokens"),
)

_Key = tuple[str, str]
_Three = list[bytes | None]


def _names() -> Iterator[tuple[str, str, str, int]]:
    """Header name, kind, window, which of the three numbers."""
    for at, word in _WORDS:
        for name, kind in _KINDS:
            yield f"anthropic-ratelimit-{name}-{word}", kind, "", at
            yield f"x-ratelimit-{word}-{name}", kind, "", at  # OpenAI, Azure, Groq, Fireworks
            yield f"x-ratelimit-{word}-project-{name}", kind, "project", at
            for window in _WINDOWS:  # Mistral, Cerebras
                yield f"x-ratelimit-{word}-{name}-{window}", kind, window, at
        yield f"x-ratelimit-{word}", "requests", "", at  # Together, OpenRouter
        yield f"x-tokenlimit-{word}", "tokens", "", at  # Together
        yield f"ratelimit-{word}", "requests", "ietf", at
        for prefix in ("", "x-"):  # Mistral
            yield f"{prefix}ratelimitbysize-{word}", "tokens", "size", at
            for window in _WINDOWS:
                yield f"{prefix}ratelimitbysize-{word}-{window}", "tokens", f"size {window}", at
    yield "x-trial-endpoint-call-limit", "requests", "trial", _LIMIT  # Cohere
    yield "x-trial-endpoint-call-remaining", "requests", "trial", _REMAINING


_PLACES = {name.encode(): ((kind, window), at) for name, kind, window, at in _names()}
_IETF = b"ratelimit"
_IETF_POLICY = b"ratelimit-policy"
_ALL = frozenset({*_PLACES, _IETF})
_AZURE = frozenset({b"x-ratelimit-renewalperiod-requests", b"x-ratelimit-renewalperiod-tokens"})
_STEPS = frozenset({"ietf", "trial"})
_name = itemgetter(0)


def quotas(headers: HeaderList, unix_now: float) -> tuple[Quota, ...]:
    """The quotas that a reply of any status states, header names in lower case. Empty for most."""
    if _ALL.isdisjoint(map(_name, headers)):
        return ()
    numbers: dict[_Key, _Three] = {}
    three: _Three
    for name, value in headers:
        if name in _PLACES:
            key, at = _PLACES[name]
            if key in numbers:
                numbers[key][at] = value
            else:
                numbers[key] = three = [None, None, None]
                three[at] = value
    if not numbers:
        return _ietf(headers)
    return tuple([quota for key, three in numbers.items() if (quota := _quota(key, three, headers, unix_now)) is not None])


def _quota(key: _Key, three: _Three, headers: HeaderList, unix_now: float) -> Quota | None:
    limit, remaining, reset = three
    left = None if remaining is None else _count(remaining)
    if left is None:
        return None
    most = None if limit is None else _count(limit)
    if most is not None and (most <= 0 or most < left):
        most = None
    kind, window = key
    steps = window in _STEPS
    seconds = None
    if reset is not None:
        seconds = _short(reset)
        if seconds is None:
            number = reset.isdigit()
            steps = steps or (number and len(reset) > 8)  # a point in time as a number: of a fixed window
            milliseconds = number and not _AZURE.isdisjoint(map(_name, headers))
            seconds = reset_s(reset.decode("latin-1"), unix_now, milliseconds=milliseconds)
    return Quota(kind, most, left, seconds, window, steps)


def _short(reset: bytes) -> float | None:
    """`120ms`, `17.575s` and `6m0s`, the usual forms; None for any other."""
    if reset[-1:] != b"s":
        return None
    try:
        if reset[-2:-1] == b"m":
            seconds = float(reset[:-2]) / 1000
        else:
            minutes, found, rest = reset[:-1].partition(b"m")
            seconds = float(minutes) * 60 + float(rest) if found else float(minutes)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= MAX_WAIT_S else None


def _count(value: bytes) -> float | None:
    """A whole number, the first of `100, 100;w=60` too; None for anything else. -1 is some gateways' word for no limit."""
    if not value.isdigit():
        value = value.partition(b",")[0].partition(b";")[0].strip()
        if not value.isdigit():
            return None
    return float(value) if len(value) < 16 else None


def _ietf(headers: HeaderList) -> tuple[Quota, ...]:
    """The one header of the IETF's drafts. Its windows are fixed; limits are in the policy of the same name."""
    policies: dict[str, dict[str, str]] = {}
    items: list[dict[str, str]] = []
    for name, value in headers:
        if name == _IETF:
            items += ietf_items(value.decode("latin-1"))
        elif name == _IETF_POLICY:
            policies |= {item.get("", ""): item for item in ietf_items(value.decode("latin-1"))}
    made = []
    for item in items:
        policy = item.get("", "")
        left = _count(item.get("r", item.get("remaining", "")).encode())
        if left is None:
            continue
        limit = _count((item.get("limit") or policies.get(policy, {}).get("q", "")).encode())
        if limit is not None and (limit <= 0 or limit < left):
            limit = None
        reset = _count(item.get("t", item.get("reset", "")).encode())
        made.append(Quota("requests", limit, left, None if reset is None else min(reset, MAX_WAIT_S), f"ietf {policy}".strip(), True))
    return tuple(made)
