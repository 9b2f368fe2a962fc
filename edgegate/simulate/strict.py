"""Fields that a vendor does not know, found so that it can refuse them in its own words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def unknown(value: Any, known: Collection[str]) -> str | None:
    """The first field of an object that is not among the known ones."""
    if not isinstance(value, dict):
        return None
    return next((str(name) for name in value if name not in known), None)


def fields(names: str) -> frozenset[str]:
    """Field names as they are written in one line, set apart by blanks."""
    return frozenset(names.split())
