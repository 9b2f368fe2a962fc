"""Stored keys: what may be said of them, how they are made, changed, rotated and revoked, and what is written down about it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.access.keys import digest
from edgegate.admin.fields import FIELDS, read_fields
from edgegate.admin.keys import MAX_SECRETS, Actor, Keys
from edgegate.admin.money import dollars, nano_usd, short_dollars
from edgegate.admin.shown import settings, stored
from edgegate.config.option import Rate
from edgegate.errors import GatewayError
from tests.unit.admin.parts import NOW, MemoryDirectory, Tokens

ACTOR = Actor("ops", "127.0.0.1")
DAY = 86_400


class Bench:
    """Keys over a directory in memory, with a clock that stands."""

    def __init__(self) -> None:
        self.directory = MemoryDirectory()
        self.now = NOW
        self.changes = 0
        self.keys = Keys(self.directory, configured=["static"], unix_clock=lambda: self.now, token=Tokens(), changed=self._changed)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def refused(awaited: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await awaited
    return caught.value


# -- making


async def test_a_new_key_has_a_long_secret_of_which_only_the_hash_is_stored(bench: Bench) -> None:
    made = await bench.keys.create({"name": "app"}, ACTOR)
    text = made.secret.reveal()
    assert re.fullmatch(r"eg-[a-z0-9]{8}-[A-Za-z0-9_-]{43}", text)
    assert text.split("-")[1] == made.key.id
    assert [secret.digest for secret in made.key.secrets] == [digest(text)]
    assert (made.key.revision, bench.changes) == (1, 1)


async def test_every_field_is_stored_as_it_is_meant(bench: Bench) -> None:
    fields = {
        "name": "app", "tenant": "acme", "user": "alice", "tags": ["a", "b", "a"], "models": ["gpt-*"], "providers": ["openai"],
        "endpoints": ["/v1/chat/completions"], "networks": ["10.1.2.3/8", "192.0.2.7", "2001:db8::/32"], "expires": "90d", "strict": True,
        "priority": "high", "requests": "60/min", "tokens": "200k/hour", "concurrency": 4, "usd_per_day": 0.1,
        "usd_per_month": "12.000000001", "tokens_per_day": 1000, "tokens_per_month": "5M",
    }  # fmt: skip
    assert fields.keys() == FIELDS.keys()
    key = (await bench.keys.create(fields, ACTOR)).key
    assert (key.tags, key.models, key.networks) == (("a", "b"), ("gpt-*",), ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"))
    assert (key.expires, key.strict, key.priority) == (NOW + 90 * DAY, True, "high")
    allowance = key.allowance
    assert (allowance.requests, allowance.tokens, allowance.concurrency) == (Rate(60, 60), Rate(200_000, 3600), 4)
    assert (allowance.nano_usd_per_day, allowance.nano_usd_per_month) == (100_000_000, 12_000_000_001)
    assert (allowance.tokens_per_day, allowance.tokens_per_month) == (1000, 5_000_000)


async def test_a_day_lasts_until_its_end_as_in_the_configuration(bench: Bench) -> None:
    key = (await bench.keys.create({"name": "app", "expires": "2026-11-21"}, ACTOR)).key
    assert key.expires == NOW + DAY / 2
    assert stored(key, NOW)["expires"] == "2026-11-22T00:00:00Z"


async def test_what_was_read_can_be_sent_back_and_changes_nothing(bench: Bench) -> None:
    fields = {
        "name": "app",
        "tags": ["a"],
        "networks": ["::1"],
        "expires": "2027-01-31T12:00:00+02:00",
        "tokens": "1M/day",
        "usd_per_day": 3,
    }
    key = (await bench.keys.create(fields, ACTOR)).key
    same = await bench.keys.change("app", settings(key), ACTOR)
    assert same == key
    assert bench.changes == 1


BAD: list[tuple[str, list[Any]]] = [
    ("name", ["", " a", "a ", "a/b", "a*", "x" * 101, "a\n", "..", 5, None, "a,b"]),
    ("tenant", [5, ["a"], "x" * 129, "a\x00", True]),
    ("tags", ["a", ["a,b"], [""], [5], ["x"] * 201, {"a": 1}]),
    ("models", ["gpt-4o", [None], ["x" * 201]]),
    ("endpoints", ["chat", ["chats"], ["v1/models"], [5]]),
    ("networks", ["10.0.0.0/8", ["10.0.0.0/33"], ["host"], [5]]),
    ("expires", ["yesterday", "2020-01-01", "90", 90, "0s", "2027-13-01", "9999999d", True, "0001-01-01T00:00:00+14:00"]),
    ("strict", ["true", 1, "yes"]),
    ("priority", ["urgent", 1, ["high"]]),
    ("requests", [60, "60", "60/fortnight", "0/min", {}]),
    ("concurrency", [-1, 1.5, "many", True, 10**16]),
    ("usd_per_day", [-1, "1e3", "1.0000000001", "NaN", 1e300, True, [1], "", 1e-10, "1,5"]),
    ("tokens_per_month", [-1, 0.5, "1G"]),
]


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD for value in values])
async def test_a_wrong_field_is_named_with_what_was_expected(bench: Bench, field: str, value: Any) -> None:
    error = await refused(bench.keys.create({"name": "app"} | {field: value}, ACTOR))
    assert (error.status, error.param) == (400, field)
    assert error.message.startswith(f"{field}: expected ")
    assert bench.directory.stored == {}


@pytest.mark.parametrize(
    "field", ["key", "hash", "id", "secrets", "revision", "created", "allowance", "__class__", "nano_usd_per_day", "Name"]
)
async def test_no_other_field_may_be_set(bench: Bench, field: str) -> None:
    error = await refused(bench.keys.create({"name": "app", field: "x"}, ACTOR))
    assert (error.status, error.param) == (400, field)


async def test_a_name_is_given_once_for_ever(bench: Bench) -> None:
    made = await bench.keys.create({"name": "app"}, ACTOR)
    await bench.keys.revoke("app", ACTOR)
    for name in ("app", "static", made.key.id):
        error = await refused(bench.keys.create({"name": name}, ACTOR))
        assert (error.status, error.code) == (409, "name_taken")


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "other"]),
        st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda v: st.lists(v, max_size=3)),
    )
)
def test_whatever_is_sent_is_stored_or_refused_by_name(sent: dict[str, Any]) -> None:
    refusal: GatewayError | None = None
    try:
        assert read_fields(sent, NOW).keys() == sent.keys()
    except GatewayError as error:
        refusal = error
    assert refusal is None or (refusal.status == 400 and refusal.param in sent)


# -- money


@given(st.decimals(min_value=0, max_value=10**9, places=9))
def test_money_is_exact(amount: Decimal) -> None:
    nano = nano_usd(f"{amount:f}")
    assert Decimal(dollars(nano)) == Decimal(short_dollars(nano)) == amount


@given(st.integers(0, 10**9), st.integers(0, 99))
def test_cents_sent_as_a_json_number_are_exact(whole: int, cents: int) -> None:
    if whole < 10**9:
        assert nano_usd(json.loads(f"{whole}.{cents:02d}")) == (whole * 100 + cents) * 10_000_000


# -- changing


async def test_a_change_sets_what_is_sent_and_leaves_the_rest(bench: Bench) -> None:
    await bench.keys.create({"name": "app", "tenant": "acme", "requests": "60/min", "usd_per_day": 5, "expires": "1d"}, ACTOR)
    key = await bench.keys.change("app", {"requests": "10/min", "usd_per_day": None, "expires": None}, ACTOR)
    assert (key.tenant, key.allowance.requests, key.allowance.nano_usd_per_day, key.expires) == ("acme", Rate(10, 60), 0, None)
    change = bench.directory.audit[-1]
    assert (change.who, change.remote, change.what, change.subject, change.at) == ("ops", "127.0.0.1", "changed", "app", NOW)
    assert change.details == {
        "requests": {"before": "60/min", "after": "10/min"},
        "usd_per_day": {"before": "5", "after": None},
        "expires": {"before": "2026-11-22T12:00:00Z", "after": None},
    }


async def test_a_name_stays(bench: Bench) -> None:
    await bench.keys.create({"name": "app"}, ACTOR)
    error = await refused(bench.keys.change("app", {"name": "other"}, ACTOR))
    assert (error.status, error.param) == (400, "name")


async def test_a_change_of_an_older_revision_is_a_conflict(bench: Bench) -> None:
    key = (await bench.keys.create({"name": "app"}, ACTOR)).key
    await bench.keys.change("app", {"tenant": "a", "revision": key.revision}, ACTOR)
    error = await refused(bench.keys.change("app", {"tenant": "b", "revision": key.revision}, ACTOR))
    assert (error.status, error.code, error.param) == (409, "revision_conflict", "revision")
    assert (await bench.keys.find("app")).tenant == "a"
    bench.directory.meddle = 1
    error = await refused(bench.keys.change("app", {"tenant": "b", "revision": 2}, ACTOR))
    assert error.status == 409


@pytest.mark.parametrize("revision", ["1", 1.5, True, -1, [1]])
async def test_a_revision_is_a_whole_number(bench: Bench, revision: Any) -> None:
    await bench.keys.create({"name": "app"}, ACTOR)
    error = await refused(bench.keys.change("app", {"tenant": "b", "revision": revision}, ACTOR))
    assert (error.status, error.param) == (400, "revision")


async def test_a_change_without_a_revision_is_made_upon_what_others_did_meanwhile(bench: Bench) -> None:
    await bench.keys.create({"name": "app", "tenant": "a"}, ACTOR)
    bench.directory.meddle = 2
    key = await bench.keys.change("app", {"user": "alice"}, ACTOR)
    assert (key.user, key.tenant) == ("alice", "axx")
    bench.directory.meddle = 99
    assert (await refused(bench.keys.change("app", {"user": "bob"}, ACTOR))).status == 409


async def test_keys_are_found_by_name_and_by_id(bench: Bench) -> None:
    key = (await bench.keys.create({"name": "app"}, ACTOR)).key
    assert await bench.keys.find("app") == await bench.keys.find(key.id) == key
    assert (await refused(bench.keys.find("nobody"))).status == 404
    assert (await refused(bench.keys.change("static", {"user": "x"}, ACTOR))).code == "configured_key"


# -- rotating and revoking


async def test_a_rotated_key_opens_with_both_secrets_until_the_overlap_is_over(bench: Bench) -> None:
    first = await bench.keys.create({"name": "app"}, ACTOR)
    second = await bench.keys.rotate("app", {}, ACTOR)
    assert second.secret != first.secret
    assert second.key.id == first.key.id
    old, new = second.key.secrets
    assert (old.digest, old.expires) == (digest(first.secret.reveal()), NOW + DAY)
    assert (new.digest, new.expires) == (digest(second.secret.reveal()), None)


async def test_a_second_rotation_does_not_prolong_the_first_secret(bench: Bench) -> None:
    await bench.keys.create({"name": "app"}, ACTOR)
    await bench.keys.rotate("app", {"overlap": "1h"}, ACTOR)
    bench.now += 60
    third = await bench.keys.rotate("app", {"overlap": "2h"}, ACTOR)
    assert [secret.expires for secret in third.key.secrets] == [NOW + 3600, NOW + 60 + 7200, None]
    bench.now += 4 * 3600
    assert len((await bench.keys.rotate("app", {}, ACTOR)).key.secrets) == 2


@pytest.mark.parametrize("overlap", ["0", 0, "0s"])
async def test_without_overlap_the_old_secret_ends_at_once(bench: Bench, overlap: Any) -> None:
    await bench.keys.create({"name": "app"}, ACTOR)
    made = await bench.keys.rotate("app", {"overlap": overlap}, ACTOR)
    assert [secret.digest for secret in made.key.secrets] == [digest(made.secret.reveal())]


@pytest.mark.parametrize("fields", [{"overlap": "soon"}, {"overlap": -1}, {"overlap": True}, {"overlap": [1]}, {"overlaps": "1h"}])
async def test_what_is_no_overlap_is_refused(bench: Bench, fields: dict[str, Any]) -> None:
    await bench.keys.create({"name": "app"}, ACTOR)
    error = await refused(bench.keys.rotate("app", fields, ACTOR))
    assert (error.status, error.param) == (400, next(iter(fields)))
    assert len(bench.directory.audit) == 1


async def test_the_secrets_of_a_key_do_not_pile_up(bench: Bench) -> None:
    await bench.keys.create({"name": "app"}, ACTOR)
    for _ in range(MAX_SECRETS - 1):
        await bench.keys.rotate("app", {}, ACTOR)
    assert len((await bench.keys.rotate("app", {"overlap": "0"}, ACTOR)).key.secrets) == 1
    for _ in range(MAX_SECRETS - 1):
        await bench.keys.rotate("app", {}, ACTOR)
    assert (await refused(bench.keys.rotate("app", {}, ACTOR))).code == "too_many_secrets"


async def test_a_revoked_key_is_so_for_good_and_has_no_secret(bench: Bench) -> None:
    await bench.keys.create({"name": "app"}, ACTOR)
    key = await bench.keys.revoke("app", ACTOR)
    assert (key.revoked, key.secrets) == (NOW, ())
    assert await bench.keys.revoke("app", ACTOR) == key
    assert [change.what for change in bench.directory.audit] == ["created", "revoked"]
    for awaited in (bench.keys.change("app", {"user": "x"}, ACTOR), bench.keys.rotate("app", {}, ACTOR)):
        assert (await refused(awaited)).code == "key_revoked"


async def test_states_follow_the_clock(bench: Bench) -> None:
    key = (await bench.keys.create({"name": "app", "expires": "1d"}, ACTOR)).key
    assert [stored(key, NOW + after)["state"] for after in (0, DAY - 1, DAY)] == ["active", "active", "expired"]
    assert stored(await bench.keys.revoke("app", ACTOR), NOW)["state"] == "revoked"


# -- nothing leaks


async def test_no_secret_and_no_hash_is_in_audit_records_lists_and_reprs(bench: Bench) -> None:
    texts = []
    made = await bench.keys.create({"name": "app", "usd_per_day": 1}, ACTOR)
    again = await bench.keys.rotate("app", {}, ACTOR)
    texts += [repr(made), str(again), repr(bench.directory.audit), json.dumps([change.details for change in bench.directory.audit])]
    texts += [json.dumps(stored(key, NOW)) for key in await bench.keys.all()]
    await bench.keys.revoke("app", ACTOR)
    texts.append(repr(bench.directory.audit))
    for secret in (made.secret, again.secret):
        hidden = [secret.reveal(), secret.reveal().split("-", 2)[2], digest(secret.reveal()).hex()]
        assert not [text for text in texts for each in hidden if each in text]
