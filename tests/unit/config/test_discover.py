from __future__ import annotations

import pytest

from edgegate.config.discover import NATIVE, Vendor, address_of, base_address, discover, vendor_defaults, vendors
from edgegate.config.model import ProviderOptions
from edgegate.config.option import Secret
from edgegate.dialects.compat import COMPAT, Compat


def test_nothing_is_found_in_an_empty_environment() -> None:
    assert discover({}, {}) == {}
    assert discover({}, {"OPENAI_API_KEY": "", "OLLAMA_HOST": ""}) == {}


def test_a_vendor_whose_key_is_set_needs_no_entry() -> None:
    found = discover({}, {"OPENAI_API_KEY": " sk-1\n"})
    assert found == {"openai": ProviderOptions(api_key=Secret("sk-1"))}


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("anthropic", "ANTHROPIC_API_KEY"), ("anthropic", "CLAUDE_API_KEY"), ("gemini", "GEMINI_API_KEY"), ("gemini", "GOOGLE_API_KEY"),
        ("mistral", "MISTRAL_API_KEY"), *((row.name, row.key) for row in COMPAT.values() if not row.shared_key),
    ],
)  # fmt: skip
def test_every_usual_variable_is_known(name: str, variable: str) -> None:
    assert discover({}, {variable: "k"})[name].api_key == Secret("k")


@pytest.mark.parametrize("row", [row for row in COMPAT.values() if row.shared_key], ids=lambda row: row.name)
def test_a_variable_that_serves_other_purposes_adds_no_provider_but_completes_one(row: Compat) -> None:
    assert row.name not in discover({}, {row.key: "k"})
    assert discover({row.name: ProviderOptions()}, {row.key: "k"})[row.name].api_key == Secret("k")


def test_the_first_of_two_variables_counts() -> None:
    assert discover({}, {"CLAUDE_API_KEY": "old", "ANTHROPIC_API_KEY": "new"})["anthropic"].api_key == Secret("new")


def test_what_is_in_the_file_comes_first_and_the_rest_in_order_of_preference() -> None:
    env = {"GROQ_API_KEY": "g", "OLLAMA_URL": "http://box:1", "MISTRAL_API_KEY": "m", "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"}
    found = discover({"mine": ProviderOptions(dialect="openai"), "mistral": ProviderOptions(api_key=Secret("x"))}, env)
    assert list(found) == ["mine", "mistral", "openai", "anthropic", "ollama", "groq"]
    assert found["mistral"].api_key == Secret("x")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("http://localhost:11434", "http://localhost:11434"),
        ("http://localhost:11434/", "http://localhost:11434"),
        ("http://localhost:11434/v1", "http://localhost:11434"),
        ("https://ollama.example", "https://ollama.example"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        (":1234", "http://127.0.0.1:1234"),
        ("box", "http://box:11434"),
        ("box:1234", "http://box:1234"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]:1234", "http://127.0.0.1:1234"),
    ],
)
def test_ollama_is_found_by_any_form_of_its_variable(host: str, url: str) -> None:
    assert discover({}, {"OLLAMA_HOST": host})["ollama"].base_url == url


