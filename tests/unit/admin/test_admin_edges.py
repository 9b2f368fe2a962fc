"""The admin API and `/v1/usage` where somebody asks for what they should not, or for what no calendar has."""

from __future__ import annotations

from typing import Any

import pytest

from edgegate.access.configured import configured_key
from edgegate.access.jwt import caller_of
from edgegate.admin.usage import own_usage
from edgegate.config.model import KeyOptions
from edgegate.config.stages import JwtOptions
from edgegate.exchange import Exchange
from tests.unit.admin.parts import NOW, VIEWER, MemoryRecords, row, served
from tests.unit.core.parts import exchange

FAR = "9999-12-31T23:59:59-14:00"
"""A moment that is in the year 10000 in UTC."""


@pytest.mark.parametrize("path", ["usage", "ledger"])
@pytest.mark.parametrize(
    "query",
    [
        f"until={FAR}",
        f"since={FAR}",
        "until=9999-12-31T10:00:00-14:00",
        "since=0001-01-01",
        "since=0000-01-01",
        "since=3650d",
        "since=36500000d",
        "until=1e9d",
        "since=2026-02-30",
        "until=99999-01-01",
        "since=%F0%9F%98%80",
        "since=%FF",
        "until=9999-12-31",
        "key=%ED%A0%80",
        "by=key,key",
        "key=a&key=b",
        "format=exe",
        "since",
        "&&&",
    ],
)
async def test_no_question_is_a_fault(path: str, query: str) -> None:
    async with served(row(1)) as made:
        status, _, _ = await made.get(f"/api/admin/{path}?{query}", VIEWER)
        assert status in (200, 400)


@pytest.mark.parametrize("expires", ["9999-12-31", FAR, "0001-01-01T00:00:00+14:00"])
async def test_a_configured_key_that_never_ends_is_shown(expires: str) -> None:
    try:
        key = configured_key(KeyOptions(name="app", expires=expires), 1)
    except ValueError:
        return
    async with served(static=[key]) as made:
        status, found, _ = await made.get("/api/admin/keys", VIEWER)
        assert status == 200
        assert found["data"][0]["name"] == "app"


@pytest.mark.parametrize(
    "fields",
    [
        {"expires": FAR},
        {"expires": "9999-12-31"},
        {"expires": "1e400"},
        {"usd_per_day": 1e300},
        {"usd_per_day": -0.01},
        {"usd_per_day": "1e3"},
        {"usd_per_day": 1e-10},
        {"concurrency": 1.5},
        {"concurrency": -1},
        {"tokens_per_day": 1e18},
        {"tokens_per_day": "9" * 5000},
        {"requests": "0/min"},
        {"requests": "99999999999999999/min"},
        {"networks": ["::/0/0"]},
        {"networks": [1]},
        {"name": "a\0b"},
        {"name": "a\u202eb"},
        {"tags": ["a,b"]},
        {"strict": 1},
        {"priority": ["high"]},
        {"secrets": []},
        {"revision": True},
        {"id": "x"},
    ],
)
async def test_no_field_of_a_key_is_a_fault(fields: dict[str, Any]) -> None:
    async with served() as made:
        status, found, _ = await made.ask("POST", "/api/admin/keys", {"name": "app", **fields})
        assert status == 400, found
        assert made.directory.stored == {}


@pytest.mark.parametrize("overlap", [-1, "-1s", 1e300, "1e3", "nan", True, [], 10**30, "3651d", None])
async def test_no_overlap_is_a_fault(overlap: Any) -> None:
    async with served() as made:
        await made.make()
        status, _, _ = await made.ask("POST", "/api/admin/keys/app/rotate", {"overlap": overlap})
        assert status == (200 if overlap is None else 400)


@pytest.mark.parametrize(
    "path", ["/api/admin/keys", "/api/admin/keys/app/rotate", "/api/admin/nothing", "/", "/metrics", "//api/admin/keys"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT"])
async def test_nothing_is_said_to_whoever_has_no_key(method: str, path: str) -> None:
    async with served() as made:
        for headers in ({}, {"Cookie": "key=admin-key-admin-key-1"}, {"Authorization": "Basic YWRtaW4="}, {"x-api-key": " "}):
            status, _, answered = await made.ask(method, path, headers=headers | {"Origin": "https://evil.example", "Host": "localhost"})
            assert status == 401
            assert not any(name.lower().startswith("access-control-") for name in answered)
        assert made.directory.audit == []


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT", "HEAD"])
async def test_a_viewer_changes_nothing_however_it_asks(method: str) -> None:
    async with served() as made:
        await made.make()
        for path in ("/api/admin/keys", "/api/admin/keys/app", "/api/admin/keys/app/rotate"):
            status, _, _ = await made.ask(method, path, {}, VIEWER | {"X-HTTP-Method-Override": "GET"})
            assert status == 403
        assert len(made.directory.audit) == 1


# -- a caller's own usage


async def own(ex: Exchange, *rows: Any) -> Any:
    return (await own_usage(ex, MemoryRecords(list(rows)), NOW))["tokens_used"]


async def test_a_user_of_a_trusted_network_does_not_see_users_of_that_name_of_any_key() -> None:
    rows = [row(1, key="", tenant="", user="ann"), row(2, key="app", tenant="acme", user="ann"), row(3, key="other", tenant="", user="ann")]
    ex = exchange(headers={"X-User-ID": "ann"})
    ex.user = "ann"
    assert await own(ex, *rows) == 15


def test_callers_by_token_of_two_tenants_are_two() -> None:
    """Limits per key, /v1/usage and, where a token names models, the cache and idempotency go by this name."""
    options = JwtOptions(user_claim="preferred_username", tenant_claim="org")
    one, two = (caller_of({"preferred_username": "ann", "org": org}, options) for org in ("acme", "other"))
    assert one.name != two.name
