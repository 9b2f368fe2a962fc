"""Recognising the frequent case of a message stream, reads that hold nothing but `content_block_delta` events, without
parsing them.

`deltas_only` decides it from counts alone, and only says yes where it is certain. Every event of such a read has the form

    event: content_block_delta LF data: <one line> LF LF

so it begins with DELTA, at the read's start or after a blank line, and has exactly three LF. If the read begins with DELTA,
DELTA stands after a blank line m-1 times, and there is no CR, then the m regions from each DELTA to the next (or the end)
have at least three LF each: one in DELTA, two that end the event. A total of 3m therefore leaves no room for a further
line, be it an event of another name, a second `event:` field, a comment or an unnamed event. JSON has no raw LF in strings,
and if it had, the count would not fit. Anything else, however harmless, is parsed.
"""

from __future__ import annotations

DELTA = b"event: content_block_delta\ndata: "
_NEXT = b"\n\n" + DELTA


def deltas_only(events: bytes) -> int:
    """How many events `events`, a run of whole events, holds if all of them are deltas of content blocks; else 0."""
    if not events.startswith(DELTA) or b"\r" in events:
        return 0
    lines = events.count(b"\n")
    if lines == 3:
        return 1 if events.endswith(b"\n\n") else 0
    number = events.count(_NEXT) + 1
    return number if lines == 3 * number and events.endswith(b"\n\n") else 0


def documents(deltas: bytes) -> list[bytes]:
    """The JSON documents of a run for which `deltas_only` holds."""
    return deltas[len(DELTA) : -2].split(_NEXT)