@pytest.mark.parametrize(
    ("vendor", "given", "address"),
    [
        ("openai", "http://10.0.0.5:8000", "http://10.0.0.5:8000/v1"),
        ("openai", "http://10.0.0.5:8000/", "http://10.0.0.5:8000"),
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com/v1", "https://api.anthropic.com"),
        ("anthropic", "https://proxy.example/anthropic/v1/", "https://proxy.example/anthropic"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta", "https://generativelanguage.googleapis.com"),
        ("mistral", "https://api.mistral.ai", "https://api.mistral.ai/v1"),
        ("azure", "https://me.openai.azure.com/openai/v1/", "https://me.openai.azure.com"),
        ("azure", "https://me.openai.azure.com/openai", "https://me.openai.azure.com"),
        ("cohere", "https://api.cohere.com/v2", "https://api.cohere.com"),
        ("groq", "http://proxy:1", "http://proxy:1/openai/v1"),
        ("zai", "https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/coding/paas/v4"),
        ("openai", "ftp://x", "ftp://x"),
        ("openai", "http://[", "http://["),
        ("http", "http://app:3000/base/", "http://app:3000/base"),
    ],
)
def test_an_address_is_understood_with_and_without_its_version(vendor: str, given: str, address: str) -> None:
    known = vendor_defaults(vendor)
    assert known is not None
    assert base_address(given, known) == address
    assert discover({"p": ProviderOptions(dialect=vendor, base_url=given)}, {})["p"].base_url == address


def test_a_cloud_is_found_by_the_variables_of_its_own_tools() -> None:
    env = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com/", "OPENAI_API_VERSION": "2025-04-01-preview"}
    azure = discover({}, env)["azure"]
    assert (azure.base_url, azure.api_version, azure.api_key) == ("https://me.openai.azure.com", "2025-04-01-preview", Secret("k"))
    assert discover({}, {"AZURE_OPENAI_API_KEY": "k"}) == {}
    bedrock = discover({}, {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-1"})["bedrock"]
    assert (bedrock.region, bedrock.api_key) == ("eu-west-1", Secret("k"))
    assert discover({}, {"AWS_BEARER_TOKEN_BEDROCK": "k"}) == {}
    assert discover({}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}) == {}
    assert discover({}, {"OPENAI_API_KEY": "k"}).keys() == {"openai"}


def test_options_of_an_entry_win_over_variables() -> None:
    env = {"GOOGLE_CLOUD_PROJECT": "theirs", "GOOGLE_CLOUD_LOCATION": "us-east5", "AWS_REGION": "us-west-2"}
    vertex = discover({"v": ProviderOptions(dialect="vertex", project="mine")}, env)["v"]
    assert (vertex.project, vertex.location) == ("mine", "us-east5")
    assert discover({"bedrock": ProviderOptions(region="eu-west-1")}, env)["bedrock"].region == "eu-west-1"


@pytest.mark.parametrize(
    ("vendor", "options", "address"),
    [
        ("vertex", ProviderOptions(project="p"), "https://aiplatform.googleapis.com"),
        ("vertex", ProviderOptions(project="p", location="europe-west4"), "https://europe-west4-aiplatform.googleapis.com"),
        ("vertex", ProviderOptions(project="p", location="evil.example/"), ""),
        ("vertex", ProviderOptions(), ""),
        ("bedrock", ProviderOptions(region="eu-west-1"), "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ("bedrock", ProviderOptions(region="us-gov-west-1"), "https://bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("bedrock", ProviderOptions(region="x"), ""),
        ("openai", ProviderOptions(), ""),
    ],
)
def test_an_address_that_other_options_lead_to(vendor: str, options: ProviderOptions, address: str) -> None:
    known = vendor_defaults(vendor)
    assert known is not None
    assert address_of(known, options) == address


def test_openais_own_variable_for_the_address_is_honoured() -> None:
    found = discover({}, {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://proxy.example/v1"})
    assert found["openai"].base_url == "http://proxy.example/v1"
    assert discover({}, {"OPENAI_BASE_URL": "http://proxy.example/v1"}) == {}


def test_an_entry_without_key_takes_the_vendors_from_the_environment() -> None:
    found = discover({"openai": ProviderOptions(models=("gpt-4o",))}, {"OPENAI_API_KEY": "k"})
    assert found["openai"] == ProviderOptions(models=("gpt-4o",), api_key=Secret("k"))


@pytest.mark.parametrize(
    "entry",
    [ProviderOptions(base_url="http://evil.example/v1"), ProviderOptions(dialect="anthropic"), ProviderOptions(api_key=Secret("own"))],
)
def test_a_key_from_the_environment_goes_to_no_other_host_dialect_or_key_of_the_file(entry: ProviderOptions) -> None:
    assert discover({"openai": entry}, {"OPENAI_API_KEY": "k"})["openai"] == entry


@pytest.mark.parametrize(
    ("name", "base_url", "prefix"),
    [
        ("openai", "https://api.openai.com/v1", "gpt-"),
        ("anthropic", "https://api.anthropic.com", "claude-"),
        ("gemini", "https://generativelanguage.googleapis.com", "gemini-"),
        ("mistral", "https://api.mistral.ai/v1", "devstral-"),
        ("deepseek", "https://api.deepseek.com", "deepseek-"),
    ],
)
def test_vendor_defaults_give_address_and_prefixes(name: str, base_url: str, prefix: str) -> None:
    vendor = vendor_defaults(name)
    assert vendor is not None
    assert vendor.base_url == base_url
    assert prefix in vendor.prefixes


def test_an_unknown_vendor_has_no_defaults() -> None:
    assert vendor_defaults("nobody") is None


def test_vendors_have_distinct_names_and_every_row_of_the_table_is_one() -> None:
    names = [vendor.name for vendor in vendors()]
    assert len(names) == len(set(names))
    assert names[: len(NATIVE)] == [vendor.name for vendor in NATIVE]
    assert names[:4] == ["openai", "anthropic", "gemini", "mistral"]
    assert set(COMPAT) < set(names)


def test_other_vendors_can_be_given() -> None:
    known = [Vendor("acme", "https://acme.example", keys=("ACME_KEY",))]
    assert discover({}, {"ACME_KEY": "k", "OPENAI_API_KEY": "x"}, known) == {"acme": ProviderOptions(api_key=Secret("k"))}
