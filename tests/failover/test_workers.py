"""Several workers as one gateway: what one learns of a provider holds for all, at once, and no worker's end or sleep harms the others.

Real processes under the real supervisor. What is asked of "all workers" is asked of each of them by name.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import Gateway
from tests.failover.crew import SPARE, WORKERS, Crew, Town, ask, asks, code, levels, target, until
from tests.hard.misbehaving import Peer, Received, Step, send, turn, wait_gone
from tests.hard.raw_client import Gone, RawClient, request
from tests.hard.speech import (
    AUTH,
    ERROR_SHAPES,
    GATEWAY_KEY,
    LAST_CHUNK,
    OPENAI_REPLY,
    OPENAI_STREAM,
    STREAM_HEAD,
    TERMINAL,
    chunk,
    dumps,
    error_events,
    http,
    whole_stream,
)

NEWS_S = 1.0
"""Within what time all workers know what one has learned."""

WRITTEN_S = 3.0
"""Within what time it shows on the /metrics of all: each writes its numbers once a second."""

RESET_S = 2.0
BROKEN = http(dumps({"error": {"message": "It broke.", "type": "server_error"}}), status=b"500 Internal Server Error")
LIMITED = http(dumps({"error": {"message": "Slow down.", "type": "rate_limit"}}), b"retry-after: 20", status=b"429 Too Many Requests")
Start = Callable[..., Crew]


def chain(*stages: Any, **forward: Any) -> list[Any]:
    """The chain, with further stages before route."""
    failover = {"retries": 0, "breaker": {"failures": 3, "reset": f"{RESET_S}s"}}
    return ["auth", *stages, "route", {"failover": failover}, "translate", {"forward": forward}, "meter"]


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    town = Town()
    yield town
    town.close()


def configuration(town: Town, stages: list[Any], names: tuple[str, ...], **server: Any) -> dict[str, Any]:
    """Providers of these names; those that begin with `backed` have a fallback, those with `keys` have two credentials."""
    more = {name: {"api_keys": ["sk-first-012345", "sk-second-012345"]} if name.startswith("keys") else {} for name in names}
    return {
        "server": {"workers": WORKERS, "max_lag": 0, "drain": "2s", **server},
        "providers": {name: town.provider(name, **more.get(name, {})) for name in (*names, SPARE)},
        "models": {"fallbacks": {f"m-{name}": [f"m-{SPARE}"] for name in names if name.startswith("backed")}},
        "keys": [{"name": "app", "key": GATEWAY_KEY}],
        "chain": stages,
    }


NAMES = ("alone", "backed", "keys", "broken", "reset", "backed-low", "low", "keys-low", "icy", "icy-held", "icy-low", "icy-after", "same")


@pytest.fixture(scope="module")
def crew(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """The gateway of most tests. Each of them has providers of its own, of which nothing is known before."""
    with Gateway(tmp_path_factory.mktemp("crew"), configuration(town, chain("idempotency"), NAMES)) as gateway:
        yield Crew(gateway)


@pytest.fixture
def start(town: Town, tmp_path: Path) -> Iterator[Start]:
    """Starts a gateway for a test that ends it, or kills a part of it."""
    begun: list[Crew] = []

    def begin(stages: list[Any], **server: Any) -> Crew:
        crew = Crew(Gateway(tmp_path, configuration(town, stages, ("one",), **server)).start())
        begun.append(crew)
        return crew

    town.well("one")
    yield begin
    for crew in begun:
        if crew.running:
            assert crew.gateway.stop() == 0, crew.gateway.said()
    town.hang_up()


def everywhere(team: list[RawClient], name: str, fact: Callable[[dict[str, Any]], object], what: str, within_s: float = NEWS_S) -> None:
    """Every worker says so of a target."""
    until(lambda: all(fact(target(client, name)) for client in team), what, within_s)


# -- limits


def by_key(town: Town, name: str, key: str) -> list[Received]:
    """The requests that came with one of the provider's credentials."""
    return [got for got in town.seen(name) if key in str(got.header("authorization"))]


