"""Who may use the admin API: keys of their own, by digest, each with a role. A viewer reads only.

An app's key never opens it, and an admin key opens nothing else.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgegate.access.keys import digest
from edgegate.config.model import AdminKeyOptions

READS = frozenset({"GET"})


@dataclass(frozen=True, slots=True)
class Admission:
    """Somebody who showed a key. `name` stands in the audit record."""

    name: str
    role: str

    def may(self, method: str) -> bool:
        return self.role == "admin" or method in READS


class Roles:
    """See the module."""

    def __init__(self, keys: Sequence[AdminKeyOptions]) -> None:
        self._doors: list[tuple[bytes, Admission]] = []
        for number, options in enumerate(keys, 1):
            hashed = bytes.fromhex(options.hash.removeprefix("sha256:")) if options.hash else digest(options.key.reveal())
            self._doors.append((hashed, Admission(options.name or f"admin-{number}", options.role)))

    def find(self, headers: Mapping[str, str]) -> Admission | None:
        """Whose key these headers hold. Every key is compared, in constant time."""
        secret = _secret(headers)
        shown = digest(secret)
        found = None
        for hashed, admission in self._doors:
            if hmac.compare_digest(hashed, shown):
                found = admission
        return found if secret else None


def _secret(headers: Mapping[str, str]) -> str:
    """The first that is present decides."""
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return rest.strip()
    return headers.get("x-api-key", "").strip()
