"""A simulator in the background, for the synchronous SDKs."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from edgegate.simulate import Running, start
from tests.e2e.background import Background


@pytest.fixture(scope="session")
def simulator() -> Iterator[Running]:
    with Background() as background:
        running = background.run(start())
        yield running
        background.run(running.stop())


@pytest.fixture(scope="session")
def http(simulator: Running) -> Iterator[httpx.Client]:
    """A bare client at the simulator's address."""
    with httpx.Client(base_url=simulator.url) as client:
        yield client
