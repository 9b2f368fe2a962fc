"""News between the workers of one machine: what one has learned of a provider, the others know a moment later.

Each worker has a datagram socket in the directory that the supervisor made; an item is one datagram of JSON to each of the
others. Nothing waits and nothing is repeated: what cannot be delivered at once is lost and counted, since every worker finds
the same out by itself, only later. Many items on the same thing become one every 50 ms, the last.

Socket names are never used twice, so whoever finds one without an owner may remove it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson
import structlog

MAX_ITEM_BYTES = 4096
MAX_AGE_S = 5.0
"""Older items are not news: a worker that was stopped for a while must not act on them."""

GATHER_S = 0.05
READS_AT_ONCE = 64
"""Items read before the loop may do something else."""

Item = Mapping[str, Any]
Subject = tuple[object, object, object]


class Channel(Protocol):
    """What a gateway needs of the way between workers, whatever it is made of."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def tell(self, item: Item) -> None:
        """Sends an item to all others, now or in a moment. Never waits, never fails."""
        ...


class Gathering:
    """Makes many items on one subject few: the first is sent at once, of what follows within 50 ms the last."""

    def __init__(self, send: Callable[[Item], None]) -> None:
        self._send = send
        self._waiting: dict[Subject, tuple[asyncio.TimerHandle, Item | None]] = {}

    def add(self, item: Item) -> None:
        subject = (item.get("what"), item.get("target"), item.get("key"))
        waiting = self._waiting.get(subject)
        if waiting is not None:
            self._waiting[subject] = (waiting[0], item)
            return
        self._send(item)
        self._wait(subject)

    def close(self) -> None:
        """Sends what still waits."""
        for timer, item in self._waiting.values():
            timer.cancel()
            if item is not None:
                self._send(item)
        self._waiting.clear()

    def _wait(self, subject: Subject) -> None:
        timer = asyncio.get_running_loop().call_later(GATHER_S, self._waited, subject)
        self._waiting[subject] = (timer, None)

    def _waited(self, subject: Subject) -> None:
        _, item = self._waiting.pop(subject)
        if item is not None:
            self._send(item)
            self._wait(subject)


class Ear:
    """Hands on what is heard if it is an item and fresh, and counts it: `heard`, `stale` or `malformed`."""

    def __init__(self, hear: Callable[[dict[str, Any]], None], unix_clock: Callable[[], float], count: Callable[[str], None]) -> None:
        self._hear = hear
        self._unix_clock = unix_clock
        self._count = count

    def listen(self, data: bytes) -> None:
        item = parse(data)
        if item is None:
            self._count("malformed")
        elif self._unix_clock() - item["unix"] > MAX_AGE_S:
            self._count("stale")
        else:
            self._count("heard")
            self._hear(item)


class News:
    """See the module. Without a directory (a single worker) nobody is told. `hear` gets every item that is fresh and well formed.
    `count` is told what became of each: `told`, `lost` (a peer is gone or does not read), `heard`, `stale`, `malformed`."""

    def __init__(
        self,
        directory: Path | None,
        worker: str,
        hear: Callable[[dict[str, Any]], None],
        unix_clock: Callable[[], float],
        count: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._worker = worker
        self._unix_clock = unix_clock
        self._count = count
        self._ear = Ear(hear, unix_clock, count)
        self._file = f"{worker}-{secrets.token_hex(4)}.news"
        self._socket: socket.socket | None = None
        self._gathering = Gathering(self._send)

    async def open(self) -> None:
        """Listens. Where that is not possible, for instance because the directory's path is too long for a socket, the worker
        goes on alone and says so in the log."""
        if self._directory is None:
            return
        for old in self._directory.glob(f"{self._worker}-*.news"):  # a predecessor's; there is one worker of a name at a time
            old.unlink(missing_ok=True)
        found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        found.setblocking(False)
        before = os.umask(0o177)
        try:
            found.bind(str(self._directory / self._file))
        except OSError as error:
            found.close()
            structlog.get_logger("news").warning("no_news", worker=self._worker, reason=str(error))
            return
        finally:
            os.umask(before)
        self._socket = found
        asyncio.get_running_loop().add_reader(found.fileno(), self._read)

    async def close(self) -> None:
        """Tells what still waits to be told, and leaves."""
        if self._socket is None or self._directory is None:
            return
        self._gathering.close()
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        (self._directory / self._file).unlink(missing_ok=True)

    def tell(self, item: Item) -> None:
        """See `Channel` and `Gathering`."""
        if self._socket is not None:
            self._gathering.add(item)

    # -- sending

    def _send(self, item: Item) -> None:
        directory, own = self._directory, self._socket
        if directory is None or own is None:
            return
        data = orjson.dumps({**item, "unix": self._unix_clock()})
        if len(data) > MAX_ITEM_BYTES:
            self._count("lost")
            return
        for peer in directory.glob("*.news"):
            if peer.name != self._file:
                self._count("told" if _sent(own, data, peer) else "lost")

    # -- receiving

    def _read(self) -> None:
        for _ in range(READS_AT_ONCE):
            if self._socket is None:  # closed by what was just heard
                return
            try:
                data = self._socket.recv(MAX_ITEM_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            self._ear.listen(data)


def _sent(own: socket.socket, data: bytes, peer: Path) -> bool:
    try:
        own.sendto(data, str(peer))
    except ConnectionRefusedError:  # its owner is dead
        with contextlib.suppress(OSError):
            peer.unlink()
        return False
    except OSError:  # gone this instant, or it does not read
        return False
    return True


def parse(data: bytes) -> dict[str, Any] | None:
    """The item in a datagram, or None for what is none."""
    if len(data) > MAX_ITEM_BYTES:
        return None
    try:
        item = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(item, dict) or not _number(item.get("unix")) or not _text(item.get("target")):
        return None
    match item.get("what"):
        case "breaker":
            valid = item.get("state") == "closed" or (item.get("state") == "open" and _span(item.get("for_s")))
        case "reset":
            valid = True
        case "hold":
            valid = _index(item.get("key")) and _span(item.get("for_s"))
        case "quota":
            quotas = item.get("quotas")
            valid = _index(item.get("key")) and isinstance(quotas, list) and all(map(_quota, quotas))
        case _:
            valid = False
    return item if valid else None


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _number(value: object) -> bool:
    """orjson reads neither NaN nor Infinity, so every number is finite."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _span(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _quota(value: object) -> bool:
    """The first fields of a `Quota`: kind, limit, remaining, reset_s, and if need be window and stepwise."""
    if not isinstance(value, list) or not 4 <= len(value) <= 6:
        return False
    kind, limit, remaining, reset_s, *more = value
    known = _text(kind) and _number(remaining) and all(v is None or _number(v) for v in (limit, reset_s))
    return known and all(isinstance(v, kind) for v, kind in zip(more, (str, bool), strict=False))
