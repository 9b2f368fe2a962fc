"""auth: what a key may be used for and from where, who its user is, and gateways whose keys are made at run time."""

from __future__ import annotations

from typing import Any

import pytest

from edgegate.access.configured import configured_secrets
from edgegate.access.keys import Key, KeyRing, digest
from edgegate.access.keys import Secret as KeySecret
from edgegate.config.model import KeyOptions
from edgegate.config.option import Secret
from edgegate.config.stages import AuthOptions
from edgegate.dialects.base import Operation
from edgegate.errors import GatewayError
from edgegate.exchange import UNIX, Exchange
from edgegate.stages.auth import Auth
from tests.unit.core.parts import CHAT, Clock, exchange
from tests.unit.core.test_auth import end

SECRET = "gw-secret-0123456789"
BEARER = {"Authorization": f"Bearer {SECRET}"}
MESSAGE = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def stage(trusted: tuple[str, ...] = (), clock: Clock | None = None, options: AuthOptions | None = None, **scopes: Any) -> Auth:
    ring = KeyRing(configured_secrets([KeyOptions(name="app", key=Secret(SECRET), **scopes)]))
    return Auth(options or AuthOptions(), ring, trusted, clock=clock or Clock())


async def refused(auth: Auth, ex: Exchange) -> GatewayError | None:
    refusal: GatewayError | None = None
    try:
        await auth(ex, end)
    except GatewayError as error:
        refusal = error
    assert refusal is None or SECRET not in refusal.message
    return refusal


async def code(auth: Auth, ex: Exchange) -> str:
    error = await refused(auth, ex)
    return "" if error is None else f"{error.status} {error.code}"


# -- time and place


async def test_a_key_that_has_expired_says_so_to_whoever_has_it() -> None:
    clock = Clock(1_800_000_000.0)
    auth = stage(clock=clock, expires="2027-01-31T00:00:00Z")
    assert await code(auth, exchange(headers=BEARER)) == ""
    clock.now = 1_801_353_600.0  # that very moment
    assert await code(auth, exchange(headers=BEARER)) == "401 api_key_expired"
    assert await code(auth, exchange(headers={"x-api-key": "gw-another"})) == "401 invalid_api_key"


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("192.0.2.9", None, ""),
        ("192.0.3.9", None, "403 network_not_allowed"),
        ("::ffff:192.0.2.9", None, ""),
        ("192.0.3.9", "192.0.2.9", "403 network_not_allowed"),
        ("10.0.0.1", "192.0.2.9", ""),
        ("10.0.0.1", "192.0.2.9, 192.0.3.9", "403 network_not_allowed"),
        ("10.0.0.1", None, "403 network_not_allowed"),
        (UNIX, "192.0.2.9", ""),
        (UNIX, None, "403 network_not_allowed"),
        ("", None, "403 network_not_allowed"),
    ],
)
async def test_a_key_of_a_network_is_refused_elsewhere(remote: str, forwarded: str | None, expected: str) -> None:
    headers = BEARER if forwarded is None else BEARER | {"X-Forwarded-For": forwarded}
    ex = exchange(headers=headers, remote=remote)
    assert await code(stage(("10.0.0.0/8",), networks=("192.0.2.0/24",)), ex) == expected
    assert (ex.key is None) is bool(expected)


async def test_the_callers_address_is_found_whoever_it_is() -> None:
    auth = stage(("10.0.0.0/8",))
    for _ in range(2):  # the second time from memory
        ex = exchange(headers=BEARER | {"X-Forwarded-For": "6.6.6.6, 192.0.2.9"}, remote="10.0.0.1")
        assert await code(auth, ex) == ""
        assert ex.ip == "192.0.2.9"
    anybody = exchange(remote="2001:db8::1")
    assert await code(Auth(AuthOptions(), KeyRing([])), anybody) == ""
    assert anybody.ip == "2001:db8::1"
    wrong = exchange(headers={"x-api-key": "wrong", "X-Forwarded-For": "192.0.2.9"}, remote="10.0.0.1")
    assert await code(auth, wrong) == "401 invalid_api_key"
    assert wrong.ip == "192.0.2.9", "limits and logs know who was refused"


