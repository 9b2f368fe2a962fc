"""Sends a reply to the client, with the fault that was asked for.

Streams of SSE go through aiohttp-sse, one event a write; NDJSON, Gemini's JSON array and Amazon's frames through a plain StreamResponse.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from edgegate.simulate.eventstream import frame
from edgegate.simulate.faults import HTML, Fault
from edgegate.simulate.vendor import Event, Framing, Refusal, Script, Vendor, Whole

_NEVER_PING_S = 3600.0  # aiohttp-sse's own pings would make answers depend on the clock


async def deliver(
    request: web.Request, vendor: Vendor, reply: Whole | Script, fault: Fault, headers: dict[str, str], request_id: str
) -> web.StreamResponse:
    """Sends the whole reply, or as much of it as the fault lets through."""
    if isinstance(reply, Script):
        return await _play(request, vendor, reply, fault, headers, request_id)
    headers = {**headers, **reply.headers}
    body = orjson.dumps(reply.body)
    if fault.kind in ("error-in-stream", "error-at-start"):
        body = orjson.dumps(vendor.error(Refusal(503), request_id))
    elif fault.kind == "bad-json":
        body = body[: len(body) // 2]
    elif fault.kind == "slow-first-token":
        await asyncio.sleep(fault.seconds)
    elif fault.kind in ("cut", "stall", "ping-only"):
        response = web.StreamResponse(headers={**headers, "Content-Type": vendor.content_type})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        return await _leave(request, response, fault)
    return web.Response(body=body, headers={**headers, "Content-Type": vendor.content_type})


async def refuse(vendor: Vendor, refusal: Refusal, headers: dict[str, str], request_id: str) -> web.Response:
    """The vendor's error reply."""
    if refusal.variant == "html":
        return web.Response(status=refusal.status, text=HTML, content_type="text/html", headers=headers)
    if refusal.retry_after_s and vendor.says_retry_after:
        headers = {**headers, "retry-after": refusal.retry_after_s}
    headers = {**headers, **vendor.error_headers(refusal, request_id)}
    body = orjson.dumps(vendor.error(refusal, request_id))
    return web.Response(status=refusal.status, body=body, headers={**headers, "Content-Type": vendor.content_type})


async def spoil(fault: Fault, streamed: bool, headers: dict[str, str]) -> web.Response | None:
    """The reply for faults that have nothing to do with the vendor, or None."""
    if fault.kind == "html":
        return web.Response(text=HTML, content_type="text/html", headers=headers)
    if fault.kind == "empty":
        return web.Response(body=b"", headers={**headers, "Content-Type": "text/event-stream" if streamed else "application/json"})
    if fault.kind == "redirect":
        return web.Response(status=307, headers={**headers, "Location": "http://redirected.invalid/"})
    if fault.kind == "hang":
        await asyncio.Event().wait()
    return None


def cast(script: Script, fault: Fault, error: Event) -> list[Event]:
    """The events that are sent before the stream ends, breaks off or falls silent."""
    half = script.events[: max(1, len(script.events) // 2)]
    match fault.kind:
        case "ping-only":
            return []
        case "cut" | "stall" | "no-finish":
            return half
        case "no-done":
            return script.events + script.finish
        case "error-at-start":
            return [error]
        case "error-in-stream":
            return [*half, error]
        case "bad-json":
            broken = replace(half[-1], data=half[-1].data[: len(half[-1].data) // 2])
            return [*half, broken, *script.events[len(half) :], *script.finish, *script.terminal]
    return script.events + script.finish + script.terminal


async def _play(
    request: web.Request, vendor: Vendor, script: Script, fault: Fault, headers: dict[str, str], request_id: str
) -> web.StreamResponse:
    events = cast(script, fault, vendor.error_event(request_id))
    stage = _stage(script.framing, {**headers, **script.headers})
    await stage.open(request)
    try:
        for at, event in enumerate(events):
            if fault.kind == "slow-tokens" or (fault.kind == "slow-first-token" and at == 0):
                await asyncio.sleep(fault.seconds)
            if fault.kind == "pings":
                await stage.ping(script.ping)
            await stage.show(event)
        while fault.kind == "ping-only":
            await stage.ping(script.ping)
            await asyncio.sleep(0.1)
        if fault.kind in ("cut", "stall"):
            return await _leave(request, stage.response, fault)
        await stage.close()
    finally:
        stage.release()
    return stage.response


async def _leave(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault.kind != "cut":
        await asyncio.Event().wait()
    if request.transport is not None:
        request.transport.close()
    return response


class _Lines:
    """NDJSON, or one JSON array that grows."""

    def __init__(self, framing: Framing, headers: dict[str, str]) -> None:
        self.response = web.StreamResponse(headers={**headers, "Content-Type": framing.value})
        self._array = framing is Framing.ARRAY
        self._shown = 0

    async def open(self, request: web.Request) -> None:
        await self.response.prepare(request)

    async def show(self, event: Event) -> None:
        before = ("[" if self._shown == 0 else ",\r\n") if self._array else ""
        after = "" if self._array else "\n"
        self._shown += 1
        await self.response.write(f"{before}{event.data}{after}".encode())

    async def ping(self, _: Event | None) -> None:
        await self.response.write(b"\r\n" if self._array else b"\n")

    async def close(self) -> None:
        if self._array:
            await self.response.write(b"]\r\n" if self._shown else b"[]")

    def release(self) -> None:
        pass


class _Frames(_Lines):
    """Amazon's event stream; it has no pings."""

    async def show(self, event: Event) -> None:
        await self.response.write(frame(event))

    async def ping(self, _: Event | None) -> None:
        pass


class _Sse:
    """Server-sent events; pings are comments, or events where the vendor has them."""

    def __init__(self, framing: Framing, headers: dict[str, str]) -> None:
        self.response: Any = EventSourceResponse(sep=framing.value, headers=headers, allow_all_methods=True, ping_interval=_NEVER_PING_S)

    async def open(self, request: web.Request) -> None:
        await self.response.prepare(request)

    async def show(self, event: Event) -> None:
        await self.response.send(event.data, event=event.name or None)

    async def ping(self, event: Event | None) -> None:
        if event is None:
            await self.response.write(b": keep-alive\n\n")
        else:
            await self.show(event)

    async def close(self) -> None:
        pass

    def release(self) -> None:
        self.response.stop_streaming()


def _stage(framing: Framing, headers: dict[str, str]) -> _Lines | _Sse:
    if framing is Framing.FRAMES:
        return _Frames(framing, headers)
    return _Lines(framing, headers) if framing in (Framing.LINES, Framing.ARRAY) else _Sse(framing, headers)
