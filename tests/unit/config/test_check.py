from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from edgegate.config.chain import default_chain
from edgegate.config.check import DEFAULT_SECRETS, check
from edgegate.config.model import Config, KeyOptions, ModelOptions, ProviderOptions, ServerOptions, StageOptions, TlsOptions
from edgegate.config.option import Secret
from edgegate.config.stages import AuthOptions

KEY = KeyOptions(name="app", key=Secret("a-long-random-key-of-an-app"))
ANONYMOUS = (StageOptions("auth", AuthOptions(anonymous=True)), *default_chain()[1:])


def config(**parts: object) -> Config:
    return replace(Config(chain=default_chain()), **parts)  # type: ignore[arg-type]


def found(**parts: object) -> list[str]:
    return [f"{problem.path}: {problem.text}" for problem in check(config(**parts))]


def listening(address: str) -> ServerOptions:
    return ServerOptions(listen=address)


def test_the_defaults_have_no_problems() -> None:
    assert found() == []


@pytest.mark.parametrize("address", ["127.0.0.1:80", "127.9.9.9:80", "localhost:80", "[::1]:80", "unix:/run/edgegate.sock"])
def test_loopback_may_be_served_without_keys(address: str) -> None:
    assert found(server=listening(address)) == []


@pytest.mark.parametrize("address", [":80", "0.0.0.0:80", "[::]:80", "10.0.0.1:80", "gateway.example:80", "localhost.example:80"])
def test_a_network_is_not_served_without_keys_unless_that_is_said(address: str) -> None:
    (problem,) = found(server=listening(address))
    assert "no caller would need a key" in problem
    assert found(server=listening(address), keys=(KEY,)) == []
    assert found(server=listening(address), chain=ANONYMOUS) == []


def test_a_network_is_not_served_by_a_chain_without_auth() -> None:
    (problem,) = found(server=listening(":80"), chain=default_chain()[1:])
    assert "no caller would need a key" in problem


def test_keys_that_nothing_asks_for_are_an_error() -> None:
    assert found(keys=(KEY,), chain=default_chain()[1:]) == ["chain: keys are configured but nothing asks for them: put `auth` first"]


@pytest.mark.parametrize(
    "address",
    ["", "80", "host", "host:", "host:99999", "1:2:3", "::1:80", "unix:relative", "999.1.1.1:80", "http://x:80", "[x]:1", "a b:1"],
)
def test_an_address_that_cannot_be_read_is_an_error(address: str) -> None:
    (problem,) = found(server=listening(address))
    assert problem.startswith("server.listen: expected ")


@pytest.mark.parametrize("secret", [*DEFAULT_SECRETS[:3], "CHANGEME"])
def test_a_publicly_known_secret_is_refused_on_a_network_and_tolerated_on_loopback(secret: str) -> None:
    keys = (KEY, KeyOptions(name="b", key=Secret(secret)))
    assert found(server=listening(":80"), keys=keys) == [
        "keys[1]: this key is a publicly known default, and :80 can be reached from other machines"
    ]
    assert found(keys=keys) == []