async def test_many_callers_are_not_remembered_without_end() -> None:
    auth = stage(("10.0.0.0/8",))
    for number in range(5000):
        ex = exchange(headers=BEARER | {"X-Forwarded-For": f"192.0.{number // 250}.{number % 250}"}, remote="10.0.0.1")
        await auth(ex, end)
        assert ex.ip == f"192.0.{number // 250}.{number % 250}"
    assert len(auth._addresses) <= 4096


# -- what for


def relayed(path: str) -> Exchange:
    ex = exchange(headers=BEARER, path=path)
    ex.relay_provider, ex.relay_path = "openai", path.removeprefix("/openai")
    return ex


def listing() -> Exchange:
    ex = exchange(headers=BEARER, path="/v1/models")
    ex.operation = Operation.MODELS
    return ex


@pytest.mark.parametrize(
    ("endpoints", "allowed"),
    [
        ((), "chat responses embeddings files models events"),
        (("chat",), "chat responses"),
        (("embeddings",), "embeddings"),
        (("relay",), "files"),
        (("models",), "models"),
        (("chat", "models"), "chat responses models"),
        (("/v1/chat/completions",), "chat"),
        (("/v1/chat/completion",), ""),
        (("/v1/*",), "chat responses embeddings models"),
        (("/openai/v1/files*",), "files"),
        (("/api/events",), "events"),
        (("*",), "chat responses embeddings files models events"),
        (("rerank",), ""),
    ],
)
async def test_a_key_reaches_its_endpoints_and_no_others(endpoints: tuple[str, ...], allowed: str) -> None:
    asked = {
        "chat": exchange(headers=BEARER),
        "responses": exchange({"model": "gpt-4o", "input": "hi"}, BEARER, path="/v1/responses"),
        "embeddings": exchange({"model": "gpt-4o", "input": "hi"}, BEARER, path="/v1/embeddings"),
        "files": relayed("/openai/v1/files/abc"),
        "models": listing(),
        "events": exchange(headers=BEARER, path="/api/events"),
    }
    answers = {name: await code(stage(endpoints=endpoints), ex) for name, ex in asked.items()}
    assert set(answers.values()) <= {"", "403 endpoint_not_allowed"}
    assert [name for name, answer in answers.items() if not answer] == allowed.split()


async def test_an_encoded_path_does_not_get_past_a_keys_endpoints() -> None:
    auth = stage(endpoints=("/openai/v1/files*",))
    assert await code(auth, relayed("/openai/v1/%66iles")) == "403 endpoint_not_allowed"
    assert await code(auth, relayed("/openai//v1/files")) == "403 endpoint_not_allowed"


# -- users of a key


@pytest.mark.parametrize(
    ("path", "body", "user"),
    [
        ("/v1/chat/completions", CHAT | {"user": "alice"}, "alice"),
        ("/v1/chat/completions", CHAT | {"safety_identifier": "hash-1"}, "hash-1"),
        ("/v1/chat/completions", CHAT | {"safety_identifier": "hash-1", "user": "alice"}, "alice"),
        ("/v1/chat/completions", CHAT | {"user": "a\nb"}, "a\\nb"),
        ("/v1/chat/completions", CHAT | {"metadata": {"user_id": "alice"}}, ""),
        ("/v1/chat/completions", CHAT | {"messages": [{"role": "user", "content": '"user":"mallory"'}]}, ""),
        ("/v1/responses", {"model": "m", "input": "hi", "user": "alice"}, "alice"),
        ("/v1/embeddings", {"model": "m", "input": "hi", "user": "alice"}, "alice"),
        ("/v1/completions", {"model": "m", "prompt": "hi", "user": "alice"}, "alice"),
        ("/v1/messages", MESSAGE | {"metadata": {"user_id": "alice"}}, "alice"),
        ("/v1/messages", MESSAGE | {"metadata": {"user_id": None}}, ""),
        ("/v2/chat", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, ""),
    ],
)
async def test_a_key_without_a_user_serves_many_that_the_body_names(path: str, body: dict[str, Any], user: str) -> None:
    ex = exchange(body, BEARER, path=path)
    assert await code(stage(), ex) == ""
    assert ex.user == user
    kept = exchange(body, BEARER, path=path)
    assert await code(stage(user="owner"), kept) == ""
    assert kept.user == "owner"
    off = exchange(body, BEARER, path=path)
    assert await code(stage(options=AuthOptions(sub_users=False)), off) == ""
    assert off.user == ""


