"""One process runs the scenarios of this folder side by side while the tests wait for their records.

A process of its own, so that no test's work moves a scenario's times. It runs exactly what the collected tests ask for. With
several pytest workers the first one starts it and the others read the same file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.failover.company import read
from tests.failover.scorecard import scorecard, table
from tests.failover.stand import Record

LONGEST_S = 240.0
NAMES = pytest.StashKey[Iterable[str]]()
TOLD = pytest.StashKey[dict[str, Record]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Notes which runs the selected tests want."""
    specs = [getattr(item, "callspec", None) for item in session.items]
    session.config.stash[NAMES] = sorted({str(spec.params["play"]) for spec in specs if spec is not None and "play" in spec.params})


class Stage:
    """The records that are there so far."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._size = -1
        self.records: dict[str, Record] = {}

    def wait(self, name: str) -> Record:
        until = time.monotonic() + LONGEST_S
        while name not in self.records:
            assert time.monotonic() < until, f"no record of {name} after {LONGEST_S} s"
            size = self._file.stat().st_size if self._file.exists() else 0
            if size != self._size:
                self._size = size
                self.records = read(self._file)
            else:
                time.sleep(0.1)
        return self.records[name]


@pytest.fixture(scope="session")
def stage(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    file = folder / "failover.jsonl"
    wanted = folder / "failover.names"
    process: subprocess.Popen[bytes] | None = None
    try:
        with wanted.open("x") as names:  # the first worker to come
            names.write("\n".join(pytestconfig.stash[NAMES]))
        process = subprocess.Popen([sys.executable, "-m", "tests.failover", "--out", str(file), "--list", str(wanted)])
    except FileExistsError:
        pass
    found = Stage(file)
    yield found
    if process is not None:
        try:
            process.wait(LONGEST_S)  # other workers may still wait for a record
        finally:
            process.kill()
            process.wait()
    pytestconfig.stash[TOLD] = found.records


@pytest.fixture(scope="session", autouse=True)
def _early(request: pytest.FixtureRequest) -> None:
    """The scenarios begin with the first test of the folder, whichever it is: they take longer than all tests together."""
    if request.config.stash.get(NAMES, ()):
        request.getfixturevalue("stage")


@pytest.fixture
def record(play: str, stage: Stage) -> Record:
    """What happened in the run that the test is about."""
    found = stage.wait(play)
    assert not found.failure, found.failure
    assert not any("An internal error of the gateway" in heard.raw for heard in found.calls), str(found)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With -rA or -s: the table and the scorecard."""
    records = config.stash.get(TOLD, None)
    if records and (config.option.capture == "no" or "A" in config.option.reportchars):
        terminalreporter.section("failover")
        terminalreporter.write_line(table(records))
        terminalreporter.write_line(scorecard(records))