def test_a_publicly_known_secret_is_recognised_by_its_hash() -> None:
    digest = "sha256:" + hashlib.sha256(b"sk-1234").hexdigest()
    (problem,) = found(server=listening(":80"), keys=(KeyOptions(hash=digest),))
    assert "publicly known default" in problem


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ((KeyOptions(name="a"),), "keys[0]: expected one of `key` and `hash`, got neither"),
        ((replace(KEY, hash="sha256:" + "0" * 64),), "keys[0]: expected one of `key` and `hash`, got both"),
        ((KeyOptions(hash="sha256:" + "0" * 63),), "keys[0].hash: expected `sha256:` and 64 lower-case hex digits"),
        ((KeyOptions(hash="md5:" + "0" * 64),), "keys[0].hash: expected `sha256:` and 64 lower-case hex digits"),
        ((KEY, replace(KEY, name="other")), "keys[1]: the same key as keys[0]"),
        (
            (KEY, KeyOptions(name="b", hash="sha256:" + hashlib.sha256(KEY.key.reveal().encode()).hexdigest())),
            "keys[1]: the same key as keys[0]",
        ),
        ((KEY, replace(KEY, key=Secret("another"))), "keys[1].name: the same name as keys[0]; logs and metrics could not tell them apart"),
        ((replace(KEY, providers=("opanai",)),), "keys[0].providers[0]: no provider `opanai` is configured; did you mean `openai`?"),
    ],
)
def test_a_key_that_cannot_be_used_is_an_error(keys: tuple[KeyOptions, ...], problem: str) -> None:
    assert found(keys=keys, providers={"openai": ProviderOptions()}) == [problem]


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("mine", ProviderOptions(), "providers.mine: the name is none of a dialect, so the entry needs `dialect`"),
        (
            "opnai",
            ProviderOptions(),
            "providers.opnai: the name is none of a dialect, so the entry needs `dialect`; did you mean `openai`?",
        ),
        ("mine", ProviderOptions(dialect="gorq"), "providers.mine.dialect: no dialect `gorq`; did you mean `groq`?"),
        ("v1", ProviderOptions(dialect="openai"), "providers.v1: the gateway's own paths begin with /v1; choose another name"),
        (
            "a/b",
            ProviderOptions(dialect="openai"),
            "providers.a/b: a provider's name has lower-case letters, digits, `-`, `_` and `.` only",
        ),
        (
            "OpenAI",
            ProviderOptions(dialect="openai"),
            "providers.OpenAI: a provider's name has lower-case letters, digits, `-`, `_` and `.` only",
        ),
        ("snowflake", ProviderOptions(), "providers.snowflake: `base_url` is needed: snowflake has no address of its own without it"),
        ("app", ProviderOptions(dialect="http"), "providers.app: `base_url` is needed: http has no address of its own without it"),
        ("azure", ProviderOptions(), "providers.azure: `base_url` is needed: azure has no address of its own without it"),
        ("vertex", ProviderOptions(), "providers.vertex: `project` is needed: vertex has no address of its own without it"),
        ("vertex", ProviderOptions(project="p", location="a/b"), "providers.vertex: not a location of Google Cloud: 'a/b'"),
        ("bedrock", ProviderOptions(), "providers.bedrock: `region` is needed: bedrock has no address of its own without it"),
        ("bedrock", ProviderOptions(region="evil.example/"), "providers.bedrock: not an AWS region: 'evil.example/'"),
        (
            "openai",
            ProviderOptions(token_file="/t", token_command=("t",)),
            "providers.openai.token_command: a token comes from `token_file` or from `token_command`, not from both",
        ),
        ("openai", ProviderOptions(ca_file="/nope.pem"), "providers.openai.ca_file: no file /nope.pem"),
        ("openai", ProviderOptions(headers={"host": "x"}), "providers.openai.headers.host: this header is the gateway's own to set"),
        ("openai", ProviderOptions(headers={"a b": "x"}), "providers.openai.headers: a header's name has letters, digits and `-` only"),
        (
            "openai",
            ProviderOptions(base_url="http://127.0.0.1:8080/v1"),
            "providers.openai.base_url: this is the gateway's own address (is OPENAI_BASE_URL meant for the apps?)",
        ),
        ("llamacpp", ProviderOptions(), "providers.llamacpp.base_url: this is the gateway's own address"),
    ],
)
def test_a_provider_that_cannot_be_used_is_an_error(name: str, options: ProviderOptions, problem: str) -> None:
    assert [text.partition("; known are")[0] for text in found(providers={name: options})] == [problem]


