"""The catalogue: which name leads where, in which order, and what names that lead nowhere cost."""

from __future__ import annotations

import pytest

from edgegate.dialects.http import HttpProvider
from edgegate.errors import GatewayError
from edgegate.routing.catalog import MAX_REMEMBERED, Catalog, Provider

SIDE = HttpProvider()


def provider(name: str, *models: str, prefixes: tuple[str, ...] = ()) -> Provider:
    return Provider(name, SIDE, f"http://{name}", models, prefixes)


def labels(catalog: Catalog, name: str) -> list[str]:
    return [target.label for target in catalog.targets(name)]


def test_resolution_goes_by_alias_then_declared_model_then_provider_then_longest_prefix_then_default() -> None:
    catalog = Catalog(
        [provider("a", "gpt-4o", "b/odd", prefixes=("gpt-",)), provider("b", prefixes=("gpt-4o-mini", "")), provider("c")],
        {"fast": "c/tiny", "gpt-4": "gpt-4o"},
        {},
    )
    assert labels(catalog, "fast") == ["c/tiny"]
    assert labels(catalog, "gpt-4") == ["a/gpt-4o"]
    assert labels(catalog, "gpt-4o") == ["a/gpt-4o"]
    assert labels(catalog, "b/odd") == ["a/b/odd"], "a declared model may have a slash, even after a provider's name"
    assert labels(catalog, "b/anything") == ["b/anything"]
    assert labels(catalog, "gpt-4o-mini-2024") == ["b/gpt-4o-mini-2024"]
    assert labels(catalog, "gpt-5") == ["a/gpt-5"]


def test_a_name_with_a_slash_whose_first_part_is_no_provider_is_a_model_like_any_other() -> None:
    catalog = Catalog([provider("a", prefixes=("meta/",)), provider("b")], {}, {}, "b")
    assert labels(catalog, "meta/llama") == ["a/meta/llama"]
    assert labels(catalog, "mistralai/mixtral") == ["b/mistralai/mixtral"]


@pytest.mark.parametrize("name", ["a/", "/m"])
def test_half_a_pair_names_no_provider(name: str) -> None:
    with pytest.raises(GatewayError):
        Catalog([provider("a")], {}, {}).targets(name)


def test_the_rest_after_the_provider_keeps_its_slashes() -> None:
    assert labels(Catalog([provider("a")], {}, {}), "a/org/model") == ["a/org/model"]


def test_of_two_providers_that_declare_a_model_the_first_configured_serves_it() -> None:
    assert labels(Catalog([provider("b", "m"), provider("a", "m")], {}, {}), "m") == ["b/m"]


def test_of_two_prefixes_of_one_length_the_first_configured_serves() -> None:
    catalog = Catalog([provider("b", prefixes=("x-",)), provider("a", prefixes=("x-", "x-1"))], {}, {})
    assert labels(catalog, "x-2") == ["b/x-2"]
    assert labels(catalog, "x-1") == ["a/x-1"]


def test_aliases_may_lead_to_aliases() -> None:
    assert labels(Catalog([provider("a", "m")], {"x": "y", "y": "z", "z": "m"}, {}), "x") == ["a/m"]


@pytest.mark.parametrize("aliases", [{"x": "x"}, {"x": "y", "y": "x"}, {"x": "y", "y": "z", "z": "x"}], ids=["one", "two", "three"])
def test_an_alias_loop_ends_as_an_unknown_model(aliases: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        Catalog([provider("a", "m")], aliases, {}).targets("x")
    assert caught.value.code == "model_not_found"


def test_an_alias_loop_does_not_break_the_listing() -> None:
    assert Catalog([provider("a", "m")], {"x": "y", "y": "x"}, {}).listing() == [("m", "a")]


def test_fallbacks_follow_in_order_without_repeating_a_target() -> None:
    catalog = Catalog(
        [provider("a", "m"), provider("b"), provider("c")],
        {"fast": "m", "spare": "c/s"},
        {"fast": ["b/1", "m"], "a/m": ["b/1", "spare"], "m": ["b/2"]},
    )
    assert labels(catalog, "fast") == ["a/m", "b/1", "c/s", "b/2"]
    assert labels(catalog, "m") == ["a/m", "b/2", "b/1", "c/s"]


def test_a_fallback_that_leads_nowhere_is_left_out() -> None:
    assert labels(Catalog([provider("a", "m")], {}, {"m": ["ghost"]}), "m") == ["a/m"]


def test_an_unknown_model_is_a_404_that_names_close_ones() -> None:
    catalog = Catalog([provider("a", "gpt-4o", "gpt-4o-mini", "claude-haiku-4-5")], {}, {})
    with pytest.raises(GatewayError) as caught:
        catalog.targets("gpt-4p")
    error = caught.value
    assert (error.status, error.param, error.source.value) == (404, "model", "client")
    assert "gpt-4o" in error.message
    assert "claude" not in error.message


def test_an_unknown_model_like_no_other_is_told_where_the_list_is() -> None:
    with pytest.raises(GatewayError, match="/v1/models"):
        Catalog([provider("a", "gpt-4o")], {}, {}).targets("zzzzzz")


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(GatewayError) as caught:
        Catalog([provider("a", "m")], {}, {}).targets("x" * 100_000)
    assert len(caught.value.message) < 300


def test_names_that_clients_make_up_fill_no_memory_without_end() -> None:
    catalog = Catalog([provider("a", prefixes=("gpt-",))], {}, {})
    for number in range(MAX_REMEMBERED + 500):
        catalog.targets(f"gpt-{number}")
    assert len(catalog._plans) <= MAX_REMEMBERED
    assert labels(catalog, "gpt-real") == ["a/gpt-real"]


def test_a_huge_name_that_a_client_makes_up_is_not_remembered() -> None:
    """4,096 names of a megabyte each, remembered three times over, are 12 GB."""
    catalog = Catalog([provider("a", prefixes=("gpt-",))], {}, {})
    for number in range(8):
        with pytest.raises(GatewayError) as caught:
            catalog.targets(f"gpt-{number}-" + "x" * (1 << 20))
        assert (caught.value.status, len(caught.value.message) < 1000) == (404, True)
    assert sum(len(name) for name in catalog._plans) < 1 << 20


def test_resolving_twice_gives_the_same_targets() -> None:
    catalog = Catalog([provider("a", "m")], {}, {})
    assert catalog.targets("m") is catalog.targets("m")


def test_the_listing_has_declared_models_and_aliases_that_lead_somewhere() -> None:
    catalog = Catalog([provider("a", "m", "n"), provider("b", "m")], {"fast": "b/q", "m": "n", "lost": "ghost"}, {})
    assert catalog.listing() == [("m", "a"), ("n", "a"), ("fast", "b")]
