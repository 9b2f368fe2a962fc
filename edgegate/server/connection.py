"""A client's connection: aiohttp's RequestHandler with what a gateway in the open needs besides.

- a time limit on the request head, absolute, also for the second request of a connection;
- a time limit on a client that does not read what it asked for, whatever writes to it;
- JSON instead of text for requests that are not valid HTTP;
- back-pressure told to the relay that writes to the transport, instead of to a task that waits for it.

RequestHandler is not a public extension point, so setup.cfg pins the aiohttp series and a test checks what is used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler, _ErrInfo

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
        write_timeout_s: float,
        on_bad_request: Callable[[str], bytes],
        **kwargs: Any,
    ) -> None:
        super().__init__(handler, handler_cancellation=True, access_log=None, auto_decompress=False, lingering_time=2.0, **kwargs)
        self.deadlines = deadlines
        self.head_timeout_s = head_timeout_s
        self.write_timeout_s = write_timeout_s
        self.on_bad_request = on_bad_request

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, loop=self._loop, **self._kwargs)


class _Stall:
    """A client that does not take what was written to it. `deadline` and `expire` make it a `Waiting` of the sweep."""

    __slots__ = ("_transport", "deadline")

    def __init__(self, transport: asyncio.Transport, deadline: float) -> None:
        self._transport = transport
        self.deadline = deadline

    def expire(self, now: float) -> None:
        self.deadline = float("inf")
        self._transport.abort()  # the loss of the connection ends whatever wrote to it


class ClientConnection(RequestHandler):
    """See the module. `deadline` and `expire` make it a `Waiting` of the sweep while a head is incomplete."""

    __slots__ = ("_awaits_head", "_listener", "_stall", "deadline", "relay")

    def __init__(self, listener: Listener, **kwargs: Any) -> None:
        super().__init__(listener, **kwargs)
        self._listener = listener
        self._awaits_head = False
        self._stall: _Stall | None = None
        self.deadline = 0.0
        self.relay: Pausable | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.deadlines.discard(self)
        self._end_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        request = self._current_request
        body_over = request is None or request._payload.is_eof()
        super().data_received(data)
        if self._request_count != before:
            if request is not None and not body_over and self._messages and isinstance(self._messages[-1][0], _ErrInfo):
                # what should be the rest of its body is not: whoever reads it must know
                request._payload.set_exception(web.RequestPayloadError("a bad chunk"))
                request._payload.feed_eof()
            if self._awaits_head:
                self._awaits_head = False
                self._listener.deadlines.discard(self)
            if self._holds_more(data):
                self._await_head()
        elif body_over and data and not self._awaits_head:
            self._await_head()  # the first piece of a further request

    def _holds_more(self, data: bytes) -> bool:
        """Whether a read that brought one whole request also brought the beginning of another. Only told where it is plain:
        one head, a body of known length. Else the keep-alive limit stands in for the head's."""
        if len(self._messages) != 1:
            return False
        message, payload = self._messages[0]
        if isinstance(message, _ErrInfo) or not payload.is_eof() or message.chunked:
            return False
        length = message.headers.get("Content-Length", "0")
        return len(data) > data.find(b"\r\n\r\n") + 4 + int(length)

    def _await_head(self) -> None:
        self._awaits_head = True
        self.deadline = self._loop.time() + self._listener.head_timeout_s
        self._listener.deadlines.add(self)

    def expire(self, now: float) -> None:
        if self._current_request is not None or self._messages:  # busy with the request before: its time does not count
            self.deadline = now + self._listener.head_timeout_s
            return
        self._listener.deadlines.discard(self)
        self.force_close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._stall = _Stall(self.transport, self._loop.time() + self._listener.write_timeout_s)
            self._listener.deadlines.add(self._stall)
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()
        if self.relay is not None:
            self.relay.resume()

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._listener.deadlines.discard(self._stall)
            self._stall = None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """A request that could not be parsed, or a fault of ours that even the gate did not catch: JSON, then close."""
        body = self._listener.on_bad_request("" if status >= 500 else (message or str(exc or "")))
        response = web.Response(status=status, body=body, content_type="application/json", headers={"Server": "edgegate"})
        response.force_close()
        return response
