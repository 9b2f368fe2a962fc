"""Static keys: kept as SHA-256 digests only, looked up by digest and compared in constant time.

A plain digest suffices because keys are meant to be long and random; nothing here judges how long they are.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A caller. `models` and `providers` limit what it may use; empty means all. A model ending in `*` matches any rest.
    `strict`: its requests are refused rather than sent with something left out. `priority`: in the queue, and the highest that its
    requests may ask for; empty: the queue's own."""

    name: str
    digest: bytes
    tenant: str = ""
    user: str = ""
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    strict: bool = False
    priority: str = ""

    def allows_model(self, model: str) -> bool:
        if not self.models:
            return True
        return any(model == m or (m.endswith("*") and model.startswith(m[:-1])) for m in self.models)

    def allows_provider(self, provider: str) -> bool:
        return not self.providers or provider in self.providers


def digest(secret: str) -> bytes:
    """SHA-256 of a key as it came over the wire (header values are latin-1)."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class KeyRing:
    """The keys of one configuration."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.digest: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> Key | None:
        """The key that this secret is, if any. Time does not depend on how much of it is right."""
        wanted = digest(secret)
        key = self._keys.get(wanted)
        return key if key is not None and hmac.compare_digest(key.digest, wanted) else None
