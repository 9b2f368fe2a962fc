"""Serving: one worker in this process, or a supervisor with several.

The supervisor forks workers that share the port (SO_REUSEPORT), starts a new one for each that dies, more and more slowly if
they die young, passes SIGTERM and SIGINT on, and exits when the last is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from edgegate import __version__
from edgegate.config.model import Config
from edgegate.server.accounting import Reread
from edgegate.server.worker import CANNOT_START, Place, run_worker

YOUNG_S = 5.0
MAX_RESTART_WAIT_S = 10.0


def serve(config: Config, read: Callable[[], Config] | None = None, file: Path | None = None) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit code. `read` gives the configuration as it is by then, and `file` is where it
    stands: prices follow it without a restart."""
    _require_c_parser()
    reread = Reread(read, [file] if file is not None else []) if read is not None else None
    if config.server.workers == 1:
        return 1 if run_worker(config, Place(reread=reread), banner) else 0
    if config.server.listen.startswith("unix:"):
        sys.stderr.write("edgegate: several workers cannot share a unix socket; set server.workers to 1\n")
        return 1
    share = Path(tempfile.mkdtemp(prefix="edgegate-"))
    try:
        return Supervisor(config, share, reread).run()
    finally:
        shutil.rmtree(share, ignore_errors=True)


class Supervisor:
    """See the module."""

    def __init__(self, config: Config, share: Path, reread: Reread | None = None) -> None:
        self._config = config
        self._share = share
        self._reread = reread
        self._workers: dict[int, tuple[str, float]] = {}  # pid -> name, start
        self._stopping = False
        self._early_deaths = 0
        self._failed = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for worker in range(self._config.server.workers):
            self._start(str(worker))
        while self._workers:
            try:
                pid, status = os.wait()
            except InterruptedError:
                continue
            except ChildProcessError:
                break
            name, started = self._workers.pop(pid, ("", 0.0))
            if not name:
                continue
            code = os.waitstatus_to_exitcode(status)
            if self._stopping:
                self._failed |= code != 0
                continue
            if code == CANNOT_START:  # it has said why
                self._failed = True
                self._stop(signal.SIGTERM, None)
                continue
            self._early_deaths = self._early_deaths + 1 if time.monotonic() - started < YOUNG_S else 0
            sys.stderr.write(f"edgegate: worker {name} (pid {pid}) ended with {code}; starting another\n")
            if self._early_deaths > 3 * self._config.server.workers:
                sys.stderr.write("edgegate: workers keep ending at once; giving up\n")
                self._failed = True
                self._stop(signal.SIGTERM, None)
                continue
            if self._early_deaths:
                time.sleep(min(0.1 * 2**self._early_deaths, MAX_RESTART_WAIT_S))
            if not self._stopping:
                self._start(name)
        return 1 if self._failed else 0

    def _start(self, name: str) -> None:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)
                code = run_worker(self._config, Place(name, self._share, self._reread), banner if name == "0" else None)
            finally:
                if sys.exc_info()[0] is not None:
                    traceback.print_exc()  # os._exit says nothing of it
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)  # not sys.exit: what the supervisor set up to run at its end is not the worker's
        self._workers[pid] = (name, time.monotonic())

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)


def banner(config: Config, addresses: list[str], simulated: bool) -> None:
    """What a person sees on the terminal (standard error: standard output is the log)."""
    lines = [f"edgegate {__version__} serves on {', '.join(addresses)}"]
    if config.server.workers > 1:
        lines[0] += f" with {config.server.workers} workers"
    if simulated:
        lines += [
            "",
            "  *** SIMULATED: no provider key is set, so every answer comes from the built-in simulator. ***",
            "  Set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, MISTRAL_API_KEY, GROQ_API_KEY, ... or OLLAMA_URL",
            "  to serve real models.",
            "",
        ]
    lines.append(f"  providers  {', '.join(config.providers)}")
    lines.append(f"  chain      {' -> '.join(stage.name for stage in config.chain)}")
    if config.admin.keys:
        lines.append(f"  admin      {config.admin.listen}")
    if config.keys:
        lines.append(f"  keys       {len(config.keys)}")
    else:
        lines.append("  keys       none: OPEN, whoever reaches this address may use it")
    first = addresses[0]
    if first.startswith("http"):
        lines.append(f"  try        curl {first}/health    OPENAI_BASE_URL={first}/v1    ANTHROPIC_BASE_URL={first}")
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


def _require_c_parser() -> None:
    """aiohttp's pure-Python parser is lenient where framing must be strict (and slow): it is refused."""
    from aiohttp import http_parser

    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise SystemExit("edgegate: aiohttp runs without its C extension here; install a wheel that has it")
