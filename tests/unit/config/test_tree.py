from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.config.tree import MAX_DEPTH, MAX_NODES, Listing, Scalar, Table, parse


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "c.yaml")[1]]


def test_scalars_stay_text_and_know_where_they_were_written() -> None:
    root, found = parse("server:\n  workers: 010\n  on: yes\n  list: [1:30, 'x']\n", "c.yaml")
    assert not found
    assert root is not None
    server = root.entries["server"]
    assert isinstance(server, Table)
    workers, on, listing = server.entries["workers"], server.entries["on"], server.entries["list"]
    assert isinstance(workers, Scalar)
    assert isinstance(on, Scalar)
    assert isinstance(listing, Listing)
    assert (workers.text, str(workers.place)) == ("010", "c.yaml:2:12")
    assert on.text == "yes"
    assert [(item.text, item.plain) for item in listing.items if isinstance(item, Scalar)] == [("1:30", True), ("x", False)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "c.yaml:3:1: `a` is given twice (first in line 1)"),
        ("s:\n  a: 1\n  'a': 3\n", "c.yaml:3:3: `a` is given twice (first in line 2)"),
        ("a: [1\n", "c.yaml:2:1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\t- x\n", "c.yaml:2:1: not YAML: found character '\\t' that cannot start any token"),
        ("a: b: c\n", "c.yaml:1:5: not YAML: mapping values are not allowed here"),
        ("a: *nope\n", "c.yaml:1:4: `*nope` has no anchor above it"),
        ("a: &x [*x]\n", "c.yaml:1:8: `*x` stands inside its own anchor"),
        ("a: !!python/object/apply:os.system ['true']\n", "c.yaml:1:4: tags (`!...`) are not used here"),
        ("a: !env X\n", "c.yaml:1:4: tags (`!...`) are not used here"),
        ("? [a, b]\n: 1\n", "c.yaml:1:3: a name must be plain text"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2:1: a second document: one file holds one configuration"),
        ("- a\n- b\n", "c.yaml:1:1: expected named sections such as `providers:` at the top"),
        ("just text", "c.yaml:1:1: expected named sections such as `providers:` at the top"),
        ("a: 1\nb: \x07\n", "c.yaml:2:4: not YAML: a control character"),
        ("a:\n  <<: 1\n", "c.yaml:2:7: `<<` takes a mapping, or a list of them"),
    ],
)
def test_bad_text_is_one_problem_with_its_place(text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~\n", "---\n...\n"])
def test_an_empty_document_is_no_problem(text: str) -> None:
    assert parse(text, "c.yaml") == (None, [])


def test_merge_keys_fill_in_what_is_not_given() -> None:
    root, found = parse("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nboth: {<<: [*b, {z: 4}]}\n", "c.yaml")
    assert not found
    assert root is not None

    def texts(name: str) -> dict[str, str]:
        table = root.entries[name]
        assert isinstance(table, Table)
        return {key: node.text for key, node in table.entries.items() if isinstance(node, Scalar)}

    assert texts("more") == {"x": "1", "y": "3"}
    assert texts("both") == {"x": "1", "y": "2", "z": "4"}


def test_an_alias_bomb_is_refused_before_it_is_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    start = time.perf_counter()
    found = problems("\n".join(lines))
    assert len(found) == 1
    assert f"more than {MAX_NODES} values, aliases expanded" in found[0]
    assert time.perf_counter() - start < 2


def test_merge_keys_cannot_make_a_bomb_either() -> None:
    keys = ", ".join(f"k{n}: 1" for n in range(1000))
    found = problems(f"a: &a {{{keys}}}\n" + "\n".join(f"b{n}: {{<<: *a}}" for n in range(200)))
    assert len(found) == 1
    assert "aliases expanded" in found[0]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_nesting_is_fine_up_to_its_limit_and_refused_beyond(opening: str, closing: str) -> None:
    inside = MAX_DEPTH - 1
    assert problems(f"x: {opening * inside}1{closing * inside}") == []
    for depth in (MAX_DEPTH, 100, 20_000):
        (problem,) = problems(f"x: {opening * depth}1{closing * depth}")
        assert problem.endswith(f"nested deeper than {MAX_DEPTH} levels")


def test_nesting_through_aliases_counts_as_nesting() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [[*a{n - 1}]]" for n in range(1, 50)]
    (problem,) = problems("\n".join(lines))
    assert problem.endswith(f"nested deeper than {MAX_DEPTH} levels")


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t<~0.$"), max_size=60))
def test_any_text_is_a_tree_or_problems_never_an_exception(text: str) -> None:
    root, found = parse(text, "c.yaml")
    assert isinstance(root, Table | None)
    assert all(problem.place.line > 0 for problem in found)
