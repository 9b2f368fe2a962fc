"""Keys of callers: kept as SHA-256 digests only, looked up by digest and compared in constant time.

A plain digest suffices because keys are meant to be long and random; nothing here judges how long they are. Some keys stand in
the configuration, others are made at run time and kept in a store: the ring holds both, and the latter are replaced as a whole
whenever the store has others.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgegate.access.address import Network, is_in, parse_address
from edgegate.access.counters import matches
from edgegate.config.option import Rate


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one key may use. Money in nano-dollars; 0 or None: as much as the general rules allow."""

    requests: Rate | None = None
    tokens: Rate | None = None
    concurrency: int = 0
    nano_usd_per_day: int = 0
    nano_usd_per_month: int = 0
    tokens_per_day: int = 0
    tokens_per_month: int = 0


NO_ALLOWANCE = Allowance()


@dataclass(frozen=True, slots=True)
class Key:
    """A caller. `models`, `providers`, `endpoints` and `networks` limit what it may use and from where; empty means all. A model or
    an endpoint ending in `*` matches any rest. `strict`: its requests are refused rather than sent with something left out.
    `priority`: in the queue, and the highest that its requests may ask for; empty: the queue's own. `expires`: Unix seconds."""

    name: str
    tenant: str = ""
    user: str = ""
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    strict: bool = False
    priority: str = ""
    tags: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    expires: float = math.inf
    allowance: Allowance = NO_ALLOWANCE

    def allows_model(self, model: str) -> bool:
        if not self.models:
            return True
        return any(model == m or (m.endswith("*") and model.startswith(m[:-1])) for m in self.models)

    def allows_provider(self, provider: str) -> bool:
        return not self.providers or provider in self.providers

    def allows_endpoint(self, path: str, operation: str) -> bool:
        """path: as it was sent, undecoded. operation: "" for what only its path names."""
        return matches(self.endpoints, path) or (bool(operation) and matches(self.endpoints, operation))

    def allows_address(self, ip: str) -> bool:
        """Whether it may be used from this address. Where the caller's is not known, only if it may be used from everywhere."""
        if not self.networks:
            return True
        address = parse_address(ip)
        return address is not None and is_in(address, self.networks)


def digest(secret: str) -> bytes:
    """SHA-256 of a key as it came over the wire (header values are latin-1)."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a key: its digest, and when it ends (Unix seconds). A key that is being rotated has two."""

    digest: bytes
    key: Key
    expires: float = math.inf


class KeyRing:
    """Every secret that opens the gateway. `configured` stays, `stored` is replaced by `replace`.

    required: whether callers need a key. It does not become false again: a gateway whose last key is revoked is not open.
    unread: the stored keys could not be read yet, so that nobody can say of a secret that it is none.
    """

    def __init__(self, configured: Iterable[Secret], required: bool = False) -> None:
        self._configured = {secret.digest: secret for secret in configured}
        self._secrets: Mapping[bytes, Secret] = self._configured
        self.required = required or bool(self._configured)
        self.unread = False

    def __len__(self) -> int:
        return len(self._secrets)

    @property
    def configured_names(self) -> frozenset[str]:
        return frozenset(secret.key.name for secret in self._configured.values())

    def replace(self, stored: Iterable[Secret]) -> None:
        """The stored keys are these now. What stands in the configuration cannot be taken over by a stored key."""
        self._secrets = {secret.digest: secret for secret in stored} | self._configured
        self.required = self.required or bool(self._secrets)
        self.unread = False

    def find(self, secret: str, now: float) -> Key | None:
        """The key that this secret is, if any, and if it has not expired. Time does not depend on how much of it is right."""
        wanted = digest(secret)
        found = self._secrets.get(wanted)
        if found is None or not hmac.compare_digest(found.digest, wanted):
            return None
        return found.key if now < found.expires and now < found.key.expires else None

    def knows(self, secret: str) -> bool:
        """Whether this is the secret of a key, even if it has expired."""
        return digest(secret) in self._secrets
