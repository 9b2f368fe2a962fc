"""JSON Web Tokens: which are accepted, whose they are, and where the keys come from that they are checked with."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from edgegate.access.jwt import TokenRefused, at, caller_of, ends, is_safe_url, read_header
from edgegate.access.keys import KeyRing
from edgegate.config.stages import AuthOptions, JwtOptions
from edgegate.errors import GatewayError
from edgegate.exchange import Exchange
from edgegate.stages.auth import Auth
from edgegate.stages.tokens_jwt import Tokens
from edgegate.upstream.jwks import KeySet
from edgegate.upstream.side import Side
from tests.unit.access.issuer import AUDIENCE, ISSUER, NOW, Documents, HttpsIssuer, claims, ec_key, ed_key, jwk, options, rsa_key, token
from tests.unit.core.parts import Clock, exchange, until
from tests.unit.core.test_auth import end

RSA = rsa_key()
RSA_JWK = jwk(RSA, "one")


class Stand:
    """An auth stage that takes tokens, and what it is made of."""

    def __init__(self, given: JwtOptions, side: Any, remembered: int = 10_000, retry_s: float = 60.0, **auth: Any) -> None:
        self.unix, self.clock, self.side = Clock(NOW), Clock(), side
        self.errors: list[str] = []
        self.keys = KeySet(given, side, self.errors.append, clock=self.clock, retry_s=retry_s)
        self.tokens = Tokens(given, self.keys, self.unix, remembered)
        self.auth = Auth(AuthOptions(jwt=given, **auth), KeyRing([]), (), self.tokens, self.unix)

    async def ask(self, secret: str, **headers: str) -> Exchange | GatewayError:
        ex = exchange(headers={"Authorization": f"Bearer {secret}"} | headers)
        refusal: GatewayError | None = None
        try:
            await self.auth(ex, end)
        except GatewayError as error:
            refusal = error
        if refusal is None:
            return ex
        assert secret not in refusal.message
        return refusal

    async def code(self, secret: str) -> str:
        answer = await self.ask(secret)
        return f"{answer.status} {answer.code}" if isinstance(answer, GatewayError) else ""

    async def caller(self, secret: str, **headers: str) -> tuple[str, str, str]:
        answer = await self.ask(secret, **headers)
        assert isinstance(answer, Exchange), answer
        assert answer.key is not None
        return answer.key.name, answer.key.tenant, answer.user


@contextlib.asynccontextmanager
async def standing(given: JwtOptions | None = None, side: Any = None, **more: Any) -> AsyncIterator[Stand]:
    stand = Stand(given or options(), Documents(RSA_JWK) if side is None else side, **more)
    await stand.auth.open()
    try:
        yield stand
    finally:
        await stand.auth.close()


# -- signatures


@pytest.mark.parametrize(("make", "algorithm"), [(rsa_key, "RS256"), (ec_key, "ES256"), (ed_key, "EdDSA")])
async def test_a_token_of_each_usual_algorithm_makes_its_bearer_known(make: Callable[[], Any], algorithm: str) -> None:
    key = make()
    async with standing(side=Documents(jwk(make(), "other"), jwk(key, "one"))) as stand:
        assert await stand.caller(token(key, algorithm)) == ("jwt:alice", "", "alice")
        assert await stand.code(token(make(), algorithm)) == "401 invalid_token", "another key of the same id"
        assert await stand.code(token(key, algorithm, kid="")) == "", "without a key id every key that fits is tried"


async def test_a_further_algorithm_can_be_allowed() -> None:
    assert await_code(await ask_with(options(algorithms=("PS256",)), token(RSA, "PS256"))) == ""
    assert await_code(await ask_with(options(), token(RSA, "PS256"))) == "401 invalid_token"


async def ask_with(given: JwtOptions, secret: str, **side: Any) -> Exchange | GatewayError:
    async with standing(given, **side) as stand:
        return await stand.ask(secret)


def await_code(answer: Exchange | GatewayError) -> str:
    return f"{answer.status} {answer.code}" if isinstance(answer, GatewayError) else ""


def signed_by_hand(header: dict[str, Any], payload: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), payload if isinstance(payload, bytes) else json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "RS1", "HS256"])
async def test_an_unsigned_token_is_refused_whatever_it_calls_that(alg: str) -> None:
    async with standing() as stand:
        assert await stand.code(signed_by_hand({"alg": alg, "kid": "one", "typ": "JWT"}, claims())) == "401 invalid_token"
        assert await stand.code(signed_by_hand({"alg": alg}, claims(), b"x")) == "401 invalid_token"


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
async def test_a_public_key_is_no_shared_secret(algorithm: str) -> None:
    """The oldest trick: sign with HMAC, with the public key, which everybody has, as the secret."""
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = signed_by_hand({"alg": algorithm, "kid": "one"}, claims())[:-1]
    mac = hmac.new(public, unsigned.encode(), getattr(hashlib, "sha" + algorithm[2:])).digest()
    forged = f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    assert await_code(await ask_with(options(), forged)) == "401 invalid_token"
    careless = options(algorithms=("RS256", algorithm))  # the configuration check refuses it; here nothing fits it
    assert await_code(await ask_with(careless, forged)) == "401 invalid_token"
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(public).decode(), "kid": "one"}
    assert await_code(await ask_with(careless, forged, side=Documents(RSA_JWK, shared))) == "401 invalid_token"


async def test_a_key_is_only_used_for_what_it_is_for() -> None:
    right = token(RSA)
    for limits in ({"use": "enc"}, {"alg": "RS512"}, {"key_ops": ["encrypt"]}, {"key_ops": "verify"}):
        assert (
            await_code(await ask_with(options(), right, side=Documents(jwk(ec_key(), "two"), jwk(RSA, "one", **limits))))
            == "401 invalid_token"
        )
    assert await_code(await ask_with(options(), right, side=Documents(jwk(RSA, "one", use="sig", alg="RS256", key_ops=["verify"])))) == ""


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_weak_key_of_the_issuer_is_not_used() -> None:
    weak = rsa_key(1024)
    assert await_code(await ask_with(options(), token(weak), side=Documents(jwk(weak, "one"), jwk(ec_key(), "two")))) == "401 invalid_token"


async def test_extensions_that_must_be_understood_are_not() -> None:
    assert await_code(await ask_with(options(), token(RSA, header={"crit": ["exp"], "exp": 1}))) == "401 invalid_token"


async def test_a_token_that_was_changed_is_refused() -> None:
    head, _, signature = token(RSA).split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(sub="root")).encode()).rstrip(b"=").decode()
    async with standing() as stand:
        assert await stand.code(f"{head}.{other}.{signature}") == "401 invalid_token"
        assert await stand.code(f"{head}.{other}.") == "401 invalid_token"


@pytest.mark.parametrize(
    "secret", ["a.b.c", "gw-key.with.dots", "eyJhbGciOjF9.e30.x", "..", "a.b", f"{'A' * 20000}.b.c", "eyJ9.e30.x", "é.e30.x"]
)
async def test_what_is_no_token_is_looked_up_as_a_key(secret: str) -> None:
    assert read_header(secret) is None
    async with standing() as stand:
        assert await stand.code(secret) == "401 invalid_api_key"


@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"\A[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}\Z"),
        st.binary(max_size=40).map(lambda b: signed_by_hand({"alg": "x"}, b)),
    )
)
def test_any_text_has_a_header_or_has_none(text: str) -> None:
    header = read_header(text)
    assert header is None or isinstance(header.alg, str)


# -- claims


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"exp": None}, "invalid_token"),
        ({"exp": "soon"}, "invalid_token"),
        ({"exp": True}, "invalid_token"),
        ({"exp": NOW - 31}, "token_expired"),
        ({"exp": NOW - 29}, ""),
        ({"nbf": NOW + 31}, "invalid_token"),
        ({"nbf": NOW + 29}, ""),
        ({"iat": NOW + 31}, "invalid_token"),
        ({"iat": None, "nbf": None}, ""),
        ({"iss": "https://other.example"}, "invalid_token"),
        ({"iss": ISSUER + "/"}, "invalid_token"),
        ({"iss": None}, "invalid_token"),
        ({"aud": "somebody-else"}, "invalid_token"),
        ({"aud": None}, "invalid_token"),
        ({"aud": []}, "invalid_token"),
        ({"aud": [7, AUDIENCE]}, ""),
        ({"aud": {"a": AUDIENCE}}, "invalid_token"),
        ({"sub": None}, "invalid_token"),
        ({"sub": ["alice"]}, "invalid_token"),
        ({"sub": True}, "invalid_token"),
        ({"sub": " "}, "invalid_token"),
    ],
)
async def test_claims_that_do_not_hold_are_refused(changed: dict[str, Any], code: str) -> None:
    payload = json.dumps(claims(**changed)).encode()
    found = ""
    try:
        read, _ = ends(payload, options(), NOW)
        caller_of(read, options())
    except TokenRefused as refusal:
        found = "token_expired" if refusal.expired else "invalid_token"
    assert found == code
    signature = jwt.PyJWS().encode(payload, RSA, "RS256", headers={"kid": "one"})
    assert await_code(await ask_with(options(), signature)) == (code and f"401 {code}")


@pytest.mark.parametrize("payload", [b"[]", b"nonsense", b'{"exp": NaN}', b'{"exp": 1e999}', b"\xff", b"", b'{"exp":' * 3000])
def test_a_payload_that_is_no_object_of_claims_is_refused(payload: bytes) -> None:
    with pytest.raises(TokenRefused):
        ends(payload, options(), NOW)


async def test_the_claims_say_who_it_is() -> None:
    given = options(tenant_claim="org.id", user_claim="email", name_claim="https://x.example/app", models_claim="models")
    named: Any = {"https://x.example/app": "reports"}
    secret = token(RSA, org={"id": 42}, email="a@example.com", models=["gpt-*"], **named)
    answer = await ask_with(given, secret)
    assert isinstance(answer, Exchange)
    key = answer.key
    assert key is not None
    assert (key.name, key.tenant, key.user, key.models) == ("reports", "42", "a@example.com", ("gpt-*",))


@pytest.mark.parametrize(
    ("models", "allows", "refuses"),
    [(None, "anything", ""), (["a", "b*"], "bb", "c"), ("a b", "b", "c"), ([], "", "a"), ("", "", "a")],
)
def test_the_models_of_a_token(models: Any, allows: str, refuses: str) -> None:
    key = caller_of(claims(models=models), options(models_claim="models"))
    assert not allows or key.allows_model(allows)
    assert not refuses or not key.allows_model(refuses)


@pytest.mark.parametrize("models", [7, {"a": 1}, [7], [""], True])
def test_models_that_cannot_be_read_are_not_taken_for_all(models: Any) -> None:
    with pytest.raises(TokenRefused):
        caller_of(claims(models=models), options(models_claim="models"))


@pytest.mark.parametrize(
    ("path", "value"), [("a.b", 1), ("a", {"b": 1}), ("a.c", None), ("a.b.c", None), ("x", None), ("d.e", 2), ("a..b", None)]
)
def test_dots_lead_into_objects_unless_a_claim_is_called_so(path: str, value: Any) -> None:
    assert at({"a": {"b": 1}, "d.e": 2, "d": {"e": 3}}, path) == value


async def test_a_tokens_user_is_not_changed_by_the_body_or_a_header() -> None:
    async with standing() as stand:
        assert await stand.caller(token(RSA), **{"X-User-ID": "mallory"}) == ("jwt:alice", "", "alice")


async def test_a_request_without_a_token_is_refused() -> None:
    async with standing() as stand:
        with pytest.raises(GatewayError) as caught:
            stand.auth(exchange(), end)
        assert (caught.value.status, caught.value.code) == (401, "missing_api_key")


# -- memory


async def test_a_token_is_checked_once_and_remembered_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = 0
    real = jwt.PyJWS.decode_complete

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal checked
        checked += 1
        return real(*args, **more)

    monkeypatch.setattr(jwt.PyJWS, "decode_complete", counted)
    async with standing() as stand:
        secret = token(RSA)
        for _ in range(5):
            assert await stand.code(secret) == ""
        assert checked == 1
        stand.unix.now = NOW + 629.9
        assert await stand.code(secret) == "", "the leeway counts"
        stand.unix.now = NOW + 630
        assert await stand.code(secret) == "401 token_expired"
        assert secret not in str(stand.tokens._known), "a digest is kept, not the token"


async def test_the_memory_is_bounded() -> None:
    async with standing(remembered=3) as stand:
        for number in range(8):
            assert await stand.code(token(RSA, sub=f"u{number}")) == ""
        assert len(stand.tokens._known) == 3


# -- key sets


async def test_new_keys_are_fetched_for_an_unknown_key_id_though_not_too_often() -> None:
    new = rsa_key()
    documents = Documents(RSA_JWK)
    async with standing(side=documents) as stand:
        assert await stand.code(token(RSA)) == ""
        documents.set(jwk(new, "two"))
        stand.clock.now += 11
        assert await stand.code(token(new, kid="two")) == ""
        assert len(documents.asked) == 2
        for _ in range(5):
            assert await stand.code(token(new, kid="three")) == "401 invalid_token"
        assert len(documents.asked) == 2, "it was asked a moment ago"
        stand.clock.now += 11
        assert await stand.code(token(new, kid="three")) == "401 invalid_token"
        assert len(documents.asked) == 3


async def test_a_key_that_the_issuer_takes_back_ends_the_tokens_that_are_remembered() -> None:
    new = rsa_key()
    documents = Documents(RSA_JWK)
    async with standing(side=documents) as stand:
        old = token(RSA)
        assert await stand.code(old) == ""
        documents.set(jwk(new, "two"))
        stand.clock.now += 11
        assert await stand.code(token(new, kid="two")) == ""
        assert await stand.code(old) == "401 invalid_token"


async def test_the_keys_are_read_again_every_refresh() -> None:
    documents = Documents(RSA_JWK)
    async with standing(options(refresh=0.01), documents):
        await until(lambda: len(documents.asked) > 3)


async def test_the_last_good_keys_stay_while_the_issuer_is_away_or_talks_nonsense() -> None:
    documents = Documents(RSA_JWK)
    async with standing(options(refresh=0.01), documents, retry_s=0.01) as stand:
        assert await stand.code(token(RSA)) == ""
        documents.away = True
        asked = len(documents.asked)
        await until(lambda: len(documents.asked) > asked + 3)
        assert await stand.code(token(RSA, sub="bob")) == ""
        assert await stand.code(token(rsa_key(), kid="new")) == "503 issuer_unavailable", "it may have been signed with a new key"
        documents.away = False
        await until(lambda: not stand.keys.failed)
        answers: list[Any] = [b"<html>", b"[]", {"keys": {}}, {"keys": []}, {"keys": [7, {"kty": "oct", "k": "eA"}]}]
        for nonsense in answers:
            documents.by_url[ISSUER + "/keys"] = nonsense
            await until(lambda: bool(stand.keys.failed))
            assert await stand.code(token(RSA, sub="carol")) == ""
            documents.set(RSA_JWK)
            await until(lambda: not stand.keys.failed)
    assert stand.errors[0] == "it is away"
    assert len(stand.errors) == 6, "each outage is told once"


async def test_a_fresh_gateway_whose_issuer_is_away_answers_503_and_recovers() -> None:
    documents = Documents(RSA_JWK)
    documents.away = True
    async with standing(side=documents, retry_s=0.01) as stand:
        answer = await stand.ask(token(RSA))
        assert isinstance(answer, GatewayError)
        assert (answer.status, answer.code, answer.source.value) == (503, "issuer_unavailable", "gateway")
        assert answer.retry_after_s is not None
        documents.away = False
        await until(lambda: stand.keys.known)
        assert await stand.code(token(RSA)) == ""


async def test_all_that_wait_for_the_keys_wait_for_one_fetch() -> None:
    documents = Documents(RSA_JWK)
    documents.hold = asyncio.Event()
    async with standing(side=documents) as stand:
        waiting = [asyncio.create_task(stand.code(token(RSA, sub=f"u{number}"))) for number in range(20)]
        gone = asyncio.create_task(stand.code(token(RSA)))
        await until(lambda: bool(documents.asked))
        await asyncio.sleep(0)
        gone.cancel()  # whoever leaves takes nobody else's keys along
        documents.hold.set()
        assert await asyncio.gather(*waiting) == [""] * 20
        assert len(documents.asked) == 1


async def test_an_issuer_that_hangs_is_waited_for_no_longer_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgegate.upstream.jwks.FETCH_S", 0.05)
    documents = Documents(RSA_JWK)
    documents.hold = asyncio.Event()
    async with asyncio.timeout(3), standing(side=documents) as stand:
        assert await stand.code(token(RSA)) == "503 issuer_unavailable"


async def test_nothing_runs_on_after_closing() -> None:
    documents = Documents(RSA_JWK)
    documents.hold = asyncio.Event()
    before = asyncio.all_tasks()
    async with standing(side=documents):
        await until(lambda: bool(documents.asked))
    assert asyncio.all_tasks() == before
    assert documents.closed


async def test_keys_may_lie_in_a_file_that_is_read_again(tmp_path: Path) -> None:
    new = rsa_key()
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [RSA_JWK]}))
    async with standing(options(jwks=str(file))) as stand:
        assert await stand.code(token(RSA)) == ""
        file.write_text(json.dumps({"keys": [jwk(new, "two")]}))
        stand.clock.now += 11
        assert await stand.code(token(new, kid="two")) == ""
        file.unlink()
        stand.clock.now += 11
        assert await stand.code(token(new, kid="three")) == "503 issuer_unavailable"
        assert await stand.code(token(new, kid="two", sub="bob")) == ""


async def test_the_private_part_of_a_key_in_the_set_is_not_kept() -> None:
    private = jwt.algorithms.RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"kid": "one", "key_ops": ["sign", "verify"]}
    async with standing(side=Documents(private)) as stand:
        assert await stand.code(token(RSA)) == ""
        assert not {"d", "p", "q"} & stand.keys._keys[0].keys()


# -- a real issuer


def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's context, and one for clients that trust it."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def trusting(context: ssl.SSLContext) -> Side:
    side = Side()
    side._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), trust_env=False)
    return side


async def test_an_issuer_is_discovered_over_tls() -> None:
    server, client = tls()
    async with HttpsIssuer(server) as issuer:
        issuer.bodies["/.well-known/openid-configuration"] = {"issuer": issuer.url, "jwks_uri": issuer.url + "/keys"}
        issuer.bodies["/keys"] = {"keys": [RSA_JWK]}
        async with standing(options(jwks="", issuer=issuer.url), trusting(client)) as stand:
            assert await stand.caller(token(RSA, iss=issuer.url)) == ("jwt:alice", "", "alice")
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_an_issuer_whose_certificate_is_not_trusted_is_no_issuer() -> None:
    server, _ = tls()
    async with HttpsIssuer(server) as issuer:
        issuer.bodies["/keys"] = {"keys": [RSA_JWK]}
        async with standing(options(jwks=issuer.url + "/keys"), Side()) as stand:
            assert await stand.code(token(RSA)) == "503 issuer_unavailable"
        assert issuer.asked == []


async def test_redirects_of_an_issuer_are_not_followed() -> None:
    server, client = tls()
    async with HttpsIssuer(server) as issuer, HttpsIssuer(server) as other:
        issuer.moved["/keys"] = other.url + "/keys"
        other.bodies["/keys"] = {"keys": [RSA_JWK]}
        async with standing(options(jwks=issuer.url + "/keys"), trusting(client)) as stand:
            assert await stand.code(token(RSA)) == "503 issuer_unavailable"
        assert other.asked == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://other.example", "jwks_uri": ISSUER + "/keys"},
        {"issuer": ISSUER, "jwks_uri": "http://issuer.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 7},
    ],
)
async def test_metadata_that_leads_astray_is_not_followed(metadata: dict[str, Any]) -> None:
    documents = Documents(RSA_JWK)
    documents.by_url[ISSUER + "/.well-known/openid-configuration"] = metadata
    async with standing(options(jwks=""), documents) as stand:
        assert await stand.code(token(RSA)) == "503 issuer_unavailable"
    assert documents.asked == [ISSUER + "/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://issuer.example/keys", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]:80/keys", True),
        ("http://issuer.example/keys", False),
        ("http://localhost.example/keys", False),
        ("http://127.0.0.1.example/", False),
        ("https://user:word@issuer.example/", False),
        ("https://", False),
        ("https:///keys", False),
        ("ftp://issuer.example", False),
        ("file:///keys", False),
        ("https://a b/", False),
        ("https://[::1", False),
        ("https://issuer.example:99999/", False),
    ],
)
def test_keys_come_over_tls_or_from_this_machine(url: str, safe: bool) -> None:
    assert is_safe_url(url) is safe
