"""The table of OpenAI-shaped providers is consistent, and its addresses are those of the recordings."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from edgegate.dialects.compat import COMPAT, Compat
from edgegate.dialects.openai.quirks import PATHS
from tests.corpus import Recording, corpus


@pytest.mark.parametrize("name", list(COMPAT))
def test_a_row_is_complete(name: str) -> None:
    row = COMPAT[name]
    assert row.name == name == name.lower()
    assert row.key.isupper()
    assert row.provider().name == name
    paths = row.provider().native
    assert "openai.chat" in paths
    assert paths.keys() <= PATHS.keys()
    assert all(path.startswith("/") and not path.startswith("/v1") for path in paths.values())


@pytest.mark.parametrize("name", [name for name, row in COMPAT.items() if row.base_url])
def test_an_address_is_https_or_this_machine_and_has_no_slash_at_its_end(name: str) -> None:
    row: Compat = COMPAT[name]
    parts = urlsplit(row.base_url)
    assert parts.scheme == "https" or parts.hostname == "127.0.0.1"
    assert row.keyless == (parts.hostname == "127.0.0.1")
    assert not row.base_url.endswith("/")
    assert not parts.query


def test_no_two_providers_claim_the_same_models_or_key() -> None:
    prefixes = [prefix for row in COMPAT.values() for prefix in row.prefixes]
    assert len(prefixes) == len(set(prefixes))
    keys = [row.key for row in COMPAT.values()]
    assert len(keys) == len(set(keys))


SAME = ("openai", "groq", "together", "deepseek", "openrouter", "cerebras", "writer", "zai")


@corpus(*(f"{name}/chat" for name in SAME), *(f"openai/{kind}" for kind in ("completions", "embeddings")))
def test_a_row_s_path_is_the_one_that_was_recorded(recording: Recording) -> None:
    row = COMPAT[recording.raw["provider"]]
    path = row.provider().native[f"openai.{recording.raw['kind']}"]
    assert urlsplit(row.base_url).path + path == recording.path
