"""The operators' paths of a whole gateway: the targets' state, the reset, the events as a list and as a feed that ends in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edgegate.observe.metrics import Metrics
from edgegate.observe.share import SharedMetrics
from edgegate.server import api as api_module
from edgegate.server.feed import PING_S
from tests.unit.core.parts import Live, live, providers, until
from tests.unit.core.test_metrics import exposed

KEY = "gw-key-gw-key-gw"
BEARER = {"Authorization": f"Bearer {KEY}"}
JSON = {"Accept": "application/json"}
PATHS = {"/api/circuit-breakers": "GET", "/api/circuit-breakers/reset": "POST", "/api/events": "GET"}


@contextlib.asynccontextmanager
async def gateway(directory: Path, **config: Any) -> AsyncIterator[Live]:
    async with live({"providers": providers("http://127.0.0.1:9")} | config, directory) as made:
        yield made


def locked() -> dict[str, Any]:
    return {"keys": [{"name": "ops", "key": KEY}]}


def well(**more: Any) -> dict[str, Any]:
    state = {
        "state": "closed", "failure_count": 0, "last_failure_ago_s": None, "open_for_s": None, "in_flight": 0, "latency_s": None,
        "error_rate": None, "ejected_for_s": None, "keys": [{"held_for_s": None, "refused_for_s": None, "in_flight": 0}],
    }  # fmt: skip
    return state | more


BROKEN = well(
    state="open", failure_count=5, last_failure_ago_s=1.5, open_for_s=13.5, in_flight=2, latency_s=0.1234567, error_rate=0.33333333,
    ejected_for_s=30.0,
    keys=[
        {"held_for_s": 2.0, "refused_for_s": None, "in_flight": 2},
        {"held_for_s": None, "refused_for_s": float("inf"), "in_flight": 0},
    ],
)  # fmt: skip


class Targets:
    """Stands in for what the gateway knows of its targets."""

    def __init__(self, made: Live, **states: dict[str, Any]) -> None:
        self.states = {name.replace("__", "/"): state for name, state in states.items()}
        self.asked: list[str | None] = []
        made.gateway.api._snapshot = lambda: self.states
        made.gateway.api._forget = self.reset
        made.gateway.api._unix_clock = lambda: 1_700_000_000.0

    def reset(self, label: str | None) -> list[str]:
        self.asked.append(label)
        return [name for name in self.states if label in (None, name)]


class Reader:
    """A subscriber to /api/events that reads whole events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, within_s: float = 1.0) -> dict[str, str]:
        fields: dict[str, str] = {}
        async with asyncio.timeout(within_s):
            while (line := (await self.response.content.readline()).decode()) != "\n":
                assert line, "the feed has ended"
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
        return fields

    async def ended(self, within_s: float = 1.0) -> bool:
        async with asyncio.timeout(within_s):
            return await self.response.content.read() == b""


@contextlib.asynccontextmanager
async def subscribed(made: Live, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    async with made.http.get(
        f"{made.url}/api/events{query}", headers={name.replace("_", "-"): v for name, v in headers.items()}
    ) as response:
        assert response.status == 200, await response.text()
        assert response.headers["content-type"] == "text/event-stream"
        yield Reader(response)


def feeds(made: Live) -> int:
    return len(made.gateway.api._feeds)


# -- who may ask, and how


@pytest.mark.parametrize("path", PATHS)
async def test_without_its_key_nobody_is_told_anything(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path, **locked()) as made:
        for headers, code in (({}, "missing_api_key"), ({"Authorization": "Bearer wrong-wrong-wrong"}, "invalid_api_key")):
            async with made.http.request(PATHS[path], made.url + path, headers=headers) as response:
                assert response.status == 401
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.headers["x-edgegate-error-source"] == "client"
                error = (await response.json())["error"]
                assert (error["code"], set(error)) == (code, {"message", "type", "param", "code"})
        assert feeds(made) == 0


async def test_with_its_key_a_caller_is_let_in(tmp_path: Path) -> None:
    async with gateway(tmp_path, **locked()) as made:
        for path in ("/api/circuit-breakers", "/api/events"):
            status, body, head = await made.get(path, BEARER | JSON)
            assert (status, head["content-type"], head["cache-control"]) == (200, "application/json", "no-store")
            assert isinstance(json.loads(body), dict)
        assert (await made.post("/api/circuit-breakers/reset", b"", BEARER))[0] == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused_with_those_that_are_taken(tmp_path: Path, path: str, method: str) -> None:
    allowed = ("POST",) if PATHS[path] == "POST" else ("GET", "HEAD")
    async with gateway(tmp_path) as made, made.http.request(method, made.url + path, headers=JSON) as response:
        if method in allowed:
            assert response.status == 200
            return
        assert response.status == 405
        assert response.headers["allow"] == ", ".join(allowed)
        if method != "HEAD":
            assert (await response.json())["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/api/circuit-breakers", "/api/events"])
