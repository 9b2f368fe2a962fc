"""The admin API, on a listener of its own: keys, audit record, usage, ledger, and how limits and budgets stand.

It denies by default: without an admin key every path, known or not, is a 401 before anything else is looked at, and a viewer's key
reads only. Nothing in a request names a host, a file or code; `Host` counts for nothing; no browser page of another origin is
invited. Apps are not served here and admin keys do not work there. Secrets leave once, when a key is made or rotated.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from edgegate import __version__
from edgegate.access.keys import Key
from edgegate.admin import usage
from edgegate.admin.answers import HEADERS, WRITE_S, drop, refuse, send
from edgegate.admin.body import read_json
from edgegate.admin.export import EQUAL, export, part_of, writer_of
from edgegate.admin.keys import Actor, Keys, Made, take_revision
from edgegate.admin.moments import write_day
from edgegate.admin.query import parameters, whole
from edgegate.admin.roles import Admission, Roles
from edgegate.admin.shown import audited, configured, stored
from edgegate.config.model import AdminOptions
from edgegate.errors import GatewayError, Source, bad_request
from edgegate.stores.base import StoreError
from edgegate.stores.directory import Directory
from edgegate.stores.records import Records

HEAD_S = 15.0
"""For a request's head to arrive, and for an idle connection to be used again."""

ANSWER_S = 30.0
"""For an answer to be found. Exports take as long as they take; each of their pieces has this limit."""

