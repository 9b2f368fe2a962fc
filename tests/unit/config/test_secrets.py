"""No credential shows in repr, str, errors or `edgegate config show`, wherever it was put."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgegate.config.load import load, read
from edgegate.config.model import Config, KeyOptions, ProviderOptions
from edgegate.config.option import Secret
from edgegate.config.problems import shown, shown_name
from edgegate.config.show import show

CANARY = "c4n4ryS3cretV4lue"
FILE = f"""
providers:
  openai:
    api_key: {CANARY}
    headers: {{x-gateway-key: {CANARY}}}
  anthropic: {{api_key: "${{ANTHROPIC}}", base_url: "https://h/v1"}}
keys:
  - {{name: app, key: {CANARY}}}
chain: [auth, {{cache: {{ttl: 90}}}}, forward]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "c.yaml"
    file.write_text(FILE)
    return load(file, {"ANTHROPIC": CANARY, "GROQ_API_KEY": CANARY})


def test_a_configuration_never_shows_its_secrets(config: Config) -> None:
    assert config.providers["openai"].api_key.reveal() == CANARY
    for text in (repr(config), str(config), f"{config}", f"{config.keys[0].key!s:>5}", show(config)):
        assert CANARY not in text


def test_the_shown_configuration_says_what_takes_effect_and_loads_again(config: Config, tmp_path: Path) -> None:
    text = show(config)
    document = yaml.safe_load(text)
    assert document["providers"]["openai"]["api_key"] == "***"
    assert document["providers"]["openai"]["headers"] == {"x-gateway-key": "***"}
    assert document["providers"]["groq"]["api_key"] == "***"
    assert document["chain"][1] == {
        "cache": {"ttl": "90s", "max_entries": 10000, "max_bytes": "64MiB", "max_entry": "1MiB", "max_temperature": 0.0}
    }
    again = tmp_path / "again.yaml"
    again.write_text(text)
    loaded = read(again, {})
    assert not loaded.problems
    assert (loaded.config.server, loaded.config.chain) == (config.server, config.chain)


@pytest.mark.parametrize(
    "text",
    [
        f"keys: [{CANARY}]",
        f"keys: {CANARY}",
        f"keys: [{{name: a, key: [{CANARY}]}}]",
        f"keys: [{{name: a, hash: {CANARY}{CANARY}}}]",
        f"keys: [{{name: a, kye: {CANARY}}}]",
        f"keys: [{{name: a, key: {CANARY}, key: {CANARY}}}]",
        f"keys: [{{name: a, key: {CANARY}}}, {{name: b, key: {CANARY}}}]",
        "server: {workers: '${CANARY}', drain: '${CANARY}', max_body: 'x${CANARY}', listen: '${CANARY}'}",
        "server: {workers: '${NOPE:?${CANARY}}'}",
        "log: {level: '${CANARY}', prompts: '${CANARY}'}",
        "models: {default_provider: '${CANARY}${CANARY}', aliases: {a: '${CANARY}${CANARY}/x'}}",
        f"providers: {{openai: {{api_key: {CANARY}, base_url: 'https://u:{CANARY}@h'}}}}",
        f"providers: {{openai: {{headers: {{a: [{CANARY}]}}}}}}",
        'providers: {openai: {headers: {a: "${CANARY}\\n"}}}',
        "chain: ['${CANARY}${CANARY}']",
        f"keys:\n  - key: {CANARY}: x",
        f"keys: [{{key: '{CANARY}]",
        f"keys: [{{key: !{CANARY} x}}]",
    ],
)
def test_an_error_never_shows_a_secret(text: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    loaded = read(file, {"CANARY": CANARY + "0123456789"})
    assert loaded.problems
    assert CANARY not in "\n".join(str(problem) for problem in loaded.problems)


@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abcdef", "sk-ant-api03-xyz", "gsk_abcdefgh", "Bearer abc", "0123456789abcdef0123456789abcdef", "AIzaSyA1234567890abcdefghijk",
     "gw-prod-abc123", "https://user:pw@host", "12345678-1234-1234-1234-123456789abc", "x" * 41],
)  # fmt: skip
def test_what_looks_like_a_credential_is_not_quoted(secret: str) -> None:
    assert shown(secret) == f"a text of {len(secret)} characters"
    assert shown_name(secret) == "***"


@pytest.mark.parametrize("text", ["yes", "1:30", "loud", "gpt-4o", "claude-sonnet-4-5", "10.0.0.0/8", "tokens", "http://host:1/v1"])
def test_harmless_values_are_quoted(text: str) -> None:
    assert shown(text) == f"`{text}`"


@given(st.text(min_size=12, alphabet=st.characters(min_codepoint=48, max_codepoint=122)))
def test_a_secret_shows_nothing_of_itself(value: str) -> None:
    secret = Secret(value)
    options = (KeyOptions(key=secret), ProviderOptions(api_key=secret, headers={"a": value}))
    assert value not in repr(secret) + str(secret) + f"{secret}" + repr(options)
    assert bool(secret)
    assert secret == Secret(value)
