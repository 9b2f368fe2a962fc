"""From the format in which a reply comes out of the chain to the bytes that its client gets."""

from __future__ import annotations

from collections.abc import Sequence

from edgegate.dialects.base import Operation
from edgegate.exchange import Exchange, Reply
from edgegate.server.relay import end_taps
from edgegate.taps import Outcome, Tap


def whole_body(ex: Exchange, reply: Reply, body: bytes) -> bytes:
    """A whole reply, as the client gets it."""
    client = ex.client
    taps = reply.taps
    if not reply.encoded:
        translated = reply.format not in ("", client.format)
        if reply.stream and not translated and (frames := client.frames()) is not None:
            taps = [*taps, frames]
        if taps:
            body = _through(taps, body)
        if translated and reply.stream:
            body = _through([client.stream(ex.request, ex.id)], body)
        elif translated:
            body = client.whole(ex.request, body)
    elif taps:
        body = _through(taps, body)
    return _through(reply.last_taps, body) if reply.last_taps is not None else body


def all_taps(ex: Exchange, reply: Reply) -> list[Tap]:
    """The taps of a reply that is still arriving, to the bytes that the client gets."""
    client = ex.client
    taps = reply.taps
    if reply.format not in ("", client.format):
        taps = [*taps, client.stream(ex.request, ex.id)]
    elif ex.operation is not Operation.RELAY and (frames := client.frames()) is not None:
        taps = [*taps, frames]
    return taps if reply.last_taps is None else [*taps, *reply.last_taps]


def _through(taps: Sequence[Tap], body: bytes) -> bytes:
    """A whole body through taps, to their end."""
    for tap in taps:
        body = tap.feed(body)
    return body + end_taps(taps, Outcome.OK)
