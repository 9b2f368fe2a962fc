"""What was used, added up: for operators over everybody's rows, for a caller over its own.

Sums are by whole days in UTC. Money is exact: a decimal text with nine decimals. Attempts of unknown price are not in it; they are
counted as `unpriced`, and those whose tokens were counted here instead of reported as `estimated`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edgegate.admin.moments import write_day
from edgegate.admin.money import NANO, dollars
from edgegate.admin.query import DAY_S, check_order, day, parameters
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.exchange import Exchange
from edgegate.stores.base import StoreError
from edgegate.stores.records import Records, Slice, Total

BY = ("day", "key", "user", "tenant", "model", "provider")
EQUAL = ("key", "user", "tenant", "model", "provider")
OWN_BY = ("day", "user", "model", "provider")
COUNTED = (
    "requests",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
    "unpriced",
    "estimated",
)


@dataclass(frozen=True, slots=True)
class Question:
    """Unix seconds; `until` is not included."""

    since: float
    until: float
    by: tuple[str, ...]
    equal: tuple[tuple[str, str], ...] = ()

    @property
    def part(self) -> Slice:
        return Slice(round(self.since * 1000), round(self.until * 1000), self.equal)


def question(given: Mapping[str, str], now: float, *, by: Sequence[str] = BY) -> Question:
    """Of parameters that are known: `since` (left out: the month's first day), `until` (left out: tomorrow), `by`, and columns that
    must have a value."""
    until = day(given, "until", now - now % DAY_S + DAY_S, now)
    since = day(given, "since", month_of(now), now)
    check_order(since, until)
    return Question(since, until, _columns(given.get("by", ""), by), tuple((name, given[name]) for name in EQUAL if name in given))


def month_of(unix: float) -> float:
    """The beginning of the calendar month in UTC."""
    moment = datetime.fromtimestamp(math.floor(unix), UTC)
    return moment.replace(day=1, hour=0, minute=0, second=0).timestamp()


async def report(records: Records, asked: Question) -> dict[str, Any]:
    """The sums, and their total. Raises `StoreError`."""
    totals = await records.totals(asked.part, asked.by)
    return {
        "object": "usage",
        "since": write_day(asked.since),
        "until": write_day(asked.until),
        "by": list(asked.by),
        "data": _data(totals, asked.by),
        "total": sums(totals),
    }


async def own_usage(ex: Exchange, records: Records, now: float) -> dict[str, Any]:
    """What GET /v1/usage answers: the rows of the caller's key (and of one of its users, if it names one with `X-User-ID`), or of
    the user that a trusted network names. Raises a 403 for a caller that nobody knows, a 503 while the store cannot be asked."""
    key = ex.key
    if key is not None:
        equal: tuple[tuple[str, str], ...] = (("key", key.name),)
        if ex.user and ex.headers.get("X-User-ID"):
            equal += (("user", ex.user),)
    elif ex.user:
        equal = (("user", ex.user), ("key", ""))  # not those that keys call by this name
    else:
        message = "Usage is shown to callers that are known: by a key, or by X-User-ID from a trusted network."
        raise GatewayError(403, "unknown_caller", message, source=Source.CLIENT)
    asked = question(parameters(ex.query, ("since", "until", "by")), now, by=OWN_BY)
    try:
        totals = await records.totals(Slice(asked.part.since_ms, asked.part.until_ms, equal), asked.by)
    except StoreError:
        raise store_lost() from None
    total = sums(totals)
    nano = sum(each.cost_nano_usd for each in totals)
    found = {
        "object": "usage",
        "user_id": ex.user or None,
        "key": key.name if key is not None else None,
        "tenant": (key.tenant or None) if key is not None else None,
        "tokens_used": total["tokens"],
        "requests": total["requests"],
        "cost": nano / NANO,
        "cost_usd": dollars(nano),
        "since": write_day(asked.since),
        "until": write_day(asked.until),
        "unpriced": total["unpriced"],
        "estimated": total["estimated"],
    }
    return found | ({"data": _data(totals, asked.by)} if asked.by else {})


def sums(totals: Iterable[Total]) -> dict[str, Any]:
    """What these come to together."""
    found = dict.fromkeys(COUNTED, 0)
    for total in totals:
        for name in COUNTED:
            found[name] += getattr(total, name)
    nano = found.pop("cost_nano_usd")
    return found | {"tokens": found["input_tokens"] + found["output_tokens"], "cost_usd": dollars(nano)}


def store_lost() -> GatewayError:
    return GatewayError(503, "store_unavailable", "The store cannot be reached now; try again.", retry_after_s=1.0)


def _data(totals: Iterable[Total], by: Sequence[str]) -> list[dict[str, Any]]:
    return [{name: getattr(total, name) for name in by} | sums([total]) for total in totals] if by else []


def _columns(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """`day,model` and the like; empty: none."""
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    if len(set(names)) != len(names) or not set(names) <= set(known):
        raise bad_request(f"by: expected some of {', '.join(known)}, each once, separated by commas", "by")
    return names
