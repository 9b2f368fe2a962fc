"""Checks of keys, tokens, limits and budgets: what could not work is said before anything is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgegate.config.chain import default_chain
from edgegate.config.load import load
from edgegate.config.model import BudgetOptions, KeyOptions, LimitOptions, ProviderOptions, StageOptions, StoreOptions
from edgegate.config.option import Rate, Secret
from edgegate.config.stages import AuthOptions, JwtOptions
from tests.unit.config.test_check import KEY, found, listening

PROVIDERS = {"openai": ProviderOptions(api_key=Secret("k")), "groq": ProviderOptions(api_key=Secret("k"))}


def key(**options: Any) -> list[str]:
    return found(keys=(KeyOptions(name="app", key=Secret("a-long-random-key-of-an-app"), **options),))


def limit(**options: Any) -> list[str]:
    return found(limits=(LimitOptions(**options),), providers=PROVIDERS)


def budget(**options: Any) -> list[str]:
    return found(budgets=(BudgetOptions(**options),), providers=PROVIDERS)


def tokens(**options: Any) -> list[str]:
    given: dict[str, Any] = {"jwks": "https://issuer.example/keys", "audience": ("edgegate",)} | options
    problems = found(chain=chain(JwtOptions(**given)))
    assert all(problem.startswith("chain[0].auth.jwt") for problem in problems)
    return [problem.removeprefix("chain[0].auth.jwt").removeprefix(".") for problem in problems]


def chain(jwt: JwtOptions | None = None, without: str = "") -> tuple[StageOptions, ...]:
    stages = [stage for stage in default_chain() if stage.name not in ("auth", without)]
    return (StageOptions("auth", AuthOptions(jwt=jwt)), *stages)


# -- keys


@pytest.mark.parametrize("expires", ["2027-01-31", "2027-01-31T12:00:00Z", "2020-01-01", ""])
def test_a_key_may_end_at_a_date_even_a_past_one(expires: str) -> None:
    assert key(expires=expires) == []


@pytest.mark.parametrize("expires", ["2027-02-30", "tomorrow", "31.01.2027"])
def test_a_date_that_is_none_is_an_error(expires: str) -> None:
    (problem,) = key(expires=expires)
    assert problem.startswith("keys[0].expires: expected a day such as 2027-01-31")


def test_an_unquoted_date_can_be_written_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "edgegate.yaml"
    file.write_text("keys:\n  - {name: app, key: a-long-random-key-of-an-app, expires: 2027-01-31}\n")
    assert load(file, {}).keys[0].expires == "2027-01-31"


def test_the_networks_of_a_key_are_networks() -> None:
    assert key(networks=("10.0.0.0/8", "::1", "10.1.2.3/8")) == []
    (problem,) = key(networks=("10.0.0.0/8", "10.0.0.0/40"))
    assert problem == "keys[0].networks[1]: expected a network such as 10.0.0.0/8 or ::1, got `10.0.0.0/40`"


@pytest.mark.parametrize(
    "endpoint", ["/v1/chat/completions", "/v1/*", "/*", "*", "chat", "embeddings", "rerank", "relay", "models", "/openai/v1/files*"]
)
def test_endpoints_are_paths_or_operations(endpoint: str) -> None:
    assert key(endpoints=(endpoint,)) == []


@pytest.mark.parametrize(
    ("endpoint", "hint"),
    [
        ("chats", "did you mean `chat`"),
        ("v1/chat", "expected a path"),
        ("", "expected a path"),
        ("/v1/*/x", "with `*` at its end"),
        ("/a b", "expected a path"),
    ],
)
def test_what_is_no_endpoint_is_an_error(endpoint: str, hint: str) -> None:
    (problem,) = key(endpoints=(endpoint,))
    assert problem.startswith("keys[0].endpoints[0]: ")
    assert hint in problem


def test_a_name_may_not_be_the_one_that_a_key_without_a_name_gets() -> None:
    keys = (KeyOptions(name="key-2", key=Secret("first-first-first")), KeyOptions(key=Secret("second-second")))
    assert found(keys=keys) == ["keys[0].name: keys[1] has no name and is called key-2 itself; choose another one"]


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("limits", {"requests": Rate(1, 60)}),
        ("limits", {"concurrency": 1}),
        ("budget", {"usd_per_day": 1.0}),
        ("budget", {"tokens_per_month": 1}),
    ],
)
def test_what_a_key_may_use_needs_a_stage_that_sees_to_it(stage: str, options: dict[str, Any]) -> None:
    keys = (KeyOptions(name="app", key=Secret("a-long-random-key-of-an-app"), **options),)
    assert found(keys=keys) == []
    (problem,) = found(keys=keys, chain=chain(without=stage))
    assert problem.startswith("keys[0]: ")
    assert f"put `{stage}` into the chain" in problem


# -- limits and budgets


def test_something_must_be_limited() -> None:
    assert limit(per=("key",), requests=Rate(60, 60)) == []
    assert limit(per=("key",)) == ["limits[0]: nothing is limited: expected `requests`, `tokens` or `concurrency`"]
    assert budget(per=("tenant",), usd=5.0) == []
    assert budget(per=("tenant",), tokens=5) == []
    assert budget(per=("tenant",)) == ["budgets[0]: nothing is limited: expected `usd` or `tokens`"]


def test_only_a_token_bucket_has_a_burst() -> None:
    assert limit(requests=Rate(60, 60), burst=5, algorithm="token_bucket") == []
    assert limit(requests=Rate(60, 60), burst=5) == ["limits[0].burst: only `algorithm: token_bucket` has a burst"]
    assert limit(concurrency=5, burst=5, algorithm="token_bucket") == ["limits[0].burst: a burst needs `requests` or `tokens`"]


def test_alerts_are_shares() -> None:
    assert budget(usd=1.0, alerts=(0.5, 1.0)) == []
    assert budget(usd=1.0, alerts=(0.5, 80.0)) == ["budgets[0].alerts[1]: expected a share above 0 and up to 1, such as 0.8, got 80"]
    assert len(budget(usd=1.0, alerts=(0.0,))) == 1


def test_providers_of_limits_and_budgets_are_configured() -> None:
    assert limit(requests=Rate(1, 60), providers=("openai", "gr*")) == []
    assert limit(requests=Rate(1, 60), providers=("opnai",)) == [
        "limits[0].providers[0]: no provider `opnai` is configured; did you mean `openai`?"
    ]
    (problem,) = budget(usd=1.0, providers=("azure*",))
    assert problem.startswith("budgets[0].providers[0]: no provider `azure*` is configured")


def test_limits_and_budgets_need_their_stages() -> None:
    plain = (LimitOptions(per=("key",), requests=Rate(1, 60)),)
    assert found(limits=plain, chain=chain(without="limits")) == ["limits[0]: nothing sees to this limit: put `limits` into the chain"]
    assert found(limits=plain, chain=chain(without="budget")) == []
    for of_attempts in (LimitOptions(per=("key", "model"), tokens=Rate(1, 60)), LimitOptions(models=("gpt-*",), tokens=Rate(1, 60))):
        assert found(limits=(of_attempts,), chain=chain(without="budget")) == [
            "limits[0]: nothing sees to this limit: put `budget` into the chain"
        ]
    (problem,) = found(budgets=(BudgetOptions(usd=1.0),), chain=chain(without="budget"))
    assert problem.startswith("budgets: nothing sees to budgets")


# -- tokens


def test_tokens_may_stand_in_for_keys_on_a_network() -> None:
    jwt = JwtOptions(jwks="https://issuer.example/keys", audience=("edgegate",))
    assert found(server=listening(":80"), chain=chain(jwt)) == []


def test_a_store_of_keys_may_stand_in_for_them_on_a_network(tmp_path: Path) -> None:
    assert found(server=listening(":80"), store=StoreOptions(postgres=Secret("postgresql://db/edgegate"))) == []
    assert len(found(server=listening(":80"))) == 1
    without_auth = default_chain()[1:]
    assert found(server=listening(":80"), store=StoreOptions(postgres=Secret("postgresql://db/edgegate")), chain=without_auth) != []


def test_tokens_need_keys_and_an_audience() -> None:
    assert tokens() == []
    assert tokens(jwks="", issuer="https://issuer.example") == []
    assert tokens(jwks="") == [": expected `jwks` or `issuer`, which say where the keys are"]
    assert tokens(audience=())[0].startswith("audience: expected the audience")
    assert tokens(audience=("",))[0].startswith("audience: expected the audience")


def test_the_keys_of_tokens_come_over_tls_from_this_machine_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("{}")
    assert tokens(jwks=str(file)) == []
    assert tokens(jwks="http://127.0.0.1:9/keys") == []
    for wrong in ("http://issuer.example/keys", "ftp://issuer.example/keys", "https://u:p@issuer.example/keys"):
        assert tokens(jwks=wrong) == ["jwks: expected an https URL without a name and password (http only on this machine)"]
    (problem,) = tokens(jwks=str(tmp_path / "none.json"))
    assert problem.startswith("jwks: expected an https URL or a file; there is no file")
    (problem,) = tokens(jwks="", issuer="http://issuer.example")
    assert problem.startswith("issuer: without `jwks` the keys are looked for here")
    assert tokens(issuer="urn:any:text") == [], "it is only compared"


@pytest.mark.parametrize(
    ("algorithm", "why"),
    [("HS256", "shared secret"), ("none", "no algorithm"), ("RS265", "known are ES256"), ("EdDsa", "known are ES256")],
)
def test_only_algorithms_with_two_keys_are_accepted(algorithm: str, why: str) -> None:
    (problem,) = tokens(algorithms=("ES256", algorithm))
    assert problem.startswith("algorithms[1]: ")
    assert why in problem


def test_a_token_must_say_whose_it_is() -> None:
    assert tokens(user_claim="", name_claim="app") == []
    assert len(tokens(user_claim="")) == 1
    assert len(tokens(algorithms=())) == 1


def test_a_configured_key_goes_on_being_checked() -> None:
    assert found(keys=(KEY, KEY))[0].startswith("keys[1]: the same key as keys[0]")
