"""Which counters a caller's requests and attempts count in."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from edgegate.access.counters import Counter, Kind, Scope, Unit
from edgegate.access.keys import Allowance, Key
from edgegate.access.rules import Rules, Who, month, nano, today
from edgegate.config.model import BudgetOptions, LimitOptions
from edgegate.config.option import Rate
from edgegate.config.stages import LimitsOptions

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
APP = Key("app", tenant="acme")
LONE = Key("lone")


def who(key: Key | None = APP, user: str = "", address: str = "192.0.2.1", model: str = "gpt-4o", provider: str = "openai") -> Who:
    return Who(key, user, address, model, provider)


def subjects(counters: tuple[Counter, ...]) -> list[str]:
    return [counter.subject for counter in counters]


@pytest.mark.parametrize(
    ("per", "caller", "subject"),
    [
        (("key",), who(), "app"),
        (("tenant",), who(), "acme"),
        (("ip",), who(None), "192.0.2.1"),
        (("user",), who(user="ann"), "acme, ann"),
        (("user",), who(LONE, "ann"), "lone, ann"),
        (("user",), who(None, "ann"), "ann"),
        (("key", "ip"), who(), "192.0.2.1, app"),
        ((), who(None), ""),
    ],
)
def test_a_limit_is_counted_apart_for_whom_it_is_per(per: tuple[str, ...], caller: Who, subject: str) -> None:
    rules = Rules([LimitOptions(per=per, requests=Rate(5, 60))], [])
    assert subjects(rules.of_request(caller)) == [subject]
    assert rules.of_attempt(caller, NOON) == ()


@pytest.mark.parametrize(
    ("per", "caller"),
    [(("key",), who(None)), (("tenant",), who(LONE)), (("user",), who()), (("ip",), who(address=""))],
)
def test_a_rule_on_what_a_caller_does_not_have_is_not_about_it(per: tuple[str, ...], caller: Who) -> None:
    assert Rules([LimitOptions(per=per, requests=Rate(5, 60))], []).of_request(caller) == ()


def test_users_of_two_tenants_and_of_two_keys_are_not_one() -> None:
    rules = Rules([LimitOptions(per=("user",), requests=Rate(5, 60))], [])
    callers = [who(APP, "ann"), who(Key("b", tenant="bolt"), "ann"), who(LONE, "ann"), who(Key("other"), "ann"), who(None, "ann")]
    assert len({rules.of_request(caller)[0].name for caller in callers}) == 5
    assert rules.of_request(who(Key("second", tenant="acme"), "ann")) == rules.of_request(callers[0]), "keys of one tenant share its users"


def test_rules_on_models_and_providers_are_about_attempts() -> None:
    rules = Rules([LimitOptions(per=("model",), concurrency=2), LimitOptions(providers=("open*",), tokens=Rate(9, 3600))], [])
    assert rules.of_request(who()) == ()
    places, tokens = rules.of_attempt(who(), NOON)
    assert (places.kind, places.unit, places.limit, places.subject) == (Kind.HELD, Unit.CONCURRENCY, 2, "gpt-4o")
    assert (tokens.kind, tokens.unit, tokens.window_s) == (Kind.WINDOW, Unit.TOKENS, 3600.0)
    assert len(rules.of_attempt(who(provider="anthropic"), NOON)) == 1


def test_a_budget_is_of_its_period_and_knows_which_rows_it_counts() -> None:
    rules = Rules([], [BudgetOptions(per=("tenant",), models=("gpt-*",), usd=0.1, tokens=7, period="day", hard=False)])
    money, tokens = rules.of_attempt(who(), NOON)
    assert (money.limit, money.unit, money.spends, money.hard) == (100_000_000, Unit.NANO_USD, True, False)
    assert money.scope == tokens.scope == Scope((("tenant", "acme"),), models=("gpt-*",))
    assert money.scope.covers("any", "body", "acme", "gpt-5", "openai")
    assert not money.scope.covers("any", "body", "acme", "claude", "openai")
    assert (money.since, money.ends) == (today(NOON).since, today(NOON).ends)
    tomorrow, _ = rules.of_attempt(who(), NOON + 86_400)
    assert tomorrow.name != money.name
    assert rules.of_attempt(who(model="claude"), NOON) == ()


def test_a_month_ends_with_the_month_in_utc() -> None:
    for moment, since, ends in (
        ("2026-11-30T23:59:59", "2026-11-01", "2026-12-01"),
        ("2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("2028-02-29T00:00:00", "2028-02-01", "2028-03-01"),
    ):
        found = month(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
        assert [datetime.fromtimestamp(at, UTC).date().isoformat() for at in (found.since, found.ends)] == [since, ends]
        assert found.label == since[:7]


def test_a_key_brings_its_own_limits_and_budgets() -> None:
    own = Allowance(Rate(60, 60), Rate(1000, 86_400), 3, nano(1.5), nano(20), 0, 5_000_000)
    key = Key("app", allowance=own)
    rules = Rules([], [])
    assert [(c.unit.value, c.limit) for c in rules.of_request(who(key))] == [("requests", 60), ("tokens", 1000), ("concurrency", 3)]
    budgets = rules.of_attempt(who(key), NOON)
    assert [(c.unit.value, c.limit) for c in budgets] == [("usd", 1_500_000_000), ("usd", 20_000_000_000), ("tokens", 5_000_000)]
    assert len({counter.name for counter in budgets}) == 3


def test_the_stages_own_limits_hold_for_every_caller_apart() -> None:
    rules = Rules([], [], LimitsOptions(requests=Rate(60, 60)))
    assert subjects(rules.of_request(who())) == ["app"]
    assert subjects(rules.of_request(who(None, "ann"))) == ["ann"]
    assert subjects(rules.of_request(who(None))) == ["192.0.2.1"]
    assert rules.by_address
    assert rules.by_user


def test_a_token_bucket_has_its_burst() -> None:
    [counter] = Rules([LimitOptions(requests=Rate(60, 60), algorithm="token_bucket", burst=10)], []).of_request(who())
    assert (counter.kind, counter.limit, counter.burst, counter.ends) == (Kind.BUCKET, 60, 10, math.inf)
