"""auth: every place a key may stand, who may go without one, and whose X-User-ID is believed."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from edgegate.config.model import KeyOptions
from edgegate.config.stages import AuthOptions
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange, Reply
from edgegate.server.build import build_keys
from edgegate.stages.auth import Auth
from tests.unit.core.parts import CHAT, auth, exchange

SECRET = "gw-secret-0123456789"


async def end(ex: Exchange) -> Reply:
    return Reply(200, [], b"", "")


def admits(stage: Auth, ex: Exchange) -> bool:
    """Whether the rest of the chain would run."""
    refusal: GatewayError | None = None
    try:
        waiting: Awaitable[Any] = stage(ex, end)
    except GatewayError as error:
        refusal = error
    if refusal is not None:
        assert (refusal.status, refusal.source.value) == (401, "client")
        assert SECRET not in refusal.message
        return False
    waiting.close()  # type: ignore[attr-defined]  # the coroutine of `end`
    return True


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", f"Bearer {SECRET}"),
        ("authorization", f"bearer {SECRET}"),
        ("AUTHORIZATION", f"BEARER   {SECRET} "),
        ("x-api-key", SECRET),
        ("X-Api-Key", SECRET),
        ("api-key", SECRET),
        ("x-goog-api-key", SECRET),
    ],
    ids=["bearer", "lower case", "upper case and spaces", "x-api-key", "X-Api-Key", "api-key", "x-goog-api-key"],
)
def test_a_key_is_found_in_each_header(header: tuple[str, str]) -> None:
    ex = exchange(headers=[header])
    assert admits(auth(SECRET), ex)
    assert ex.key is not None
    assert ex.key.name == "key-1"


def test_a_key_is_found_in_the_body() -> None:
    ex = exchange(CHAT | {"x-budget-key": SECRET})
    assert admits(auth(SECRET), ex)
    assert ex.key is not None


@pytest.mark.parametrize("value", [7, None, True, [SECRET], {"k": SECRET}, ""], ids=["number", "null", "true", "list", "object", "empty"])
def test_a_body_key_that_is_no_text_is_no_key(value: Any) -> None:
    assert not admits(auth(SECRET), exchange(CHAT | {"x-budget-key": value}))


@pytest.mark.parametrize("name", ["api_key", "key"])
def test_a_key_in_the_query_counts_only_where_it_is_switched_on(name: str) -> None:
    query = f"alt=sse&{name}={SECRET}"
    assert admits(auth(SECRET, query=True), exchange(query=query))
    assert not admits(auth(SECRET), exchange(query=query))


def test_the_first_key_present_decides_even_if_a_later_one_is_right() -> None:
    ex = exchange(CHAT | {"x-budget-key": SECRET}, {"Authorization": "Bearer wrong", "x-api-key": SECRET})
    assert not admits(auth(SECRET), ex)


def test_another_authorization_scheme_leaves_the_other_headers_to_decide() -> None:
    assert admits(auth(SECRET), exchange(headers={"Authorization": "Basic dXNlcjpwYXNz", "x-api-key": SECRET}))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer  "}, {"Authorization": SECRET}, {"x-api-key": "  "}],
    ids=["none", "no token", "blank token", "no scheme", "blank"],
)
def test_a_request_without_a_key_is_told_where_to_put_one(headers: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        auth(SECRET)(exchange(headers=headers), end)
    assert (caught.value.status, caught.value.code) == (401, "missing_api_key")
    assert "x-api-key" in caught.value.message


@pytest.mark.parametrize(
    "wrong", [SECRET + "x", SECRET[:-1], SECRET.upper(), "é", "\udcff"], ids=["longer", "shorter", "upper case", "letters", "no utf-8"]
)
def test_a_wrong_key_is_refused(wrong: str) -> None:
    ex = exchange()
    ex.headers = {"Authorization": f"Bearer {wrong}"}
    with pytest.raises(GatewayError) as caught:
        auth(SECRET)(ex, end)
    assert caught.value.code == "invalid_api_key"


def test_a_configured_hash_admits_its_key() -> None:
    import hashlib

    ring = build_keys([KeyOptions(name="app", hash="sha256:" + hashlib.sha256(SECRET.encode()).hexdigest())])
    ex = exchange(headers={"x-api-key": SECRET})
    assert admits(Auth(AuthOptions(), ring), ex)


def test_a_gateway_without_keys_is_open() -> None:
    ex = exchange(headers={"Authorization": "Bearer whatever"})
    assert admits(auth(), ex)
    assert ex.key is None


def test_an_anonymous_gateway_with_keys_still_refuses_wrong_ones() -> None:
    stage = auth(SECRET, anonymous=True)
    assert admits(stage, exchange())
    assert admits(stage, exchange(headers={"x-api-key": SECRET}))
    assert not admits(stage, exchange(headers={"x-api-key": "wrong-wrong"}))


# -- X-User-ID


def test_a_user_from_a_trusted_network_needs_no_key() -> None:
    ex = exchange(headers={"X-User-ID": "alice"}, remote="10.1.2.3")
    assert admits(auth(SECRET, trusted=("10.0.0.0/8",), user_id=True), ex)
    assert (ex.user, ex.key) == ("alice", None)


@pytest.mark.parametrize("remote", ["11.0.0.1", "::1", "not an address", "127.0.0.1"])
def test_a_user_from_anywhere_else_is_not_believed(remote: str) -> None:
    ex = exchange(headers={"X-User-ID": "alice"}, remote=remote)
    assert not admits(auth(SECRET, trusted=("10.0.0.0/8",), user_id=True), ex)
    assert ex.user == ""


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"])
def test_a_spoofed_address_does_not_make_a_caller_trusted(header: str) -> None:
    value = "for=10.0.0.1" if header == "Forwarded" else "10.0.0.1"
    ex = exchange(headers={"X-User-ID": "alice", header: value}, remote="203.0.113.9")
    assert not admits(auth(SECRET, trusted=("10.0.0.0/8",), user_id=True), ex)


def test_the_header_counts_for_nothing_unless_switched_on() -> None:
    ex = exchange(headers={"X-User-ID": "alice"}, remote="10.0.0.1")
    assert not admits(auth(SECRET, trusted=("10.0.0.0/8",)), ex)
    ex = exchange(headers={"X-User-ID": "alice", "x-api-key": SECRET}, remote="10.0.0.1")
    assert admits(auth(SECRET, trusted=("10.0.0.0/8",), sub_users=False), ex)
    assert ex.user == ""


def test_a_keys_caller_from_a_trusted_network_may_name_its_user_and_no_other_may() -> None:
    stage = auth(SECRET, trusted=("10.0.0.0/8",), user_id=True, sub_users=False)
    near = exchange(headers={"X-User-ID": "alice", "x-api-key": SECRET}, remote="10.0.0.1")
    far = exchange(headers={"X-User-ID": "alice", "x-api-key": SECRET}, remote="8.8.8.8")
    assert admits(stage, near)
    assert admits(stage, far)
    assert (near.user, far.user) == ("alice", "")


def test_an_open_gateway_that_relies_on_a_proxy_asks_everybody_for_a_user() -> None:
    stage = auth(trusted=("10.0.0.0/8",), user_id=True)
    assert admits(stage, exchange(headers={"X-User-ID": "bob"}, remote="10.0.0.1"))
    assert not admits(stage, exchange(remote="10.0.0.1"))
    assert not admits(stage, exchange(headers={"X-User-ID": "bob"}, remote="8.8.8.8"))


def test_a_long_user_name_is_cut() -> None:
    ex = exchange(headers={"X-User-ID": "u" * 5000}, remote="10.0.0.1")
    assert admits(auth(SECRET, trusted=("10.0.0.0/8",), user_id=True), ex)
    assert len(ex.user) == 128
