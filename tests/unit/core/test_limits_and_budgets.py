"""Limits, budgets and the ledger in a gateway that serves, with a provider that says what it used."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edgegate.access.rules import today
from edgegate.ledger.row import Row
from edgegate.stores.records import Slice
from tests.unit.core.parts import CHAT, DONE, MESSAGES, USAGE_CHUNK, Busy, Live, Provider, chunk, completion, live, providers, reply, sse

CHAIN = ["auth", "limits", "cache", "route", {"failover": {"attempts": 3, "retries": 0}}, "budget", "translate", "forward", "meter"]
KEY = {"authorization": "Bearer sk-app-0123456789abcdef0123456789abcdef"}
OTHER = {"authorization": "Bearer sk-other-0123456789abcdef0123456789abc"}
PRICES = {"models": {"gpt-4o": {"input": 1, "output": 10}, "cheap": {"input": 0.1, "output": 1}}}
LIMITED = CHAT | {"max_tokens": 100, "temperature": 1}


def config(directory: Path, *urls: str, **more: Any) -> dict[str, Any]:
    keys = [
        {"name": "app", "key": KEY["authorization"][7:], "tenant": "acme", "tags": ["web", "beta"]},
        {"name": "other", "key": OTHER["authorization"][7:], "tenant": "acme"},
    ]
    store = {"file": str(directory / "store.sqlite")}
    return {"chain": CHAIN, "providers": providers(*urls), "keys": keys, "prices": PRICES, "store": store} | more


async def rows(gate: Live) -> list[Row]:
    """The rows of the ledger once everything that has happened is written."""
    accounting = gate.gateway.accounting
    await gate.gateway.gate.close_books()
    while accounting.ledger._waiting():
        accounting.ledger._write()
        await asyncio.sleep(0.005)
    day = today(0)
    return [row async for row in accounting._records.rows(Slice(int(day.since), 1 << 50))]


def standing(gate: Live, unit: str) -> list[tuple[str, int]]:
    return [(entry["subject"], entry["used"]) for entry in gate.gateway.accounting.limiter.standing() if entry["unit"] == unit]


async def test_the_sixth_request_of_a_key_in_a_minute_is_refused(tmp_path: Path) -> None:
    async with (
        Provider() as provider,
        live(config(tmp_path, provider.url, limits=[{"per": ["key"], "requests": "5/min"}]), tmp_path) as gate,
    ):
        for _ in range(5):
            assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        status, body, headers = await gate.post(body=LIMITED, headers=KEY)
        assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 50 <= int(headers["retry-after"]) <= 62
        assert headers["x-ratelimit-limit-requests"] == "5"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert headers["x-edgegate-error-source"] == "gateway"
        assert len(provider.seen) == 5
        assert (await gate.post(body=LIMITED, headers=OTHER))[0] == 200, "another key has its own limit"


async def test_anthropics_clients_are_told_in_their_own_headers(tmp_path: Path) -> None:
    async with (
        Provider() as provider,
        live(config(tmp_path, provider.url, limits=[{"per": ["tenant"], "requests": "1/min"}]), tmp_path) as gate,
    ):
        assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        status, body, headers = await gate.post("/v1/messages", MESSAGES, OTHER)
        assert (status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")


async def test_tokens_are_reserved_for_the_longest_answer_and_settled_by_the_real_one(tmp_path: Path) -> None:
    async with (
        Provider(reply(completion())) as provider,
        live(config(tmp_path, provider.url, limits=[{"per": ["key"], "tokens": "300/min"}]), tmp_path) as gate,
    ):
        assert (await gate.post(body=LIMITED | {"max_tokens": 400}, headers=KEY))[0] == 429, "it may use more than there is"
        for used in (10, 20, 30):
            assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
            assert standing(gate, "tokens") == [("app", used)]


async def test_no_more_requests_at_once_than_allowed(tmp_path: Path) -> None:
    busy = Busy()
    limits = [{"per": ["key"], "concurrency": 3}]
    async with Provider(busy) as provider, live(config(tmp_path, provider.url, limits=limits), tmp_path) as gate:
        answers = await asyncio.gather(*[gate.post(body=LIMITED, headers=KEY) for _ in range(12)])
        assert sorted(status for status, _, _ in answers) == [200] * 3 + [429] * 9
        assert busy.most == 3
        assert {headers["retry-after"] for status, _, headers in answers if status == 429} == {"1"}
        assert standing(gate, "concurrency") == [("app", 0)]


async def test_an_answer_from_the_cache_counts_as_a_request_and_costs_nothing(tmp_path: Path) -> None:
    limits = [{"per": ["key"], "requests": "2/min", "tokens": "5000/min"}]
    async with Provider() as provider, live(config(tmp_path, provider.url, limits=limits), tmp_path) as gate:
        for _ in range(2):
            assert (await gate.post(headers=KEY))[0] == 200
        assert (await gate.post(headers=KEY))[0] == 429
        assert len(provider.seen) == 1
        assert standing(gate, "tokens") == [("app", 10)]
        first, second = await rows(gate)
        assert (first.source, first.attempt, first.cost_nano_usd, first.tags) == ("provider", 1, 37_000, "web,beta")
        assert (second.source, second.attempt, second.provider, second.cost_nano_usd) == ("cache", 0, "", 0)


async def test_a_budget_is_never_passed_and_what_was_not_used_can_be_spent(tmp_path: Path) -> None:
    """Each answer costs 37 millionths of a dollar, and may cost a thousandth and a bit."""
    budgets = [{"per": ["tenant"], "usd": 0.0024}]
    async with Provider(Busy()) as provider, live(config(tmp_path, provider.url, budgets=budgets), tmp_path) as gate:
        answers = await asyncio.gather(*[gate.post(body=LIMITED, headers=KEY if n % 2 else OTHER) for n in range(10)])
        assert sorted(status for status, _, _ in answers) == [200, 200, *[429] * 8]
        refused = next(answer for answer in answers if answer[0] == 429)
        assert json.loads(refused[1])["error"]["code"] == "budget_exceeded"
        assert standing(gate, "usd") == [("acme", 74_000)]
        done = 2
        while (await gate.post(body=LIMITED, headers=KEY))[0] == 200:
            done += 1
        assert 30 < done * 37_000 <= 2_400_000
        assert sum(row.cost_nano_usd or 0 for row in await rows(gate)) == done * 37_000 == standing(gate, "usd")[0][1]


async def test_a_used_up_budget_says_until_when_and_that_trying_again_is_no_use(tmp_path: Path) -> None:
    budgets = [{"usd": 0.00002, "period": "day"}]
    async with Provider() as provider, live(config(tmp_path, provider.url, budgets=budgets), tmp_path) as gate:
        status, _, headers = await gate.post(body=LIMITED, headers=KEY)
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 86_400
        assert headers["x-should-retry"] == "false"
        assert provider.seen == []


async def test_a_soft_budget_refuses_nothing_and_alerts(tmp_path: Path) -> None:
    budgets = [{"name": "soft", "usd": 0.00002, "hard": False}]
    async with Provider() as provider, live(config(tmp_path, provider.url, budgets=budgets), tmp_path) as gate:
        for _ in range(2):
            assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        alerts = [event for event in gate.gateway.events.latest() if event["kind"] == "budget_alert"]
        assert [alert["share"] for alert in alerts] == [0.8, 0.95]


async def test_a_model_without_a_price_is_refused_where_a_hard_budget_holds(tmp_path: Path) -> None:
    budgets = [{"usd": 5}]
    given = config(tmp_path, "", budgets=budgets)
    async with Provider() as provider:
        given["providers"] = providers(provider.url)
        given["providers"]["one"]["models"] = ["house-model"]
        async with live(given, tmp_path) as gate:
            status, body, _ = await gate.post(body=LIMITED | {"model": "house-model"}, headers=KEY)
            assert (status, json.loads(body)["error"]["code"]) == (403, "price_unknown")
            assert "house-model" in json.loads(body)["error"]["message"]
        given["chain"] = [{"budget": {"unpriced": "allow"}} if stage == "budget" else stage for stage in CHAIN]
        async with live(given, tmp_path) as gate:
            assert (await gate.post(body=LIMITED | {"model": "house-model"}, headers=KEY))[0] == 200
            [row] = await rows(gate)
            assert row.cost_nano_usd is None, "unknown is not nothing"


async def test_a_failed_attempt_gives_its_reservation_back_before_the_next(tmp_path: Path) -> None:
    """One reservation fits the budget, two do not."""
    budgets = [{"usd": 0.0015}]
    fallbacks = {"fallbacks": {"gpt-4o": ["two/gpt-4o"]}}
    async with Provider(reply(b"{}", 500)) as bad, Provider() as good:
        given = config(tmp_path, bad.url, good.url, budgets=budgets, models=fallbacks)
        async with live(given, tmp_path) as gate:
            assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
            failed, answered = await rows(gate)
            assert (failed.provider, failed.status, failed.cost_nano_usd) == ("one", 500, None)
            assert (answered.provider, answered.attempt, answered.cost_nano_usd) == ("two", 2, 37_000)
            assert standing(gate, "usd") == [("", 37_000)]


async def test_a_target_over_its_limit_is_passed_over(tmp_path: Path) -> None:
    limits = [{"per": ["provider"], "providers": ["one"], "requests": "1/min"}]
    fallbacks = {"fallbacks": {"gpt-4o": ["two/gpt-4o"]}}
    async with (
        Provider() as first,
        Provider() as second,
        live(config(tmp_path, first.url, second.url, limits=limits, models=fallbacks), tmp_path) as gate,
    ):
        for _ in range(3):
            assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        assert (len(first.seen), len(second.seen)) == (1, 2)


async def test_a_ceiling_holds_over_all_attempts_and_goes_to_nobody(tmp_path: Path) -> None:
    fallbacks = {"fallbacks": {"gpt-4o": ["two/gpt-4o", "two/cheap"]}}
    async with Provider(b"") as bad, Provider() as good, live(config(tmp_path, bad.url, good.url, models=fallbacks), tmp_path) as gate:
        status, body, _ = await gate.post(body=LIMITED, headers=KEY | {"x-max-cost-usd": "0.00001"})
        assert (status, json.loads(body)["error"]["code"]) == (400, "cost_limit_exceeded")
        assert (bad.seen, good.seen) == ([], []), "nothing was sent"
        status, _, _ = await gate.post(body=LIMITED | {"max_cost_usd": 0.0005}, headers=KEY)
        assert (status, good.seen[0].json["model"]) == (200, "cheap"), "the cheaper fallback fits"
        assert "max_cost_usd" not in good.seen[0].json
        assert "x-max-cost-usd" not in dict(good.seen[0].headers)


@pytest.mark.parametrize("given", ["many", "-1", "nan", "1e99"])
async def test_a_ceiling_that_is_no_amount_is_refused(given: str, tmp_path: Path) -> None:
    async with Provider() as provider, live(config(tmp_path, provider.url), tmp_path) as gate:
        status, body, _ = await gate.post(body=LIMITED, headers=KEY | {"x-max-cost-usd": given})
        assert (status, json.loads(body)["error"]["message"]) == (400, "x-max-cost-usd: expected US dollars, from 0 to 1e+06")


async def test_every_attempt_has_a_row_and_sums_agree(tmp_path: Path) -> None:
    stream = sse(chunk("hel") + chunk("lo") + chunk(finish="stop") + USAGE_CHUNK + DONE)
    async with Provider(reply(completion()), stream, reply(b"{}", 400)) as provider, live(config(tmp_path, provider.url), tmp_path) as gate:
        await gate.post(body=LIMITED, headers=KEY)
        await gate.post(body=LIMITED | {"stream": True}, headers=KEY)
        assert (await gate.post(body=LIMITED, headers=KEY))[0] == 400
        plain, streamed, refused = await rows(gate)
        assert (plain.outcome, streamed.outcome, refused.outcome) == ("ok", "ok", "rejected")
        assert (streamed.stream, streamed.usage, streamed.cost_nano_usd) == (1, "reported", 37_000)
        assert streamed.first_us is not None
        assert (refused.usage, refused.cost_nano_usd, refused.error) == ("none", None, "invalid_request")
        assert plain.price_version == gate.gateway.accounting.prices.version
        assert plain.reserved_nano_usd is not None
        assert plain.reserved_nano_usd > 1_000_000
        status, body, _ = await gate.get("/v1/usage", KEY)
        assert (status, json.loads(body)["cost_usd"], json.loads(body)["tokens_used"]) == (200, "0.000074000", 20)
        _, metrics, _ = await gate.get("/metrics")
        assert b'edgegate_cost_usd_total{model="gpt-4o",provider="one"} 7.4e-05' in metrics


async def test_sub_users_of_a_key_have_limits_of_their_own(tmp_path: Path) -> None:
    limits = [{"per": ["user"], "requests": "1/min"}]
    async with Provider() as provider, live(config(tmp_path, provider.url, limits=limits), tmp_path) as gate:
        assert (await gate.post(body=LIMITED | {"user": "ann"}, headers=KEY))[0] == 200
        assert (await gate.post(body=LIMITED, headers=KEY | {"X-User-ID": "ben"}))[0] == 200
        assert (await gate.post(body=LIMITED | {"user": "ann"}, headers=KEY))[0] == 429
        assert [row.user for row in await rows(gate)] == ["ann", "ben"]


async def test_spending_of_an_earlier_process_counts(tmp_path: Path) -> None:
    given = {"budgets": [{"per": ["key"], "usd": 0.00109}]}
    async with Provider() as provider:
        for _ in range(2):
            async with live(config(tmp_path, provider.url, **given), tmp_path) as gate:
                assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        async with live(config(tmp_path, provider.url, **given), tmp_path) as gate:
            assert (await gate.post(body=LIMITED, headers=KEY))[0] == 429
            assert standing(gate, "usd") == [("app", 74_000)]
