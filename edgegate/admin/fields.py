"""What may be said of a stored key, field by field: an allow-list, whoever says it (a JSON body, the command line).

Every field has a reader, which takes a JSON value and gives what is stored, or raises `ValueError` with what it expected. null
stands for the default. Nothing that was sent is quoted but the names of fields: somebody may have put a secret there.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from edgegate.access.configured import moment
from edgegate.admin.money import EXPECTED as MONEY_EXPECTED
from edgegate.admin.money import nano_usd
from edgegate.config.check_access import OPERATIONS
from edgegate.config.option import PRIORITIES, Rate
from edgegate.config.units import LARGEST_RATE, duration, rate
from edgegate.errors import GatewayError, bad_request
from edgegate.stores.directory import StoredKey

MAX_NAME = 100
MAX_TEXT = 128
MAX_ITEM = 200
MAX_ITEMS = 200
LATEST = 253_402_300_800.0
"""The year 10000."""

_COUNT = re.compile(r"\d{1,15}[kM]?", re.ASCII)
_NAME = re.compile(r"[^/*,?#%\\]+")
_PATH = re.compile(r"/[^ *]*\*?")
_TAG = re.compile(r"[^,]+")
_MULTIPLES = {"k": 1000, "M": 1_000_000}

Reader = Callable[[Any, float], Any]


class Field(NamedTuple):
    """`attribute` of `StoredKey`, or, with `allowed`, of its `Allowance`. `expected`: what the reader takes, in words."""

    attribute: str
    read: Reader
    expected: str
    default: Any
    allowed: bool = False


def _text(pattern: re.Pattern[str] | None, most: int, *, empty: bool) -> Reader:
    def read(value: Any, now: float) -> str:
        if not isinstance(value, str) or value != value.strip() or len(value) > most or not value.isprintable():
            raise ValueError
        if not (value or empty) or (value and pattern is not None and not pattern.fullmatch(value)):
            raise ValueError
        return value

    return read


def _name(value: Any, now: float) -> str:
    name: str = _text(_NAME, MAX_NAME, empty=False)(value, now)
    if name in (".", ".."):
        raise ValueError
    return name


def _texts(pattern: re.Pattern[str] | None = None) -> Reader:
    item = _text(pattern, MAX_ITEM, empty=False)

    def read(value: Any, now: float) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) > MAX_ITEMS:
            raise ValueError
        return tuple(dict.fromkeys(item(each, now) for each in value))

    return read


def _networks(value: Any, now: float) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(ipaddress.ip_network(each, strict=False)) for each in _texts()(value, now)))


def _endpoints(value: Any, now: float) -> tuple[str, ...]:
    """Paths and operations. One that is neither would match nothing, and so lock the key out."""
    endpoints: tuple[str, ...] = _texts()(value, now)
    if not all(each == "*" or each in OPERATIONS or _PATH.fullmatch(each) for each in endpoints):
        raise ValueError
    return endpoints


def _expires(value: Any, now: float) -> float:
    """A moment (of a day: its end, as in the configuration), or a duration from now, to the second. A plain number could be either,
    so it is neither."""
    if not isinstance(value, str) or value.replace(".", "").isdigit():
        raise ValueError
    ends = math.floor(now + duration(value)) if value[-1:].isalpha() and value[-1:] != "Z" else moment(value)
    if not now < ends < LATEST:
        raise ValueError
    return ends


def _switch(value: Any, now: float) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _priority(value: Any, now: float) -> str:
    if value not in ("", *PRIORITIES):
        raise ValueError
    return str(value)


def _rate(value: Any, now: float) -> Rate:
    if not isinstance(value, str):
        raise ValueError
    return rate(value)


def _count(value: Any, now: float) -> int:
    if isinstance(value, str) and _COUNT.fullmatch(value):
        value = int(value.rstrip("kM")) * _MULTIPLES.get(value[-1], 1)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_RATE:
        raise ValueError
    return value


def _money(value: Any, now: float) -> int:
    return nano_usd(value)


_LABEL = _text(None, MAX_TEXT, empty=True)
_LABEL_EXPECTED = f"a text of at most {MAX_TEXT} printable characters"
_LIST_EXPECTED = "a list of texts"
_COUNT_EXPECTED = "a whole number, 0 for any number"

FIELDS: Mapping[str, Field] = {
    "name": Field("name", _name, f"1 to {MAX_NAME} printable characters without / * , ? # % and \\", ""),
    "tenant": Field("tenant", _LABEL, _LABEL_EXPECTED, ""),
    "user": Field("user", _LABEL, _LABEL_EXPECTED, ""),
    "tags": Field("tags", _texts(_TAG), "a list of words without commas", ()),
    "models": Field("models", _texts(), f"{_LIST_EXPECTED}, such as [gpt-4o, claude-*]", ()),
    "providers": Field("providers", _texts(), f"{_LIST_EXPECTED}, such as [openai]", ()),
    "endpoints": Field(
        "endpoints", _endpoints, f"a list of paths, such as /v1/chat/*, and operations: {', '.join(sorted(OPERATIONS))}", ()
    ),
    "networks": Field("networks", _networks, "a list of networks, such as [10.0.0.0/8, 192.0.2.7]", ()),
    "expires": Field(
        "expires", _expires, "a day, a moment or a duration that lies ahead: 2027-01-31, 2027-01-31T12:00:00Z or 90d; null for never", None
    ),
    "strict": Field("strict", _switch, "true or false", False),
    "priority": Field("priority", _priority, f"one of {', '.join(PRIORITIES)}", ""),
    "requests": Field("requests", _rate, "a rate such as 60/min, or null", None, True),
    "tokens": Field("tokens", _rate, "a rate such as 200k/min, or null", None, True),
    "concurrency": Field("concurrency", _count, _COUNT_EXPECTED, 0, True),
    "usd_per_day": Field("nano_usd_per_day", _money, MONEY_EXPECTED, 0, True),
    "usd_per_month": Field("nano_usd_per_month", _money, MONEY_EXPECTED, 0, True),
    "tokens_per_day": Field("tokens_per_day", _count, _COUNT_EXPECTED, 0, True),
    "tokens_per_month": Field("tokens_per_month", _count, _COUNT_EXPECTED, 0, True),
}
"""Every field that may be sent, by the name it is sent under."""


def read_fields(given: Mapping[str, Any], now: float) -> dict[str, Any]:
    """What is to be stored, by the field's name. Raises a 400 that names the first field that is unknown or wrong."""
    values = {}
    for name, value in given.items():
        field = FIELDS.get(name)
        if field is None:
            raise unknown_field(name, FIELDS)
        if value is None and name != "name":
            values[name] = field.default
            continue
        try:
            values[name] = field.read(value, now)
        except ValueError:
            raise bad_request(f"{name}: expected {field.expected}", name) from None
    return values


def unknown_field(name: str, known: Iterable[str]) -> GatewayError:
    """The 400 for a field that is none. It is named in part only."""
    short = name[:40].encode("ascii", "backslashreplace").decode()
    return bad_request(f"{short!r} is no field of this request; expected some of {', '.join(known)}", short)


def with_fields(key: StoredKey, values: Mapping[str, Any]) -> StoredKey:
    """The key with these values of `read_fields`."""
    own = {FIELDS[name].attribute: value for name, value in values.items() if not FIELDS[name].allowed}
    allowed = {FIELDS[name].attribute: value for name, value in values.items() if FIELDS[name].allowed}
    return replace(key, **own, allowance=replace(key.allowance, **allowed))
