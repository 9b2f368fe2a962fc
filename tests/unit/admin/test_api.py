"""The admin API over a socket: nobody without a key gets anywhere, keys are managed, errors have one shape, secrets stay inside."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edgegate import __version__
from edgegate.access.keys import Key, digest
from edgegate.admin import api as api_module
from edgegate.admin import body as body_module
from edgegate.admin.api import Admin
from edgegate.admin.roles import Roles
from edgegate.config.address import Address
from edgegate.config.model import AdminKeyOptions, AdminOptions
from edgegate.config.option import Secret
from edgegate.server.listen import open_sockets
from tests.unit.admin.parts import ADMIN_KEY, BEARER, NOW, VIEWER, VIEWER_KEY, MemoryDirectory, MemoryRecords, Served, Tokens, row, served

METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "HEAD", "TRACE")
KEYS = "/api/admin/keys"


async def raw(port: int, data: bytes, within_s: float = 5.0) -> bytes:
    """What comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(within_s):
            return await reader.read()
    finally:
        writer.close()


def untouched(made: Served) -> None:
    assert made.directory.audit == []
    assert made.directory.stored == {}
    assert made.records.asked == []


# -- who may ask


async def test_without_an_admin_key_every_path_and_method_is_a_401() -> None:
    wrong: list[dict[str, str]] = [
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {ADMIN_KEY}"}, {"Authorization": f"Bearer {ADMIN_KEY}x"},
        {"Authorization": "Bearer "}, {"x-api-key": ""}, {"x-api-key": ADMIN_KEY[:-1]}, {"api-key": ADMIN_KEY}, {"Expect": "nonsense"},
        {"Authorization": f"Bearer {digest(ADMIN_KEY).hex()}"}, {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"},
    ]  # fmt: skip
    async with served(row()) as made:
        paths = [*(path.replace("{key}", "app") for path in made.admin.paths), "/", "/nowhere", "/api/admin", "/health", "/metrics"]
        assert len(paths) == 13
        for path in paths:
            for method in METHODS:
                status, found, head = await made.ask(method, path, headers=wrong[0])
                assert (status, head["www-authenticate"]) == (401, "Bearer"), (method, path)
                assert method == "HEAD" or found["error"]["code"] == "invalid_admin_key"
            for headers in wrong:
                status, found, _ = await made.get(path, headers)
                assert (status, found["error"]["type"]) == (401, "authentication_error"), (path, headers)
        assert (await made.ask("POST", f"{KEYS}?api_key={ADMIN_KEY}", {"name": "app"}, {}))[0] == 401
        untouched(made)


async def test_without_a_key_a_body_is_not_read() -> None:
    async with served() as made:
        head = b"POST /api/admin/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{"
        answer = await raw(made.port, head)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in answer.lower()


async def test_a_key_is_taken_as_bearer_or_as_x_api_key() -> None:
    async with served() as made:
        for headers in (BEARER, {"authorization": f"bearer  {ADMIN_KEY} "}, {"x-api-key": ADMIN_KEY}):
            assert (await made.get(KEYS, headers))[0] == 200
        both = {"Authorization": "Bearer wrong", "x-api-key": ADMIN_KEY}
        assert (await made.get(KEYS, both))[0] == 401


async def test_a_viewer_reads_and_changes_nothing() -> None:
    async with served(row()) as made:
        await made.make("app")
        for path, methods in made.admin.paths.items():
            for method in METHODS:
                status, found, _ = await made.ask(method, path.replace("{key}", "app"), headers=VIEWER)
                if method != "GET":
                    assert status == 403
                    assert method == "HEAD" or found["error"]["code"] == "role_not_allowed"
                else:
                    assert status == (200 if "GET" in methods else 405)
        assert len(made.directory.audit) == 1


async def test_an_admin_may_read_and_change() -> None:
    async with served() as made:
        await made.make("app")
        assert (await made.get("/api/admin/health"))[1] == {
            "status": "ok", "store": "ok", "version": __version__, "name": "ops", "role": "admin",
        }  # fmt: skip
        assert (await made.get("/api/admin/health", VIEWER))[1]["role"] == "viewer"


def test_a_key_without_key_and_hash_lets_nobody_in() -> None:
    roles = Roles([AdminKeyOptions(name="none")])
    assert roles.find({}) is None
    assert roles.find({"Authorization": "Bearer "}) is None
    hashed = Roles([AdminKeyOptions(hash=f"sha256:{digest('long enough').hex()}", role="viewer")])
    found = hashed.find({"x-api-key": "long enough"})
    assert found is not None
    assert (found.name, found.role) == ("admin-1", "viewer")


# -- the shape of answers


async def test_other_methods_are_refused_with_those_that_are_taken() -> None:
    async with served() as made:
        for path, methods in made.admin.paths.items():
            for method in METHODS:
                if method not in methods:
                    status, _, head = await made.ask(method, path.replace("{key}", "app"))
                    assert (status, head["allow"]) == (405, ", ".join(methods)), (method, path)


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/admin", "/api/admin/keys/", "/api/admin/keys/a/b", "/api/admin/keys/a/rotate/x", "//api/admin/keys",
     "/api/admin/key", "/v1/models", "/api/admin/keys/../keys/a/b", "/API/ADMIN/KEYS"],
)  # fmt: skip
async def test_there_are_no_other_paths(path: str) -> None:
    async with served() as made:
        answer = await raw(made.port, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-api-key: {ADMIN_KEY}\r\n\r\n".encode())
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))


