"""A configuration as YAML that may be shown to anybody: every credential is `***`, everything else as it takes effect."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import yaml

from edgegate.config.model import Config
from edgegate.config.option import Duration, Rate, Secret, Size
from edgegate.config.units import write_duration, write_rate, write_size

HIDDEN = "***"
_USERINFO = re.compile(r"://[^/]*@")


def show(config: Config) -> str:
    """The effective configuration, defaults included; what is empty is left out. It loads again, with `***` for secrets."""
    document = {name: value for name, value in _section(config).items() if value not in ({}, [])}
    document["chain"] = [{stage.name: options} if (options := _section(stage.options)) else stage.name for stage in config.chain]
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=140)


def _section(options: Any) -> dict[str, Any]:
    shown = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is None or (isinstance(value, str | tuple | dict | Secret) and not value) or field.name == "chain":
            continue
        shown[field.name] = _value(value, bool(field.metadata.get("secret")))
    return shown


def _value(value: Any, secret: bool) -> Any:
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, dict):
        return {name: _value(item, secret) for name, item in value.items()}
    if isinstance(value, Rate):
        return write_rate(value)
    if isinstance(value, tuple):
        return [_value(item, secret) for item in value]
    if dataclasses.is_dataclass(value):
        return _section(value)
    if isinstance(value, str):
        masked = _USERINFO.sub(f"://{HIDDEN}@", value)
        return masked if not secret or "://" in value else HIDDEN
    if isinstance(value, Duration):
        return write_duration(value)
    return write_size(value) if isinstance(value, Size) else value