async def test_head_is_get_without_a_body(tmp_path: Path, path: str) -> None:
    async with gateway(tmp_path) as made:
        status, body, _ = await made.get(path, JSON)
        async with made.http.head(made.url + path, headers=JSON) as response:
            assert (response.status, response.headers["content-length"]) == (status, str(len(body)))
            assert await response.read() == b""


async def test_a_request_for_nobody_in_particular_is_refused_and_its_connection_closed(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"GET /api/circuit-breakers HTTP/1.1\r\nHost: a/b\r\n\r\n")
        async with asyncio.timeout(2):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"invalid_host" in answer


async def test_they_are_no_exchanges(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        await made.get("/api/circuit-breakers")
        async with subscribed(made):
            assert made.gateway.gate.in_flight == 0
        assert made.lines() == []
        assert made.gateway.metrics.requests.values == {}


# -- the targets


async def test_the_state_of_the_targets_is_shown(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        Targets(made, one__a=BROKEN, two__b=well(last_failure_ago_s=0.0, open_for_s=0.0))
        _, body, _ = await made.get("/api/circuit-breakers")
    assert json.loads(body) == {
        "one/a": {
            "state": "open", "failureCount": 5, "lastFailureTime": "2023-11-14T22:13:18.500Z", "openUntil": "2023-11-14T22:13:33.500Z",
            "inFlight": 2, "latencyMs": 123.457, "errorRate": 0.3333, "ejectedUntil": "2023-11-14T22:13:50.000Z",
            "keys": [
                {"heldUntil": "2023-11-14T22:13:22.000Z", "refusedUntil": None, "inFlight": 2},
                {"heldUntil": None, "refusedUntil": "9999-12-31T00:00:00.000Z", "inFlight": 0},
            ],
        },
        "two/b": {
            "state": "closed", "failureCount": 0, "lastFailureTime": "2023-11-14T22:13:20.000Z", "openUntil": None,
            "inFlight": 0, "latencyMs": None, "errorRate": None, "ejectedUntil": None,
            "keys": [{"heldUntil": None, "refusedUntil": None, "inFlight": 0}],
        },
    }  # fmt: skip


async def test_one_target_is_reset_by_hand_and_that_is_an_event(tmp_path: Path) -> None:
    async with gateway(tmp_path, **locked()) as made:
        targets = Targets(made, one__a=BROKEN, two__b=BROKEN)
        status, body, _ = await made.post("/api/circuit-breakers/reset", {"target": "one/a"}, BEARER)
        assert (status, json.loads(body)) == (200, {"reset": ["one/a"]})
        assert targets.asked == ["one/a"]
        (line,) = made.lines("breaker_reset")
        assert (line["target"], line["targets"], line["by"]) == ("one/a", 1, "ops")
        assert KEY not in made.log.getvalue().decode()


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"], ids=["nothing", "blank", "empty object"])
async def test_without_a_target_all_are_reset(tmp_path: Path, body: bytes) -> None:
    async with gateway(tmp_path) as made:
        targets = Targets(made, one__a=BROKEN, two__b=BROKEN)
        status, answer, _ = await made.post("/api/circuit-breakers/reset", body)
        assert (status, json.loads(answer)) == (200, {"reset": ["one/a", "two/b"]})
        assert targets.asked == [None]
        assert [line["target"] for line in made.lines("breaker_reset")] == ["*"]


async def test_a_target_that_is_not_known_is_named(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        Targets(made, one__a=BROKEN)
        status, body, _ = await made.post("/api/circuit-breakers/reset", {"target": "one/b"})
        error = json.loads(body)["error"]
        assert (status, error["code"], error["param"]) == (404, "unknown_target", "target")
        assert "'one/b'" in error["message"]
        assert made.lines("breaker_reset") == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"target": 1}', "target"),
        (b'{"target": ""}', "target"),
        (b'{"target": null}', "target"),
        (b'{"targets": "one/a"}', "targets"),
        (b'{"target": "one/a", "all": true}', "all"),
    ],
)
async def test_what_cannot_be_meant_resets_nothing(tmp_path: Path, body: bytes, param: str | None) -> None:
    async with gateway(tmp_path) as made:
        targets = Targets(made, one__a=BROKEN)
        status, answer, _ = await made.post("/api/circuit-breakers/reset", body)
        assert (status, json.loads(answer)["error"]["param"]) == (400, param)
        assert targets.asked == []
        assert made.faults() == []