async def test_every_answer_is_kept_by_nobody_and_for_no_other_origin() -> None:
    async with served(row()) as made:
        answers = [await made.get(path.replace("{key}", "app"), {**BEARER, "Origin": "https://evil.example"}) for path in made.admin.paths]
        answers.append(await made.get("/", {}))
        for _, _, head in answers:
            assert (head["cache-control"], head["x-content-type-options"]) == ("no-store", "nosniff")
            assert not [name for name in head if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [(b"", 400, "invalid_json"), (b"[]", 400, "invalid_json"), (b"{", 400, "invalid_json"), (b'{"name": NaN}', 400, "invalid_json"),
     (b"\xff", 400, "invalid_json"), (b"{}", 400, "invalid_request"), (b"[" * 5000, 400, "invalid_json"),
     (b'{"name":"' + b"x" * 70_000 + b'"}', 413, "request_too_large")],
)  # fmt: skip
async def test_a_bad_body_is_refused_in_words(body: bytes, status: int, code: str) -> None:
    async with served() as made:
        found_status, found, _ = await made.ask("POST", KEYS, body)
        assert (found_status, found["error"]["code"], set(found["error"])) == (status, code, {"message", "type", "code", "param"})
        untouched(made)


async def test_a_body_that_grows_without_a_length_is_cut_off() -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 10_000

    async with served() as made:
        assert (await made.ask("POST", KEYS, headers=BEARER, data=endless()))[0] == 413


async def test_a_compressed_body_is_refused() -> None:
    async with served() as made:
        status, found, _ = await made.ask("POST", KEYS, b"x", BEARER | {"Content-Encoding": "gzip"})
        assert (status, found["error"]["param"]) == (415, "Content-Encoding")


async def test_a_body_must_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_S", 0.1)
    async with served() as made:
        head = f"POST /api/admin/keys HTTP/1.1\r\nHost: a\r\nx-api-key: {ADMIN_KEY}\r\nContent-Length: 10\r\n\r\n{{".encode()
        assert (await raw(made.port, head)).startswith(b"HTTP/1.1 408 ")


async def test_a_head_must_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "HEAD_S", 0.3)
    async with served() as made:
        assert await raw(made.port, b"GET /api/admin/keys HTTP/1.1\r\nHost:") == b""
        assert await raw(made.port, b"") == b""


async def test_whoever_waits_to_be_asked_for_a_body_is() -> None:
    async with served() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(
            f"POST {KEYS} HTTP/1.1\r\nHost: a\r\nx-api-key: {ADMIN_KEY}\r\nExpect: 100-continue\r\nContent-Length: 14\r\n\r\n".encode()
        )
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b'{"name":"app"}')
            assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        writer.close()


