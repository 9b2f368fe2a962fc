"""Keys: found by their digest, kept as nothing else, and what their scopes allow."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from edgegate.access.keys import Key, KeyRing, digest
from edgegate.access.keys import Secret as KeySecret
from edgegate.config.model import KeyOptions
from edgegate.config.option import Secret
from edgegate.server.build import build_keys
from tests.unit.core.parts import exchange

NOW = 1_800_000_000.0


def reachable(start: Any) -> list[Any]:
    """Every object that can be reached from one, types and modules left out."""
    seen: dict[int, Any] = {}
    waiting = [start]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type) or type(thing).__name__ in ("module", "function", "builtin_function_or_method"):
            continue
        seen[id(thing)] = thing
        waiting += gc.get_referents(thing)
    return list(seen.values())


def test_no_secret_can_be_reached_from_the_key_ring() -> None:
    secrets = [f"gw-{'s3cret' * 3}-{number}" for number in range(3)]
    ring = build_keys([KeyOptions(name=f"n{at}", key=Secret(secret), tenant="t") for at, secret in enumerate(secrets)])
    assert ring.find(secrets[1], NOW) is not None
    texts = [thing for thing in reachable(ring) if isinstance(thing, (str, bytes))]
    assert any(text == "n1" for text in texts), "the walk reaches the keys"
    assert not [t for t in texts for secret in secrets if secret in (t if isinstance(t, str) else t.decode("latin-1"))]


def test_no_secret_can_be_reached_from_an_auth_stage_that_has_admitted_somebody() -> None:
    from tests.unit.core.parts import auth
    from tests.unit.core.test_auth import admits

    secret = "gw-another-secret-42"
    stage = auth(secret)
    assert admits(stage, exchange(headers={"x-api-key": secret}))
    texts = [thing for thing in reachable(stage) if isinstance(thing, (str, bytes))]
    assert not [t for t in texts if secret in (t if isinstance(t, str) else t.decode("latin-1"))]


def test_each_key_of_a_ring_is_found_and_no_other() -> None:
    ring = KeyRing([KeySecret(digest("alpha-alpha"), Key("a")), KeySecret(digest("beta-beta"), Key("b"))])
    assert len(ring) == 2
    found = ring.find("beta-beta", NOW)
    assert found is not None
    assert found.name == "b"
    assert ring.find("", NOW) is None
    assert ring.find(digest("alpha-alpha").hex(), NOW) is None, "the hash of a key is no key"


def test_a_key_without_a_name_is_named_by_its_place() -> None:
    ring = build_keys([KeyOptions(name="app", key=Secret("first-first")), KeyOptions(key=Secret("second-second"))])
    found = ring.find("second-second", NOW)
    assert found is not None
    assert found.name == "key-2"


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        ((), "anything", True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-4o*",), "gpt-4o-mini", True),
        (("gpt-4o*",), "gpt-4", False),
        (("*",), "x", True),
        (("gpt-*-mini",), "gpt-4o-mini", False),
        (("a", "b*"), "bb", True),
        (("gpt-4o",), "GPT-4O", False),
        (("gpt-4o",), "", False),
    ],
)
def test_the_models_of_a_key(models: tuple[str, ...], model: str, allowed: bool) -> None:
    assert Key("k", models=models).allows_model(model) is allowed


@pytest.mark.parametrize(("providers", "allowed"), [((), True), (("openai",), True), (("open",), False), (("*",), False)])
def test_the_providers_of_a_key(providers: tuple[str, ...], allowed: bool) -> None:
    assert Key("k", providers=providers).allows_provider("openai") is allowed


def test_a_key_that_is_no_ascii_is_found_as_it_comes_over_the_wire() -> None:
    ring = build_keys([KeyOptions(name="app", key=Secret("schlüssel-schlüssel"))])
    assert ring.find("schlüssel-schlüssel".encode().decode("utf-8", "surrogateescape"), NOW) is not None
