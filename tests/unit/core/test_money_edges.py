"""Limits and budgets where somebody would profit: reservations that nobody settles, requests that look smaller than they are, keys that
change while they are used."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edgegate.exchange import Exchange, Reply
from edgegate.stages.translate import Translate
from edgegate.tokens.bounds import most_tokens
from edgegate.tokens.estimate import Estimates, count_input
from tests.unit.core.parts import (
    CHAT,
    DONE,
    MESSAGES,
    USAGE_CHUNK,
    Busy,
    Live,
    Provider,
    chunk,
    completion,
    exchange,
    live,
    never,
    reply,
    sse,
    until,
)
from tests.unit.core.test_limits_and_budgets import CHAIN, KEY, LIMITED, OTHER, config, rows, standing

BUDGET = [{"per": ["tenant"], "usd": 1}]
QUICK = {"failover": {"attempts": 3, "retries": 0, "plain_reply": 0.1}}
CHATS, COUNT, RELAYED = "/v1/chat/completions", "/v1/messages/count_tokens", "/one/v1/chat/completions"
COUNTED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
PER_PROVIDER = [{"per": ["provider"], "concurrency": 2}]


async def settled(gate: Live) -> None:
    await gate.gateway.gate.close_books()


# -- reservations that nobody settles


async def test_tokens_that_are_counted_here_are_paid_by_nobody(tmp_path: Path) -> None:
    """No attempt is made, so nobody takes what was reserved for one."""
    async with Provider() as provider, live(config(tmp_path, provider.url, budgets=BUDGET, limits=PER_PROVIDER), tmp_path) as gate:
        for _ in range(3):
            status, body, _ = await gate.post(COUNT, COUNTED, KEY)
            assert (status, list(json.loads(body))) == (200, ["input_tokens"])
        assert provider.seen == []
        assert (standing(gate, "usd"), standing(gate, "concurrency")) == ([("acme", 0)], [("one", 0)])


async def test_a_fault_of_ours_costs_the_caller_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a provider no place: else a request that finds a fault would close it for everybody."""

    async def broken(stage: Translate, ex: Exchange, proceed: object) -> Reply:
        raise TypeError("a fault")

    async with Provider() as provider, live(config(tmp_path, provider.url, budgets=BUDGET, limits=PER_PROVIDER), tmp_path) as gate:
        assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        with monkeypatch.context() as patched:
            patched.setattr(Translate, "_ask", broken)
            for _ in range(3):
                assert (await gate.post(body=LIMITED, headers=KEY))[0] == 500
        assert (standing(gate, "usd"), standing(gate, "concurrency")) == ([("acme", 37_000)], [("one", 0)])
        assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_leaves_nothing_reserved(stream: bool, tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def slow(seen: Any, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await seen.reader.read(1)
        writer.close()

    limits = [*PER_PROVIDER, {"per": ["key"], "concurrency": 1, "tokens": "100k/min"}]
    async with (
        Provider(slow, reply(completion())) as provider,
        live(config(tmp_path, provider.url, budgets=BUDGET, limits=limits), tmp_path) as gate,
    ):
        task = asyncio.get_running_loop().create_task(gate.post(body=LIMITED | {"stream": stream}, headers=KEY))
        await arrived.wait()
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: set(standing(gate, "concurrency")) == {("one", 0), ("app", 0)})
        await settled(gate)
        [(_, spent)] = standing(gate, "usd")
        assert 0 < spent < 1_000_000, "an estimate, and no longer the reservation"


async def test_an_attempt_that_failed_keeps_no_place_while_others_go_on(tmp_path: Path) -> None:
    """It may have to be paid, so its reservation stays until the books are closed: its place at the provider does not."""
    arrived = asyncio.Event()

    async def slow(seen: Any, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await seen.reader.read(1)

    async with Provider(never) as dead, Provider(slow) as alive:
        given = config(tmp_path, dead.url, alive.url, limits=PER_PROVIDER, models={"fallbacks": {"gpt-4o": ["two/gpt-4o"]}})
        given["chain"] = [stage if stage != {"failover": {"attempts": 3, "retries": 0}} else QUICK for stage in given["chain"]]
        async with live(given, tmp_path) as gate:
            task = asyncio.get_running_loop().create_task(gate.post(body=LIMITED, headers=KEY))
            await arrived.wait()
            assert sorted(standing(gate, "concurrency")) == [("one", 0), ("two", 1)]
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.parametrize("stage", ["limits", "budget"])
async def test_what_is_reserved_after_a_count_counts_for_all(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting takes a while. Accounts that nobody used may be forgotten meanwhile, and others see new ones then."""
    rules: dict[str, Any] = {"limits": [{"per": ["key"], "tokens": "300/min"}]} if stage == "limits" else {"budgets": [{"tokens": 300}]}
    chain = [each for each in CHAIN if each != "cache"]
    async with Provider() as provider, live(config(tmp_path, provider.url, chain=chain, **rules), tmp_path) as gate:
        limiter = gate.gateway.accounting.limiter
        counted = count_input

        async def meanwhile(ex: Exchange, estimates: Estimates) -> None:
            limiter._forget(time.time())
            await counted(ex, estimates)

        monkeypatch.setattr(f"edgegate.stages.{stage}.count_input", meanwhile)
        body = LIMITED | {"messages": [{"role": "user", "content": "some words " * 40}]}
        assert (await gate.post(body=body, headers=KEY))[0] == 200
        [(_, used)] = standing(gate, "tokens")
        assert used == 10


# -- requests that look smaller than they are


def bound(body: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[int, int]:
    return most_tokens(exchange(body, path=path), 4096)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"max_tokens": 100_000.0}, 100_000),
        ({"max_tokens": 99.5}, 100),
        ({"max_tokens": "100000"}, 100_000),
        ({"max_completion_tokens": 50, "max_tokens": "70"}, 70),
        ({"max_tokens": 100, "n": 3.0}, 300),
        ({"max_tokens": 100, "n": "3"}, 300),
        ({"max_tokens": -5}, 4096),
        ({"max_tokens": True}, 4096),
        ({"max_tokens": "many"}, 4096),
        ({"max_tokens": None, "n": 0}, 4096),
        ({"max_tokens": 1e300}, 10_000_000),
        ({"max_tokens": 1 << 63}, 10_000_000),
        ({"max_tokens": "9" * 5000}, 4096),
    ],
)
def test_the_longest_answer_is_read_as_providers_read_it(more: dict[str, Any], expected: int) -> None:
    ex = exchange(CHAT | more)
    ex._request = CHAT | more  # whatever its dialect lets through
    assert most_tokens(ex, 4096)[1] == expected


@pytest.mark.parametrize(
    "config",
    [
        {"generationConfig": {"maxOutputTokens": 60_000, "candidateCount": 2}},
        {"generation_config": {"max_output_tokens": "60000", "candidate_count": 2}},
        {"generationConfig": {"max_output_tokens": 60_000, "candidateCount": "2"}},
    ],
)
def test_gemini_may_be_asked_in_two_spellings(config: dict[str, Any]) -> None:
    body = {"contents": [{"parts": [{"text": "hi"}]}], **config}
    ex = exchange(body)
    ex._request = body
    assert most_tokens(ex, 4096)[1] == 120_000


@pytest.mark.parametrize(
    ("more", "answers"),
    [
        ({"prompt": "once"}, 1),
        ({"prompt": ["one", "two", "three"]}, 3),
        ({"prompt": [[1, 2], [3, 4]], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": "once", "best_of": 5}, 5),
        ({"prompt": ["a", "b"], "best_of": 5, "n": 2}, 10),
    ],
)
def test_each_prompt_of_a_completion_has_answers_of_its_own(more: dict[str, Any], answers: int) -> None:
    assert bound({"model": "gpt-4o", "max_tokens": 100, **more}, "/v1/completions")[1] == 100 * answers


PROSE = "some words of a long prompt, " * 2000


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "data:image/png," + PROSE,
        "data:text/plain;base64," + PROSE,
        "x" * 100 + PROSE + "x" * 100,
        "x" * 100 + PROSE.replace(" ", "\n") + "x" * 100,
        PROSE.replace(" ", "-").replace(",", ""),
    ],
    ids=["plain", "as a picture", "as a file", "wrapped", "wrapped lines", "without blanks"],
)
@pytest.mark.parametrize("part", [False, True])
def test_a_prompt_that_is_dressed_up_as_a_file_counts_as_the_prompt_it_is(text: str, part: bool) -> None:
    content: Any = [{"type": "text", "text": text}] if part else text
    before, _ = bound({"model": "gpt-4o", "messages": [{"role": "user", "content": content}]})
    assert before >= len(text)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 20_000}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" * 20_000}},
        {"type": "input_audio", "input_audio": {"data": "iVBORw0KGgo" * 20_000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "JVBERi0x" * 20_000}},
        {"type": "input_image", "image_url": "data:image/png;base64," + "iVBORw0KGgo" * 20_000},
        {"type": "text", "text": "a picture", "inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo" * 20_000}},
    ],
)
def test_a_file_counts_by_what_it_costs(part: dict[str, Any]) -> None:
    ex = exchange({"model": "gpt-4o", "messages": [{"role": "user", "content": [part]}]})
    assert most_tokens(ex, 4096)[0] < 15_000


def test_the_pictures_of_ollama_are_files() -> None:
    body = {"model": "llava", "messages": [{"role": "user", "content": "what is this?", "images": ["iVBORw0KGgo" * 20_000]}]}
    assert bound(body, "/api/chat")[0] < 15_000


def test_a_request_of_very_many_parts_is_not_looked_at_to_its_end() -> None:
    ex = exchange(CHAT)
    ex.body = b"x" * 20_000
    ex._request = CHAT | {"messages": [[0] * 12_000_000]}
    assert most_tokens(ex, 4096)[0] == 10_000_000


TIERED = {"models": {"gpt-4o": {"input": 1, "output": 10, "priority_input": 5, "priority_output": 50}}}


async def test_a_dearer_tier_is_reserved_for_however_its_name_is_spelled(tmp_path: Path) -> None:
    plain = json.dumps(LIMITED | {"service_tier": "priority"})
    spelled = plain.replace("service_tier", "service\\u005ftier")
    async with Provider() as provider, live(config(tmp_path, provider.url, budgets=BUDGET, prices=TIERED), tmp_path) as gate:
        for body in (json.dumps(LIMITED), plain, spelled):
            assert (await gate.post(body=body.encode(), headers=KEY))[0] == 200
        usual, dear, same = [row.reserved_nano_usd or 0 for row in await rows(gate)]
        assert dear > 4 * usual
        assert same >= dear


async def test_a_form_that_speaks_of_tiers_is_passed_through(tmp_path: Path) -> None:
    parts = (b'"model"\r\n\r\ngpt-4o', b'"service_tier"\r\n\r\n"service_tier"')
    form = b"".join(b"--x\r\ncontent-disposition: form-data; name=%b\r\n" % part for part in parts) + b"--x--\r\n"
    chain = [{"budget": {"unpriced": "allow"}} if stage == "budget" else stage for stage in CHAIN]
    async with Provider(reply(b"{}")) as provider:
        headers = KEY | {"content-type": "multipart/form-data; boundary=x"}
        async with live(config(tmp_path, provider.url, budgets=BUDGET, chain=chain), tmp_path) as gate:
            assert (await gate.post("/v1/images/edits", form, headers))[0] == 200
        async with live(config(tmp_path, provider.url, budgets=BUDGET), tmp_path) as gate:
            status, body, _ = await gate.post("/v1/images/edits", form, headers)
            assert (status, json.loads(body)["error"]["code"]) == (403, "price_unknown"), "nobody knows what it will cost"
            assert (await gate.get("/one/v1/files", KEY))[0] == 200, "to ask costs nothing"


async def test_a_relayed_path_finds_a_limit_of_tokens_that_is_used_up(tmp_path: Path) -> None:
    limits = [{"per": ["key"], "tokens": "10/min"}]
    async with Provider(reply(completion())) as provider, live(config(tmp_path, provider.url, limits=limits), tmp_path) as gate:
        assert (await gate.post("/one/v1/chat/completions", LIMITED, KEY))[0] == 200
        assert standing(gate, "tokens") == [("app", 10)]
        assert (await gate.post("/one/v1/chat/completions", LIMITED, KEY))[0] == 429
        assert len(provider.seen) == 1


# -- who pays for whom


async def test_a_user_of_one_tenant_is_not_refused_because_of_another(tmp_path: Path) -> None:
    """A tenant, and a key without a tenant that is called like it."""
    keys = [{"name": "in", "tenant": "acme", "key": KEY["authorization"][7:]}, {"name": "acme", "key": OTHER["authorization"][7:]}]
    limits = [{"per": ["user"], "requests": "1/min"}]
    async with Provider() as provider, live(config(tmp_path, provider.url, limits=limits, keys=keys), tmp_path) as gate:
        for headers in (KEY, OTHER):
            assert (await gate.post(body=LIMITED | {"user": "ann"}, headers=headers))[0] == 200
            assert (await gate.post(body=LIMITED | {"user": "ann"}, headers=headers))[0] == 429


async def test_a_limit_that_can_never_be_kept_says_that_trying_again_is_no_use(tmp_path: Path) -> None:
    limits = [{"per": ["key"], "tokens": "300/min"}]
    async with Provider() as provider, live(config(tmp_path, provider.url, limits=limits), tmp_path) as gate:
        status, _, headers = await gate.post(body=LIMITED | {"max_tokens": 400}, headers=KEY)
        assert (status, headers.get("x-should-retry")) == (429, "false")


@pytest.mark.parametrize("given", ["9" * 400, "1_0", "0x10", " ", "1e-400", "inf", "-0.0"])
async def test_an_odd_ceiling_is_an_amount_or_a_400(given: str, tmp_path: Path) -> None:
    async with Provider() as provider, live(config(tmp_path, provider.url), tmp_path) as gate:
        status, _, _ = await gate.post(body=LIMITED, headers=KEY | {"x-max-cost-usd": given})
        assert status in (200, 400)
        assert gate.faults() == []


# -- everything at once


EVERYTHING: list[Any] = [
    "auth",
    "limits",
    "idempotency",
    "coalesce",
    "cache",
    "route",
    {"queue": {"concurrency": 20}},
    {"failover": {"attempts": 3, "retries": 0, "midstream": "continue", "hedge": {"delay": 0.02}, "breaker": {"failures": 0}}},
    "budget",
    "translate",
    {"forward": {"idle": 0.3, "first_token": 0.5}},
    "meter",
]


@pytest.mark.parametrize("gone", ["cancel", "drain"])
async def test_when_all_is_over_nothing_is_reserved_and_budgets_agree_with_the_ledger(gone: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    whole = chunk("hel") + chunk("lo") + chunk(finish="stop") + USAGE_CHUNK + DONE

    async def whatever(seen: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(chance.choice([0, 0, 0.01, 0.05]))
        match chance.randrange(6):
            case 0:
                writer.write(reply(b"{}", chance.choice([400, 429, 500, 503])))
            case 1:
                writer.close()
            case 2 if seen.json.get("stream"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n" + chunk("hel"))
                await writer.drain()
                await asyncio.sleep(chance.choice([0, 0.05]))
                writer.close()
            case 3:
                writer.write(reply(b"what?"))
            case _:
                writer.write(sse(whole) if seen.json.get("stream") else reply(completion()))

    rules: dict[str, Any] = {
        "limits": [
            {"per": ["key"], "concurrency": 40, "tokens": "100M/min", "requests": "10k/min"},
            {"per": ["provider"], "concurrency": 30, "tokens": "100M/min"},
        ],
        "budgets": [{"per": ["tenant"], "usd": 50}, {"per": ["user", "model"], "tokens": 10_000_000}],
        "models": {"fallbacks": {"gpt-4o": ["two/gpt-4o", "two/cheap"]}},
    }
    given = [*EVERYTHING]
    given[10] = {"forward": {"idle": 0.3, "first_token": 0.5, "client_gone": gone}}
    async with (
        Provider(whatever) as one,
        Provider(whatever) as two,
        live(config(tmp_path, one.url, two.url, chain=given, **rules), tmp_path) as gate,
    ):

        async def ask(number: int) -> None:
            body = LIMITED | {"stream": chance.random() < 0.5, "user": f"u{number % 3}", "temperature": chance.choice([0, 1])}
            headers = dict(chance.choice([KEY, OTHER]))
            if chance.random() < 0.2:
                headers["idempotency-key"] = f"k{number % 4}"
            if chance.random() < 0.2:
                headers["x-max-cost-usd"] = "0.0012"
            path, sent = chance.choice(
                [("/v1/chat/completions", body)] * 8 + [("/v1/messages", MESSAGES), (COUNT, COUNTED), (RELAYED, body)]
            )
            with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                async with asyncio.timeout(chance.choice([0.005, 0.03, 5, 5, 5])):
                    await gate.post(path, sent, headers)

        for _ in range(6):
            await asyncio.gather(*[ask(number) for number in range(40)])
        await until(lambda: gate.gateway.gate.in_flight == 0, 5)
        found = await rows(gate)
        assert len(found) > 150
        assert gate.faults() == []
        assert {used for _, used in standing(gate, "concurrency")} == {0}
        assert standing(gate, "usd") == [("acme", sum(row.cost_nano_usd or 0 for row in found))]
        entries = gate.gateway.accounting.limiter.standing()
        spent = sum(entry["used"] for entry in entries if entry["period_ends"] and entry["unit"] == "tokens")
        assert spent == sum(row.tokens for row in found if row.user)


# -- not mended here: the files are others'


async def test_each_budget_of_a_key_has_a_series_of_its_own(tmp_path: Path) -> None:
    keys = [{"name": "app", "key": KEY["authorization"][7:], "usd_per_day": 1, "usd_per_month": 1000, "tokens_per_day": 1_000_000}]
    async with Provider() as provider, live(config(tmp_path, provider.url, keys=keys), tmp_path) as gate:
        assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        accounting = gate.gateway.accounting
        for account in accounting.limiter._accounts.values():
            accounting._level(account.counter, account.used)
        assert len(accounting._metrics.budget_used.values) == 3


async def test_the_events_that_a_caller_reads_say_nothing_of_other_tenants_money(tmp_path: Path) -> None:
    keys = [{"name": "app", "tenant": "acme", "key": KEY["authorization"][7:]}, {"name": "spy", "key": OTHER["authorization"][7:]}]
    budgets = [{"per": ["tenant"], "usd": 0.00002, "hard": False}]
    async with Provider() as provider, live(config(tmp_path, provider.url, keys=keys, budgets=budgets), tmp_path) as gate:
        assert (await gate.post(body=LIMITED, headers=KEY))[0] == 200
        _, body, _ = await gate.get("/api/events?limit=100", OTHER | {"accept": "application/json"})
        assert b"acme" not in body


async def test_a_ceiling_is_not_told_to_the_provider_of_a_relayed_path(tmp_path: Path) -> None:
    async with Provider(reply(completion())) as provider, live(config(tmp_path, provider.url), tmp_path) as gate:
        assert (await gate.get(RELAYED, KEY | {"x-max-cost-usd": "1"}))[0] == 200
        assert provider.seen[0].header("x-max-cost-usd") is None


async def test_a_shared_call_is_paid_by_whoever_stands_in_its_row(tmp_path: Path) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(seen: Any, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await go.wait()
        writer.write(reply(completion()))

    chain = ["auth", "limits", "coalesce", *CHAIN[3:]]
    given = {"chain": chain, "budgets": [{"per": ["key"], "usd": 1}]}
    async with Provider(slow) as provider, live(config(tmp_path, provider.url, **given), tmp_path) as gate:
        first = asyncio.get_running_loop().create_task(gate.post(headers=KEY))
        await arrived.wait()
        second = asyncio.get_running_loop().create_task(gate.post(headers=OTHER))
        await until(lambda: gate.gateway.gate.in_flight == 2)
        first.cancel()
        await until(lambda: gate.gateway.gate.in_flight == 1)
        go.set()
        assert (await second)[0] == 200
        paid = {row.key: row.cost_nano_usd for row in await rows(gate) if row.cost_nano_usd}
        assert paid == {name: used for name, used in standing(gate, "usd") if used}


async def test_relayed_calls_in_flight_together_spend_no_more_than_there_is(tmp_path: Path) -> None:
    budgets = [{"per": ["tenant"], "usd": 0.0001}]
    async with Provider(Busy()) as provider, live(config(tmp_path, provider.url, budgets=budgets), tmp_path) as gate:
        await asyncio.gather(*[gate.post(RELAYED, LIMITED, KEY) for _ in range(20)])
        [(_, spent)] = standing(gate, "usd")
        assert spent <= 100_000
