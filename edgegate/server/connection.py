"""A client's connection: aiohttp's RequestHandler with what a gateway in the open needs besides.

- a time limit on the request head, absolute, also for the second request of a connection;
- JSON instead of text for requests that are not valid HTTP;
- back-pressure told to the relay that writes to the transport, instead of to a task that waits for it.

RequestHandler is not a public extension point, so setup.cfg pins the aiohttp series and a test checks what is used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from edgegate.upstream.deadlines import Deadlines


class Pausable(Protocol):
    """A relay that writes to this connection."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Listener(web.Server):
    """aiohttp's low-level server, making our connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Any],
        *,
        deadlines: Deadlines,
        head_timeout_s: float,
        on_bad_request: Callable[[str], bytes],
        **kwargs: Any,
    ) -> None:
        super().__init__(handler, handler_cancellation=True, access_log=None, auto_decompress=False, lingering_time=2.0, **kwargs)
        self.deadlines = deadlines
        self.head_timeout_s = head_timeout_s
        self.on_bad_request = on_bad_request

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, loop=self._loop, **self._kwargs)


class ClientConnection(RequestHandler):
    """See the module. `deadline` and `expire` make it a `Waiting` of the sweep while a head is incomplete."""

    __slots__ = ("_awaits_head", "_listener", "deadline", "relay")

    def __init__(self, listener: Listener, **kwargs: Any) -> None:
        super().__init__(listener, **kwargs)
        self._listener = listener
        self._awaits_head = False
        self.deadline = 0.0
        self.relay: Pausable | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.deadlines.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count != before:
            if self._awaits_head:
                self._awaits_head = False
                self._listener.deadlines.discard(self)
        elif not self._awaits_head and self._waiter is not None and data:
            self._await_head()  # the first piece of a further request

    def _await_head(self) -> None:
        self._awaits_head = True
        self.deadline = self._loop.time() + self._listener.head_timeout_s
        self._listener.deadlines.add(self)

    def expire(self, now: float) -> None:
        self._listener.deadlines.discard(self)
        self.force_close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.relay is not None:
            self.relay.resume()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """A request that could not be parsed, or a fault of ours that even the gate did not catch: JSON, then close."""
        body = self._listener.on_bad_request("" if status >= 500 else (message or str(exc or "")))
        response = web.Response(status=status, body=body, content_type="application/json")
        response.force_close()
        return response
