"""Faults of the wire below the API: framing that lies, bytes that never become an event, replies that never end.

For `Wall`, like the table in faults.py; by name. The healthy answer here comes in one piece: nothing of it is measured.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable

from tests.failover.faults import TRACE
from tests.failover.shapes import CANONICAL, TOKENS
from tests.failover.wall import Answer, Fault

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DRIP_S = 0.05
HELD_S = 15.0
BOMB = gzip.compress(b'{"choices": "' + b" " * (64 << 20), 9)
BOMB_EVENTS = gzip.compress(b"data: " + b" " * (64 << 20), 9)
HTML = f"<html><head><title>Bad gateway</title></head><body>{TRACE}</body></html>".encode()


def full(answer: Answer) -> bytes:
    """A whole healthy body: JSON, or all events."""
    shape, model = answer.shape, answer.model
    if not answer.attempt.stream:
        return shape.plain(model, CANONICAL, len(TOKENS))
    tokens = b"".join(shape.token(model, token) for token in TOKENS)
    return shape.begin(model) + tokens + shape.finish(model) + shape.usage(model, len(TOKENS)) + shape.done()


def head(answer: Answer, length: int, *lines: bytes) -> bytes:
    kind = b"text/event-stream" if answer.attempt.stream else b"application/json"
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"content-type: " + kind, b"content-length: %d" % length, *lines]) + b"\r\n\r\n"


async def ok(answer: Answer) -> None:
    body = full(answer)
    answer.write(head(answer, len(body)) + body)


def says(data: Callable[[Answer], bytes], then: Callable[[Answer], Awaitable[None]] | None = None) -> Fault:
    """These bytes, and then: the connection stays open, unless told otherwise."""

    async def fault(answer: Answer) -> None:
        answer.write(data(answer))
        if then is not None:
            await then(answer)

    return fault


async def closes(answer: Answer) -> None:
    answer.close()


async def holds(answer: Answer) -> None:
    await answer.wait(HELD_S)
    answer.close()


async def resets(answer: Answer) -> None:
    await answer.wait(0.02)  # what was written goes out first
    answer.reset()


def drips(data: bytes) -> Callable[[Answer], Awaitable[None]]:
    """The same bytes again and again, until the gateway hangs up."""

    async def drip(answer: Answer) -> None:
        for _ in range(int(HELD_S / DRIP_S)):
            await answer.wait(DRIP_S)
            answer.write(data)
        answer.close()

    return drip


async def flood(answer: Answer) -> None:
    """Interim replies without end."""
    for _ in range(2000):
        answer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 5 + b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 5)
        await answer.wait(0.002)
    answer.close()


async def endless_head(answer: Answer) -> None:
    answer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(4000):
        answer.write(b"x-%d: " % number + b"y" * 1000 + b"\r\n")
        await answer.wait(0.001)
    answer.close()


async def endless_events(answer: Answer) -> None:
    """Pings without end: each is a valid event, none says anything."""
    answer.write(STREAM_HEAD if answer.attempt.stream else head(answer, 1_000_000))
    piece = b": ping\n\n"
    await drips(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.attempt.stream else b" ")(answer)


async def huge_event(answer: Answer) -> None:
    """One line of 11 MB."""
    piece = b"data: " + b"x" * (1 << 20)
    answer.write(STREAM_HEAD)
    for _ in range(11):
        answer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await answer.wait(0.001)
        piece = b"x" * (1 << 20)
    answer.end()


async def stale(answer: Answer) -> None:
    """A second request on a connection finds it closed."""
    if answer.line.served:
        answer.close()
        return
    await ok(answer)


async def stale_reset(answer: Answer) -> None:
    if answer.line.served:
        answer.reset()
        return
    await ok(answer)


async def late_close(answer: Answer) -> None:
    """A healthy answer, and the connection ends while it lies in the pool."""
    await ok(answer)
    await resets(answer)


def chunk(size: bytes) -> Fault:
    return says(lambda answer: STREAM_HEAD + size + b"\r\n" + full(answer)[:200] + b"\r\n0\r\n\r\n", holds)


def page(status: bytes) -> Fault:
    line = b"HTTP/1.1 " + status + b"\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n"
    return says(lambda answer: line % len(HTML) + HTML)


def redirect(status: bytes, place: Callable[[], str]) -> Fault:
    def reply(answer: Answer) -> bytes:
        return (
            b"HTTP/1.1 " + status + b"\r\nlocation: " + place().encode() + answer.attempt.path.encode() + b"\r\ncontent-length: 0\r\n\r\n"
        )

    return says(reply)


def bomb(answer: Answer) -> bytes:
    body = BOMB_EVENTS if answer.attempt.stream else BOMB
    return head(answer, len(body), b"content-encoding: gzip") + body


def events(answer: Answer, number: int = 12) -> bytes:
    """The beginning of an answer: events in chunks, or of a plain body the first part."""
    if not answer.attempt.stream:
        return head(answer, len(full(answer))) + full(answer)[:150]
    shape, model = answer.shape, answer.model
    pieces = [shape.begin(model), *(shape.token(model, token) for token in TOKENS[:number])]
    return STREAM_HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def torments(elsewhere: Callable[[], str]) -> dict[str, Fault]:
    """All of them. `elsewhere` is the address that redirects point to."""
    return {
        "ok": ok,
        "trickle": says(lambda answer: head(answer, 100_000), drips(b"d")),
        "headdrip": says(lambda answer: b"HTTP/1.1 200 OK\r\nx: ", drips(b"y")),
        "pings": endless_events,
        "toolong": says(lambda answer: head(answer, len(full(answer)) + 500) + full(answer)[: len(full(answer)) // 2], closes),
        "tooshort": says(lambda answer: head(answer, 150) + full(answer)),
        "chunkword": chunk(b"xyz"),
        "chunkminus": chunk(b"-5"),
        "chunkhuge": chunk(b"fffffffffffffffff"),
        "chunkcut": says(lambda answer: STREAM_HEAD + b"1000\r\n" + full(answer)[:300], closes),
        "chunkheld": says(lambda answer: STREAM_HEAD + b"1000\r\n" + b"data: {", holds),
        "bomb": says(bomb),
        "huge": huge_event,
        "html200": page(b"200 OK"),
        "html502": page(b"502 Bad Gateway"),
        "html503": page(b"503 Service Unavailable"),
        "r301": redirect(b"301 Moved Permanently", elsewhere),
        "r302": redirect(b"302 Found", elsewhere),
        "r307": redirect(b"307 Temporary Redirect", elsewhere),
        "stale": stale,
        "stalereset": stale_reset,
        "lateclose": late_close,
        "rst": says(events, resets),
        "rsthead": says(lambda answer: head(answer, 1000), resets),
        "silentmiddle": says(events, holds),
        "garbage": says(lambda answer: b"\x16\x03\x01\x02\x00rubbish\r\n\r\n", holds),
        "version": says(lambda answer: b"HTTP/9.9 200 OK\r\ncontent-length: 0\r\n\r\n"),
        "status": says(lambda answer: b"HTTP/1.1 two hundred\r\ncontent-length: 0\r\n\r\n"),
        "hugehead": says(lambda answer: b"HTTP/1.1 200 OK\r\nx-big: " + b"z" * 300_000 + b"\r\n\r\n", holds),
        "endlesshead": endless_head,
        "flood": flood,
        "bothframings": says(lambda answer: head(answer, 20, b"transfer-encoding: chunked") + b"0\r\n\r\n" + full(answer), holds),
        "upgrade": says(lambda answer: b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", holds),
        "nothing": says(lambda answer: b"HTTP/1.1 204 No Content\r\n\r\n"),
        "nul": says(lambda answer: b"HTTP/1.1 200 OK\r\ncontent-length: 2\0\r\n\r\n{}", holds),
    }
