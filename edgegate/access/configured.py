"""Keys as they stand in the configuration, made into keys as the gateway looks them up. Secrets are hashed here and not kept."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from edgegate.access.address import networks_of
from edgegate.access.keys import NO_ALLOWANCE, Allowance, Key, Secret, digest
from edgegate.access.rules import nano
from edgegate.config.model import KeyOptions

DAY_S = 86_400.0
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def configured_secrets(options: Sequence[KeyOptions]) -> list[Secret]:
    """The secrets of these keys. Raises `ValueError` for dates and networks that are none."""
    return [
        Secret(
            bytes.fromhex(option.hash.removeprefix("sha256:")) if option.hash else digest(option.key.reveal()),
            configured_key(option, number),
        )
        for number, option in enumerate(options, 1)
    ]


def configured_key(options: KeyOptions, number: int) -> Key:
    """The key that these options describe. `number`: its place among the keys, which names it if it has no name."""
    limited = (
        options.requests or options.tokens or options.concurrency
        or options.usd_per_day or options.usd_per_month or options.tokens_per_day or options.tokens_per_month
    )  # fmt: skip
    return Key(
        options.name or unnamed(number),
        options.tenant,
        options.user,
        options.models,
        options.providers,
        options.strict,
        options.priority,
        options.tags,
        options.endpoints,
        networks_of(options.networks),
        moment(options.expires) if options.expires else math.inf,
        _allowance(options) if limited else NO_ALLOWANCE,
    )


def unnamed(number: int) -> str:
    """The name of the key that has none, by its place from 1."""
    return f"key-{number}"


def moment(text: str) -> float:
    """Unix seconds of a moment such as `2027-01-31T12:00:00Z` (without a zone it is UTC), or of the end of a day such as
    `2027-01-31`, in UTC. Raises `ValueError` with what was expected."""
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() + DAY_S
        if _MOMENT.fullmatch(text):
            at = datetime.fromisoformat(text.upper())
            return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass  # a 31st of February
    raise ValueError("a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z")


def _allowance(options: KeyOptions) -> Allowance:
    return Allowance(
        options.requests,
        options.tokens,
        options.concurrency,
        nano(options.usd_per_day),
        nano(options.usd_per_month),
        options.tokens_per_day,
        options.tokens_per_month,
    )
