"""Recordings of real provider traffic, read from outside the project (they are never part of it).

They lie in `../shared/wire` seen from the project's root, or where `EDGEGATE_WIRE_CORPUS` points. Tests that need them are
parametrised through `corpus()`, which yields one skipped parameter, with the reason, where there are none.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("EDGEGATE_WIRE_CORPUS") or Path(__file__).parent.parent.parent / "shared" / "wire")
ABSENT = "no recordings: set EDGEGATE_WIRE_CORPUS or put them into ../shared/wire"


@dataclass(frozen=True)
class Recording:
    """One recorded exchange; parsed when first asked for."""

    file: Path

    @cached_property
    def raw(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.file.read_text())
        return value

    @property
    def request(self) -> dict[str, Any]:
        value: dict[str, Any] = self.raw["request"].get("json") or {}
        return value

    @property
    def path(self) -> str:
        return str(self.raw["path"])

    @property
    def status(self) -> int:
        return int(self.raw["status"])

    @property
    def features(self) -> list[str]:
        return list(self.raw["features"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.raw["response"].get("headers", {}).items()}

    @property
    def streamed(self) -> bool:
        return "text" in self.raw["response"]

    @cached_property
    def body(self) -> bytes:
        """The reply's bytes. Recordings keep JSON replies parsed: they are written compactly, non-ASCII as UTF-8."""
        response = self.raw["response"]
        if "text" in response:
            return str(response["text"]).encode()
        if "b64" in response:
            return base64.b64decode(response["b64"])
        return json.dumps(response["json"], ensure_ascii=False, separators=(",", ":")).encode()


def recordings(*folders: str, where: Callable[[Recording], bool] = lambda _: True) -> list[Recording]:
    """Recordings of `provider/kind` pairs such as `anthropic/messages`, in a stable order."""
    found = []
    for folder in folders:
        provider, _, kind = folder.partition("/")
        for file in sorted((ROOT / provider).glob(f"{kind}*.json")):
            recording = Recording(file)
            if (not kind or recording.raw["kind"] == kind) and where(recording):
                found.append(recording)
    return found


def corpus(*folders: str, where: Callable[[Recording], bool] = lambda _: True) -> pytest.MarkDecorator:
    """`@corpus("anthropic/messages")`: the test runs once per recording, as parameter `recording`."""
    found = recordings(*folders, where=where) if ROOT.is_dir() else []
    reason = ABSENT if not ROOT.is_dir() else f"no recording of {', '.join(folders)} matches"
    values = [pytest.param(r, id=f"{r.file.parent.name}/{r.file.stem}") for r in found] or [
        pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")
    ]
    return pytest.mark.parametrize("recording", values)
