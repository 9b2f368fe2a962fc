"""Closed-loop load over raw connections, in a process of its own: `python -m tests.bench.load PORT CONNECTIONS SECONDS < request`.

Standard input holds the one request that is sent again and again. Prints one JSON object: requests, seconds, bad."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast


class Client(asyncio.Protocol):
    """Sends, waits for the whole reply (Content-Length or last chunk), sends again."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request = request
        self._until = until
        self._received = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.requests = self.bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._whole():
            return
        self.requests += 1
        self.bad += not self._received.startswith(b"HTTP/1.1 200 ") or b'"error"' in self._received
        self._received.clear()
        if time.monotonic() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def _whole(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        at = self._received.find(b"content-length: ", 0, end)
        if at < 0:
            return self._received.endswith(b"\r\n0\r\n\r\n")
        return len(self._received) >= end + 4 + int(self._received[at + 16 : self._received.index(b"\r", at)])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run(port: int, connections: int, seconds: float, request: bytes) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    started = time.monotonic()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Client(request, started + seconds), "127.0.0.1", port)
        clients.append(client)
    async with asyncio.timeout(seconds + 20):
        await asyncio.gather(*[client.done for client in clients])
    return {"requests": sum(c.requests for c in clients), "seconds": time.monotonic() - started, "bad": sum(c.bad for c in clients)}


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer.read()))))
