"""The pieces of the hard tests: a provider that misbehaves, and the gateway with short limits in front of it.

Both live as long as the session; each test starts with no upstream connection, an empty record, and ends with the check that
the gateway's event loop had nothing to complain of.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.hard.live import Complaints, Live, Loop, config
from tests.hard.misbehaving import Provider
from tests.hard.raw_client import RawClient


@pytest.fixture(scope="session")
def provider_loop() -> Iterator[Loop]:
    loop = Loop("provider", fast=False)
    yield loop
    loop.stop()


@pytest.fixture(scope="session")
def _provider(provider_loop: Loop) -> Iterator[Provider]:
    provider = Provider()
    provider_loop.run(provider.start())
    yield provider
    provider_loop.run(provider.stop())


@pytest.fixture(scope="session")
def _gateway(_provider: Provider) -> Iterator[Live]:
    live = Live(config(_provider.port, _provider.port))
    yield live
    live.close()


@pytest.fixture(autouse=True)
def complaints() -> Iterator[Complaints]:
    handler = Complaints()
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).addHandler(handler)
    yield handler
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).removeHandler(handler)


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    _provider.clear()
    return _provider


@pytest.fixture
def gateway(_gateway: Live, provider: Provider, complaints: Complaints) -> Iterator[Live]:
    """The gateway, with the provider behind it under all its names. Each test ends with the provider's hanging up."""
    live = _gateway
    live.loop.faults.clear()
    live.forget_log()
    live.forgive()
    yield live
    try:
        live.wait(lambda: live.in_flight() == 0, f"exchanges to end; {live.in_flight()} are left", 8)
        provider.clear()
        live.wait(lambda: live.pooled() == 0, "connections to notice that the provider has closed them", 3)
        assert not live.faults()
        assert not complaints.records
    finally:
        live.drop_upstream_connections()


@pytest.fixture
def client(gateway: Live) -> Iterator[RawClient]:
    with RawClient(gateway.port) as client:
        yield client
