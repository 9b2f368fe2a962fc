"""The commands that work on the store: keys, usage, ledger, audit; with a real SQLite file."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgegate.access.keys import digest
from edgegate.cli import main
from edgegate.config.load import load, read
from edgegate.config.model import StoreOptions
from edgegate.config.option import Secret
from edgegate.stores.directory import StoredKey
from edgegate.stores.opening import stores_of
from tests.unit.admin.parts import row
from tests.unit.stores.records_contract import batch

NOW_MS = int(time.time()) * 1000 - 1000


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("store: {file: edgegate.db}\nkeys: [{name: static, key: a-key-of-the-configuration}]\n")


class Said:
    """What a command printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def edgegate(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Said]:
    def run(*words: str, code: int = 0) -> Said:
        found = main(words, {})
        out, err = capfdbinary.readouterr()
        said = Said(found, out.decode(errors="surrogateescape"), err.decode())
        assert found == code, said.err
        return said

    return run


def stored() -> list[StoredKey]:
    async def keys() -> list[StoredKey]:
        directory = stores_of(StoreOptions(), "edgegate.db", keep=True).directory
        await directory.open()
        try:
            return await directory.keys()
        finally:
            await directory.close()

    return asyncio.run(keys())


def ledger(*rows: Any) -> None:
    async def write() -> None:
        records = stores_of(StoreOptions(), "edgegate.db", keep=True).records
        await records.open("h1")
        await records.write(batch(rows))
        await records.close()

    asyncio.run(write())


def test_a_key_is_made_with_every_flag_and_its_secret_alone_is_on_standard_output(edgegate: Callable[..., Said]) -> None:
    words = {
        "--name": "app", "--tenant": "acme", "--user": "alice", "--models": "gpt-4o, claude-*", "--providers": "openai",
        "--endpoints": "chat", "--networks": "10.0.0.0/8", "--tags": "a,b", "--expires": "90d",
        "--requests": "60/min", "--tokens": "200k/min",
        "--concurrency": "4", "--usd-per-day": "0.1", "--usd-per-month": "99.000000001", "--tokens-per-day": "5M",
        "--tokens-per-month": "7", "--priority": "high",
    }  # fmt: skip
    said = edgegate("keys", "create", "--strict", *(word for pair in words.items() for word in pair))
    secret = said.out.removesuffix("\n")
    assert secret.startswith("eg-")
    assert secret not in said.err
    (key,) = stored()
    assert [each.digest for each in key.secrets] == [digest(secret)]
    assert (key.name, key.models, key.tags, key.strict) == ("app", ("gpt-4o", "claude-*"), ("a", "b"), True)
    assert (key.allowance.nano_usd_per_day, key.allowance.nano_usd_per_month) == (100_000_000, 99_000_000_001)
    assert (key.allowance.tokens_per_day, key.allowance.concurrency) == (5_000_000, 4)


def test_keys_are_listed_shown_changed_rotated_and_revoked(edgegate: Callable[..., Said]) -> None:
    first = edgegate("keys", "create", "--name", "app", "--tenant", "acme", "--requests", "60/min", "--json").json
    assert first["secret"].startswith(f"eg-{first['id']}-")
    assert edgegate("keys", "list", "--json").json == [{name: value for name, value in first.items() if name != "secret"}]
    table = edgegate("keys", "list").out.splitlines()
    assert table[0].split()[:4] == ["name", "id", "state", "tenant"]
    assert table[1].split()[:4] == ["app", first["id"], "active", "acme"]
    assert "requests: 60/min" in edgegate("keys", "show", first["id"]).out.splitlines()
    changed = edgegate("keys", "change", "app", "--requests", "", "--user", "bob", "--json").json
    assert (changed["requests"], changed["user"], changed["tenant"]) == (None, "bob", "acme")
    second = edgegate("keys", "rotate", "app", "--overlap", "1h").out.strip()
    assert [each.expires is None for each in stored()[0].secrets] == [False, True]
    edgegate("keys", "rotate", "app", "--overlap", "0")
    assert digest(second) not in [each.digest for each in stored()[0].secrets]
    assert "revoked" in edgegate("keys", "revoke", "app").out
    assert edgegate("keys", "show", "app", "--json").json["state"] == "revoked"