async def test_the_header_names_the_user_before_the_body_does() -> None:
    ex = exchange(CHAT | {"user": "bob"}, BEARER | {"X-User-ID": " alice "})
    assert await code(stage(), ex) == ""
    assert ex.user == "alice"
    assert ex._request is None, "nothing was parsed for it"


async def test_a_user_of_the_wrong_type_is_for_the_dialect_to_refuse() -> None:
    error = await refused(stage(), exchange(CHAT | {"user": 7}, BEARER))
    assert error is None or (error.status, error.param) == (400, "user")


async def test_an_unknown_caller_names_nobody_and_its_body_is_not_read() -> None:
    ex = exchange(b'{"user": "alice", broken', {"x-api-key": "wrong"})
    assert await code(stage(), ex) == "401 invalid_api_key"
    assert ex.user == ""
    open_gateway = exchange(CHAT | {"user": "alice"}, {"X-User-ID": "alice"})
    assert await code(Auth(AuthOptions(), KeyRing([])), open_gateway) == ""
    assert open_gateway.user == "", "nobody vouches for it, so it counts by its address"


# -- keys made at run time


def ring_with(*names: str) -> list[KeySecret]:
    return [KeySecret(digest(f"secret-of-{name}"), Key(name)) for name in names]


async def test_an_open_gateway_is_closed_for_good_by_its_first_key() -> None:
    ring = KeyRing([])
    auth = Auth(AuthOptions(), ring)
    assert await code(auth, exchange()) == ""
    ring.replace(ring_with("a"))
    assert await code(auth, exchange()) == "401 missing_api_key"
    assert await code(auth, exchange(headers={"x-api-key": "secret-of-a"})) == ""
    ring.replace([])
    assert await code(auth, exchange(headers={"x-api-key": "secret-of-a"})) == "401 invalid_api_key"
    assert await code(auth, exchange()) == "401 missing_api_key"


async def test_a_gateway_on_a_network_may_begin_closed() -> None:
    assert await code(Auth(AuthOptions(), KeyRing([], required=True)), exchange()) == "401 missing_api_key"


async def test_while_stored_keys_cannot_be_read_nobody_is_told_that_its_key_is_wrong() -> None:
    ring = KeyRing([])
    ring.unread = True
    auth = Auth(AuthOptions(), ring)
    error = await refused(auth, exchange(headers={"x-api-key": "secret-of-a"}))
    assert error is not None
    assert (error.status, error.code, error.source.value) == (503, "keys_unavailable", "gateway")
    assert error.retry_after_s is not None
    assert await code(auth, exchange()) == "503 keys_unavailable", "it may be open, or it may not"
    ring.replace(ring_with("a"))
    assert await code(auth, exchange(headers={"x-api-key": "secret-of-a"})) == ""
    assert await code(auth, exchange(headers={"x-api-key": "secret-of-b"})) == "401 invalid_api_key"


async def test_configured_keys_count_while_stored_ones_cannot_be_read() -> None:
    ring = KeyRing(configured_secrets([KeyOptions(name="app", key=Secret(SECRET))]))
    ring.unread = True
    auth = Auth(AuthOptions(), ring)
    assert await code(auth, exchange(headers=BEARER)) == ""
    assert await code(auth, exchange()) == "401 missing_api_key"
    assert await code(auth, exchange(headers={"x-api-key": "other"})) == "503 keys_unavailable"
