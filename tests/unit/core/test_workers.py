"""Several workers: one port, one sum of metrics, replaced when they die, gone with their supervisor."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.gateway import Gateway
from tests.unit.core.parts import CHAT
from tests.unit.core.test_metrics import Samples, _total, parsed

REQUESTS = 24


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers, each with the simulator in it."""
    with Gateway(tmp_path_factory.mktemp("workers"), {"server": {"workers": 2}}) as gateway:
        yield gateway


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def send(gateway: Gateway, times: int) -> None:
    for _ in range(times):  # a connection of its own each time, so that both workers get some
        reply = httpx.post(gateway.url + "/v1/chat/completions", json=CHAT | {"model": "gpt-4o-mini"}, trust_env=False)
        assert reply.status_code == 200, reply.text


def scrape(gateway: Gateway) -> Samples:
    return parsed(httpx.get(gateway.url + "/metrics", trust_env=False).text)


def settled(gateway: Gateway, at_least: float) -> float:
    """The sum once every worker has written its part."""
    until = time.monotonic() + 5
    while (total := _total(scrape(gateway), "edgegate_requests_total")) < at_least and time.monotonic() < until:
        time.sleep(0.1)
    return total


def test_any_worker_tells_the_sum_of_all(gateway: Gateway) -> None:
    assert len(children(gateway.pid)) == 2
    before = settled(gateway, 0)
    send(gateway, REQUESTS)
    assert settled(gateway, before + REQUESTS) == before + REQUESTS
    time.sleep(1.2)
    assert {_total(scrape(gateway), "edgegate_requests_total") for _ in range(8)} == {before + REQUESTS}


def test_a_worker_that_dies_is_replaced_and_its_counts_stay(gateway: Gateway) -> None:
    before = settled(gateway, 0)
    send(gateway, REQUESTS)
    total = settled(gateway, before + REQUESTS)
    time.sleep(1.2)
    old = children(gateway.pid)
    victim = min(old)
    os.kill(victim, signal.SIGKILL)
    until = time.monotonic() + 8
    while len(children(gateway.pid) - {victim}) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(children(gateway.pid) - {victim}) == 2
    time.sleep(2)
    send(gateway, 4)
    time.sleep(1.2)
    assert _total(scrape(gateway), "edgegate_requests_total") >= total + 4


def test_each_exchange_is_logged_once_by_one_worker(gateway: Gateway) -> None:
    send(gateway, 4)
    time.sleep(0.5)
    ids = [line["request_id"] for line in gateway.logs() if line["event"] == "request"]
    assert len(ids) == len(set(ids)) >= 4
