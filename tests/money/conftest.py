"""The provider and the fleets of these tests, and what they measured, told at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.money.bill import Provider
from tests.money.fleet import Fleet
from tests.servers.valkey import valkey, valkey_server

__all__ = ["fleet", "provider", "tell", "valkey", "valkey_server"]

MEASURED = "measured"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path) as fleet:
        yield fleet


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes a measurement for the end of the run."""
    return lambda text: record_property(MEASURED, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        (report.nodeid.rsplit("/", 1)[-1], value)
        for kind in ("passed", "failed")
        for report in terminalreporter.stats.get(kind, ())
        if report.when == "call"
        for name, value in report.user_properties
        if name == MEASURED
    ]
    if told:
        terminalreporter.section("the bill")
        for test, value in told:
            terminalreporter.line(f"{test}: {value}")
