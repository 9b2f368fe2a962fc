"""A feed: events as they happen, as server-sent events to one subscriber.

Events wait in a queue while the subscriber's connection takes no more; a subscriber for which too many wait is dropped, and may
come back with `Last-Event-ID`. `end` ends a feed at once, whether its subscriber reads or not, so that it holds no shutdown up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

import orjson
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from edgegate.observe.events import KEPT, PRIVATE, Event

PING_S = 15.0
MAX_QUEUED = 2 * KEPT
"""What a feed may begin with, and as much again."""


class Feed:
    """See the module. `push` is a listener of `Events`."""

    def __init__(self, request: web.BaseRequest, earlier: Iterable[Event]) -> None:
        if request.transport is None:
            raise asyncio.CancelledError  # the subscriber left before the feed began
        self._request = request
        self._transport = request.transport
        self._queue: deque[Event] = deque(earlier)
        self._news = asyncio.Event()
        self._over = False

    def push(self, event: Event) -> None:
        if event["kind"] in PRIVATE:
            return
        if len(self._queue) >= MAX_QUEUED:
            self._over = True
            self._transport.abort()
        elif not self._over:
            self._queue.append(event)
            self._news.set()

    def end(self) -> None:
        """Ends the feed: with the last chunk, or, where the subscriber does not read, with its connection."""
        self._over = True
        self._news.set()
        if self._request.protocol.writing_paused:
            self._transport.abort()

    async def run(self, headers: dict[str, str]) -> web.StreamResponse:
        """Sends until the feed is ended or the subscriber is gone, which cancels the handler that awaits this."""
        response = EventSourceResponse(sep="\n", headers=headers, ping_interval=PING_S)
        await response.prepare(self._request)
        try:
            async with response:
                await self._send_all(response)
        except (ConnectionError, TimeoutError):  # the subscriber is gone, or reads nothing any more
            self._transport.abort()
        return response

    async def _send_all(self, response: EventSourceResponse) -> None:
        while not self._over:
            if self._queue:
                event = self._queue.popleft()
                await response.send(orjson.dumps(event).decode(), id=str(event["id"]), event=event["kind"])
            else:
                self._news.clear()
                await self._news.wait()
