"""Instances of schemas."""

from __future__ import annotations

from typing import Any

import pytest

from edgegate.simulate.schema import instance


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "value"),
        ({"type": "string", "minLength": 8}, "valuexxx"),
        ({"type": "string", "maxLength": 2}, "va"),
        ({"type": "string", "format": "date"}, "2025-01-01"),
        ({"type": "STRING"}, "value"),
        ({"enum": ["celsius", "fahrenheit"]}, "celsius"),
        ({"const": 7}, 7),
        ({"type": "integer", "minimum": 10}, 10),
        ({"type": "integer", "exclusiveMinimum": 1}, 2),
        ({"type": "number", "maximum": 0.5}, 0.5),
        ({"type": "integer", "minimum": 4, "multipleOf": 3}, 6),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["b"]}, {"b": 1}),
        ({"properties": {"a": {"type": "string"}}}, {"a": "a"}),
        ({"type": "object"}, {}),
    ],
)
def test_the_smallest_instance(schema: dict[str, Any], expected: Any) -> None:
    assert instance(schema) == expected


def test_references_and_allof_are_followed() -> None:
    schema = {
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
        "type": "object",
        "properties": {"at": {"allOf": [{"$ref": "#/$defs/point"}]}, "to": {"$ref": "#/$defs/point"}},
        "required": ["at", "to"],
    }
    assert instance(schema) == {"at": {"x": 1}, "to": {"x": 1}}


def test_a_schema_that_requires_itself_ends() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    depth, value = 0, instance(schema)
    while value:
        value, depth = value["next"], depth + 1
    assert 0 < depth < 30