@pytest.mark.parametrize("path", ["/api/admin/keys?x=1", "/api/admin/audit?limit=0", "/api/admin/audit?limit=1001",
    "/api/admin/audit?limit=1&limit=2",
    "/api/admin/audit?before=x", "/api/admin/usage?by=hour", "/api/admin/usage?since=1", "/api/admin/usage?sinse=2026-11-01",
    "/api/admin/ledger?format=xls", "/api/admin/ledger?since=2026-11-03&until=2026-11-01", "/api/admin/budgets?a",
    "/api/admin/usage?key=%ff"])  # fmt: skip
async def test_a_bad_query_is_a_400_that_names_the_parameter(path: str) -> None:
    async with served(row()) as made:
        status, found, _ = await made.get(path)
        assert (status, found["error"]["type"]) == (400, "invalid_request_error")
        assert (found["error"]["param"] or "key=%ff") in path


async def test_a_store_that_is_away_is_a_503_with_a_time_to_come_back() -> None:
    async with served() as made:
        made.directory.lost = True
        for method, path in (("GET", KEYS), ("POST", KEYS), ("PATCH", f"{KEYS}/app"), ("GET", "/api/admin/audit")):
            status, found, head = await made.ask(method, path, None if method == "GET" else {"name": "app"})
            assert (status, found["error"]["code"], head["retry-after"]) == (503, "store_unavailable", "1")
        status, found, _ = await made.get("/api/admin/health")
        assert (status, found["status"], found["store"]) == (200, "degraded", "unreachable")


# -- keys


async def test_the_life_of_a_key() -> None:
    async with served() as made:
        first = await made.make("check out", tenant="acme", requests="60/min", usd_per_month="99.5")
        assert first["secret"].startswith(f"eg-{first['id']}-")
        assert (first["state"], first["revision"], first["usd_per_month"]) == ("active", 1, "99.5")
        status, listed, _ = await made.get(KEYS)
        assert listed["data"] == [{name: value for name, value in first.items() if name != "secret"}]
        status, changed, _ = await made.ask("PATCH", f"{KEYS}/{first['id']}", {"requests": None, "revision": 1})
        assert (status, changed["requests"], changed["revision"], changed["tenant"]) == (200, None, 2, "acme")
        status, rotated, _ = await made.ask("POST", f"{KEYS}/check%20out/rotate", {"overlap": "1h"})
        assert (status, len(rotated["secrets"]), rotated["secret"] != first["secret"]) == (200, 2, True)
        status, revoked, _ = await made.ask("DELETE", f"{KEYS}/{first['id']}")
        assert (status, revoked["state"], revoked["secrets"]) == (200, "revoked", [])
        assert made.changes == [4]
        _, audit, _ = await made.get("/api/admin/audit")
        assert [(each["what"], each["who"], each["remote"]) for each in audit["data"]] == [
            (what, "ops", "127.0.0.1") for what in ("revoked", "rotated", "changed", "created")
        ]
        assert audit["data"][2]["details"] == {"requests": {"before": "60/min", "after": None}}
        _, page, _ = await made.get(f"/api/admin/audit?limit=1&before={audit['data'][0]['id']}")
        assert page["data"] == audit["data"][1:2]


async def test_of_two_changes_upon_the_same_revision_one_is_a_conflict() -> None:
    async with served() as made:
        await made.make("app")
        both = await asyncio.gather(*(made.ask("PATCH", f"{KEYS}/app", {"tenant": t, "revision": 1}) for t in ("a", "b")))
        assert sorted(status for status, *_ in both) == [200, 409]
        refused = next(found for status, found, _ in both if status == 409)
        assert (refused["error"]["code"], refused["error"]["type"]) == ("revision_conflict", "conflict_error")
        status, found, _ = await made.ask("DELETE", f"{KEYS}/app", {"revision": 1})
        assert (status, found["error"]["param"]) == (409, "revision")
        assert (await made.ask("DELETE", f"{KEYS}/app", {"force": True}))[0] == 400
        assert (await made.ask("DELETE", f"{KEYS}/app", {"revision": 2}))[0] == 200


async def test_a_name_that_is_taken_is_a_409_and_an_unknown_key_a_404() -> None:
    async with served() as made:
        await made.make("app")
        assert (await made.ask("POST", KEYS, {"name": "app"}))[0] == 409
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
            status, found, _ = await made.ask(method, f"{KEYS}/nobody{path}", {} if method == "PATCH" else None)
            assert (status, found["error"]["code"]) == (404, "key_not_found")


