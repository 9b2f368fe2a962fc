"""Keys and the audit record in PostgreSQL. Of secrets there are only hashes.

A change is one transaction that first takes the row of the version: changes come one after the other, and whoever sees a version
sees everything that led to it.
"""

# ruff: noqa: S608 (what is put into SQL are names of ours; values are parameters)

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import orjson

from edgegate.access.keys import Allowance
from edgegate.config.option import Rate
from edgegate.stores.directory import Change, Conflict, StoredKey, StoredSecret
from edgegate.stores.postgres import Postgres
from edgegate.stores.postgres_driver import Record, Session, transaction

_LISTS = ("tags", "models", "providers", "endpoints", "networks")
_WRITTEN = ("id", "name", "created", "tenant", "user", *_LISTS, "expires", "revoked", "strict", "priority", "allowance", "revision")
_NAMES = ", ".join(f'"{name}"' for name in _WRITTEN)


class Statements:
    """The SQL, once for a schema."""

    def __init__(self, schema: str) -> None:
        places = ", ".join(f"${place}" for place in range(1, len(_WRITTEN) + 1))
        changed = ", ".join(f'"{name}" = ${place}' for place, name in enumerate(_WRITTEN, 1))
        self.version = f"SELECT version FROM {schema}.directory"
        self.grow = f"UPDATE {schema}.directory SET version = version + 1"
        self.keys = (  # one statement: keys and secrets as they were at one moment
            f"SELECT {_NAMES}, array(SELECT digest FROM {schema}.secrets WHERE key_id = k.id ORDER BY position), "
            f"array(SELECT created FROM {schema}.secrets WHERE key_id = k.id ORDER BY position), "
            f"array(SELECT expires FROM {schema}.secrets WHERE key_id = k.id ORDER BY position) "
            f"FROM {schema}.keys AS k ORDER BY number"
        )
        # changes wait for each other, so what is free now is free until the end of the transaction
        self.taken = (
            f"SELECT EXISTS (SELECT 1 FROM {schema}.keys WHERE (name = $1 AND id <> $2) OR (id = $2 AND $3)) "
            f"OR EXISTS (SELECT 1 FROM {schema}.secrets WHERE digest = ANY($4::bytea[]) AND key_id <> $2)"
        )
        self.insert = f"INSERT INTO {schema}.keys ({_NAMES}) VALUES ({places}) RETURNING true"
        self.update = f"UPDATE {schema}.keys SET {changed} WHERE id = $1 AND revision = ${len(_WRITTEN)} - 1 RETURNING true"
        self.forget = f"DELETE FROM {schema}.secrets WHERE key_id = $1"
        self.secrets = (
            f"INSERT INTO {schema}.secrets (key_id, digest, position, created, expires) "
            "SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::float8[], $5::float8[])"
        )
        self.record = f"INSERT INTO {schema}.audit (at, who, remote, what, subject, details) VALUES ($1, $2, $3, $4, $5, $6)"
        self.changes = (
            f"SELECT id, at, who, remote, what, subject, details FROM {schema}.audit WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2"
        )


class PostgresDirectory:
    """See the module and `Directory`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._sql = Statements(postgres.schema)
        self._open = False

    async def open(self) -> None:
        await self._postgres.open()
        self._open = True

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._postgres.close()

    async def version(self) -> int:
        version: int = await self._postgres.run(lambda session: session.fetchval(self._sql.version))
        return version

    async def keys(self) -> list[StoredKey]:
        return [_key(record) for record in await self._postgres.run(lambda session: session.fetch(self._sql.keys))]

    async def put(self, key: StoredKey, change: Change) -> StoredKey:
        written = replace(key, revision=key.revision + 1)
        await self._postgres.run(lambda session: self._put(session, written, change))
        return written

    async def _put(self, session: Session, key: StoredKey, change: Change) -> None:
        new = key.revision == 1
        digests = [secret.digest for secret in key.secrets]
        details = orjson.dumps(change.details).decode()
        async with transaction(session):
            await session.execute(self._sql.grow)
            if await session.fetchval(self._sql.taken, key.name, key.id, new, digests):
                raise Conflict(f"the name `{key.name}`, the id or a secret is taken")
            if not await session.fetchval(self._sql.insert if new else self._sql.update, *_values(key)):
                raise Conflict("the key was changed in between, or is not there")
            await session.execute(self._sql.forget, key.id)
            created = [secret.created for secret in key.secrets]
            expires = [secret.expires for secret in key.secrets]
            await session.execute(self._sql.secrets, key.id, digests, range(len(digests)), created, expires)
            await session.execute(self._sql.record, change.at, change.who, change.remote, change.what, change.subject, details)

    async def changes(self, *, limit: int = 100, before: int = 0) -> list[tuple[int, Change]]:
        found = await self._postgres.run(lambda session: session.fetch(self._sql.changes, before, limit))
        return [
            (number, Change(at, who, remote, what, subject, orjson.loads(details)))
            for number, at, who, remote, what, subject, details in found
        ]


def _values(key: StoredKey) -> list[object]:
    values: dict[str, object] = {name: getattr(key, name) for name in _WRITTEN}
    requests, tokens, *rest = astuple(key.allowance)
    values["allowance"] = orjson.dumps([requests and tuple(requests), tokens and tuple(tokens), *rest]).decode()
    return list(values.values())


def _key(record: Record) -> StoredKey:
    *plain, digests, created, expires = record
    named: dict[str, Any] = dict(zip(_WRITTEN, plain, strict=True))
    requests, tokens, *rest = orjson.loads(named["allowance"])
    named["allowance"] = Allowance(_rate(requests), _rate(tokens), *rest)
    for name in _LISTS:
        named[name] = tuple(named[name])
    return StoredKey(secrets=tuple(map(StoredSecret, digests, created, expires)), **named)


def _rate(pair: list[int] | None) -> Rate | None:
    return None if pair is None else Rate(*pair)
