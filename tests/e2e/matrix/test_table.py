"""The README's table says what the matrix tests. No server is needed."""

from __future__ import annotations

import pytest

from tests.e2e.matrix import table
from tests.e2e.matrix.pairs import FEATURES, GAPS, PROVIDERS, SPEAKERS, Gap


def test_the_readme_has_the_table_of_the_matrix() -> None:
    page = table.README.read_text(encoding="utf-8")
    assert table.replaced(page) == page, "run python -m tests.e2e.matrix.table --write"


def test_every_pair_has_a_cell() -> None:
    rows = [line for line in table.table().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(PROVIDERS)
    assert {row.count("|") for row in rows} == {len(SPEAKERS) + 2}
    assert table.TITLES.keys() == SPEAKERS.keys()


def test_a_gap_is_named_in_its_cells_and_explained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "GAPS", {("gemini", "*", "image"): Gap("pictures are too large"), ("*", "mistral", "stop|image"): Gap("no")})
    reasons: list[str] = []
    assert table.cell("gemini", "openai", reasons) == "all but image¹"
    assert table.cell("gemini", "mistral", reasons) == "all but image¹·², stop²"
    assert table.cell("ollama", "openai", reasons) == "all"
    assert table.table().count("Pictures are too large") == 1


def test_every_gap_is_of_a_feature_of_the_matrix() -> None:
    for clients, providers, features in GAPS:
        for names, known in ((clients, SPEAKERS), (providers, PROVIDERS), (features, FEATURES)):
            assert names == "*" or set(names.split("|")) <= set(known), names
