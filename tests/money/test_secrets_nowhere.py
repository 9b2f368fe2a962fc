"""Keys, admin keys, provider keys, the passwords of the stores and what callers wrote stand nowhere: not in logs, metrics, answers,
stores or what the command line shows. Hashes of keys stand in the store of keys only.

Two gateways, one with a file, one with PostgreSQL and Valkey, go through good calls, refusals, mistakes, changes of keys and the
loss of their stores; then every byte that can be read of them is searched.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
from redis.asyncio import Redis

from tests.money.bill import Provider
from tests.money.fleet import Fleet, Replica, configuration, eventually, soon
from tests.money.load import Answer, Caller, Crowd

if TYPE_CHECKING:
    from tests.servers.postgres import PostgresServer
    from tests.servers.valkey import ValkeyServer

AWAY_S = 0.7


class Needles:
    """Secrets by what they are, and how they might be written."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}

    def make(self, what: str, prefix: str = "") -> str:
        return self.add(what, prefix + secrets.token_urlsafe(24))

    def add(self, what: str, secret: str) -> str:
        self._secrets[what] = secret
        return secret

    def found_in(self, place: str, data: bytes, *, store: bool = False) -> list[str]:
        """What stands in these bytes. store: where hashes of keys belong."""
        found = []
        for what, secret in self._secrets.items():
            raw = secret.encode()
            forms = {"itself": raw, "in base64": base64.b64encode(raw), "by its end": raw[-16:], "in hex": raw.hex().encode()}
            digest = hashlib.sha256(raw)
            if not store:
                forms |= {"as a hash": digest.hexdigest().encode(), "as a hash in base64": base64.b64encode(digest.digest())}
            found += [f"{what} {how} in {place}" for how, form in forms.items() if form in data]
        return found


