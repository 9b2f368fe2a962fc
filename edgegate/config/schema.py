"""JSON Schema (draft 2020-12) of config.yaml, made from the option dataclasses, for editors and other people's tools.

It accepts what the loader accepts by type, not by meaning: names that refer to others are checked by `edgegate check`. Wherever
the loader would read something other than text, a text with a substitution in it is allowed as well.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any

from edgegate.config.model import Config, StageOptions
from edgegate.config.option import Duration, Rate, Secret, Size
from edgegate.config.stages import STAGES
from edgegate.config.units import DURATION_PATTERN, RATE_PATTERN, SIZE_PATTERN, write_duration, write_size

DRAFT = "https://json-schema.org/draft/2020-12/schema"
ID = "https://edgegate.dev/schema/config.json"
_SUBSTITUTION = {"$ref": "#/$defs/substitution"}

Json = dict[str, Any]


def schema() -> Json:
    definitions: dict[str, Json] = {
        "substitution": {
            "type": "string",
            "pattern": r"\$\{.+\}|^os\.environ/",
            "description": "${X}, ${env:X}, ${X:-default}, ${X:?message}, ${file:/path} or os.environ/X",
        }
    }
    top = _options(Config, definitions)
    return {"$schema": DRAFT, "$id": ID, "title": "edgegate configuration", **top, "$defs": dict(sorted(definitions.items()))}


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _options(options: Any, definitions: dict[str, Json]) -> Json:
    hints = typing.get_type_hints(options)
    properties = {}
    for field in dataclasses.fields(options):
        described = {"description": field.metadata.get("doc", "")}
        default = _default(field)
        if default is not None:
            described["default"] = default
        properties[field.name] = _type(hints[field.name], field.metadata, definitions) | described
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _type(hint: Any, metadata: Any, definitions: dict[str, Json]) -> Json:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _type(next(a for a in arguments if a is not types.NoneType), metadata, definitions)
    if origin is tuple:
        return {"type": ["array", "null"], "items": _type(arguments[0], metadata, definitions)}
    if origin is dict:
        return {"type": ["object", "null"], "additionalProperties": _type(arguments[1], metadata, definitions)}
    if hint is StageOptions:
        return _stage(definitions)
    if dataclasses.is_dataclass(hint):
        name = typing.cast(type, hint).__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _options(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    return _scalar(hint, metadata.get("least"), metadata.get("choices"))


def _scalar(hint: Any, least: float | None, choices: Any) -> Json:
    if choices:
        return {"anyOf": [{"enum": list(choices)}, _SUBSTITUTION]}
    if hint in (str, Secret):
        return {"type": ["string", "number", "boolean", "null"]}
    bound = {} if least is None else {"minimum": least}
    if hint is bool:
        return {"anyOf": [{"type": ["boolean", "null"]}, _SUBSTITUTION]}
    if hint is Duration:
        return {
            "anyOf": [
                {"type": ["number", "null"], **({"minimum": 0} | bound)},
                {"type": "string", "pattern": DURATION_PATTERN},
                _SUBSTITUTION,
            ]
        }
    if hint is Rate:
        return {"anyOf": [{"type": ["string", "null"], "pattern": RATE_PATTERN}, _SUBSTITUTION]}
    if hint is Size:
        return {
            "anyOf": [{"type": ["integer", "null"], **({"minimum": 0} | bound)}, {"type": "string", "pattern": SIZE_PATTERN}, _SUBSTITUTION]
        }
    return {"anyOf": [{"type": ["integer" if hint is int else "number", "null"], **bound}, _SUBSTITUTION]}


def _stage(definitions: dict[str, Json]) -> Json:
    """A name, or one name with its options."""
    with_options: list[Json] = []
    for name, options in STAGES.items():
        title = options.__name__
        definitions[title] = _options(options, definitions)
        with_options.append({
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/{title}"}},
            "required": [name],
            "additionalProperties": False,
        })  # fmt: skip
    return {"anyOf": [{"enum": list(STAGES)}, *with_options]}


def _default(field: dataclasses.Field[Any]) -> Any:
    """The default as YAML would say it; None where that says nothing (empty, or a section of its own)."""
    value = field.default
    if isinstance(value, Duration):
        return write_duration(value)
    if isinstance(value, Size):
        return write_size(value)
    return value if isinstance(value, bool | int | float) or (isinstance(value, str) and value) else None
