"""300 faults of every kind in a row leave nothing behind: no task, no descriptor, no connection, no entry in a sweep."""

from __future__ import annotations

import gc
import os
import random
import time

from tests.hard.live import Live
from tests.hard.misbehaving import Play, Provider, close, reset, send, sleep, wait_gone
from tests.hard.raw_client import Gone, RawClient, request
from tests.hard.speech import AUTH, CHAT, LAST_CHUNK, OPENAI_REPLY, STREAM_HEAD, STREAMS, ask, chunk, http, whole_stream

TEXT = b"".join(chunk(bytes(line)) for line in STREAMS["openai"][:3])

PLAYS = [
    Play([close]),
    Play([reset]),
    Play([close], "head"),
    Play([send(b"HTTP/1.1 200"), close]),
    Play([send(b"rubbish\r\n\r\n")]),
    Play([send(http(b""))]),
    Play([send(http(b"<html>", type=b"text/html"))]),
    Play([send(http(OPENAI_REPLY)[:-9]), close]),
    Play([send(http(OPENAI_REPLY)[:-9]), sleep(0.01), reset]),
    Play([send(http(b"{}", status=b"503 Busy"))]),
    Play([send(http(b"{}", status=b"400 Bad"))]),
    Play([send(STREAM_HEAD + TEXT), close]),
    Play([send(STREAM_HEAD + TEXT), sleep(0.01), reset]),
    Play([send(STREAM_HEAD + TEXT + LAST_CHUNK)]),
    Play([send(STREAM_HEAD + TEXT + b"xyz\r\n")]),
    Play([send(STREAM_HEAD + LAST_CHUNK)]),
    Play([send(whole_stream("openai"))]),
    Play([send(whole_stream("openai")), close]),
    Play([send(http(OPENAI_REPLY)), close]),
    Play([]),
    Play([wait_gone]),
]


def one(live: Live, provider: Provider, dice: random.Random) -> None:
    """One exchange that goes wrong in one way or another, on its side, on ours, or on both."""
    play = dice.choice(PLAYS)
    provider.always(play)
    leave = play.steps == [wait_gone] or dice.random() < 0.15
    path = dice.choice(["/v1/chat/completions", "/v1/chat/completions", "/v1/messages", "/openai/v1/files", "/nowhere", "/v1/models"])
    dialect = "anthropic" if path == "/v1/messages" else "openai"
    body = dice.choice([ask(dialect, "openai"), ask(dialect, "openai", stream=True), b"{", CHAT[:-1]])
    data = request(path, body, AUTH, method="GET" if path == "/v1/models" else "POST")
    damage = dice.random()
    if damage < 0.1:
        data = data[: dice.randrange(1, len(data))]
        leave = True
    elif damage < 0.2:
        data = data.replace(b"host: gateway", dice.choice([b"host : x", b"", b"host: a b", b"x\0: y"]))
    with RawClient(live.port) as client:
        try:
            client.send(data)
            if leave:
                time.sleep(0.01)
                if dice.random() < 0.5:
                    client.reset()
            else:
                client.reply()
        except (Gone, OSError):
            pass


async def _background(live: Live) -> int:
    return len(live.gateway._background)


def test_300_faults_leave_nothing_behind(gateway: Live, provider: Provider) -> None:
    dice = random.Random(20261121)

    def settle() -> tuple[int, int, int]:
        provider.always(Play([]))
        gateway.wait(lambda: gateway.in_flight() == 0 and gateway.client_connections() == 0, "clients to be gone", 8)
        provider.clear()
        gateway.wait(lambda: gateway.pooled() == 0 and gateway.connecting() == 0, "upstream connections to be gone", 5)
        time.sleep(0.1)
        gc.collect()
        return gateway.tasks(), len(os.listdir("/proc/self/fd")), gateway.waiting()

    for _ in range(30):
        one(gateway, provider, dice)
    before = settle()
    for _ in range(300):
        one(gateway, provider, dice)
    after = settle()
    assert after == before, f"tasks, descriptors, entries in the sweep: {before} -> {after}"
    assert after[2] == 0
    assert not gateway.gateway.gate.relays
    with RawClient(gateway.port) as client:
        client.send(request("/v1/chat/completions", CHAT, AUTH))
        assert client.reply().status == 200
