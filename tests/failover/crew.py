"""A gateway of several worker processes, seen from outside: a connection to each worker, and a provider with a rule for each name.

The kernel spreads connections over the workers. Which worker has accepted one is read off /proc, so that a test can speak to a
certain worker, and knows that it spoke to all.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.gateway import Gateway
from tests.hard.live import Loop
from tests.hard.misbehaving import Peer, Play, Provider, Received, Step, send
from tests.hard.raw_client import RawClient, Reply, request
from tests.hard.speech import AUTH, dumps, good_answer

WORKERS = 3
SPARE = "spare"


def until(condition: Callable[[], object], what: str, within_s: float) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"waited {within_s} s in vain: {what}"
        time.sleep(0.01)


# -- the provider's side


class Town:
    """Providers of many names behind one address: `http://.../NAME/v1`. Each is well until it gets a rule."""

    def __init__(self) -> None:
        self._loop = Loop("town", fast=False)
        self._provider = Provider()
        self._rules: dict[str, Step] = {}
        self._loop.run(self._provider.start())
        self._provider.always(Play([self._answer]))

    async def _answer(self, peer: Peer) -> None:
        got = self._provider.requests[-1]  # this one: nothing was awaited since it was noted
        rule = self._rules.get(_name(got))
        await (rule or send(good_answer(got.target, got.body)))(peer)

    def rule(self, name: str, rule: Step | bytes) -> None:
        self._rules[name] = send(rule) if isinstance(rule, bytes) else rule

    def well(self, name: str) -> None:
        self._rules.pop(name, None)

    def seen(self, name: str) -> list[Received]:
        """The requests that reached a provider, in order."""
        return [got for got in self._provider.requests if _name(got) == name]

    def wait_seen(self, name: str, number: int) -> None:
        until(lambda: len(self.seen(name)) >= number, f"{number} requests at {name}", 5)

    def hang_up(self) -> None:
        """So that no rule of one gateway's time still holds in the next one's."""
        self._provider.clear()
        self._provider.always(Play([self._answer]))
        self._rules.clear()

    def go(self, turns: int) -> None:
        self._provider.go(turns)

    def provider(self, name: str, **more: Any) -> dict[str, Any]:
        """Its entry in a configuration; it serves the model `m-NAME`."""
        base = f"http://127.0.0.1:{self._provider.port}/{name}/v1"
        key = {} if "api_keys" in more else {"api_key": f"sk-{name}-0123456789"}
        return {"dialect": "openai", "base_url": base, "models": [f"m-{name}"]} | key | more

    def close(self) -> None:
        self._loop.run(self._provider.stop())
        self._loop.stop()


def _name(got: Received) -> str:
    return got.target.split("/")[1]


# -- the gateway's side


class Crew:
    """A gateway and its workers, by process id."""

    def __init__(self, gateway: Gateway, workers: int = WORKERS) -> None:
        self.gateway = gateway
        self._workers = workers

    @property
    def pids(self) -> set[int]:
        pid = self.gateway.pid
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def connections(self, each: int = 1) -> dict[int, list[RawClient]]:
        """So many fresh connections to every worker."""
        found: dict[int, list[RawClient]] = {}
        end = time.monotonic() + 10
        while len(found) < self._workers or any(len(clients) < each for clients in found.values()):
            assert time.monotonic() < end, f"connections went to {len(found)} of {self._workers} workers"
            clients = [RawClient(self.gateway.port) for _ in range(4)]
            for client in clients:
                client.assert_usable()
            owners = self._owners(clients)
            for client, owner in zip(clients, owners, strict=True):
                have = found.setdefault(owner, [])
                if len(have) < each:
                    have.append(client)
                else:
                    client.socket.close()
        return found

    def team(self) -> list[RawClient]:
        """One connection to each worker."""
        return [client for (client,) in self.connections().values()]

    def _owners(self, clients: list[RawClient]) -> list[int]:
        ports = {client.socket.getsockname()[1]: number for number, client in enumerate(clients)}
        inodes: dict[str, int] = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, *rest = line.split()
            if int(local.split(":")[1], 16) == self.gateway.port and (port := int(remote.split(":")[1], 16)) in ports:
                inodes[f"socket:[{rest[6]}]"] = ports[port]
        owners: dict[int, int] = {}
        for pid in self.pids:
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    number = inodes.get(os.readlink(fd))
                    if number is not None:
                        owners[number] = pid
        return [owners[number] for number in range(len(clients))]

    @contextlib.contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def kill(self, pid: int) -> None:
        """Kills a worker outright, and waits for the one that takes its place."""
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in self.pids and len(self.pids) == self._workers, "another worker", 8)

    def terminate(self) -> None:
        os.kill(self.gateway.pid, signal.SIGTERM)

    def ended(self, within_s: float) -> int:
        process = self.gateway._process
        assert process is not None
        return process.wait(within_s)

    @property
    def running(self) -> bool:
        process = self.gateway._process
        return process is not None and process.poll() is None


# -- what is said on a connection


def asks(client: RawClient, name: str, *headers: str, stream: bool = False, dialect: str = "openai", model: str = "") -> None:
    """Sends a request for the model of a provider, or for a model by its own name."""
    path, more = ("/v1/messages", {"max_tokens": 100}) if dialect == "anthropic" else ("/v1/chat/completions", {})
    body = {"model": model or f"m-{name}", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    client.send(request(path, dumps(body | more), AUTH, *headers))


def ask(client: RawClient, name: str, *headers: str, stream: bool = False, model: str = "") -> Reply:
    asks(client, name, *headers, stream=stream, model=model)
    return client.reply()


def code(reply: Reply) -> str:
    """The code of an error in OpenAI's words."""
    found: str = json.loads(reply.body)["error"]["code"]
    return found


def get(client: RawClient, path: str) -> bytes:
    client.send(request(path, b"", AUTH, method="GET"))
    reply = client.reply()
    assert reply.status == 200, reply
    return reply.body


def target(client: RawClient, name: str) -> dict[str, Any]:
    """What this worker knows of a provider's model; {} if it never heard of it."""
    found: dict[str, Any] = json.loads(get(client, "/api/circuit-breakers")).get(f"{name}/m-{name}", {})
    return found


def levels(client: RawClient, metric: str, **labels: str) -> list[float]:
    """The values of a metric's series that have these labels, by /metrics."""
    text = get(client, "/metrics").decode()
    return [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    ]