@pytest.mark.parametrize(
    "url", ["ftp://x", "x", "https://", "http:///v1", "http://h:99999", "file:///etc/passwd", "http://[", "https://a b", "//host"]
)
def test_an_address_of_a_provider_is_an_http_url_with_a_host(url: str) -> None:
    (problem,) = found(providers={"openai": ProviderOptions(base_url=url)})
    assert problem.startswith("providers.openai.base_url: expected a URL such as ")


@pytest.mark.parametrize("url", ["https://h/v1?x=1", "https://h/v1#x"])
def test_an_address_of_a_provider_has_no_query(url: str) -> None:
    assert found(providers={"openai": ProviderOptions(base_url=url)}) == ["providers.openai.base_url: expected a URL without `?` and `#`"]


def test_a_password_in_an_address_is_refused_without_being_shown() -> None:
    problems = found(providers={"openai": ProviderOptions(base_url="https://user:hunter2@h")})
    assert len(problems) == 1
    assert "hunter2" not in str(problems)


PROVIDERS = {"openai": ProviderOptions(), "groq": ProviderOptions(models=("meta-llama/llama-4-scout", "openrouter/auto"))}


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        (ModelOptions(default_provider="grok"), "models.default_provider: no provider `grok` is configured; did you mean `groq`?"),
        (
            ModelOptions(default_provider="mistral"),
            "models.default_provider: no provider `mistral` is configured; set MISTRAL_API_KEY or add it under `providers`",
        ),
        (ModelOptions(aliases={"fast": "gorq/llama"}), "models.aliases.fast: no provider `gorq` is configured; did you mean `groq`?"),
        (
            ModelOptions(aliases={"fast": "anthropic/claude"}),
            "models.aliases.fast: no provider `anthropic` is configured; set ANTHROPIC_API_KEY or add it under `providers`",
        ),
        (
            ModelOptions(fallbacks={"a": ("gpt-4o", "mistral/x")}),
            "models.fallbacks.a[1]: no provider `mistral` is configured; set MISTRAL_API_KEY or add it under `providers`",
        ),
        (ModelOptions(aliases={"fast": "openai/"}), "models.aliases.fast: expected a model, or `provider/model`"),
        (ModelOptions(aliases={"fast": ""}), "models.aliases.fast: expected a model, or `provider/model`"),
        (ModelOptions(aliases={"a": "a"}), "models.aliases.a: this alias leads back to itself"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(models: ModelOptions, problem: str) -> None:
    assert found(models=models, providers=PROVIDERS) == [problem]


@pytest.mark.parametrize(
    "models",
    [
        ModelOptions(default_provider="groq", aliases={"fast": "groq/llama-3.1-8b-instant", "quick": "fast", "big": "gpt-4o"}),
        ModelOptions(
            aliases={"a": "groq/meta-llama/llama-4-scout", "b": "meta-llama/llama-4-scout", "c": "qwen/qwen3-32b", "d": "openrouter/auto"}
        ),
        ModelOptions(fallbacks={"gpt-4o": ("openai/gpt-4o-mini", "groq/x", "some-model")}),
    ],
)
def test_names_that_lead_to_providers_models_or_aliases_are_fine(models: ModelOptions) -> None:
    assert found(models=models, providers=PROVIDERS) == []


def test_alias_circles_are_found_and_what_leads_into_them_is_not_blamed() -> None:
    problems = found(models=ModelOptions(aliases={"a": "b", "b": "c", "c": "a", "into": "a"}))
    assert [problem.partition(":")[0] for problem in problems] == ["models.aliases.a", "models.aliases.b", "models.aliases.c"]


def test_certificate_and_key_must_be_files(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    cert.write_text("x")
    assert found(server=ServerOptions(tls=TlsOptions(cert=str(cert), key=str(cert)))) == []
    assert found(server=ServerOptions(tls=TlsOptions(cert=str(cert)))) == [
        "server.tls.key: expected a PEM file; certificate and key go together"
    ]
    assert found(server=ServerOptions(tls=TlsOptions(cert=str(tmp_path), key=str(cert)))) == [f"server.tls.cert: no file {tmp_path}"]
