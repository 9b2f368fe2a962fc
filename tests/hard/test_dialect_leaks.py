"""A provider that quotes what it was sent: no credential of ours reaches a client, a header or the log, in whatever dialect.

Keys from the configuration, bearer tokens read from a file, AWS session tokens and signatures, and keys in headers of one's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgegate.config.model import ProviderOptions
from edgegate.config.option import Secret
from tests.hard.live import Live
from tests.hard.many import many, served
from tests.hard.misbehaving import Peer, Play, Provider, Step
from tests.hard.raw_client import RawClient, request
from tests.hard.speech import chunk, dumps, http
from tests.hard.tongues import BEARER, SURFACES
from tests.hard.vendors import VENDORS, frame, sse

TOKEN = "ya29.a0AfTokenOfTheFile-51c2d9"
HEADER_KEY = "own-header-key-7781aa"
AWS = {
    "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE7781QQ",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEJr//////////wEaDExample+Session/Token==",
    "AWS_REGION": "us-east-1",
}
SENT = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token", "x-own-api-key")
MODELS = {
    "openai": ("openai", "gpt-4o"),
    "anthropic": ("anthropic", "claude-haiku-4-5"),
    "gemini": ("gemini", "gemini-2.5-flash"),
    "bedrock": ("bedrock", "amazon.nova-lite-v1:0"),
    "vertex": ("gemini", "vertex-1"),
    "azure": ("openai", "azure-1"),
    "aws": ("bedrock", "aws-1"),
    "own": ("openai", "own-1"),
}
SPOKEN = ("chat", "responses", "messages", "gemini", "gemini array", "ollama chat", "cohere chat")


@pytest.fixture(scope="module")
def leaky(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    file: Path = tmp_path_factory.mktemp("leaks") / "token"
    file.write_text(TOKEN + "\n")
    basis = many(_provider.port)
    here = f"http://127.0.0.1:{_provider.port}"
    more = {
        "vertex": ProviderOptions(dialect="vertex", base_url=here, token_file=str(file), project="p", models=("vertex-1",)),
        "azure": ProviderOptions(dialect="azure", base_url=here, token_file=str(file), models=("azure-1",)),
        "aws": ProviderOptions(dialect="bedrock", base_url=here, models=("aws-1",)),
        "own": ProviderOptions(
            dialect="openai",
            base_url=f"{here}/v1",
            api_key=Secret("unused-key-0000"),
            headers={"X-Own-Api-Key": HEADER_KEY},
            models=("own-1",),
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in AWS.items():
            patch.setenv(name, value)
        live = Live(replace(basis, providers=basis.providers | more))
        yield live
        live.close()


Quote = Callable[[str, str], bytes]
"""(the provider's dialect, what it was sent) -> its reply."""


def quoting(quote: Quote, dialect: str) -> Step:
    async def step(peer: Peer) -> None:
        got = peer.provider.requests[-1]
        sent = " and ".join(f"{name}: {value}" for name, value in got.headers if name in SENT)
        assert sent, "no credential was sent"
        await peer.send(quote(dialect, sent))

    return step


def error(dialect: str, words: str) -> bytes:
    match dialect:
        case "openai":
            return dumps({"error": {"message": words, "type": words, "param": words, "code": words, "innererror": {"x": words}}})
        case "anthropic":
            return dumps({"type": "error", "error": {"type": words, "message": words}, "request_id": words})
        case "gemini":
            return dumps(
                {"error": {"code": 401, "message": words, "status": "UNAUTHENTICATED", "details": [{"@type": "x", "reason": words}]}}
            )
    return dumps({"message": f"The request signature does not match. The canonical request is '{words}'", "__type": words})


def event(dialect: str, words: str) -> bytes:
    if dialect == "bedrock":
        return frame("validationException", {"message": words}, "exception")
    return sse(json.loads(error(dialect, words)), "error" if dialect == "anthropic" else "")


def begun(dialect: str) -> bytes:
    vendor = VENDORS[dialect]
    return vendor.head() + chunk(b"".join(vendor.text[: vendor.mid]))


QUOTES: dict[str, tuple[Quote, bool]] = {
    "an error with 401": (lambda d, w: http(error(d, w), f"x-ms-note: {w}".encode(), status=b"401 No"), False),
    "an error with 400": (lambda d, w: http(error(d, w), status=b"400 No"), False),
    "an error with 500": (lambda d, w: http(error(d, w), f"x-request-id: {w}".encode(), status=b"500 Oops"), False),
    "a page": (lambda d, w: http(f"<html><body>{w}</body></html>".encode(), status=b"403 No", type=b"text/html"), False),
    "an error hidden in a 200": (lambda d, w: http(error(d, w), f"openai-note: {w}".encode()), False),
    "headers of an answer": (lambda d, w: http(VENDORS[d].whole, f"x-ratelimit-key: {w}".encode(), f"x-request-id: {w}".encode()), False),
    "an error for a stream": (lambda d, w: http(error(d, w), status=b"401 No"), True),
    "an error event first": (lambda d, w: VENDORS[d].stream(event(d, w)), True),
    "an error event in a stream": (lambda d, w: begun(d) + chunk(event(d, w)) + b"0\r\n\r\n", True),
    "headers of a stream": (lambda d, w: VENDORS[d].stream(b"".join(VENDORS[d].text), f"x-ms-note: {w}".encode()), True),
}


def secrets(provider: Provider) -> set[bytes]:
    """All that was proved with, and what was it proved from."""
    found = {value.encode() for value in (TOKEN, HEADER_KEY, *AWS.values()) if value != AWS["AWS_REGION"]}
    for got in provider.requests:
        for name, value in got.headers:
            if name in SENT:
                found.add(value.rpartition(" ")[2].removeprefix("Signature=").encode("latin-1"))
    return found


@pytest.mark.parametrize("how", list(QUOTES))
@pytest.mark.parametrize("name", list(MODELS))
def test_a_credential_that_is_quoted_stays_here(name: str, how: str, leaky: Live, provider: Provider) -> None:
    dialect, model = MODELS[name]
    quote, stream = QUOTES[how]
    with served(leaky, provider) as live:
        for surface in SPOKEN:
            if surface == "gemini array" and not stream:
                continue
            provider.clear()
            with RawClient(live.port) as client:
                provider.plays(Play([quoting(quote, dialect)]))
                client.send(SURFACES[surface].ask(model, f"x-request-id: leak-{SPOKEN.index(surface)}", stream=stream))
                reply = client.reply()
                assert "headers" in how or reply.status >= 400 or how == "an error event in a stream", (surface, reply.status, reply.body)
                live.logged(f"leak-{SPOKEN.index(surface)}")
                assert len(provider.requests) == 1, "the provider was not asked"
                for secret in secrets(provider):
                    assert secret not in bytes(client.received), f"{surface}: {secret!r} in {bytes(client.received)!r}"
                    assert secret not in live.log.getvalue()


@pytest.mark.parametrize("path", ["/{}/v1/things", "/v1/images/generations", "/v1beta/models/{}:fooBar"])
@pytest.mark.parametrize("name", list(MODELS))
def test_a_credential_that_is_quoted_on_a_passed_path_stays_here(name: str, path: str, leaky: Live, provider: Provider) -> None:
    dialect, model = MODELS[name]
    body = dumps({"model": model, "prompt": "x"})

    def quote(dialect: str, words: str) -> bytes:
        return http(error(dialect, words), f"x-note: {words}".encode(), status=b"401 No")

    with served(leaky, provider) as live, RawClient(live.port) as client:
        provider.plays(Play([quoting(quote, dialect)]))
        client.send(request(path.format(name if "things" in path else model), body, BEARER, "content-type: application/json"))
        reply = client.reply()
        assert reply.status in (401, 404), reply.body
        for secret in secrets(provider):
            assert secret not in bytes(client.received)
            assert secret not in live.log.getvalue()
