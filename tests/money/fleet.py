"""Gateways as processes that a test may kill: one or several, each with its workers, its files and its ports.

A replica keeps its ports and its files over restarts, and leads a process group of its own, so that all of it can be killed at
once and nothing else with it. What it writes is kept, over restarts too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.e2e.gateway import PROJECT, START_S, Gateway, free_port
from tests.failover.crew import Crew
from tests.hard.raw_client import RawClient
from tests.money.bill import PRICES

ADMIN_KEY = "eg-admin-of-the-tests-0123456789"
STOP_S = 15.0
COMMAND_S = 20.0

QUIET = {"failover": {"retries": 0, "attempts": 1, "breaker": {"failures": 0}, "outliers": {"error_rate": 0, "latency": 0}}}
"""Every call is one attempt, and nothing is learned from failures."""


def chain(*, failover: Any = QUIET, before: tuple[Any, ...] = ()) -> list[Any]:
    """The default chain with other failover options, and with stages before `route`."""
    return ["auth", "limits", *before, "route", failover, "budget", "translate", "forward", "meter"]


def configuration(providers: dict[str, Any], keys: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """What all tests share. `more` are further sections; `server` is added to."""
    server = {"max_lag": 0, "drain": "5s"} | more.pop("server", {})
    prices = {"models": {name: price.as_option() for name, price in PRICES.items()}}
    return {"chain": chain(), "prices": prices} | more | {"server": server, "providers": providers, "keys": keys}


async def eventually(condition: Callable[[], object], what: str, within_s: float, pause_s: float = 0.05) -> float:
    """Waits until it is so. Gives the seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"waited {within_s} s in vain: {what}"
        await asyncio.sleep(pause_s)
    return time.monotonic() - began


async def soon(condition: Callable[[], Awaitable[object]], what: str, within_s: float, pause_s: float = 0.05) -> float:
    """Like `eventually`, for what must be asked for."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < within_s, f"waited {within_s} s in vain: {what}"
        await asyncio.sleep(pause_s)
    return time.monotonic() - began


class Replica(Gateway):
    """See the module. The store's file and the admin API are added to the configuration, unless it names them."""

    def __init__(self, directory: Path, config: dict[str, Any], *, workers: int = 1) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.workers = workers
        self.admin_port = free_port()
        store = config.get("store", {})
        if "postgres" not in store:
            store = {"file": str(directory / "edgegate.sqlite")} | store
        admin = {"listen": f"127.0.0.1:{self.admin_port}", "keys": [{"name": "ops", "key": ADMIN_KEY}]}
        server = config.get("server", {}) | {"workers": workers}
        admin |= config.get("admin", {})
        super().__init__(directory, config | {"admin": admin, "store": store, "server": server})
        self._env = {name: value for name, value in self._env.items() if name in ("PATH", "HOME", "LANG", "TMPDIR") or "COV" in name}

    # -- the processes

    def start(self) -> Replica:
        """Returns when /ready answers 200 and every worker takes connections."""
        with self._out.open("ab") as out, self._err.open("ab") as err:
            command = [sys.executable, "-m", "edgegate", "run", "--config", str(self.file)]
            self._process = subprocess.Popen(command, stdout=out, stderr=err, cwd=PROJECT, env=self._env, start_new_session=True)
        try:
            self._wait_ready(time.monotonic() + START_S)
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        """kill -9 of the supervisor and all its workers, at once."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)

    def restart(self, **sections: Any) -> Replica:
        """Starts it again after its end, with the same files; some sections of its configuration may be others now."""
        assert not self.running, "it runs"
        if sections:
            config = json.loads(self.file.read_text())
            self.file.write_text(json.dumps(config | sections, indent=1))
        return self.start()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def worker_pids(self) -> set[int]:
        if self.workers == 1:
            return {self.pid}
        with contextlib.suppress(OSError):
            return {int(child) for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()}
        return set()

    def crew(self) -> Crew:
        """For connections to certain workers."""
        return Crew(self, self.workers)

    def doors(self) -> list[RawClient]:
        """A fresh connection to each worker."""
        if self.workers == 1:
            return [RawClient(self.port)]
        return [client for (client,) in self.crew().connections().values()]

    def wait_all_workers(self) -> None:
        for door in self.doors():
            door.socket.close()

    def _wait_ready(self, until: float) -> None:
        assert self._process is not None
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise AssertionError(f"edgegate ended with {self._process.returncode} before it was ready:\n{self.said()}")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/ready", timeout=2, trust_env=False).status_code == 200:
                    self.wait_all_workers()
                    return
            time.sleep(0.05)
        raise AssertionError(f"edgegate was not ready after {START_S:.0f} s:\n{self.said()}")

    # -- asking it

    @property
    def file_of_store(self) -> Path:
        return Path(json.loads(self.file.read_text())["store"]["file"])

    def admin(self, path: str, body: dict[str, Any] | None = None, *, method: str = "", key: str = ADMIN_KEY) -> httpx.Response:
        """Asks the admin API."""
        return httpx.request(
            method or ("GET" if body is None else "POST"),
            f"http://127.0.0.1:{self.admin_port}/api/admin/{path}",
            json=body,
            headers={"authorization": f"Bearer {key}"},
            timeout=10,
            trust_env=False,
        )

    def get(self, path: str, secret: str = "") -> httpx.Response:
        """Asks the listener for apps."""
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=10, trust_env=False)

    def command(self, *words: str) -> str:
        """Runs `edgegate WORDS... --config FILE` and gives what it wrote to standard output."""
        done = self._run(words)
        assert done.returncode == 0, f"edgegate {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(self, *words: str) -> bytes:
        """All that such a command writes, whether it succeeds or not."""
        done = self._run(words)
        return (done.stdout + done.stderr).encode()

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgegate", *words, "--config", str(self.file)]
        return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=self._env, timeout=COMMAND_S, check=False)

    def all_output(self) -> bytes:
        """Every byte that it wrote to standard output and error, over all starts."""
        return self._out.read_bytes() + self._err.read_bytes()


class Fleet:
    """Replicas that are stopped at the end, whatever happened. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.replicas: list[Replica] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        codes = []
        for replica in self.replicas:
            if replica.running:
                try:
                    codes.append(replica.stop())
                finally:
                    if replica.running:
                        replica.kill()
        if kind is None:
            assert not any(codes), f"exit codes {codes}:\n" + "\n".join(replica.said() for replica in self.replicas)

    def start(self, config: dict[str, Any], *, workers: int = 1, replicas: int = 1) -> list[Replica]:
        """Starts gateways with one configuration; each has its own directory, and file unless the store is a PostgreSQL."""
        first = len(self.replicas)
        for number in range(first, first + replicas):
            self.replicas.append(Replica(self._directory / f"replica-{number}", config, workers=workers))
            self.replicas[-1].start()
        return self.replicas[first:]

    @property
    def urls(self) -> list[str]:
        return [replica.url for replica in self.replicas]