def test_what_was_done_is_in_the_audit_record_without_secrets(edgegate: Callable[..., Said]) -> None:
    secrets = [edgegate("keys", "create", "--name", "app").out.strip(), edgegate("keys", "rotate", "app").out.strip()]
    edgegate("keys", "revoke", "app")
    said = edgegate("audit", "--json")
    assert [each["what"] for each in said.json] == ["revoked", "rotated", "created"]
    assert all(each["who"].startswith("cli:") and "@" in each["who"] for each in said.json)
    everything = said.out + edgegate("audit").out + edgegate("keys", "list", "--json").out
    for secret in secrets:
        assert secret not in everything
        assert secret.split("-", 2)[2] not in everything
        assert digest(secret).hex() not in everything
    assert len(edgegate("audit", "--limit", "1", "--json").json) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["keys", "create", "--name", "a/b"], 2, "name: expected"),
        (["keys", "create", "--name", "app", "--requests", "often"], 2, "requests: expected a rate such as 60/min"),
        (["keys", "create", "--name", "app", "--usd-per-day", "-1"], 2, "usd_per_day: expected US dollars"),
        (["keys", "create", "--name", "static"], 1, "Another key has this name"),
        (["keys", "show", "nobody"], 1, "There is no key of this id or name"),
        (["keys", "revoke", "static"], 1, "stands in the configuration"),
        (["usage", "--by", "hour"], 2, "by: expected some of"),
        (["ledger", "export", "x.csv", "--since", "tomorrow"], 2, "since: expected"),
        (["ledger", "export", "no/such/directory.csv"], 1, "cannot be written"),
        (["audit", "--limit", "x"], 2, "limit: expected"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(edgegate: Callable[..., Said], words: list[str], code: int, said: str) -> None:
    found = edgegate(*words, code=code)
    assert (found.out, said in found.err, "Traceback" in found.err) == ("", True, False)
    assert stored() == []


@pytest.mark.parametrize("words", [["keys", "list"], ["usage"], ["ledger", "export", "-"], ["audit"], ["keys", "create", "--name", "a"]])
def test_without_a_store_it_says_so(edgegate: Callable[..., Said], words: list[str]) -> None:
    Path("config.yaml").write_text("log: {level: info}\n")
    said = edgegate(*words, code=1)
    assert "there is no store: set `store.file`" in said.err
    assert said.out == ""


def test_a_store_that_cannot_be_used_is_said_in_a_sentence(edgegate: Callable[..., Said]) -> None:
    Path("edgegate.db").write_bytes(b"this is no database, but something else of some length" * 100)
    said = edgegate("keys", "list", code=1)
    assert "edgegate.db" in said.err
    assert "Traceback" not in said.err


def test_usage_is_a_table_or_json(edgegate: Callable[..., Said]) -> None:
    ledger(row(1, key="a", at_ms=NOW_MS), row(2, key="b", at_ms=NOW_MS, cost_nano_usd=None), row(3, key="a", at_ms=NOW_MS))
    found = edgegate("usage", "--since", "1d", "--by", "key", "--json").json
    assert {each["key"]: (each["requests"], each["cost_usd"], each["unpriced"]) for each in found["data"]} == {
        "a": (2, "0.003000002", 0),
        "b": (1, "0.000000000", 1),
    }
    lines = [line.split() for line in edgegate("usage", "--since", "1d", "--by", "key,model").out.splitlines()]
    assert lines[0][:3] == ["key", "model", "requests"]
    assert lines[-1][0] == "total"
    assert "0.003000002" in lines[-1]
    assert edgegate("usage", "--since", "1d", "--key", "b", "--json").json["total"]["requests"] == 1


def test_what_callers_chose_does_not_steer_the_terminal(edgegate: Callable[..., Said]) -> None:
    ledger(row(1, user="\x1b[2Jx\u202e\n", at_ms=NOW_MS))
    out = edgegate("usage", "--since", "1d", "--by", "user").out
    assert "\\x1b[2Jx\\u202e\\n" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("file", "flags"), [("out.csv", ()), ("out", ("--format", "csv")), ("-", ("--format", "csv"))])
def test_the_ledger_is_exported_as_csv(edgegate: Callable[..., Said], file: str, flags: tuple[str, ...]) -> None:
    ledger(row(1, user="=1+1", at_ms=NOW_MS), row(2, at_ms=NOW_MS + 1))
    said = edgegate("ledger", "export", file, *flags)
    text = said.out if file == "-" else Path(file).read_text()
    assert [line["user"] for line in csv.DictReader(io.StringIO(text))] == ["'=1+1", "alice"]
    assert not list(Path().glob("*.part"))


