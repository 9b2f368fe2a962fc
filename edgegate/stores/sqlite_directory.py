"""Keys and the audit record in the SQLite file. Of secrets there are only hashes."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, replace
from typing import Any

import orjson

from edgegate.access.keys import Allowance
from edgegate.config.option import Rate
from edgegate.stores.database import Database
from edgegate.stores.directory import Change, Conflict, StoredKey, StoredSecret
from edgegate.stores.sqlite import Transaction

_PLAIN = ("id", "name", "created", "tenant", "user", "expires", "revoked", "strict", "priority")
_LISTS = ("tags", "models", "providers", "endpoints", "networks")


class SqliteDirectory:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = False

    async def open(self) -> None:
        await self._database.open()
        self._open = True

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._database.close()

    async def version(self) -> int:
        return await self._database.run(_version)

    async def keys(self) -> list[StoredKey]:
        return [_key(state, revision) for state, revision in orjson.loads(await self._database.run_long(_keys))]

    async def put(self, key: StoredKey, change: Change) -> StoredKey:
        return await self._database.run(_put, key, change)

    async def changes(self, *, limit: int = 100, before: int = 0) -> list[tuple[int, Change]]:
        return await self._database.run(_changes, limit, before)


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("SELECT version FROM directory").fetchone()
    return int(version)


def _put(db: sqlite3.Connection, key: StoredKey, change: Change) -> StoredKey:
    values = {"id": key.id, "name": key.name, "state": _state(key), "revision": key.revision}
    details = orjson.dumps(change.details).decode()
    with Transaction(db):
        try:
            if key.revision == 0:
                db.execute("INSERT INTO keys (id, name, revision, state) VALUES (:id, :name, 1, :state)", values)
            else:
                changed = db.execute(
                    "UPDATE keys SET name = :name, revision = revision + 1, state = :state WHERE id = :id AND revision = :revision", values
                )
                if changed.rowcount != 1:
                    raise Conflict("the key was changed by somebody else in between")
        except sqlite3.IntegrityError:
            raise Conflict(f"there is a key `{key.name}` already") from None
        db.execute("UPDATE directory SET version = version + 1")
        db.execute(
            "INSERT INTO audit (at, who, remote, what, subject, details) VALUES (?, ?, ?, ?, ?, ?)",
            (change.at, change.who, change.remote, change.what, change.subject, details),
        )
    return replace(key, revision=key.revision + 1)


def _keys(db: sqlite3.Connection) -> str:
    (keys,) = db.execute(
        "SELECT json_group_array(json(line)) FROM (SELECT json_array(json(state), revision) AS line FROM keys ORDER BY number)"
    ).fetchone()
    return str(keys)


def _changes(db: sqlite3.Connection, limit: int, before: int) -> list[tuple[int, Change]]:
    found = db.execute(
        "SELECT id, at, who, remote, what, subject, details FROM audit WHERE ? <= 0 OR id < ? ORDER BY id DESC LIMIT ?",
        (before, before, limit),
    )
    return [
        (number, Change(at, who, remote, what, subject, orjson.loads(details))) for number, at, who, remote, what, subject, details in found
    ]


def _state(key: StoredKey) -> str:
    state: dict[str, Any] = {name: getattr(key, name) for name in (*_PLAIN, *_LISTS)}
    state["secrets"] = [[secret.digest.hex(), secret.created, secret.expires] for secret in key.secrets]
    state["allowance"] = astuple(key.allowance)
    return orjson.dumps(state, default=tuple).decode()  # orjson takes a Rate for no tuple


def _key(state: dict[str, Any], revision: int) -> StoredKey:
    plain: dict[str, Any] = {name: state[name] for name in _PLAIN} | {name: tuple(state[name]) for name in _LISTS}
    secrets = tuple(StoredSecret(bytes.fromhex(digest), created, expires) for digest, created, expires in state["secrets"])
    requests, tokens, *rest = state["allowance"]
    return StoredKey(**plain, secrets=secrets, allowance=Allowance(_rate(requests), _rate(tokens), *rest), revision=revision)


def _rate(pair: list[int] | None) -> Rate | None:
    return None if pair is None else Rate(*pair)
