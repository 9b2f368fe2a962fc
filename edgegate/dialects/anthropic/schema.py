"""JSON Schemas for structured output: Anthropic wants every object closed, OpenAI's strict mode every property required too."""

from __future__ import annotations

from typing import Any

_DEPTH = 100  # what lies deeper is left as it is: no real schema gets there, and recursion has its own limit
_VALUES = frozenset({"enum", "const", "default", "examples", "required"})
"""Keywords that hold values of the app's, not schemas."""
_NAMED = frozenset({"properties", "$defs", "definitions"})
"""Keywords whose members are schemas under names of the app's."""


def closed(schema: Any, depth: int = 0) -> Any:
    """The schema with `additionalProperties: false` on objects that do not say; the same object if nothing is missing."""
    if depth > _DEPTH:
        return schema
    if isinstance(schema, list):
        items = [closed(item, depth + 1) for item in schema]
        return schema if all(new is old for new, old in zip(items, schema, strict=True)) else items
    if not isinstance(schema, dict):
        return schema
    value = {name: inner if name in _VALUES else _below(name, inner, depth + 1) for name, inner in schema.items()}
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        return {**value, "additionalProperties": False}
    return schema if all(value[name] is schema[name] for name in schema) else value


def is_strict(schema: Any, depth: int = 0) -> bool:
    """Whether OpenAI's strict mode takes the schema: every object closed, every property required."""
    if depth > _DEPTH:
        return False
    if isinstance(schema, list):
        return all(is_strict(item, depth + 1) for item in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        properties, required = schema.get("properties"), schema.get("required")
        if schema.get("additionalProperties") is not False or not isinstance(properties, dict) or not isinstance(required, list):
            return False
        if any(name not in required for name in properties):
            return False
    return all(
        is_strict(list(inner.values()) if name in _NAMED and isinstance(inner, dict) else inner, depth + 1)
        for name, inner in schema.items()
        if name not in _VALUES
    )


def _below(name: str, inner: Any, depth: int) -> Any:
    if name not in _NAMED or not isinstance(inner, dict):
        return closed(inner, depth)
    value = {key: closed(schema, depth) for key, schema in inner.items()}
    return inner if all(value[key] is inner[key] for key in inner) else value
