"""What is generated from the dataclasses: the schema and the reference are up to date, and agree with the loader."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgegate.config import model, stages
from edgegate.config.load import read
from edgegate.config.model import Config
from edgegate.config.reference import page
from edgegate.config.schema import schema, schema_text
from edgegate.config.stages import STAGES
from edgegate.config.variables import VARIABLES

ROOT = Path(__file__).parents[3]

OPTIONS = [
    value
    for value in (*vars(model).values(), *vars(stages).values())
    if dataclasses.is_dataclass(value) and value is not model.StageOptions
]


def test_the_schema_file_is_up_to_date() -> None:
    assert (ROOT / "edgegate/config/schema.json").read_text() == schema_text(), (
        "regenerate it: edgegate config schema > edgegate/config/schema.json"
    )


def test_the_reference_page_is_up_to_date() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == page(), "regenerate it: python -m edgegate.config.reference"


def test_the_page_names_every_option_stage_and_variable() -> None:
    text = page()
    for options in [
        value
        for value in (*vars(model).values(), *vars(stages).values())
        if dataclasses.is_dataclass(value) and value is not model.StageOptions
    ]:
        for field in dataclasses.fields(options):
            assert f"| `{field.name}` |" in text or options is Config, (options, field.name)
    for stage in STAGES:
        assert f"### {stage}\n" in text
    for variable in VARIABLES:
        assert f"`{variable.name}`" in text


def test_every_option_says_what_it_is_for() -> None:
    for options in [
        value
        for value in (*vars(model).values(), *vars(stages).values())
        if dataclasses.is_dataclass(value) and value is not model.StageOptions
    ]:
        for field in dataclasses.fields(options):
            assert field.metadata.get("doc", "").endswith("."), (options, field.name)


def test_every_default_is_within_its_own_bounds() -> None:
    for options in [
        value
        for value in (*vars(model).values(), *vars(stages).values())
        if dataclasses.is_dataclass(value) and value is not model.StageOptions
    ]:
        for field in dataclasses.fields(options):
            if field.metadata.get("least") is not None:
                given = field.default if isinstance(field.default, tuple) else (field.default,)
                assert min(given) >= field.metadata["least"], (options, field.name)
            if field.metadata.get("choices"):
                given = field.default if isinstance(field.default, tuple) else (field.default,)
                assert set(given) <= set(field.metadata["choices"])


def test_every_variable_in_the_table_sets_an_option_that_exists() -> None:
    for variable in VARIABLES:
        first, *rest = variable.path.split(".")
        if first == "chain":
            assert rest[0] in STAGES
            assert rest[1:] == [] or rest[1] in {field.name for field in dataclasses.fields(STAGES[rest[0]])}
        else:
            section = typing.get_type_hints(Config)[first]
            assert rest[0] in {field.name for field in dataclasses.fields(section)}


def valid(instance: Any, rules: dict[str, Any], top: dict[str, Any]) -> bool:
    """The part of JSON Schema that our schema uses."""
    if "$ref" in rules:
        return valid(instance, top["$defs"][rules["$ref"].rpartition("/")[2]], top)
    if "anyOf" in rules:
        return any(valid(instance, option, top) for option in rules["anyOf"])
    if "enum" in rules:
        return instance in rules["enum"]
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    allowed = [rules["type"]] if isinstance(rules["type"], str) else rules["type"]
    if not any(isinstance(instance, kinds[kind]) and (kind == "boolean" or not isinstance(instance, bool)) for kind in allowed):
        return False
    if isinstance(instance, dict):
        named, others = rules.get("properties", {}), rules.get("additionalProperties", True)
        if not set(rules.get("required", ())) <= instance.keys():
            return False
        return all(
            valid(value, named[name], top) if name in named else (isinstance(others, dict) and valid(value, others, top))
            for name, value in instance.items()
        )
    if isinstance(instance, list):
        return all(valid(item, rules["items"], top) for item in instance)
    if isinstance(instance, str):
        return re.search(rules.get("pattern", ""), instance) is not None
    return instance is None or isinstance(instance, bool) or instance >= rules.get("minimum", instance)


AGREED = [
    ("{}", True),
    ("server: {listen: ':80', workers: 2, drain: 30s, max_body: 32MiB, tls: ~}", True),
    ("server:", True),
    ("server: {drain: 30, max_body: 2048}", True),
    ("server: {workers: '${W:-2}', drain: os.environ/D}", True),
    ("log: {prompts: true, level: debug}", True),
    ("keys: [{name: a, key: 12345}]", True),
    ("models: {fallbacks: {a: [b]}, aliases: {a: b}}", True),
    ("chain: [auth, {cache: {ttl: 1h}}, forward]", True),
    ("chain: [auth, {cache: }, forward]", True),
    ("server: {workers: many}", False),
    ("server: {workers: 0}", False),
    ("server: {drain: soon}", False),
    ("server: {max_body: big}", False),
    ("server: {unknown: 1}", False),
    ("unknown: {}", False),
    ("log: {level: loud}", False),
    ("log: {prompts: maybe}", False),
    ("models: {fallbacks: {a: b}}", False),
    ("chain: [nope, forward]", False),
    ("chain: [{cache: {nope: 1}}, forward]", False),
    ("chain: [{cache: {}, auth: {}}, forward]", False),
    ("keys: {a: b}", False),
]


@pytest.mark.parametrize(("text", "good"), AGREED)
def test_schema_and_loader_agree(text: str, good: bool, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    by_loader = not [problem for problem in read(file, {"D": "5s"}, {}).problems if "can be reached" not in problem.text]
    by_schema = valid(yaml.safe_load(text), schema(), schema())
    assert (by_schema, by_loader) == (good, good)


def test_every_reference_in_the_schema_leads_to_a_definition() -> None:
    document = schema()

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for name, item in value.items():
                if name == "$ref":
                    yield item
                else:
                    yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    found = set(references(document))
    assert found == {f"#/$defs/{name}" for name in document["$defs"]}
    assert json.loads(schema_text()) == document


def test_the_example_is_valid_and_works_with_nothing_set() -> None:
    text = (ROOT / "config.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=")
    assert valid(yaml.safe_load(text), schema(), schema())
    loaded = read(ROOT / "config.yaml", {})
    assert [str(problem) for problem in loaded.problems] == []
    assert [stage.name for stage in loaded.config.chain] == [
        "auth",
        "limits",
        "cache",
        "idempotency",
        "route",
        "failover",
        "budget",
        "translate",
        "forward",
        "meter",
    ]


def test_what_the_example_has_in_comments_is_valid_too(tmp_path: Path) -> None:
    lines = (ROOT / "config.yaml").read_text().splitlines()
    start = lines.index("# providers:")
    uncommented = lines[:start] + [line.removeprefix("# ") for line in lines[start:]]
    file = tmp_path / "config.yaml"
    file.write_text("\n".join(uncommented).replace("${file:/run/secrets/anthropic}", "k"))
    keys = dict.fromkeys(("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "CO_API_KEY"), "k")
    loaded = read(file, {**keys, "APP_KEY": "0123456789abcdef", "OPS_KEY": "fedcba9876543210"})
    assert [str(problem) for problem in loaded.problems] == []
    assert list(loaded.config.providers) == ["openai", "claude-eu", "local", "azure", "vertex", "bedrock", "cohere"]
