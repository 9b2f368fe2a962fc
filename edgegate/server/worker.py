"""One worker process: an event loop, a gateway, its sockets, and an orderly end on SIGTERM or SIGINT.

The end: readiness off and new requests refused at once; after running exchanges are done, or `server.drain` is over, the rest
is ended in-protocol; then connections are closed, logs flushed, and the process exits with 0.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import structlog

from edgegate.config.address import parse_address
from edgegate.config.model import Config, ProviderOptions
from edgegate.observe.logfile import open_log
from edgegate.observe.logs import configure
from edgegate.server.accounting import Reread
from edgegate.server.gateway import Gateway
from edgegate.server.listen import BACKLOG, open_sockets, tls_context

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""mallopt(3)"""

CANNOT_START = 3
"""Exit code of a worker whose place no other could take."""

LAST_WORDS_S = 1.0
"""For what was written last to reach the clients' sockets before connections are closed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker stands: its name, the directory shared with the others, if there are others, and how the configuration is read
    again, if it can be."""

    name: str = "0"
    share: Path | None = None
    reread: Reread | None = None


class StartError(Exception):
    """The worker cannot serve at all, and neither could another: an address in use, a certificate that cannot be read."""


def run_worker(config: Config, place: Place, banner: Callable[[Config, list[str], bool], None] | None = None) -> int:
    """Serves until told to stop. Returns the process' exit code: `CANNOT_START` with a sentence on standard error, or 0."""
    main = serve_until_stopped(config, place, banner)
    try:
        try:
            import uvloop
        except ImportError:
            return asyncio.run(main)
        return uvloop.run(main)
    except StartError as error:
        sys.stderr.write(f"edgegate: {error}\n")
        return CANNOT_START


async def serve_until_stopped(config: Config, place: Place, banner: Callable[[Config, list[str], bool], None] | None) -> int:
    """See the module. `banner(config, addresses, simulated)` is called once the sockets are open."""
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:  # the second one ends the wait for running exchanges
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        log_file = open_log(config.log)
    except OSError as error:
        raise StartError(f"the log file {config.log.file} cannot be opened: {error.strerror}") from None
    sink = cast(BinaryIO, log_file)
    configure(config.log, sink)
    log = structlog.get_logger("server")
    try:
        tls = tls_context(config.server.tls) if config.server.tls is not None else None
    except OSError as error:  # ssl.SSLError is one
        raise StartError(f"the certificate in server.tls cannot be used: {error.strerror or error}") from None
    sockets = _open(config.server.listen, config)
    admin_sockets = _open(config.admin.listen, config) if config.admin.keys else []
    simulator = None
    simulated: frozenset[str] = frozenset()
    if not config.providers:
        from edgegate.simulate.main import start

        simulator = await start("127.0.0.1", 0)
        config = with_simulator(config, simulator.port)
        simulated = frozenset(config.providers)
    gateway = Gateway(config, sink, simulated=simulated, share=place.share, worker=place.name, reread=place.reread)
    try:
        await gateway.open()
    except (OSError, ValueError) as error:
        raise StartError(str(error)) from None
    if gateway.accounting.admin is not None:
        await gateway.accounting.admin.open(admin_sockets)
    handshake_s = float(config.server.head_timeout) if tls is not None else None
    servers = [await _listen(loop, gateway, sock, tls, handshake_s) for sock in sockets]
    addresses = [_address(sock, tls is not None) for sock in sockets]
    log.info("serving", addresses=addresses, worker=place.name, pid=os.getpid(), simulated=bool(simulated))
    _tune_memory()
    if banner is not None:
        banner(config, addresses, bool(simulated))
    watch = loop.create_task(_follow(os.getppid(), stop)) if place.share is not None else None
    await stop.wait()
    if watch is not None:
        watch.cancel()
    log.info("draining", in_flight=gateway.gate.in_flight, limit_s=float(config.server.drain))
    await gateway.drain(hurry)
    for server in servers:
        server.close()
    await gateway.close_clients(LAST_WORDS_S)
    await gateway.close()
    if simulator is not None:
        await simulator.stop()
    for number in (signal.SIGTERM, signal.SIGINT):  # one more signal must not turn this orderly end into a death
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    log.info("stopped", worker=place.name)
    log_file.close()
    return 0


def _tune_memory() -> None:
    """What exists now lives as long as the process: the collector need not look at it again, and seldomer at the rest. And
    glibc is told to keep a few MB of what is freed: else every body of some 100 KB is handed back to the system and faulted in
    again (a fifth of the CPU time of such requests)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 8 << 20)
        mallopt(M_MMAP_THRESHOLD, 1 << 20)


async def _follow(supervisor: int, stop: asyncio.Event) -> None:
    """Ends this worker when its supervisor is gone, however that came about: an orphan would keep the port."""
    while os.getppid() == supervisor:  # noqa: ASYNC110 - the death of a parent sets no event
        await asyncio.sleep(1.0)
    stop.set()


def with_simulator(config: Config, port: int) -> Config:
    """The configuration with the built-in simulator in the place of every provider."""
    base = f"http://127.0.0.1:{port}"
    providers = {
        "openai": ProviderOptions(
            dialect="openai", base_url=f"{base}/v1", models=("gpt-4o-mini", "text-embedding-3-small"), responses="native"
        ),
        "anthropic": ProviderOptions(dialect="anthropic", base_url=base, models=("claude-haiku-4-5",)),
        "gemini": ProviderOptions(dialect="gemini", base_url=base, models=("gemini-2.5-flash",)),
        "ollama": ProviderOptions(dialect="ollama", base_url=base, models=("llama3.2",)),
    }
    models = replace(config.models, default_provider=config.models.default_provider or "openai")
    return replace(config, providers=providers, models=models)


async def _listen(
    loop: asyncio.AbstractEventLoop, gateway: Gateway, sock: socket.socket, tls: ssl.SSLContext | None, handshake_s: float | None
) -> asyncio.Server:
    listener = gateway.listener()
    if sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(listener, sock=sock, ssl=tls, ssl_handshake_timeout=handshake_s)
    return await loop.create_server(listener, sock=sock, ssl=tls, ssl_handshake_timeout=handshake_s, backlog=BACKLOG)


def _open(address: str, config: Config) -> list[socket.socket]:
    try:
        return open_sockets(parse_address(address), shared=config.server.workers > 1)
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {error.strerror or error}") from None


def _address(sock: socket.socket, tls: bool) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"{'https' if tls else 'http'}://{host}:{name[1]}"
