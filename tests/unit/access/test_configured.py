"""Keys out of the configuration and out of the store: their dates, their scopes, and which of them count."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from edgegate.access.configured import configured_secrets, moment
from edgegate.access.keys import Allowance, KeyRing, digest
from edgegate.access.naming import MAX_NAME, clean_name
from edgegate.config.model import KeyOptions
from edgegate.config.option import Rate, Secret
from edgegate.stores.directory import StoredKey, StoredSecret, stored_secrets


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-31", at(2027, 2, 1)),
        ("2028-02-29", at(2028, 3, 1)),
        ("2027-01-31T12:00:00Z", at(2027, 1, 31, 12)),
        ("2027-01-31t12:00:00z", at(2027, 1, 31, 12)),
        ("2027-01-31T12:00", at(2027, 1, 31, 12)),
        ("2027-01-31 12:00:00+02:00", at(2027, 1, 31, 10)),
        ("2027-01-31T12:00:00.5Z", at(2027, 1, 31, 12) + 0.5),
    ],
)
def test_a_key_ends_with_its_day_or_at_its_moment(text: str, expected: float) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "2027-02-30", "2027-13-01", "20270131", "2027-W05-7", "2027-01-31T25:00", "31.01.2027", "1893456000", "٢٠27-01-31"]
)
def test_what_is_no_date_is_told_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="a day such as 2027-01-31"):
        moment(text)


def test_everything_that_stands_in_the_configuration_reaches_the_key() -> None:
    (secret,) = configured_secrets(
        [
            KeyOptions(
                name="app", key=Secret("s3cret-s3cret"), tenant="acme", user="u", tags=("a", "b"), models=("gpt-*",), providers=("openai",),
                endpoints=("chat",), networks=("10.1.2.3/8",), expires="2027-01-31", requests=Rate(60, 60), concurrency=3,
                usd_per_month=0.1,
                tokens_per_day=5, strict=True, priority="high",
            )
        ]
    )  # fmt: skip
    key = secret.key
    assert (key.name, key.tenant, key.user, key.tags, key.strict, key.priority) == ("app", "acme", "u", ("a", "b"), True, "high")
    assert (key.models, key.providers, key.endpoints, [str(n) for n in key.networks]) == (
        ("gpt-*",),
        ("openai",),
        ("chat",),
        ["10.0.0.0/8"],
    )
    assert key.expires == at(2027, 2, 1)
    assert key.allowance == Allowance(requests=Rate(60, 60), concurrency=3, nano_usd_per_month=100_000_000, tokens_per_day=5)
    assert (secret.digest, secret.expires) == (digest("s3cret-s3cret"), math.inf)


def stored(name: str, *secrets: StoredSecret, **more: object) -> StoredKey:
    return StoredKey("id-" + name, name, 1.0, secrets or (StoredSecret(digest("secret-of-" + name), 1.0),), **more)  # type: ignore[arg-type]


def test_stored_keys_count_unless_they_are_revoked_or_have_a_configured_name() -> None:
    keys = [stored("a", tenant="t"), stored("b", revoked=5.0), stored("app"), stored("c", expires=50.0)]
    ring = KeyRing(configured_secrets([KeyOptions(name="app", key=Secret("configured-one"))]))
    ring.replace(stored_secrets(keys, ring.configured_names))
    found = ring.find("secret-of-a", 10.0)
    assert found is not None
    assert (found.name, found.tenant) == ("a", "t")
    assert ring.find("secret-of-b", 10.0) is None
    assert not ring.knows("secret-of-b")
    assert ring.find("secret-of-app", 10.0) is None
    assert ring.find("secret-of-c", 49.9) is not None
    assert ring.find("secret-of-c", 50.0) is None
    assert ring.knows("secret-of-c"), "it has expired"


def test_a_key_that_is_being_rotated_has_two_secrets_until_the_old_one_ends() -> None:
    ring = KeyRing([])
    ring.replace(stored_secrets([stored("a", StoredSecret(digest("old-old-old"), 1.0, 20.0), StoredSecret(digest("new-new-new"), 10.0))]))
    assert ring.find("old-old-old", 19.0) is not None
    assert ring.find("old-old-old", 20.0) is None
    assert ring.find("new-new-new", 20.0) is not None


def test_a_stored_key_whose_networks_cannot_be_read_is_valid_from_nowhere() -> None:
    assert stored_secrets([stored("a", networks=("10.0.0.0/99",))]) == []


def test_a_ring_stays_closed_when_its_last_key_is_gone() -> None:
    ring = KeyRing([])
    assert not ring.required
    ring.replace(stored_secrets([stored("a")]))
    ring.replace([])
    assert ring.required


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("alice", "alice"),
        ("  alice ", "alice"),
        ("Jürgen Ä", "Jürgen Ä"),
        ("a\nb\x00", "a\\nb\\x00"),
        ("\udcff", "\\udcff"),
        ("", ""),
        ("  ", ""),
    ],
)
def test_names_are_made_fit_for_logs_and_stores(given: str, name: str) -> None:
    assert clean_name(given) == name


def test_two_long_names_with_the_same_beginning_stay_two() -> None:
    first, second = clean_name("u" * 500 + "1"), clean_name("u" * 500 + "2")
    assert first != second
    assert len(first) == len(second) == MAX_NAME
    assert clean_name("u" * MAX_NAME) == "u" * MAX_NAME