async def test_a_large_body_is_not_read(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        status, _, _ = await made.post("/api/circuit-breakers/reset", b" " * 100_000)
        assert status == 413


# -- events


async def test_a_subscriber_hears_of_an_event_within_a_second(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, subscribed(made) as reader:
        made.gateway.events.emit("breaker_open", target="one/a", for_s=15.0)
        event = await reader.next(1.0)
        data = json.loads(event["data"])
        assert (event["event"], event["id"]) == ("breaker_open", str(data["id"]))
        assert (data["kind"], data["target"], data["for_s"]) == ("breaker_open", "one/a", 15.0)
        assert abs(data["unix"] - time.time()) < 2


async def test_a_subscriber_that_comes_back_gets_what_it_missed(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        for number in range(5):
            made.gateway.events.emit("breaker_closed", number=number)
        seen = made.gateway.events.latest()[2]["id"]
        async with subscribed(made, Last_Event_ID=str(seen)) as reader:
            assert [json.loads((await reader.next())["data"])["number"] for _ in range(2)] == [3, 4]
            made.gateway.events.emit("breaker_closed", number=5)
            assert json.loads((await reader.next())["data"])["number"] == 5


async def test_a_new_subscriber_hears_only_what_is_new_unless_it_asks_for_more(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        for number in range(5):
            made.gateway.events.emit("breaker_closed", number=number)
        async with subscribed(made) as fresh, subscribed(made, "?limit=2") as curious:
            made.gateway.events.emit("breaker_closed", number=5)
            assert json.loads((await fresh.next())["data"])["number"] == 5
            assert [json.loads((await curious.next())["data"])["number"] for _ in range(3)] == [3, 4, 5]


async def test_the_last_500_events_come_as_json(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        for number in range(510):
            made.gateway.events.emit("breaker_closed", number=number)
        for query, expected in (("", list(range(10, 510))), ("?limit=3", [507, 508, 509]), ("?limit=500", list(range(10, 510)))):
            _, body, head = await made.get(f"/api/events{query}", JSON)
            assert head["content-type"] == "application/json"
            assert [event["number"] for event in json.loads(body)["events"]] == expected


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "limit=%D9%A3", "limit=" + "9" * 5000]
)
async def test_a_limit_that_is_none_is_named(tmp_path: Path, query: str) -> None:
    async with gateway(tmp_path) as made:
        for headers in (JSON, {}):
            status, body, _ = await made.get(f"/api/events?{query}", headers)
            assert (status, json.loads(body)["error"]["param"]) == (400, "limit")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30])
async def test_a_last_event_that_is_none_is_named(tmp_path: Path, last: str) -> None:
    async with gateway(tmp_path) as made:
        status, body, _ = await made.get("/api/events", {"Last-Event-ID": last})
        assert (status, json.loads(body)["error"]["param"]) == (400, "Last-Event-ID")


async def test_who_takes_both_gets_the_feed(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, subscribed(made, Accept="text/event-stream, application/json") as reader:
        made.gateway.events.emit("breaker_closed")
        await reader.next()


async def test_an_old_client_gets_the_feed_too(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"GET /api/events HTTP/1.0\r\n\r\n")
        await until(lambda: feeds(made) == 1)
        made.gateway.events.emit("breaker_closed")
        async with asyncio.timeout(2):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"chunked" not in head.lower()
            assert (await reader.readline()).startswith(b"id: ")
        writer.close()


# -- how a feed ends


async def test_a_subscriber_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made:
        async with subscribed(made) as reader:
            assert feeds(made) == 1
            reader.response.close()
        await until(lambda: feeds(made) == 0)
        made.gateway.events.emit("breaker_closed")
        assert made.faults() == []


async def test_feeds_end_at_drain_and_hold_nothing_up(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, subscribed(made) as one, subscribed(made) as two:
        began = time.monotonic()
        await made.gateway.drain()
        assert await one.ended()
        assert await two.ended()
        assert time.monotonic() - began < 0.5
        assert feeds(made) == 0
        status, body, head = await made.get("/api/events")
        assert (status, json.loads(body)["error"]["code"], head["retry-after"]) == (503, "draining", "1")
        assert (await made.get("/api/events", JSON))[0] == (await made.get("/api/circuit-breakers"))[0] == 200


async def stuck(made: Live) -> socket.socket:
    """A subscriber that reads nothing, in front of a feed whose connection takes no more."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", made.port))
    sock.sendall(b"GET /api/events HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: feeds(made) == 1)
    (feed,) = made.gateway.api._feeds
    transport = feed._transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for _ in range(1000):
        for _ in range(20):
            made.gateway.events.emit("breaker_closed", **{f"field_{number}": "x" * 200 for number in range(10)})
        await asyncio.sleep(0)
        if feed._request.protocol.writing_paused:
            return sock
    raise AssertionError("it took everything")


async def test_a_subscriber_that_does_not_read_is_dropped_and_the_others_are_not(tmp_path: Path) -> None:
    async with gateway(tmp_path, log={"level": "error"}) as made:
        sock = await stuck(made)
        async with subscribed(made) as reader:
            for number in range(3000):
                made.gateway.events.emit("breaker_closed", number=number)
                if number % 50 == 0:
                    await asyncio.sleep(0)
            await until(lambda: feeds(made) == 1)
            for number in range(3000):
                assert json.loads((await reader.next())["data"])["number"] == number
        sock.close()
        assert made.faults() == []


async def test_a_subscriber_that_does_not_read_holds_no_drain_up(tmp_path: Path) -> None:
    async with gateway(tmp_path, log={"level": "error"}) as made:
        sock = await stuck(made)
        began = time.monotonic()
        await made.gateway.drain()
        await until(lambda: feeds(made) == 0)
        server = made.gateway._listener
        assert server is not None
        await until(lambda: not server.connections)
        assert time.monotonic() - began < 0.5
        sock.close()


async def test_there_are_only_so_many_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_module.MAX_FEEDS == 100
    monkeypatch.setattr(api_module, "MAX_FEEDS", 2)
    async with gateway(tmp_path) as made:
        async with subscribed(made), subscribed(made):
            status, body, head = await made.get("/api/events")
            assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
            assert int(head["retry-after"]) >= 1
            assert (await made.get("/api/events", JSON))[0] == 200
        await until(lambda: feeds(made) == 0)
        async with subscribed(made):
            assert feeds(made) == 1


async def test_a_quiet_feed_is_pinged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PING_S == 15.0
    monkeypatch.setattr("edgegate.server.feed.PING_S", 0.05)
    async with gateway(tmp_path) as made, subscribed(made) as reader, asyncio.timeout(2):
        assert await reader.response.content.readline() == b": ping\n"


# -- gauges over several workers


def two_workers() -> tuple[Metrics, Metrics]:
    one, two = Metrics(), Metrics()
    one.breakers.set(("openai", "gpt-4o"), 0.5)
    two.breakers.set(("openai", "gpt-4o"), 1.0)
    two.breakers.set(("groq", "llama"), 0.0)
    for metrics, waiting, running in ((one, 3, 5), (two, 4, 6)):
        metrics.queue_depth.set(("0",), waiting)
        metrics.queue_running.set((), running)
    return one, two


def test_what_waits_and_runs_is_added_up_and_of_a_breaker_the_worst_is_shown() -> None:
    one, two = two_workers()
    for metrics, other in ((one, two), (two, one)):
        samples = exposed(metrics, other.snapshot())
        assert samples["edgegate_queue_depth", (("priority", "0"),)] == 7
        assert samples["edgegate_queue_running", ()] == 11
        assert samples["edgegate_breaker_state", (("model", "gpt-4o"), ("provider", "openai"))] == 1.0
        assert samples["edgegate_breaker_state", (("model", "llama"), ("provider", "groq"))] == 0.0
    assert one.queue_running.values == {(): 5}, "adding up changes nothing of its own"


def test_gauges_are_bounded_too() -> None:
    metrics = Metrics(max_series=2)
    for number in range(5):
        metrics.breakers.set(("made-up", str(number)), 1.0)
    metrics.breakers.set(("made-up", "0"), 0.0)
    assert metrics.breakers.values == {("made-up", "0"): 0.0, ("made-up", "1"): 1.0}


def test_nothing_of_a_dead_worker_waits_runs_or_is_open_any_more(tmp_path: Path) -> None:
    one, two = two_workers()
    two.breaker_changes.add(("openai", "gpt-4o", "open"), 2)
    two.queue_wait.observe(("0", "run"), 0.1)
    two.in_flight = 9
    SharedMetrics(two, tmp_path, "1").write()
    reader = SharedMetrics(one, tmp_path, "0")
    assert exposed(one, *reader.others())["edgegate_queue_running", ()] == 11
    SharedMetrics(Metrics(), tmp_path, "1").bury()
    samples = exposed(one, *reader.others())
    assert samples["edgegate_queue_depth", (("priority", "0"),)] == 3
    assert samples["edgegate_queue_running", ()] == 5
    assert samples["edgegate_breaker_state", (("model", "gpt-4o"), ("provider", "openai"))] == 0.5
    assert samples["edgegate_in_flight", ()] == 0
    assert samples["edgegate_breaker_changes_total", (("model", "gpt-4o"), ("provider", "openai"), ("state", "open"))] == 2
    assert samples["edgegate_queue_wait_seconds_count", (("priority", "0"), ("result", "run"))] == 1