class Scene:
    """One gateway and all that could be read of it: `places` by name, `stores` where hashes belong."""

    def __init__(self, replica: Replica, needles: Needles, callers: Mapping[str, str], admin_key: str) -> None:
        self.replica = replica
        self.needles = needles
        self.callers = callers
        self.admin_key = admin_key
        self.places: dict[str, bytes] = {}
        self.stores: dict[str, bytes] = {}
        self._answers = 0

    def keep(self, what: str, answer: Answer | httpx.Response) -> None:
        self._answers += 1
        content = answer.body if isinstance(answer, Answer) else answer.content
        head = json.dumps(dict(answer.headers)).encode()
        status = answer.status if isinstance(answer, Answer) else answer.status_code
        self.places[f"answer {self._answers}, {status} to {what}"] = head + content

    def admin(self, path: str, body: dict[str, Any] | None = None, method: str = "", *, keep: bool = True, key: str = "") -> httpx.Response:
        response = self.replica.admin(path, body, method=method, key=key or self.admin_key)
        if keep:
            self.keep(f"{method} {path}", response)
        return response

    def reveal(self, what: str, response: httpx.Response) -> str:
        """An answer that tells a secret for once."""
        assert response.status_code in (200, 201), response.text
        return self.needles.add(what, response.json()["secret"])

    async def play(self, prompt: str) -> None:
        """Everything that could make it talk."""
        secret = self.callers["app"]
        async with Crowd(self.replica.url) as crowd:

            async def call(what: str, words: str = "answer=3", **more: Any) -> Answer:
                answer = await crowd.call(Caller("app"), f"{words} {prompt}", **({"secret": secret} | more))
                self.keep(what, answer)
                return answer

            assert (await call("a good call")).ok
            assert (await call("a stream", stream=True)).whole
            assert (await call("a failure", "status=500")).status == 500
            assert (await call("a cut", "cut=1", stream=True)).status == 200
            assert (await call("a stranger", secret=self.callers["stranger"])).status == 401
            assert (await call("somebody with an admin key", secret=self.admin_key)).status == 401
            assert (await call("a model of others", model="odd", secret=self.callers["poor"])).status in (403, 404)
            assert (await call("a bad body", messages=prompt)).status == 400
            assert (await call("a bad ceiling", max_cost_usd=prompt)).status == 400
            assert (await call("more than the budget", secret=self.callers["poor"], max_tokens=100_000)).status == 429
            limited = [await call("too many", secret=self.callers["limited"]) for _ in range(3)]
            assert limited[-1].status == 429
            await call("a key in the body", secret="none", **{"x-budget-key": secret})
            await call("Anthropic's stranger", anthropic=True, secret=self.callers["stranger"])
            marker = await crowd.leave(Caller("app"), f"wait=3 {prompt}", 0.2, secret=secret)
            assert marker
        for path in (f"/v1/models?key={secret}", f"/nothing?api_key={secret}", "/v1/usage", "/health", "/ready", "/startup"):
            self.keep(path.partition("?")[0], self.replica.get(path, secret))

    async def change_keys(self) -> None:
        first = self.reveal("a stored key", self.admin("keys", {"name": "made", "tenant": "acme"}, keep=False))
        self.admin("keys", {"name": "made", "tenant": "acme"})  # taken
        self.admin("keys", {"name": "wrong", "key": first, "expires": first, first: 1})
        second = self.reveal("a rotated key", self.admin("keys/made/rotate", {"overlap": "1h"}, keep=False))
        async with Crowd(self.replica.url) as crowd:
            for secret in (first, second):

                async def opens(secret: str = secret) -> bool:
                    return (await crowd.call(Caller("app"), "answer=1", secret=secret)).ok

                await soon(opens, "a new key to open", 2)
        told = self.replica.command("keys", "create", "--name", "typed").split()
        self.needles.add("a key of the command line", next(word.strip('",') for word in told if word.strip('",').startswith("eg-")))
        self.admin("keys", {"name": "gone"}, keep=False)
        self.admin("keys/gone", method="DELETE")
        for path in ("keys", "keys/made", "keys/app", "keys/" + first, "audit", "usage?by=key", "ledger?format=jsonl", "ledger?format=csv"):
            self.admin(path)
        for path in ("budgets", "health", "nothing"):
            self.admin(path)
        self.admin("keys", key=first)
        self.admin("keys", key=self.callers["stranger"])

    def look_around(self) -> None:
        replica, secret = self.replica, self.callers["app"]
        for path in ("/metrics", "/api/circuit-breakers", "/api/events?limit=100"):
            response = httpx.get(
                replica.url + path,
                headers={"authorization": f"Bearer {secret}", "accept": "application/json"} if path != "/metrics" else {},
                timeout=10,
                trust_env=False,
            )
            assert response.status_code == 200, (path, response.text[:200])
            self.keep(path, response)
        for words in (("config", "show"), ("keys", "list"), ("keys", "show", "made"), ("audit",)):
            self.places["edgegate " + " ".join(words)] = replica.command(*words).encode()
        self.places["the ledger, exported"] = replica.command("ledger", "export", "-", "--format", "jsonl").encode()

    def findings(self) -> list[str]:
        self.places["the logs"] = self.replica.all_output()
        found = [each for place, data in self.places.items() for each in self.needles.found_in(place, data)]
        return found + [each for place, data in self.stores.items() for each in self.needles.found_in(place, data, store=True)]


def scene(provider: Provider, fleet: Fleet, store: dict[str, Any], needles: Needles, workers: int) -> Scene:
    callers = {name: needles.make(f"the key of {name}", f"eg-{name}-") for name in ("app", "poor", "limited", "stranger")}
    admin_key = needles.make("the admin key", "eg-ops-")
    upstream = needles.make("the provider's key", "sk-x-")
    config = configuration(
        {"maker": provider.entry(key=upstream) | {"headers": {"x-extra": needles.make("a header for the provider")}}},
        [
            {"name": "app", "key": callers["app"], "tenant": "acme"},
            {"name": "poor", "key": callers["poor"], "models": ["plain"], "usd_per_day": 0.001},
            {"name": "limited", "key": callers["limited"], "requests": "2/min"},
        ],
        chain=[{"auth": {"query": True}}, *configuration({}, [])["chain"][1:]],
        store=store,
        admin={"keys": [{"name": "ops", "key": admin_key}]},
        alerts={"webhook": "http://127.0.0.1:9/alerts", "headers": {"authorization": needles.make("the key of the webhook")}},
        log={"level": "debug"},
    )
    (replica,) = fleet.start(config, workers=workers)
    return Scene(replica, needles, callers, admin_key)


