"""The gateway as its users run it: a process started from a configuration file, stopped by a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

START_S = 20.0
STOP_S = 15.0
PROJECT = Path(__file__).parent.parent.parent
_CREDENTIAL = re.compile(r"(_API_KEY|_TOKEN|_SECRET|^EDGEGATE_.*|^AWS_.*|_proxy)$", re.IGNORECASE)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Gateway:
    """A running gateway. Provider keys of the surrounding environment do not reach it, unless given in `env`.

    config: as it would stand in YAML; `server.listen` is added unless given.
    """

    def __init__(self, directory: Path, config: dict[str, Any], env: dict[str, str] | None = None) -> None:
        self.port = free_port()
        config = {**config, "server": {"listen": f"127.0.0.1:{self.port}", **config.get("server", {})}}
        self.file = directory / f"edgegate-{self.port}.yaml"
        self.file.write_text(json.dumps(config, indent=1))  # JSON is YAML
        self._out = directory / f"edgegate-{self.port}.out"
        self._err = directory / f"edgegate-{self.port}.err"
        self._env = {name: value for name, value in os.environ.items() if not _CREDENTIAL.search(name)} | (env or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Gateway:
        """Returns when /ready answers 200; fails with the process's own words if it does not in time."""
        with self._out.open("wb") as out, self._err.open("wb") as err:
            command = [sys.executable, "-m", "edgegate", "run", "--config", str(self.file)]
            self._process = subprocess.Popen(command, stdout=out, stderr=err, cwd=PROJECT, env=self._env)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise AssertionError(f"edgegate ended with {self._process.returncode} before it was ready:\n{self.said()}")
            try:
                if httpx.get(f"{self.url}/ready", timeout=2, trust_env=False).status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self._process.kill()
        raise AssertionError(f"edgegate was not ready after {START_S:.0f} s:\n{self.said()}")

    def stop(self) -> int:
        """Asks it to end as an operator would (SIGTERM) and returns its exit code; kills it if it does not follow."""
        assert self._process is not None
        if self._process.poll() is None:  # else it was stopped before, or ended by itself: its code tells
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"edgegate did not end {STOP_S:.0f} s after SIGTERM:\n{self.said()}") from None

    def said(self) -> str:
        """All it wrote, for a failure's message."""
        return f"--- stdout\n{self._out.read_text()[-4000:]}\n--- stderr\n{self._err.read_text()[-4000:]}"

    def logs(self, about: str = "") -> list[dict[str, Any]]:
        """Its log lines so far, those that hold `about`. A line that is no JSON object fails: log output is JSON only."""
        lines = []
        for line in self._out.read_text().splitlines():
            if about not in line:
                continue
            value = json.loads(line)
            assert isinstance(value, dict), line
            lines.append(value)
        return lines

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        code = self.stop()
        if kind is None:
            assert code == 0, f"exit code {code} after SIGTERM:\n{self.said()}"
