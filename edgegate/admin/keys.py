"""What is done to stored keys, by the admin API and the command line alike: made, looked up, changed, rotated, revoked.

A key's text is `eg-<id>-<43 characters of 32 random bytes>`. It is given once, when it is made; what is stored is its SHA-256.
Each change goes to the store with its audit record, as one transaction, and only if nobody else changed the key in between. A name
is never given twice, not even after its key was revoked: ledger and budgets go by it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from edgegate.access.keys import digest
from edgegate.admin.fields import FIELDS, read_fields, unknown_field, with_fields
from edgegate.admin.moments import write_moment
from edgegate.admin.shown import settings
from edgegate.config.option import Secret
from edgegate.config.units import duration
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.stores.directory import Change, Conflict, Directory, StoredKey, StoredSecret

OVERLAP_S = 86_400.0
"""How long the older secrets of a rotated key go on, unless told otherwise."""

MAX_SECRETS = 10
"""Of one key at once."""

TRIES = 5
"""How often a change is made again that came in between another's; each time somebody else's has succeeded."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, for the audit record."""

    who: str
    remote: str


class Made(NamedTuple):
    """A key with its new secret, which nobody will see again."""

    key: StoredKey
    secret: Secret


Edited = tuple[StoredKey, dict[str, Any]]