async def test_secrets_stand_nowhere_beside_a_file(provider: Provider, fleet: Fleet) -> None:
    needles = Needles()
    found = scene(provider, fleet, {}, needles, workers=2)
    prompt = needles.make("what a caller wrote")
    await found.play(prompt)
    await found.change_keys()
    await asyncio.to_thread(found.look_around)
    file = found.replica.file_of_store
    in_use = {f"{name} in use": data for name, data in files(file).items()}
    assert any(len(data) > 10_000 for data in in_use.values())
    assert found.replica.stop() == 0
    found.stores = in_use | files(file)
    check(found)
    assert hashlib.sha256(found.callers["app"].encode()).digest() not in b"".join(found.stores.values()), "a key of the configuration"


async def test_secrets_stand_nowhere_in_databases_and_what_is_said_about_them(
    provider: Provider, fleet: Fleet, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    needles = Needles()
    namespace = f"hidden_{secrets.token_hex(6)}"
    needles.add("the password of PostgreSQL", postgres.password)
    needles.add("the password of Redis", valkey.password)
    store = {"postgres": postgres.url, "redis": valkey.url, "namespace": namespace}
    found = scene(provider, fleet, store, needles, workers=1)
    prompt = needles.make("what a caller wrote")
    await found.play(prompt)
    await found.change_keys()
    for server in (valkey, postgres):  # what it says about a store that is away
        await server.stop()
        await asyncio.sleep(AWAY_S)
        async with Crowd(found.replica.url) as crowd:
            found.keep("a call without a store", await crowd.call(Caller("app"), prompt, secret=found.callers["app"]))
        found.keep("readiness without a store", found.replica.get("/ready"))
        if server is postgres:
            for path in ("keys", "usage", "health", "audit"):
                found.admin(path)
            found.places["edgegate keys list, without a store"] = await asyncio.to_thread(found.replica.attempt, "keys", "list")
        await server.start()
    await eventually(lambda: found.admin("usage", keep=False).status_code == 200, "the store to be used again", 10)
    await asyncio.to_thread(found.look_around)
    found.stores = {"PostgreSQL": await everything_in_postgres(postgres.url, namespace), "Redis": await everything_in_redis(valkey.url)}
    assert b"made" in found.stores["PostgreSQL"]
    assert namespace.encode() in found.stores["Redis"]
    assert found.replica.stop() == 0
    check(found)


def check(found: Scene) -> None:
    findings = found.findings()
    assert not findings, "\n".join(findings)
    configured = found.replica.file.read_bytes()
    assert found.needles.found_in("the configuration", configured), "the search finds nothing where there is something"
    assert len(found.places["the logs"].splitlines()) > 20, "there were no logs to search"


def files(store: Path) -> dict[str, bytes]:
    """What a store has on disk, with all that lies beside it."""
    return {path.name: path.read_bytes() for path in store.parent.rglob("*") if path.is_file() and store.name in str(path)}


async def everything_in_postgres(url: str, schema: str) -> bytes:
    """Every row of every table as text, large and small."""
    connection = await asyncpg.connect(url, timeout=5, server_settings={"search_path": schema})
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
        assert tables
        rows = io.BytesIO()
        for table in tables:
            await connection.copy_from_table(table[0], schema_name=schema, output=rows, timeout=10)
        return rows.getvalue()
    finally:
        await connection.close(timeout=5)


async def everything_in_redis(url: str) -> bytes:
    """Every key and value of the server."""
    pieces: list[bytes] = []
    readers = {b"string": "GET", b"hash": "HGETALL", b"set": "SMEMBERS"}
    ranged = {b"zset": ("ZRANGE", "WITHSCORES"), b"list": ("LRANGE",), b"stream": ("XRANGE",)}
    client: Any = Redis.from_url(url, socket_timeout=5)
    async with client as redis:
        async for key in redis.scan_iter(count=1000):
            kind = await redis.type(key)
            if kind in readers:
                value = await redis.execute_command(readers[kind], key)
            else:
                command, *more = ranged[kind]
                bounds = ("-", "+") if kind == b"stream" else (0, -1)
                value = await redis.execute_command(command, key, *bounds, *more)
            pieces += [key, repr(value).encode()]
    return b"\n".join(pieces)


def test_a_needle_is_found_in_every_form(tmp_path: Path) -> None:
    needles = Needles()
    secret = needles.make("it", "eg-name-")
    for form in (secret, hashlib.sha256(secret.encode()).hexdigest(), base64.b64encode(secret.encode()).decode()):
        (tmp_path / "place").write_text(f"before {form} after")
        assert needles.found_in("a place", (tmp_path / "place").read_bytes())
    assert not needles.found_in("a store", hashlib.sha256(secret.encode()).hexdigest().encode(), store=True)
