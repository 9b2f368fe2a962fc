"""What was used, added up: exactly, by what is asked for, and for callers over nothing but their own rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegate.access.keys import Key
from edgegate.admin.usage import own_usage
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange
from edgegate.server.api import Api
from tests.unit.admin.parts import NOW, VIEWER, MemoryRecords, row, served
from tests.unit.core.parts import exchange, live, providers

USAGE = "/api/admin/usage"
OCTOBER = int(NOW - 30 * 86_400) * 1000
ROWS = [
    row(1, key="a", user="alice", cost_nano_usd=1),
    row(2, key="a", user="bob", cost_nano_usd=100_000_000, attempt=2, model="gpt-5"),
    row(3, key="b", user="alice", cost_nano_usd=None, usage="estimated", at_ms=int(NOW - 86_400) * 1000),
    row(4, key="a", user="alice", cost_nano_usd=7, at_ms=OCTOBER),
]


# -- for operators


async def test_the_month_is_added_up_exactly() -> None:
    async with served(*ROWS) as made:
        status, found, _ = await made.get(USAGE, VIEWER)
        assert (status, found["since"], found["until"], found["by"], found["data"]) == (200, "2026-11-01", "2026-11-22", [], [])
        assert found["total"] == {
            "requests": 2, "attempts": 3, "input_tokens": 30, "output_tokens": 15, "tokens": 45, "cached_tokens": 6, "reasoning_tokens": 3,
            "cost_usd": "0.100000001", "unpriced": 1, "estimated": 1,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        ("by=key", {("a",): "0.100000001", ("b",): "0.000000000"}),
        ("by=day", {("2026-11-20",): "0.000000000", ("2026-11-21",): "0.100000001"}),
        ("by=user,model", {("alice", "gpt-4o"): "0.000000001", ("bob", "gpt-5"): "0.100000000"}),
        ("by=key&since=2026-10-01", {("a",): "0.100000008", ("b",): "0.000000000"}),
        ("by=key&since=2026-10-01&until=2026-11-01", {("a",): "0.000000007"}),
        ("by=key&since=1d&key=b", {("b",): "0.000000000"}),
        ("by=user&key=a&user=bob", {("bob",): "0.100000000"}),
        ("by=tenant,provider&model=gpt-5", {("acme", "openai"): "0.100000000"}),
        ("by=key&tenant=nobody", {}),
    ],
)
async def test_sums_are_apart_for_what_is_asked_for(query: str, groups: dict[tuple[str, ...], str]) -> None:
    async with served(*ROWS) as made:
        status, found, _ = await made.get(f"{USAGE}?{query}")
        assert status == 200
        assert {tuple(each[name] for name in found["by"]): each["cost_usd"] for each in found["data"]} == groups


@pytest.mark.parametrize(
    ("query", "param"),
    [("by=hour", "by"), ("by=key,key", "by"), ("by=key,", "by"), ("since=2026-11-21T10:00:00Z", "since"), ("since=36h", "since"),
     ("since=2026-11-30", "since"), ("until=2026-02-30", "until"), ("holder=h1", "holder"), ("since=9999d", "since"), ("since=", "since"),
     ("user=a%00", "user")],
)  # fmt: skip
async def test_a_question_that_makes_no_sense_is_refused(query: str, param: str) -> None:
    async with served(*ROWS) as made:
        status, found, _ = await made.get(f"{USAGE}?{query}")
        assert (status, found["error"]["param"]) == (400, param)
        assert made.records.asked == []


async def test_while_the_store_is_away_there_are_no_sums() -> None:
    async with served(*ROWS) as made:
        made.records.fail_after = 0
        assert (await made.get(USAGE))[0] == 503


# -- for callers


def caller(key: Key | None = None, user: str = "", query: str = "", **headers: str) -> Exchange:
    ex = exchange(None, {name.replace("_", "-"): value for name, value in headers.items()}, path="/v1/usage", query=query)
    ex.key, ex.user = key, user
    return ex


async def test_a_caller_with_a_key_sees_the_rows_of_its_key() -> None:
    found = await own_usage(caller(Key("a", tenant="acme")), MemoryRecords(ROWS), NOW)
    assert found == {
        "object": "usage", "user_id": None, "key": "a", "tenant": "acme", "tokens_used": 30, "requests": 1, "cost": 0.100000001,
        "cost_usd": "0.100000001", "since": "2026-11-01", "until": "2026-11-22", "unpriced": 0, "estimated": 0,
    }  # fmt: skip


async def test_a_caller_that_names_its_user_sees_this_users_rows_only() -> None:
    assert (await own_usage(caller(Key("a"), "alice", X_User_ID="alice"), MemoryRecords(ROWS), NOW))["cost_usd"] == "0.000000001"
    assert (await own_usage(caller(Key("a", user="alice"), "alice"), MemoryRecords(ROWS), NOW))["cost_usd"] == "0.100000001"


async def test_a_user_that_a_trusted_network_names_sees_its_own_rows() -> None:
    named = {"key": "", "tenant": "", "user": "alice"}
    rows = [*ROWS, row(5, **named), row(6, **named, cost_nano_usd=None, usage="estimated")]
    found = await own_usage(caller(None, "alice", X_User_ID="alice"), MemoryRecords(rows), NOW)
    assert (found["user_id"], found["key"], found["requests"], found["unpriced"], found["estimated"]) == ("alice", None, 2, 1, 1)


async def test_nobody_in_particular_sees_nothing() -> None:
    records = MemoryRecords(ROWS)
    with pytest.raises(GatewayError) as caught:
        await own_usage(caller(None, "", X_User_ID="alice"), records, NOW)
    assert (caught.value.status, caught.value.code) == (403, "unknown_caller")
    assert records.asked == []


async def test_its_rows_can_be_looked_at_by_day_and_model() -> None:
    found = await own_usage(caller(Key("a"), query="by=model&since=2026-10-01&until=2026-11-22"), MemoryRecords(ROWS), NOW)
    assert [(each["model"], each["cost_usd"]) for each in found["data"]] == [("gpt-4o", "0.000000008"), ("gpt-5", "0.100000000")]
    assert found["cost_usd"] == "0.100000008"


@pytest.mark.parametrize("query", ["by=key", "by=tenant", "key=b", "user=bob", "tenant=acme", "by=day&by=model", "since=nope"])
async def test_a_caller_cannot_ask_beyond_its_own_rows(query: str) -> None:
    records = MemoryRecords(ROWS)
    with pytest.raises(GatewayError) as caught:
        await own_usage(caller(Key("a"), query=query), records, NOW)
    assert caught.value.status == 400
    assert records.asked == []


async def test_while_the_store_is_away_a_caller_is_told_to_come_back() -> None:
    records = MemoryRecords(ROWS, fail_after=0)
    with pytest.raises(GatewayError) as caught:
        await own_usage(caller(Key("a")), records, NOW)
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1.0)


async def test_the_path_is_behind_the_key_and_tells_a_caller_its_usage(tmp_path: Path) -> None:
    records = MemoryRecords(ROWS)

    async def usage(ex: Exchange) -> dict[str, Any]:
        return await own_usage(ex, records, NOW)

    config = {"providers": providers("http://127.0.0.1:9"), "keys": [{"name": "a", "key": "app-key-app-key-a"}]}
    async with live(config, tmp_path) as made:
        gateway = made.gateway
        wired = Api(
            gateway.events, snapshot=dict, reset=lambda _: [], exchange=gateway.gate.exchange,
            guarded=lambda answer: gateway._state.guarded(answer), draining=lambda: False, unix_clock=lambda: NOW, usage=usage,
        )  # fmt: skip
        gateway._state.local._api["/v1/usage"] = wired
        status, body, _ = await made.get("/v1/usage", {"Authorization": "Bearer app-key-app-key-a"})
        assert status == 200
        assert b'"cost_usd":"0.100000001"' in body
        assert (await made.get("/v1/usage"))[0] == 401
        status, body, head = await made.post("/v1/usage", {}, {"Authorization": "Bearer app-key-app-key-a"})
        assert (status, head["allow"]) == (405, "GET, HEAD")