class Keys:
    """See the module. `configured`: names of the keys of the configuration. `token` gives random bytes. `changed` is called after
    each change. Every method may raise `GatewayError` (400, 404, 409) and `StoreError`."""

    def __init__(
        self,
        directory: Directory,
        *,
        configured: Collection[str],
        unix_clock: Callable[[], float],
        token: Callable[[int], bytes],
        changed: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._configured = frozenset(configured)
        self._clock = unix_clock
        self._token = token
        self._changed = changed

    async def all(self) -> list[StoredKey]:
        """All, in the order in which they were made."""
        return await self._directory.keys()

    async def find(self, reference: str) -> StoredKey:
        """The key of this id or name."""
        keys = await self._directory.keys()
        found = next((key for key in keys if key.id == reference), None) or next((key for key in keys if key.name == reference), None)
        if found is not None:
            return found
        if reference in self._configured:
            raise _conflict("configured_key", "This key stands in the configuration and can only be changed there.")
        raise GatewayError(404, "key_not_found", "There is no key of this id or name.", source=Source.CLIENT)

    async def create(self, given: Mapping[str, Any], by: Actor) -> Made:
        """A new key of these fields (see `fields.py`); `name` is needed."""
        now = self._clock()
        values = read_fields(given, now)
        if "name" not in values:
            raise bad_request(f"name: expected {FIELDS['name'].expected}", "name")
        name: str = values["name"]
        keys = await self._directory.keys()
        if name in self._configured or any(name in (key.name, key.id) for key in keys):
            raise _taken()
        secret, stored = self._secret(self._id({key.id for key in keys} | {key.name for key in keys}), now)
        key = with_fields(StoredKey(secret.reveal().split("-")[1], name, now, (stored,)), values)
        blank = settings(StoredKey("", "", 0.0))
        details = {field: {"before": None, "after": value} for field, value in settings(key).items() if value != blank[field]}
        try:
            kept = await self._directory.put(key, Change(now, by.who, by.remote, "created", name, details))
        except Conflict:
            raise _taken() from None
        self._changed()
        return Made(kept, secret)

    async def change(self, reference: str, given: Mapping[str, Any], by: Actor) -> StoredKey:
        """Sets the fields that are given, the others stay. With `revision`: only if the key still has that one."""
        given = dict(given)
        revision = take_revision(given)
        values = read_fields(given, self._clock())

        def edit(key: StoredKey, now: float) -> Edited | None:
            if values.get("name", key.name) != key.name:
                raise bad_request("name: expected the name it has: ledger and budgets go by it. Make another key instead", "name")
            new = with_fields(key, values)
            before, after = settings(key), settings(new)
            differing = {name: {"before": before[name], "after": after[name]} for name in before if before[name] != after[name]}
            return (new, differing) if new != key else None

        return await self._edit(reference, revision, by, "changed", edit)

    async def rotate(self, reference: str, given: Mapping[str, Any], by: Actor) -> Made:
        """A new secret. The older ones end after `overlap` (a duration; 0: at once), or before, where that was said already."""
        given = dict(given)
        revision = take_revision(given)
        overlap = _overlap(given)
        made: list[Secret] = []

        def edit(key: StoredKey, now: float) -> Edited:
            ends = now + overlap
            older = [replace(old, expires=ends if old.expires is None else min(old.expires, ends)) for old in key.secrets]
            older = [old for old in older if old.expires is not None and old.expires > now]
            if len(older) >= MAX_SECRETS:
                raise _conflict("too_many_secrets", f"The key has {MAX_SECRETS} secrets; rotate with overlap 0 to end them.")
            secret, stored = self._secret(key.id, now)
            made[:] = [secret]
            details = {"overlap_s": overlap, "older_secrets": len(older), "older_end": write_moment(ends)}
            return replace(key, secrets=(*older, stored)), details

        key = await self._edit(reference, revision, by, "rotated", edit)
        return Made(key, made[0])

    async def revoke(self, reference: str, by: Actor, revision: int | None = None) -> StoredKey:
        """Ends a key for good, and forgets its secrets. One that is revoked already stays as it is."""

        def edit(key: StoredKey, now: float) -> Edited:
            return replace(key, revoked=now, secrets=()), {"revoked": {"before": None, "after": write_moment(now)}}

        return await self._edit(reference, revision, by, "revoked", edit)

    async def _edit(
        self, reference: str, revision: int | None, by: Actor, what: str, edit: Callable[[StoredKey, float], Edited | None]
    ) -> StoredKey:
        for _ in range(TRIES):
            key = await self.find(reference)
            if revision is not None and key.revision != revision:
                raise _outdated(key)
            if key.revoked is not None:
                if what == "revoked":
                    return key
                raise _conflict("key_revoked", "The key is revoked; that is for good. Make another one instead.")
            now = self._clock()
            edited = edit(key, now)
            if edited is None:
                return key
            new, details = edited
            try:
                kept = await self._directory.put(new, Change(now, by.who, by.remote, what, key.name, details))
            except Conflict:
                continue
            self._changed()
            return kept
        raise _conflict("revision_conflict", "The key is being changed by others all the time; try again.")

    def _secret(self, id: str, now: float) -> tuple[Secret, StoredSecret]:
        text = f"eg-{id}-{base64.urlsafe_b64encode(self._token(32)).rstrip(b'=').decode()}"
        return Secret(text), StoredSecret(digest(text), now)

    def _id(self, taken: Collection[str]) -> str:
        while True:
            evenly = [byte for byte in self._token(16) if byte < 252]  # 252 is seven times 36
            id = "".join(_ALPHABET[byte % 36] for byte in evenly[:8])
            if len(id) == 8 and id not in taken:
                return id


def take_revision(given: dict[str, Any]) -> int | None:
    """Takes `revision` out of what was sent."""
    revision = given.pop("revision", None)
    if revision is not None and (isinstance(revision, bool) or not isinstance(revision, int) or revision < 0):
        raise bad_request("revision: expected the number that the key had when it was read", "revision")
    return revision


def _overlap(given: Mapping[str, Any]) -> float:
    unknown = next((name for name in given if name != "overlap"), None)
    if unknown is not None:
        raise unknown_field(unknown, ("overlap", "revision"))
    value = given.get("overlap")
    if value is None:
        return OVERLAP_S
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    try:
        if not isinstance(text, str):
            raise ValueError
        return float(duration(text))
    except ValueError:
        raise bad_request("overlap: expected a duration such as 24h, or 0 to end the older secrets at once", "overlap") from None


def _taken() -> GatewayError:
    message = "Another key has this name; it may be a revoked one, or stand in the configuration. Names are given once."
    return GatewayError(409, "name_taken", message, param="name", source=Source.CLIENT)


def _outdated(key: StoredKey) -> GatewayError:
    message = f"The key was changed in between: it has revision {key.revision} now. Read it again."
    return GatewayError(409, "revision_conflict", message, param="revision", source=Source.CLIENT)


def _conflict(code: str, message: str) -> GatewayError:
    return GatewayError(409, code, message, source=Source.CLIENT)
