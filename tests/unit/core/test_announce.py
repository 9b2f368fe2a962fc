"""A breaker that opens and closes is seen everywhere: in the metrics, at /api/circuit-breakers, in the events and in the log."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.parts import Live, Provider, completion, live, providers, reply, until

DOWN = reply(b'{"error":{"message":"down","type":"server_error"}}', 503)
FILTERED = reply(b'{"error":{"message":"no","type":"invalid_request_error","code":"content_filter"}}', 400)


def config(*places: Provider, **failover: Any) -> dict[str, Any]:
    models = {"fallbacks": {"gpt-4o": ["two/gpt-spare"]}} if len(places) > 1 else {}
    chain = ["auth", "route", {"failover": {"retries": 0} | failover}, "translate", "forward", "meter"]
    return {"chain": chain, "models": models, "providers": providers(*[place.url for place in places])}


async def shown(gateway: Live) -> tuple[str, float, list[str]]:
    """The state at the path, the gauge, and the kinds of the events so far."""
    _, states, _ = await gateway.get("/api/circuit-breakers")
    _, metrics, _ = await gateway.get("/metrics")
    _, events, _ = await gateway.get("/api/events", {"accept": "application/json"})
    lines = [line for line in metrics.decode().splitlines() if line.startswith("edgegate_breaker_state{")]
    level = float(lines[0].rpartition(" ")[2]) if lines else 0.0
    return json.loads(states)["one/gpt-4o"]["state"], level, [event["kind"] for event in json.loads(events)["events"]]


async def test_a_breaker_is_seen_everywhere(tmp_path: Path) -> None:
    settings = {"failures": 2, "reset": "500ms"}
    async with Provider(DOWN, DOWN, reply(completion())) as one, live(config(one, breaker=settings), tmp_path) as gateway:
        assert [(await gateway.post())[0] for _ in range(3)] == [503, 503, 503]
        assert len(one.seen) == 2
        assert await shown(gateway) == ("open", 1.0, ["breaker_open"])
        board = gateway.gateway._board
        await until(lambda: board.snapshot(time.monotonic())["one/gpt-4o"]["open_for_s"] == 0.0)
        assert (await gateway.post())[0] == 200
        assert await shown(gateway) == ("closed", 0.0, ["breaker_open", "breaker_half_open", "breaker_closed"])
        assert [line["target"] for line in gateway.lines("breaker_open")] == ["one/gpt-4o"]
        _, metrics, _ = await gateway.get("/metrics")
    for state in ("open", "half_open", "closed"):
        assert f'edgegate_breaker_changes_total{{model="gpt-4o",provider="one",state="{state}"}} 1.0' in metrics.decode()


@pytest.mark.parametrize(("also", "answered_by", "asked"), [((), "one", 0), (("content_filter",), "two", 1)])
async def test_a_content_filter_is_routed_around_only_where_the_operator_says_so(
    tmp_path: Path, also: tuple[str, ...], answered_by: str, asked: int
) -> None:
    async with Provider(FILTERED) as one, Provider() as two, live(config(one, two, also_on=list(also)), tmp_path) as gateway:
        _, _, headers = await gateway.post()
        assert (headers["x-edgegate-provider"], len(one.seen), len(two.seen)) == (answered_by, 1, asked)


async def test_a_caller_may_shorten_the_time_to_connect(tmp_path: Path) -> None:
    """The provider's host accepts the connection but never speaks TLS, so that it is not set up."""

    async def deaf(seen: Any, writer: Any) -> None:
        raise AssertionError("nothing readable comes")

    async with Provider(deaf) as one:
        settings = config(one)
        settings["providers"]["one"]["base_url"] = one.url.replace("http:", "https:") + "/v1"
        async with live(settings, tmp_path) as gateway:
            status, body, _ = await gateway.post(headers={"x-edgegate-connect-timeout": "200ms"})
            assert (status, json.loads(body)["error"]["code"]) == (504, "connect_timeout")
            state = gateway.gateway._board.snapshot(0.0)["one/gpt-4o"]
            assert state["failure_count"] == 0, "the caller's own impatience speaks against nobody"