def used_up(for_s: int) -> tuple[bytes, ...]:
    """What a vendor says with the last reply for so long."""
    return b"x-ratelimit-limit-requests: 1", b"x-ratelimit-remaining-requests: 0", b"x-ratelimit-reset-requests: %ds" % for_s


@pytest.mark.parametrize("name", ["alone", "backed", "keys"])
def test_a_429_heard_by_one_worker_is_obeyed_by_all(name: str, crew: Crew, town: Town) -> None:
    async def limited(peer: Peer) -> None:
        await peer.send(http(OPENAI_REPLY) if town.seen(name)[-1] in by_key(town, name, "second") else LIMITED)

    town.rule(name, limited)
    first, *others = crew.team()
    spared = len(town.seen(SPARE))
    reply = ask(first, name)
    for _ in range(20):
        if name == "keys" and not by_key(town, name, "first"):  # the other credential was taken
            reply = ask(first, name)
    assert reply.status == (429 if name == "alone" else 200)
    everywhere([first, *others], name, lambda known: known and known["keys"][0]["heldUntil"], "every worker to hold back")
    asked = len(town.seen(name))
    for client in [first, *others, *(RawClient(crew.gateway.port) for _ in range(9))]:
        reply = ask(client, name)
        if name == "alone":
            assert reply.status == 429
            assert 15 <= int(reply.header("retry-after") or 0) <= 20
            assert code(reply) == "rate_limit_exceeded"
        else:
            assert reply.status == 200, reply
    if name == "keys":
        assert len(by_key(town, name, "first")) == 1, "the credential was used again"
        assert len(town.seen(name)) == asked + 12, "the other credential takes the requests over"
    else:
        assert len(town.seen(name)) == 1, "it was asked again"
        assert len(town.seen(SPARE)) == spared + (13 if name == "backed" else 0)


@pytest.mark.parametrize("name", ["backed-low", "low", "keys-low"])
def test_a_limit_that_one_worker_sees_used_up_diverts_the_others(name: str, crew: Crew, town: Town) -> None:
    """The reply was a good one: the next request would be the first to be refused."""

    async def the_last_one(peer: Peer) -> None:
        await peer.send(http(OPENAI_REPLY) if town.seen(name)[-1] in by_key(town, name, "second") else http(OPENAI_REPLY, *used_up(30)))

    town.rule(name, the_last_one)
    first, *others = crew.team()
    spared = len(town.seen(SPARE))
    assert ask(first, name).status == 200
    for _ in range(20):
        if name == "keys-low" and not by_key(town, name, "first"):
            assert ask(first, name).status == 200
    used = len(town.seen(name))
    heard = time.monotonic()
    for client in others:  # nobody has asked these workers yet: what they know they have been told
        client.assert_usable()  # whatever was told before this, is heard now
        reply = ask(client, name)
        assert reply.status == (429 if name == "low" else 200)
        if name == "low":
            assert 20 <= int(reply.header("retry-after") or 0) <= 30
    assert time.monotonic() - heard < NEWS_S
    if name == "keys-low":
        assert len(by_key(town, name, "first")) == 1
        assert len(town.seen(name)) == used + len(others)
    else:
        assert len(town.seen(name)) == 1
    if name == "backed-low":
        assert len(town.seen(SPARE)) == spared + len(others)


# -- breakers


def open_breaker(name: str, client: RawClient, town: Town) -> None:
    town.rule(name, BROKEN)
    for _ in range(3):
        reply = ask(client, name)
        assert reply.status >= 500
        assert reply.header("x-edgegate-error-source") == "provider"
    assert len(town.seen(name)) == 3


def agree(team: list[RawClient], name: str, state: str) -> None:
    """What the workers say of the breaker, and what /metrics says through each of them, is one and the same."""
    everywhere(team, name, lambda known: known and known["state"] == state, f"every worker to call it {state}")
    level = {"open": [1.0], "closed": [0.0]}[state]
    until(
        lambda: all(levels(client, "edgegate_breaker_state", provider=name) == level for client in team),
        f"/metrics to call it {state}",
        WRITTEN_S,
    )


