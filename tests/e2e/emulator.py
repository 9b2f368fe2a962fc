"""aimock, an emulator of the providers that is not ours: installed once into build/ from the pinned package, run as a process.

Skips, with the reason, where there is no Node or the package cannot be fetched.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.gateway import PROJECT, free_port

HERE = Path(__file__).parent / "aimock"
INSTALLED = PROJECT / "build" / "aimock"
INSTALL_S = 120
START_S = 20.0


def installed() -> Path:
    """The emulator's command file. Several test processes may ask at once: one of them installs."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("no Node on this machine: aimock cannot run")
    lock = (HERE / "package-lock.json").read_bytes()
    command = INSTALLED / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        known = INSTALLED / "package-lock.json"
        if command.exists() and known.exists() and known.read_bytes() == lock:
            return command
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, INSTALLED / name)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=INSTALLED,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        if done.returncode != 0:
            known.unlink()
            pytest.skip(f"npm could not install aimock: {done.stderr.strip()[-300:]}")
    return command


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """The emulator with this folder's fixtures; yields its address."""
    port = free_port()
    command = ["node", str(installed()), "-p", str(port), "-f", str(HERE / "fixtures.json"), "--validate-on-load", "--log-level", "warn"]
    said = directory / "aimock.out"
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=directory)
    try:
        until = time.monotonic() + START_S
        while not _answers(port):
            assert process.poll() is None, f"aimock ended with {process.returncode}: {said.read_text()[-2000:]}"
            assert time.monotonic() < until, f"aimock was not ready after {START_S:.0f} s"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
