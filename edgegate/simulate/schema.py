"""A minimal valid instance of a JSON Schema: what the simulated model answers when asked for structured output or a call.

Covers what applications send (types, enum, const, required, nested objects and arrays, `$ref` into the same document, anyOf,
allOf, bounds and the common string formats). Gemini's upper-case types are understood. A schema that nests for ever through
required fields ends as an empty object at `MAX_DEPTH`.
"""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 24

_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Any, name: str = "value") -> Any:
    """An instance of `schema`. Strings without any constraint are the property's `name`, which reads well in a demonstration."""
    return _instance(schema, schema, name, 0)


def _instance(schema: Any, root: Any, name: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return {}
    if "$ref" in schema:
        return _instance(_resolve(str(schema["$ref"]), root), root, name, depth + 1)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if isinstance(schema.get("allOf"), list):
        return _instance(_merged(schema, root), root, name, depth + 1)
    for choice in ("anyOf", "oneOf"):
        if isinstance(schema.get(choice), list) and schema[choice]:
            options = [option for option in schema[choice] if not (isinstance(option, dict) and option.get("type") == "null")]
            return _instance((options or schema[choice])[0], root, name, depth + 1)
    kind = _type(schema)
    if kind == "object":
        found = schema.get("properties")
        properties: dict[str, Any] = found if isinstance(found, dict) else {}
        wanted = schema["required"] if isinstance(schema.get("required"), list) else list(properties)
        return {key: _instance(properties.get(key, {"type": "string"}), root, key, depth + 1) for key in wanted}
    if kind == "array":
        count = max(int(schema.get("minItems") or 0), 1 if depth == 0 else 0)
        return [_instance(schema.get("items", {"type": "string"}), root, name, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, kind)
    if kind == "boolean":
        return True
    return None if kind == "null" else _string(schema, name)


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _resolve(ref: str, root: Any) -> Any:
    found = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if step:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def _merged(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        while isinstance(part, dict) and "$ref" in part and len(part) == 1 and part is not schema:
            part = _resolve(str(part["$ref"]), root)
        if isinstance(part, dict):
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged = {**part, **merged}
            if properties:
                merged |= {"properties": properties, "required": required or list(properties)}
    return merged


def _number(schema: dict[str, Any], kind: str) -> int | float:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf") or 1
    value: int | float = 1
    if low is not None:
        value = max(value, low)
    if isinstance(above, (int, float)) and not isinstance(above, bool):
        value = max(value, above + step)
    if high is not None:
        value = min(value, high)
    if isinstance(below, (int, float)) and not isinstance(below, bool):
        value = min(value, below - step)
    if schema.get("multipleOf"):
        value = -(-value // step) * step
    return int(value) if kind == "integer" else value


def _string(schema: dict[str, Any], name: str) -> str:
    text = _FORMATS.get(str(schema.get("format")), name)
    text = text.ljust(int(schema.get("minLength") or 0), "x")
    longest = schema.get("maxLength")
    return text[:longest] if isinstance(longest, int) else text