def test_the_ledger_is_exported_as_json_lines_and_parquet(edgegate: Callable[..., Said]) -> None:
    import pyarrow.parquet

    ledger(row(1, at_ms=NOW_MS), row(2, at_ms=NOW_MS, key="b"))
    assert [json.loads(line)["seq"] for line in edgegate("ledger", "export", "-").out.splitlines()] == [1, 2]
    edgegate("ledger", "export", "out.parquet", "--key", "b")
    assert pyarrow.parquet.read_table("out.parquet")["seq"].to_pylist() == [2]


def test_help_names_every_command(edgegate: Callable[..., Said]) -> None:
    for words in (["keys"], ["ledger"], ["keys", "create"], ["usage"], ["audit"]):
        assert edgegate(*words, "--help").out.startswith("usage: edgegate ")
    edgegate("keys", code=2)
    edgegate("keys", "create", code=2)


# -- the configuration of the admin API


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"EDGEGATE_ADMIN_KEY": "one-key-one-key"}, "one-key-one-key"),
        ({"ADMIN_API_KEY": "two-key-two-key"}, "two-key-two-key"),
        ({"ADMIN_API_KEY": "two-key-two-key", "EDGEGATE_ADMIN_KEY": "one-$key"}, "one-$key"),
    ],
)
def test_a_variable_adds_an_admin_key(variables: dict[str, str], key: str) -> None:
    Path("config.yaml").write_text("admin: {keys: [{name: ops, key: from-the-file-x}]}\n")
    found = load(None, variables).admin.keys
    assert [(each.name, each.key, each.role) for each in found] == [
        ("ops", Secret("from-the-file-x"), "admin"),
        ("env", Secret(key), "admin"),
    ]
    Path("config.yaml").write_text("")
    assert [each.name for each in load(None, variables).admin.keys] == ["env"]
    assert load(None, {}).admin.keys == ()


KNOWN = f"sha256:{digest('gw-admin-change-me').hex()}"


@pytest.mark.parametrize(
    ("admin", "path", "text"),
    [
        ("{listen: nowhere}", "admin.listen", "expected an address"),
        ("{listen: '127.0.0.1:8080', keys: [{key: long-enough-x}]}", "admin.listen", "an address of its own"),
        ("{listen: ':8080', keys: [{key: long-enough-x}]}", "admin.listen", "an address of its own"),
        ("{listen: 'localhost:8080', keys: [{key: long-enough-x}]}", "admin.listen", "an address of its own"),
        ("{keys: [{name: ops}]}", "admin.keys[0]", "got neither"),
        (f"{{keys: [{{key: a, hash: '{KNOWN}'}}]}}", "admin.keys[0]", "got both"),
        ("{keys: [{hash: 'sha256:x'}]}", "admin.keys[0].hash", "64 lower-case hex digits"),
        ("{keys: [{key: a-key-of-an-app}]}", "admin.keys[0]", "also the key of an app"),
        ("{keys: [{key: same-same}, {key: same-same}]}", "admin.keys[1]", "the same key"),
        ("{keys: [{name: a, key: x-1}, {name: a, key: x-2}]}", "admin.keys[1].name", "has this name"),
        ("{listen: '0.0.0.0:9464', keys: [{key: gw-admin-change-me}]}", "admin.keys[0]", "publicly known default"),
        ("{listen: '10.0.0.1:9464', keys: [{key: Admin}]}", "admin.keys[0]", "publicly known default"),
        (f"{{listen: ':9464', keys: [{{hash: '{KNOWN}'}}]}}", "admin.keys[0]", "publicly known default"),
    ],
)
def test_an_admin_api_that_would_not_be_safe_is_refused(admin: str, path: str, text: str) -> None:
    Path("config.yaml").write_text(f"keys: [{{name: app, key: a-key-of-an-app}}]\nadmin: {admin}\n")
    (problem,) = read(None, {}).problems
    assert problem.path == path
    assert text in problem.text
    assert "a-key-of-an-app" not in str(problem)


@pytest.mark.parametrize(
    "admin",
    ["{listen: '127.0.0.1:8080'}", "{keys: [{key: gw-admin-change-me}]}", "{listen: ':9464', keys: [{key: long-enough-x}]}",
     "{listen: 'unix:/run/a.sock', keys: [{key: secret}]}", "{listen: '127.0.0.2:8080', keys: [{key: long-enough-x}]}"],
)  # fmt: skip
def test_an_admin_api_on_this_machine_may_have_any_key(admin: str) -> None:
    Path("config.yaml").write_text(f"admin: {admin}\n")
    assert read(None, {}).problems == ()
