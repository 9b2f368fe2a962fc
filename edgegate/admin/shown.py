"""Keys as they are shown: everything that may be known of them, never a secret or its hash.

The names are those of the fields that can be sent, so that what was read can be sent back.
"""

from __future__ import annotations

import math
from typing import Any

from edgegate.access.keys import Allowance, Key
from edgegate.admin.moments import write_moment
from edgegate.admin.money import short_dollars
from edgegate.config.option import Rate
from edgegate.config.units import write_rate
from edgegate.stores.directory import Change, StoredKey


def state(key: StoredKey, now: float) -> str:
    if key.revoked is not None:
        return "revoked"
    return "expired" if key.expires is not None and key.expires <= now else "active"


def stored(key: StoredKey, now: float) -> dict[str, Any]:
    """A key of the store. `secrets`: when each was made and when it ends; a key that is being rotated has several."""
    alive = [secret for secret in key.secrets if secret.expires is None or secret.expires > now]
    return {
        "id": key.id,
        "source": "store",
        "state": state(key, now),
        **settings(key),
        "created": write_moment(key.created),
        "revoked": _moment(key.revoked),
        "revision": key.revision,
        "secrets": [{"created": write_moment(secret.created), "expires": _moment(secret.expires)} for secret in alive],
    }


def settings(key: StoredKey) -> dict[str, Any]:
    """What can be changed, and what an audit record compares."""
    return {
        "name": key.name,
        "tenant": key.tenant,
        "user": key.user,
        "tags": list(key.tags),
        "models": list(key.models),
        "providers": list(key.providers),
        "endpoints": list(key.endpoints),
        "networks": list(key.networks),
        "expires": _moment(key.expires),
        "strict": key.strict,
        "priority": key.priority,
        **_allowance(key.allowance),
    }


def configured(key: Key, now: float) -> dict[str, Any]:
    """A key of the configuration: it has no id, and cannot be changed here."""
    endless = math.isinf(key.expires)
    return {
        "id": None,
        "source": "configuration",
        "state": "active" if now < key.expires else "expired",
        "name": key.name,
        "tenant": key.tenant,
        "user": key.user,
        "tags": list(key.tags),
        "models": list(key.models),
        "providers": list(key.providers),
        "endpoints": list(key.endpoints),
        "networks": [str(network) for network in key.networks],
        "expires": None if endless else write_moment(key.expires),
        "strict": key.strict,
        "priority": key.priority,
        **_allowance(key.allowance),
    }


def audited(id: int, change: Change) -> dict[str, Any]:
    return {
        "id": id,
        "at": write_moment(change.at),
        "who": change.who,
        "remote": change.remote,
        "what": change.what,
        "subject": change.subject,
        "details": change.details,
    }


def _allowance(allowance: Allowance) -> dict[str, Any]:
    return {
        "requests": _rate(allowance.requests),
        "tokens": _rate(allowance.tokens),
        "concurrency": allowance.concurrency or None,
        "usd_per_day": _money(allowance.nano_usd_per_day),
        "usd_per_month": _money(allowance.nano_usd_per_month),
        "tokens_per_day": allowance.tokens_per_day or None,
        "tokens_per_month": allowance.tokens_per_month or None,
    }


def _rate(rate: Rate | None) -> str | None:
    return None if rate is None else write_rate(rate)


def _money(nano: int) -> str | None:
    return short_dollars(nano) if nano else None


def _moment(unix: float | None) -> str | None:
    return None if unix is None else write_moment(unix)