def test_a_breaker_that_opens_in_one_worker_opens_in_all_and_all_recover(crew: Crew, town: Town) -> None:
    name = "broken"
    connections = crew.connections(each=3)
    team = [clients[0] for clients in connections.values()]
    open_breaker(name, team[0], town)
    everywhere(team, name, lambda known: known and known["state"] == "open", "every worker's breaker to be open")
    for client in team:
        reply = ask(client, name)
        assert (reply.status, code(reply)) == (503, "circuit_open")
        assert 1 <= int(reply.header("retry-after") or 0) <= RESET_S
    assert len(town.seen(name)) == 3, "a broken provider was asked"
    agree(team, name, "open")

    async def broken_later(peer: Peer) -> None:
        await turn(peer)
        await peer.send(BROKEN)

    town.rule(name, broken_later)
    everywhere(team, name, lambda known: known["openUntil"] is None, "the open time to be over", RESET_S + 0.5)
    for number, (probing, *turned_away) in enumerate(connections.values(), 1):
        asks(probing, name)
        town.wait_seen(name, 3 + number)
        for client in turned_away:
            assert code(ask(client, name)) == "circuit_open"
    assert len(town.seen(name)) == 3 + WORKERS, "one probe for each worker"
    town.go(WORKERS)
    for client in team:
        assert client.reply().status >= 500
    everywhere(team, name, lambda known: known["state"] == "open" and known["openUntil"], "open again after bad probes")

    town.well(name)
    began = time.monotonic()
    for client in team:
        until(lambda client=client: ask(client, name).status == 200, "this worker to use it again", 5)  # type: ignore[misc]
    assert time.monotonic() - began < 5
    for client in team:
        assert ask(client, name).status == 200
    agree(team, name, "closed")


def test_a_reset_by_hand_reaches_all_workers(crew: Crew, town: Town) -> None:
    name = "reset"
    team = crew.team()
    open_breaker(name, team[0], town)
    everywhere(team, name, lambda known: known and known["state"] == "open", "every worker's breaker to be open")
    town.well(name)
    team[-1].send(request("/api/circuit-breakers/reset", dumps({"target": f"{name}/m-{name}"}), AUTH))
    reply = team[-1].reply()
    assert (reply.status, reply.body) == (200, dumps({"reset": [f"{name}/m-{name}"]}).replace(b" ", b""))
    everywhere(team, name, lambda known: known["state"] == "closed", "every worker's breaker to be closed")
    for client in team:
        assert ask(client, name).status == 200
    agree(team, name, "closed")


# -- a worker that sleeps


def test_a_frozen_worker_slows_nobody_and_does_not_act_on_old_news(crew: Crew, town: Town) -> None:
    connections = crew.connections(each=2)
    (sleeper, (asleep, _)), *awake = connections.items()
    one, other = (clients[0] for _, clients in awake)
    fresh = [clients[1] for _, clients in awake]
    with crew.frozen(sleeper):
        frozen_at = time.monotonic()
        open_breaker("icy", one, town)
        town.rule("icy-held", http(b"{}", b"retry-after: 2", status=b"429 Too Many Requests"))
        town.rule("icy-after", LIMITED)
        town.rule("icy-low", http(OPENAI_REPLY, *used_up(2)))
        for name in ("icy-held", "icy-after"):
            assert ask(one, name).status == 429
        assert ask(one, "icy-low").status == 200
        everywhere([one, other], "icy", lambda known: known and known["state"] == "open", "the news among those that are awake")
        everywhere([one, other], "icy-after", lambda known: known and known["keys"][0]["heldUntil"], "the news of the limit")
        town.well("icy")
        town.well("icy-held")
        for number in range(30):  # more news than a socket holds that nobody reads
            assert ask(one, "icy-after", model=f"icy-after/m-{number}").status == 429
        while time.monotonic() - frozen_at < 3:
            for client in (one, other, *fresh):
                asked = time.monotonic()
                assert ask(client, SPARE).status == 200
                assert time.monotonic() - asked < 1
            time.sleep(0.05)
        for client in (one, other):
            assert ask(client, "icy").status == 200, "it has recovered while one worker slept"
    woken = time.monotonic()
    for name in ("icy", "icy-held", "icy-low"):
        assert ask(asleep, name).status == 200, "held back for what is over"
    assert time.monotonic() - woken < 1
    assert ask(asleep, "icy-after").status == 429, "what it was told and still holds, it obeys"
    assert len(town.seen("icy-after")) == 31


