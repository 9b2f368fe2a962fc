"""Metrics over several worker processes: each writes its numbers into a file once a second, whoever is scraped adds them up.

The files lie in a directory that the supervisor makes and removes, one for each worker process there ever was. A worker that
ends leaves its last numbers behind, so counters never fall; its successor takes its gauges away: what runs, waits or is open.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import orjson

from edgegate.observe.metrics import Metrics

EVERY_S = 1.0


class SharedMetrics:
    """One worker's part. Without a directory (a single worker) nothing is written and there are no others."""

    def __init__(self, metrics: Metrics, directory: Path | None, worker: str) -> None:
        self._metrics = metrics
        self._directory = directory
        self._worker = worker
        self._file = directory / f"{worker}-{secrets.token_hex(4)}.json" if directory is not None else None

    def others(self) -> list[dict[str, Any]]:
        """The other workers' last snapshots."""
        if self._directory is None:
            return []
        found = []
        for file in sorted(self._directory.glob("*.json")):
            if file != self._file:
                try:
                    found.append(orjson.loads(file.read_bytes()))
                except (OSError, orjson.JSONDecodeError):  # pragma: no cover - replaced or removed this instant
                    continue
        return found

    def write(self) -> None:
        if self._file is not None:
            _replace(self._file, self._metrics.snapshot())

    def bury(self) -> None:
        """What this worker's predecessors counted stays counted, but nothing of theirs is running, waiting or open any more."""
        if self._directory is None:
            return
        levels = {levels.name for levels in self._metrics.levels()}
        for file in self._directory.glob(f"{self._worker}-*.json"):
            if file != self._file:
                snapshot = orjson.loads(file.read_bytes())
                counted = {name: values for name, values in snapshot["values"].items() if name not in levels}
                _replace(file, {**snapshot, "values": counted, "in_flight": 0})

    async def run(self) -> None:
        """Writes until cancelled."""
        self.bury()
        while True:
            self.write()
            await asyncio.sleep(EVERY_S)


def _replace(file: Path, snapshot: dict[str, Any]) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_bytes(orjson.dumps(snapshot))
    fresh.replace(file)  # readers see the old or the new one, never half
