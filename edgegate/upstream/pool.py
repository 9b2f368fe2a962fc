"""Connections to one origin (scheme, host, port), kept open between calls.

The most recently used idle connection is taken first, so that the rest can age out. A connection is never given out when it
is closed, closing or idle for longer than `MAX_IDLE_S`. At the limit callers wait in order, no longer than the connect limit.
"""

from __future__ import annotations

import asyncio
import collections
import ssl

from edgegate.errors import GatewayError, provider_error
from edgegate.upstream.connection import Connection

MAX_IDLE_S = 55.0
"""Shorter than the 60 s after which many providers and load balancers close, so that a call seldom meets a stale connection."""


class Pool:
    """See the module. `max_connections` counts idle, busy and connecting ones."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, max_connections: int, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._max = max_connections
        self._loop = loop
        self._idle: collections.deque[Connection] = collections.deque()
        self._waiters: collections.deque[asyncio.Future[None]] = collections.deque()
        self._open: set[Connection] = set()
        self._connecting = 0
        self._promised = 0  # waiters that were woken and have not taken theirs yet
        self._closed = False

    @property
    def size(self) -> int:
        """Connections that exist."""
        return len(self._open)

    def take_nowait(self) -> Connection | None:
        """An idle connection, or None. Nothing is awaited: this is the way of nearly every call. Connections that were promised
        to callers in the queue are not given away."""
        return self._pop() if len(self._idle) > self._promised else None

    def _pop(self) -> Connection | None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.closed or connection.transport.is_closing():
                continue
            if self._loop.time() - connection.idle_since > MAX_IDLE_S:
                connection.abort()
                continue
            return connection
        return None

    async def take(self, connect_s: float) -> Connection:
        """An idle connection, or a new one. Raises a retryable `GatewayError` within `connect_s` seconds."""
        return self.take_nowait() or await self.new(connect_s)

    async def new(self, connect_s: float) -> Connection:
        """A new connection, even if idle ones exist, unless the limit makes it wait: then whatever is released first."""
        try:
            async with asyncio.timeout(connect_s):
                while self._waiters or len(self._open) + self._connecting >= self._max:
                    await self._released()
                    connection = self._pop()
                    if connection is not None:
                        return connection
                    if len(self._open) + self._connecting < self._max:
                        break
                return await self._connect()
        except TimeoutError:
            if len(self._open) + self._connecting >= self._max:
                raise GatewayError(
                    503, "upstream_busy", f"all {self._max} connections to the provider are in use", retryable=True, retry_after_s=1.0
                ) from None
            raise provider_error(504, "connect_timeout", f"no connection to the provider within {connect_s:g} s") from None

    async def fresh(self, connect_s: float) -> Connection:
        """A new connection even if idle ones exist: one of them has just proved stale, so all of them are dropped."""
        while self._idle:
            self._idle.pop().abort()
        return await self.new(connect_s)

    def release(self, connection: Connection) -> None:
        """The connection's call is complete and it may carry another."""
        if self._closed:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        oldest = self._idle[0]
        if connection.idle_since - oldest.idle_since > MAX_IDLE_S:
            self._idle.popleft()
            oldest.abort()
        self._wake()

    def lost(self, connection: Connection) -> None:
        """The connection is closed, for whatever reason."""
        self._open.discard(connection)
        try:
            self._idle.remove(connection)
        except ValueError:
            pass
        self._wake()

    def close(self) -> None:
        """Closes the idle connections now and the busy ones when their calls end."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    async def _connect(self) -> Connection:
        self._connecting += 1
        connection: Connection | None = None
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), self._host, self._port, ssl=self._tls, server_hostname=self._host if self._tls else None
            )
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
            raise provider_error(502, "upstream_tls", f"TLS with {self._host} failed: {reason}") from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise provider_error(502, "upstream_unreachable", f"no connection to {self._host}:{self._port}: {reason}") from error
        finally:
            self._connecting -= 1
            if connection is None:
                self._wake()  # there is room again
        self._open.add(connection)
        return connection

    async def _released(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._promised -= 1
                self._wake()  # it was our turn, but we are gone: pass it on
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        self._promised -= 1

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._promised += 1
                waiter.set_result(None)
                return