# -- idempotency


@pytest.mark.parametrize("stream", [False, True])
def test_duplicates_over_all_workers_reach_the_provider_once(stream: bool, crew: Crew, town: Town) -> None:
    name, key = "same", f"Idempotency-Key: over-workers-{stream}"
    before = len(town.seen(name))

    async def in_a_while(peer: Peer) -> None:
        await turn(peer)
        await peer.send(whole_stream("openai") if stream else http(OPENAI_REPLY))

    town.rule(name, in_a_while)
    team = crew.team()
    clients = [*team, *(RawClient(crew.gateway.port) for _ in range(37))]
    for client in clients:
        asks(client, name, key, stream=stream)
    with RawClient(crew.gateway.port) as watcher:
        until(lambda: levels(watcher, "edgegate_in_flight") == [40], "all 40 to be in flight", WRITTEN_S)
    town.go(1)
    replies = [client.reply() for client in clients]
    assert {reply.status for reply in replies} == {200}
    assert all(reply.whole for reply in replies)
    assert len({reply.body for reply in replies}) == 1
    for client in team:  # later: from wherever it is asked
        assert ask(client, name, key, stream=stream).body == replies[0].body
    assert len(town.seen(name)) == before + 1
    other = ask(team[0], SPARE, key)
    assert (other.status, code(other)) == (409, "idempotency_key_reused")


def test_a_worker_killed_in_the_middle_of_a_first_call_does_not_keep_its_key(start: Start, town: Town, tmp_path: Path) -> None:
    file = tmp_path / "answers.sqlite"
    crew = start(chain({"idempotency": {"file": str(file)}}))
    (victim, (first,)), *others = crew.connections().items()
    key = "Idempotency-Key: of-a-dead-worker"
    town.rule("one", wait_gone)
    asks(first, "one", key)
    town.wait_seen("one", 1)
    crew.kill(victim)
    with pytest.raises(Gone):
        first.reply()
    town.well("one")
    later = [client for _, (client,) in others]
    for client in later:
        asks(client, "one", key)
    with RawClient(crew.gateway.port) as bystander:
        assert ask(bystander, "one", "Idempotency-Key: another").status == 200, "only this key waits"
    for client in later:
        client.assert_silent_and_open(0.2)
    assert len(town.seen("one")) == 2, "nobody knows that the first call has come to nothing, so it is not repeated yet"
    with sqlite3.connect(file, isolation_level=None) as answers:  # a minute passes without a sign of life
        answers.execute("UPDATE answers SET beat = beat - 61 WHERE status IS NULL")
    answers.close()
    woken = time.monotonic()
    replies = [client.reply() for client in later]
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    assert time.monotonic() - woken < 2
    for client in crew.team():  # the dead worker's successor too
        assert ask(client, "one", key).body == replies[0].body
    assert len(town.seen("one")) == 3


# -- the end


