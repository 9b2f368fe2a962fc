"""Google's `Schema`, a subset of OpenAPI 3.0, as the JSON Schema that other vendors take.

Types are written in upper case (`STRING`) or lower, an absent value is `nullable: true`, lengths may be strings (64-bit
numbers in protobuf JSON), and names come in camelCase or snake_case. Names of properties belong to the application.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.gemini.fields import camel

_DEPTH = 100
_VALUES = frozenset(("default", "enum", "example", "examples", "required", "const", "propertyOrdering"))
"""Keywords that hold values, not schemas."""
_COUNTS = frozenset(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"))


def json_schema(schema: Any, depth: int = 0) -> Any:
    """The schema as JSON Schema. What is no schema is given back as it is."""
    if depth > _DEPTH:
        return schema
    if isinstance(schema, list):
        return [json_schema(item, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found: Json = {}
    for name, value in schema.items():
        key = camel(name)
        if value is None or key == "nullable":
            continue
        if key == "type":
            found[key] = _type(value)
        elif key in ("defs", "ref"):
            found[f"${key}"] = _named(value, depth) if key == "defs" else value
        elif key in ("properties", "$defs"):
            found[key] = _named(value, depth)
        elif key in _COUNTS and isinstance(value, str) and value.isascii() and value.isdigit():
            found[key] = int(value)
        else:
            found[key] = value if key in _VALUES else json_schema(value, depth + 1)
    if schema.get("nullable") is True:
        _let_be_null(found)
    return found


def _named(value: Any, depth: int) -> Any:
    """Schemas under names of the application's."""
    return {name: json_schema(inner, depth + 1) for name, inner in value.items()} if isinstance(value, dict) else value


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return [_type(item) for item in value]
    return value.lower() if isinstance(value, str) else value


def _let_be_null(schema: Json) -> None:
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