LAST_WORDS_S = 1.0
MAX_EXPORTS = 4
MAX_AUDIT = 1000


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of somebody who may make it. `key` is the id or name in its path."""

    request: web.BaseRequest
    admission: Admission
    query: str
    key: str = ""

    @property
    def actor(self) -> Actor:
        return Actor(self.admission.name, self.request.remote or "unix")


Answer = Callable[[Ask], Awaitable[web.StreamResponse]]


class Admin:
    """See the module. `standing` tells how limits and budgets stand now, `static_keys` are the keys of the configuration, `changed`
    is called after each change of a stored key. `token` gives so many random bytes."""

    def __init__(
        self,
        options: AdminOptions,
        directory: Directory,
        records: Records,
        *,
        standing: Callable[[], list[dict[str, Any]]],
        static_keys: Sequence[Key],
        changed: Callable[[], None],
        unix_clock: Callable[[], float],
        token: Callable[[int], bytes],
    ) -> None:
        self._roles = Roles(options.keys)
        self._directory = directory
        self._records = records
        self._standing = standing
        self._static = {key.name: key for key in static_keys}
        self._clock = unix_clock
        self._keys = Keys(directory, configured=self._static, unix_clock=unix_clock, token=token, changed=changed)
        self._exports = 0
        self._server: web.Server | None = None
        self._listening: list[asyncio.Server] = []
        self.paths: dict[str, dict[str, Answer]] = {
            "/api/admin/keys": {"GET": self._list, "POST": self._create},
            "/api/admin/keys/{key}": {"GET": self._show, "PATCH": self._change, "DELETE": self._revoke},
            "/api/admin/keys/{key}/rotate": {"POST": self._rotate},
            "/api/admin/audit": {"GET": self._audit},
            "/api/admin/usage": {"GET": self._usage},
            "/api/admin/ledger": {"GET": self._ledger},
            "/api/admin/budgets": {"GET": self._budgets},
            "/api/admin/health": {"GET": self._health},
        }

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Serves on sockets that listen already; they are closed with this."""
        loop = asyncio.get_running_loop()
        server = self._server = self.handler()
        for sock in sockets:
            unix = sock.family == socket.AF_UNIX
            made = loop.create_unix_server(server, sock=sock) if unix else loop.create_server(server, sock=sock)
            self._listening.append(await made)

    async def close(self) -> None:
        for listening in self._listening:
            listening.close()
        self._listening.clear()
        if self._server is not None:
            await self._server.shutdown(LAST_WORDS_S)
            self._server = None

    def handler(self) -> web.Server:
        """The protocol factory for `loop.create_server`. To be called on a running loop."""
        return web.Server(
            self._serve,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=HEAD_S,  # aiohttp's only limit on a head, absolute
            lingering_time=2.0,
        )

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        allowed: list[str] = []
        try:
            admission = self._roles.find(request.headers)
            if admission is None:
                message = "An admin key is needed: 'Authorization: Bearer <key>' or 'x-api-key'."
                raise GatewayError(401, "invalid_admin_key", message, source=Source.CLIENT)
            if not admission.may(request.method):
                message = f"{request.method} needs a key of role admin; this one is a {admission.role}'s."
                raise GatewayError(403, "role_not_allowed", message, source=Source.CLIENT)
            path, _, query = request._message.path.partition("?")
            methods, key = self._route(path)
            allowed = list(methods)
            if request.method not in methods:
                message = f"This path takes {', '.join(allowed)}, not {request.method}."
                raise GatewayError(405, "method_not_allowed", message, source=Source.CLIENT)
            return await methods[request.method](Ask(request, admission, query, key))
        except GatewayError as error:
            return await refuse(request, error, allowed)
        except (StoreError, TimeoutError):
            return await refuse(request, usage.store_lost())

    def _route(self, path: str) -> tuple[dict[str, Answer], str]:
        """What a path takes, by method, and the key that it names."""
        pieces = path.split("/")
        for pattern, methods in self.paths.items():
            wanted = pattern.split("/")
            if len(wanted) == len(pieces) and all(want in ("{key}", piece) for want, piece in zip(wanted, pieces, strict=True)):
                return methods, unquote(pieces[wanted.index("{key}")]) if "{key}" in wanted else ""
        raise GatewayError(404, "unknown_path", "The admin API has no such path.", source=Source.CLIENT)

    # -- keys

    async def _list(self, ask: Ask) -> web.StreamResponse:
        parameters(ask.query, ())
        async with asyncio.timeout(ANSWER_S):
            keys = await self._keys.all()
        now = self._clock()
        data = [*(configured(key, now) for key in self._static.values()), *(stored(key, now) for key in keys)]
        return await send(ask.request, 200, {"object": "list", "data": data})

    async def _show(self, ask: Ask) -> web.StreamResponse:
        parameters(ask.query, ())
        now = self._clock()
        try:
            async with asyncio.timeout(ANSWER_S):
                shown = stored(await self._keys.find(ask.key), now)
        except GatewayError as error:
            if error.code != "configured_key":
                raise
            shown = configured(self._static[ask.key], now)
        return await send(ask.request, 200, shown)

    async def _create(self, ask: Ask) -> web.StreamResponse:
        given = await read_json(ask.request, ask.query)
        async with asyncio.timeout(ANSWER_S):
            made = await self._keys.create(given, ask.actor)
        return await send(ask.request, 201, self._made(made))

    async def _change(self, ask: Ask) -> web.StreamResponse:
        given = await read_json(ask.request, ask.query)
        async with asyncio.timeout(ANSWER_S):
            key = await self._keys.change(ask.key, given, ask.actor)
        return await send(ask.request, 200, stored(key, self._clock()))

    async def _rotate(self, ask: Ask) -> web.StreamResponse:
        given = await read_json(ask.request, ask.query, empty=True)
        async with asyncio.timeout(ANSWER_S):
            made = await self._keys.rotate(ask.key, given, ask.actor)
        return await send(ask.request, 200, self._made(made))

    async def _revoke(self, ask: Ask) -> web.StreamResponse:
        given = await read_json(ask.request, ask.query, empty=True)
        revision = take_revision(given)
        if given:
            raise bad_request("revision: expected no field but this one, or no body", "revision")
        async with asyncio.timeout(ANSWER_S):
            key = await self._keys.revoke(ask.key, ask.actor, revision)
        return await send(ask.request, 200, stored(key, self._clock()))

    def _made(self, made: Made) -> dict[str, Any]:
        return stored(made.key, self._clock()) | {"secret": made.secret.reveal()}

    # -- what happened

    async def _audit(self, ask: Ask) -> web.StreamResponse:
        given = parameters(ask.query, ("limit", "before"))
        limit, before = whole(given, "limit", 100, 1, MAX_AUDIT), whole(given, "before", 0, 0, 10**18 - 1)
        async with asyncio.timeout(ANSWER_S):
            changes = await self._directory.changes(limit=limit, before=before)
        return await send(ask.request, 200, {"object": "list", "data": [audited(id, change) for id, change in changes]})

    async def _usage(self, ask: Ask) -> web.StreamResponse:
        given = parameters(ask.query, ("since", "until", "by", *usage.EQUAL))
        asked = usage.question(given, self._clock())
        async with asyncio.timeout(ANSWER_S):
            found = await usage.report(self._records, asked)
        return await send(ask.request, 200, found)

    async def _ledger(self, ask: Ask) -> web.StreamResponse:
        given = parameters(ask.query, ("since", "until", "format", *EQUAL))
        part = part_of(given, self._clock())
        if self._exports >= MAX_EXPORTS:
            message = f"{MAX_EXPORTS} exports are running already."
            raise GatewayError(503, "overloaded", message, retry_after_s=5.0)
        self._exports += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                writer = await writer_of(given)
            file = f"ledger-{write_day(part.since_ms / 1000)}-{write_day(part.until_ms / 1000)}.{given.get('format', 'jsonl')}"
            response = web.StreamResponse(headers={**HEADERS, "Content-Disposition": f'attachment; filename="{file}"'})
            response.headers["Content-Type"] = writer.content_type
            async with contextlib.aclosing(export(self._records.rows(part), writer)) as pieces:
                await _stream(ask.request, response, pieces)
            return response
        finally:
            self._exports -= 1

    async def _budgets(self, ask: Ask) -> web.StreamResponse:
        parameters(ask.query, ())
        return await send(ask.request, 200, {"object": "list", "data": self._standing()})

    async def _health(self, ask: Ask) -> web.StreamResponse:
        parameters(ask.query, ())
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._directory.version()
        except (StoreError, TimeoutError):
            store = "unreachable"
        else:
            store = "ok"
        shown = {"status": "ok" if store == "ok" else "degraded", "store": store, "version": __version__}
        return await send(ask.request, 200, shown | {"name": ask.admission.name, "role": ask.admission.role})


async def _stream(request: web.BaseRequest, response: web.StreamResponse, pieces: AsyncGenerator[bytes, None]) -> None:
    """Sends a file as it is made. A store that is away is an error while there still is a status to tell it by; after that the
    connection is cut: an export that is not whole must not look as if it were."""
    async with asyncio.timeout(ANSWER_S):
        piece = await anext(pieces, None)
    await response.prepare(request)
    try:
        while piece is not None:
            async with asyncio.timeout(WRITE_S):
                await response.write(piece)
            async with asyncio.timeout(ANSWER_S):
                piece = await anext(pieces, None)
        async with asyncio.timeout(WRITE_S):
            await response.write_eof()
    except (StoreError, TimeoutError):
        drop(request)