def test_a_drain_finishes_what_can_be_finished_on_all_workers_and_says_so_of_the_rest(start: Start, town: Town) -> None:
    """Each worker has a stream that ends in time, one that does not, one whose caller has left, and one of these that never ends."""
    began_with = STREAM_HEAD + b"".join(chunk(bytes(line)) for line in OPENAI_STREAM[:3])
    rest = b"".join(chunk(bytes(line)) for line in OPENAI_STREAM[3:]) + LAST_CHUNK

    def stream(*steps: Step) -> Step:
        async def play(peer: Peer) -> None:
            await peer.send(began_with)
            for step in steps:
                await step(peer)

        return play

    drain_s = 1.5
    crew = start(chain(client_gone="drain"), drain=f"{drain_s}s")
    connections = crew.connections(each=5)
    ending: list[RawClient] = []
    endless: list[tuple[str, RawClient]] = []
    gone: list[RawClient] = []
    for clients in connections.values():
        town.rule("one", stream(turn, send(rest)))
        ending.append(clients[0])
        gone.append(clients[1])
        for client in clients[:2]:
            asks(client, "one", stream=True)
            client.wait_for(b"Hello")
        town.rule("one", stream(wait_gone))
        gone.append(clients[2])
        asks(clients[2], "one", stream=True)
        clients[2].wait_for(b"Hello")
        for dialect, client in zip(("openai", "anthropic"), clients[3:], strict=True):
            endless.append((dialect, client))
            asks(client, "one", stream=True, dialect=dialect)
            client.wait_for(b"Hello")
    for client in gone:
        client.socket.close()
    began = time.monotonic()
    crew.terminate()
    until(lambda: len(crew.gateway.logs('"draining"')) == WORKERS, "all workers to drain", 2)
    town.go(2 * WORKERS)
    for client in ending:
        reply = client.reply()
        assert reply.whole
        assert reply.body.endswith(b"data: [DONE]\n\n")
        assert not error_events("openai", reply.body)
    assert time.monotonic() - began < drain_s, "they ended before the limit, and not because of it"
    for dialect, client in endless:
        reply = client.reply()
        assert reply.whole
        assert error_events(dialect, reply.body) == 1
        assert TERMINAL[dialect] not in reply.body
        ERROR_SHAPES[dialect](reply.body.rstrip(b"\n").rpartition(b"data: ")[2])
    assert crew.ended(4) == 0, crew.gateway.said()
    assert drain_s <= time.monotonic() - began < drain_s + 3
    lines = [line for line in crew.gateway.logs('"request"') if line["event"] == "request"]
    expected = [("ok", "ok"), ("client_gone", "ok"), ("client_gone", "drained"), ("drained", "drained"), ("drained", "drained")]
    assert sorted((line["outcome"], line["attempt_outcome"]) for line in lines) == sorted(WORKERS * expected)
    metered = [line for line in lines if (line["outcome"], line["attempt_outcome"]) == ("client_gone", "ok")]
    assert {(line["usage"], line["input_tokens"], line["output_tokens"]) for line in metered} == {("reported", 5, 3)}
    assert not crew.gateway.logs('"fault"')


# -- the queue


def test_the_depth_of_the_queues_is_told_in_all(start: Start, town: Town) -> None:
    async def in_a_while(peer: Peer) -> None:
        await turn(peer)
        await peer.send(http(OPENAI_REPLY))

    town.rule("one", in_a_while)
    stages = chain()
    stages.insert(2, {"queue": {"concurrency": 1, "size": 10}})
    crew = start(stages)
    connections = list(crew.connections(each=4).values())
    busy: list[RawClient] = []
    for waiting, clients in enumerate(connections, 1):  # 1, 2 and 3 of them wait
        for client in clients[: waiting + 1]:
            asks(client, "one")
            busy.append(client)
    watchers = crew.team()

    def told(depth: float, running: float) -> bool:
        return all(
            levels(watcher, "edgegate_queue_depth", priority="normal") == [depth] and levels(watcher, "edgegate_queue_running") == [running]
            for watcher in watchers
        )

    until(lambda: told(6, 3), "every worker's /metrics to tell the sum", WRITTEN_S)
    assert len(town.seen("one")) == WORKERS
    town.go(len(busy))
    assert {client.reply().status for client in busy} == {200}
    until(lambda: told(0, 0), "the queues to be told empty", WRITTEN_S)