async def test_fields_outside_the_list_are_refused_and_change_nothing() -> None:
    async with served() as made:
        await made.make("app")
        for field in ("secrets", "hash", "id", "created", "revoked", "role", "file", "url", "callback", "__proto__"):
            for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/app"), ("POST", f"{KEYS}/app/rotate")):
                status, found, _ = await made.ask(method, path, {"name": "app2", field: "x"} if path == KEYS else {field: "x"})
                assert (status, found["error"]["param"]) == (400, field)
        assert len(made.directory.audit) == 1


async def test_keys_of_the_configuration_are_shown_and_cannot_be_changed() -> None:
    async with served(static=[Key("static", tenant="acme", models=("gpt-*",))]) as made:
        _, listed, _ = await made.get(KEYS)
        assert [(key["name"], key["source"], key["id"], key["models"]) for key in listed["data"]] == [
            ("static", "configuration", None, ["gpt-*"])
        ]
        assert (await made.get(f"{KEYS}/static"))[1] == listed["data"][0]
        for method, path, body in (("PATCH", "", {"user": "x"}), ("DELETE", "", None), ("POST", "/rotate", None)):
            status, found, _ = await made.ask(method, f"{KEYS}/static{path}", body)
            assert (status, found["error"]["code"]) == (409, "configured_key")


async def test_budgets_are_told_as_they_stand() -> None:
    standing = [{"rule": "budget of tenant", "subject": "acme", "used": 5, "limit": 10}]
    async with served(standing=standing) as made:
        assert (await made.get("/api/admin/budgets", VIEWER))[1] == {"object": "list", "data": standing}


async def test_secrets_and_hashes_leave_once_and_never_again() -> None:
    async with served(row()) as made:
        first = await made.make("app")
        _, rotated, _ = await made.ask("POST", f"{KEYS}/app/rotate")
        hidden = [ADMIN_KEY, VIEWER_KEY, digest(ADMIN_KEY).hex()]
        for secret in (first["secret"], rotated["secret"]):
            hidden += [secret, secret.split("-", 2)[2], digest(secret).hex(), digest(secret).hex().upper()]
        texts = [
            repr(made.admin),
            repr(made.directory.audit),
            repr(made.admin._roles),
            json.dumps([c.details for c in made.directory.audit]),
        ]
        for path in made.admin.paths:
            for method, body in (("GET", None), ("PATCH", {"user": "x"}), ("PATCH", {"hash": rotated["secret"]}), ("DELETE", None)):
                _, found, head = await made.ask(method, path.replace("{key}", "app"), body)
                texts.append(f"{found!r} {dict(head)!r}")
        _, found, _ = await made.ask("POST", KEYS, {"name": rotated["secret"] + "/"})
        texts.append(repr(found))
        assert not [text for text in texts for each in hidden if each in text]


# -- the listener


async def test_it_serves_on_a_unix_socket(tmp_path: Path) -> None:
    directory = MemoryDirectory()
    admin = Admin(
        AdminOptions(keys=(AdminKeyOptions(key=Secret(ADMIN_KEY)),)), directory, MemoryRecords(), standing=list, static_keys=(),
        changed=lambda: None, unix_clock=lambda: NOW, token=Tokens(),
    )  # fmt: skip
    await admin.open(open_sockets(Address(path=str(tmp_path / "a.sock")), shared=False))
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "a.sock"))
    writer.write(f"POST {KEYS} HTTP/1.0\r\nHost: a\r\nx-api-key: {ADMIN_KEY}\r\nContent-Length: 14\r\n\r\n".encode() + b'{"name":"app"}')
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.0 201 ")
    writer.close()
    await admin.close()
    assert [(change.who, change.remote) for change in directory.audit] == [("admin-1", "unix")]


async def test_when_it_is_closed_nobody_is_served_any_more() -> None:
    async with served() as made:
        assert (await made.get(KEYS))[0] == 200
        async with asyncio.timeout(5):
            await made.admin.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", made.port)
